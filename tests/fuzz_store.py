"""Damaged stores and files of weights, drawn from a seed: what is read is either right or none, and nothing else.

`cases(seed, number)` yields mutations; each is made on a copy of a small sound store or file, and `outcome` says what
became of it: `right`, `miss` or `refused`. Anything else is a failure: another exception, or another value.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from aman.errors import DataError, UsageError
from aman.inputs.flow import SmallFlow
from aman.training import FoldResult, FoldTask
from cluster.folds.results import pack_result, read_result
from cluster.store.folder import FolderStore
from cluster.store.names import FOLDS, blob_name, ref_name
from cluster.store.results import Cache, write_ref

PARTS = ("features", "folds", "weights")
BYTES = ("flip", "cut", "empty", "grow", "swap", "zeros", "random")
"""Damage of bytes, which digests tell."""
FORMS = ("folder", "circle", "nowhere", "file for folder", "deep", "infinite", "other key", "form")
"""Damage of names and of what they lead to, with digests that are right."""
INPUT = SmallFlow(size=4)
KEYS = ("a" * 64, "b" * 64)
TASK = FoldTask(
    subject="s1", train_clips=("c2",), train_labels=(0,), test_clips=("c0", "c1"), classes=2, seed=0, train_subjects=()
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One mutation."""

    part: str
    """What is read: features, folds or weights."""
    damage: str
    where: str
    """The object that is damaged: ref or blob."""
    seed: int


def cases(seed: int, number: int) -> Iterator[Case]:
    """So many mutations; the same seed draws the same ones."""
    draw = random.Random(seed)
    for _ in range(number):
        part = draw.choice(PARTS)
        damage = draw.choice(BYTES if part == "weights" else BYTES + FORMS)
        yield Case(part=part, damage=damage, where=draw.choice(("ref", "blob")), seed=draw.randrange(2**32))


def outcome(case: Case, folder: Path) -> str:
    """Make the mutation in this empty folder and read what is damaged; `right`, `miss` or `refused`."""
    draw = random.Random(case.seed)
    if case.part == "weights":
        return _weights(case, folder, draw)
    store = FolderStore(folder / "store")
    results, kind = Cache(store), INPUT.name if case.part == "features" else FOLDS
    for key, content in zip(KEYS, _contents(case.part), strict=True):
        results.publish(kind, key, content)
    right = _unpack(case.part, Cache(store))
    _damage(case, store, kind, draw)
    found = _unpack(case.part, results)
    if found is not None and not _equal(found, right):
        raise AssertionError(f"{case}: another value")
    results.publish(kind, KEYS[0], _contents(case.part)[0])
    if not _equal(_unpack(case.part, results), right):
        raise AssertionError(f"{case}: it cannot be made again")
    return "miss" if found is None else "right"


def _unpack(part: str, results: Cache) -> Any:
    if part == "features":
        return results.load(INPUT.name, KEYS[0], INPUT.unpack)
    return read_result(results, KEYS[0], TASK)


def _equal(found: Any, right: Any) -> bool:
    return bool(np.array_equal(found, right)) if isinstance(right, np.ndarray) else bool(found == right)


@cache
def _contents(part: str) -> tuple[bytes, bytes]:
    """The results of both keys."""
    draw = np.random.default_rng(0)
    if part == "features":
        first, second = (INPUT.pack(draw.random(INPUT.shape(), dtype=np.float32)) for _ in KEYS)
        return first, second
    packed = []
    for key in KEYS:  # as of two seeds: all is alike but the numbers
        values = draw.random((2, 2))
        result = FoldResult(
            subject="s1", clips=TASK.test_clips, probabilities=values.tolist(), epoch_classes=[[0, 1]], losses=[0.5],
            weights_sha256=key, seconds=1.0, device="cpu", extras={"alpha": values.tolist()},
        )  # fmt: skip
        packed.append(pack_result(result, key))
    return packed[0], packed[1]


def _damage(case: Case, store: FolderStore, kind: str, draw: random.Random) -> None:
    first, other = _contents(case.part)
    name = ref_name(kind, KEYS[0])
    blob = blob_name(hashlib.sha256(first).hexdigest())
    path = store.folder / (name if case.where == "ref" else blob)
    if case.damage in BYTES:
        path.write_bytes(mutated(path.read_bytes(), case.damage, draw))
    elif case.damage in ("folder", "circle", "nowhere"):
        path.unlink()
        path.mkdir() if case.damage == "folder" else path.symlink_to(path if case.damage == "circle" else "nowhere")
    elif case.damage == "file for folder":
        shutil.rmtree(path.parent)
        path.parent.write_bytes(b"") if draw.random() < 0.5 else path.parent.symlink_to(path.parent)
    elif case.damage == "deep":
        depth = draw.choice((500, 100_000))
        replaced(store, kind, b"[" * depth + b"]" * depth, case.where == "ref")
    elif case.damage == "infinite":
        size = draw.choice((float("inf"), -1, 1.5, True, None, "9", 10**30))
        (store.folder / name).write_text(json.dumps({"digest": blob.rpartition("/")[2], "size": size}))
    elif case.damage == "other key":
        ref = (store.folder / ref_name(kind, KEYS[1])).read_bytes()
        if case.where == "blob":  # only what it says of the bytes
            mine, theirs = json.loads((store.folder / name).read_bytes()), json.loads(ref)
            ref = json.dumps({**mine, "digest": theirs["digest"], "size": theirs["size"]}).encode()
        if case.part == "folds" and draw.random() < 0.5:  # a ref that says no key, as of the first releases
            ref = json.dumps({"digest": hashlib.sha256(other).hexdigest(), "size": len(other)}).encode()
        (store.folder / name).write_bytes(ref)
    else:
        replaced(store, kind, _other_form(case.part, first, draw), False)


