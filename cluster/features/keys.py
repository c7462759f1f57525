"""Content keys of clips: what each clip's cached stages are called, known before anything is computed."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from aman.databases.index import Clip
from aman.errors import DataError
from aman.frames import digests as file_digests
from aman.inputs.base import ClipFacts, Input, keys_of, stages
from aman.versions import version_of
from cluster.store.results import Cache

Digests = Callable[[Sequence[Path]], Sequence[str]]
"""What gives the sha256 of files."""

HASHING_THREADS = 4
READERS = 8
"""Objects that are asked for at a time: in a bucket each is two requests."""
FEW = 100
"""So many objects are looked up one by one; for more, the store is asked once what it has."""


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """One clip and the names of what is made of it."""

    clip: Clip
    keys: Mapping[Input, str]
    """Key of every stage of the wanted inputs."""
    digests: tuple[str, ...] = ()
    """sha256 of each file in `clip.frames`."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What became of one clip."""

    clip_id: str
    made: Mapping[str, int]
    """How much was made, by the units of the stages: `{"images magnified": 220}`."""
    seconds: float = 0
    error: DataError | None = None
    notes: tuple[str, ...] = ()
    """Sentences about this clip for the user. The clip is used."""


def plan_clip(
    clip: Clip, inputs: Sequence[Input], weights: Mapping[str, str], digests: Digests = file_digests
) -> ClipPlan:
    """Content keys of one clip. Reads the bytes of its frames, keeps none.

    A frame of a video is named by the digest of the file and its number in it.
    """
    files = tuple(digests(clip.frames))
    frames = files
    if clip.video:
        frames = tuple(f"{files[0]} frame {number}" for number in range(clip.onset, max(clip.onset, clip.offset) + 1))
    position = clip.apex_position
    facts = ClipFacts(
        digests=frames,
        onset=clip.onset,
        apex=None if position is None else clip.onset + position,
        offset=clip.offset,
        times=clip.times,
        fps=clip.fps,
        weights=weights,
    )
    return ClipPlan(clip=clip, keys=keys_of(inputs, facts), digests=files)


def plan_clips(
    clips: Sequence[Clip], inputs: Sequence[Input], weights: Mapping[str, str], digests: Digests = file_digests
) -> tuple[list[ClipPlan], list[Prepared]]:
    """Keys of all clips, and the clips whose files cannot be read."""

    def attempt(clip: Clip) -> ClipPlan | Prepared:
        try:
            return plan_clip(clip, inputs, weights, digests)
        except DataError as error:
            return Prepared(clip_id=clip.clip_id, made={}, error=error)

    for code in (code for stage in stages(inputs) for code in stage.code()):
        version_of(code)  # read and remembered here, for parsing is no work for several threads
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        results = list(pool.map(attempt, clips))
    plans = [result for result in results if isinstance(result, ClipPlan)]
    return plans, [result for result in results if isinstance(result, Prepared)]


def missing(plans: Sequence[ClipPlan], inputs: Sequence[Input], cache: Cache) -> list[ClipPlan]:
    """Clips of which the cache lacks an input: wanted minus present.

    Of many clips the store is asked once what it has, and then, several at a time, about those that it has.
    """

    def whole(plan: ClipPlan) -> bool:
        return all(cache.has(one.name, plan.keys[one]) for one in inputs)

    if len(plans) <= FEW:
        return [plan for plan in plans if not whole(plan)]
    there = {one: cache.keys(one.name) for one in inputs}
    found = [plan for plan in plans if all(plan.keys[one] in there[one] for one in inputs)]
    with ThreadPoolExecutor(READERS) as readers:
        sound = {plan.clip.clip_id for plan, one in zip(found, readers.map(whole, found), strict=True) if one}
    return [plan for plan in plans if plan.clip.clip_id not in sound]
