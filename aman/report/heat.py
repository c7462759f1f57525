"""The heat maps of a report, as tables that are shaded: confusion, and attention over levels and frames."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from aman.attention import SPREAD, shares_of
from aman.errors import DataError
from aman.report.columns import Column, Configuration
from aman.report.tables import Table
from aman.tables import percent


def confusion(column: Column, base: Configuration) -> list[Table]:
    """Clips by true and predicted class under the fixed configuration, all seeds together: in counts and in shares."""
    classes = base.runs[0].classes
    counts = np.sum([run.values["confusion"] for run in base.runs], axis=0)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = pd.DataFrame(counts, columns=[f"said {name}" for name in classes]).astype(str)
    shown.insert(0, "true class", list(classes))
    shown["clips"] = counts.sum(axis=1).astype(str)
    shown["recall in %"] = [percent(one) for one in np.diagonal(share)]
    shades = np.hstack([share, np.zeros((len(classes), 2))])
    several = f", {len(base.runs)} seeds together" if len(base.runs) > 1 else ""
    shares = pd.DataFrame([[percent(one) for one in row] for row in share], columns=shown.columns[1 : len(classes) + 1])
    shares.insert(0, "true class", list(classes))
    about = f"{base.name}{several}. {base.state}."
    return [
        Table(
            name=f"confusion-{slug(column.title)}",
            title=f"{column.title}, clips",
            caption=about,
            shown=shown,
            data=shown,
            shades=shades,
        ),
        Table(
            name=f"confusion-shares-{slug(column.title)}",
            title=f"{column.title}, in %",
            caption=f"Share of the clips of the true class. {about}",
            shown=shares,
            data=shares,
            shades=share,
        ),
    ]


def attention(column: Column, base: Configuration) -> list[Table]:
    """Mean attention along each axis of the method, by class and by subject of the left-out clips. `DataError` where a
    run's table cannot be read."""
    clips = pd.concat([run.table() for run in base.runs])
    tables = []
    for name, axis in base.runs[0].axes.items():
        try:
            share_CX = shares_of(clips, name)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            got = f"attention in {base.runs[0].folder} that cannot be read ({error})"
            raise DataError(got=got, expected=f"numbers for each {axis['label']}", fix="run the job again") from None
        sign = "\N{MULTIPLICATION SIGN}" if axis["label"] == "factor" else ""
        heads = [f"{sign}{one}" for one in axis["at"] or range(share_CX.shape[1])]
        file, title = f"attention-{axis['plural']}-{slug(column.title)}", f"{column.title}, {axis['plural']}"
        tables.append(_heat(file, title, heads, share_CX, clips, base))
    return tables


def attention_summary(column: Column, base: Configuration) -> list[Table]:
    """In how many folds each attention learned nothing, and how it follows the truth where a database knows it."""
    rows = []
    for run in base.runs:
        for name, one in run.values.get("attention", {}).items():  # runs of the first releases do not say it
            flat, known = one["flat_folds"], "rank_correlation" in one
            rows.append(
                {
                    "attention": f"{name}, over {one['plural']}",
                    "seed": str(run.seed),
                    "folds without any difference": f"{len(flat)} of {run.values['folds']}",
                    "which": ", ".join(flat),
                    "rank correlation": f"{one['rank_correlation']:+.2f}" if known else "",
                    "with": f"{TRUTHS[one['truth']]}, {one['clips']} clips" if known else "nothing that is known",
                }
            )
    if not rows:
        return []
    data = pd.DataFrame(rows)
    return [
        Table(
            name=f"attention-{slug(column.title)}",
            title=f"{column.title}, what it learned",
            caption=f"{base.name}. A fold counts as without difference where the median over its clips of greatest "
            f"less least attention is under {SPREAD:g}. Rank correlations are Spearman's.",
            shown=data,
            data=data,
        )
    ]


TRUTHS = {
    "strength": "the strength of the clip's movement (negative: weak movements are magnified more)",
    "amplitude": "the share of the movement that a frame shows",
}
"""What attention is compared with, in words."""


def slug(title: str) -> str:
    """A title as part of a file's name."""
    return re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")


def _heat(
    name: str,
    title: str,
    heads: Sequence[str],
    share_CX: npt.NDArray[np.float64],
    clips: pd.DataFrame,
    base: Configuration,
) -> Table:
    """Mean share in per cent by class and by subject, shaded from the least to the most."""
    rows, means = [], []
    for column in ("label", "subject"):
        for one in sorted(clips[column].unique()) if column == "subject" else base.runs[0].classes:
            mine = share_CX[(clips[column] == one).to_numpy()]
            if len(mine):
                means.append(mine.mean(axis=0))
                rows.append({"clips of": one if column == "label" else f"subject {one}", "clips": str(len(mine))})
    mean_RX = np.array(means)
    text = pd.DataFrame([[percent(one) for one in row] for row in mean_RX], columns=list(heads))
    low, high = float(mean_RX.min()), float(mean_RX.max())
    shades = (mean_RX - low) / (high - low) if high - low > 0.001 else np.zeros_like(mean_RX)
    shown = pd.concat([pd.DataFrame(rows), text], axis=1)
    return Table(
        name=name,
        title=title,
        caption=f"{base.name}: mean share of attention in %; {percent(1 / len(heads))} each would be no preference.",
        shown=shown,
        data=shown,
        shades=np.hstack([np.zeros((len(rows), 1)), shades]),
    )
