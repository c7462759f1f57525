"""The apex CNN, GEME without gender and LGCconD: their pictures, networks, losses and settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from moving import clip, moved, smile, texture
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from aman.errors import UsageError
from aman.inputs import ClipFacts, keys_of
from aman.inputs.aligned import AlignedClip
from aman.inputs.features import Features
from aman.inputs.keyframes import ANNOTATED, Keyframes, rule_of
from aman.inputs.pictures.apex import ApexPicture
from aman.inputs.pictures.dynamic import DynamicImage, dynamic_image
from aman.inputs.pictures.trunk import PictureFeatures
from aman.inputs.spotting.frequency import HIGH_FREQUENCY, SpottedKeyframes, apex_of, high_frequencies
from aman.methods import FoldTask, find, variant
from aman.methods.geme import METHOD as GEME
from aman.models.lgccon import STRIPS, LGCcon, loss, region, rows_of
from aman.models.losses import balanced_focal, class_weights

FACTS = ClipFacts(
    digests=("a", "b"), onset=1, apex=2, offset=2, weights={"landmark_model": "", "magnifier": "", "trunk": "t"}
)
ON_TRUNK = ("apex-cnn", "geme", "lgccond")


def settings(name: str, **changes: Any) -> Any:
    return variant(find(name).Settings(), align="none", **changes)


def bare(frames_THWC: npt.NDArray[np.uint8], times: tuple[int, ...] = ()) -> AlignedClip:
    """A clip of which only its frames and their times matter."""
    return AlignedClip(face_THWC=frames_THWC, points_68=np.empty((0, 2)), onset=1, apex=None, times=times)


# Pictures


def test_the_apex_is_magnified_against_the_onset() -> None:
    keyframes = Keyframes().make(clip([0.0, 1.0, 0.0], apex=41))
    onset, apex, _ = keyframes["face_3HWC"].astype(int)
    once, thrice = (ApexPicture(factor=factor).make(keyframes).transpose(1, 2, 0) for factor in (1, 3))
    np.testing.assert_array_equal(once, apex)
    np.testing.assert_array_equal(thrice, np.clip(onset + 3 * (apex - onset), 0, 255))


def test_the_picture_of_a_magnifier_is_named_by_its_factor_and_its_weights_and_by_no_path() -> None:
    def key(one: ApexPicture, **weights: str) -> str:
        facts = replace(FACTS, weights={**FACTS.weights, **weights})
        return keys_of((one,), facts)[one]

    assert key(ApexPicture(factor=3)) != key(ApexPicture()) != key(ApexPicture(magnifier="phase"))
    here, there = (ApexPicture(magnifier=f"/{folder}/m.safetensors") for folder in ("here", "there"))
    assert key(here, magnifier="w") == key(there, magnifier="w") != key(here, magnifier="x")


def test_edited_code_of_a_magnifier_renames_its_own_pictures_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys() -> list[str]:
        kinds = [ApexPicture(magnifier=kind) for kind in ("phase", "linear")]
        return [keys_of((one,), FACTS)[one] for one in kinds]

    before = keys()
    monkeypatch.setattr("aman.inputs.pictures.apex.version_of", lambda stage: 2 if stage == "magnify.phase" else 1)
    after = keys()
    assert after[0] != before[0] and after[1] == before[1]


def test_the_dynamic_image_weighs_later_frames_more() -> None:
    frames = np.zeros((4, 1, 4, 3), dtype=np.uint8)
    for t in range(4):
        frames[t, 0, t] = 60  # one place lights up after the other
    picture = dynamic_image(frames)[0, :, 0]
    np.testing.assert_array_equal(picture, [0, 85, 170, 255])  # weights -3, -1, 1, 3
    np.testing.assert_array_equal(dynamic_image(frames[::-1])[0, :, 0], [255, 170, 85, 0])


def test_a_still_clip_and_a_single_frame_have_an_empty_dynamic_image() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
    for count in (1, 5):
        assert not dynamic_image(np.repeat(frames, count, axis=0)).any()
    assert DynamicImage().make(clip([0.0, 1.0])).shape == DynamicImage().shape()


def test_frames_that_are_missing_change_the_dynamic_image_of_a_steady_movement_by_nothing() -> None:
    frames = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.arange(1, 13, dtype=np.uint8).reshape(1, 2, 2, 3)
    left = (0, 1, 6, 8)
    np.testing.assert_array_equal(dynamic_image(frames[list(left)], left), dynamic_image(frames))
    np.testing.assert_array_equal(dynamic_image(frames, tuple(range(9))), dynamic_image(frames))


def test_features_of_a_picture_are_the_trunks() -> None:
    picture = ApexPicture().make(Keyframes().make(clip([0.0, 1.0, 0.0], apex=41)))
    one = PictureFeatures()
    made = one.make(picture)
    assert made.shape == one.shape() == (256, 14, 14) and made.dtype == np.float16
    grid = Features().make(np.stack([picture.transpose(1, 2, 0)] * 2)[None])
    np.testing.assert_array_equal(made, grid[0, 0])


# An apex found in the frequency domain


@pytest.mark.slow
def test_the_apex_is_where_the_patterns_change_and_the_window_sees_no_farther() -> None:
    still, other = (moved(texture(seed), 0 * smile()) for seed in (0, 1))
    frames = np.stack([still] * 50 + [other, still] * 8 + [still] * 70)[:, :112, :112]
    assert abs(apex_of(bare(frames)) - 58) <= 31


def test_no_frame_but_the_onset_is_the_apex_of_a_single_frame() -> None:
    assert apex_of(clip([0.0])) == 0
    assert apex_of(clip([0.0, 0.0, 0.0])) == 1


def test_the_window_of_a_clip_with_gaps_has_the_nearest_frame_for_one_that_is_missing() -> None:
    left = (0, 1, 4, 5)
    face = clip([0.0, 0.4, 1.0, 0.2]).face_THWC
    filled = face[[0, 1, 1, 2, 2, 3]]
    sums = high_frequencies(bare(filled))
    np.testing.assert_allclose(high_frequencies(bare(face, left)), [sums[one] for one in left], rtol=1e-6)
    assert not np.allclose(high_frequencies(bare(face)), high_frequencies(bare(face, left)), rtol=1e-6)


@pytest.mark.slow
def test_the_sums_are_those_of_the_transform_of_each_block() -> None:
    """The released program's way: all three axes of each block, the spectrum shifted so that 0 is in its middle."""
    from aman.inputs.displacement import grey
    from aman.inputs.lbp_top import codes

    face = clip([0.0, 0.4, 1.0, 0.2]).face_THWC
    maps = np.stack([codes(np.stack([grey(one)] * 3).astype(np.float32), "xy", (1, 1, 1))[0] for one in face])
    middle = np.array([30, 18, 18])
    distance = np.linalg.norm(np.indices((61, 37, 37)) - middle[:, None, None, None], axis=0)
    sums = []
    for at in range(len(face)):
        window = maps[np.clip(np.arange(at - 30, at + 31), 0, len(face) - 1)].astype(np.float64)
        blocks = [window[:, 37 * y : 37 * y + 37, 37 * x : 37 * x + 37] for y in range(6) for x in range(6)]
        sums.append(sum(np.abs(np.fft.fftshift(np.fft.fftn(one)))[distance >= 31].sum() for one in blocks))
    np.testing.assert_allclose(high_frequencies(bare(face)), sums, rtol=1e-4)
    assert apex_of(bare(face)) == 1 + int(np.argmax(sums[1:]))


