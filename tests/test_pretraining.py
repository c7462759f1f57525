"""The face trunk: what trains it, what chooses it, what it is scored on, and the file that is left."""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from test_data_parallel import Sum, averaging_before, by_value

from aman.backbone import digest, load_trunk
from aman.digests import has_layer4
from aman.errors import DataError, UsageError
from aman.fer2013 import CLASSES, VOTES
from aman.plain_weights import plain_trunk
from aman.pretraining import training
from aman.pretraining.augmentation import augment, generator_for
from aman.pretraining.classifier import as_input, confusion, forward, in_bf16, start_network, write_weights
from aman.pretraining.faces import read_sets
from aman.pretraining.settings import Pretraining, check, size_of
from aman.pretraining.training import class_weights, pretrain
from aman.schedules import warm_up_then_cosine
from cluster.training.checkpoint import read_progress, take_over
from cluster.training.data_parallel import alone, read_checkpoint
from jobs.pretrain import Options, main

SMALL = Pretraining(size=32, epochs=2, batch=14, rate=0.02, erasing=0.5)
Row = tuple[str, int, npt.NDArray[np.uint8]]


def rows(training: int = 28, test: int = 14) -> list[Row]:
    """Noise with a bright bar, whose place is the class."""
    random, made = np.random.default_rng(0), list[Row]()
    for usage, count in (("Training", training), ("PublicTest", test), ("PrivateTest", test)):
        for place in range(count):
            image = random.integers(0, 60, (48, 48), dtype=np.uint8)
            image[6 * (place % 7) : 6 * (place % 7) + 6] += 150
            made.append((usage, place % 7, image))
    return made


def write(path: Path, faces: Iterable[Row]) -> Path:
    table = [
        {"usage": usage, "emotion": CLASSES[label], "jpeg": cv2.imencode(".png", image)[1].tobytes()}
        for usage, label, image in faces
    ]
    pd.DataFrame(table).to_parquet(path)
    return path


def trained(folder: Path, settings: Pretraining) -> dict[str, Any]:
    pretrain(alone(folder, settings), settings)
    return result_in(folder)


def result_in(folder: Path) -> dict[str, Any]:
    checkpoint = read_checkpoint(folder)
    assert checkpoint is not None
    return checkpoint["state"]["result"]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(autouse=True)
