"""The figures of a report: accuracy by subject and by epoch, sweeps, and magnified clips."""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aman.attention import shares_of
from aman.errors import DataError
from aman.report.cells import measured
from aman.report.columns import Column, Configuration, Sweep
from aman.report.headline import first_of
from aman.report.heat import slug
from aman.report.page import Figure, Section
from aman.report.tables import sweep_table
from aman.runs import EPOCHS, LOSSES, MOVING, STRIPS, Run
from aman.scoring import accuracy_by_epoch, fold_column


def subjects_section(columns: Sequence[Column]) -> Section:
    """How many clips of each left-out subject, or whatever was left out, are right."""
    figures, texts = [], []
    for column in columns:
        one = first_of(column)
        if one is not None:
            try:
                figures.append(_subjects(column, one))
            except DataError as error:
                texts.append(f"{column.title}: {error.got}.")
    return Section(title="By subject", figures=figures, texts=texts)


def _subjects(column: Column, one: Configuration) -> Figure:
    clips = pd.concat([run.table() for run in one.runs])
    right = (clips["label"] == clips["prediction"]).groupby(clips[fold_column(clips)])
    counted = pd.DataFrame({"right": right.sum(), "clips": right.size()}).rename_axis(one.runs[0].one)
    right_S, clips_S = ([int(count) for count in counted[name]] for name in ("right", "clips"))
    names = [str(name).removeprefix(f"{one.runs[0].values['database']}/") for name in counted.index]
    chance = float(one.runs[0].values["chance"]["majority"])
    seeds = f", {len(one.runs)} seeds together" if len(one.runs) > 1 else ""

    def draw(path: Path) -> list[Path]:
        from aman.figures import subjects_figure

        return subjects_figure(names, right_S, clips_S, chance, one.runs[0].one, path)

    data = counted.reset_index().assign(accuracy_percent=(100 * counted["right"] / counted["clips"]).round(6).tolist())
    return Figure(
        name=f"subjects-{slug(column.title)}",
        caption=f"{column.title}: clips that are right of each left-out {one.runs[0].one}, in %. {one.name}{seeds}.",
        of=[names, right_S, clips_S, chance],
        draw=draw,
        data=data,
    )


def training_section(columns: Sequence[Column]) -> Section:
    """The training loss, and the accuracy on left-out clips after every epoch."""
    figures, texts = [], []
    for column in columns:
        one = first_of(column)
        if one is None:
            continue
        if all(int(run.values["guessing_best_of"]["epochs"]) < 2 for run in one.runs):
            texts.append(f"{column.title}: {one.title} is not trained in epochs.")
            continue
        try:
            accuracy = accuracy_by_epoch(pd.concat([run.table(EPOCHS) for run in one.runs]))
        except DataError as error:
            texts.append(f"{column.title}: {error.got}.")
            continue
        losses = pd.DataFrame({"loss": [0.0], "epoch": [0]}).head(0)
        try:
            losses = pd.concat([run.table(LOSSES) for run in one.runs])
        except DataError as error:
            texts.append(f"{column.title}: no training loss: {error.got}; {error.fix}.")
        figures.append(_training(column, one, losses, accuracy))
    return Section(title="By epoch", figures=figures, texts=texts)


def _training(column: Column, one: Configuration, losses: pd.DataFrame, accuracy_E: Sequence[float]) -> Figure:
    by_epoch = losses["loss"].groupby(losses["epoch"]).agg(["mean", "min", "max"])
    loss_E3 = [(float(mean), float(least), float(most)) for mean, least, most in by_epoch.to_numpy()]
    chance = float(one.runs[0].values["chance"]["majority"])

    def draw(path: Path) -> list[Path]:
        from aman.figures import training_figure

        return training_figure(loss_E3, accuracy_E, chance, path)

    data = pd.DataFrame({"accuracy_percent": [round(100 * one, 6) for one in accuracy_E]})
    data.insert(0, "epoch", range(1, len(data) + 1))
    if loss_E3:
        named = by_epoch.rename(columns={"mean": "loss", "min": "least_loss", "max": "most_loss"})
        data = data.merge(named, how="outer", on="epoch")
    return Figure(
        name=f"epochs-{slug(column.title)}",
        caption=f"{column.title}: training loss, and accuracy on the left-out clips after every epoch. {one.name}. The "
        "last epoch is what counts; whoever takes the best one tunes on the test.",
        of=[loss_E3, list(accuracy_E), chance],
        draw=draw,
        data=data,
    )


def confusion_figures(column: Column, base: Configuration) -> list[Figure]:
    """The confusion matrix for papers; the page has it as tables."""
    counts = np.sum([run.values["confusion"] for run in base.runs], axis=0).tolist()
    classes = base.runs[0].classes

    def draw(path: Path) -> list[Path]:
        from aman.figures import FOR_PAPERS, confusion_figure

        return confusion_figure(counts, classes, path, FOR_PAPERS)

    name = f"confusion-matrix-{slug(column.title)}"
    caption = f"{column.title}: both in one picture, for papers."
    return [Figure(name=name, caption=caption, of=[counts, list(classes)], draw=draw, shown=False)]


