"""What a training fitted, as arrays and plain values: bytes that hold no program, and the fitted thing made from them.

The weights of a network are arrays by name. A fitted estimator of scikit-learn is a tree of estimators, arrays, numbers
and text: its arrays are taken out by name, and the rest is JSON. Both are kept as safetensors, never as pickles.
"""

import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from aman.errors import UsageError

Arrays = Mapping[str, npt.NDArray[Any]]
STRUCTURE = "structure"
"""Name under which the metadata have the JSON."""
ENTRY = "fitted"
"""The only entry of safetensors' own metadata: of several the order in the file would be left to chance."""
TYPES = frozenset("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split())
"""Types of arrays that safetensors has."""
LIBRARY = re.compile(r"sklearn(\.\w+)+")
"""Modules whose estimators are made again; a file that names another module is refused."""
TREE = ("sklearn.tree._tree", "Tree")
"""Class of the nodes of a decision tree, which is no estimator."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a training fitted."""

    arrays: Arrays
    """Arrays by name: a network's state, or what was taken out of an estimator."""
    structure: Any = field(default=None)
    """JSON of an estimator, in which `{"array": NAME}` stands for an array; None for a network."""


def pack(fitted: Fitted, **about: str) -> bytes:
    """The fitted arrays as safetensors; `about` is written beside the structure."""
    from safetensors.numpy import save

    said = {STRUCTURE: json.dumps(fitted.structure), **about}
    return save(dict(fitted.arrays), {ENTRY: json.dumps(said, sort_keys=True)})


def unpack(content: bytes, **about: str) -> Fitted:
    """What `pack` was given. Raises where the bytes are of something else, or say otherwise than `about`."""
    from safetensors.numpy import load

    arrays, said = load(content), metadata_of(content)
    if wrong := [name for name, value in about.items() if said.get(name) != value]:
        raise ValueError(f"fitted arrays of another {', '.join(wrong)}")
    return Fitted(arrays=arrays, structure=json.loads(said[STRUCTURE]))


def metadata_of(content: bytes) -> dict[str, str]:
    """What `pack` wrote beside the arrays. Raises for other bytes."""
    length = int.from_bytes(content[:8], "little")
    found = json.loads(json.loads(content[8 : 8 + length]).get("__metadata__", {}).get(ENTRY, "{}"))
    if not isinstance(found, dict):
        raise ValueError("metadata that are no table")
    return found


def of_network(state: Mapping[str, Any], method: str) -> Fitted:
    """The state of a network of PyTorch. `UsageError` for a state that is not of tensors alone, by the method's
    name."""
    arrays = {}
    for name, value in state.items():
        try:
            arrays[name] = _plain(value.detach().cpu().contiguous().numpy())
        except (AttributeError, TypeError, ValueError) as error:
            raise unwritable(method, f"a network whose entry {name} is no plain tensor ({error})") from None
    return Fitted(arrays=arrays)


def of_estimator(estimator: Any, method: str) -> Fitted:
    """A fitted estimator of scikit-learn. `UsageError` where it holds what is neither an estimator of scikit-learn, nor
    an array of numbers, nor a plain value; the error names the method."""
    arrays: dict[str, npt.NDArray[Any]] = {}

    def told(value: Any, at: str) -> Any:
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, np.generic) and value.dtype.names is None and value.dtype.name in TYPES:
            arrays[at] = np.array(value)
            return {"scalar": at}
        if isinstance(value, np.ndarray) and value.dtype.names is not None:
            # Field by field: the bytes between fields are undefined.
            columns = {name: told(np.array(value[name]), f"{at}.{name}") for name in value.dtype.names}
            places = {name: int(value.dtype.fields[name][1]) for name in value.dtype.names}
            return {"record": columns, "offsets": places, "size": value.dtype.itemsize}
        if isinstance(value, np.ndarray) and value.dtype == object:
            return {"objects": [told(one, f"{at}.{i}") for i, one in enumerate(value.flat)], "shape": value.shape}
        if isinstance(value, np.ndarray) and value.dtype.name in TYPES:
            arrays[at] = _plain(value)
            return {"array": at}
        if type(value) in (list, tuple):
            return {type(value).__name__: [told(one, f"{at}.{i}") for i, one in enumerate(value)]}
        if type(value) is dict:
            return {"dict": [[told(k, f"{at}.key"), told(v, f"{at}.{k}")] for k, v in value.items()]}
        kind = type(value)
        if (kind.__module__, kind.__qualname__) == TREE:
            _, given, state = value.__reduce__()
            return {"tree": told(list(given), f"{at}.of"), "state": told(state, at)}
        if _is_estimator(kind):
            state = {name: told(one, f"{at}.{name}") for name, one in vars(value).items()}
            return {"estimator": [kind.__module__, kind.__qualname__], "state": state}
        if isinstance(value, type) and _is_estimator(value):
            return {"class": [value.__module__, value.__qualname__]}
        raise unwritable(method, f"{at or 'an estimator'} of class {kind.__module__}.{kind.__qualname__}")

    return Fitted(structure=told(estimator, "estimator"), arrays=arrays)