def test_spotted_keyframes_say_their_rule_and_do_not_know_the_annotated_apex() -> None:
    one = SpottedKeyframes()
    made = [one.make(clip([0.0, 0.4, 1.0, 0.2], apex=apex)) for apex in (41, 43, None)]
    assert len({tuple(each["positions_3"]) for each in made}) == 1
    assert rule_of(made[0]) == HIGH_FREQUENCY
    keys = {keys_of((one,), replace(FACTS, apex=apex))[one] for apex in (1, 2, None)}
    assert len(keys) == 1 and not keys & {keys_of((Keyframes(),), FACTS)[Keyframes()]}
    assert rule_of(one.unpack(one.pack(made[0]))) == HIGH_FREQUENCY
    annotated = Keyframes().make(clip([0.0, 1.0], apex=41))
    assert rule_of(annotated) == ANNOTATED
    with pytest.raises(ValueError, match="another form"):
        one.unpack(one.pack(annotated))
    with pytest.raises(ValueError, match="another form"):
        Keyframes().unpack(one.pack(made[0]))


# Weights


@pytest.mark.parametrize("name", ON_TRUNK)
def test_weights_that_are_no_file_or_of_another_network_are_refused_by_the_option(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--weights nowhere\.pth, which is no file"):
        find(name).check(settings(name, weights="nowhere.pth"))
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(8, 3, 7, 7)}, path)
    with pytest.raises(UsageError, match="--weights") as caught:
        find(name).check(settings(name, weights=str(path)))
    assert "--trunk" not in str(caught.value)


@pytest.mark.parametrize("name", ON_TRUNK)
def test_the_digest_of_the_weights_enters_the_key_of_a_fold_and_no_path_does(name: str, tmp_path: Path) -> None:
    from aman.plain_weights import TRUNK

    method = find(name)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(TRUNK.read_bytes())
    ours, file, other = (settings(name, weights=weights) for weights in ("ours", str(copy), "random"))
    keys = [method.key_parts(one, method.weights(one)) for one in (ours, file, other)]
    assert keys[0] == keys[1] != keys[2]
    assert str(tmp_path) not in str(keys)
    assert [one.trunk for one in method.inputs(ours)] == ["fer2013"]  # pyrefly: ignore[missing-attribute]