def attention_figures(column: Column, base: Configuration) -> list[Figure]:
    """The attention along each axis of the method, as lines by class. `DataError` as `aman.report.heat.attention`."""
    clips, figures = pd.concat([run.table() for run in base.runs]), []
    for name, axis in base.runs[0].axes.items():
        share_CX, labels = shares_of(clips, name), [str(one) for one in clips["label"]]
        at = list(axis["at"]) or list(range(share_CX.shape[1]))

        def draw(path: Path, what: Any = (share_CX, labels, at, axis["label"])) -> list[Path]:
            from aman.figures import FOR_PAPERS, attention_figure

            each, of, ticks, label = what
            return attention_figure(each, of, ticks, label, path, FOR_PAPERS)

        means = pd.DataFrame(share_CX).groupby(labels).agg(["mean", "size"]).to_numpy().tolist()
        file, caption = f"attention-{axis['plural']}-lines-{slug(column.title)}", f"{column.title}, {axis['plural']}"
        about = [means, sorted(set(labels)), at, axis["label"]]
        figures.append(Figure(name=file, caption=f"{caption}: as lines, for papers.", of=about, draw=draw, shown=False))
    return figures


def sweep_section(sweep: Sweep, columns: Sequence[Column]) -> Section:
    """The table of a sweep, and its curves where two points or more were run."""
    table, found = sweep_table(sweep, columns), []
    for column in columns:
        points, _ = column.along(sweep.setting)
        cells = {value: measured(one) for value, one in points.items()} if sweep.drawn and len(points) > 1 else {}
        ours = [
            (value, 100 * cell.accuracy, 100 * cell.interval[0], 100 * cell.interval[1])
            for value, cell in cells.items()
            if cell.accuracy is not None and cell.interval is not None
        ]
        if ours:
            chance = 100 * column.runs[0].values["chance"]["majority"]
            found.append((column.title, ours, list(sweep.printed(column.protocol).items()), chance))
    if not found:
        why = ["No curve: no two values were run."] if sweep.drawn else []
        return Section(title=sweep.title, tables=[table], texts=why)

    def draw(path: Path) -> list[Path]:
        from aman.figures import Curve, curves_figure

        curves = [
            Curve(
                title=title,
                points={value: (share, low, high) for value, share, low, high in ours},
                printed=dict(paper),
                chance=chance,
            )
            for title, ours, paper, chance in found
        ]
        values = sorted({value for one in curves for value in (*one.points, *one.printed)})
        return curves_figure(curves, sweep.setting, values, path)

    caption = f"{sweep.title}: accuracy in % with its 95 % interval over subjects, all else equal."
    figure = Figure(name=f"{sweep.name}-curves", caption=caption, of=[sweep.setting, *found], draw=draw)
    return Section(title=sweep.title, tables=[table], figures=[figure])


def magnification_section(columns: Sequence[Column]) -> Section:
    """Magnified clips that a run of the fixed configuration, else any run of the column, left in its folder: one that
    moves, and one of each class near its apex."""
    figures, texts = [], []
    for column in columns:
        runs = [*(column.base.runs if column.base else ()), *column.runs]
        for file in (MOVING, STRIPS):
            made = [run for run in runs if (run.folder / file).is_file()]
            figure = next(filter(None, map(partial(_picture, column, file), made)), None)
            if figure is not None:
                figures.append(figure)
            elif made:
                texts.append(f"{column.title}: {made[0].folder / file} cannot be read.")
            else:
                why = "the magnified images were not in the cache, or were not drawn; running the job again draws them"
                texts.append(f"{column.title}: no run has a {file}: {why}.")
    return Section(title="Magnification", figures=figures, texts=texts)


def _picture(column: Column, file: str, run: Run) -> Figure | None:
    """The picture that a run left; None where it is no whole one."""
    from PIL import Image

    try:
        content = (run.folder / file).read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            said = image.info.get("comment", b"").decode(errors="replace")
    except (OSError, SyntaxError, ValueError):
        return None
    magnifier = Path(str(run.settings.get("magnifier", ""))).stem
    caption = f"{column.title}: a clip of each class near its apex, magnified ({magnifier}). {run.name}"
    if file == MOVING:
        caption = (
            f"{column.title}: a clip as it is, magnified ({magnifier}), and where the two differ; the brightest colour "
            f"is the difference that stands above the map, in grey levels. {said}. {run.name}"
        )
    name, ending = Path(file).stem, Path(file).suffix
    return Figure.copy(f"{name}-{slug(column.title)}", caption, content, ending)
