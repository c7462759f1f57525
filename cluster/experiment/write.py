"""The folder of a run: predictions, folds, figures and scores.json. One writer for every job."""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aman.attention import shares_of
from aman.attention import summary as attention_summary
from aman.databases import find
from aman.drawn import drawn_once, figures_key
from aman.errors import UsageError, unwritable
from aman.inputs.base import View, stages
from aman.inputs.images import Images
from aman.moving import write_moving
from aman.protocols import published_accuracy
from aman.runs import EPOCHS, FOLDS, LOSSES, MOVING, PREDICTIONS, SCORES, STRIPS, package_version
from aman.sheets.own import write_csv
from aman.sheets.text import printable
from aman.tables import score_values, write_json
from aman.tim import INTERPOLATED_FRAMES
from cluster.experiment.plan import Plan
from cluster.experiment.score import Outcome, fold_table, loss_table, pool_epochs
from cluster.folds.timing import machine
from cluster.tracking.provenance import command_line, git_commit, ray_job

CHECKPOINT_RULE = "last epoch"
"""Which weights of a fold predict."""
NOTHING_IS_LOST = "name another --out or --json; the folds are in the store"
"""What the error advises when a folder or file of a run cannot be written."""
TIMES = ("began", "ended")
"""In scores.json: when the job began that made the results, and when they were there."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What a run's folder says of itself beside its scores."""

    job: str
    name: str
    """`k=9 n=11 layer3 official s0`."""
    recipe: str
    """The recipe that the settings began with."""
    selection: str = "fixed"
    """Who chose the configuration: `fixed` (the user), `inner` folds, or `literature` (the left-out clips)."""
    stamp: str = ""
    """What has to be said wherever the numbers are shown: `tuned on test`, or nothing."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Configuration by left-out group, where inner folds chose."""
    parameters: int | None = None
    """Numbers that training fits, where somebody counted them: methods that train no network have none."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A benchmark with its scores, as a folder of its own."""

    plan: Plan
    outcome: Outcome
    folder: Path
    about: About

    @cached_property
    def attention(self) -> dict[str, dict[str, Any]]:
        """What is to be said of each attention of the method (`aman.attention.summary`). Empty where configurations
        differ from fold to fold."""
        request = self.plan.request
        axes = {} if self.about.selection == "inner" else request.recipe.method.axes(request.recipe)
        return attention_summary(self.outcome.predictions, axes, find(request.database), Path(str(request.root)))

    def write(self, *, figures: bool = True, more: Mapping[str, pd.DataFrame] | None = None) -> list[Path]:
        """predictions.csv, epochs.csv (what was predicted after every epoch, for jobs/score.py), folds.csv, losses.csv
        (the training loss of every fold and epoch), the tables in `more` and, where wanted, the figures; their paths.
        `UsageError` where the folder cannot be written.

        Where inner folds chose, attention over other levels and frames for every fold makes no one figure."""
        tables = {
            **(more or {}),
            PREDICTIONS: self.outcome.predictions,
            EPOCHS: pool_epochs(self.plan),
            FOLDS: fold_table(self.plan),
            LOSSES: loss_table(self.plan),
        }
        if self.about.selection != "fixed":
            tables = {name: table.assign(stamp=self.about.stamp) for name, table in tables.items()}
        files = write_tables(self.folder, tables)
        try:
            if figures:
                files += self._figures(extras=self.about.selection != "inner")
        except OSError as error:
            raise unwritable(self.folder, error, NOTHING_IS_LOST) from None
        return files

    def _figures(self, *, extras: bool) -> list[Path]:
        """Draw the figures, or find those that were drawn of the same results. Where clips could be shown and were not,
        because no images were in the cache, they are drawn again."""
        shown = extras and any(isinstance(stage, Images) for stage in stages(self.plan.inputs))
        key = figures_key({"outcome": self.outcome.key, "extras": extras}, [Path(__file__)])
        again = partial(draw, self.plan, self.outcome, self.folder, extras=extras)
        return drawn_once(self.folder, key, again, needed=[STRIPS, MOVING] if shown else [])

    def write_scores(
        self, seconds: float, run_id: str | None = None, wanted: Path | None = None, *, again: bool = False
    ) -> Path:
        """scores.json beside the predictions, which makes the folder a run for `aman.runs`, and a copy where the user
        wants one; its path. Before MLflow has the run there is no `run_id`. `seconds` is how long the job has run.

        `again`: this run wrote them before. `UsageError` where those in the folder are now of other results: another
        job has written there since, and the files of both are mixed."""
        plan, outcome = self.plan, self.outcome
        protocol, recipe, split = plan.selection.protocol, plan.request.recipe, plan.selection.split
        weights = {
            spec.subject: plan.finished[spec.key].weights_sha256 for spec in plan.folds if spec.key in plan.finished
        }
        if again and _read(self.folder / SCORES).get("weights", weights) != weights:
            raise UsageError(
                got=f"{self.folder}, into which another job has written other results at the same time",
                expected="a folder for each benchmark",
                fix="run this command again with another --out; what it computed is in the store",
            )
        result = {
            **asdict(self.about),
            "method": recipe.method.name,
            "title": recipe.method.title or recipe.method.name,
            "database": protocol.database,
            "protocol": protocol.name,
            "fingerprint": plan.selection.fingerprint,
            "incomplete": bool(outcome.incomplete),
            "incomplete_why": outcome.incomplete,
            **score_values(outcome.scores),
            "split": {"rule": split.text, "one": split.one, "many": split.many},
            "clips_of_the_protocol": len(plan.selection.clips),
            "subjects_on_both_sides": list(plan.selection.on_both_sides),
            "by_group": {name: score_values(one) for name, one in outcome.by_group.items()},
            "literature": {"best_test_epoch_accuracy": outcome.best_test_epoch},
            "guessing_best_of": {"epochs": outcome.epochs, "accuracy": outcome.guessing},
            "paper_accuracy_percent": published_accuracy(protocol.name, recipe.method.title or recipe.method.name),
            "settings": recipe.method.describe(recipe),
            "seed": plan.request.seed,
            "axes": {name: asdict(axis) for name, axis in recipe.method.axes(recipe).items()},
            "attention": self.attention,
            "checkpoint_rule": CHECKPOINT_RULE,
            "digests": plan.weights,
            "git_commit": git_commit(),
            "command": command_line(),
            "ray_job": ray_job(),
            **self._made(seconds, weights),
            "failed_folds": outcome.failed_folds,
            "computed_clips": outcome.computed_clips,
            "computed_folds": outcome.computed_folds,
            "seconds": round(seconds, 2),
            "run_id": run_id,
            "predictions": str(self.folder / PREDICTIONS),
            "weights": weights,
        }
        for path in [self.folder / SCORES, *([wanted] if wanted else [])]:
            write_json(path, result)
        return self.folder / SCORES

    def _made(self, seconds: float, weights: Mapping[str, str]) -> dict[str, Any]:
        """When, by which version and on which machine the results were made: as an earlier job noted it in the folder,
        where it left the very same fits, for this one then only found them."""
        names = (*TIMES, "version", "machine")
        earlier = _read(self.folder / SCORES)
        if earlier.get("weights") == weights and all(name in earlier for name in names):
            return {name: earlier[name] for name in names}
        now = datetime.now(UTC)
        times = [one.isoformat(timespec="seconds") for one in (now - timedelta(seconds=seconds), now)]
        return dict(zip(names, (*times, package_version(), machine()), strict=True))

    @property
    def times(self) -> tuple[float | None, float | None]:
        """When the job began that made the results, and when they were there, in seconds since 1970, as scores.json
        says it; None where it is not written."""
        made = _read(self.folder / SCORES)
        began, ended = (datetime.fromisoformat(made[name]).timestamp() if name in made else None for name in TIMES)
        return began, ended


