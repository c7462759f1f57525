"""A model that is trained on all subjects comes out as one file, and predicts clips given as frames or as a video."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from small import GREY, TINY_OPTIONS, small_database, small_options, write_frames, write_image

from aman.errors import DataError
from aman.plain_weights import TRUNK, trunk_file
from aman.trained.clips import MOST_FRAMES, Part, clip_at
from aman.trained.model import Model, digests_of, read_model, write_model
from aman.training import variant
from jobs import predict, train

Call = Callable[..., tuple[int, str]]
METHODS = ("aman", "ststnet", "lbp-top", "accordion")
OPTIONS = {"aman": TINY_OPTIONS, **{name: ["--method", name, *small_options(name)] for name in METHODS[1:]}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("database") / "release", subjects=3, clips_per_subject=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def trained() -> dict[str, bytes]:
    """Models that a test has trained, by method: later tests get a copy."""
    return {}


@pytest.fixture
def model(
    request: pytest.FixtureRequest, root: Path, store: Path, trained: dict[str, bytes], call_job: Call, tmp_path: Path
) -> Path:
    """A model of the method that the test names, or of AMAN."""
    out, method = tmp_path / "model.safetensors", getattr(request, "param", "aman")
    if method not in trained:
        code, said = call_job(train, "--root", root, "--store", store, "--here", "--out", out, *OPTIONS[method])
        assert code == 0, said
        trained[method] = out.read_bytes()
    out.write_bytes(trained[method])
    return out


def clip_of(root: Path) -> Path:
    return root / "CASME2_RAW_selected" / "sub02" / "EP01_01"


def predicted(call_job: Call, model: Path, *words: object) -> dict[str, Any]:
    out = model.with_name("out.json")
    code, said = call_job(predict, model, *words, "--json", out)
    assert code == 0, said
    return json.loads(out.read_text())


def new_clip(folder: Path, count: int = 6) -> Path:
    """Frames of nobody in the database."""
    texture = np.random.default_rng(99).random((48, 64, 3)) * 120
    write_frames(folder, texture, count)
    return folder


def video_of(folder: Path, path: Path, rate: float = 30, codec: str = "mp4v") -> Path:
    frames: list[Any] = [cv2.imread(str(one)) for one in sorted(folder.iterdir(), key=lambda one: int(one.stem[3:]))]
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@pytest.mark.parametrize(
    "model", [METHODS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in METHODS[1:])], indirect=True
)
def test_a_model_predicts_what_its_training_saw_in_the_cache(
    model: Path, root: Path, store: Path, call_job: Call
) -> None:
    """The clip is made from its frames here, and was read from the cache in the training."""
    from cluster.experiment.grid import plan_experiment
    from cluster.experiment.plan import Request
    from cluster.features.loaded import Loaded, supplies_of

    one = read_model(model)
    (said,) = predicted(call_job, model, clip_of(root), "--onset", 9, "--apex", 11, "--offset", 12)["clips"]
    request = Request(database="synthetic", root=root, recipe=one.recipe, store=str(store), whole=True, here=True)
    experiment = plan_experiment(request)
    plan = experiment.first
    assert not plan.folds_to_train() and one.about.key == plan.folds[0].key
    loaded = Loaded(supplies_of([one.recipe], experiment.clips()), plan.cache, "cpu")
    clip = next(clip for clip in plan.selection.clips if clip.frames[0].parent == clip_of(root))
    assert (clip.onset, clip.apex, clip.offset) == (9, 11, 12)
    x = loaded.arrays_of(one.recipe, (clip.clip_id,))
    from aman.trained.predict import Predictor

    assert said["probabilities"] == Predictor(one, model)._read(x)[0][0].tolist()
    assert sum(said["probabilities"]) == pytest.approx(1)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of the synthetic database: faces that move."""
    from aman.faces import landmark_model_path
    from aman.synthesis import write_database

    folder = tmp_path_factory.mktemp("faces") / "release"
    list(write_database(folder, subjects=2, clips_per_subject=3, seed=0, model=landmark_model_path("")))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("method", "codec", "suffix"), [("aman", "mp4v", ".mp4"), ("lbp-top", "FFV1", ".avi")])
