"""What every method of the house must do with unusual clips, and what is said of each rival."""

import functools
import importlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moving import clip
from small import GREY, SMALL_METHODS, clip_of, small_recipe, write_image

from aman.errors import DataError
from aman.inputs import chain
from aman.inputs.aligned import Aligned, AlignedClip, Source
from aman.methods import FoldTask, Neural, find, names, variant
from aman.protocols import published

RIVALS = sorted(SMALL_METHODS.keys() - {"aman"})

CLIPS = {
    "still": ([0.0, 0.0, 0.0], 41),
    "still, no apex": ([0.0, 0.0, 0.0], None),
    "two frames": ([0.0, 1.0], 41),
    "two frames, no apex": ([0.0, 1.0], None),
    "no apex": ([0.0, 0.5, 1.0, 0.4], None),
    "the apex is the onset": ([0.0, 1.0, 0.5], 40),
}
"""Strength of the smile in each frame, and the number of the apex; the onset is frame 40."""


@functools.cache
def aligned(name: str) -> AlignedClip:
    strengths, apex = CLIPS[name]
    return clip(strengths, apex=apex)


def inputs_of(recipe: Any, name: str) -> Iterator[Any]:
    """What the recipe's method is given of a clip, after a stay in the store."""
    for last in recipe.method.inputs(recipe):
        value: Any = aligned(name)
        for stage in list(chain(last))[1:]:
            value = stage.make(value)
            if stage.kept:
                content = stage.pack(value)
                value = stage.unpack(content)
                assert stage.pack(value) == content
        assert value.shape == last.shape()
        assert np.isfinite(value).all()
        yield torch.from_numpy(value.copy())


@pytest.mark.parametrize("name", RIVALS)
def test_a_still_clip_a_clip_of_two_frames_and_a_missing_apex_are_clips_like_others(name: str) -> None:
    recipe: Any = variant(small_recipe(name), **({"apex": "frequency"} if name == "lgccond" else {}))
    x = [torch.stack(one) for one in zip(*(inputs_of(recipe, one) for one in CLIPS), strict=True)]
    task = FoldTask(
        subject="made/00",
        train_clips=tuple(CLIPS),
        train_labels=(0, 0, 1, 1, 1, 0),
        train_subjects=("made/01",) * 3 + ("made/02",) * 3,
        test_clips=("a", "b"),
        classes=3,
        seed=0,
    )
    result = recipe.method.train(x, [one[1:3] for one in x], task, recipe, None)
    assert np.isfinite(result.probabilities).all() and np.isfinite(result.losses).all()
    np.testing.assert_allclose(np.sum(result.probabilities, axis=1), 1)


def test_no_method_reads_frames_but_through_the_stage_that_refuses_a_clip_without_a_face(tmp_path: Path) -> None:
    for name in names():
        usual: Any = find(name).Settings()
        assert {next(chain(last)) for last in find(name).inputs(usual)} == {Aligned()}, name
    faceless = clip_of([write_image(tmp_path / f"img{at}.png", GREY) for at in (1, 2)])
    with pytest.raises(DataError, match=r"no face in .*img1\.png"):
        Aligned().make(Source(clip=faceless))


NOT_ON_A_GPU = (
    "AvgPool3",
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "Upsample",
    "ReflectionPad",
    "GridSampler",
    "NllLoss2d",
)
"""Beginnings of the names of gradients that no GPU computes deterministically, by torch's own list; a trainer that asks
for deterministic kernels would stop there."""


def gradients(output: torch.Tensor) -> set[str]:
    """Names of all gradients that lead back from an output."""
    seen, ahead, names = set(), [output.grad_fn], set()
    while ahead:
        one = ahead.pop()
        if one is not None and one not in seen:
            seen.add(one)
            names.add(one.name())
            ahead += [before for before, _ in one.next_functions]
    return names


@pytest.mark.parametrize("name", [name for name in sorted(SMALL_METHODS) if isinstance(find(name), Neural)])
def test_no_step_of_a_training_lacks_a_deterministic_gradient_on_a_gpu(name: str) -> None:
    recipe: Any = variant(small_recipe(name), **({"frozen": "none"} if name in ("apex-cnn", "geme") else {}))
    model = recipe.method.build(recipe, 3, 0).train()
    x = [torch.rand(3, *shape) for shape in recipe.method.shapes(recipe)]
    loss = recipe.method.loss(model(*x), torch.tensor([0, 1, 2]), recipe, torch.tensor([1, 1, 1]))
    found = gradients(loss)
    assert found and not {one for one in found if one.startswith(NOT_ON_A_GPU)}


