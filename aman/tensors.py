"""Files of weights: named tensors of safetensors or of a PyTorch checkpoint, whatever they are wrapped in.

No program is ever loaded: safetensors hold none, and PyTorch's own format is read with `weights_only`.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from aman.errors import UsageError
from aman.plain_weights import COUNTS

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "network", "net")
"""Entries of a checkpoint that the tensors may be under, also one in another; Lightning has `state_dict`."""
PREFIXES = ("module.", "model.", "_orig_mod.", "network.", "net.", "backbone.")
"""What may stand before every name: of parallel and compiled training, of Lightning, of a network in a class."""

Tensors = dict[str, torch.Tensor]


def read_tensors(path: Path, option: str) -> tuple[Tensors, dict[str, str]]:
    """The tensors of a file by name, as they are stored, and the metadata of safetensors.

    Raises `UsageError` for a file that cannot be read, holds no table of tensors, or several.
    """
    metadata: dict[str, str] = {}
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                metadata = dict(file.metadata() or {})
                loaded: Any = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(
            got=f"{option} {path}, which cannot be read as weights ({type(error).__name__})",
            expected=".safetensors, or a PyTorch checkpoint of tensors alone",
            fix=f"save the state_dict again, or give another {option} FILE; pickled programs are never loaded",
        ) from None
    return _named(_unwrapped(loaded, path, option), path, option), metadata


def _unwrapped(loaded: Any, path: Path, option: str) -> Mapping[Any, Any]:
    """The table of tensors in what was loaded."""
    for _ in range(len(WRAPPERS)):
        inner = [name for name in WRAPPERS if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping)]
        if len(inner) > 1:
            raise UsageError(
                got=f"{option} {path}, which holds several networks ({', '.join(inner)})",
                expected="one table of tensors",
                fix=f"save the state_dict of the network that is meant alone, or give another {option} FILE",
            )
        if not inner:
            break
        loaded = loaded[inner[0]]
    if not isinstance(loaded, Mapping) or not any(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise UsageError(
            got=f"{option} {path}, which holds no table of tensors",
            expected="the state_dict of a network",
            fix=f"save network.state_dict(), or give another {option} FILE",
        )
    return loaded


def _named(table: Mapping[Any, Any], path: Path, option: str) -> Tensors:
    """The tensors without prefixes; entries that are no tensors (epochs, settings) are left out."""
    named: Tensors = {}
    for key, value in table.items():
        if not isinstance(value, torch.Tensor):
            continue
        name = str(key)
        while prefix := next((one for one in PREFIXES if name.startswith(one)), ""):
            name = name.removeprefix(prefix)
        if name in named:
            raise UsageError(
                got=f"{option} {path}, in which {name} stands twice, under different prefixes",
                expected="the tensors of one network",
                fix=f"save the state_dict of the network that is meant alone, or give another {option} FILE",
            )
        named[name] = value
    return named


def as_weights(found: Tensors, wanted: Mapping[str, torch.Tensor], *, option: str, name: str, what: str) -> Tensors:
    """The tensors as fp32 for a network whose state is `wanted`: every tensor is one of it, in its shape, finite.

    Counts of batches, which no result depends on, may be absent and are whole numbers. `option` and `name` are what
    the user gave, `what` says which network it must be of. Raises `UsageError` otherwise.
    """
    absent = sorted(key for key in wanted if key not in found and not key.endswith(COUNTS))
    unknown = sorted(found.keys() - wanted.keys())
    wrong = sorted(key for key in found.keys() & wanted.keys() if found[key].shape != wanted[key].shape)
    if absent or unknown or wrong:
        counts = (
            (absent, "tensors missing"),
            (unknown, "that belong to no part of the network"),
            (wrong, "of another shape"),
        )
        said = " and ".join(f"{len(some)} {what_of}" for some, what_of in counts if some)
        raise UsageError(
            got=f"{option} {name} with {said} ({', '.join((absent + unknown + wrong)[:3])}, ...)",
            expected=what,
            fix=f"give another {option} FILE",
        )
    weights = {}
    for key, tensor in found.items():
        if why := _unusable(key, tensor):
            raise UsageError(
                got=f"{option} {name}, whose tensor {key} {why}",
                expected=f"{what}, as plain tensors of finite floating-point numbers",
                fix=f"save the state_dict again as float32, or give another {option} FILE",
            )
        weights[key] = tensor.detach() if key.endswith(COUNTS) else tensor.detach().float()
    return weights


def _unusable(key: str, tensor: torch.Tensor) -> str:
    """Why a tensor is not used as weights, or empty text."""
    if tensor.is_meta:
        return "has no values (it is on the device meta)"
    if tensor.is_quantized:
        return f"is quantised ({tensor.dtype})"
    if tensor.layout != torch.strided or tensor.is_nested:
        return f"is not dense ({tensor.layout})"
    if key.endswith(COUNTS):
        counts = not tensor.is_complex() and torch.isfinite(tensor.double()).all()
        return "" if counts else f"is no count ({tensor.dtype})"
    if not tensor.is_floating_point():
        return f"is of type {tensor.dtype}"
    if not torch.isfinite(tensor.float()).all():
        return "holds values that are no numbers, or beyond the range of float32"
    return "holds variances below 0" if key.endswith("running_var") and bool((tensor.float() < 0).any()) else ""
