"""Finished runs as they lie on disk: a folder each, with scores.json, predictions.csv and, where they were drawn,
figures. What a report is made of; nothing here was computed again, and nothing needs the database."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from aman.errors import DataError
from aman.intervals import KIND
from aman.scoring import LEFT_OUT, accuracy_interval
from aman.sheets.own import read_csv
from aman.splits import EVERY_SUBJECT

COPIES = "artifacts"
"""Name of the folder in which MLflow keeps a run's files: copies of what lies in the run's own folder."""
SCORES, PREDICTIONS, EPOCHS, FOLDS = "scores.json", "predictions.csv", "epochs.csv", "folds.csv"
"""Files of a run's folder; the first makes it one."""
LOSSES = "losses.csv"
"""The training loss of every fold and epoch. Runs of earlier versions have no such file."""
STRIPS, MOVING = "magnification.png", "magnified.gif"
"""Pictures where the magnified images were in the cache: a clip of each class at every factor, and one clip that moves,
beside it magnified, and the difference."""

WITHOUT_EFFECT = ("frames_seen", "grid_frames", "grid_factors")
"""Settings that follow from others, or that change what is prepared and no score."""

NEEDED: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(
        ("job", "name", "selection", "stamp", "database", "protocol", "fingerprint", "incomplete_why"), str
    ),
    **dict.fromkeys(("git_commit", "command"), str),
    **dict.fromkeys(("clips", "folds", "seed"), int),
    **dict.fromkeys(("accuracy", "uf1"), (int, float)),
    **dict.fromkeys(("interval", "classes", "confusion"), list),
    **dict.fromkeys(("chosen", "chance", "guessing_best_of", "settings", "digests", "weights"), dict),
}
"""What scores.json must hold to be read, and of which type."""

COLUMNS = {
    PREDICTIONS: ("clip", "subject", "label", "prediction"),
    EPOCHS: ("clip", "subject", "label", "prediction", "epoch"),
    FOLDS: ("seconds", "device", "key"),
    LOSSES: ("epoch", "loss"),
}
"""What the tables must hold."""

