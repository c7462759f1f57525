"""How many folds exact racing trains to find the winner that training all of them finds.

Laptop: `.venv/bin/python bench/racing.py`, or with `--results FOLDER` for folds of your own. Time: half a minute on one
core; nothing is trained, results that are known are replayed.

Without `--results` they are first those of `recorded_folds.csv`: 50 configurations (k = 7 to 11 and ten values of n,
recipe `small`) on the 8 subjects of the synthetic database, as `jobs/tune.py` trained them. Then they are invented:
26 subjects with the clips of a full-size look-alike of CASME II (246 clips, subject 17 has 34; another look-alike for
every seed), 50 configurations whose accuracies scatter around the mean of the paper's Table 1, 70.6 %, with a standard
deviation of 1, 3 (the table's own is 3.4) or 6 points. Subjects and clips are as hard for one configuration as for
another but for a noise as large as the scatter of the clips; two configurations agree on about three clips of four.

A line: share of the folds that were trained, in %, minimum, median and maximum over the seeds. `largest` goes from the
subject with the most clips down, `hardest` takes the subject where most wrong clips are expected. `bound` is what no
exact rule can do without: all folds of the winner, and of every other the fewest that prove that it loses.
"""

import csv
import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from aman.errors import DataError, UsageError
from aman.racing import Race
from aman.releases import FIVE, deal
from jobs.command_line import DONE, run_job, say

Order = Literal["largest", "hardest"]
ORDERS: tuple[Order, ...] = ("largest", "hardest")

RECORDED = Path(__file__).with_name("recorded_folds.csv")
MEAN = 70.65
"""Mean of the paper's Table 1 in %."""
SUBJECT_SCATTER, CLIP_SCATTER, NOISE = 0.6, 1.0, 1.0
"""How much easiness differs between subjects, between clips of a subject, and for one clip between configurations."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    results: Path | None = None
    """Folder (or file) of recorded folds: .csv or .json tables with the columns configuration, subject, clips, correct;
    or predictions.csv of runs, a folder each. Empty: those that come with the bench, and invented ones."""
    configurations: int = 50
    """Configurations that are invented."""
    spreads: tuple[float, ...] = (1.0, 3.0, 6.0)
    """Standard deviations of their accuracies in points."""
    seeds: int = 20
    """Tables that are invented; with recorded ones, orders in which folds finish."""
    workers: tuple[int, ...] = (1, 8)
    """Folds under way at once."""
    json: Path | None = None
    """File for the numbers as JSON."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What every fold came to."""

    clips: dict[str, int]
    """By subject."""
    right: dict[str, dict[str, int]]
    """Right clips by configuration, in the order of the grid, and subject."""

    def total(self, configuration: str) -> int:
        """Right clips of all folds."""
        return sum(self.right[configuration].values())

    @property
    def winner(self) -> str:
        """The first of those with the most right clips."""
        return max(self.right, key=self.total)

    @property
    def folds(self) -> int:
        """Of all configurations."""
        return len(self.right) * len(self.clips)


def main(options: Options) -> int:
    """A line for each spread, order and number of workers."""
    rows: list[dict[str, Any]] = []
    say("folds trained in % of all: min / median / max")
    table = read_table(options.results or RECORDED)
    totals = [100 * table.total(name) / sum(table.clips.values()) for name in table.right]
    scatter = f"{min(totals):.1f} to {max(totals):.1f} %, scatter {np.std(totals):.1f}"
    say(f"{len(table.right)} configurations x {len(table.clips)} subjects, {scatter}, best {table.winner}")
    rows += list(compare([table] * options.seeds, options, "recorded"))
    if not options.results:
        if options.configurations < 1:
            raise UsageError(got=f"--configurations {options.configurations}", expected="1 or more", fix="50 is usual")
        for spread in options.spreads:
            tables = [invented(seed, options.configurations, spread) for seed in range(options.seeds)]
            rows += list(compare(tables, options, f"{spread:g} points"))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return DONE


def compare(tables: list[Table], options: Options, name: str) -> Iterator[dict[str, Any]]:
    """Replay every table in each way; a row and a line each."""
    for workers in options.workers:
        for order in ORDERS:
            shares, same = [], 0
            for seed, table in enumerate(tables):
                race = replay(table, order, workers, seed)
                shares.append(100 * race.trained / table.folds)
                same += race.winner == table.winner and race.standings()[0].least == table.total(table.winner)
            yield from row(name, f"{order}, {workers} at once", shares, same)
    yield from row(name, "bound", [100 * bound(table) / table.folds for table in tables], len(tables))


