"""A paper whose folds an earlier version trained is warm: nothing is prepared or trained, and all tables are there."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
from small import small_database

import tune_spaces
from aman.methods import variant
from aman.models.settings import RECIPES
from aman.runs import find_runs
from cluster.experiment.plan import Request
from cluster.experiment.tables.plan import plan_tables
from cluster.folds.keys import FoldSpec
from cluster.store.folder import FolderStore
from cluster.store.names import BLOBS, FOLDS, ref_name
from cluster.store.releases import FolderRelease
from jobs import paper

RECORDED = "6619a5ed270b47f7d7e9b63a4dae752ab0f78af96f8ef73553bda0be55b365c6"
"""Digest of the keys of all 51 folds, sorted, a line each: of Table 1 on three subjects, of its five configurations on
two inner folds of each subject, and of Table 3. As commit 033ddc2 planned them, with the files' digests below."""
FIRST = "--align none --magnifier linear --grid-frames 2 --grid-factors 11 --k 9 --n 2 --epochs 1".split()
"""Settings of the paper that was planned then."""
SINCE = ["--rate", "0.01", "--no-standardise"]
"""What they were in the first releases where the default is another today."""


def made_up(release: FolderRelease, paths: Sequence[Path]) -> list[str]:
    """Digests of files that no version of OpenCV writes: of their names."""
    return [hashlib.sha256("/".join(path.parts[-3:]).encode()).hexdigest() for path in paths]


@pytest.fixture
def root(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(FolderRelease, "digests", made_up)
    return small_database(here / "release", subjects=3, clips_per_subject=2)


def planned(root: Path, store: Path) -> list[FoldSpec]:
    """Every fold of Tables 1 and 3 and of the inner folds that choose k."""
    settings = variant(
        RECIPES["small"],
        align="none",
        magnifier="linear",
        grid_frames=2,
        grid_factors=11,
        k=9,
        n=2,
        epochs=1,
        rate=1e-2,
        standardise=False,
    )
    spaces = [tune_spaces.find(name) for name in ("level_ceiling", "ablation")]
    configurations = tune_spaces.together(spaces, settings)
    ceilings = [one.name for one in configurations if one.name.startswith("k=") and "attention=both" in one.name]
    request = Request(database="synthetic", root=root, recipe=settings, store=str(store))
    _, experiment = plan_tables([request], configurations, {"k chosen by inner folds": ceilings}, (0,))
    return experiment.todo()


def row_of(spec: FoldSpec) -> list[float]:
    """Probabilities that no other fold has."""
    share, others = int(spec.key[:4], 16) / 0xFFFF, spec.task.classes - 1
    return [share, *[(1 - share) / others] * others]


def store_as_the_first_releases(store: FolderStore, spec: FoldSpec) -> None:
    """A result of the fold with attention beside the rest, under a name that says neither kind nor key."""
    task, rows = spec.task, [row_of(spec) for _ in spec.task.test_clips]
    result = {
        "subject": task.subject,
        "clips": task.test_clips,
        "probabilities": rows,
        # pyrefly: ignore[missing-attribute]
        "alpha": [[[0.5] * spec.recipe.model.k] * spec.recipe.model.n for _ in rows],
        "beta": [[0.5] * spec.recipe.model.n for _ in rows],  # pyrefly: ignore[missing-attribute]
        "epoch_classes": [[row.index(max(row)) for row in rows]],
        "losses": [1.0],
        "weights_sha256": "ab" * 32,
        "seconds": 1.5,
        "device": "cpu",
    }
    content = json.dumps(result).encode()
    digest = hashlib.sha256(content).hexdigest()
    store.put(f"{BLOBS}/{digest[:2]}/{digest}", content)
    store.put(ref_name(FOLDS, spec.key), json.dumps({"digest": digest, "size": len(content)}).encode())


def test_the_folds_of_a_paper_have_the_keys_of_the_first_releases(root: Path, here: Path) -> None:
    keys = sorted(spec.key for spec in planned(root, here / "store"))
    assert len(keys) == len(set(keys)) == 5 * 3 + 5 * 3 * 2 + 2 * 3
    assert hashlib.sha256("\n".join(keys).encode()).hexdigest() == RECORDED


def test_a_paper_of_the_first_releases_is_warm_and_its_tables_are_of_its_folds(
    root: Path, here: Path, call_job: Callable[..., tuple[int, str]]
) -> None:
    specs = planned(root, here / "store")
    for spec in specs[1:]:
        store_as_the_first_releases(FolderStore(here / "store"), spec)
    wanted = [*FIRST, *SINCE, "--root", root, "--store", here / "store", "--only", "table1", "table3", "inner"]
    wanted += ["--tracking-uri", f"sqlite:///{here}/mine.db", "--out", "out", "--here"]
    code, text = call_job(paper, *wanted, "--plan")
    assert code == 0 and f"{len(specs)} trainings, {len(specs) - 1} done" in text, text
    store_as_the_first_releases(FolderStore(here / "store"), specs[0])
    code, text = call_job(paper, *wanted)
    assert code == 0 and ": 0 folds trained" in text and "prepared" not in text, text
    runs = find_runs([here / "out"])
    assert len(runs) == 7 + 1 and not any(run.incomplete for run in runs)
    stored = {tuple(sorted(round(one, 6) for one in row_of(spec))) for spec in specs}
    shown = set()
    for run in runs:
        table = run.table()
        rows = table[[column for column in table.columns if column.startswith("p_")]].to_numpy()
        shown |= {tuple(sorted(round(float(one), 6) for one in row)) for row in rows}
        assert len(table) == 6
    assert len(shown) == 5 * 3 + 2 * 3 and shown < stored, "all folds of left-out subjects, and no inner fold"
    assert pd.read_csv(here / "out" / "report" / "table1.csv").shape[0] > 0
