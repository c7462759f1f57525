"""STSTNet: its network against the literal three streams, and its folds."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from aman.errors import UsageError
from aman.inputs import ClipFacts, keys_of
from aman.methods import FoldResult, FoldTask, find, names, settings_of, variant
from aman.methods.ststnet import METHOD, Settings, network
from aman.training import neural
from aman.training.eager import eager
from aman.training.fitted import Fitted

CLASSES = 3
SHORT = variant(Settings(), epochs=6, batch=8, rate=5e-3)


class ThreeStreams(nn.Module):
    """The network as the paper's Table I draws it."""

    def __init__(self, classes: int, padding: int = 1) -> None:
        super().__init__()
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, filters, 3, padding=padding),
                nn.ReLU(),
                nn.BatchNorm2d(filters),
                nn.MaxPool2d(3, 3, padding=1),
                nn.Dropout(0.5),
            )
            for filters in (3, 5, 8)
        )
        self.pool = nn.AvgPool2d(2, 2)
        self.dense = nn.Linear(16 * 5 * 5, classes)

    def forward(self, x_BCHW: torch.Tensor) -> Any:
        return self.dense(self.pool(torch.cat([stream(x_BCHW) for stream in self.streams], dim=1)).flatten(1))


def copied(streams: ThreeStreams, classes: int, padding: int = 1) -> Any:
    """Our network with the weights of the three streams."""
    ours = network(classes, padding)
    state = ours.state_dict()
    for name in state:
        layer, _, what = name.partition(".")
        if layer == "7":
            state[name] = streams.state_dict()[f"dense.{what}"]
        elif what != "num_batches_tracked":
            state[name] = torch.cat([streams.state_dict()[f"streams.{i}.{layer}.{what}"] for i in range(3)])
    ours.load_state_dict(state)
    return ours


def pictures(count: int, seed: int) -> torch.Tensor:
    """x_MCHW in 0..255."""
    return torch.rand(count, 3, 28, 28, generator=torch.Generator().manual_seed(seed)) * 255


def taught(labels: list[int], seed: int) -> torch.Tensor:
    """x_MCHW in 0..255 whose class shows: each class is bright in a place of its own."""
    x = 0.4 * pictures(len(labels), seed)
    for row, label in enumerate(labels):
        x[row, :, 9 * label : 9 * label + 8, 4:24] += 150
    return x


TRAIN_LABELS = [i % CLASSES for i in range(20)]
TASK = FoldTask(
    subject="casme2/01",
    train_clips=tuple(f"casme2/sub02/EP{i:02d}" for i in range(20)),
    train_labels=tuple(TRAIN_LABELS),
    test_clips=("casme2/sub01/EP01", "casme2/sub01/EP02", "casme2/sub01/EP03"),
    classes=CLASSES,
    seed=0,
)


def fold(settings: Settings = SHORT, *, x_test: torch.Tensor | None = None, keeper: Any = None) -> FoldResult:
    test = taught([0, 1, 2], 2) if x_test is None else x_test
    return METHOD.train([taught(TRAIN_LABELS, 1)], [test], TASK, settings, keeper)


def parameters(classes: int) -> int:
    return sum(one.numel() for one in network(classes).parameters())


def test_the_network_is_as_large_as_the_public_port_of_it() -> None:
    assert parameters(3) == 1_683
    assert parameters(5) == 2_485


@pytest.mark.parametrize(("mode", "padding"), [("prediction", 1), ("training", 1), ("training", 2)])
def test_one_convolution_of_16_filters_is_the_three_streams_side_by_side(mode: str, padding: int) -> None:
    torch.manual_seed(0)
    streams = ThreeStreams(CLASSES, padding)
    for stream in streams.streams:  # no batch norm is the identity
        nn.init.normal_(stream[2].weight)  # pyrefly: ignore[bad-index]
        nn.init.normal_(stream[2].bias)  # pyrefly: ignore[bad-index]
    ours = copied(streams, CLASSES, padding)
    x = pictures(12, 0)
    for one in (streams, ours):
        one.train(mode == "training")
        for part in one.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
    expected, got = streams(x), ours(x)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    expected.square().sum().backward()
    got.square().sum().backward()
    gradient = torch.cat([stream[0].weight.grad for stream in streams.streams])  # pyrefly: ignore[bad-index]
    torch.testing.assert_close(ours[0].weight.grad, gradient, rtol=1e-3, atol=1e-2)
    for what in ("running_mean", "running_var"):
        norms = torch.cat([getattr(stream[2], what) for stream in streams.streams])  # pyrefly: ignore[bad-index]
        torch.testing.assert_close(getattr(ours[2], what), norms)


