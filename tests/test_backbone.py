"""ResNet-18 cut in two: together the halves are the whole, and the frozen one knows no other image."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from aman.backbone import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    STAGES,
    FrozenTrunk,
    Head,
    digest,
    features,
    load_trunk,
    normalise,
    stages_after,
)
from aman.digests import has_layer4, trunk_digest
from aman.errors import UsageError
from aman.faces import FACE_SIZE
from aman.inputs.base import ClipFacts
from aman.inputs.features import Features
from aman.inputs.images import Images
from aman.resnet import ResNet18

DEPTHS = ("none", *STAGES)
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """The random trunk; not to be changed."""
    return load_trunk("random")


@pytest.fixture(scope="module")
def images() -> npt.NDArray[np.uint8]:
    """2 frames at 3 factors of 64x64 pixels, smooth as images are."""
    coarse = np.random.default_rng(0).uniform(0, 255, (2, 3, 8, 8, 3))
    return coarse.repeat(8, axis=2).repeat(8, axis=3).astype(np.uint8)


def other_weights(classes: bool = True) -> State:
    """A ResNet-18 that is not the random trunk, with running statistics of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(77)
        state: State = ResNet18().state_dict()
        for key, value in state.items():
            if key.endswith(("running_mean", "bias")):
                value.normal_(std=0.1)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 2)
    return state if classes else {key: value for key, value in state.items() if not key.startswith("fc.")}


def as_batch(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images).flatten(0, 1).permute(0, 3, 1, 2)


def whole(network: nn.Module, image_BCHW: torch.Tensor) -> torch.Tensor:
    """torchvision's own forward pass in eval mode, up to the global average pooling."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    with torch.no_grad():
        return copy.deepcopy(network).eval()((image_BCHW / 255 - mean[:, None, None]) / std[:, None, None])


def assert_same_tensors(network: nn.Module, state: State, prefixes: tuple[str, ...]) -> None:
    mine = network.state_dict()
    keys = [key for key in mine if key.startswith(prefixes) and not key.endswith("num_batches_tracked")]
    assert keys
    for key in keys:
        torch.testing.assert_close(mine[key], state[key], rtol=0, atol=0)


@pytest.mark.parametrize("frozen", DEPTHS)
def test_trunk_then_head_is_the_whole_network(network: nn.Module, images: npt.NDArray[np.uint8], frozen: str) -> None:
    x = as_batch(images)
    trunk, head = FrozenTrunk(copy.deepcopy(network), frozen), Head(copy.deepcopy(network), frozen).eval()
    with torch.no_grad():
        f = head(x if frozen == "none" else trunk(x))
    assert f.shape == (6, 512)
    wanted = whole(network, x)
    assert wanted.std() > 0.1
    torch.testing.assert_close(f, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frozen", STAGES)
def test_cached_features_then_head_are_the_whole_network_but_for_rounding(
    network: nn.Module, images: npt.NDArray[np.uint8], frozen: str
) -> None:
    cached = features(FrozenTrunk(copy.deepcopy(network), frozen), images)
    x = torch.from_numpy(cached).flatten(0, 1).float()
    with torch.no_grad():
        f = Head(copy.deepcopy(network), frozen).eval()(x)
    torch.testing.assert_close(f, whole(network, as_batch(images)), rtol=0.01, atol=0.01)


@pytest.mark.parametrize(
    ("frozen", "shape"),
    [("layer1", (64, 16, 16)), ("layer2", (128, 8, 8)), ("layer3", (256, 4, 4)), ("layer4", (512, 1, 1))],
)
def test_features_are_fp16_of_the_frozen_stage(
    network: nn.Module, images: npt.NDArray[np.uint8], frozen: str, shape: tuple[int, ...]
) -> None:
    cached = features(FrozenTrunk(copy.deepcopy(network), frozen), images)
    assert cached.dtype == np.float16
    assert cached.shape == (2, 3, *shape)


def test_features_in_bf16_are_near_those_in_fp32_and_have_a_key_of_their_own(
    network: nn.Module, images: npt.NDArray[np.uint8]
) -> None:
    trunk = FrozenTrunk(copy.deepcopy(network), "layer3")
    exact, rounded = (features(trunk, images, precision).astype(np.float64) for precision in ("fp32", "bf16"))
    difference = np.abs(exact - rounded).max() / np.abs(exact).max()
    assert 0 < difference < 0.03
    facts = ClipFacts(digests=(), onset=1, apex=None, offset=2, weights={"trunk": "t"})
    assert Features(precision="bf16").key("images", facts) != Features(precision="fp32").key("images", facts)


@pytest.mark.parametrize("frozen", STAGES)
@pytest.mark.parametrize("size", [64, 70])
def test_a_smaller_picture_for_the_trunk_is_the_smaller_picture_under_a_key_of_its_own(frozen: Any, size: int) -> None:
    image_LKHWC = np.random.default_rng(1).integers(0, 255, (1, 2, FACE_SIZE, FACE_SIZE, 3), dtype=np.uint8)
    images = Images(grid_frames=1, grid_factors=2)
    small = Features(source=images, trunk="random", frozen=frozen, size=size)
    made = small.make(image_LKHWC)
    by_hand = np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in image_LKHWC[0]])
    np.testing.assert_array_equal(made, features(FrozenTrunk(load_trunk("random"), frozen), by_hand[None]))
    np.testing.assert_array_equal(small.unpack(small.pack(made)), made)
    facts = ClipFacts(digests=(), onset=1, apex=None, offset=2, weights={"trunk": "t"})
    whole = replace(small, size=FACE_SIZE)
    assert whole == Features(source=images, trunk="random", frozen=frozen)
    assert len({one.key("images", facts) for one in (small, whole, replace(small, size=96))}) == 3


def test_shapes_of_features_are_those_of_resnet_18_at_the_usual_size() -> None:
    shapes = [Features(frozen=frozen).shape() for frozen in ("layer1", "layer2", "layer3", "layer4")]
    assert shapes == [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 1, 1)]


def test_features_of_an_image_depend_on_no_other_image(network: nn.Module, images: npt.NDArray[np.uint8]) -> None:
    trunk = FrozenTrunk(copy.deepcopy(network), "layer3")
    cached = features(trunk, images)
    alone = features(trunk, images[1:, 2:])
    np.testing.assert_allclose(alone[0, 0].astype(float), cached[1, 2].astype(float), rtol=2e-3, atol=1e-4)
    assert np.abs(cached[1, 2].astype(float) - cached[0, 0]).max() > 0.1


def test_a_trunk_on_batch_statistics_normalises_the_copies_of_a_frame_together(
    network: nn.Module, images: npt.NDArray[np.uint8]
) -> None:
    """As the same network in training mode does, which is what the authors' code runs."""
    trunk = FrozenTrunk(copy.deepcopy(network), "layer2", "batch")
    cached = features(trunk, images).astype(np.float32)
    training = FrozenTrunk(copy.deepcopy(network), "layer2").stages.train()
    copies = torch.from_numpy(images[1]).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = training(normalise(copies)).numpy()
    np.testing.assert_allclose(cached[1], wanted, rtol=2e-3, atol=2e-3)
    assert np.abs(features(FrozenTrunk(copy.deepcopy(network), "layer2"), images)[1] - wanted).max() > 0.1
    np.testing.assert_array_equal(features(trunk, images).astype(np.float32), cached)  # it keeps nothing
    facts = ClipFacts(digests=(), onset=1, apex=None, offset=2, weights={"trunk": "t"})
    assert Features(bn="batch").key("images", facts) != Features().key("images", facts)