def test_frames_and_a_video_of_them_get_one_class(
    method: str, codec: str, suffix: str, faces: Path, store: Path, tmp_path: Path, call_job: Call
) -> None:
    """On a clip of the synthetic database, whose faces are found in it; MPEG-4 changes each pixel a little."""
    out, clip = tmp_path / "model.safetensors", next((faces / "CASME2_RAW_selected" / "sub02").iterdir())
    small = TINY_OPTIONS[2:] if method == "aman" else ()  # without `--align none`
    words = ("--root", faces, "--store", store, "--here", "--out", out, "--method", method, *small)
    assert not call_job(train, *words)[0]
    frames, moving = predicted(call_job, out, clip, video_of(clip, tmp_path / f"clip{suffix}", codec=codec))["clips"]
    assert (frames["prediction"], frames["frames"]) == (moving["prediction"], moving["frames"])
    assert frames["probabilities"] == pytest.approx(moving["probabilities"], abs=0.2)
    assert frames["remarks"] and not moving["remarks"]


def test_a_clip_of_the_training_gets_the_remark_that_its_prediction_is_no_test(
    model: Path, root: Path, tmp_path: Path, call_job: Call
) -> None:
    copy = tmp_path / "another name"
    copy.mkdir()
    for path in clip_of(root).iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    code, said = call_job(predict, model, copy, new_clip(tmp_path / "new"))
    assert code == 0
    (remark,) = [line for line in said.splitlines() if "no test" in line]
    assert "another name" in remark and "4 of 6 files" in remark


@pytest.mark.slow
def test_the_same_command_trains_nothing_and_writes_equal_bytes(
    model: Path, root: Path, store: Path, call_job: Call
) -> None:
    before = model.read_bytes()
    code, said = call_job(train, "--root", root, "--store", store, "--here", "--out", model, *TINY_OPTIONS)
    assert code == 0 and "0 trainings" in said and model.read_bytes() == before


@pytest.mark.slow
def test_an_apex_that_is_not_named_is_found_and_a_named_one_is_used(
    root: Path, store: Path, tmp_path: Path, call_job: Call
) -> None:
    out, folder = tmp_path / "flow.safetensors", new_clip(tmp_path / "clip")
    assert not call_job(train, "--root", root, "--store", store, "--here", "--out", out, *OPTIONS["ststnet"])[0]
    found = predicted(call_job, out, folder)["clips"][0]
    named = predicted(call_job, out, folder, "--apex", found["onset"] + 1)["clips"][0]
    assert found["apex_rule"] == "largest-mean-flow" and found["onset"] < found["apex"] <= found["offset"]
    assert (named["apex_rule"], named["apex"]) == ("annotated", found["onset"] + 1)
    assert named["probabilities"] != found["probabilities"]


@pytest.mark.parametrize("model", ["aman", "lbp-top"], indirect=True)
def test_a_gif_shows_the_clip_beside_itself_where_the_method_magnifies(
    model: Path, tmp_path: Path, call_job: Call
) -> None:
    folder, out = new_clip(tmp_path / "clip"), tmp_path / "clip.gif"
    code, said = call_job(predict, model, folder, "--gif", out)
    if read_model(model).about.method == "lbp-top":
        assert code == 2 and "does not magnify" in said and not out.exists()
        return
    (level,) = [line.split("factor ")[1][0] for line in said.splitlines() if "magnified" in line]
    table = next(line.split() for line in said.splitlines() if line.startswith(str(folder)))
    assert level == table[-2] and int(level) in (1, 2)
    with Image.open(out) as picture:
        assert (picture.size, getattr(picture, "n_frames", 0)) == ((448, 224), 20)


def test_each_of_several_clips_has_a_gif_of_its_own() -> None:
    assert predict.gif_names(["a/one", "b/two.mp4"]) == {"a/one": "one.gif", "b/two.mp4": "two.gif"}
    assert list(predict.gif_names(["x/sub01/EP1", "x/sub02/EP1"]).values()) == ["sub01-EP1.gif", "sub02-EP1.gif"]
    assert len(set(predict.gif_names(["a/clip", "a/clip.mp4", "a/clip.avi", "b/clip"]).values())) == 4