def test_half_of_each_filters_pooled_places_drop_out_in_training_alone() -> None:
    ours = network(CLASSES)
    x = pictures(8, 0)
    up_to_dropout = ours[:5]
    kept = (up_to_dropout.train()(x) != 0).float().mean()
    assert 0.4 < float(kept) < 0.6
    ours.eval()
    torch.testing.assert_close(ours(x), ours(x), rtol=0, atol=0)


def test_the_padding_of_the_public_port_leaves_a_map_of_equal_size() -> None:
    x = pictures(2, 0)
    assert ThreeStreams(CLASSES, padding=2).streams[0](x).shape[2:] == network(CLASSES)[:5](x).shape[2:] == (10, 10)


def test_a_fold_learns_what_shows_and_predicts_the_clips_that_were_left_out() -> None:
    result = fold(variant(SHORT, epochs=40, rate=1e-3))
    assert result.epoch_classes[-1] == [0, 1, 2]
    assert result.losses[-1] < 0.5 * result.losses[0]
    assert result.clips == TASK.test_clips
    assert len(result.losses) == len(result.epoch_classes) == 40
    assert [sum(row) for row in result.probabilities] == pytest.approx([1, 1, 1])


def test_noise_in_place_of_the_left_out_clips_changes_nothing_that_is_fitted() -> None:
    honest, noise = fold(), fold(x_test=pictures(3, 99))
    assert noise.weights_sha256 == honest.weights_sha256
    assert noise.losses == honest.losses
    assert noise.probabilities != honest.probabilities


def test_a_fold_gives_equal_bits_twice_and_others_with_another_seed() -> None:
    one, again = fold(), fold()
    assert replace(one, seconds=0) == replace(again, seconds=0)
    other = METHOD.train([taught(TRAIN_LABELS, 1)], [taught([0, 1, 2], 2)], replace(TASK, seed=1), SHORT, None)
    assert other.weights_sha256 != one.weights_sha256


class Kept:
    """Keeps each state that a fold gives, in memory."""

    wants_weights = False

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.states = [] if state is None else [state]

    def load(self) -> dict[str, Any] | None:
        return self.states[-1] if self.states else None

    def save(self, state: dict[str, Any]) -> None:
        self.states.append(copy.deepcopy(state))

    def fitted(self, fitted: Fitted) -> None:
        self.states.append(dict(fitted.arrays))


@pytest.mark.parametrize("after", [0, 2, 4])
def test_an_interrupted_fold_comes_out_equal_dropout_included(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neural, "KEEP_SECONDS", 0.0)
    keeper = Kept()
    whole = fold(keeper=keeper)
    assert len(keeper.states) == SHORT.training.epochs - 1
    torch.manual_seed(12345)  # another worker has another generator
    state = copy.deepcopy(keeper.states[after])
    assert len(state["losses"]) == after + 1
    resumed = fold(keeper=Kept(state))
    assert replace(resumed, seconds=0) == replace(whole, seconds=0)


