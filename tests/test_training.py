"""A fold: the same seed gives the same network, and the subject that is left out gives nothing to it."""

import copy
import os
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aman.backbone import FrozenTrunk, digest, fresh_layer4, load_trunk
from aman.methods import variant
from aman.methods.aman import METHOD
from aman.models.aman import AMAN, Output
from aman.models.settings import RECIPES, Model, Preparation, Settings, Training
from aman.training import FoldResult, FoldTask, neural
from aman.training.fold import Rows, fold_seed
from aman.training.neural import batches, predict, train_step

CLIPS, N, K, Y = 6, 2, 2, 3

SMALL = Settings(
    preparation=Preparation(frozen="layer3", grid_frames=N, grid_factors=K),
    model=Model(n=N, k=K),
    training=Training(epochs=2, batch=4),
)
"""layer4 is trained: what every fold of the paper does, on features of 4x4."""
LIGHT = variant(SMALL, frozen="layer4")
"""Attentions and classifier alone: a fold of milliseconds."""


def task_of(seed: int = 0, **changes: Any) -> FoldTask:
    task = FoldTask(
        subject="casme2/01",
        train_clips=tuple(f"casme2/sub02/EP{i:02d}_01" for i in range(CLIPS)),
        train_labels=tuple(i % Y for i in range(CLIPS)),
        test_clips=("casme2/sub01/EP01_01", "casme2/sub01/EP02_01"),
        classes=Y,
        seed=seed,
    )
    return replace(task, **changes)


def cached(count: int, seed: int, frozen: str = "layer3") -> torch.Tensor:
    """x_MNKCHW fp16, as it lies in the cache."""
    shape = (512, 1, 1) if frozen == "layer4" else (256, 4, 4)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, N, K, *shape, generator=generator).relu().half()


def build(recipe: Settings, classes: int, seed: int) -> AMAN:
    """AMAN before its first step."""
    model = neural.build(METHOD, recipe, classes, seed)
    assert isinstance(model, AMAN)
    return model


def train_fold(x_train: torch.Tensor, x_test: torch.Tensor, task: FoldTask, recipe: Settings) -> FoldResult:
    """A fold as a worker trains it: through the method of the recipe, which has one input."""
    return recipe.method.train([x_train], [x_test], task, recipe, None)


def different_numbers(one: FoldResult, other: FoldResult) -> float:
    """The largest difference of their probabilities."""
    return float(np.abs(np.array(one.probabilities) - np.array(other.probabilities)).max())


@pytest.fixture(scope="module")
def honest() -> FoldResult:
    """A fold of `SMALL` on six clips and two of the left-out subject."""
    torch.manual_seed(1)
    return train_fold(cached(CLIPS, 1), cached(2, 2), task_of(), SMALL)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_network_and_predictions(honest: FoldResult) -> None:
    torch.manual_seed(2)  # what came before in the process does not matter
    torch.rand(5)
    second = train_fold(cached(CLIPS, 1), cached(2, 2), task_of(), SMALL)
    assert replace(second, seconds=0) == replace(honest, seconds=0)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [SMALL, LIGHT], ids=["layer4 trained", "all frozen"])
def test_clips_gathered_from_those_of_a_database_train_the_same_network(recipe: Settings) -> None:
    x_train, x_test = (cached(*of, recipe.preparation.frozen) for of in ((CLIPS, 1), (2, 2)))
    together = torch.cat([x_test, x_train.flip(0)])
    train, test = Rows(together, range(CLIPS + 1, 1, -1)), Rows(together, [0, 1])
    apart = METHOD.train([train], [test], task_of(), recipe, None)
    assert replace(apart, seconds=0) == replace(train_fold(x_train, x_test, task_of(), recipe), seconds=0)


