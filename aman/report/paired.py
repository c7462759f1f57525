"""Methods against AMAN on one database: paired tests with Holm's correction, and differences by subject and class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from aman.errors import DataError
from aman.methods import USUAL
from aman.ranking import LEVEL, holm
from aman.report.columns import Column, Configuration
from aman.report.heat import slug
from aman.report.tables import Table
from aman.scoring import LEFT_OUT, Comparison, compare
from aman.splits import EVERY_SUBJECT
from aman.tables import percent


def paired_tests(column: Column, found: Sequence[Configuration]) -> Table | None:
    """Every other method against AMAN, seed by seed on the very same clips; None where one of both is missing.

    The p-value of a method is the largest one of its seeds: it is small only where every seed shows the difference.
    """
    base = next((one for one in found if one.method == USUAL), None)
    others = [one for one in found if one.method != USUAL]
    if base is None or not others:
        return None
    rows: list[dict[str, Any]] = [{"method": one.title, "settings": one.name, **_against(one, base)} for one in others]
    tested = [row for row in rows if row["p"] is not None]
    for row, corrected in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = corrected
    return Table(
        name=f"paired-{slug(column.title)}",
        title=f"{column.title}: each method less {base.title}",
        caption=f"{base.name}. Differences in points of per cent with their 95 % interval over subjects, all seeds "
        "together. p is McNemar's exact two-sided test on the clips, the largest one of the seeds; it takes clips for "
        "independent, which those of one subject are not; the intervals are over subjects. The corrected p is "
        f"Holm's for the {len(tested)} tests of this table.",
        shown=pd.DataFrame([_shown(row, base.title) for row in rows]),
        data=pd.DataFrame(rows),
    )


def _against(one: Configuration, base: Configuration) -> dict[str, Any]:
    """What the tests say of a method less AMAN; empty with the reason where they cannot be made."""
    empty = dict.fromkeys(("accuracy", "accuracy_low", "accuracy_high", "uf1", "uf1_low", "uf1_high", "p", "p_holm"))
    pairs = _pairs(one, base)
    if not pairs:
        return {**empty, "seeds": 0, "remark": "no seed that both were trained with"}
    classes = base.runs[0].classes
    try:
        by_seed = [compare(mine, other, classes) for mine, other in pairs.values()]
        whole = together(pairs, classes)
    except DataError as error:
        return {**empty, "seeds": len(pairs), "remark": error.got}
    return {
        "accuracy": 100 * whole.accuracy_difference,
        "accuracy_low": 100 * whole.accuracy_interval[0],
        "accuracy_high": 100 * whole.accuracy_interval[1],
        "uf1": 100 * whole.uf1_difference,
        "uf1_low": 100 * whole.uf1_interval[0],
        "uf1_high": 100 * whole.uf1_interval[1],
        "only_method": whole.only_first,
        "only_aman": whole.only_second,
        "p": max(each.p_value for each in by_seed),
        "p_holm": None,
        "seeds": len(pairs),
        "remark": "",
    }


def _pairs(one: Configuration, base: Configuration) -> dict[int, tuple[pd.DataFrame, pd.DataFrame]]:
    """Predictions of both by seed, of the seeds that both have. `DataError` where a table cannot be read."""
    mine, other = ({run.seed: run for run in each.runs} for each in (one, base))
    return {seed: (mine[seed].table(), other[seed].table()) for seed in mine if seed in other}


def together(pairs: Mapping[int, tuple[pd.DataFrame, pd.DataFrame]], classes: Sequence[str]) -> Comparison:
    """The comparison of two methods over all seeds at once, from the predictions of both by seed: a clip of another
    seed is another clip, and of the same subject."""

    def joined(place: int) -> pd.DataFrame:
        return pd.concat(
            [
                pair[place].assign(clip=[f"{clip} s{seed}" for clip in pair[place]["clip"]])
                for seed, pair in pairs.items()
            ]
        )

    return compare(joined(0), joined(1), classes)


def _shown(row: dict[str, Any], base: str) -> dict[str, str]:
    def points(name: str) -> str:
        if row[name] is None:
            return "-"
        value, low, high = (percent(row[one] / 100, "+") for one in (name, f"{name}_low", f"{name}_high"))
        return f"{value} [{low}, {high}]"

    p, corrected = (("-" if row[name] is None else f"{row[name]:.3g}") for name in ("p", "p_holm"))
    said = row["remark"]
    if row["p_holm"] is not None:
        better = "better" if row["accuracy"] > 0 else "worse"
        said = f"{better} than {base}" if row["p_holm"] < LEVEL else "no difference shown"
    return {
        "method": row["method"],
        "accuracy": points("accuracy"),
        "UF1": points("uf1"),
        "right only here": str(row.get("only_method", "-")),
        f"right only in {base}": str(row.get("only_aman", "-")),
        "p": p,
        "p, Holm": corrected,
        "seeds": str(row["seeds"]),
        f"at {100 * LEVEL:g} %": said,
    }


def by_part(found: Sequence[Configuration]) -> list[Table]:
    """Share of right clips of the first method (AMAN where it is there) by subject and by class, and what every other
    method has more or less, in points."""
    base = next((one for one in found if one.method == USUAL), found[0])
    ordered = [base, *(one for one in found if one is not base)]
    titles = [one.title for one in ordered]
    heads = [one.title if titles.count(one.title) == 1 else one.name for one in ordered]
    named, place = dict(zip(heads, ordered, strict=True)), slug(base.runs[0].protocol)
    one = base.runs[0].one
    groups = [_by(named, LEFT_OUT, f"by-{slug(one)}-{place}", f"By {one}")] if one != EVERY_SUBJECT.one else []
    return [
        *groups,
        _by(named, "subject", f"by-subject-{place}", "By subject"),
        _by(named, "label", f"by-class-{place}", "By class"),
    ]


def _by(named: Mapping[str, Configuration], part: str, name: str, title: str) -> Table:
    """One table: right clips of the first one in per cent, and the points that each other one has more."""
    shares: dict[str, pd.Series[float]] = {}
    notes = []
    first, *others = named
    for head, one in named.items():
        try:
            clips = pd.concat([run.table() for run in one.runs])
        except DataError as error:
            notes.append(f"{head}: {error.got}")
        else:
            shares[head] = 100.0 * (clips["label"] == clips["prediction"]).groupby(clips[part]).mean()
            counts = clips.groupby(part)["clip"].nunique()
    if first not in shares:
        return Table(name=name, title=title, caption=notes[0], shown=pd.DataFrame(), data=pd.DataFrame())
    # pyrefly: ignore[unbound-name]
    order = [one for one in named[first].runs[0].classes if one in counts] if part == "label" else sorted(counts.index)
    columns: dict[str, list[Any]] = {
        {"label": "class", LEFT_OUT: "left out"}.get(part, part): order,
        "clips": [int(counts[one]) for one in order],  # pyrefly: ignore[unbound-name]
        f"{first}, right in %": [float(shares[first].get(one, np.nan)) for one in order],
    }
    for head in others:
        if head in shares:
            more = shares[head] - shares[first]
            columns[f"{head}, points more"] = [float(more.get(one, np.nan)) for one in order]
    data = pd.DataFrame(columns)
    shown = data.copy()
    for place, column in enumerate(data.columns[2:]):
        sign = "+" if place else ""
        shown[column] = ["-" if np.isnan(value) else percent(value / 100, sign) for value in data[column]]
    return Table(
        name=name,
        title=title,
        caption=f"Clips that {first} has right, in %, mean over seeds, and how many points each other method has more. "
        "Of few clips a difference says little.",
        shown=shown.astype(str),
        data=data,
        notes=tuple(notes),
    )
