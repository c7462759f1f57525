"""A rerun that finds everything done: what it imports, what it draws, and what it asks MLflow's file."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small import TINY_OPTIONS, small_database, small_options
from test_estimate import HEAVY, modules_of

from aman.drawn import NOTE, drawn_once, figures_key
from cluster.experiment.write import Run
from cluster.tracking.log import log_runs
from cluster.tracking.record import RunRecord
from cluster.tracking.there import finished_run
from jobs import loso
from jobs.command_line import run_job


@pytest.fixture(scope="module")
def finished_benchmark(tmp_path_factory: pytest.TempPathFactory, empty_tracker: Path) -> Path:
    """A folder in which a benchmark was run to its end."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "runs").mkdir()
    shutil.copy(empty_tracker, folder / "runs" / "mlflow.db")
    small_database(folder / "release", subjects=3, clips_per_subject=3)
    for _ in range(3):  # on a very busy machine MLflow's new file may take longer than a job waits for it
        rerun(folder)
        if json.loads((folder / "result.json").read_text())["run_id"]:
            break
    return folder


def rerun(folder: Path) -> None:
    """The benchmark in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["loso.py", *options(folder)])
        with pytest.raises(SystemExit) as end:
            run_job(loso.Options, loso.main, loso.__doc__)
        assert not end.value.code


def options(folder: Path) -> list[str]:
    return ["--root", str(folder / "release"), *TINY_OPTIONS, "--here", "--json", "result.json"]


def test_a_rerun_of_a_finished_benchmark_imports_nothing_heavy_and_changes_no_figure(finished_benchmark: Path) -> None:
    pictures = {path: path.stat().st_mtime_ns for path in finished_benchmark.rglob("*.png")}
    before = json.loads((finished_benchmark / "result.json").read_text())
    assert len(pictures) >= 4 and before["run_id"]
    assert not HEAVY & modules_of("loso", *options(finished_benchmark), cwd=finished_benchmark)
    after = json.loads((finished_benchmark / "result.json").read_text())
    of_a_run = dict.fromkeys(("seconds", "computed_clips", "computed_folds", "command"))
    assert {**after, **of_a_run} == {**before, **of_a_run}
    assert {path: path.stat().st_mtime_ns for path in finished_benchmark.rglob("*.png")} == pictures


def test_a_figure_that_was_changed_is_drawn_again(finished_benchmark: Path) -> None:
    picture = next(finished_benchmark.rglob("runs/loso/*/confusion.png"))
    whole = picture.read_bytes()
    picture.write_bytes(whole[:100])
    rerun(finished_benchmark)
    assert picture.read_bytes() == whole


def test_a_tracker_that_lost_the_run_is_told_of_it_again(finished_benchmark: Path, empty_tracker: Path) -> None:
    before = json.loads((finished_benchmark / "result.json").read_text())["run_id"]
    shutil.copy(empty_tracker, finished_benchmark / "runs" / "mlflow.db")
    assert "mlflow" in modules_of("loso", *options(finished_benchmark), cwd=finished_benchmark)
    assert json.loads((finished_benchmark / "result.json").read_text())["run_id"] != before


def test_figures_of_other_results_are_removed_where_they_are_not_drawn_again(tmp_path: Path) -> None:
    def draw(*names: str) -> list[Path]:
        for name in names:
            (tmp_path / name).write_bytes(name.encode())
        return [tmp_path / name for name in names]

    (tmp_path / "mine.png").touch()
    drawn_once(tmp_path, "one", lambda: draw("a.png", "b.png"))
    (tmp_path / "a.png").unlink()
    drawn_once(tmp_path, "one", lambda: draw("a.png"))
    assert (tmp_path / "b.png").exists(), "figures of the same results stay where they could not be drawn again"
    drawn_once(tmp_path, "two", lambda: draw("a.png", "b.png"))
    drawn_once(tmp_path, "three", lambda: draw("a.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", NOTE, "mine.png"]
    outside = tmp_path / "folder/../mine.png"
    (tmp_path / NOTE).write_text(json.dumps({"key": "four", "files": {str(outside): ""}}))
    drawn_once(tmp_path, "five", lambda: draw("a.png"))
    assert (tmp_path / "mine.png").exists(), "a note names files of its folder only"


def test_figures_are_drawn_again_for_another_key_a_needed_one_or_a_damaged_note(tmp_path: Path) -> None:
    drawn: list[int] = []

    def draw() -> list[Path]:
        drawn.append(len(drawn))
        (tmp_path / "a.png").write_bytes(bytes([len(drawn)]))
        return [tmp_path / "a.png"]

    def times(key: str, **more: list[str]) -> int:
        assert drawn_once(tmp_path, key, draw, **more) == [tmp_path / "a.png"]
        return len(drawn)

    assert [times("one"), times("one"), times("two"), times("two", needed=["a.png"])] == [1, 1, 2, 2]
    assert times("two", needed=["b.png"]) == 3
    for content in (
        "",
        "{}",
        "[]",
        '{"key": "two", "files": {"gone.png": ""}}',
        '{"key": "two", "files": []}',
        "[" * 9999,
    ):
        before = len(drawn)
        (tmp_path / NOTE).write_text(content)
        assert times("two") == before + 1
    (tmp_path / "a.png").write_bytes(b"another")
    assert times("two") == len(drawn)
    code = tmp_path / "code.py"
    code.write_text("1")
    first = figures_key("of", [code])
    code.write_text("2")
    assert len({first, figures_key("of", [code]), figures_key("other", [code])}) == 3


def record(key: str, **more: str) -> RunRecord:
    base = RunRecord(
        experiment="aman/one",
        name="a run",
        key=key,
        parameters={"k": 1},
        scores={"pooled/uf1": 0.5},
        curves={},
        tags={},
        artifacts=[],
        dataset="one",
        dataset_digest="0" * 64,
    )
    return replace(base, **more)  # pyrefly: ignore[bad-argument-type]


def test_the_files_word_is_taken_for_finished_runs_with_all_their_children_alone(
    tmp_path: Path, ready_tables: None
) -> None:
    file = tmp_path / "mine.db"
    uri, parent, children = f"sqlite:///{file}", record("p"), [record("a"), record("b")]
    assert finished_run(file, parent, []) is None and not file.exists()
    run_id = log_runs(uri, parent, children)
    assert finished_run(file, parent, children) == run_id == finished_run(file, parent, [])
    assert finished_run(file, parent, [*children, record("c")]) is None
    assert finished_run(file, record("a"), []) is None  # a child is no run of its own
    assert finished_run(file, record("p", experiment="aman/other"), []) is None
    for change, count in (
        ("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", 1),
        ("UPDATE runs SET status = 'FINISHED', lifecycle_stage = 'deleted' WHERE run_uuid = ?", 1),
    ):
        with sqlite3.connect(file) as database:
            assert database.execute(change, (run_id,)).rowcount == count
        database.close()
        assert finished_run(file, parent, children) is None
    file.write_bytes(b"no database at all")
    assert finished_run(file, parent, []) is None


def test_a_folder_into_which_another_job_wrote_meanwhile_is_said(
    here: Path, call_job: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other job writes while this one logs its run."""

    def meanwhile(run: Run, *_: Any) -> None:
        path = run.folder / "scores.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": {"01": "others"}}))

    root = small_database(here / "release", 2, 2)
    monkeypatch.setattr("cluster.experiment.records.track_run", meanwhile)
    code, said = call_job(
        loso, "--root", root, "--here", "--out", "out", "--method", "ststnet", *small_options("ststnet")
    )
    assert code == 2 and "got out, into which another job has written other results" in said