def test_files_that_are_no_whole_model_are_refused(model: Path, tmp_path: Path, call_job: Call) -> None:
    folder, content = new_clip(tmp_path / "clip"), bytearray(model.read_bytes())
    other = tmp_path / "other.safetensors"
    for change, why in (
        (lambda: content[:-3], "damaged"),
        (lambda: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:], "damaged"),
        (lambda: content.replace(rb"\\\"seed\\\": 0", rb"\\\"seed\\\": 1"), "damaged"),
        (lambda: b"a text that is no model", "no model file"),
        (lambda: b"", "no model file"),
        (TRUNK.read_bytes, "no model file"),
    ):
        other.write_bytes(change())
        assert other.read_bytes() != bytes(content)
        code, said = call_job(predict, other, folder)
        assert code == 4 and why in said, said
    code, said = call_job(predict, tmp_path / "none.safetensors", folder)
    assert code == 2 and "cannot be read" in said


def changed(path: Path, model: Model, **about: Any) -> Path:
    write_model(path, replace(model, about=replace(model.about, **about)))
    return path


def test_a_model_of_other_code_weights_or_method_is_refused(model: Path, tmp_path: Path, call_job: Call) -> None:
    folder, out, one = new_clip(tmp_path / "clip"), tmp_path / "other.safetensors", read_model(model)
    versions, weights = dict(one.about.versions), dict(one.about.weights)
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"versions": {**versions, "the method aman": 99}}, 4, "the method aman: the code is not that of the training"),
        ({"versions": {**versions, "tim": 99}}, 4, "tim: the code is not that of the training"),
        ({"weights": {**weights, "trunk": "0" * 64}}, 4, "other weights of trunk"),
        ({"settings": {**one.about.settings, "gone": 1}}, 4, "no such setting: gone"),
        ({"settings": {**one.about.settings, "trunk": "/no/file"}}, 2, "--file SETTING=FILE"),
        ({"method": "mine"}, 2, "add --method FILE.py"),
        ({"form": 2}, 4, "form 2"),
        ({"weights_sha256": "0" * 64}, 4, "damaged"),
    ]
    for about, wanted, why in cases:
        code, said = call_job(predict, changed(out, one, **about), folder)
        assert code == wanted and why in said, (about, said)
    moved = changed(out, one, settings={**one.about.settings, "trunk": "/no/file"})
    assert call_job(predict, moved, folder, "--file", f"trunk={trunk_file(str(one.about.settings['trunk']))}")[0] == 0


@pytest.mark.slow
def test_a_classical_model_of_another_scikit_learn_is_refused(
    root: Path, store: Path, tmp_path: Path, call_job: Call
) -> None:
    out, folder = tmp_path / "lbp.safetensors", new_clip(tmp_path / "clip")
    assert not call_job(train, "--root", root, "--store", store, "--here", "--out", out, *OPTIONS["lbp-top"])[0]
    one = read_model(out)
    code, said = call_job(predict, changed(out, one, libraries={**one.about.libraries, "scikit-learn": "0.1"}), folder)
    assert code == 4 and "scikit-learn 0.1" in said


@pytest.mark.slow
def test_a_clip_without_a_face_is_named(model: Path, tmp_path: Path, call_job: Call) -> None:
    """The settings of the model say that it aligns faces, as which no database without faces can be trained."""
    one, out = read_model(model), tmp_path / "aligning.safetensors"
    recipe = variant(one.recipe, align="landmarks")
    settings = {**one.about.settings, "align": "landmarks"}
    changed(out, one, settings=settings, weights=digests_of(recipe))
    code, said = call_job(predict, out, new_clip(tmp_path / "clip"))
    assert code == 4 and "face" in said and "clip/img8.jpg" in said


def long_folder(folder: Path) -> Path:
    folder.mkdir()
    for number in range(MOST_FRAMES + 1):
        write_image(folder / f"{number}.png", GREY)
    return folder