def estimator_of(fitted: Fitted) -> Any:
    """The estimator that `of_estimator` was given. Raises where the arrays and the structure are of none; nothing but
    classes of scikit-learn is looked up, and nothing of these is called but what sets the nodes of a tree."""

    def made(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        match node:
            case {"scalar": name}:
                return fitted.arrays[name][()]
            case {"array": name}:
                return np.array(fitted.arrays[name])
            case {"record": columns, "offsets": places, "size": size}:
                return _record({name: made(one) for name, one in columns.items()}, places, size)
            case {"objects": values, "shape": shape}:
                array = np.empty(len(values), dtype=object)
                array[:] = [made(one) for one in values]
                return array.reshape(shape)
            case {"list": values}:
                return [made(one) for one in values]
            case {"tuple": values}:
                return tuple(made(one) for one in values)
            case {"dict": pairs}:
                return {made(key): made(value) for key, value in pairs}
            case {"tree": given, "state": state}:
                return _tree(made(given), made(state))
            case {"estimator": [module, name], "state": state}:
                estimator: Any = object.__new__(_class(module, name))
                vars(estimator).update({key: made(value) for key, value in state.items()})
                return estimator
            case {"class": [module, name]}:
                return _class(module, name)
        raise ValueError(f"no part of an estimator: {sorted(node)}")

    return made(fitted.structure)


def unwritable(method: str, what: str) -> UsageError:
    """The error for a method whose fit cannot be written without a pickle."""
    return UsageError(
        got=f"method {method}, whose training ends in {what}",
        expected="a network whose state is tensors, or estimators of scikit-learn that hold arrays, numbers and text",
        fix="leave the weights out; pickles, which would hold anything, are neither written nor read here",
    )


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array in one piece, in the byte order of this machine; `ascontiguousarray` would give a number an axis."""
    plain = np.array(array, order="C", dtype=array.dtype.newbyteorder("="))
    if plain.dtype.name not in TYPES:
        raise ValueError(f"an array of type {plain.dtype}")
    return plain


def _is_estimator(kind: type) -> bool:
    from sklearn.base import BaseEstimator

    return issubclass(kind, BaseEstimator) and LIBRARY.fullmatch(kind.__module__) is not None


def _class(module: str, name: str) -> type:
    kind = getattr(importlib.import_module(module), name, None) if LIBRARY.fullmatch(module) else None
    if not isinstance(kind, type) or not _is_estimator(kind):
        raise ValueError(f"{module}.{name}, which is no estimator of scikit-learn")
    return kind


def _record(columns: Mapping[str, npt.NDArray[Any]], places: Mapping[str, int], size: int) -> npt.NDArray[Any]:
    kind = np.dtype(
        {
            "names": list(columns),
            "formats": [one.dtype for one in columns.values()],
            "offsets": [places[name] for name in columns],
            "itemsize": size,
        }
    )
    table = np.zeros(len(next(iter(columns.values()))), dtype=kind)
    for name, column in columns.items():
        table[name] = column
    return table


def _tree(given: list[Any], state: Mapping[str, Any]) -> Any:
    """The nodes of a decision tree. Raises where a node leads to none: a prediction would read beyond the array."""
    kind = getattr(importlib.import_module(TREE[0]), TREE[1])
    nodes, features = state["nodes"], int(given[0])
    count = len(nodes)
    children = np.stack([nodes["left_child"], nodes["right_child"]])
    inner = children[0] != -1
    sound = (
        count == state["node_count"] == len(state["values"])
        and ((children[:, inner] > np.arange(count)[inner]) & (children[:, inner] < count)).all()
        and ((nodes["feature"][inner] >= 0) & (nodes["feature"][inner] < features)).all()
    )
    if not sound:
        raise ValueError("a tree whose nodes lead nowhere")
    tree = kind(*given)
    tree.__setstate__(dict(state))
    return tree
