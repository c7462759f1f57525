"""The cache: what was computed, under the digest of everything that made it.

`blobs/<sha256>` holds bytes under their own digest, `refs/<kind>/<key>` says which blob a key's result is. Bytes
first, name second, so a name that can be read leads to whole bytes. A ref without a sound blob is a miss.
"""

import hashlib
import json
import re
from dataclasses import dataclass

from cluster.store.base import Store
from cluster.store.names import REFS, blob_name, ref_name

DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Ref:
    """Where the result of a key lies."""

    digest: str
    size: int


class Cache:
    """Results by kind and key over a store; every read is verified."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def has(self, kind: str, key: str) -> bool:
        """Whether a result is there, by name and size; only `read` looks at its bytes."""
        ref = self._ref(kind, key)
        return ref is not None and self.store.size(blob_name(ref.digest)) == ref.size

    def read(self, kind: str, key: str) -> bytes | None:
        """The result, whole and as it was written, or None. A damaged one is set aside and counts as absent."""
        entry = self.store.get(ref_name(kind, key))
        if entry is None:
            return None
        ref = _parsed(entry)
        if ref is None:
            self.store.set_aside(ref_name(kind, key))
            return None
        content = self.store.get(blob_name(ref.digest))
        if content is not None and hashlib.sha256(content).hexdigest() == ref.digest:
            return content
        self.store.set_aside(blob_name(ref.digest))
        self.store.set_aside(ref_name(kind, key))
        return None

    def keys(self, kind: str) -> set[str]:
        """Keys of all results of a kind, in one look: for who would ask for thousands. Only `read` looks at bytes."""
        return {name.rpartition("/")[2] for name in self.store.names(f"{REFS}/{kind}/")}

    def publish(self, kind: str, key: str, content: bytes) -> str:
        """Store a result; the digest of the one that counts, which is another writer's if that was first."""
        digest = hashlib.sha256(content).hexdigest()
        if not self.store.put(blob_name(digest), content) and self.store.size(blob_name(digest)) != len(content):
            self.store.set_aside(blob_name(digest))
            self.store.put(blob_name(digest), content)
        ref = json.dumps({"digest": digest, "size": len(content)}).encode()
        if not self.store.put(ref_name(kind, key), ref):
            winner = self._ref(kind, key)
            if winner is not None and self.store.size(blob_name(winner.digest)) == winner.size:
                return winner.digest
            self.store.set_aside(ref_name(kind, key))
            self.store.put(ref_name(kind, key), ref)
        return digest

    def _ref(self, kind: str, key: str) -> Ref | None:
        return _parsed(self.store.get(ref_name(kind, key)) or b"null")


def _parsed(content: bytes) -> Ref | None:
    """What a ref says, or None where it is damaged."""
    try:
        entry = json.loads(content)
        ref = Ref(entry["digest"], int(entry["size"]))
        return ref if DIGEST.fullmatch(ref.digest) else None
    except (ValueError, KeyError, TypeError):
        return None