def row(name: str, way: str, shares: list[float], same: int) -> Iterator[dict[str, Any]]:
    """Say and give one row."""
    found = min(shares), median(shares), max(shares)
    shown = " / ".join(f"{one:5.1f}" for one in found)
    at_most = sum(one <= 60 for one in shares)
    say(f"{name:<10} {way:<20} {shown}   <= 60 %: {at_most}/{len(shares)}   same winner: {same}/{len(shares)}")
    yield {"spread": name, "way": way, "shares": shares, "same_winner": same}


def replay(table: Table, order: Order, workers: int, seed: int) -> Race:
    """The race over known results in simulated time: a fold takes as long as it has training clips, +- 10 %."""
    rng = np.random.default_rng(seed)
    race = Race(table.clips, list(table.right), order)
    now, clips = 0.0, sum(table.clips.values())
    under_way: list[tuple[float, str, str]] = []
    while True:
        while len(under_way) < workers and (fold := race.next()):
            seconds = (clips - table.clips[fold[1]]) * rng.uniform(0.9, 1.1)
            heapq.heappush(under_way, (now + seconds, *fold))
        if not under_way:
            return race
        now, configuration, subject = heapq.heappop(under_way)
        race.finish(configuration, subject, table.right[configuration][subject])


def bound(table: Table) -> int:
    """Folds that every exact rule needs: nothing less proves who wins with which count."""
    places = {name: place for place, name in enumerate(table.right)}
    best, needed = table.total(table.winner), len(table.clips)
    for name, right in table.right.items():
        if name == table.winner:
            continue
        # An earlier configuration would win a tie, so it needs one wrong clip more.
        left = sum(table.clips.values()) - best + (places[name] < places[table.winner])
        for wrong in sorted((table.clips[subject] - right[subject] for subject in table.clips), reverse=True):
            if left <= 0:
                break
            left -= wrong
            needed += 1
    return needed


def invented(seed: int, configurations: int, spread: float) -> Table:
    """A table as the text above describes it. Every configuration has exactly the accuracy that was drawn for it."""
    rng = np.random.default_rng(seed)
    hands = deal("casme2", np.random.default_rng(seed))
    clips = {subject: sum(label in FIVE for label in hands[subject]) for subject in sorted(hands)}
    names, sizes = list(clips), list(clips.values())
    owner_M = np.repeat(np.arange(len(clips)), sizes)
    easy_M = rng.normal(0, SUBJECT_SCATTER, len(clips))[owner_M] + rng.normal(0, CLIP_SCATTER, len(owner_M))
    right = {}
    for number, accuracy in enumerate(rng.normal(MEAN, spread, configurations)):
        count = int(np.clip(round(accuracy / 100 * len(owner_M)), 0, len(owner_M)))
        rows = np.argsort(-(easy_M + rng.normal(0, NOISE, len(owner_M))))[:count]
        found = np.bincount(owner_M[rows], minlength=len(clips))
        right[f"c{number:02d}"] = dict(zip(names, map(int, found), strict=True))
    return Table(clips=clips, right=right)


def read_table(path: Path) -> Table:
    """Recorded folds of one protocol; `DataError` unless every configuration has every subject once, with its clips."""
    files = [path] if path.is_file() else sorted([*path.rglob("*.csv"), *path.rglob("*.json")])
    right: dict[str, dict[str, int]] = {}
    clips: dict[str, int] = {}
    for file in files:
        for configuration, subject, count, correct in _rows(file):
            mine = right.setdefault(configuration, {})
            if subject in mine or clips.setdefault(subject, count) != count or not 0 <= correct <= count:
                raise DataError(
                    got=f"{file}: {configuration}, {subject} with {correct} of {count} clips right",
                    expected="each fold once, every subject with the same clips in all configurations",
                    fix="record folds of one protocol",
                )
            mine[subject] = correct
    partial = [f"{name} ({len(mine)} of {len(clips)})" for name, mine in right.items() if len(mine) < len(clips)]
    if partial or not right:
        raise DataError(
            got=f"{path} with {len(right)} configurations, unfinished: {', '.join(partial) or 'none'}",
            expected="every fold of one configuration or more",
            fix="finish the runs, or leave the unfinished out",
        )
    return Table(clips=clips, right=right)


def _rows(file: Path) -> Iterator[tuple[str, str, int, int]]:
    """Folds in one file; other files of a run hold none."""
    text = file.read_text()
    rows = json.loads(text) if file.suffix == ".json" else list(csv.DictReader(text.splitlines()))
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        return
    if {"configuration", "subject", "clips", "correct"} <= set(rows[0]):
        for one in rows:
            yield one["configuration"], one["subject"], int(one["clips"]), int(one["correct"])
    elif file.name == "predictions.csv":
        for subject in sorted({one["subject"] for one in rows}):
            mine = [one["label"] == one["prediction"] for one in rows if one["subject"] == subject]
            yield file.parent.name, subject, len(mine), sum(mine)


if __name__ == "__main__":
    run_job(Options, main, __doc__)
