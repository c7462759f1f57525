"""MMNet, SLSTT and SKD-TSTSAN: their inputs, networks and settings, at small sizes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moving import clip
from safetensors.torch import save_file
from torch.nn import functional as F

from aman.catalogue import parameters
from aman.errors import UsageError
from aman.inputs import ClipFacts, keys_of
from aman.inputs.aligned import Aligned
from aman.inputs.keyframes import Keyframes
from aman.inputs.motion.long_term import FRAMES, LongFlow, coloured
from aman.inputs.pictures.onset_parts import OnsetParts
from aman.inputs.pictures.pair import OnsetApex
from aman.inputs.pictures.parts import ApexParts
from aman.methods import find, variant
from aman.models.attention.mmnet import Block, HandedOn, MMNet, changed
from aman.models.attention.skd import ByChannel, Magnified, Shifted, focal, loss, mirrored, stretched
from aman.training.neural import build


def settings(name: str, **changes: Any) -> Any:
    return variant(find(name).Settings(), align="none", **changes)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # 3.03 million of the main branch, as measured of the released one, and the transformer of positions.
        ("mmnet", 3_030_649 + 6_408_192),
        # torchvision's ViT-B/16 of 384x384 without its last layer, and what follows it.
        ("slstt", 86_090_496 + 6_960_645),
        ("skd-tstsan", 2_946_214),  # measured of the released network: 2.95 million
    ],
)
def test_the_full_network_has_as_many_parameters_as_the_released_one(name: str, count: int) -> None:
    assert parameters(settings(name), 5) == count


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("mmnet", {"size": 100}),
        ("mmnet", {"size": 240}),
        ("mmnet", {"weight_decay": -1.0}),
        ("slstt", {"size": 100}),
        ("slstt", {"dim": 100}),
        ("slstt", {"depth": 0}),
        ("slstt", {"weights": "nowhere.pth"}),
        ("skd-tstsan", {"parts": 9}),
        ("skd-tstsan", {"factor": -1.0}),
        ("skd-tstsan", {"epochs": 0}),
    ],
)
def test_a_setting_outside_its_range_is_refused_by_its_option(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong)).replace('_', '-')}"):
        find(name).check(settings(name, **wrong))
    find(name).check(settings(name))


# MMNet


def test_onset_and_apex_stand_in_this_order_at_the_size_that_is_asked_for() -> None:
    keyframes = Keyframes().make(clip([0.0, 1.0, 0.0], apex=41))
    pair = OnsetApex().make(keyframes)
    np.testing.assert_array_equal(pair.transpose(0, 2, 3, 1), keyframes["face_3HWC"][:2])
    small = OnsetApex(size=32).make(keyframes)
    assert small.shape == OnsetApex(size=32).shape() == (2, 3, 32, 32)
    assert abs(float(small.mean()) - float(pair.mean())) < 2


def test_the_map_of_a_block_is_multiplied_by_that_of_the_block_before() -> None:
    torch.manual_seed(0)
    block = HandedOn(3, 4, 2).eval()
    x, before = torch.rand(2, 3, 8, 8), torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        alone, map_alone = block(x, None)
        seen, map_seen = block(x, before)
        handed = F.max_pool2d(before, 3, 2, padding=1)
        torch.testing.assert_close(map_seen, map_alone * handed)
        torch.testing.assert_close(seen, alone * handed)


def test_attention_of_a_block_is_that_of_torch() -> None:
    torch.manual_seed(0)
    block, x = Block(8), torch.rand(2, 5, 8)
    ours = block(x)
    normed = block.norm(x)
    query, key, value = block.all(normed).view(2, 5, 3, 4, 2).permute(2, 0, 3, 1, 4)
    seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(2, 5, 8)
    after = x + block.out(seen)
    torch.testing.assert_close(ours, after + block.dense(block.dense_norm(after)))


def test_pictures_are_changed_in_training_alone_and_both_frames_in_one_way() -> None:
    torch.manual_seed(0)
    one = F.interpolate(torch.rand(6, 1, 4, 4), (32, 32), mode="bilinear")
    moved = changed(torch.cat([one, 2 * one], dim=1))
    torch.testing.assert_close(moved[:, 1], 2 * moved[:, 0])
    assert (moved[:, :1] - one).abs().mean() > 0.02
    centre = (slice(None), slice(None), slice(12, 20), slice(12, 20))
    near = torch.minimum(
        (moved[:, :1] - one)[centre].abs().amax(dim=(1, 2, 3)),
        (moved[:, :1] - one.flip(3))[centre].abs().amax((1, 2, 3)),
    )
    assert near.max() < 0.6, "a picture is mirrored or not, and hardly moved"
    model = MMNet(32, 4, 3, augment=True)
    x = torch.rand(2, 2, 3, 32, 32) * 255
    model.eval()
    torch.testing.assert_close(model(x), model(x), rtol=0, atol=0)
    still = MMNet(32, 4, 3, augment=False)
    still.load_state_dict(model.state_dict())
    torch.testing.assert_close(still.eval()(x), model(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("width", "layout"), [(4, torch.contiguous_format), (7, torch.contiguous_format), (8, torch.channels_last)]
)
def test_a_network_of_which_onednn_would_overrun_gradients_is_trained_in_another_layout(
    width: int, layout: torch.memory_format
) -> None:
    """On a processor with AVX2 alone, a few steps in the other layout end the process."""
    model = build(find("mmnet"), settings("mmnet", size=32, width=width), 3, 0)  # pyrefly: ignore[bad-argument-type]
    kernels = [one.weight for one in model.modules() if isinstance(one, torch.nn.Conv2d) and max(one.kernel_size) > 1]
    assert len(kernels) > 4 and all(one.is_contiguous(memory_format=layout) for one in kernels)


def test_the_rate_of_mmnet_falls_for_fifty_epochs() -> None:
    of = settings("mmnet")
    # pyrefly: ignore[missing-attribute]
    optimiser, schedule = find("mmnet").optimiser(torch.nn.Linear(2, 2), of, 74 * 2)
    rates = []
    for _ in range(74 * 2):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[:4] == pytest.approx([8e-4, 8e-4, 8e-4 * 0.987, 8e-4 * 0.987])
    assert rates[100:] == pytest.approx([8e-4 * 0.987**50] * 48)
    assert optimiser.param_groups[0]["weight_decay"] == 0.6


# SLSTT


def test_the_hue_is_the_direction_of_the_flow_and_the_brightness_its_length() -> None:
    flow = np.zeros((2, 4, 4), dtype=np.float32)
    flow[:, 0, 0], flow[:, 0, 1], flow[:, 0, 2] = (2, 0), (0, 1), (-1, 0)
    picture = coloured(flow)
    assert picture[:, 0, 0].tolist() == [255, 0, 0]
    assert picture[1, 0, 1] == 128 and picture[0, 0, 1] == 64 and picture[2, 0, 1] == 0, "down is 90 degrees"
    assert picture[:, 0, 2].tolist() == [0, 128, 128]
    assert not coloured(np.zeros_like(flow)).any()


def test_eleven_frames_stand_around_the_apex_and_the_ends_are_repeated() -> None:
    long = LongFlow(flow="dis").make(clip([0.0, 0.3, 0.6, 1.0, 0.5], apex=43))
    assert long.shape == LongFlow().shape() and len(long) == FRAMES
    assert not long[:3].any(), "the onset has no flow"
    assert long[5].any() and not np.array_equal(long[4], long[5])
    for place in range(7, 11):
        np.testing.assert_array_equal(long[6], long[place])


def test_the_nearest_frame_in_time_stands_for_one_that_is_missing() -> None:
    made = replace(clip([0.0, 0.3, 0.6, 1.0, 0.5], apex=42), times=(0, 4, 5, 9, 10))
    assert made.around(2, range(-5, 6)) == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4]
    long = LongFlow(flow="dis").make(made)
    np.testing.assert_array_equal(long[5], long[7])
    assert not np.array_equal(long[5], LongFlow(flow="dis").make(replace(made, times=()))[7])


def test_the_apex_and_the_kind_of_flow_enter_the_key() -> None:
    def key(apex: int | None, **more: Any) -> str:
        facts = ClipFacts(digests=("a", "b"), onset=1, apex=apex, offset=9, weights={"landmark_model": ""})
        one = LongFlow(source=Aligned(align="none"), **more)
        return keys_of((one,), facts)[one]

    assert len({key(3), key(4), key(None), key(3, flow="dis")}) == 4


def test_the_last_frame_of_the_lstm_decides_and_a_frozen_transformer_stays() -> None:
    from aman.models.attention.slstt import SLSTT

    torch.manual_seed(0)
    model = SLSTT(16, 8, 1, 2, "", True, 3)
    x = torch.rand(2, 3, 3, 16, 16) * 255
    model(x).sum().backward()
    assert all(one.grad is None for one in model.look.parameters())
    assert all(one.grad is not None for one in model.remember.parameters())
    with torch.no_grad():
        assert (model(x.flip(1)) - model(x)).abs().max() > 1e-7, "the order of the frames counts"
    assert SLSTT(16, 8, 1, 2, "", False, 3)(F.interpolate(x[0], 48)[None]).shape == (1, 3)


def test_weights_of_a_file_start_the_transformer_and_enter_the_key_by_their_digest(tmp_path: Path) -> None:
    from aman.models.attention.slstt import SLSTT

    torch.manual_seed(1)
    small = {"size": 16, "dim": 8, "depth": 1, "heads": 2}
    look = SLSTT(16, 8, 1, 2, "", False, 3).look
    tensors = {**{name: one.clone() for name, one in look.state_dict().items()}, "heads.head.weight": torch.zeros(2)}
    for name in ("one.safetensors", "two.safetensors"):
        save_file(tensors, tmp_path / name)
    slstt: Any = find("slstt")
    of = [settings("slstt", weights=str(tmp_path / name), **small) for name in ("one.safetensors", "two.safetensors")]
    slstt.check(of[0])
    torch.testing.assert_close(slstt.build(of[0], 3, 0).look.class_token, look.class_token)
    keys = [slstt.key_parts(one, slstt.weights(one)) for one in of]
    assert keys[0] == keys[1] != slstt.key_parts(settings("slstt", **small), {})
    assert str(tmp_path) not in str(keys) and Path(slstt.absolute(of[0]).weights).is_absolute()
    with pytest.raises(UsageError, match="--weights"):
        slstt.check(settings("slstt", weights=str(tmp_path / "one.safetensors"), **{**small, "depth": 2}))


# SKD-TSTSAN


def test_the_parts_of_the_onset_are_those_of_an_apex_that_is_the_onset() -> None:
    keyframes = Keyframes().make(clip([0.0, 1.0, 0.0], apex=41))
    moved, still = ({**keyframes, "face_3HWC": keyframes["face_3HWC"][list(at)]} for at in ((0, 1, 2), (0, 0, 2)))
    np.testing.assert_array_equal(OnsetParts().make(moved), ApexParts().make(still))
    assert not np.array_equal(OnsetParts().make(moved), ApexParts().make(moved))
    assert OnsetParts.name != ApexParts.name


def test_a_map_is_mirrored_as_reflection_padding_does() -> None:
    x = torch.rand(2, 3, 6, 5)
    torch.testing.assert_close(mirrored(x, 3), F.pad(x, (3, 3, 3, 3), mode="reflect"), rtol=0, atol=0)


def test_what_is_magnified_is_the_difference_to_the_onset() -> None:
    torch.manual_seed(0)
    once, twice = Magnified(2, 1.0), Magnified(2, 2.0)
    twice.load_state_dict(once.state_dict())
    x, onset = torch.rand(1, 2, 16, 16), torch.rand(1, 2, 16, 16)
    torch.testing.assert_close(once(x, x), once.encode(x))
    shape = once.encode(x)
    assert shape.shape == (1, 32, 8, 8)
    torch.testing.assert_close(twice(x, onset) - shape, 2 * (once(x, onset) - shape), rtol=1e-4, atol=1e-5)


def test_an_eighth_of_the_channels_is_exchanged_between_both_halves() -> None:
    rows = torch.arange(4.0)[:, None, None, None] * 100 + torch.arange(16.0)[None, :, None, None]
    first, second = Shifted(torch.nn.Identity())(rows)[2:, :, 0, 0]  # the second clip
    assert first[:2].tolist() == [300, 301] and not first[2:4].any() and first[4:].tolist() == list(range(204, 216))
    assert not second[:2].any() and second[2:4].tolist() == [202, 203] and second[4:].tolist() == list(range(304, 316))


def test_channels_are_weighted_by_means_and_largest_values_of_their_neighbours() -> None:
    torch.manual_seed(0)
    one, x = ByChannel(64), torch.rand(2, 64, 3, 3)
    assert one.convolution.kernel_size == (3,) and ByChannel(128).convolution.kernel_size == (5,)
    seen = one.convolution(x.mean((2, 3))[:, None]) + one.convolution(x.amax((2, 3))[:, None])
    torch.testing.assert_close(one(x), x * torch.sigmoid(seen)[:, 0, :, None, None])


def test_a_frame_is_stretched_as_a_whole_and_one_of_a_single_grey_level_is_zero() -> None:
    part = torch.full((1, 3, 4, 4), 100.0)
    assert not stretched(part).any()
    part[0, 0, 0, 0], part[0, 1] = 200, 150
    assert stretched(part)[0, 0].max() == 1 and stretched(part)[0, 1].unique().tolist() == [0.5]


def test_the_loss_has_five_parts_and_weighs_classes_by_training_clips() -> None:
    torch.manual_seed(0)
    of: Any = settings("skd-tstsan", parts=2)
    model = of.method.build(of, 3, 0)
    output = model(*(torch.rand(4, *shape) * 255 for shape in of.method.shapes(of)))
    labels, counts = torch.tensor([0, 1, 1, 0]), torch.tensor([1, 3, 0])
    weight = torch.tensor([0.75, 0.25, 0.0])
    main, early, later = output.scores
    expected = focal(main, labels, weight) + 0.9 * (focal(early, labels, weight) + focal(later, labels, weight))
    goal = (main / 3).softmax(1)
    for score, feature in zip((early, later), output.features[1:], strict=True):
        told = (score / 3).log_softmax(1)
        expected = expected + 0.1 * 9 * (goal * (goal.log() - told)).sum() / 4
        expected = expected + 1e-6 * (feature - output.features[0]).square().sum()
    torch.testing.assert_close(loss(output, labels, counts), expected)
    p = main.softmax(1)[torch.arange(4), labels]
    share = weight[labels] / weight[labels].sum()
    torch.testing.assert_close(focal(main, labels, weight), (share * (1 - p) ** 2 * -p.log()).sum())