def _read(path: Path) -> dict[str, Any]:
    """The JSON object of a file; empty where there is none."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def draw(plan: Plan, outcome: Outcome, out: Path, *, extras: bool = True) -> list[Path]:
    """The confusion matrix, the attention along each axis of the method, and magnified clips where images are in the
    cache. A figure that cannot be drawn costs no result: a line says so."""
    from aman.figures import attention_figure, confusion_figure, magnification_figure

    files: list[Path] = []

    def add(name: str, figure: Callable[..., list[Path]], *what: Any) -> None:
        try:
            files.extend(figure(*what, out / name))
        except OSError:
            raise
        except Exception as error:
            sys.stderr.write(f"warning: no figure {out / name}: {printable(str(error).partition(chr(10))[0])}\n")

    add("confusion.png", confusion_figure, outcome.scores.confusion_YY, plan.selection.protocol.classes)
    if not extras:
        return files
    labels = list(outcome.predictions["label"])
    for name, axis in plan.request.recipe.method.axes(plan.request.recipe).items():
        share_CX = shares_of(outcome.predictions, name)
        add(f"attention_{axis.plural}.png", attention_figure, share_CX, labels, axis.at, axis.label)
    grids = [stage for stage in stages(plan.inputs) if isinstance(stage, Images)]
    strips = magnified_clips(plan, grids[0]) if grids else {}
    if strips:
        add(STRIPS, magnification_figure, strips, grids[0].grid.factors)
        add(MOVING, partial(moving_clip, plan, outcome.predictions, grids[0]))
    return files


def moving_clip(plan: Plan, predictions: pd.DataFrame, images: Images, path: Path) -> list[Path]:
    """A GIF of the clip that is predicted rightly with the highest probability (of any clip, where none is right), of
    those whose images are in the cache: as it is, at the highest level that the method sees, and their difference."""
    grid, view = images.grid, plan.request.recipe.method.view(plan.request.recipe)
    highest = max(view.factors) if view is not None else 1
    factor = highest if highest > 1 else max(grid.factors)
    sure = predictions[[f"p_{name}" for name in plan.selection.protocol.classes]].max(axis=1)
    wrong = predictions["label"] != predictions["prediction"]
    order = predictions.assign(wrong=wrong, sure=-sure).sort_values(["wrong", "sure", "clip"])
    for clip, label, said in zip(order["clip"], order["label"], order["prediction"], strict=True):
        seen = partial(images.unpack, view=View(frames=grid.frames, factors=(1, factor)))
        image_LKCHW = plan.cache.load(images.name, plan.clips[clip].keys[images], seen)
        if image_LKCHW is not None:
            plain_LHWC, magnified_LHWC = image_LKCHW.transpose(1, 0, 3, 4, 2)
            return [write_moving(path, plain_LHWC, magnified_LHWC, factor, f"{clip}: {label}, predicted {said}")]
    return []


def magnified_clips(plan: Plan, images: Images) -> dict[str, npt.NDArray[np.uint8]]:
    """`image_KHWC` of the first clip of each class whose images are in the cache, near its apex (the middle where no
    apex is known), at every prepared factor."""
    grid, found = images.grid, dict[str, npt.NDArray[np.uint8]]()
    for clip in plan.selection.clips:
        name = plan.selection.protocol.classes[plan.selection.class_of(clip)]
        if name in found:
            continue
        share = 0.5 if clip.apex is None else (clip.apex - clip.onset) / max(1, clip.offset - clip.onset)
        near = min(grid.frames, key=lambda frame: abs(frame - share * (INTERPOLATED_FRAMES - 1)))
        seen = partial(images.unpack, view=View(frames=(near,), factors=grid.factors))
        image_1KCHW = plan.cache.load(images.name, plan.clips[clip.clip_id].keys[images], seen)
        if image_1KCHW is not None:
            found[name] = image_1KCHW[0].transpose(0, 2, 3, 1)
    return found


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
    """The tables as files of the folder; their paths. `UsageError` where it cannot be written."""
    files = [folder / name for name in tables]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, table in zip(files, tables.values(), strict=True):
            write_csv(path, table)
    except OSError as error:
        raise unwritable(folder, error, NOTHING_IS_LOST) from None
    return files


def make_folder(folder: Path) -> None:
    """Make a folder for results. `UsageError` where that cannot be done, or nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(folder, error, NOTHING_IS_LOST) from None