def replaced(store: FolderStore, kind: str, content: bytes, ref: bool) -> None:
    """Put another content in the place of the ref, or of the blob that it leads to with digests that are right."""
    name = ref_name(kind, KEYS[0])
    if not ref:
        digest = hashlib.sha256(content).hexdigest()
        store.replace(blob_name(digest), content)
        content = write_ref(kind, KEYS[0], digest, len(content))
    (store.folder / name).write_bytes(content)


def _other_form(part: str, content: bytes, draw: random.Random) -> bytes:
    """Bytes that are no result, though whole."""
    if part == "features":
        array = load(content)[INPUT.name]
        odd: list[Callable[[], bytes]] = [
            lambda: save({INPUT.name: np.full_like(array, np.nan)}),
            lambda: save({INPUT.name: np.full_like(array, np.inf)}),
            lambda: save({INPUT.name: array[:2]}),
            lambda: save({INPUT.name: array[None]}),
            lambda: save({"other": array, "more": array}),
            lambda: save({}) + b" ",
            lambda: b"\0" * 8,
            lambda: (2**63).to_bytes(8, "little") + content,
            lambda: json.dumps({"subject": "s1"}).encode(),
        ]
        return draw.choice(odd)()
    values = json.loads(content)
    field = draw.choice(sorted(values))
    worst: list[Any] = [None, [], {}, "x", -1, [[float("nan")] * 2] * 2, [["a", "b"]] * 2, [[0.1]], 10**400, [[5, 5]]]
    if draw.random() < 0.2:
        return draw.choice((b"null", b"[]", b"{}", b"\xff", b"1", save({"a": np.zeros(1)})))
    if draw.random() < 0.2:
        values["unknown"] = 1
        return json.dumps(values).encode()
    if field in ("weights_sha256", "device"):
        worst = [None, [], {}, -1]
    if field == "losses":
        worst = [None, {"a": 1}, "x", -1, [float("nan")], [[1]]]
    if field == "extras":
        worst = [None, "x", -1, {"alpha": [1]}, {"alpha": 1}]
    return json.dumps({**values, field: draw.choice(worst)}).encode()


def mutated(content: bytes, damage: str, draw: random.Random) -> bytes:
    """The content with this damage."""
    changed, at = bytearray(content), draw.randrange(len(content))
    if damage == "flip":
        changed[at] ^= 1 << draw.randrange(8)
    elif damage == "cut":
        del changed[at:]
    elif damage == "empty":
        changed.clear()
    elif damage == "grow":
        changed += draw.randbytes(draw.randrange(1, 50))
    elif damage == "swap":
        to = draw.randrange(len(content))
        changed[at], changed[to] = changed[to], changed[at]
    elif damage == "zeros":
        changed[at : at + 20] = bytes(len(changed[at : at + 20]))
    else:
        changed[:] = draw.randbytes(len(content))
    return bytes(changed)


@cache
def _network() -> Any:
    import torch

    from aman.magnify.network import Magnifier

    torch.manual_seed(0)
    return Magnifier(padding="reflect").half().float().eval()


def _weights(case: Case, folder: Path, draw: random.Random) -> str:
    """A file of weights holds no digest: what changes its numbers makes other finite weights; all else is refused."""
    import torch

    from aman.magnify.weights import load_magnifier, save_magnifier

    path = folder / ("weights.safetensors" if case.where == "ref" else "weights.pt")
    if case.where == "ref":
        save_magnifier(_network(), path)
    else:
        torch.save(_network().state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(mutated(content[:8000], case.damage, draw) + content[8000:])
    try:
        state = load_magnifier(str(path)).state_dict()
    except (UsageError, DataError):
        return "refused"
    wanted = _network().state_dict()
    shapes = {name: tensor.shape for name, tensor in wanted.items()}
    if {name: tensor.shape for name, tensor in state.items()} != shapes:
        raise AssertionError(f"{case}: another network")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        raise AssertionError(f"{case}: values that are no numbers")
    return "right"


def run(seed: int, number: int, folder: Path) -> dict[str, int]:
    """All mutations of a seed; how often each outcome came."""
    counts: dict[str, int] = {}
    for place, case in enumerate(cases(seed, number)):
        here = folder / str(place)
        here.mkdir(parents=True)
        said = outcome(case, here)
        counts[said] = counts.get(said, 0) + 1
        shutil.rmtree(here)
    return counts


__all__ = ["Case", "cases", "mutated", "outcome", "run"]
