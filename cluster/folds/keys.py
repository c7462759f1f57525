"""Folds by their content keys."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aman.content import canonical
from aman.inputs.base import Input
from aman.training.base import Recipe
from aman.training.fold import FoldTask
from cluster.features.keys import ClipPlan
from cluster.folds.tasks import Fold, Roster, runs_of

JOINED_AT_MOST = 2**26
"""Bytes of texts of folds that are copied into one piece each."""
Text = list[bytes | memoryview]
"""A text in pieces."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldSpec:
    """A fold to train, and the name of its result."""

    key: str
    fold: Fold
    recipe: Recipe

    @property
    def task(self) -> FoldTask:
        """What its trainer is given; made when it is asked for."""
        return self.fold.task

    @property
    def subject(self) -> str:
        """Name of the group that is left out."""
        return self.fold.subject

    @property
    def cost(self) -> float:
        """How long it takes, to compare it with others of its method."""
        return self.recipe.method.cost(self.recipe, self.fold.train_count)


def fold_key(task: FoldTask, plans: Mapping[str, ClipPlan], recipe: Recipe, weights: Mapping[str, str]) -> str:
    """Digest of what makes a fold's result: method, settings, seed, and the inputs of its clips."""
    fold = Fold.of(task)
    return fold_keys([Texts(fold.roster, plans, recipe.method.inputs(recipe)).of(fold)], recipe, weights)[0]


class Texts:
    """Folds and the inputs of their clips, as keys have them: the longest part of what a key is made of, and equal for
    all recipes with these inputs.

    The text of a fold is the canonical JSON of its task without the subjects of the training clips, which follow from
    the clips, and with `[clip, key of each input]` for every clip. A clip is written once, in one text of all clips;
    a fold's text is made of slices of that.
    """

    def __init__(self, roster: Roster, plans: Mapping[str, ClipPlan], inputs: Sequence[Input]) -> None:
        self.clips = Joined(canonical((clip, *(plans[clip].keys[one] for one in inputs))) for clip in roster.clips)
        self.labels = Joined(canonical(label) for label in roster.labels)

    def of(self, fold: Fold) -> Text:
        """The text of a fold."""
        parts = dict.fromkeys(("test_clips", "train_clips", "train_labels"))
        whole = canonical({"classes": fold.classes, "seed": fold.roster.seed, "subject": fold.subject, **parts})
        start, *between, end = (piece.encode() for piece in whole.rsplit("null", len(parts)))
        train = fold.train_runs()
        return [
            start,
            *self.clips.listed(runs_of(fold.test)),
            between[0],
            *self.clips.listed(train),
            between[1],
            *self.labels.listed(train),
            end,
        ]


class Joined:
    """Items of a JSON list in one text, of which any ranges can be had without a copy."""

    def __init__(self, items: Iterable[str]) -> None:
        self.ends, pieces, end = [0], [], 0
        for item in items:
            piece = item.encode()
            end += len(piece) + 1
            self.ends.append(end)
            pieces.append(piece)
        self.text = memoryview(b",".join(pieces))

    def listed(self, runs: Iterable[tuple[int, int]]) -> Text:
        """The JSON list of the items in these ranges."""
        pieces: Text = [b"["]
        for number, (begin, end) in enumerate(runs):
            pieces += [b","] * (number > 0) + [self.text[self.ends[begin] : self.ends[end] - 1]]
        return [*pieces, b"]"]


def in_one_piece(texts: list[Text]) -> list[Text]:
    """Texts of one piece each, which many recipes hash sooner than the short pieces; as they are where that takes much
    memory."""
    if sum(len(piece) for text in texts for piece in text) > JOINED_AT_MOST:
        return texts
    return [[b"".join(text)] for text in texts]


def fold_keys(texts: Iterable[Text], recipe: Recipe, weights: Mapping[str, str]) -> list[str]:
    """Keys of the folds of these texts with one recipe. A search of 1,000 configurations has 26,000 of them, so the
    canonical JSON around a fold is made once."""
    whole = canonical({**recipe.method.key_parts(recipe, weights), "task": None})
    before, after = whole.split('"task":null')
    begun, end, keys = hashlib.sha256(f'{before}"task":'.encode()), after.encode(), []
    for text in texts:
        digest = begun.copy()
        for piece in (*text, end):
            digest.update(piece)
        keys.append(digest.hexdigest())
    return keys
