"""What a reader makes of a release on disk: the index, one entry a clip."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import median_low

from aman.errors import DataError

VIDEO = re.compile(r"\.(avi|mp4|m4v|mov|mkv)$", re.IGNORECASE)
"""How the name of a video ends."""
SPARSEST = 5
"""A clip may have been so many times as long as the frames that are left of it; readers refuse larger gaps."""


@dataclass(frozen=True, kw_only=True)
class ArrayRow:
    """Where the arrays of a clip without frames are: a row of every array in some files."""

    files: tuple[Path, ...]
    """The `.npz` files beside the table of clips."""
    row: int
    """The clip's place along the first axis of every array, counted from 0."""
    rows: int
    """How long that axis must be: the number of clips in the table."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One annotated clip of one subject. `frames` are files in numeric order, onset to offset, both included, or
    one video whose frames have the numbers 1, 2, ...; a clip of which only arrays are there has none, and `arrays`."""

    clip_id: str
    """`casme2/sub01/EP02_01f`: unique over all databases, the same whatever the copy of the release."""
    subject: str
    """`casme2/01`: namespaced text, for the numbers of different databases collide."""
    label: str
    """The expression, as the sheet has it, in lower case."""
    onset: int
    apex: int | None
    """None where the release gives none (`/`)."""
    offset: int
    """0 in a video whose number of frames was not known to the reader: its last frame."""
    frames: tuple[Path, ...]
    action_units: tuple[int, ...] = field(default=(), compare=False)
    """Numbers of the facial action units that the sheet names. No score depends on them and copies of a sheet differ
    in them, so that neither they nor the two below make an index another one."""
    objective: str = field(default="", compare=False)
    """Objective class by the action units alone, `I` to `VII` (Davison et al., 2018); empty where none is given."""
    fps: float | None = field(default=None, compare=False)
    """Frames that the camera took a second; None where the release does not say."""
    source: str = field(default="", compare=False)
    """The sheet or folder that names the clip."""
    row: int | None = field(default=None, compare=False)
    """Row of the sheet as a spreadsheet counts it."""
    arrays: ArrayRow | None = None
    """Where the clip's arrays are, if arrays are what was given in place of frames (database `arrays`)."""

    part: str = ""
    """The part of the release that the clip is of (`training`, `test A`), where a protocol divides clips by parts
    (`aman.splits.Parts`). Empty in all other databases."""

    numbers: tuple[int, ...] = field(default=(), compare=False)
    """Numbers of the frames where some from onset to offset are missing; empty where none is."""

    @property
    def video(self) -> Path | None:
        """The video that holds the clip, or None where its frames are files of their own."""
        return self.frames[0] if len(self.frames) == 1 and VIDEO.search(self.frames[0].name) else None

    @property
    def apex_position(self) -> int | None:
        """Which frame of the clip is the apex, counted from 0 at the onset: of frames with gaps the nearest one."""
        if self.apex is None or not self.numbers:
            return None if self.apex is None else self.apex - self.onset
        after = min(bisect_left(self.numbers, self.apex), len(self.numbers) - 1)
        before = max(0, after - 1)
        nearer = self.apex - self.numbers[before] <= abs(self.numbers[after] - self.apex)
        return before if nearer else after

    @property
    def times(self) -> tuple[int, ...]:
        """When each frame was taken, in frames from the first one, where some between are missing (`times_of`)."""
        return times_of(self.numbers)

    @property
    def database(self) -> str:
        """`casme2`: the database the clip comes from, in a composite too."""
        return self.clip_id.partition("/")[0]


def times_of(numbers: Sequence[int]) -> tuple[int, ...]:
    """When frames of these ascending numbers were taken, counted in frames from the first one; empty where the camera
    took none between them.

    A frame is the smallest step between two numbers. Numbers may also be time stamps, which jitter: steps that are
    nearly equal are equal. Where frames of the smallest step would be more than `SPARSEST` times as many as there are,
    the median step is a frame; where this is so of the median step as well, the numbers tell no time.
    """
    steps = [after - before for before, after in pairwise(numbers)]
    for frame in (min(steps), median_low(steps)) if steps else ():
        times = tuple(accumulate((max(1, round(step / frame)) for step in steps), initial=0))
        if times[-1] < SPARSEST * len(times):
            return times if times[-1] >= len(times) else ()
    return ()


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something in a release that is not as it should be."""

    file: str
    row: int | None
    """Row of the sheet as a spreadsheet counts it (the first is 1), or None."""
    what: str
    fix: str
    consequence: str = "none, every clip is used"
    clip_id: str | None = None
    """The clip that cannot be used because of it, or None where it is a remark."""
    label: str | None = None
    """That clip's label: whether its protocol misses it."""
    objective: str = ""
    """That clip's objective class, likewise."""
    part: str = ""
    """That clip's part of the release (`Clip.part`), where it is known."""

    def __str__(self) -> str:
        where = f"{self.file}, row {self.row}" if self.row else self.file
        return f"{where}: {self.what}; fix: {self.fix}"


def unusable(
    *,
    file: str,
    row: int | None,
    what: str,
    fix: str,
    clip_id: str,
    label: str | None = None,
    objective: str = "",
    part: str = "",
) -> Problem:
    """A problem that costs the clip."""
    return Problem(
        file=file,
        row=row,
        what=what,
        fix=fix,
        consequence=f"{clip_id} cannot be used",
        clip_id=clip_id,
        label=label or None,
        objective=objective,
        part=part,
    )


@dataclass(frozen=True, kw_only=True)
class Index:
    """The clips of a database, sorted by clip id, and what was wrong with the rest."""

    database: str
    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...] = field(default=())
    remarks: tuple[str, ...] = field(default=(), compare=False)
    """What is said of the release as a whole: nothing is wrong with it."""
    expected_clips: int | None = None
    """Clips that the release itself declares, where it does."""
    lists: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)
    """Clip ids of lists that the user put beside the release, by the name of the protocol that each list is for."""

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def by_objective_class(self) -> "Index":
        """The index with the objective class of each clip, `i` to `vii`, as its label. `DataError` where no clip has
        an objective class."""
        if self.clips and not any(clip.objective for clip in self):
            raise DataError(
                got=f"{len(self.clips)} clips of {self.database} without an objective class",
                expected="a sheet with the column Objective Classes",
                fix="copy the sheet that has that column into the folder of the release, or name another --protocol",
            )
        clips = tuple(replace(clip, label=clip.objective.lower()) for clip in self)
        problems = tuple(replace(one, label=one.objective.lower() or None) for one in self.problems)
        return replace(self, clips=clips, problems=problems)