@pytest.mark.parametrize(
    ("make", "words", "code", "why"),
    [
        (long_folder, (), 4, "a recording of 201 frames without --onset and --offset"),
        (lambda path: video_of(new_clip(path, 63), path.with_suffix(".mp4")), (), 4, "63 frames (2.1 s)"),
        (new_clip, ("--onset", 5, "--offset", 4), 4, "correct --onset and --offset"),
        (new_clip, ("--apex", 99), 2, "--apex 99 of a clip from 8 to 13"),
        (lambda path: path / "none", (), 2, "is not there"),
        (lambda path: write_image(path.with_suffix(".jpg"), GREY), (), 4, "a folder of numbered pictures"),
    ],
)
def test_clips_that_cannot_be_used_are_named_with_a_fix(
    make: Callable[[Path], Path],
    words: Sequence[object],
    code: int,
    why: str,
    model: Path,
    tmp_path: Path,
    call_job: Call,
) -> None:
    found, said = call_job(predict, model, make(tmp_path / "clip"), *words, "--csv", tmp_path / "out.csv")
    assert found == code and why in said, said
    assert not (tmp_path / "out.csv").exists()


def beside(path: Path, name: str) -> Path:
    """A path that is there and holds no frame, with a video of frames beside it whose name begins so."""
    video_of(new_clip(path.with_name("frames")), path.with_name(f"{name}.mp4"))
    return path


@pytest.mark.parametrize(
    ("numbers", "part", "why", "fix"),
    [
        ((), Part(), "the folder is empty", "name the folder that holds the frames"),
        ((5,), Part(), "one frame, img5.png", "copy the other frames into the folder"),
        ((5,), Part(onset=3, offset=5), "one frame, img5.png", "copy the other frames into the folder"),
        ((*range(1, 11), 99), Part(), "11 of 99 frames from onset 1 to offset 99", "name the frames of the movement"),
        ((1, 2, 3), Part(onset=3, offset=1), "onset 3 behind offset 1", "correct --onset and --offset"),
    ],
)
def test_a_folder_that_is_no_clip_is_refused_and_no_file_beside_it_is_read(
    numbers: Sequence[int], part: Part, why: str, fix: str, tmp_path: Path
) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in numbers:
        write_image(folder / f"img{number}.png", GREY)
    with pytest.raises(DataError) as error:
        clip_at(str(beside(folder, "clip")), part)
    assert why in error.value.got and fix in error.value.fix
    assert ("--onset" in error.value.fix) == ("onset" in why)


def test_what_is_read_in_place_of_pictures_is_said(tmp_path: Path) -> None:
    text, folder = tmp_path / "clip.txt", tmp_path / "folder"
    text.write_text("no video")
    folder.mkdir()
    with pytest.raises(DataError, match="it is a file and no video"):
        clip_at(str(beside(text, "clip.txt")), Part())
    video_of(tmp_path / "frames", folder / "one.mp4")
    clip, (remark,) = clip_at(str(folder), Part())
    assert clip.frames == (folder / "one.mp4",) and "read the video one.mp4 in it" in remark


def test_a_long_recording_of_which_onset_and_offset_are_named_is_read(
    model: Path, tmp_path: Path, call_job: Call
) -> None:
    folder = new_clip(tmp_path / "clip", MOST_FRAMES + 20)
    (said,) = predicted(call_job, model, folder, "--onset", 10, "--offset", 20)["clips"]
    assert (said["onset"], said["offset"], said["frames"]) == (10, 20, 11)


def test_arguments_that_do_not_fit_together_are_refused(model: Path, tmp_path: Path, call_job: Call) -> None:
    one, two = new_clip(tmp_path / "one"), new_clip(tmp_path / "two")
    for words, why in (
        ((model,), "no clip"),
        ((model, one, two, "--onset", 1), "with 2 clips"),
        ((model, one, one), "twice"),
        ((model, one, f"{one}/"), "twice"),
        ((model, one, "--gif", model), "which is the model or a clip"),
        ((model, one, two, "--gif", model), "which is the model or a clip"),
        ((model, one, "--csv", one), "which is the model or a clip"),
        ((model, one, "--json", tmp_path), "which cannot be written"),
        ((model, one, "--gif", tmp_path), "which cannot be written"),
        ((model, one, two, "--gif", model.parent / "model.safetensors/gifs"), "which cannot be written"),
        ((model, one, "--file", "trunk"), "SETTING=FILE"),
        ((model, one, "--file", "trunks=x"), "check the name"),
    ):
        code, said = call_job(predict, *words)
        assert code == 2 and why in said, said