TEXTS = ("subject", LEFT_OUT, "clip", "label", "prediction", "device", "key")
"""Columns whose cells are names, whatever they look like."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A run of one configuration under one protocol."""

    folder: Path
    values: Mapping[str, Any]
    """All of scores.json."""

    @property
    def name(self) -> str:
        """`k=9 n=11 layer3 official s0`."""
        return str(self.values["name"])

    @property
    def method(self) -> str:
        """Name of the method. Runs of the first releases have none: there was one method."""
        return str(self.values.get("method", "aman"))

    @property
    def protocol(self) -> str:
        """Name of the protocol."""
        return str(self.values["protocol"])

    @property
    def fingerprint(self) -> str:
        """sha256 over clip ids and classes: runs of one protocol with different ones scored different clips."""
        return str(self.values["fingerprint"])

    @property
    def split(self) -> str:
        """Which clips were left out together, in words. Earlier runs do not say it: they left out every subject."""
        return str(self.values.get("split", {}).get("rule", EVERY_SUBJECT.text))

    @property
    def one(self) -> str:
        """What a left-out group is called: `subject`, `fold`, `database` or `test set`."""
        return str(self.values.get("split", {}).get("one", EVERY_SUBJECT.one))

    @property
    def size(self) -> str:
        """`246 clips, 26 subjects`; where clips are learned from alone or other groups are left out, how many."""
        clips, folds = int(self.values["clips"]), int(self.values["folds"])
        if self.one == EVERY_SUBJECT.one:
            return f"{clips} clips, {folds} subjects"
        whole = int(self.values.get("clips_of_the_protocol", clips))
        of = f" of {whole}" if whole != clips else ""
        groups = f"{folds} left-out {self.one if folds == 1 else self.values['split']['many']}"
        return f"{clips}{of} clips predicted, {self.values['subjects']} subjects, {groups}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting of the recipe by its option's name (`k`, `n`, `frozen`, `attention`, ...)."""
        return self.values["settings"]

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.values["seed"])

    @property
    def incomplete(self) -> str:
        """Why it is not a score of the whole protocol, or empty text."""
        return str(self.values["incomplete_why"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in their fixed order."""
        return tuple(self.values["classes"])

    @property
    def axes(self) -> Mapping[str, Mapping[str, Any]]:
        """What the method's extras count, by column of predictions.csv (`alpha`): label, plural and numbers. Runs of
        the first releases say it in other words."""
        if "axes" not in self.values and "factors_seen" in self.values:
            frames = self.settings.get("frames_seen", [])
            return {
                "alpha": {"label": "factor", "plural": "levels", "at": self.values["factors_seen"]},
                "beta": {"label": "interpolated frame", "plural": "frames", "at": frames},
            }
        return self.values.get("axes", {})

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy over subjects. Earlier runs state that of a bootstrap, which is too narrow: of
        these it is computed from their predictions. `DataError` where those cannot be read."""
        if self.values.get("interval_kind") == KIND:
            low, high = self.values["interval"]
            return float(low), float(high)
        return accuracy_interval(self.table())

    def table(self, name: str = PREDICTIONS) -> pd.DataFrame:
        """One of the run's tables. `DataError` where it is not there or no table."""
        path = self.folder / name
        try:
            table = read_csv(path, TEXTS)
        except (OSError, ValueError) as error:
            raise _no_table(path, getattr(error, "strerror", None) or type(error).__name__) from None
        lacking = [column for column in COLUMNS[name] if column not in table]
        if lacking:
            raise _no_table(path, f"no column {', '.join(lacking)}")
        if name == PREDICTIONS and len(table) != (count := self.values.get("clips", len(table))):
            raise _no_table(path, f"{len(table)} rows where {SCORES} counts {count} clips")
        return table


def package_version() -> str:
    """The version of this package as it is installed; empty where it is not."""
    try:
        return version("aman-cluster")
    except PackageNotFoundError:
        return ""


def differing(settings: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> list[str]:
    """Names of the settings in which two runs of one method differ, in the order in which they are named first.
    `methods` has the method of each of the `settings`."""
    values: dict[str, dict[str, set[str]]] = {}
    for one, method in zip(settings, methods, strict=True):
        for name, value in one.items():
            values.setdefault(name, {}).setdefault(method, set()).add(str(value))
    several = [name for name, some in values.items() if any(len(each) > 1 for each in some.values())]
    return [name for name in several if name not in WITHOUT_EFFECT]


def read_run(folder: Path) -> Run:
    """The run in a folder. `DataError` where there is none."""
    path = folder / SCORES
    try:
        values = json.loads(path.read_text())
        lacking = [name for name, kind in NEEDED.items() if not isinstance(values.get(name), kind)]
    except (OSError, ValueError, AttributeError) as error:
        why = getattr(error, "strerror", None) or f"{SCORES} is damaged"
        raise _none(folder, why) from None
    if lacking:
        raise _none(folder, f"{SCORES} lacks {', '.join(lacking)}")
    return Run(folder=folder, values=values)


def find_runs(paths: Iterable[Path]) -> list[Run]:
    """Every run in these folders and below them, each once, in the order of their paths; MLflow's copies are none.
    `DataError` for a folder without one."""
    found: dict[Path, Run] = {}
    for path in paths:
        folders = sorted(file.parent for file in path.rglob(SCORES)) if path.is_dir() else []
        folders = [folder for folder in folders if folder.name != COPIES]
        if not folders:
            raise _none(path, "there is none in it or below it" if path.is_dir() else "no such folder")
        for folder in folders:
            found.setdefault(folder.resolve(), read_run(folder))
    return list(found.values())


def _none(folder: Path, why: str) -> DataError:
    return DataError(
        got=f"{folder}, which holds no run ({why})",
        expected=f"the folder of a run, with {SCORES}",
        fix="name other folders, or run the job again: what is finished is not computed again",
    )


def _no_table(path: Path, why: str) -> DataError:
    return DataError(
        got=f"{path}, which cannot be read ({why})",
        expected="a table that a job wrote",
        fix="run the job that made the folder again: what is finished is not computed again",
    )
