"""The cache: what was computed, under the digest of everything that made it.

`blobs/<sha256>` holds bytes under their own digest, `refs/<kind>/<key>` says which blob a key's result is. Bytes
first, name second, so a name that can be read leads to whole bytes. A ref holds the kind and the key that it is of, and
a digest over all that it says: one that was renamed, copied or changed is a miss, as is one without a sound blob.

Refs of the first releases say neither kind nor key. They count, because nothing else tells their results; what their
blobs hold is checked by whoever asks for it. `bind_results` in `cluster.store.cleanup` writes them as they are today.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from aman.errors import UserError
from cluster.store.base import Store
from cluster.store.names import REFS, blob_name, ref_name

DIGEST = re.compile(r"[0-9a-f]{64}")
LONGEST_REF = 4096
"""Bytes: what is longer is no ref, and is not parsed."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ref:
    """Where the result of a key is."""

    digest: str
    size: int
    bound: bool
    """Whether the ref itself says which kind and key it is of."""


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
        ref = parse_ref(entry, kind, key)
        if ref is None:
            self.store.set_aside(ref_name(kind, key))
            return None
        content = self.store.get(blob_name(ref.digest))
        if content is not None and hashlib.sha256(content).hexdigest() == ref.digest:
            return content
        self.store.set_aside(blob_name(ref.digest))
        self.store.set_aside(ref_name(kind, key))
        return None

    def load(self, kind: str, key: str, unpack: Callable[[bytes], T]) -> T | None:
        """What `unpack` makes of the result, or None where there is none.

        Where `unpack` raises, the bytes are not a result of this key: the ref is set aside and the result counts as
        absent. The blob stays, for it is what its own digest says and may be the result of another key.
        """
        content = self.read(kind, key)
        if content is None:
            return None
        try:
            return unpack(content)
        except (UserError, MemoryError):
            raise
        except Exception:
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
        ref = write_ref(kind, key, digest, len(content))
        if not self.store.put(ref_name(kind, key), ref):
            winner = self._ref(kind, key)
            if winner is not None and self.store.size(blob_name(winner.digest)) == winner.size:
                return winner.digest
            self.store.set_aside(ref_name(kind, key))
            self.store.put(ref_name(kind, key), ref)
        return digest

    def _ref(self, kind: str, key: str) -> Ref | None:
        return parse_ref(self.store.get(ref_name(kind, key)) or b"", kind, key)


def write_ref(kind: str, key: str, digest: str, size: int) -> bytes:
    """The content of a ref."""
    return json.dumps(_entry(kind, key, digest, size)).encode()


def parse_ref(content: bytes, kind: str, key: str) -> Ref | None:
    """What the ref of this kind and key says; None where it is damaged or the ref of something else."""
    if len(content) > LONGEST_REF:
        return None
    try:
        entry = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    digest, size = entry.get("digest"), entry.get("size")
    if not (isinstance(digest, str) and DIGEST.fullmatch(digest) and type(size) is int and size > 0):
        return None
    bound = entry.keys() != {"digest", "size"}
    return None if bound and entry != _entry(kind, key, digest, size) else Ref(digest, size, bound)


def _entry(kind: str, key: str, digest: str, size: int) -> dict[str, object]:
    seal = hashlib.sha256("\n".join((kind, key, digest, str(size))).encode()).hexdigest()
    return {"digest": digest, "size": size, "kind": kind, "key": key, "seal": seal}
