"""Content keys: the digest of everything that made a result is its name."""

import hashlib
import json
from collections.abc import Mapping


def content_key(made_of: Mapping[str, object]) -> str:
    """sha256 of canonical JSON. Give it digests, settings and version numbers; never paths, times or host names."""
    return hashlib.sha256(canonical(made_of).encode()).hexdigest()


def canonical(made_of: object) -> str:
    """JSON of which there is one for each content."""
    return json.dumps(made_of, sort_keys=True, separators=(",", ":"))