def choice_of_kernels() -> Iterator[None]:
    """A run asks for deterministic kernels, which other tests did not."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("faces") / "faces.parquet", rows())


@pytest.fixture(scope="module")
def settings(faces: Path) -> Pretraining:
    return replace(SMALL, faces=faces)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, settings: Pretraining) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    trained(folder, settings)
    return folder


def test_a_run_that_broke_off_in_an_epoch_ends_with_the_same_weights_and_one_of_an_earlier_version_is_refused(
    tmp_path: Path, settings: Pretraining, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)  # one after each step
    steps = list[int]()

    def until_the_second(*arguments: Any) -> torch.Tensor:
        steps.append(len(steps))
        if len(steps) == 2:
            raise KeyboardInterrupt
        return augment(*arguments)

    monkeypatch.setattr(training, "augment", until_the_second)
    with pytest.raises(KeyboardInterrupt):
        pretrain(alone(tmp_path, settings), settings)
    assert [line.step for line in read_progress(tmp_path)] == [1]
    earlier = Path(shutil.copytree(tmp_path, tmp_path.with_name("earlier")))
    checkpoint = read_checkpoint(earlier)
    assert checkpoint is not None
    del checkpoint["state"]["schedule"]
    torch.save(checkpoint, earlier / "checkpoint.pt")
    with pytest.raises(UsageError, match="without the state of the learning rate"):
        trained(earlier, settings)
    finished = read_checkpoint(undisturbed)
    assert finished is not None and set(finished["state"]) == {"result"}  # what earlier versions wrote at the end, too
    interrupted = trained(tmp_path, settings)
    assert len(steps) == 5  # the second step twice, and the first not again
    assert_same(interrupted["network"], result_in(undisturbed)["network"])
    curve, other = read_progress(tmp_path), read_progress(undisturbed)
    assert [line.step for line in curve] == [1, 2, 3, 4, 5]
    by_epoch = [[line.metrics["loss"] for line in lines if "size" in line.metrics] for lines in (curve, other)]
    assert by_epoch[0] == pytest.approx(by_epoch[1])


def test_the_optimiser_is_without_what_torchs_compiler_needs(
    tmp_path: Path, settings: Pretraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = list[Any]()

    def noted(kind: Any) -> Any:
        kinds.append(kind)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "eager", noted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(alone(tmp_path, settings), settings)
    assert kinds == [torch.optim.SGD]


def test_private_labels_move_the_private_score_and_not_one_weight_and_the_rate_falls_to_nothing(
    tmp_path: Path, settings: Pretraining, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permuted = [(usage, (label + (usage == "PrivateTest")) % 7, image) for usage, label, image in rows()]
    scored = list[int]()

    def counted(network: Any, image_MHW: Any, label_M: Any, *more: Any) -> torch.Tensor:
        scored.append(int(label_M[0]))
        return confusion(network, image_MHW, label_M, *more)

    made: list[torch.optim.lr_scheduler.SequentialLR] = []

    def noted(*arguments: Any, **more: Any) -> torch.optim.lr_scheduler.SequentialLR:
        made.append(warm_up_then_cosine(*arguments, **more))
        return made[0]

    monkeypatch.setattr(training, "confusion", counted)
    monkeypatch.setattr(training, "warm_up_then_cosine", noted)
    other = trained(tmp_path / "run", replace(settings, faces=write(tmp_path / "permuted.parquet", permuted)))
    assert scored == [0, 0, 0, 1]  # PublicTest after two epochs and at the end, PrivateTest once
    assert_same(other["network"], result_in(undisturbed)["network"])
    first, second = result_in(undisturbed)["confusion"], other["confusion"]
    assert first["public"] == second["public"] and first["private"] != second["private"]
    (schedule,) = made
    assert schedule.last_epoch == 4  # two epochs of two batches
    assert schedule.get_last_lr() == pytest.approx([0.0], abs=1e-12)  # when the last step is done


def test_the_chosen_epoch_is_the_best_on_publictest_among_those_at_full_size(
    tmp_path: Path, settings: Pretraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = iter([9, 5, 8, 4, 0, 0])  # of ten, after each epoch; then the two scores of the end
    monkeypatch.setattr(
        training, "confusion", lambda *_: torch.diag(torch.tensor([(r := next(right)), 0])) + hits(10 - r)
    )
    four = replace(settings, epochs=4, first_size=32, size=48, batch=28)
    assert [size_of(epoch, four) for epoch in range(4)] == [32, 32, 48, 48]
    assert trained(tmp_path, four)["scores"]["epoch"] == 4


def hits(wrong: int) -> torch.Tensor:
    return torch.tensor([[0, wrong], [0, 0]])


def test_a_finished_run_is_not_trained_again(undisturbed: Path, settings: Pretraining) -> None:
    before = (undisturbed / "checkpoint.pt").read_bytes()
    pretrain(alone(undisturbed, settings), settings)
    assert (undisturbed / "checkpoint.pt").read_bytes() == before


def test_training_pictures_that_are_in_a_test_split_are_dropped_and_counted(tmp_path: Path) -> None:
    made = rows()
    copies = [("Training", 0, made[28][2]), ("Training", 1, made[28][2]), ("Training", 2, made[45][2])]
    sets = read_sets(replace(SMALL, faces=write(tmp_path / "faces.parquet", [*copies, *made])))
    assert sets.counts == (28, 14, 14)
    held_out = {image.tobytes() for image in [*sets.public_MHW, *sets.private_MHW]}
    assert not held_out & {image.tobytes() for image in sets.training_MHW}
    (remark,) = sets.remarks
    assert remark.startswith("3 of 31") and "1 pictures of PublicTest and 1 of PrivateTest" in remark


def test_votes_give_soft_labels_to_training_and_majorities_to_the_tests(tmp_path: Path) -> None:
    lines, votes = ["emotion,pixels,Usage"], ["Usage," + ",".join(VOTES)]
    for usage, label, image in rows(14, 7):
        lines.append(f"{label},{' '.join(map(str, image.ravel()))},{usage}")
        votes.append(f"{usage},6,4,0,0,0,0,0,0,0,0")
    (tmp_path / "fer2013.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "votes.csv").write_text("\n".join(votes) + "\n")
    sets = read_sets(replace(SMALL, faces=tmp_path / "fer2013.csv", votes=tmp_path / "votes.csv"))
    np.testing.assert_allclose(sets.training_ME, [[0.6, 0.4, 0, 0, 0, 0, 0, 0]] * 14, rtol=1e-6)
    assert (sets.public_M == 0).all() and len(sets.classes) == 8


def test_a_split_without_pictures_and_no_path_are_refused(tmp_path: Path) -> None:
    some = [row for row in rows() if row[0] != "PublicTest"]
    with pytest.raises(DataError, match="without a picture of the split public"):
        read_sets(replace(SMALL, faces=write(tmp_path / "faces.parquet", some)))
    with pytest.raises(UsageError, match="no --faces"):
        read_sets(SMALL)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"first_size": 64}, "--first-size 64"),
        ({"size": 16}, "--size 16"),
        ({"epochs": 0}, "--epochs 0"),
        ({"label_smoothing": 1.0}, "--label-smoothing 1.0"),
        ({"zoom": 0.5}, "--zoom 0.5"),
        ({"start": "nowhere.pth"}, "nowhere.pth"),
    ],
)
def test_settings_that_train_nothing_are_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        check(replace(SMALL, **wrong))


def test_more_pictures_a_batch_than_there_are_is_refused(tmp_path: Path, settings: Pretraining) -> None:
    with pytest.raises(UsageError, match="batches of 29 for 28 pictures"):
        trained(tmp_path, replace(settings, batch=29))


def test_class_weights_favour_rare_classes_and_leave_the_mean_at_one() -> None:
    label_ME = torch.eye(2)[[0] * 9 + [1]]
    for how, ratio in (("none", 1.0), ("sqrt", 3.0), ("full", 9.0)):
        weight_E = class_weights(label_ME, replace(SMALL, class_weights=how))
        assert float(weight_E[1] / weight_E[0]) == pytest.approx(ratio)
        assert float((label_ME @ weight_E).mean()) == pytest.approx(1)


def test_without_changes_a_picture_is_enlarged_only_and_with_them_the_draw_decides_alone() -> None:
    image_BHW = torch.arange(4 * 48 * 48).view(4, 48, 48).remainder(251).to(torch.uint8)
    still = replace(SMALL, flip=False, shift=0.0, zoom=1.0, rotation=0.0, light=0.0, erasing=0.0)
    torch.testing.assert_close(augment(image_BHW, 48, still, generator_for(0)), image_BHW.float(), atol=0.02, rtol=0)
    moved, again = (augment(image_BHW, 64, SMALL, generator_for(0, 1)) for _ in range(2))
    assert moved.shape == (4, 64, 64) and torch.equal(moved, again)
    assert not torch.equal(moved, augment(image_BHW, 64, SMALL, generator_for(0, 2)))
    assert moved.min() >= 0 and moved.max() <= 255


def test_the_trunk_file_holds_conv1_to_layer4_and_the_benchmark_loads_it(tmp_path: Path, undisturbed: Path) -> None:
    network, out = result_in(undisturbed)["network"], tmp_path / "trunk.safetensors"
    (tmp_path / "plain").write_bytes(b"")
    write_weights(network, out, {"classes": ["happy"], "size": 96})
    assert out.stat().st_mode & 0o777 == (tmp_path / "plain").stat().st_mode & 0o777
    assert out.stat().st_size < 23e6 and has_layer4(str(out)) and plain_trunk(out) is not None
    loaded = load_trunk(str(out))
    assert digest(loaded) == digest(load_trunk(str(out)))
    for name in ("conv1.weight", "bn1.running_var", "layer3.1.conv2.weight", "layer4.1.bn2.bias"):
        assert torch.equal(loaded.state_dict()[name], network[name].half().float())
    write_weights(network, tmp_path / "again.safetensors", {"classes": ["happy"], "size": 96})
    assert (tmp_path / "again.safetensors").read_bytes() == out.read_bytes()
    with pytest.raises(FloatingPointError, match=r"conv1\.weight"):
        write_weights({"conv1.weight": torch.tensor(1e6)}, out, {})


def test_bf16_is_near_fp32_and_auto_takes_it_where_the_processor_has_instructions() -> None:
    network = start_network(SMALL, 7).eval()
    x_BHW = torch.rand(4, 32, 32, generator=torch.Generator().manual_seed(0)) * 255
    with torch.no_grad():
        exact, rounded = (forward(network, x_BHW, bf16) for bf16 in (False, True))
    assert exact.dtype == rounded.dtype == torch.float32
    difference = (exact - rounded).abs().max() / exact.abs().max()
    assert 0 < difference < 0.03
    cpu = torch.device("cpu")
    assert in_bf16("bf16", cpu) and not in_bf16("fp32", cpu) and in_bf16("auto", torch.device("cuda"))
    flags = Path("/proc/cpuinfo").read_text()
    assert in_bf16("auto", cpu) == ("avx512_bf16" in flags or "amx_bf16" in flags)


def test_a_published_checkpoint_is_a_start_and_its_classifier_is_not(tmp_path: Path) -> None:
    published = start_network(SMALL, 8).state_dict()
    torch.save({"state_dict": {f"module.{name}": value + 1 for name, value in published.items()}}, tmp_path / "a.pth")
    network = start_network(replace(SMALL, start=str(tmp_path / "a.pth"), seed=1), 7)
    assert torch.equal(network.state_dict()["layer4.0.conv1.weight"], published["layer4.0.conv1.weight"] + 1)
    assert network.state_dict()["fc.weight"].shape == (7, 512)


def test_grey_faces_reach_the_network_as_colour_pictures_will() -> None:
    x_B3HW = as_input(torch.full((1, 32, 32), 255.0))
    np.testing.assert_allclose(
        x_B3HW[0, :, 0, 0], [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], 1e-5
    )


def test_two_workers_of_the_job_of_which_one_is_killed_average_gradients_to_one_mlflow_run_and_a_rerun_trains_nothing(
    ray_cluster: None,
    ready_tables: None,
    here: Path,
    faces: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before they train, the workers add up gradients that are known; in the middle of that one of them is killed."""
    settings = replace(SMALL, faces=faces, epochs=1)
    options = Options(settings=settings, out=Path("trunk.safetensors"), tracking_uri="sqlite:///mlflow.db", workers=2)
    assert main(replace(options, plan=True)) == 0
    assert "28 train, 14 choose, 14 score" in capsys.readouterr().out and not list(here.iterdir())
    averaged = options.folder / "averaged"
    averaged.mkdir(parents=True)
    take_over(averaged)
    monkeypatch.setattr(training, "pretrain", averaging_before("aman.pretraining.training", "pretrain", Sum(dies_at=6)))
    with by_value():
        assert main(options) == 0
    assert (averaged / "died").exists()
    sums = read_progress(averaged)
    assert [line.step for line in sums] == list(range(1, 11))
    assert [line.metrics["total"] for line in sums] == [1.5 * sum(range(step + 1)) for step in range(1, 11)]
    curve = read_progress(options.folder)
    assert [line.step for line in curve] == [2, 3] and 0 <= curve[-1].metrics["private"] <= 1
    shapes = {name: tuple(tensor.shape) for name, tensor in result_in(options.folder)["network"].items()}
    assert shapes == {name: tuple(tensor.shape) for name, tensor in start_network(SMALL, 7).state_dict().items()}
    monkeypatch.setattr("cluster.training.weights.train", None)
    assert main(options) == 0
    with pytest.raises(UsageError, match="settings"):
        main(replace(options, settings=replace(settings, epochs=2)))
    from mlflow.tracking import MlflowClient
    from safetensors import safe_open

    client = MlflowClient(tracking_uri=f"sqlite:///{here}/mlflow.db")
    # pyrefly: ignore[missing-attribute]
    (run,) = client.search_runs([client.get_experiment_by_name("pretraining").experiment_id])
    with safe_open("trunk.safetensors", "pt") as file:
        about, names = json.loads(file.metadata()["about"]), set(file.keys())
    assert about["private"] == run.data.metrics["private"]
    assert str(here) not in json.dumps(about) and "conv1.weight" in names