def test_of_several_clips_each_bad_one_is_named_and_no_file_is_written(
    model: Path, tmp_path: Path, call_job: Call
) -> None:
    good = new_clip(tmp_path / "good")
    for name in ("black", "white"):
        (tmp_path / name).mkdir()
        for number in range(3):
            write_image(tmp_path / name / f"{number}.png", np.full((20, 20), 255 * (name == "white"), np.uint8))
    code, said = call_job(predict, model, good, tmp_path / "black", tmp_path / "white", "--csv", tmp_path / "o.csv")
    assert code == 4 and "black" in said and "white" in said and not (tmp_path / "o.csv").exists()


def test_the_table_as_csv_has_all_digits(model: Path, tmp_path: Path, call_job: Call) -> None:
    from aman.sheets.own import read_csv

    folder, out = new_clip(tmp_path / "clip"), tmp_path / "out.csv"
    code, said = call_job(predict, model, folder, "--csv", out)
    assert code == 0
    table = read_csv(out, ("clip", "prediction", "rule", "remarks"))
    (row,) = table.to_dict("records")
    (whole,) = predicted(call_job, model, folder)["clips"]
    assert row["clip"] == str(folder) and [row[name] for name in read_model(model).about.classes] == pytest.approx(
        whole["probabilities"], rel=1e-12
    )
    assert f"{max(whole['probabilities']):.3f}" in said


OWN = (Path(__file__).parents[1] / "docs" / "add_a_method.md").read_text().split("```python\n")[1].split("```")[0]


@pytest.mark.slow
def test_a_model_of_a_users_own_method_needs_that_very_file(
    root: Path, store: Path, tmp_path: Path, call_job: Call
) -> None:
    file, out, folder = tmp_path / "difference.py", tmp_path / "own.safetensors", new_clip(tmp_path / "clip")
    file.write_text(
        OWN.replace(
            "Images()",
            "Images(source=Interpolated(source=Aligned(align='none')), magnifier='linear',"
            " grid_frames=20, grid_factors=5)",
        ).replace(
            "from aman.inputs.images import Images",
            "from aman.inputs.aligned import Aligned\nfrom aman.inputs.images import Images\n"
            "from aman.inputs.interpolated import Interpolated",
        )
    )
    words = ("--root", root, "--store", store, "--here", "--out", out, "--method", file, "--epochs", 1)
    code, said = call_job(train, *words)
    assert code == 0, said
    assert predicted(call_job, out, folder, "--method", file)["method"] == "difference"
    code, said = call_job(predict, out, folder)
    assert code == 2 and "add --method FILE.py" in said
    file.write_text(file.read_text().replace("optim.Adam", "optim.NAdam"))
    code, said = call_job(predict, out, folder, "--method", file)
    assert code == 4 and "the method difference: the code is not that of the training" in said


def test_a_plan_of_a_training_starts_nothing(root: Path, tmp_path: Path, call_job: Call) -> None:
    out = tmp_path / "model.safetensors"
    code, said = call_job(train, "--root", root, "--store", tmp_path / "s", "--plan", "--out", out, *TINY_OPTIONS)
    assert code == 0 and "one training on all clips: to do" in said and not out.exists()
    code, said = call_job(train, "--root", root, "--store", tmp_path / "s", "--here", "--out", tmp_path / "model.txt")
    assert code == 2 and "ends in .safetensors" in said


def test_no_path_of_the_training_machine_but_that_of_a_named_file_is_in_a_model(model: Path, root: Path) -> None:
    about = asdict(read_model(model).about)
    assert str(root.parent) not in json.dumps(about) and str(Path.home()) not in json.dumps(about)
