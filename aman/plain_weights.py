"""Files of our networks' weights by what they hold, without torch: planning asks for digests alone, and importing torch
takes seconds and most of a gigabyte.

What is read here is safetensors with the very tensors of the network. All else (checkpoints of PyTorch, other names or
types, values that are no numbers) is `None`, and the network itself judges it: `aman.digests` asks it then.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Padding = Literal["reflect", "tensorflow"]
"""How the learned magnifier pads where it halves: `aman.magnify.network.Halve`."""

WEIGHTS = Path(__file__).parent / "weights"
TRUNK, MAGNIFIER = WEIGHTS / "trunk-224.safetensors", WEIGHTS / "magnifier.safetensors"
"""The project's own weights: what `--trunk fer2013` and `--magnifier learned` mean."""
EARLIER_MAGNIFIERS = {"learned-1": WEIGHTS / "magnifier-1.safetensors"}
EARLIER_TRUNKS = {"fer2013-96": WEIGHTS / "trunk.safetensors"}
"""What these names meant before, under names that keep their meaning: results of those weights stay results."""
RANDOM_TRUNK_SEED = 0
"""The `random` trunk is one fixed network, whatever the seed of the run: its features can be cached."""
METADATA = "magnifier"
"""Entry of a magnifier's metadata: a JSON object with `padding` and `shape_conv`."""
COUNTS = "num_batches_tracked"
"""End of the names of tensors that count batches; no result depends on them, and a file may lack them."""

Arrays = dict[str, npt.NDArray[Any]]
Shapes = dict[str, tuple[int, ...]]


def magnifier_file(weights: str) -> Path:
    """The file that `--magnifier` means: `learned`, a name in `EARLIER_MAGNIFIERS`, or a path."""
    return MAGNIFIER if weights == "learned" else EARLIER_MAGNIFIERS.get(weights, Path(weights))


def trunk_file(weights: str) -> Path:
    """The file that `--trunk` means: `fer2013`, a name in `EARLIER_TRUNKS`, or a path."""
    return TRUNK if weights == "fer2013" else EARLIER_TRUNKS.get(weights, Path(weights))


def plain_trunk(path: Path) -> tuple[Arrays, bool] | None:
    """The tensors of ResNet-18 as a network has them, and whether layer4 is among them; None where torch must look."""
    read = _read(path)
    if read is None:
        return None
    found, shapes = read[0], dict(trunk_shapes())
    whole = any(name.startswith("layer4.") for name in found)
    if not whole:
        shapes = {name: shape for name, shape in shapes.items() if not name.startswith("layer4.")}
    arrays = _as_weights(found, shapes)
    return None if arrays is None else (arrays, whole)


def plain_magnifier(path: Path) -> tuple[Arrays, Padding] | None:
    """The tensors of the learned magnifier as a network has them, and its padding; None where torch must look."""
    read = _read(path)
    if read is None:
        return None
    found, metadata = read
    padding = stated_padding(metadata)
    arrays = _as_weights(found, dict(magnifier_shapes("shape.0.weight" in found)))
    return None if padding is None or arrays is None else (arrays, padding)


def stated_padding(metadata: Mapping[str, str]) -> Padding | None:
    """The padding that a magnifier's metadata state, or None."""
    try:
        about: Any = json.loads(metadata.get(METADATA, "null"))
    except (ValueError, RecursionError):
        return None
    stated = about.get("padding") if isinstance(about, dict) else None
    return next((padding for padding in get_args(Padding) if padding == stated), None)


def trunk_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor of torchvision's ResNet-18 without its classifier."""

    def norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{part}", (channels,)
        yield f"{name}.{COUNTS}", ()

    yield "conv1.weight", (64, 3, 7, 7)
    yield from norm("bn1", 64)
    before = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            at = f"layer{stage}.{block}"
            yield f"{at}.conv1.weight", (channels, before, 3, 3)
            yield from norm(f"{at}.bn1", channels)
            yield f"{at}.conv2.weight", (channels, channels, 3, 3)
            yield from norm(f"{at}.bn2", channels)
            if before != channels:
                yield f"{at}.downsample.0.weight", (channels, before, 1, 1)
                yield from norm(f"{at}.downsample.1", channels)
            before = channels


def magnifier_shapes(shape_conv: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor of `aman.magnify.network.Magnifier`."""
    for name, channels, count in (
        ("encoder.4", 32, 3),
        ("texture.2", 32, 2),
        ("shape.2", 32, 2),
        ("moved.1", 32, 1),
        ("blocks", 64, 9),
    ):
        for block in range(count):
            for conv in ("conv1", "conv2"):
                yield f"{name}.{block}.{conv}.weight", (channels, channels, 3, 3)
    yield "encoder.0.weight", (16, 3, 7, 7)
    yield "encoder.2.conv.weight", (32, 16, 3, 3)
    for name in ("texture.0.conv", "moved.0", "enlarge.1", *(["shape.0"] if shape_conv else [])):
        yield f"{name}.weight", (32, 32, 3, 3)
    yield "difference.0.weight", (32, 32, 7, 7)
    yield "paint.1.weight", (32, 64, 3, 3)
    yield "paint.3.weight", (3, 32, 7, 7)


def _read(path: Path) -> tuple[Arrays, dict[str, str]] | None:
    """Arrays and metadata of a file of safetensors."""
    if path.suffix != ".safetensors":
        return None
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except Exception:  # no such file, damage, a type that numpy lacks: the other way in says so in its own words
        return None


def _as_weights(found: Arrays, shapes: Shapes) -> Arrays | None:
    """The arrays in the types that a network has them in, or None where they are not its own."""
    if found.keys() - shapes.keys():
        return None
    arrays: Arrays = {}
    for name, shape in shapes.items():
        if name.endswith(COUNTS):
            count = found.get(name, np.zeros((), dtype=np.int64))
            if count.dtype != np.int64 or count.shape != shape:
                return None
            arrays[name] = count
            continue
        if name not in found or found[name].shape != shape or found[name].dtype.kind != "f":
            return None
        with np.errstate(over="ignore"):
            array = found[name].astype(np.float32)
        if not np.isfinite(array).all() or (name.endswith("running_var") and (array < 0).any()):
            return None
        arrays[name] = array
    return arrays
