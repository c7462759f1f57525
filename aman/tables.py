"""Tables of results as text, and whether a number that a paper prints can be a share of so many clips."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

from aman.errors import UsageError
from aman.files import write_whole
from aman.intervals import KIND
from aman.protocols import protocols, published
from aman.scoring import Comparison, Scores


@dataclass(frozen=True, kw_only=True)
class Reachable:
    """Whether a printed percentage can be a share of so many clips, and what is next to it."""

    count: int | None
    """Clips right that give it, or None: it is no accuracy over one pool of these clips."""
    cut: bool
    """The decimals are those of the count only if they were cut off and not rounded."""
    below: str | None
    """The next lower percentage that can be, with as many decimals; None below 0."""
    above: str | None


def score_table(
    scores: Scores,
    protocol: str,
    literature: float | None = None,
    notes: Sequence[str] = (),
    guessing: Mapping[int, float] | None = None,
    method: str = "AMAN",
) -> str:
    """The table of a benchmark, percentages with one decimal, with what papers print of the method by its title.

    `literature` is the accuracy of the best test epochs, where epochs were kept; `guessing` the accuracy of
    `guessing_best_of` for some numbers of epochs.
    """

    def with_interval(value: float, interval: tuple[float, float]) -> str:
        low, high = interval
        return f"{percent(value)}  [{percent(low)}, {percent(high)}] 95 % over subjects"

    rows = [
        ("accuracy", with_interval(scores.accuracy, scores.interval)),
        ("UF1", with_interval(scores.uf1, scores.uf1_interval)),
        ("UAR", with_interval(scores.uar, scores.uar_interval)),
        ("weighted F1", percent(scores.weighted_f1)),
        ("mean of folds: accuracy", percent(scores.mean_fold_accuracy)),
        ("mean of folds: macro-F1", percent(scores.mean_fold_f1)),
        ("chance (majority class)", percent(scores.chance_majority)),
        ("chance (class priors)", percent(scores.chance_prior)),
    ]
    if literature is not None:
        rows.append(("literature (best test epoch)", f"{percent(literature)}  peeks at the test labels"))
    for epochs, accuracy in (guessing or {}).items():
        rows.append(
            (f"guessing, best of {epochs}", f"{percent(accuracy)}  chance level of a best test epoch (upper bound)")
        )
    paper = published().get(method, {}).get(protocol)
    if paper is not None and paper.accuracy is not None:
        printed = f"{paper.accuracy:.2f}"
        whole = scores.clips in {edition.clips for edition in protocols()[protocol].editions}
        rows.append(
            (
                "paper (Table 2)" if method == "AMAN" else "paper",
                printed_text(printed, scores.clips) if whole else printed,
            )
        )
    if paper is not None and paper.uf1 is not None and paper.uar is not None:
        rows += [("paper: UF1", f"{paper.uf1:.2f}"), ("paper: UAR", f"{paper.uar:.2f}")]
    if paper is not None and paper.note:
        rows.append(("paper: note", paper.note))
    rows += [("note", note) for note in notes]
    return "\n".join([f"{protocol}, {scores.clips} clips, in %", *_aligned(rows)])


def verdict(interval: tuple[float, float], majority: float) -> str:
    """In a sentence what a 95 % interval of the accuracy means beside chance, which is the accuracy of always saying
    the most frequent class. Shares in [0, 1]."""
    low, high = interval
    rule, means = "always saying the most frequent class", "holds"
    why = f"it is not shown that the method does better than {rule}"
    if low > majority:
        means, why = "is above", f"the method tells expressions of new subjects apart better than {rule}"
    elif high < majority:
        means, why = "is below", f"{rule} does better than the method"
    between = f"{percent(low)} to {percent(high)} %"
    return f"The 95 % interval over subjects, {between}, {means} the chance level of {percent(majority)} %: {why}."


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, numbers on the right. Signs that would be read as Markdown or HTML are escaped."""

    def line(cells: Sequence[str]) -> str:
        escaped = (re.sub(r"([\\`*_\[\]<>|~#&])", r"\\\1", " ".join(cell.split())) for cell in cells)
        return f"| {' | '.join(escaped)} |"

    return "\n".join([line(head), f"|---|{'---:|' * (len(head) - 1)}", *map(line, rows)])


def score_markdown(scores: Scores, literature: float | None = None) -> str:
    """The scores of a benchmark in per cent as a table in Markdown, with intervals and chance; `literature` as in
    `score_table`."""

    def row(name: str, value: float, interval: tuple[float, float] | None = None) -> tuple[str, str, str]:
        return name, percent(value), f"{percent(interval[0])} to {percent(interval[1])}" if interval else ""

    rows = [
        row("accuracy", scores.accuracy, scores.interval),
        row("UF1", scores.uf1, scores.uf1_interval),
        row("UAR", scores.uar, scores.uar_interval),
        row("chance: the most frequent class", scores.chance_majority),
        row("chance: the class shares", scores.chance_prior),
    ]
    if literature is not None:
        rows.append(row("best test epoch, tuned on test", literature))
    return markdown(("score", "%", "95 % over subjects"), rows)