def test_the_frozen_trunk_stays_in_eval_mode_and_learns_nothing(
    network: nn.Module, images: npt.NDArray[np.uint8]
) -> None:
    trunk = FrozenTrunk(copy.deepcopy(network), "layer3")
    model = nn.Sequential(trunk, Head(copy.deepcopy(network), "layer3"))
    before = digest(trunk)
    for frozen in (trunk.train(), model.train()[0]):
        assert not any(module.training for module in frozen.modules())
    model(as_batch(images)).sum().backward()
    assert digest(trunk) == before
    assert [p for p in trunk.parameters() if p.requires_grad or p.grad is not None] == []
    assert all(p.grad is not None for p in model[1].parameters())


def test_the_trunk_ends_where_the_head_begins() -> None:
    for frozen in DEPTHS:
        assert stages_after(frozen) == STAGES[DEPTHS.index(frozen) :]


def test_features_beyond_fp16_are_refused(network: nn.Module, images: npt.NDArray[np.uint8]) -> None:
    trunk = FrozenTrunk(copy.deepcopy(network), "layer1")
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.mul_(100)
    with pytest.raises(FloatingPointError, match="fp16"), np.errstate(over="ignore"):
        features(trunk, images)


def test_the_random_trunk_is_the_same_every_time(network: nn.Module) -> None:
    torch.manual_seed(5)
    assert digest(load_trunk("random")) == digest(network)
    assert trunk_digest("random") == trunk_digest("random")


@pytest.mark.parametrize("weights", ["random", "file"])
def test_loading_a_trunk_leaves_the_random_state_as_it_was(weights: str, tmp_path: Path) -> None:
    if weights == "file":
        weights = str(tmp_path / "trunk.safetensors")
        save_file(other_weights(), weights)
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    load_trunk(weights)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_loading_a_trunk_leaves_the_number_of_threads_as_it_was() -> None:
    torch.set_num_threads(2)
    load_trunk("random")
    assert torch.get_num_threads() == 2


