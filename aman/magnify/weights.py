"""Weights of the learned magnifier: ours as safetensors, published ones as PyTorch checkpoints.

Ours hold fp16 tensors under the names of `Magnifier.state_dict()` and one entry of metadata, `magnifier`, a JSON
object with `padding` and `shape_conv`: tensors alone do not say with which padding they were trained. A PyTorch
checkpoint is one of the ports of the original network (in any of the wrappings of `aman.tensors`); those pad by
reflection, and the names tell whether the shape has its convolution.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from aman.errors import UsageError
from aman.files import write_whole
from aman.magnify.network import Magnifier
from aman.plain_weights import EARLIER_MAGNIFIERS, METADATA, Padding, magnifier_file, stated_padding
from aman.tensors import as_weights, read_tensors

PUBLISHED = {
    "encoder.conv1.": "encoder.0.",
    "encoder.conv2.": "encoder.2.conv.",
    "encoder.resblks.": "encoder.4.",
    "encoder.conv1_text.": "texture.0.conv.",
    "encoder.resblks_text.": "texture.2.",
    "encoder.conv1_shape.": "shape.0.",
    "encoder.resblks_shape.": "shape.2.",
    "manipulator.convblks.0.conv1.": "difference.0.",
    "manipulator.convblks_after.0.conv1.": "moved.0.",
    "manipulator.resblks.": "moved.1.",
    "decoder.conv1_text.": "enlarge.1.",
    "decoder.resblks.": "blocks.",
    "decoder.conv1.": "paint.1.",
    "decoder.conv2.": "paint.3.",
}
"""Names in the published PyTorch checkpoints, and ours."""


def load_magnifier(weights: str) -> Magnifier:
    """The network with the weights that `weights` names; fp32, on the CPU, in eval mode.

    `weights` is `learned` (ours), a name in `EARLIER_MAGNIFIERS`, or a file. Raises `UsageError` where there is no such
    file, or it holds something else.
    """
    path = magnifier_file(weights)
    if not path.is_file():
        raise _no_file(weights)
    found, metadata = read_tensors(path, "--magnifier")
    state = {_renamed(name): tensor for name, tensor in found.items()}
    padding = _padding(path, metadata) if path.suffix == ".safetensors" else "reflect"
    network = Magnifier(padding=padding, shape_conv="shape.0.weight" in state)
    what = "weights of the network of Oh et al. (2018)"
    network.load_state_dict(as_weights(state, network.state_dict(), option="--magnifier", name=str(path), what=what))
    return network.requires_grad_(False).eval()


def save_magnifier(network: Magnifier, path: Path) -> None:
    """Write the weights as fp16 (1.9 MB); the same network gives the same bytes. The folder is made if absent."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().half().contiguous() for name, tensor in network.state_dict().items()}
    about = json.dumps({"padding": network.padding, "shape_conv": network.shape_conv}, sort_keys=True)
    content = save(state, {METADATA: about})  # one entry: several would be written in an order of chance
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def _padding(path: Path, metadata: Mapping[str, str]) -> Padding:
    """The padding that our weights were trained with."""
    stated = stated_padding(metadata)
    if stated is not None:
        return stated
    raise UsageError(
        got=f"--magnifier {path}, whose metadata name no padding ({metadata.get(METADATA, 'none')[:40]})",
        expected=f"`{METADATA}` with a padding of {' or '.join(get_args(Padding))}",
        fix="give a --magnifier FILE that jobs/train_magnifier.py wrote",
    )


def _renamed(name: str) -> str:
    for theirs, ours in PUBLISHED.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _no_file(weights: str) -> UsageError:
    if weights == "learned":
        return UsageError(
            got="--magnifier learned, but the package holds no aman/weights/magnifier.safetensors",
            expected="the project's own weights",
            fix="make them with `python jobs/train_magnifier.py`, or give others as --magnifier FILE",
        )
    return UsageError(
        got=f"--magnifier {weights}, which is no file",
        expected=f"none, linear, phase, learned, {', '.join(EARLIER_MAGNIFIERS)}, or a file of magnifier weights",
        fix="check the path of --magnifier FILE",
    )
