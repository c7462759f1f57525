"""How long a clip and a unit of training take on this machine: measured when a user asks for it, kept in the store, and
read by every later plan. Nothing but an estimate depends on it.

A timing is kept under a digest of the machine's kind, the version of torch and what was timed, so that other settings,
edited code and another machine have timings of their own. Reading one imports no torch.
"""

import json
import math
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

from aman.content import content_key
from aman.inputs.aligned import Source
from aman.inputs.base import Input, chain
from aman.training.base import Recipe
from cluster.features.keys import ClipPlan
from cluster.store.base import Store
from cluster.store.names import timing_name
from cluster.store.releases import clip_reader

Seconds = tuple[float, ...]
"""Of each of several measurements."""
LONGEST = 4096
"""Bytes: what is longer is no timing."""


def machine() -> str:
    """The kind of this machine: its processor, and how many CPUs it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} CPUs"


def clip_timing(clip: ClipPlan, inputs: Sequence[Input]) -> str:
    """Key of the seconds that the preparation of this clip takes one core."""
    return _key("clip", {one.name: clip.keys[one] for one in inputs})


def training_timing(recipe: Recipe, classes: int) -> str:
    """Key of the seconds that a unit of cost of this recipe takes one core."""
    method = recipe.method
    parts = method.key_parts(recipe, method.weights(recipe))
    return _key("training", {**parts, "shapes": method.shapes(recipe), "classes": classes})


def recorded(store: Store, key: str) -> Seconds:
    """The timing of this key; empty where nothing of the kind was measured."""
    return parse_timing(store.get(timing_name(key)) or b"")


def parse_timing(content: bytes) -> Seconds:
    """The timing that these bytes are; empty where they are none."""
    try:
        found = json.loads(content) if len(content) <= LONGEST else None
    except (ValueError, RecursionError):
        return ()
    sound = isinstance(found, list) and all(
        type(one) in (int, float) and math.isfinite(one) and one >= 0 for one in found
    )
    return tuple(map(float, found)) if sound and isinstance(found, list) else ()


def measure_clip(store: Store, clip: ClipPlan, inputs: Sequence[Input]) -> None:
    """Time the preparation of a clip by a cheap variant of it, and keep the timing. The second run counts: the first
    one loads the models."""
    from aman.training.neural import be_deterministic

    be_deterministic()
    seconds = 0.0
    for _ in range(2):
        seconds = sum(_chain_seconds(clip, last) for last in inputs)
    _keep(store, clip_timing(clip, inputs), (seconds,))


def measure_training(store: Store, recipe: Recipe, classes: int) -> None:
    """Time some training steps (or small folds) of a recipe on one core, and keep the timing."""
    _keep(store, training_timing(recipe, classes), recipe.method.unit_seconds(recipe, classes))


def _chain_seconds(clip: ClipPlan, last: Input) -> float:
    small, times = last.sample()
    value: Any = Source(clip=clip.clip, read=clip_reader(clip.clip.frames, clip.digests, None))
    seconds = 0.0
    for stage, cheap in zip(chain(last), chain(small), strict=True):
        begun = perf_counter()
        value = cheap.make(value)
        seconds += (perf_counter() - begun) * (times if cheap != stage else 1)
    return seconds


def _key(what: str, of: dict[str, Any]) -> str:
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    return content_key({"timing": what, "machine": machine(), "torch": torch, "of": of})


def _keep(store: Store, key: str, seconds: Seconds) -> None:
    store.replace(timing_name(key), json.dumps(seconds).encode())