def test_every_norm_of_the_random_trunk_gives_unit_deviation_on_noise(network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(42)  # not the noise that it was calibrated with
    coarse = torch.randn(4, 3, 28, 28, generator=generator)
    noise = nn.functional.interpolate(coarse, size=(112, 112), mode="bilinear", align_corners=False)
    calibrated, deviations = copy.deepcopy(network).eval(), []
    for module in calibrated.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.momentum, int(module.num_batches_tracked or 0)) == (0.1, 0)
            module.register_forward_hook(lambda _, __, out: deviations.append(float(out.std())))
    with torch.no_grad():
        calibrated(noise)
    assert len(deviations) == 20
    assert min(deviations) > 0.7
    assert max(deviations) < 1.4


def test_the_classifier_of_a_trunk_is_taken_off(network: nn.Module) -> None:
    assert isinstance(network.get_submodule("fc"), nn.Identity)
    assert not any(key.startswith("fc.") for key in network.state_dict())


@pytest.mark.parametrize("file", ["plain.pth", "state_dict.pth", "module.pt", "both.pth", "plain.safetensors"])
def test_weights_come_from_a_file_in_any_of_its_forms(tmp_path: Path, file: str) -> None:
    state, path = other_weights(), tmp_path / file
    content = {f"module.{key}": value for key, value in state.items()} if path.stem in ("module", "both") else state
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        wrapped = path.stem in ("state_dict", "both")
        torch.save({"state_dict": content, "epoch": 3} if wrapped else content, path)
    network = load_trunk(str(path))
    assert_same_tensors(network, state, ("conv1", "bn1", *STAGES))
    assert has_layer4(str(path))


def test_weights_of_half_precision_are_loaded_as_single(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({k: v.half() if v.is_floating_point() else v for k, v in other_weights().items()}, path)
    network = load_trunk(str(path))
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_a_file_may_lack_layer4_and_nothing_else(tmp_path: Path) -> None:
    state = {key: value for key, value in other_weights(False).items() if not key.startswith("layer4.")}
    path = tmp_path / "three.safetensors"
    save_file(state, path)
    assert_same_tensors(load_trunk(str(path)), state, ("conv1", "bn1", *STAGES[:3]))
    assert not has_layer4(str(path))
    assert has_layer4("random")
    del state["layer3.1.bn2.running_var"]
    save_file(state, path)
    with pytest.raises(UsageError, match=r"1 tensors missing .*layer3\.1\.bn2\.running_var"):
        load_trunk(str(path))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(nn.Linear(3, 3).state_dict(), path)
    with pytest.raises(UsageError) as caught:
        load_trunk(str(path))
    assert str(path) in caught.value.got
    assert "missing" in caught.value.got


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.pth"
    torch.save(other_weights() | {"layer2.0.conv1.weight": torch.zeros(128, 64, 5, 5)}, path)
    with pytest.raises(UsageError, match=r"1 of another shape \(layer2\.0\.conv1\.weight"):
        load_trunk(str(path))


@pytest.mark.parametrize("name", ["trunk.pth", "trunk.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>log in first</html>"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_trunk(str(tmp_path / name))
    assert name in caught.value.got


def test_a_pickled_network_is_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "program.pth"
    torch.save(nn.Sequential(nn.Linear(2, 2)), path)
    with pytest.raises(UsageError, match="pickled programs are never loaded"):
        load_trunk(str(path))


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_trunk(str(tmp_path / "nowhere.pth"))
    assert "nowhere.pth" in caught.value.got
    assert "`random`" in caught.value.expected


@pytest.mark.slow
def test_different_files_have_different_digests_and_equal_weights_equal_ones(tmp_path: Path) -> None:
    state = other_weights()
    torch.save(state, tmp_path / "a.pth")
    save_file(state, tmp_path / "b.safetensors")
    state["layer1.0.conv1.weight"][0, 0, 0, 0] += 1e-6
    torch.save(state, tmp_path / "c.pth")
    a, b, c = (trunk_digest(str(tmp_path / name)) for name in ("a.pth", "b.safetensors", "c.pth"))
    assert a == b
    assert len({a, c, trunk_digest("random")}) == 3


@pytest.mark.parametrize("content", [torch.zeros(2), [torch.zeros(2)], {"state_dict": [1]}, {1: torch.zeros(2)}])
def test_a_checkpoint_that_holds_no_table_of_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(UsageError):
        load_trunk(str(tmp_path / "odd.pth"))


def test_a_file_with_a_part_of_layer4_is_refused(tmp_path: Path) -> None:
    state = load_trunk("random").state_dict()
    del state["layer4.1.conv2.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UsageError, match=r"layer4\.1\.conv2"):
        load_trunk(str(tmp_path / "part.pth"))
