"""Folds by their content keys, and their results as bytes."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from aman.content import canonical
from aman.inputs.base import Input
from aman.training.base import Recipe
from aman.training.fold import FoldResult, FoldTask
from cluster.features.keys import ClipPlan
from cluster.store.names import FOLDS
from cluster.store.results import Cache


@dataclass(frozen=True, kw_only=True)
class FoldSpec:
    """A fold to train, and the name of its result."""

    key: str
    task: FoldTask
    recipe: Recipe

    @property
    def cost(self) -> float:
        """How long it takes, to compare it with others of its method."""
        return self.recipe.method.cost(self.recipe, len(self.task.train_clips))


def fold_key(task: FoldTask, plans: Mapping[str, ClipPlan], recipe: Recipe, weights: Mapping[str, str]) -> str:
    """Digest of what makes a fold's result: method, settings, seed, and the inputs of its clips."""
    return fold_keys([task_text(task, plans, recipe.method.inputs(recipe))], recipe, weights)[0]


def task_text(task: FoldTask, plans: Mapping[str, ClipPlan], inputs: Sequence[Input]) -> str:
    """A fold and the inputs of its clips, as its key has them: the longest part of what the key is made of, and equal
    for all recipes with these inputs."""
    made_of = asdict(task)
    del made_of["train_subjects"]  # they follow from the clips, and were not in the keys of the first releases
    for clips in ("train_clips", "test_clips"):
        made_of[clips] = [(clip, *(plans[clip].keys[one] for one in inputs)) for clip in getattr(task, clips)]
    return canonical(made_of)


def fold_keys(texts: Iterable[str], recipe: Recipe, weights: Mapping[str, str]) -> list[str]:
    """Keys of the folds of these texts with one recipe. A search of 1,000 configurations has 26,000 of them, so the
    canonical JSON around a fold is made once."""
    whole = canonical({**recipe.method.key_parts(recipe, weights), "task": None})
    before, after = whole.split('"task":null')
    return [hashlib.sha256(f'{before}"task":{text}{after}'.encode()).hexdigest() for text in texts]


def pack_result(result: FoldResult) -> bytes:
    """A fold's result as JSON; floats keep every digit."""
    return json.dumps(asdict(result)).encode()


def read_result(cache: Cache, key: str) -> FoldResult | None:
    """A finished fold, or None. Results of the first releases have `alpha` and `beta` beside the rest."""
    content = cache.read(FOLDS, key)
    if content is None:
        return None
    values = json.loads(content)
    extras = values.pop("extras", {})
    extras |= {name: values.pop(name) for name in ("alpha", "beta") if name in values}
    return FoldResult(**{**values, "clips": tuple(values["clips"]), "extras": extras})
