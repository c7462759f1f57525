"""Clips to cached features: every clip once, in parallel, whatever was done before left as it is."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from aman.databases.index import Clip
from aman.errors import DataError
from aman.frames import digests as file_digests
from aman.frames import read_bytes
from aman.recipe import FACE_SIZE, FEATURE_DTYPE, INTERPOLATED_FRAMES, MAGNIFIER_NAMES, TRUNK_NAMES, Preparation
from cluster.cache import Cache, content_key
from cluster.raw import clip_reader
from cluster.storage import open_store

Digests = Callable[[Sequence[Path]], Sequence[str]]
"""What gives the sha256 of files."""

VERSIONS = {"decode": 1, "align": 1, "tim": 1, "features": 1}
"""Raise a number when that stage's output changes: everything made with it is then made anew."""

IMAGES, FEATURES = "images", "features"
HASHING_THREADS = 4
IN_FLIGHT_PER_SLOT = 2
"""Clips handed out beyond the running ones: enough to keep workers busy, few enough to bound memory."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Digests of the models a preparation uses; known before any clip is read."""

    landmark_model: str
    trunk: str
    magnifier: str = ""
    """Digest of the weights and their padding; empty for magnifiers without weights."""


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """One clip and the names of what is made of it."""

    clip: Clip
    images_key: str
    features_key: str
    """Equal to `images_key` where nothing is frozen: the images are then what is trained on."""
    digests: tuple[str, ...] = ()
    """sha256 of each frame's file."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What became of one clip."""

    clip_id: str
    magnified: int = 0
    """Images that were magnified."""
    passes: int = 0
    """Images that went through the trunk."""
    seconds: float = 0
    error: DataError | None = None


@dataclass(kw_only=True)
class Report:
    """What a preparation did: clips computed, images magnified, trunk passes, clips that failed."""

    computed: int = 0
    magnified: int = 0
    passes: int = 0
    failed: list[Prepared] = field(default_factory=list)


def inputs(preparation: Preparation) -> Inputs:
    """Digests of the landmark model, the trunk and the magnifier (`UsageError` where one is missing)."""
    from aman.backbone import digest, trunk_digest
    from aman.faces import landmark_model_digest, landmark_model_path
    from aman.magnify import is_learned

    landmark_model = ""
    if preparation.align == "landmarks":
        landmark_model = landmark_model_digest(landmark_model_path(preparation.landmark_model))
    magnifier = ""
    if is_learned(preparation.magnifier):
        from aman.magnify.weights import load_magnifier

        network = load_magnifier(preparation.magnifier)
        magnifier = f"{digest(network)}-{network.padding}"
    return Inputs(landmark_model=landmark_model, trunk=trunk_digest(preparation.trunk), magnifier=magnifier)


def plan_clip(clip: Clip, preparation: Preparation, models: Inputs, digests: Digests = file_digests) -> ClipPlan:
    """Content keys of one clip. Reads its frames' bytes, keeps none."""
    from aman.faces import FOREHEAD
    from aman.magnify import VERSIONS as MAGNIFIER_VERSIONS
    from aman.magnify import is_learned
    from aman.tim import grid_factors, grid_frames

    # Weights count, not their path; a magnifier without weights keeps the key that it had before there were any.
    learned = is_learned(preparation.magnifier)
    name = "learned" if learned else preparation.magnifier
    frames = tuple(digests(clip.frames))
    images = {
        "frames": frames,
        "decode": VERSIONS["decode"],
        "align": [preparation.align, FACE_SIZE, FOREHEAD, models.landmark_model, VERSIONS["align"]],
        "tim": [INTERPOLATED_FRAMES, VERSIONS["tim"]],
        "magnifier": [name, MAGNIFIER_VERSIONS[name], *([models.magnifier] if learned else [])],
        "grid": [grid_frames(preparation), grid_factors(preparation)],
    }
    images_key = content_key(images)
    if preparation.frozen == "none":
        return ClipPlan(clip=clip, images_key=images_key, features_key=images_key, digests=frames)
    features = {
        "images": images_key,
        "trunk": models.trunk,
        "frozen": preparation.frozen,
        "dtype": FEATURE_DTYPE,
        "version": VERSIONS["features"],
    }
    return ClipPlan(clip=clip, images_key=images_key, features_key=content_key(features), digests=frames)


