"""Content keys: the digest of everything that made a result is its name."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


def content_key(made_of: Mapping[str, object]) -> str:
    """sha256 of canonical JSON. Give it digests, settings and version numbers; never paths, times or host names."""
    return hashlib.sha256(canonical(made_of).encode()).hexdigest()


def canonical(made_of: object) -> str:
    """JSON of which there is one for each content."""
    return json.dumps(made_of, sort_keys=True, separators=(",", ":"))


def digest_of(arrays: "Mapping[str, npt.NDArray[Any]]") -> str:
    """sha256 over names, types, shapes and bytes of arrays: the identity of a network's weights in keys and runs."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()
