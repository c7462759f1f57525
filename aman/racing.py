"""Exact racing: configurations of one protocol, of which those that can no longer win are not trained to the end.

What counts is the pooled number of clips that are right. A configuration has at least the right clips of its finished
folds, and at most these and all clips of its other folds. The winner has the most right clips; of equals it is the
first in the order of the grid. A configuration is stopped when its most loses to another's least under that same rule,
so that the winner and its count are those of the full evaluation, whatever the order and number of workers.

The race knows nothing of where the counts come from. Counts of left-out subjects are test results: a winner by them was
tuned on the test. `aman.selection` makes counts of inner folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

PRIOR_CLIPS = 8
"""A subject counts as no harder than the others until about so many of its clips have been predicted."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a configuration stands, in clips."""

    configuration: str
    state: Literal["complete", "racing", "stopped", "withdrawn"]
    """`stopped`: it can no longer win and was not trained to the end. `withdrawn`: a fold of it cannot be trained."""
    folds: int
    """Finished folds."""
    all_folds: int
    least: int
    """Right clips of the finished folds."""
    most: int
    """Right clips if every other clip turned out right."""
    all_clips: int

    @property
    def text(self) -> str:
        """The accuracy where it is known; else what it can still be."""
        least, most = (f"{100 * count / self.all_clips:.1f}" for count in (self.least, self.most))
        if self.state == "complete":
            return f"{least} %"
        if self.state == "stopped":
            return f"at most {most} %"
        rest = f"{least} to {most} % after {self.folds} of {self.all_folds} folds"
        return rest if self.state == "racing" else f"incomplete, {rest}"


class Race:
    """Hands out the next fold to train until the winner is known. Folds that are known already are finished first.

    `next` gives the configuration that can become best (with folds under way counted as they are expected to end;
    then the fewest clips missing, then the order of the grid), and of its folds the one where most wrong clips are
    expected: the sooner it loses, the less is trained. A subject is as hard for one configuration as it was for the
    others so far, at first by its clips alone.
    """

    def __init__(self, clips_by_subject: Mapping[str, int], configurations: Sequence[str]) -> None:
        if not configurations or len(set(configurations)) < len(configurations):
            raise ValueError("a race needs configurations, each once")
        if not clips_by_subject or min(clips_by_subject.values()) < 1:
            raise ValueError("a race needs subjects with clips")
        self.configurations = list(configurations)
        self.subjects = sorted(clips_by_subject, key=lambda subject: (-clips_by_subject[subject], subject))
        self._row = {name: row for row, name in enumerate(self.configurations)}
        self._column = {name: column for column, name in enumerate(self.subjects)}
        self._clips_S = np.array([clips_by_subject[subject] for subject in self.subjects])
        shape = len(self.configurations), len(self.subjects)
        self._right_CS = np.full(shape, -1)
        """Right clips of a finished fold, -1 for any other."""
        self._free_CS = np.ones(shape, dtype=bool)
        """Neither finished nor under way."""
        self._expected_CS = np.zeros(shape)
        """Wrong clips that are expected of a fold under way, 0 for any other."""
        self._least_C = np.zeros(shape[0], dtype=int)
        self._missing_C = np.full(shape[0], self._clips_S.sum())
        self._free_C = np.full(shape[0], shape[1])
        self._expected_C = np.zeros(shape[0])
        self._running_C = np.ones(shape[0], dtype=bool)
        self._wrong_S, self._seen_S = np.zeros(shape[1]), np.zeros(shape[1])

    def next(self) -> tuple[str, str] | None:
        """Configuration and subject to train now; None where the race is decided or all that matters is under way."""
        row = self._best(self._contending() & (self._free_C > 0))
        if row is None:
            return None
        free_S = self._free_CS[row]
        expected_S = self._expected_wrong()
        column = int(np.argmax(np.where(free_S, expected_S, -1)))
        self._take(row, column, expected_S[column])
        return self.configurations[row], self.subjects[column]

    def finish(self, configuration: str, subject: str, right: int) -> None:
        """The fold's result is known: so many of its clips are right. Twice the same result counts once."""
        row, column = self._row[configuration], self._column[subject]
        clips, known = int(self._clips_S[column]), int(self._right_CS[row, column])
        if not 0 <= right <= clips or known not in (-1, right):
            raise ValueError(f"{right} of {clips} clips right in fold {subject} of {configuration} (known: {known})")
        if known == right:
            return
        self._take(row, column, 0.0)
        self._right_CS[row, column] = right
        self._least_C[row] += right
        self._missing_C[row] -= clips
        self._wrong_S[column] += clips - right
        self._seen_S[column] += clips

    def withdraw(self, configuration: str) -> None:
        """The configuration cannot be completed: the winner is found among the others, stopped ones included."""
        self._running_C[self._row[configuration]] = False

    def matters(self, configuration: str) -> bool:
        """Whether the configuration can still win; a fold of one that cannot need not be trained to its end."""
        return bool(self._contending()[self._row[configuration]])

    @property
    def decided(self) -> bool:
        """Whether the winner and its count are known, or none is left."""
        return self.winner is not None or not self._running_C.any()

    @property
    def winner(self) -> str | None:
        """The configuration with the most right clips, the first of equals; None while that is open."""
        alive = np.flatnonzero(self._contending())
        if len(alive) == 1 and self._missing_C[alive[0]] == 0:
            return self.configurations[alive[0]]
        return None

    def _contending(self) -> npt.NDArray[np.bool_]:
        """Configurations whose most is not beaten by another's least. Counts and places in the grid make one rank."""
        places_C = np.arange(len(self.configurations))[::-1]
        least_C = np.where(self._running_C, self._least_C * len(places_C) + places_C, -1)
        most_C = (self._least_C + self._missing_C) * len(places_C) + places_C
        return self._running_C & (most_C >= least_C.max())

    def _best(self, candidates_C: npt.NDArray[np.bool_]) -> int | None:
        rows = np.flatnonzero(candidates_C)
        if not len(rows):
            return None
        hoped = self._least_C[rows] + self._missing_C[rows] - self._expected_C[rows]
        rows = rows[hoped == hoped.max()]
        return int(rows[np.argmin(self._missing_C[rows])])

    def _expected_wrong(self) -> npt.NDArray[np.float64]:
        """Wrong clips expected in a fold of each subject: its own share so far, drawn towards that of all."""
        share = (self._wrong_S.sum() + 1) / (self._seen_S.sum() + 4)
        return self._clips_S * (self._wrong_S + PRIOR_CLIPS * share) / (self._seen_S + PRIOR_CLIPS)

    def _take(self, row: int, column: int, expected: float) -> None:
        """The fold is under way with so many wrong clips expected, or finished (none)."""
        self._free_CS[row, column] = False
        self._expected_CS[row, column] = expected
        self._free_C[row] = self._free_CS[row].sum()
        self._expected_C[row] = self._expected_CS[row].sum()
