"""Clips of which arrays exist already: they are published as the inputs that they are, and nothing is made of files."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from aman.content import content_key
from aman.databases.arrays import array_for
from aman.databases.index import Clip
from aman.databases.reading.npz import Entry, entry_for
from aman.errors import DataError, UsageError
from aman.inputs.base import Array, Input, finite
from aman.inputs.features import Features
from aman.inputs.images import Images
from cluster.features.keys import ClipPlan, Prepared
from cluster.store.results import Cache

Read = Callable[[Path], bytes] | None
"""What gives the bytes of files that are on no disk of this machine."""


def plan_given(clip: Clip, inputs: Sequence[Input], read: Read = None) -> ClipPlan:
    """Keys of a clip of which arrays exist: the digest of its row of the array that each input takes.

    Raises `UsageError` for an input that none of the arrays is and for two inputs that would be given one array,
    `DataError` for a file that cannot be used.
    """
    _refuse_one_for_two(clip, inputs, read)
    return ClipPlan(clip=clip, keys={one: _key(one, _array(clip, one, read)) for one in inputs})


def publish_given(plan: ClipPlan, inputs: Sequence[Input], cache: Cache, read: Read = None) -> Prepared:
    """Publish the clip's arrays under the names of the inputs."""
    made: dict[str, int] = {}
    for one in inputs:
        if not cache.has(one.name, plan.keys[one]):
            cache.publish(one.name, plan.keys[one], one.pack(_array(plan.clip, one, read)))
            made[f"given arrays of {one.name}"] = 1
    return Prepared(clip_id=plan.clip.clip_id, made=made)


def _refuse_one_for_two(clip: Clip, inputs: Sequence[Input], read: Read) -> None:
    """`UsageError` where an array that fits by its shape alone would be taken for two inputs."""
    taken: dict[Entry, Input] = {}
    for one in inputs if len(inputs) > 1 else ():
        assert clip.arrays is not None, f"{clip.clip_id} has frames"
        entry = entry_for(clip.arrays, one.name, one.shape(), read)
        if (other := taken.setdefault(entry, one)) is not one:
            raise UsageError(
                got=f"one array, {entry}, for the inputs {other.name} and {one.name}",
                expected="an array of its own for each of both inputs",
                fix="save an array under the name of each input, or choose another --method",
            )


def _array(clip: Clip, one: Input, read: Read) -> Array:
    assert clip.arrays is not None, f"{clip.clip_id} has frames"
    if isinstance(one, Images | Features):
        raise UsageError(
            got=f"arrays for the input {one.name}, a grid of frames and factors that is made of a clip's frames",
            expected="a method whose inputs are one array a clip",
            fix="--database with the frames of these clips, or another --method",
        )
    array = np.ascontiguousarray(array_for(clip.arrays, one.name, one.shape(), read))
    if not finite(array):
        raise DataError(
            got=f"{clip.source} row {clip.row}, {clip.clip_id}: values that are no numbers in its array for {one.name}",
            expected="finite numbers",
            fix="save that array again, or take the clip out of the table and of every array",
        )
    return array


def _key(one: Input, array: Array) -> str:
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    return content_key({"input": one.name, "given": digest, "type": str(array.dtype), "shape": array.shape})