@pytest.mark.parametrize("name", ON_TRUNK)
def test_nothing_frozen_takes_the_picture_itself(name: str) -> None:
    method = find(name)
    assert method.shapes(settings(name, frozen="none")) == ((3, 224, 224),)
    assert method.shapes(settings(name, frozen="layer2")) == ((128, 28, 28),)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("apex-cnn", {"factor": 0}),
        ("apex-cnn", {"weight_decay": -1.0}),
        ("apex-cnn", {"epochs": 0}),
        ("geme", {"rate": 0.0}),
        ("lgccond", {"hidden": 0}),
        ("lgccond", {"factor": 101}),
        ("lgccond", {"dropout": 1.0}),
        ("lgccond", {"frozen": "layer4"}),
    ],
)
def test_a_wrong_setting_is_named(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong)).replace('_', '-')}"):
        find(name).check(settings(name, **wrong))
    find(name).check(settings(name))


# Losses


def test_classes_weigh_by_the_effective_number_of_their_clips() -> None:
    weights = class_weights(torch.tensor([10, 100, 0]))
    raw = [0.001 / (1 - 0.999**count) for count in (10, 100)]
    assert weights.tolist() == pytest.approx([2 * raw[0] / sum(raw), 2 * raw[1] / sum(raw), 0])


def test_the_focal_loss_is_that_of_its_formula() -> None:
    logits, labels, counts = torch.tensor([[2.0, 0.0], [0.5, 1.0]]), torch.tensor([0, 0]), torch.tensor([3, 3])
    p = logits.softmax(1)[:, 0]
    assert balanced_focal(logits, labels, counts) == pytest.approx(float((-((1 - p) ** 2) * p.log()).mean()))


def test_the_counts_that_a_loss_is_given_are_those_of_the_training_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def kept(output: Any, labels: Any, counts: Any) -> Any:
        seen.append(counts.tolist())
        return F.cross_entropy(output, labels)

    monkeypatch.setattr("aman.models.losses.balanced_focal", kept)
    small = settings("geme", frozen="layer4", epochs=1)
    task = FoldTask(
        subject="s", train_clips=tuple("abcd"), train_labels=(0, 2, 2, 2), test_clips=("t",), classes=4, seed=0
    )
    GEME.train([torch.rand(4, 512, 1, 1)], [torch.rand(1, 512, 1, 1)], task, small, None)
    assert seen == [[1, 0, 3, 0]]
    GEME.train([torch.rand(4, 512, 1, 1)], [torch.rand(1, 512, 1, 1)], task, variant(small, loss="cross-entropy"), None)
    assert len(seen) == 1


# LGCconD


def test_the_strips_are_the_released_rows_and_cover_the_map() -> None:
    assert len(STRIPS) == 9 and STRIPS[0] == (0, 76) and STRIPS[7] == (140, 216)
    rows = [rows_of(strip, 14) for strip in STRIPS]
    assert rows[0] == (0, 5) and rows[-1][1] == 14
    assert set(range(14)) == {row for first, end in rows for row in range(first, end)}


@pytest.mark.parametrize("size", [(14, 14), (5, 14), (6, 9)])
def test_a_region_is_pooled_as_adaptive_pooling_does(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(region(x), nn.functional.adaptive_max_pool2d(x, 7), rtol=0, atol=0)


def test_the_best_strip_counts_class_by_class_beside_the_whole_face() -> None:
    torch.manual_seed(0)
    model = LGCcon("random", "layer3", 3, 8, 0.8).eval()
    x = torch.rand(2, 256, 14, 14)
    with torch.no_grad():
        output = model(x)
        strips = [model.dense(region(x[:, :, slice(*rows_of(strip, 14))]).flatten(1)) for strip in STRIPS]
        best = torch.stack([model.strip(one) for one in strips]).amax(dim=0)
        whole = model.whole(model.dense(region(x).flatten(1)))
        torch.testing.assert_close(output.sum_BY, whole + best)
        assert len({int(one) for one in torch.stack([model.strip(one) for one in strips]).argmax(dim=0).flatten()}) > 1


def test_the_loss_of_lgccond_is_the_sum_of_its_four_parts() -> None:
    torch.manual_seed(0)
    model = LGCcon("random", "layer3", 3, 8, 0.8).eval()
    output, labels = model(torch.rand(2, 256, 14, 14)), torch.tensor([2, 0])
    centre = output.sum_BY.square().sum(dim=1).mean() / 2  # all centres begin at 0
    expected = (
        F.cross_entropy(output.sum_BY, labels)
        + 0.7 * F.cross_entropy(output.whole_BY, labels)
        + 0.7 * F.cross_entropy(output.strip_BY, labels)
        + 2e-4 * centre
    )
    torch.testing.assert_close(loss(output, labels), expected)
    loss(output, labels).backward()
    assert model.centre_YY.grad is not None and model.centre_YY.grad[1].eq(0).all() and model.centre_YY.grad[2].any()
