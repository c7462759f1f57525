"""Weights of the learned magnifier: ours as safetensors, published ones as PyTorch checkpoints.

Ours hold fp16 tensors under the names of `Magnifier.state_dict()` and one entry of metadata, `magnifier`, a JSON
object with `padding` and `shape_conv`: tensors alone do not say with which padding they were trained. A PyTorch
checkpoint is one of the ports of the original network (keys may be under `state_dict` and carry `module.`); those
pad by reflection, and the names tell whether the shape has its convolution.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch

from aman.errors import UsageError
from aman.files import write_whole
from aman.magnify.network import Magnifier, Padding

OURS = Path(__file__).parents[1] / "weights" / "magnifier.safetensors"
"""The project's own weights, what `--magnifier learned` means."""
METADATA = "magnifier"

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
    """The network with the weights that `weights` names: `learned` (ours) or a file; fp32, on the CPU, in eval mode.

    Raises `UsageError` where there is no such file, or it holds something else.
    """
    path = OURS if weights == "learned" else Path(weights)
    if not path.is_file():
        raise _no_file(weights)
    try:
        if path.suffix == ".safetensors":
            state, padding = _read_ours(path)
        else:
            state, padding = _read_published(path), "reflect"
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            got=f"--magnifier {path}, which cannot be read as weights ({type(error).__name__})",
            expected=".safetensors, or a PyTorch checkpoint of tensors alone",
            fix="give another --magnifier FILE; pickled programs are never loaded",
        ) from None
    network = Magnifier(padding=padding, shape_conv="shape.0.weight" in state)
    wanted = network.state_dict()
    absent = sorted(set(wanted) - set(state))
    wrong = [name for name in sorted(set(wanted) & set(state)) if wanted[name].shape != state[name].shape]
    broken = [name for name, tensor in sorted(state.items()) if not torch.isfinite(tensor).all()]
    if absent or wrong or broken:
        raise UsageError(
            got=f"--magnifier {path} with {len(absent)} tensors missing, {len(wrong)} of another shape and"
            f" {len(broken)} with values that are no numbers ({', '.join((absent + wrong + broken)[:3])}, ...)",
            expected="weights of the network of Oh et al. (2018)",
            fix="give another --magnifier FILE, or --magnifier learned",
        )
    network.load_state_dict({name: state[name] for name in wanted})
    return network.requires_grad_(False).eval()


def save_magnifier(network: Magnifier, path: Path) -> None:
    """Write the weights as fp16 (1.9 MB); the same network gives the same bytes. The folder is made if absent."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().half().contiguous() for name, tensor in network.state_dict().items()}
    about = json.dumps({"padding": network.padding, "shape_conv": network.shape_conv}, sort_keys=True)
    content = save(state, {METADATA: about})  # one entry: several would be written in an order of chance
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def _read_ours(path: Path) -> tuple[dict[str, torch.Tensor], Padding]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        about: Any = json.loads((file.metadata() or {}).get(METADATA, "null"))
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    stated = about.get("padding") if isinstance(about, dict) else None
    for padding in get_args(Padding):
        if stated == padding:
            return state, padding
    raise UsageError(
        got=f"--magnifier {path}, whose metadata name no padding ({stated})",
        expected=f"`{METADATA}` with a padding of {' or '.join(get_args(Padding))}",
        fix="give a --magnifier FILE that jobs/train_magnifier.py wrote",
    )


def _read_published(path: Path) -> dict[str, torch.Tensor]:
    loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    entries = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else {}
    tensors = entries.items() if isinstance(entries, Mapping) else ()
    return {_renamed(str(name)): tensor.float() for name, tensor in tensors if isinstance(tensor, torch.Tensor)}


def _renamed(name: str) -> str:
    name = name.removeprefix("module.")
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
        expected="none, linear, phase, learned, or a file of magnifier weights",
        fix="check the path of --magnifier FILE",
    )
