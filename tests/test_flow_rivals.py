"""OFF-ApexNet, RCN-A, DSSN and TSCNN-I: their networks, inputs and settings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moving import SIZE, bump, clip
from safetensors.torch import save_file
from torch import nn

from aman.errors import UsageError
from aman.inputs import ClipFacts, keys_of
from aman.inputs.displacement import optical_strain
from aman.inputs.keyframes import Keyframes
from aman.inputs.pictures.motion import MotionMaps
from aman.inputs.pictures.parts import ApexParts
from aman.methods import find, settings_of, variant
from aman.methods.dssn import METHOD as DSSN_METHOD
from aman.methods.off_apexnet import network
from aman.models.dssn import DSSN, ChannelNorm, Stream
from aman.models.rcn import RCN, attention, pooled
from aman.models.tscnn import TSCNN, stream

OFF, RCN_A, TSCNN_I = find("off-apexnet"), find("rcn-a"), find("tscnn")
FACTS = ClipFacts(digests=("a", "b"), onset=1, apex=2, offset=2, weights={"landmark_model": ""})


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 255


def settings(method: Any, **changes: Any) -> Any:
    return variant(method.Settings(), align="none", **changes)


# Settings


@pytest.mark.parametrize("name", ["off-apexnet", "rcn-a", "dssn", "tscnn"])
def test_the_flow_is_a_setting_and_enters_the_key(name: str) -> None:
    method = find(name)
    keys = set()
    for kind in ("tvl1", "dis", "farneback"):
        inputs = method.inputs(settings(method, flow=kind))
        keys.add(tuple(keys_of(inputs, FACTS)[one] for one in inputs))
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("off-apexnet", {"rate": 1e-4, "epochs": 3000, "batch": 64, "scale": "minmax", "flow": "tvl1"}),
        ("rcn-a", {"rate": 5e-4, "epochs": 100, "batch": 64, "size": 60, "filters": 64, "pool": 7, "flow": "tvl1"}),
        ("dssn", {"rate": 1e-5, "epochs": 100, "batch": 32, "weights": "random", "flow": "tvl1"}),
        ("tscnn", {"rate": 1e-3, "epochs": 100, "batch": 32, "parts": 4, "flow": "tvl1"}),
    ],
)
def test_the_defaults_are_those_that_the_file_of_the_method_gives_reasons_for(
    name: str, published: dict[str, Any]
) -> None:
    assert published.items() <= settings_of(find(name).Settings()).items()


def test_recipes_are_the_published_settings_but_for_what_they_name() -> None:
    assert OFF.recipes["short"] == variant(OFF.Settings(), epochs=300)
    assert RCN_A.recipes["readme"] == variant(RCN_A.Settings(), filters=32, pool=5, epochs=20)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("off-apexnet", {"rate": 0.0}),
        ("off-apexnet", {"epochs": 0}),
        ("rcn-a", {"size": 8}),
        ("rcn-a", {"filters": 0}),
        ("rcn-a", {"pool": 0}),
        ("rcn-a", {"batch": 0}),
        ("dssn", {"rate": 100.0}),
        ("dssn", {"weights": "nowhere.pth"}),
        ("tscnn", {"parts": 9}),
        ("tscnn", {"epochs": 0}),
    ],
)
def test_a_setting_outside_its_range_is_refused_by_its_option(name: str, wrong: dict[str, Any]) -> None:
    method = find(name)
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        method.check(settings(method, **wrong))
    method.check(settings(method))


# OFF-ApexNet


def test_off_apexnet_sees_u_and_v_each_by_a_tower_of_its_own_and_no_strain() -> None:
    torch.manual_seed(0)
    ours = network(3).eval()
    x = drawn(4, 3, 28, 28)
    other_strain, swapped = x.clone(), x[:, [1, 0, 2]]
    other_strain[:, 2] = 0
    torch.testing.assert_close(ours(other_strain), ours(x), rtol=0, atol=0)
    assert (ours(swapped) - ours(x)).abs().max() > 1e-4
    for channel in (0, 1):
        without = x.clone()
        without[:, channel] = 0
        assert (ours(without) - ours(x)).abs().max() > 1e-4
    torch.testing.assert_close(network_of(ours, 1.0)(x / 255), ours(x))


def network_of(other: Any, unit: float) -> Any:
    """The network with the weights of another one, whose flow is divided by `unit`."""
    made = network(3, unit).eval()
    made.load_state_dict(other.state_dict())
    return made


# RCN-A


@pytest.mark.parametrize(("size", "side"), [((14, 14), 7), ((15, 11), 5), ((3, 6), 7)])
def test_pooling_by_matrices_is_adaptive_pooling(size: tuple[int, int], side: int) -> None:
    x = drawn(2, 3, *size)
    torch.testing.assert_close(pooled(x, side), nn.functional.adaptive_avg_pool2d(x, side), rtol=1e-5, atol=1e-3)


def test_attention_is_the_mean_over_classes_of_their_stretched_maps_and_zero_for_a_constant_map() -> None:
    x, weight = drawn(2, 4, 5, 5), drawn(3, 4, 5, 5, seed=1) - 100
    maps = []
    for one in weight:
        each = (one * x).mean(dim=1)
        low = each.amin(dim=(1, 2), keepdim=True)
        maps.append((each - low) / (each - low).amax(dim=(1, 2), keepdim=True))
    torch.testing.assert_close(attention(x, weight), torch.stack(maps).mean(dim=0), rtol=1e-3, atol=1e-4)
    assert not attention(torch.zeros(1, 4, 5, 5), weight).any()


def test_the_recurrent_convolution_is_used_twice_with_weights_and_attention_follows_the_classifier() -> None:
    torch.manual_seed(0)
    model = RCN(4, 3, 2).eval()
    used: list[int] = []
    model.again.register_forward_hook(lambda *_: used.append(1))
    x = drawn(2, 3, 28, 28) / 255
    before = model(x)
    assert len(used) == 2
    with torch.no_grad():
        model.classifier.weight.mul_(3)
        model.classifier.bias.mul_(3)
    torch.testing.assert_close(model(x), 3 * before)  # the map is stretched: it has no scale of its own


def test_a_still_clip_has_a_gradient_that_is_a_number() -> None:
    torch.manual_seed(0)
    model = RCN(4, 3, 2).train()
    model(torch.zeros(3, 3, 28, 28)).square().sum().backward()
    assert all(torch.isfinite(one.grad).all() for one in model.parameters() if one.grad is not None)


def test_the_rate_of_rcn_a_is_halved_every_ten_epochs() -> None:
    of = variant(RCN_A.Settings(), epochs=25)
    optimiser, schedule = RCN_A.optimiser(nn.Linear(2, 2), of, 25 * 4)  # pyrefly: ignore[missing-attribute]
    rates = []
    for _ in range(25 * 4):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[:40] == [5e-4] * 40 and rates[40:80] == [2.5e-4] * 40 and rates[80:] == [1.25e-4] * 20


# DSSN


def test_the_maps_are_the_magnitude_and_the_strain_of_the_flow_in_this_order() -> None:
    flow = np.zeros((2, SIZE, SIZE), dtype=np.float32)
    flow[0], flow[1] = 2 * bump(60, 60, 20), -bump(60, 60, 20)
    magnitude, strain = MotionMaps(scale="none").make(flow)
    assert magnitude.shape == (227, 227) and np.unravel_index(magnitude.argmax(), magnitude.shape) == (61, 61)
    assert magnitude.max() == pytest.approx(5**0.5, abs=0.02)
    assert strain.mean() == pytest.approx(optical_strain(*flow).mean(), rel=0.02) and strain[61, 61] < 1e-2
    stretched = MotionMaps().make(flow)
    np.testing.assert_allclose(stretched.max(axis=(1, 2)), 255, atol=1e-3)
    assert not MotionMaps().make(np.zeros_like(flow)).any()


def test_a_stream_makes_what_alexnets_first_layers_make() -> None:
    assert Stream()(drawn(1, 227, 227)).shape == (1, 256, 15, 15)
    assert Stream().conv2.weight.shape == (256, 48, 5, 5)


def test_the_norm_over_channels_is_the_local_response_norm() -> None:
    x = drawn(2, 7, 3, 4)
    torch.testing.assert_close(ChannelNorm()(x), nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)(x))


def test_both_streams_are_multiplied() -> None:
    torch.manual_seed(0)
    model = DSSN("", 3).eval()
    x = drawn(1, 2, 227, 227)
    with torch.no_grad():
        product = model.magnitude(x[:, 0]) * model.strain(x[:, 1])
        torch.testing.assert_close(model(x), model.classify[2](product.flatten(1)))


def test_weights_of_a_file_start_both_streams_and_enter_the_key_by_their_digest(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tensors = {name: tensor.clone() for name, tensor in Stream().state_dict().items()}
    for name in ("one.safetensors", "two.safetensors"):
        save_file({**tensors, "fc8.weight": torch.zeros(2)}, tmp_path / name)
    of = [settings(DSSN_METHOD, weights=str(tmp_path / name)) for name in ("one.safetensors", "two.safetensors")]
    DSSN_METHOD.check(of[0])
    model = DSSN_METHOD.build(of[0], 3, 0)
    for part in (model.magnitude, model.strain):
        torch.testing.assert_close(part.conv2.weight, tensors["conv2.weight"])
    keys = [DSSN_METHOD.key_parts(one, DSSN_METHOD.weights(one)) for one in of]
    assert keys[0] == keys[1] != DSSN_METHOD.key_parts(settings(DSSN_METHOD), {})
    assert str(tmp_path) not in str(keys)
    assert Path(DSSN_METHOD.absolute(settings(DSSN_METHOD, weights="a.pth")).weights).is_absolute()


def test_weights_of_another_network_are_refused_by_the_option(tmp_path: Path) -> None:
    path = tmp_path / "narrow.safetensors"
    save_file({"conv1.weight": torch.zeros(64, 3, 11, 11), "conv1.bias": torch.zeros(64)}, path)
    with pytest.raises(UsageError, match="--weights"):
        DSSN_METHOD.check(settings(DSSN_METHOD, weights=str(path)))


# TSCNN-I


def test_the_parts_are_the_apex_in_grey_and_its_rectangles_row_by_row() -> None:
    keyframes = Keyframes().make(clip([0.0, 0.0, 0.0], apex=41))
    keyframes["face_3HWC"] = keyframes["face_3HWC"].copy()
    keyframes["face_3HWC"][1] = 0
    keyframes["face_3HWC"][1, 56:112, 168:] = 200  # second row, last column of four
    parts = ApexParts().make(keyframes)
    assert parts.shape == ApexParts().shape() == (17, 48, 48)
    assert parts[1:].max(axis=(1, 2)).nonzero()[0].tolist() == [7]
    assert parts[8].min() == 200 and parts[0, 12:24, 36:].min() > 150


def test_the_two_flows_share_a_stream_and_are_averaged_and_their_strain_is_not_seen() -> None:
    torch.manual_seed(0)
    model = TSCNN(2, 3, 255.0).eval()
    part, first, second = drawn(2, 5, 48, 48), drawn(2, 3, 48, 48, seed=1), drawn(2, 3, 48, 48, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(model(part, first, second), model(part, second, first))
        changed = first.clone()
        changed[:, 2] = 0
        torch.testing.assert_close(model(part, changed, second), model(part, first, second), rtol=0, atol=0)
        assert (model(part, second, second) - model(part, first, second)).abs().max() > 1e-6
        assert (model(part.flip(1), first, second) - model(part, first, second)).abs().max() > 1e-6
    assert stream(2)(drawn(1, 2, 48, 48)).shape == (1, 128)
