"""Folders of runs as jobs leave them, with predictions that a test decides."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aman.intervals import KIND

CLASSES = ("negative", "positive", "surprise")

SETTINGS: dict[str, Any] = {
    "align": "landmarks",
    "magnifier": "phase",
    "trunk": "fer2013",
    "frozen": "layer4",
    "grid_frames": 20,
    "grid_factors": 11,
    "k": 9,
    "n": 11,
    "sampling": "linspace",
    "attention": "both",
    "rate": 0.001,
    "epochs": 4,
    "frames_seen": [1, 2, 3],
}


def clips_of(subjects: int = 6, clips: int = 5) -> list[tuple[str, str, str]]:
    """Clip, subject and label of each."""
    return [
        (f"smic/s{s:02d}/clip{c}", f"smic/s{s:02d}", CLASSES[(s + c) % 3])
        for s in range(1, subjects + 1)
        for c in range(clips)
    ]


def every(count: int) -> Callable[[int], bool]:
    """All clips right but one of so many."""
    return lambda position: position % count != 0


def made_run(
    folder: Path,
    right: Callable[[int], bool] | None = None,
    right_by_epoch: Sequence[Callable[[int], bool]] = (),
    clips: Sequence[tuple[str, str, str]] = (),
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    **values: Any,
) -> Path:
    """A run that has the clips right at the positions that `right` says (else three of four); its folder.

    `right_by_epoch` is the same for earlier epochs; `values` replace what scores.json says.
    """
    settings, right = {**SETTINGS, **(settings or {})}, right or every(4)
    clips = clips or clips_of()
    seed = values.get("seed", 0)
    folder.mkdir(parents=True)

    def said(label: str, position: int, rule: Callable[[int], bool]) -> str:
        return label if rule(position) else CLASSES[(CLASSES.index(label) + 1) % 3]

    rows, epochs = [], []
    for position, (clip, subject, label) in enumerate(clips):
        alpha = [[1.0 + factor for factor in range(settings["k"])]] * len(settings["frames_seen"])
        beta = [1.0] * len(settings["frames_seen"])
        rows.append([clip, subject, label, said(label, position, right), json.dumps(alpha), json.dumps(beta)])
        for epoch, rule in enumerate([*right_by_epoch, right], start=1):
            epochs.append([clip, subject, label, said(label, position, rule), epoch])
    head = ["clip", "subject", "label", "prediction"]
    write_rows(folder / "predictions.csv", [[*head, "alpha", "beta"], *rows])
    write_rows(folder / "epochs.csv", [[*head, "epoch"], *epochs])
    subjects = sorted({subject for _, subject, _ in clips})
    keys = {one: hashlib.sha256(f"{one}{settings}{seed}".encode()).hexdigest() for one in subjects}
    folds = [[one, 5, 3, 36.0, device, keys[one]] for one in subjects]
    write_rows(folder / "folds.csv", [["subject", "clips", "right", "seconds", "device", "key"], *folds])
    counts = Counter(label for _, _, label in clips)
    confusion = [[sum((row[2], row[3]) == (true, other) for row in rows) for other in CLASSES] for true in CLASSES]
    f1 = [2 * confusion[c][c] / max(1, sum(confusion[c]) + sum(row[c] for row in confusion)) for c in range(3)]
    scores = {
        "job": "paper",
        "name": f"k={settings['k']} n={settings['n']} {settings['frozen']} quick s{seed}",
        "selection": "fixed",
        "stamp": "",
        "chosen": {},
        "database": "smic",
        "protocol": "smic-hs-3",
        "fingerprint": "ab" * 32,
        "incomplete_why": "",
        "clips": len(clips),
        "folds": len(subjects),
        "accuracy": sum(row[2] == row[3] for row in rows) / len(rows),
        "uf1": sum(f1) / 3,
        "interval": [0.111, 0.999],
        "interval_kind": KIND,
        "chance": {"majority": max(counts.values()) / len(clips), "prior": 0.3456},
        "classes": list(CLASSES),
        "confusion": confusion,
        "guessing_best_of": {"epochs": settings["epochs"], "accuracy": 0.5432},
        "settings": settings,
        "seed": seed,
        "factors_seen": list(range(1, settings["k"] + 1)),
        "digests": {"trunk": "cd" * 32, "magnifier": ""},
        "git_commit": "0123456789abcdef0123456789abcdef01234567+",
        "command": "python jobs/paper.py",
        "weights": keys,
        **values,
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    return folder


def write_rows(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """A CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
