"""Clips to cached features: every clip once, in parallel, whatever was done before left as it is."""

from collections.abc import Callable, Sequence
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
from cluster.machines.session import capacity
from cluster.store.open import open_store
from cluster.store.releases import clip_reader
from cluster.store.results import Cache, content_key

Digests = Callable[[Sequence[Path]], Sequence[str]]
"""What gives the sha256 of files."""

VERSIONS = {"decode": 1, "align": 1, "tim": 1, "features": 1}
"""Raise a number when that stage's output changes: everything made with it is then made anew."""

IMAGES, FEATURES = "images", "features"
HASHING_THREADS = 4
GPU_SHARE = 0.25
"""Of a GPU, for a task that magnifies: four at a time hide each other's packing and sending."""
RETRIES = 5
"""How often a clip is given to another worker when its own died."""
LOOK_SECONDS = 5.0
"""How often it is looked whether nodes have joined or gone, at least."""


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
    return finish_clip(begin_clip(plan, preparation, cache, files), preparation, cache)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A clip that was read, aligned and interpolated, or need not be."""

    plan: ClipPlan
    face_LHWC: npt.NDArray[np.float32] | None = None
    """None where the magnified images are in the cache."""
    image_LKHWC: npt.NDArray[np.uint8] | None = None
    """Those images."""
    seconds: float = 0
    error: DataError | None = None


def begin_clip(plan: ClipPlan, preparation: Preparation, cache: Cache, files: Sequence[bytes] | None = None) -> Begun:
    """The half of the work that no GPU helps with."""
    from cluster.features.arrays import unpack_images

    begun = perf_counter()
    content = cache.read(IMAGES, plan.images_key)
    if content is not None:
        images = unpack_images(content, range(preparation.grid_frames), range(preparation.grid_factors))
        return Begun(plan=plan, image_LKHWC=images, seconds=perf_counter() - begun)
    try:
        face_LHWC = interpolated_face(plan, preparation, files)
    except DataError as error:
        return Begun(plan=plan, error=error)
    return Begun(plan=plan, face_LHWC=face_LHWC, seconds=perf_counter() - begun)


def finish_clip(begun: Begun, preparation: Preparation, cache: Cache) -> Prepared:
    """Magnify, run the trunk, publish: on a GPU where there is one."""
    from aman.backbone import features
    from cluster.features.arrays import pack_features, pack_images

    plan, since = begun.plan, perf_counter()
    if begun.error is not None:
        return Prepared(clip_id=plan.clip.clip_id, error=begun.error)
    magnified = passes = 0
    image_LKHWC = begun.image_LKHWC
    if image_LKHWC is None:
        assert begun.face_LHWC is not None
        image_LKHWC = magnified_images(begun.face_LHWC, preparation)
        magnified = image_LKHWC.shape[0] * image_LKHWC.shape[1]
        cache.publish(IMAGES, plan.images_key, pack_images(image_LKHWC))
    if preparation.frozen != "none" and not cache.has(FEATURES, plan.features_key):
        array = features(_trunk(preparation), image_LKHWC)
        passes = array.shape[0] * array.shape[1]
        cache.publish(FEATURES, plan.features_key, pack_features(array))
    seconds = begun.seconds + perf_counter() - since
    return Prepared(clip_id=plan.clip.clip_id, magnified=magnified, passes=passes, seconds=seconds)


def interpolated_face(
    plan: ClipPlan, preparation: Preparation, files: Sequence[bytes] | None = None
) -> npt.NDArray[np.float32]:
    """`face_LHWC` in [0, 255]: read, align, interpolate."""
    from aman import faces
    from aman.frames import read_clip
    from aman.tim import interpolate

    clip = plan.clip
    frames_THWC = read_clip(clip, clip_reader(clip.frames, plan.digests, files))
    if preparation.align == "landmarks":
        model = faces.landmark_model_path(preparation.landmark_model)
        points = faces.landmarks(frames_THWC[0], model, what=str(clip.frames[0]))
        face_THWC = faces.align(frames_THWC, faces.similarity(points))
    else:
        face_THWC = faces.fit(frames_THWC)
    return interpolate(face_THWC)


def magnified_images(face_LHWC: npt.NDArray[np.float32], preparation: Preparation) -> npt.NDArray[np.uint8]:
    """`image_LKHWC` of the prepared grid."""
    from aman.magnify import magnify
    from aman.tim import grid_factors, grid_frames

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
    ship: bool = False,
    say: Callable[[str], None] = print,
) -> Report:
    """Prepare the clips as Ray tasks; a line a clip. Needs a Ray session.

    A clip is one task of one CPU; where there are GPUs it is two, and the second, which magnifies and runs the trunk,
    takes a share of a GPU. How many clips are handed out follows the nodes that join and go, and is bounded. With
    `ship` the content of a clip's files goes with its task, for workers that may not see this machine's disk. A clip
    that cannot be used is listed in the report and the others go on. What stops everything, a full disk say, is raised
    as the `UserError` that it is.
    """
    import ray

    first, second = _tasks(preparation, store_uri, gpus=capacity().gpus > 0)

    def start(plan: ClipPlan) -> Any:
        try:
            files = [read_bytes(path) for path in plan.clip.frames] if ship else None
        except DataError as error:
            return ray.put(Prepared(clip_id=plan.clip.clip_id, error=error))
        begun = first.remote(plan, files)
        return begun if second is None else second.remote(begun)

    return hand_out(plans, start, say)


def hand_out(plans: Sequence[ClipPlan], start: Callable[[ClipPlan], Any], say: Callable[[str], None]) -> Report:
    """Keep as many clips under way as there is room for, until all are done; `start` gives a Ray reference to each's
    `Prepared`."""
    import ray

    report, begun, finished = Report(), perf_counter(), 0
    waiting, running = iter(plans), dict[Any, ClipPlan]()
    while True:
        running |= {start(plan): plan for plan in islice(waiting, max(0, capacity().in_flight - len(running)))}
        if not running:
            return report
        ready, _ = ray.wait(list(running), timeout=LOOK_SECONDS)
        for reference in ready:
            done = _result(reference, running.pop(reference))
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


def _tasks(preparation: Preparation, store_uri: str, *, gpus: bool) -> tuple[Any, Any]:
    """The Ray tasks of a clip: all of it and None, or its two halves."""
    import ray

    def begin(plan: ClipPlan, files: Sequence[bytes] | None) -> Begun:
        return begin_clip(plan, preparation, Cache(open_store(store_uri)), files)

    def finish(begun: Begun) -> Prepared:
        from aman.training import be_deterministic

        be_deterministic()
        return finish_clip(begun, preparation, Cache(open_store(store_uri)))

    # Processes are kept: a task with a GPU would else start and load torch anew for every clip.
    how: Any = {"max_calls": 0, "max_retries": RETRIES}
    if gpus:
        return ray.remote(num_cpus=1, **how)(begin), ray.remote(num_cpus=0, num_gpus=GPU_SHARE, **how)(finish)
    return ray.remote(num_cpus=1, **how)(lambda plan, files: finish(begin(plan, files))), None


def _result(reference: Any, plan: ClipPlan) -> Prepared:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # the UserError itself, not Ray's story of how it travelled
    except ray.exceptions.RayError as error:  # after Ray has tried again by itself
        lost = DataError(
            got=f"a worker that died each of {RETRIES + 1} times ({type(error).__name__})",
            expected="it to live for one clip",
            fix="see whether its machine runs out of memory, then run the same command",
        )
        return Prepared(clip_id=plan.clip.clip_id, error=lost)


def minutes(seconds: float) -> str:
    """`4:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def load_features(
    plans: Sequence[ClipPlan], preparation: Preparation, frames: Sequence[int], factors: Sequence[int], cache: Cache
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """`x_NKCHW` of every clip by clip id, and the clips whose cached object is gone or damaged."""
    from cluster.features.arrays import unpack_features, unpack_images

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
