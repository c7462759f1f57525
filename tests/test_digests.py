"""Digests of weights: read without torch where a file is plain and equal to what torch finds; else they are torch's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from refusing import refusing
from safetensors.torch import save_file

from aman.backbone import digest, holds_layer4, load_trunk, tensors_digest
from aman.content import digest_of
from aman.digests import has_layer4, magnifier_digest, trunk_digest
from aman.errors import UsageError
from aman.magnify.network import Magnifier
from aman.magnify.weights import load_magnifier, save_magnifier
from aman.plain_weights import COUNTS, METADATA, TRUNK, magnifier_shapes, plain_magnifier, plain_trunk, trunk_shapes

State = dict[str, torch.Tensor]


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def state_of() -> State:
    """Weights of a whole trunk, none of them special."""
    generator = torch.Generator().manual_seed(1)
    drawn = {name: torch.rand(shape, generator=generator) for name, shape in trunk_shapes()}
    return {name: torch.tensor(7) if name.endswith(COUNTS) else tensor for name, tensor in drawn.items()}


def test_the_tensors_that_are_expected_are_those_of_the_networks() -> None:
    assert dict(trunk_shapes()) == shapes_of(load_trunk("random"))
    for shape_conv in (True, False):
        assert dict(magnifier_shapes(shape_conv)) == shapes_of(Magnifier(shape_conv=shape_conv))


def plain_files(folder: Path) -> dict[str, Path]:
    """Files that a network takes as they are, by what they are."""
    state = state_of()
    front = {name: tensor for name, tensor in state.items() if not name.startswith("layer4.")}
    files = {
        "whole": state,
        "without layer4": front,
        "without counts": {name: tensor for name, tensor in state.items() if not name.endswith(COUNTS)},
        "half": {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in front.items()},
        "double": {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in state.items()},
    }
    for name, tensors in files.items():
        save_file(tensors, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in files}


def test_a_plain_trunk_has_the_digest_that_torch_finds(tmp_path: Path) -> None:
    for name, path in {**plain_files(tmp_path), "ours": TRUNK}.items():
        found = plain_trunk(path)
        assert found is not None, name
        assert digest_of(found[0]) == tensors_digest(str(path)), name
        assert found[1] == holds_layer4(str(path)) == has_layer4(str(path)), name
    assert trunk_digest("fer2013") == trunk_digest(str(TRUNK))


def odd_files(folder: Path) -> dict[str, Path]:
    """Files that torch has to look at; some are weights, some are none."""
    state = state_of()
    files: dict[str, State] = {
        "prefixed": {f"module.{name}": tensor for name, tensor in state.items()},
        "with a classifier": {**state, "fc.weight": torch.zeros(7, 512)},
        "bfloat": {name: one.bfloat16() if one.is_floating_point() else one for name, one in state.items()},
        "counts as floats": {name: one.float() for name, one in state.items()},
        "no number": {**state, "conv1.weight": torch.full((64, 3, 7, 7), torch.nan)},
        "beyond float32": {**state, "conv1.weight": torch.full((64, 3, 7, 7), 1e300, dtype=torch.float64)},
        "negative variance": {**state, "bn1.running_var": -torch.ones(64)},
        "lacking": {name: tensor for name, tensor in state.items() if name != "layer2.0.bn1.bias"},
        "another shape": {**state, "conv1.weight": torch.zeros(64, 3, 3, 3)},
        "whole numbers": {**state, "conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.int8)},
    }
    for name, tensors in files.items():
        save_file(tensors, folder / f"{name}.safetensors")
    torch.save(state, folder / "checkpoint.pth")
    (folder / "cut off.safetensors").write_bytes((folder / "prefixed.safetensors").read_bytes()[:1000])
    paths = {name: folder / f"{name}.safetensors" for name in [*files, "cut off", "absent"]}
    return {**paths, "checkpoint": folder / "checkpoint.pth"}


def test_all_other_files_are_left_to_torch(tmp_path: Path) -> None:
    refused, files = set(), odd_files(tmp_path)
    for name, path in files.items():
        assert plain_trunk(path) is None, name
        try:
            expected = tensors_digest(str(path))
        except UsageError as error:
            refused.add(name)
            with pytest.raises(UsageError) as caught:
                trunk_digest(str(path))
            assert (caught.value.got, caught.value.fix) == (error.got, error.fix)
        else:
            assert trunk_digest(str(path)) == expected, name
    taken = {"prefixed", "with a classifier", "bfloat", "counts as floats", "checkpoint"}
    assert refused == files.keys() - taken


@pytest.mark.parametrize("shape_conv", [True, False])
def test_a_plain_magnifier_has_the_digest_that_torch_finds(tmp_path: Path, shape_conv: bool) -> None:
    path = tmp_path / "mine.safetensors"
    torch.manual_seed(2)
    save_magnifier(Magnifier(padding="tensorflow", shape_conv=shape_conv), path)
    assert plain_magnifier(path) is not None
    assert magnifier_digest(str(path)) == f"{digest(load_magnifier(str(path)))}-tensorflow"
    assert magnifier_digest("learned") == f"{digest(load_magnifier('learned'))}-reflect"


def test_a_magnifier_without_a_stated_padding_is_refused_as_before(tmp_path: Path) -> None:
    state = Magnifier().state_dict()
    odd: list[dict[str, str] | None] = [None, {METADATA: "[" * 100_000}, {METADATA: json.dumps({"padding": 1})}]
    for number, metadata in enumerate(odd):
        path = tmp_path / f"{number}.safetensors"
        save_file(state, path, metadata)
        assert plain_magnifier(path) is None
        with pytest.raises(UsageError, match="name no padding"):
            magnifier_digest(str(path))


def test_the_digests_of_our_own_weights_need_no_torch() -> None:
    program = (
        "import sys\nfrom aman.methods.aman import METHOD, RECIPES\nfrom aman.inputs.base import weights_of\n"
        "for recipe in RECIPES.values():\n    weights_of(METHOD.inputs(recipe)), METHOD.weights(recipe)\n"
        "assert 'torch' not in sys.modules and 'torchvision' not in sys.modules\n"
        f"{refusing(['torch'])}\ntry:\n    import aman.backbone\nexcept ImportError as error:\n    print(error.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "torch\n", "the assertion above could not fail"