def test_a_gradient_that_no_gpu_computes_deterministically_is_found() -> None:
    """Proof that the test above can fail."""
    x = torch.rand(2, 7, 3, 4, requires_grad=True)
    assert any(one.startswith(NOT_ON_A_GPU) for one in gradients(torch.nn.LocalResponseNorm(5)(x).sum()))


def weights_and_biases(inputs: int, outputs: int, side: int = 1) -> int:
    """Numbers of a convolution with biases, or of a dense layer."""
    return inputs * outputs * side**2 + outputs


HIDDEN = 32
"""Units of LGCconD's dense layers here: 4,096 take long to draw."""
ALEXNET = weights_and_biases(3, 96, 11) + weights_and_biases(48, 256, 5)
STREAM = sum(
    (
        weights_and_biases(64, 64, 3) * 2,
        weights_and_biases(64, 128, 3),
        weights_and_biases(128, 128, 3),
        2 * (3 * 64 + 2 * 128),
    )
)
"""TSCNN: a stream but for its first convolution, and its norms."""


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("off-apexnet", 3, 2_664_475),  # of the public port; the authors print 2.77 million
        ("ststnet", 3, 1_683),
        (
            "rcn-a",
            3,
            weights_and_biases(3, 64, 5)
            + weights_and_biases(64, 64)
            + weights_and_biases(64, 64, 3)
            + 3 * 2 * 64
            + weights_and_biases(64 * 7 * 7, 3),
        ),
        ("dssn", 5, 2 * ALEXNET + weights_and_biases(57_600, 5)),
        (
            "tscnn",
            5,
            3 * STREAM
            + sum(weights_and_biases(channels, 64, 5) for channels in (1, 16, 2))
            + weights_and_biases(384, 1024)
            + weights_and_biases(1024, 1024)
            + weights_and_biases(1024, 5),
        ),
        (
            "lgccond",
            5,
            weights_and_biases(256 * 49, HIDDEN)
            + weights_and_biases(HIDDEN, HIDDEN)
            + 4 * weights_and_biases(HIDDEN, 5)
            + 25,
        ),
    ],
)
def test_a_network_has_as_many_parameters_as_its_layers_have(name: str, classes: int, count: int) -> None:
    settings: Any = variant(find(name).Settings(), **({"hidden": HIDDEN} if name == "lgccond" else {}))
    model = settings.method.build(settings, classes, 0)
    assert sum(one.numel() for one in model.parameters()) == count


@pytest.mark.parametrize("name", RIVALS)
def test_the_file_of_a_rival_says_its_paper_and_what_is_uncertain(name: str) -> None:
    text = " ".join((importlib.import_module(type(find(name)).__module__).__doc__ or "").split())
    assert re.search(r"20[012]\d", text), "the year of the paper"
    if name != "ststnet":  # whose paper was read
        assert "ncertain" in text and ("our reading" in text.lower() or name in ("lbp-top", "rcn-a")), name
    assert "epoch" in text or "LBP-TOP" in text, "whether an epoch is chosen by the test clips"


PRINTED = {
    "lbp-sip": "casme2-5",
    "dssn": "casme2-5",
    "tscnn": "samm-5",
    "lgccond": "smic-hs-3",
    "accordion": "casme2-5",
    "bi-woof": "megc2019",
    "off-apexnet": "megc2019",
    "rcn-a": "megc2019",
    "ststnet": "megc2019",
    "graph-tcn": "samm-5",
    "mmnet": "casme2-5",
    "slstt": "smic-hs-3",
    "rnma": "smic-hs-3",
    "htnet": "megc2019",
    "causalnet": "megc2019",
}


@pytest.mark.parametrize("name", PRINTED)
def test_what_a_paper_prints_of_a_rival_is_found_by_its_title_and_says_how_it_was_measured(name: str) -> None:
    printed = published()[find(name).title][PRINTED[name]]
    assert printed.note and not math.isnan(printed.accuracy or printed.uf1 or math.nan)
