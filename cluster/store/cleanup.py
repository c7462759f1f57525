"""A person's view of a store: what is in it, whether it is whole, and what can be thrown away."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aman.files import PARTIAL
from cluster.store.base import Store
from cluster.store.names import ASIDE, BLOBS, REFS, TIMINGS, UNFINISHED, blob_digest, blob_name, ref_name
from cluster.store.results import Ref, parse_ref, write_ref

GRACE_SECONDS = 24 * 3600.0
"""Younger leftovers stay: a running job writes a blob before the name that leads to it."""
OLD_TIMING_SECONDS = 90 * 24 * 3600.0
"""A timing that was measured longer ago than this is removed: its machine or its code is probably gone, its key does
not say so, and an estimate measures it again where a user asks for it."""

Damage = Callable[[str, str, bytes], str]
"""Why a content is not a result of this kind and key, as far as it alone tells; empty where it may be one."""
Say = Callable[[str], None]


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
    timings: int
    """Timings that were measured for estimates."""


def status(store: Store) -> Status:
    """Count what is there; reads no content."""
    kinds: Counter[str] = Counter(name.split("/", 2)[1] for name in store.names(REFS))
    sizes = [size for name, _, size in store.ages(BLOBS) if PARTIAL not in name and size]
    aside, timings = (sum(1 for _ in store.names(place)) for place in (ASIDE, TIMINGS))
    results = dict(sorted(kinds.items()))
    return Status(results=results, blobs=len(sizes), size=sum(sizes), aside=aside, timings=timings)


def each_ref(store: Store) -> Iterator[tuple[str, str, str, Ref | None]]:
    """Name, kind, key and content of every ref; no content where it is damaged or names something else."""
    for name in store.names(REFS):
        kind, key = name.split("/")[1], name.rpartition("/")[2]
        content = store.get(name)
        if content is not None:
            yield name, kind, key, parse_ref(content, kind, key) if name == ref_name(kind, key) else None


def verify(store: Store, say: Say, damage: Damage = lambda kind, key, content: "") -> tuple[int, int]:
    """Read every object and compare it with its name. A wrong object is set aside; the next run computes it again.

    How many blobs are sound, and how many objects were set aside: blobs of other bytes than their digest says, refs
    that are damaged or of another kind or key, refs to what `damage` calls no result of their kind and key, and timings
    that `damage` calls none. What no look at an object can tell is whether a ref of the first releases, which says no
    key, leads to its own result.
    """
    leading: dict[str, list[tuple[str, str, str]]] = {}
    sound = damaged = unbound = 0
    for name, kind, key, ref in each_ref(store):
        if ref is None:
            damaged += 1
            store.set_aside(name)
            say(f"damaged: {_shown(name)} is not the name of a {kind} result of that key, set aside")
        else:
            unbound += not ref.bound
            leading.setdefault(ref.digest, []).append((name, kind, key))
    for name in store.names(BLOBS):
        content = store.get(name)
        if content is None:
            continue
        if hashlib.sha256(content).hexdigest() != blob_digest(name):
            damaged += 1
            store.set_aside(name)
            say(f"damaged: {_shown(name)}, set aside")
            continue
        sound += 1
        for ref_of, kind, key in leading.get(blob_digest(name), ()):
            if why := damage(kind, key, content):
                damaged += 1
                store.set_aside(ref_of)
                say(f"damaged: {_shown(ref_of)} leads to {why}, set aside")
    for name in store.names(TIMINGS):
        content = store.get(name)
        if content is not None and (why := damage(TIMINGS, name.rpartition("/")[2], content)):
            damaged += 1
            store.set_aside(name)
            say(f"damaged: {_shown(name)} is {why}, set aside")
    if unbound:
        say(f"{unbound} results are of an early release and do not say which key they are of (jobs/cache.py bind)")
    return sound, damaged


def bind_results(store: Store, say: Say, damage: Damage = lambda kind, key, content: "") -> tuple[int, int]:
    """Write the refs of the first releases as they are written today, with the kind and key that they are of.

    How many were written, and how many were not, because they lead to no sound blob or to what `damage` calls no result
    of their kind and key; those are set aside. Proven for each that was written: its bytes are what was stored, and
    they are of the form of its kind. Not proven: that they were stored under the right key. A mistake that was made
    before is bound with the rest; from then on no ref can take another's place unnoticed.
    """
    bound = left = 0
    for name, kind, key, ref in list(each_ref(store)):
        if ref is None or ref.bound:
            continue
        content = store.get(blob_name(ref.digest))
        why = "no sound blob"
        if content is not None and hashlib.sha256(content).hexdigest() == ref.digest and len(content) == ref.size:
            why = damage(kind, key, content)
        if why:
            left += 1
            store.set_aside(name)
            say(f"not bound: {_shown(name)} leads to {why}, set aside")
        else:
            bound += 1
            store.replace(name, write_ref(kind, key, ref.digest, ref.size))
    return bound, left


def removable(store: Store, grace: float = GRACE_SECONDS) -> Iterator[tuple[str, int, str]]:
    """Name, bytes and reason of what no run can use: what was set aside, leftovers of killed writers, and blobs that no
    name leads to; and of timings older than `OLD_TIMING_SECONDS`, on which no result depends. What is younger than
    `grace` seconds stays, for a running job may be about to name it."""
    used = {ref.digest for _, _, _, ref in each_ref(store) if ref is not None}
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
        elif name.startswith(f"{TIMINGS}/") and age >= OLD_TIMING_SECONDS:
            yield name, size, f"a timing for estimates, measured {age / 86400:.0f} days ago"


def _shown(name: str) -> str:
    """A name for people; that of a file may hold bytes that are no text."""
    return name.encode(errors="backslashreplace").decode()