def plan_clips(
    clips: Sequence[Clip], preparation: Preparation, models: Inputs, digests: Digests = file_digests
) -> tuple[list[ClipPlan], list[Prepared]]:
    """Keys of all clips, and the clips whose files cannot be read."""

    def attempt(clip: Clip) -> ClipPlan | Prepared:
        try:
            return plan_clip(clip, preparation, models, digests)
        except DataError as error:
            return Prepared(clip_id=clip.clip_id, error=error)

    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        results = list(pool.map(attempt, clips))
    plans = [result for result in results if isinstance(result, ClipPlan)]
    return plans, [result for result in results if isinstance(result, Prepared)]


def kind_of(preparation: Preparation) -> str:
    """Kind of the cached object that folds are trained on."""
    return IMAGES if preparation.frozen == "none" else FEATURES


def missing(plans: Sequence[ClipPlan], preparation: Preparation, cache: Cache) -> list[ClipPlan]:
    """Clips whose features are not in the cache: wanted minus present."""
    return [plan for plan in plans if not cache.has(kind_of(preparation), plan.features_key)]


def prepare_clip(
    plan: ClipPlan, preparation: Preparation, cache: Cache, files: Sequence[bytes] | None = None
) -> Prepared:
    """Make whatever of the clip is missing and publish it; a clip that cannot be used comes back with its error.

    `files` holds the content of its frames where their paths may not be seen from here.
    """
    from aman.backbone import features
    from cluster.containers import pack_features, pack_images, unpack_images

    begun = perf_counter()
    magnified = passes = 0
    content = cache.read(IMAGES, plan.images_key)
    if content is None:
        try:
            image_LKHWC = magnified_images(plan, preparation, files)
        except DataError as error:
            return Prepared(clip_id=plan.clip.clip_id, error=error)
        magnified = image_LKHWC.shape[0] * image_LKHWC.shape[1]
        cache.publish(IMAGES, plan.images_key, pack_images(image_LKHWC))
    else:
        image_LKHWC = unpack_images(content, range(preparation.grid_frames), range(preparation.grid_factors))
    if preparation.frozen != "none" and not cache.has(FEATURES, plan.features_key):
        array = features(_trunk(preparation), image_LKHWC)
        passes = array.shape[0] * array.shape[1]
        cache.publish(FEATURES, plan.features_key, pack_features(array))
    return Prepared(clip_id=plan.clip.clip_id, magnified=magnified, passes=passes, seconds=perf_counter() - begun)


def magnified_images(
    plan: ClipPlan, preparation: Preparation, files: Sequence[bytes] | None = None
) -> npt.NDArray[np.uint8]:
    """`image_LKHWC` of the prepared grid: read, align, interpolate, magnify."""
    from aman import faces
    from aman.frames import read_clip
    from aman.magnify import magnify
    from aman.tim import grid_factors, grid_frames, interpolate

    clip = plan.clip
    frames_THWC = read_clip(clip, clip_reader(clip.frames, plan.digests, files))
    if preparation.align == "landmarks":
        model = faces.landmark_model_path(preparation.landmark_model)
        points = faces.landmarks(frames_THWC[0], model, what=str(clip.frames[0]))
        face_THWC = faces.align(frames_THWC, faces.similarity(points))
    else:
        face_THWC = faces.fit(frames_THWC)
    face_LHWC = interpolate(face_THWC)
    wanted = list(grid_frames(preparation))
    return magnify(preparation.magnifier, face_LHWC[0], face_LHWC[wanted], grid_factors(preparation))