@pytest.mark.parametrize("standardise", [True, False])
def test_features_that_no_step_changes_are_computed_once_with_equal_bits(
    standardise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = variant(LIGHT, standardise=standardise)
    x_train, x_test = (cached(*of, "layer4") for of in ((CLIPS, 1), (2, 2)))
    seen: list[int] = []
    features = AMAN.features

    def counted(model: AMAN, x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return features(model, x)

    monkeypatch.setattr(AMAN, "features", counted)
    once = train_fold(x_train, x_test, task_of(), recipe)
    assert seen == [CLIPS, 2]
    monkeypatch.setattr(type(METHOD), "ahead", lambda method, model, settings, x: x)
    every_step = train_fold(x_train, x_test, task_of(), recipe)
    assert len(seen) == 2 + 2 * (2 + 1)  # two steps and a prediction an epoch
    assert replace(once, seconds=0) == replace(every_step, seconds=0)


@pytest.mark.slow
def test_bf16_trains_another_network_that_says_nearly_the_same(honest: FoldResult) -> None:
    in_bf16 = train_fold(cached(CLIPS, 1), cached(2, 2), task_of(), variant(SMALL, precision="bf16"))
    assert in_bf16.weights_sha256 != honest.weights_sha256
    assert 0 < different_numbers(in_bf16, honest) < 0.1
    fixed = [
        train_fold(cached(CLIPS, 1, "layer4"), cached(2, 2, "layer4"), task_of(), one).weights_sha256
        for one in (LIGHT, variant(LIGHT, precision="bf16"))
    ]
    assert fixed[0] == fixed[1]  # no stage is trained, and what follows is fp32


def test_another_seed_gives_another_network() -> None:
    x, y = cached(CLIPS, 1, "layer4"), cached(2, 2, "layer4")
    results = [train_fold(x, y, task_of(seed), LIGHT) for seed in (0, 1)]
    assert results[0].weights_sha256 != results[1].weights_sha256
    assert results[0].losses != results[1].losses


def test_every_fold_has_a_seed_of_its_own() -> None:
    seeds = {fold_seed(seed, subject) for seed in range(3) for subject in ("casme2/01", "casme2/02", "samm/01")}
    assert len(seeds) == 9
    assert fold_seed(0, "casme2/01") == fold_seed(0, "casme2/01")
    x, y = cached(CLIPS, 1, "layer4"), cached(2, 2, "layer4")
    folds = [train_fold(x, y, task_of(subject=subject), LIGHT) for subject in ("casme2/01", "casme2/02")]
    assert folds[0].weights_sha256 != folds[1].weights_sha256


def test_other_training_clips_or_labels_give_another_network() -> None:
    x, y = cached(CLIPS, 1, "layer4"), cached(2, 2, "layer4")
    results = [
        train_fold(x, y, task_of(), LIGHT),
        train_fold(cached(CLIPS, 9, "layer4"), y, task_of(), LIGHT),
        train_fold(x, y, task_of(train_labels=(2, 1, 0, 2, 1, 0)), LIGHT),
    ]
    assert len({result.weights_sha256 for result in results}) == 3


def test_the_left_out_subject_cannot_matter(honest: FoldResult) -> None:
    noise = 50 * torch.randn(5, N, K, 256, 4, 4, generator=torch.Generator().manual_seed(3)).half()
    other = train_fold(cached(CLIPS, 1), noise, task_of(test_clips=tuple("abcde")), SMALL)
    assert other.weights_sha256 == honest.weights_sha256
    assert other.losses == honest.losses
    assert other.probabilities[:2] != honest.probabilities


def test_a_trainer_is_given_no_label_of_the_left_out_subject() -> None:
    assert {field.name for field in fields(FoldTask)} == {
        "subject",
        "train_clips",
        "train_labels",
        "test_clips",
        "classes",
        "seed",
        "train_subjects",
    }
    with pytest.raises(TypeError):
        task_of(test_labels=(0, 1))


def test_a_result_has_a_row_for_every_left_out_clip_in_its_order() -> None:
    x_test = cached(5, 2, "layer4")
    result = train_fold(cached(CLIPS, 1, "layer4"), x_test, task_of(test_clips=tuple("edcba")), LIGHT)
    assert result.subject == "casme2/01"
    assert result.clips == tuple("edcba")
    assert np.shape(result.probabilities) == (5, Y)
    assert np.sum(result.probabilities, axis=1) == pytest.approx(1)
    assert set(result.extras) == {"alpha", "beta"}
    assert np.shape(result.extras["alpha"]) == (5, N, K)
    assert np.shape(result.extras["beta"]) == (5, N)
    assert np.shape(result.epoch_classes) == (2, 5)
    assert result.epoch_classes[-1] == np.argmax(result.probabilities, axis=1).tolist()
    swapped = train_fold(cached(CLIPS, 1, "layer4"), x_test.flip(0), task_of(test_clips=tuple("abcde")), LIGHT)
    np.testing.assert_allclose(swapped.probabilities[::-1], result.probabilities, rtol=1e-5)


class EndToEnd(nn.Module):
    """Images to scores with the frozen trunk inside the loop: what the cache saves."""

    def __init__(self, trunk: FrozenTrunk, aman: AMAN, at_once: int) -> None:
        super().__init__()
        self.trunk, self.aman, self.at_once = trunk, aman, at_once

    def forward(self, image_BNKCHW: torch.Tensor) -> Output:
        B, n, k = image_BNKCHW.shape[:3]
        rows = [self.trunk(part) for part in image_BNKCHW.flatten(0, 2).split(self.at_once)]
        return self.aman(torch.cat(rows).unflatten(0, (B, n, k)))


def steps_of(model: nn.Module, x: torch.Tensor, labels: torch.Tensor, recipe: Settings, seed: int) -> list[float]:
    """The loss of every step of a training, the loop written out."""
    training = recipe.training
    per_epoch = -(-len(labels) // training.batch)
    optimiser, schedule = METHOD.optimiser(model, Settings(training=training), per_epoch * training.epochs)
    losses: list[float] = []
    for chosen in batches(len(labels), training.batch, training.epochs, seed):
        model.train()
        losses.append(float(train_step(METHOD, model, optimiser, [x[chosen]], labels[chosen])))
        schedule.step()
    return losses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at_once", "changes"),
    [
        (K, {}),
        # Another batch of the trunk has other last bits, of which statistics of eight values and AdamW make much.
        (1000, {"bn": "frozen", "layer4_init": "pretrained", "rate": 2e-5}),
    ],
    ids=["a frame at a time, as they are cached", "the batch at once"],
)
def test_cached_features_train_like_images_with_the_trunk_in_the_loop(at_once: int, changes: dict[str, Any]) -> None:
    recipe = variant(SMALL, epochs=3, **changes)
    images = torch.rand(CLIPS, N, K, 3, 8, 8, generator=torch.Generator().manual_seed(5)) * 255
    images = images.repeat_interleave(8, dim=-1).repeat_interleave(8, dim=-2)
    labels = torch.tensor(task_of().train_labels)
    trunk = FrozenTrunk(load_trunk("random"), "layer3")
    with torch.no_grad():
        x = torch.cat([trunk(part) for part in images.flatten(0, 2).split(K)]).unflatten(0, (CLIPS, N, K))
    seed = fold_seed(0, "casme2/01")
    from_cache = steps_of(build(recipe, Y, seed), x, labels, recipe, seed)
    from_images = steps_of(EndToEnd(trunk, build(recipe, Y, seed), at_once), images, labels, recipe, seed)
    assert len(from_cache) == 6
    assert from_cache[:5] == pytest.approx(from_images[:5], abs=1e-5)
    assert np.ptp(from_cache) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [variant(SMALL, epochs=3), variant(LIGHT, epochs=3), variant(LIGHT, epochs=3, optimiser="rmsprop")],
    ids=["layer4", "attentions", "attentions, rmsprop"],
)
def test_losses_of_a_fold_are_means_over_the_clips_of_an_epoch(recipe: Settings) -> None:
    frozen = recipe.preparation.frozen
    x, labels = cached(CLIPS, 1, frozen), torch.tensor(task_of().train_labels)
    seed = fold_seed(0, "casme2/01")
    model = build(recipe, Y, seed)
    METHOD.begin(model, recipe, [x])
    steps = steps_of(model, x, labels, recipe, seed)
    means = [(4 * a + 2 * b) / 6 for a, b in zip(steps[::2], steps[1::2], strict=True)]
    assert train_fold(x, cached(2, 2, frozen), task_of(), recipe).losses == pytest.approx(means, rel=1e-5)


@pytest.mark.slow
def test_the_trained_trunk_of_a_fold_is_not_that_of_the_next() -> None:
    before = digest(build(SMALL, Y, 0))
    train_fold(cached(CLIPS, 1), cached(2, 2), task_of(), SMALL)
    assert digest(build(SMALL, Y, 0)) == before


def test_layer4_starts_fresh_or_from_the_trunk() -> None:
    trunk = digest(load_trunk("random").get_submodule("layer4"))

    def layer4(init: str, seed: int) -> str:
        return digest(build(variant(SMALL, layer4_init=init, trunk="random"), Y, seed).head.stages[0])

    assert layer4("pretrained", 1) == layer4("pretrained", 2) == trunk
    assert len({layer4("random", 1), layer4("random", 2), trunk}) == 3
    assert layer4("random", 1) == layer4("random", 1)


def test_fresh_layer4_is_started_as_torchvision_does_and_nothing_else_is() -> None:
    network = load_trunk("random")
    before = copy.deepcopy(network.state_dict())
    fresh_layer4(network)
    for name, tensor in network.state_dict().items():
        if not name.startswith("layer4."):
            assert torch.equal(tensor, before[name])
        elif name.endswith(("running_mean", ".bias")):
            assert not tensor.any()
        elif name.endswith("running_var") or tensor.ndim == 1:
            assert (tensor == 1).all()
        elif tensor.ndim == 4:
            assert not torch.equal(tensor, before[name])
            deviation = (2 / (tensor.shape[0] * tensor.shape[2] * tensor.shape[3])) ** 0.5
            assert float(tensor.std()) == pytest.approx(deviation, rel=0.02)


def rates(training: Training, per_epoch: int) -> np.ndarray:
    """Learning rate of every step, epoch by step."""
    model = nn.Linear(2, 2)
    optimiser, schedule = METHOD.optimiser(model, Settings(training=training), per_epoch * training.epochs)
    found = []
    for _ in range(per_epoch * training.epochs):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return np.array(found).reshape(training.epochs, per_epoch)


@pytest.mark.parametrize("per_epoch", [1, 7, 61])
def test_the_official_recipe_lowers_its_rate_after_thirty_epochs(per_epoch: int) -> None:
    found = rates(RECIPES["official"].training, per_epoch)
    assert found[:30] == pytest.approx(1e-3)
    assert found[30:] == pytest.approx(2e-4)
    assert len(found) == 50


def test_the_official_optimiser_is_that_of_the_authors() -> None:
    optimiser, _ = METHOD.optimiser(nn.Linear(2, 2), RECIPES["official"], 50)
    assert isinstance(optimiser, torch.optim.RMSprop)
    group = optimiser.param_groups[0]
    assert (group["lr"], group["eps"], group["weight_decay"], group["momentum"]) == (1e-3, 1e-8, 1e-4, 0)


def test_the_default_recipe_lowers_its_rate_along_a_cosine() -> None:
    found = rates(Training(rate=0.5, epochs=10), 4).ravel()
    assert found[0] == 0.5
    assert found[20] == pytest.approx(0.25)
    assert 0 < found[-1] < 0.005
    assert (np.diff(found) < 0).all()


def test_every_epoch_sees_every_clip_once_in_another_order() -> None:
    seen = list(batches(10, 4, 3, seed=1))
    assert [len(batch) for batch in seen] == [4, 4, 2] * 3
    epochs = [torch.cat(seen[i : i + 3]).tolist() for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert torch.cat(list(batches(10, 4, 3, seed=2))).tolist() != torch.cat(seen).tolist()


def test_the_loss_is_plain_cross_entropy_before_the_step() -> None:
    model = build(LIGHT, Y, 0)
    x, labels = cached(4, 1, "layer4"), torch.tensor([0, 1, 2, 0])
    wanted = float(F.cross_entropy(model(x.float()).logits_BY, labels).detach())
    optimiser, _ = METHOD.optimiser(model, LIGHT, 1)
    before = digest(model)
    assert float(train_step(METHOD, model, optimiser, [x], labels)) == pytest.approx(wanted, rel=1e-6)
    assert digest(model) != before
    assert train_step(METHOD, model, optimiser, [x], labels) < wanted


def test_a_loss_that_is_no_number_ends_the_fold_by_its_name() -> None:
    x = cached(CLIPS, 1, "layer4")
    x[3, 1, 0, 7] = float("nan")
    with pytest.raises(FloatingPointError, match="casme2/01"):
        train_fold(x, cached(2, 2, "layer4"), task_of(), LIGHT)


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "rate", "epochs"), [(SMALL, 1e-4, 6), (LIGHT, 1e-2, 40)])
def test_a_problem_that_can_be_learned_is_learned(recipe: Settings, rate: float, epochs: int) -> None:
    frozen = recipe.preparation.frozen
    channels = 512 if frozen == "layer4" else 256

    def of_classes(labels: list[int], seed: int) -> torch.Tensor:
        x = cached(len(labels), seed, frozen).float()
        for row, label in zip(x, labels, strict=True):
            row[:, :, label * (channels // Y) : (label + 1) * (channels // Y)] += 2
        return x.half()

    task = task_of(train_labels=(0, 1, 2, 0, 1, 2), test_clips=tuple("abcd"))
    x_train, x_test = of_classes(list(task.train_labels), 1), of_classes([2, 0, 1, 1], 2)
    result = train_fold(x_train, x_test, task, variant(recipe, rate=rate, epochs=epochs, batch=6))
    assert len(result.losses) == epochs
    assert result.losses[-1] < 0.2 * result.losses[0]
    assert result.epoch_classes[-1] == [2, 0, 1, 1]


def test_prediction_changes_nothing_and_goes_clip_by_clip() -> None:
    model, x = build(SMALL, Y, 0), cached(3, 4)
    before = digest(model)
    model.train()
    all_at_once, together = predict(METHOD, model, [x], 8)
    one_by_one, apart = predict(METHOD, model, [x], 1)
    assert digest(model) == before
    assert set(together) == set(apart) == {"alpha", "beta"}
    for mine, other in ((all_at_once, one_by_one), *((together[name], apart[name]) for name in together)):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


def test_every_step_of_every_epoch_is_made_in_training_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def watched(method: Any, model: nn.Module, *rest: Any) -> torch.Tensor:
        modes.append(model.training)
        return train_step(method, model, *rest)

    monkeypatch.setattr("aman.training.neural.train_step", watched)
    train_fold(cached(CLIPS, 0, "layer4"), cached(2, 1, "layer4"), task_of(), variant(LIGHT, epochs=3))
    assert modes == [True] * 6


def test_kernels_are_deterministic_in_a_fold_unless_the_fastest_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[tuple[bool, bool]] = []

    def now() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark

    def watched(*given: Any) -> torch.Tensor:
        modes.append(now())
        return train_step(*given)

    monkeypatch.setattr("aman.training.neural.train_step", watched)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    neural.be_deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.utils.deterministic.fill_uninitialized_memory  # pyrefly: ignore[missing-attribute]
    for kernels, wanted in (("deterministic", (True, False)), ("fastest", (False, True))):
        recipe = variant(LIGHT, kernels=kernels, epochs=1)
        train_fold(cached(CLIPS, 0, "layer4"), cached(2, 1, "layer4"), task_of(), recipe)
        assert modes == [wanted] * 2 and now() == (True, False)
        modes.clear()


def test_results_of_the_fastest_kernels_have_keys_of_their_own() -> None:
    parts = [METHOD.key_parts(variant(LIGHT, kernels=one), {"trunk": "t"}) for one in ("deterministic", "fastest")]
    assert parts[1]["training"] == {**parts[0]["training"], "kernels": "fastest"}  # pyrefly: ignore[invalid-argument]
