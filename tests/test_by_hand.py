"""AMAN's written-out gradients and its joined optimiser give a fold the bits of autograd and torch's optimiser."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_ststnet import Kept

from aman.backbone import Head, fresh_layer4, load_trunk
from aman.methods import variant
from aman.methods.aman import METHOD
from aman.models import aman as network
from aman.models import by_hand
from aman.models.aman import AMAN
from aman.models.settings import Model, Preparation, Settings, Training
from aman.training import FoldResult, FoldTask, neural

N, K, Y = 3, 4, 3
PLAIN = Settings(
    preparation=Preparation(trunk="random", frozen="layer4", grid_frames=N, grid_factors=K),
    model=Model(n=N, k=K),
    training=Training(rate=1e-2, epochs=5, batch=4),
)
"""Of its 9 clips the last batch of an epoch has one."""
TASK = FoldTask(
    subject="1",
    classes=Y,
    seed=0,
    train_clips=tuple("abcdefghi"),
    train_labels=(0, 1, 2, 0, 1, 2, 0, 1, 1),
    test_clips=("x", "y"),
)
OTHERS: dict[str, dict[str, Any]] = {
    "layer4 is trained": {"frozen": "layer3"},
    "no attention over frames": {"attention": "ma"},
    "no attention over levels": {"attention": "fa"},
    "scores with a bias": {"attention_bias": True},
}


def cached(clips: int, seed: int) -> torch.Tensor:
    """x_MNKCHW of a frozen trunk."""
    return torch.randn(clips, N, K, 512, 1, 1, generator=torch.Generator().manual_seed(seed)).relu().half()


def fold(settings: Settings, keeper: Any = None) -> FoldResult:
    found = METHOD.train([cached(9, 1)], [cached(2, 2)], TASK, settings, keeper)
    return replace(found, seconds=0)


@pytest.mark.parametrize("size", [1, 1e3], ids=["usual", "saturated"])
@pytest.mark.parametrize(
    "shape", [(8, 3, 6, 5), (1, 1, 1, 2), (16, 3, 9, 7), (5, 11, 9, 3), (2, 1, 11, 3), (3, 20, 1, 5)], ids=str
)
def test_loss_and_gradients_have_the_bits_of_autograd(shape: tuple[int, ...], size: float) -> None:
    clips, frames, levels, classes = shape
    model = neural.build(METHOD, PLAIN, classes, 0)
    assert isinstance(model, AMAN) and by_hand.can_differentiate(model)
    x = torch.randn(clips, frames, levels, 512, generator=torch.Generator().manual_seed(3)) * size
    labels = torch.arange(clips) % classes
    loss = METHOD.loss(model(x), labels, PLAIN, None)
    loss.backward()
    wanted = [one.grad.clone() for one in model.parameters() if one.grad is not None]
    assert len(wanted) == 4 and (size > 1 or sum(bool(one.any()) for one in wanted) > 1)
    assert torch.equal(by_hand.differentiate(model, x, labels), loss)
    for one, other in zip(model.parameters(), wanted, strict=True):
        assert one.grad is not None and torch.equal(one.grad, other)


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("optimiser", ["adamw", "rmsprop"])
@pytest.mark.parametrize("at_most", [2**29, 0], ids=["features once a fold", "features in every step"])
def test_a_fold_by_hand_is_the_fold_by_autograd(
    standardise: bool, optimiser: str, at_most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "AHEAD_AT_MOST", at_most)
    settings = variant(PLAIN, standardise=standardise, optimiser=optimiser)
    counted = []
    step = by_hand.differentiate
    monkeypatch.setattr(by_hand, "differentiate", lambda *given: counted.append(1) or step(*given))
    found = fold(settings)
    assert len(counted) == 5 * 3  # epochs, batches of 4, 4 and 1
    monkeypatch.setattr(by_hand, "can_differentiate", lambda model: False)
    assert fold(settings) == found
    assert len(counted) == 5 * 3


@pytest.mark.parametrize("other", list(OTHERS))
def test_other_networks_are_left_to_autograd(other: str) -> None:
    assert not by_hand.can_differentiate(neural.build(METHOD, variant(PLAIN, **OTHERS[other]), Y, 0))


@pytest.mark.parametrize("optimiser", ["adamw", "rmsprop"])
@pytest.mark.parametrize("first_by_hand", [True, False])
def test_a_fold_goes_on_from_a_state_of_either_way(
    optimiser: str, first_by_hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neural, "KEEP_SECONDS", -1.0)
    settings, by = variant(PLAIN, optimiser=optimiser), by_hand.can_differentiate
    monkeypatch.setattr(by_hand, "can_differentiate", lambda model: first_by_hand and by(model))
    first = Kept()
    whole = fold(settings, first)
    assert len(first.states) == 4
    monkeypatch.setattr(by_hand, "can_differentiate", lambda model: not first_by_hand and by(model))
    for state in first.states:
        assert fold(settings, Kept(state)) == whole


def test_a_frozen_trunk_leaves_the_first_weights_as_a_whole_network_would() -> None:
    for start in ("random", "authors", "pretrained"):
        settings = variant(PLAIN, layer4_init=start)
        torch.manual_seed(7)
        whole = load_trunk("random")
        if start != "pretrained":
            fresh_layer4(whole, as_authors=start == "authors")
        wanted = AMAN(Head(whole, "layer4"), settings.model, Y).state_dict()
        found = neural.build(METHOD, settings, Y, 7).state_dict()
        assert list(found) == list(wanted) and all(torch.equal(found[name], wanted[name]) for name in wanted)