@lru_cache(maxsize=2)
def _trunk(preparation: Preparation) -> Any:
    import torch

    from aman.backbone import FrozenTrunk, load_trunk

    trunk = FrozenTrunk(load_trunk(preparation.trunk), preparation.frozen)
    return trunk.to("cuda" if torch.cuda.is_available() else "cpu")


def prepare(
    plans: Sequence[ClipPlan],
    preparation: Preparation,
    store_uri: str,
    *,
    slots: int,
    gpus_per_clip: float = 0,
    ship: bool = False,
    say: Callable[[str], None] = print,
) -> Report:
    """Prepare the clips as Ray tasks, one CPU each; a line a clip. Needs a Ray session.

    `ship`: the content of a clip's files goes with its task, for workers that may not see this machine's disk. At most
    `slots * IN_FLIGHT_PER_SLOT` clips are under way, so this process never holds more.

    A clip that cannot be used is listed in the report and the others go on. What stops everything, a full disk say,
    is raised as the `UserError` that it is.
    """
    import ray

    @ray.remote(num_cpus=1, num_gpus=gpus_per_clip, max_calls=0)
    def task(plan: ClipPlan, files: Sequence[bytes] | None) -> Prepared:
        from aman.training import be_deterministic

        be_deterministic()
        return prepare_clip(plan, preparation, Cache(open_store(store_uri)), files)

    def hand_out(plan: ClipPlan) -> Any:
        try:
            files = [read_bytes(path) for path in plan.clip.frames] if ship else None
        except DataError as error:
            return ray.put(Prepared(clip_id=plan.clip.clip_id, error=error))
        return task.remote(plan, files)

    report, begun = Report(), perf_counter()
    waiting = iter(plans)
    running = [hand_out(plan) for plan in islice(waiting, slots * IN_FLIGHT_PER_SLOT)]
    finished = 0
    while running:
        ready, running = ray.wait(running)
        for done in _results(ready):
            finished += 1
            if done.error is not None:
                report.failed.append(done)
                say(f"clip {finished}/{len(plans)} {done.clip_id}: {done.error}")
                continue
            report.computed += 1
            report.magnified += done.magnified
            report.passes += done.passes
            left = (perf_counter() - begun) / finished * (len(plans) - finished)
            say(f"clip {finished}/{len(plans)} {done.clip_id}: {done.seconds:.1f} s, ETA {minutes(left)}")
        running += [hand_out(plan) for plan in islice(waiting, len(ready))]
    return report


def _results(ready: Sequence[Any]) -> Iterator[Prepared]:
    import ray

    for reference in ready:
        try:
            yield ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None  # the UserError itself, not Ray's story of how it travelled


def minutes(seconds: float) -> str:
    """`4:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def load_features(
    plans: Sequence[ClipPlan], preparation: Preparation, frames: Sequence[int], factors: Sequence[int], cache: Cache
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """`x_NKCHW` of every clip by clip id, and the clips whose cached object is gone or damaged."""
    from cluster.containers import unpack_features, unpack_images

    arrays: dict[str, npt.NDArray[Any]] = {}
    lost = []
    for plan in plans:
        content = cache.read(kind_of(preparation), plan.features_key)
        if content is None:
            lost.append(plan.clip.clip_id)
        elif preparation.frozen == "none":
            arrays[plan.clip.clip_id] = unpack_images(content, frames, factors).transpose(0, 1, 4, 2, 3)
        else:
            arrays[plan.clip.clip_id] = unpack_features(content, frames, factors)
    return arrays, lost


def absolute(preparation: Preparation) -> Preparation:
    """The same preparation with its files as absolute paths, for workers that run in other folders."""
    trunk, model, magnifier = preparation.trunk, preparation.landmark_model, preparation.magnifier
    if trunk not in TRUNK_NAMES:
        trunk = str(Path(trunk).absolute())
    if magnifier not in MAGNIFIER_NAMES:
        magnifier = str(Path(magnifier).absolute())
    model = str(Path(model).absolute()) if model else ""
    return replace(preparation, trunk=trunk, landmark_model=model, magnifier=magnifier)