def test_a_fold_that_loses_the_state_of_its_generator_comes_out_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proof that the test above can fail: dropout does draw from that generator."""
    monkeypatch.setattr(neural, "KEEP_SECONDS", 0.0)
    keeper = Kept()
    whole = fold(keeper=keeper)
    resumed = fold(keeper=Kept({**copy.deepcopy(keeper.states[2]), "random": None}))
    assert resumed.weights_sha256 != whole.weights_sha256


def test_the_method_is_found_by_its_name_and_has_the_papers_settings() -> None:
    assert "ststnet" in names()
    assert find("ststnet") is METHOD
    assert Settings.method == METHOD
    assert settings_of(Settings()) == {
        "align": "landmarks",
        "landmark_model": "",
        "apex": "sheet",
        "flow": "tvl1",
        "scale": "minmax",
        "padding": 1,
        "rate": 5e-5,
        "epochs": 500,
        "batch": 256,
        "order": "drawn",
    }
    optimiser, schedule = METHOD.optimiser(network(CLASSES), Settings(), 10)
    assert type(optimiser) is eager(torch.optim.Adam)
    assert optimiser.param_groups[0]["lr"] == 5e-5
    assert schedule is None


def test_its_input_is_the_small_picture_of_the_flow() -> None:
    (one,) = METHOD.inputs(Settings())
    assert one.name == "flow-small"
    assert METHOD.shapes(Settings()) == ((3, 28, 28),)


def test_settings_of_the_picture_rename_the_input_and_settings_of_the_training_the_fold() -> None:
    facts = ClipFacts(digests=("a", "b"), onset=1, apex=2, offset=2, weights={"landmark_model": ""})

    def keys(**changes: Any) -> tuple[str, dict[str, object]]:
        settings = variant(Settings(), **{"align": "none", **changes})
        (last,) = METHOD.inputs(settings)
        return keys_of((last,), facts)[last], METHOD.key_parts(settings, {})

    picture, training = keys()
    changes: dict[str, Any]
    for changes in ({"flow": "dis"}, {"scale": "none"}):
        of_picture, _ = keys(**changes)
        assert of_picture != picture
    assert not {"order", "padding"} & set(training["settings"])  # pyrefly: ignore[bad-argument-type]
    for changes in ({"epochs": 800}, {"rate": 1e-4}, {"batch": 32}, {"order": "by-class"}, {"padding": 2}):
        of_picture, of_training = keys(**changes)
        assert of_picture == picture
        assert of_training != training


def test_the_recipe_of_the_port_sees_the_clips_class_by_class_in_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    port = find("ststnet").recipes["port"]
    assert settings_of(port) == settings_of(Settings()) | {"order": "by-class", "padding": 2, "epochs": 800}
    seen: list[list[int]] = []
    step = neural.train_step

    def watched(method: Any, model: Any, optimiser: Any, x: Any, labels_B: torch.Tensor, *more: Any) -> Any:
        seen.append(labels_B.tolist())
        return step(method, model, optimiser, x, labels_B, *more)

    monkeypatch.setattr(neural, "train_step", watched)
    fold(variant(port, epochs=2, batch=8))
    assert seen == 2 * [[0] * 7 + [1], [1] * 6 + [2] * 2, [2] * 4]
    seen.clear()
    fold(variant(port, order="drawn", epochs=2, batch=8))
    assert seen[:3] != seen[3:]
    assert sorted(label for batch in seen[:3] for label in batch) == sorted(TRAIN_LABELS)


def test_the_landmark_model_is_an_absolute_path_for_workers_and_enters_no_key_of_a_fold(tmp_path: Path) -> None:
    settings: Settings = METHOD.absolute(variant(Settings(), landmark_model="model.dat"))
    assert Path(settings.alignment.landmark_model).is_absolute()
    assert "model.dat" not in str(METHOD.key_parts(settings, {}))
    assert METHOD.absolute(Settings()) == Settings()


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"epochs": 0}, {"batch": 0}])
def test_a_setting_outside_its_range_is_refused_by_its_option(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        METHOD.check(variant(Settings(), **wrong))
    METHOD.check(Settings())


def test_an_estimate_times_steps_of_as_many_clips_as_a_fold_has_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    step = neural.train_step

    def counted(*given: Any) -> Any:
        seen.append(len(given[3][0]))
        return step(*given)

    monkeypatch.setattr(neural, "train_step", counted)
    seconds = METHOD.unit_seconds(Settings(), CLASSES)
    assert set(seen) == {256}
    assert len(seconds) == neural.TIMED_STEPS
    assert min(seconds) > 0
