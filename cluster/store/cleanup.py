"""A person's view of a store: what is in it, whether it is whole, and what can be thrown away."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aman.files import PARTIAL
from cluster.store.base import Store
from cluster.store.names import ASIDE, BLOBS, REFS, UNFINISHED, blob_digest

GRACE_SECONDS = 24 * 3600.0
"""Younger leftovers stay: a running job writes a blob before the name that leads to it."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What lies in a store."""

    results: dict[str, int]
    """Results of each kind (images, features, folds)."""
    blobs: int
    size: int
    """Bytes of all blobs."""
    aside: int
    """Damaged objects that were set aside."""


def status(store: Store) -> Status:
    """Count what is there; reads no content."""
    kinds: Counter[str] = Counter(name.split("/")[1] for name in store.names(REFS))
    sizes = [size for name, _, size in store.ages(BLOBS) if PARTIAL not in name and size]
    aside = sum(1 for _ in store.names(ASIDE))
    return Status(results=dict(sorted(kinds.items())), blobs=len(sizes), size=sum(sizes), aside=aside)


def verify(store: Store, say: Callable[[str], None]) -> tuple[int, int]:
    """Read every blob and set damaged ones aside, so that the next run makes them anew; sound and damaged blobs."""
    sound = damaged = 0
    for name in store.names(BLOBS):
        content = store.get(name)
        if content is not None and hashlib.sha256(content).hexdigest() == blob_digest(name):
            sound += 1
        elif content is not None:
            damaged += 1
            store.set_aside(name)
            say(f"damaged: {name}, set aside")
    return sound, damaged


def removable(store: Store, grace: float = GRACE_SECONDS) -> Iterator[tuple[str, int, str]]:
    """Name, bytes and reason of what no run can use: what was set aside, leftovers of killed writers, and blobs that no
    name leads to. What is younger than `grace` seconds stays, for a running job may be about to name it."""
    used = set()
    for name in store.names(REFS):
        try:
            used.add(json.loads(store.get(name) or b"null")["digest"])
        except (ValueError, KeyError, TypeError):
            continue  # a damaged name leads nowhere
    for name, age, size in store.ages(""):
        if age < grace:
            continue
        if name.startswith(f"{ASIDE}/"):
            yield name, size, "was damaged and set aside"
        elif name.startswith(f"{UNFINISHED}/"):
            yield name, size, "the state of a fold that nobody goes on with"
        elif PARTIAL in name:
            yield name, size, "left by a writer that was killed"
        elif name.startswith(f"{BLOBS}/") and blob_digest(name) not in used:
            yield name, size, "no result leads to it"
