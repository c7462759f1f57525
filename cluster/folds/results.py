"""Results of folds as bytes, and whether bytes are the result of a fold."""

import json
import math
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol

from aman.inputs.base import arrays_of
from aman.training.fold import NOBODY, FoldResult
from cluster.folds.timing import parse_timing
from cluster.store.names import FOLDS, TIMINGS
from cluster.store.results import Cache


class Expected(Protocol):
    """What is known of a fold before it is trained: a `Fold` or a `FoldTask`."""

    @property
    def subject(self) -> str: ...
    @property
    def test_clips(self) -> tuple[str, ...]: ...
    @property
    def classes(self) -> int: ...


def pack_result(result: FoldResult, key: str) -> bytes:
    """The result of the fold of this key as JSON; floats keep every digit. `ValueError` for what is no result, so that
    a method that makes one fails here, where it can be said, and is not taken for a damaged store."""
    content = json.dumps({**asdict(result), "key": key}).encode()
    unpack_result(content, key)
    return content


def read_result(cache: Cache, key: str, fold: Expected) -> FoldResult | None:
    """A finished fold, or None. What is stored under its key and is no result of this fold is set aside.

    A result says which key it is of, and that is checked with its subject, its clips and its classes. Those of the
    first releases say no key: one that was stored under the name of another fold is noticed where subject, clips or
    classes differ, and not where only the seed or a setting does.
    """
    return cache.load(FOLDS, key, partial(unpack_result, key=key, fold=fold))


def unpack_result(content: bytes, key: str, fold: Expected | None = None) -> FoldResult:
    """The result that these bytes are, of this key and, where that is known, this fold. Raises for all else.

    Results of the first releases have `alpha` and `beta` beside the rest.
    """
    values: dict[str, Any] = json.loads(content)
    if values.pop("key", key) != key:
        raise ValueError("the result of another key")
    extras = dict(values.pop("extras", {}))
    extras |= {name: values.pop(name) for name in ("alpha", "beta") if name in values}
    values |= {"clips": tuple(values["clips"]), "extras": extras}
    result = FoldResult(**values)
    if fold is not None and (result.subject, result.clips) != (fold.subject, fold.test_clips):
        raise ValueError(f"the result of {result.subject}, not of {fold.subject}")
    count = len(result.clips)
    classes = fold.classes if fold is not None else len(result.probabilities[0]) if count else 0
    sound = (
        isinstance(result.subject, str)
        and (count > 0) != (result.subject == NOBODY)
        and all(isinstance(clip, str) for clip in result.clips)
        and _rows(result.probabilities, count)
        and all(_rows(row, classes) and all(map(_number, row)) for row in result.probabilities)
        and isinstance(result.epoch_classes, list)
        and (len(result.epoch_classes) > 0) == (count > 0)
        and all(_rows(row, count) for row in result.epoch_classes)
        and all(type(one) is int and 0 <= one < classes for row in result.epoch_classes for one in row)
        and isinstance(result.losses, list)
        and all(map(_number, result.losses))
        and _number(result.seconds)
        and result.seconds >= 0
        and isinstance(result.weights_sha256, str)
        and isinstance(result.device, str)
        and all(_rows(rows, count) for rows in result.extras.values())
    )
    if not sound:
        raise ValueError("values that no fold results in")
    return result


def damage(kind: str, key: str, content: bytes) -> str:
    """Why these bytes are not a result (or a timing) of this kind and key, as far as they alone tell; empty where they
    may be.

    For arrays of clips that is whether they are arrays of finite numbers: their shape is known to whoever uses them.
    """
    if kind == TIMINGS:
        return "" if parse_timing(content) else "no timing"
    try:
        if kind == FOLDS:
            unpack_result(content, key)
        else:
            arrays_of(content)
    except MemoryError:
        raise
    except Exception as error:
        return f"no result of {kind} ({type(error).__name__}: {error})"[:200]
    return ""


def _rows(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