def group_table(by_group: Mapping[str, Scores], one: str) -> list[str]:
    """A line for each left-out group under a head: clips, subjects and scores in per cent. `one` is what a group is
    called. Empty where there are no groups."""
    if not by_group:
        return []
    cells = [[f"left-out {one}", "clips", "subjects", "accuracy", "UF1", "UAR", "majority"]]
    for name, found in by_group.items():
        shares = (found.accuracy, found.uf1, found.uar, found.chance_majority)
        cells.append([name, str(found.clips), str(found.subjects), *map(percent, shares)])
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return [
        f"  {row[0]:<{widths[0]}}  "
        + "  ".join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in cells
    ]


def confusion_table(scores: Scores) -> str:
    """Clips by true class (rows) and predicted class (columns), and the recall of each class in per cent."""
    names = list(scores.per_class_recall)
    recalls = ["-" if recall is None else percent(recall) for recall in scores.per_class_recall.values()]
    cells = [["", *names, "clips", "recall"]]
    for name, counts, recall in zip(names, scores.confusion_YY, recalls, strict=True):
        cells.append([name, *map(str, counts), str(sum(counts)), recall])
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(["clips by true class (rows) and predicted class (columns)", *(f"  {line}" for line in lines)])


def comparison_table(comparison: Comparison, first: str, second: str) -> str:
    """What `compare` found, differences in points of per cent."""

    def points(value: float, interval: tuple[float, float]) -> str:
        low, high = interval
        return f"{percent(value, '+')}  [{percent(low, '+')}, {percent(high, '+')}] 95 % over subjects"

    rows = [
        (f"right only in {first}", str(comparison.only_first)),
        (f"right only in {second}", str(comparison.only_second)),
        ("McNemar, exact, two-sided", f"p = {comparison.p_value:.3g}"),
        ("accuracy", points(comparison.accuracy_difference, comparison.accuracy_interval)),
        ("UF1", points(comparison.uf1_difference, comparison.uf1_interval)),
        ("UAR", points(comparison.uar_difference, comparison.uar_interval)),
    ]
    title = f"{first} less {second}, {comparison.clips} clips joined by id, in points"
    return "\n".join([title, *_aligned(rows)])


def score_values(scores: Scores) -> dict[str, Any]:
    """The scores under the names that they have in JSON."""
    return {
        "clips": scores.clips,
        "folds": scores.folds,
        "subjects": scores.subjects,
        "accuracy": scores.accuracy,
        "uf1": scores.uf1,
        "uar": scores.uar,
        "weighted_f1": scores.weighted_f1,
        "per_class_recall": dict(scores.per_class_recall),
        "mean_fold_accuracy": scores.mean_fold_accuracy,
        "mean_fold_f1": scores.mean_fold_f1,
        "interval": list(scores.interval),
        "uf1_interval": list(scores.uf1_interval),
        "uar_interval": list(scores.uar_interval),
        "interval_kind": KIND,
        "chance": {"majority": scores.chance_majority, "prior": scores.chance_prior},
        "classes": list(scores.per_class_recall),
        "confusion": scores.confusion_YY,
    }


def reachable(printed: str, clips: int) -> Reachable:
    """Whether `printed` (`75.40`, in per cent) is a whole number of `clips` clips, to the decimals it has.

    Rounded, a tie either way; else with the rest cut off, as some papers print. `UsageError` where it is no percentage.
    """
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,9})?", printed) or Fraction(printed) > 100:
        raise UsageError(
            got=f"{printed!r} as a printed percentage", expected="0 to 100 with up to nine decimals", fix="75.40, say"
        )
    decimals = len(printed.partition(".")[2])
    value, unit = Fraction(printed), Fraction(1, 10**decimals)

    def share(count: int) -> Fraction:
        return Fraction(100 * count, clips)

    def text(count: int) -> str | None:
        if not 0 <= count <= clips:
            return None
        whole, rest = divmod(floor(share(count) / unit + Fraction(1, 2)), 10**decimals)
        return f"{whole}.{rest:0{decimals}d}" if decimals else str(whole)

    first = ceil((value - unit / 2) * clips / 100)
    end = ceil((value + unit) * clips / 100)
    # A count just above the printed value was cut off only where no rounded one is there.
    fitting = sorted(range(max(first, 0), min(end, clips + 1)), key=lambda count: abs(share(count) - value))
    count = fitting[0] if fitting else None
    cut = count is not None and abs(share(count) - value) > unit / 2
    return Reachable(count=count, cut=cut, below=text(first - 1), above=text(end))


def printed_text(printed: str, clips: int) -> str:
    """A printed percentage with the number of clips that it is, or with those next to it."""
    found = reachable(printed, clips)
    if found.count is not None:
        return f"{printed}  {found.count} of {clips} clips{', cut off and not rounded' if found.cut else ''}"
    beside = " and ".join(text for text in (found.below, found.above) if text)
    return f"{printed}  no whole number of {clips} clips (next to it: {beside})"


def percent(share: float, sign: str = "") -> str:
    """`73.9` of 0.7389; with the sign `+`, `+73.9`."""
    return f"{100 * share:{sign}z.1f}"


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """A result as a file that appears whole or not at all; `UsageError` where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(result, indent=1, allow_nan=False) + "\n")
    except (OSError, ValueError) as error:
        raise UsageError(
            got=f"{path}, which cannot be written ({getattr(error, 'strerror', None) or error})",
            expected="a file in a folder with room that can be written",
            fix="name another --json",
        ) from None


def _aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {text}" for name, text in rows]
