"""What MLflow is told, and what happens when it does not listen."""

import fcntl
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hostile_trackers import hostile_tracker

from aman.errors import DataError, UsageError
from aman.tables import markdown
from cluster.experiment.texts import what_differs
from cluster.tracking import client as tracker_client
from cluster.tracking import pending as unlogged
from cluster.tracking.__main__ import main as upload_command
from cluster.tracking.client import Patience, check_address
from cluster.tracking.log import log_runs, next_command, next_steps
from cluster.tracking.pending import NOT_LOGGED, log_or_keep, upload
from cluster.tracking.process import log_in_process_of_its_own
from cluster.tracking.record import RunRecord, sqlite_file, tracking_uri, without_password

ROOT = Path(__file__).parents[1]
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Folder of a run."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "folds.csv").write_text("subject,right\nsynthetic/01,3\nsynthetic/02,5\n")
    return folder


@pytest.fixture
def sqlite(tmp_path: Path, ready_tables: None) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits: neither between attempts nor between requests."""
    monkeypatch.setattr(unlogged, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def without_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracking server is called from this process. In use, a separate process calls it, with the same function."""

    def told(out: Path, uri: str, seconds: float, seconds_a_run: float) -> str:
        return unlogged.log_patiently(uri, *unlogged.kept_in(out), Patience(seconds, seconds_a_run))

    monkeypatch.setattr(unlogged, "log_in_process_of_its_own", told)


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers do not listen, and no process is started to find that out: other tests start it."""

    def refused(*_: object) -> str:
        raise OSError("Connection refused")

    monkeypatch.setattr(unlogged, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(unlogged, "log_in_process_of_its_own", refused)


def record(out: Path, key: str = "parent", **more: Any) -> RunRecord:
    return RunRecord(
        experiment="aman/synthetic",
        name=f"loso {key}",
        key=key,
        parameters={"k": 9, "frames_seen": (1, 2)},
        scores={"pooled/uf1": 0.7},
        curves={"train/loss": [1.0, 0.5]},
        tags={"job": "loso"},
        artifacts=[out / "folds.csv"],
        tables=[out / "folds.csv"],
        dataset="synthetic",
        dataset_digest="b" * 64,
        dataset_columns={"clip": "string", "apex": "long"},
        dataset_profile={"num_rows": 9, "folds": 3},
        **more,
    )


def children(out: Path, count: int = 3) -> list[RunRecord]:
    return [record(out, f"child {number}") for number in range(count)]


def runs(uri: str) -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("aman/synthetic")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


@contextmanager
def server(status: int, seconds: float = 0.0, answer: bytes = b"{}") -> Iterator[tuple[str, list[str]]]:
    """Answers every request alike, and late: its address, and what was asked."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            time.sleep(seconds)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PUT = do_GET

        def log_message(self, format: str, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()


def test_a_run_has_its_database_its_table_and_its_children(out: Path, sqlite: str) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=sqlite)
    parent = log_runs(sqlite, record(out), children(out))
    assert log_runs(sqlite, record(out), children(out)) == parent, "logged twice is logged once"
    found = runs(sqlite)
    assert {run.data.tags.get("mlflow.parentRunId") for run in found} == {None, parent} and len(found) == 4
    (one,) = (run for run in found if run.info.run_id == parent)
    view = json.loads(client.get_experiment(one.info.experiment_id).tags["mlflow.sharedViewState.scores"])
    assert view["orderByKey"] == "metrics.`pooled/uf1`" and "params.`k`" not in view["selectedColumns"]
    log_runs(sqlite, replace(record(out, "other"), parameters={"k": 7}), [])
    view = json.loads(client.get_experiment(one.info.experiment_id).tags["mlflow.sharedViewState.scores"])
    assert "params.`k`" in view["selectedColumns"]
    assert one.info.run_name == "loso parent" and one.data.params == {"k": "9", "frames_seen": "(1, 2)"}
    dataset = one.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("synthetic", "b" * 36)
    assert json.loads(dataset.profile)["num_rows"] == 9 and json.loads(dataset.source)["fingerprint"] == "b" * 64
    assert [column["name"] for column in json.loads(dataset.schema)["mlflow_colspec"]] == ["clip", "apex"]
    assert [point.value for point in client.get_metric_history(parent, "train/loss")] == [1.0, 0.5]
    assert one.data.tags["mlflow.loggedArtifacts"] == json.dumps([{"path": "folds.json", "type": "table"}])
    table = json.loads(Path(client.download_artifacts(parent, "folds.json")).read_text())
    assert table == {"columns": ["subject", "right"], "data": [["synthetic/01", "3"], ["synthetic/02", "5"]]}


def test_a_run_under_a_parent_is_not_taken_for_one_of_its_own(out: Path, sqlite: str) -> None:
    log_runs(sqlite, record(out), [record(out, "shared")])
    alone = log_runs(sqlite, record(out, "shared"), [])
    assert sum(run.data.tags["aman.key"] == "shared" for run in runs(sqlite)) == 2
    assert log_runs(sqlite, record(out, "shared"), []) == alone


def test_a_file_that_another_job_writes_to_is_waited_for_as_long_as_patience_lasts(out: Path, sqlite: str) -> None:
    file = sqlite_file(sqlite)
    assert file is not None
    with file.with_name(f"{file.name}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another job writes to"):
            log_runs(sqlite, record(out), [], Patience(0.2))
        threading.Timer(0.3, fcntl.flock, (other, fcntl.LOCK_UN)).start()
        assert log_runs(sqlite, record(out), [], Patience())


@pytest.mark.parametrize("step", ["log_batch", "log_inputs", "set_terminated"])
def test_a_driver_that_is_killed_while_it_logs_leaves_one_run_after_all(
    out: Path, sqlite: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from mlflow.tracking import MlflowClient

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, step, killed)
            with pytest.raises(KeyboardInterrupt):
                log_runs(sqlite, record(out), children(out, 1))
    renamed = replace(record(out), parameters={"k": 9, "recipe": "official", "frames_seen": "1 and 2"})
    log_runs(sqlite, renamed, children(out, 1))
    found = runs(sqlite)
    assert [run.info.status for run in found] == ["FINISHED", "FINISHED"]
    assert [run.data.metrics["pooled/uf1"] for run in found] == [0.7, 0.7]
    history = MlflowClient(tracking_uri=sqlite).get_metric_history(found[0].info.run_id, "train/loss")
    assert [point.value for point in history] == [1.0, 0.5]


def test_a_run_id_of_the_users_environment_is_not_written_to(
    out: Path, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    assert log_runs(sqlite, record(out), children(out, 1)) != "0" * 32
    assert len(runs(sqlite)) == 2


def test_a_tracker_that_is_down_is_asked_three_times_and_leaves_a_file_that_is_uploaded_once(
    out: Path,
    sqlite: str,
    hasty: None,
    without_process: None,
    empty_tracker: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    with server(status=503) as (uri, asked):
        assert log_or_keep(uri, record(out), children(out), out, said.append) is None
    assert len(asked) == 3
    assert said[0].startswith("warning: not logged, the tracker http://127.0.0.1:") and "503" in said[0]
    assert said[0].endswith(f"python -m cluster.tracking {out} --tracking-uri {uri}")
    moved = out.rename(out.with_name("moved"))
    kept = (moved / NOT_LOGGED).read_text()
    assert str(out) not in kept and len(json.loads(kept)["children"]) == 3

    shutil.copyfile(empty_tracker, str(sqlite_file(sqlite)))
    command = [sys.executable, "-m", "cluster.tracking", str(moved), "--tracking-uri", sqlite]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 0 and first.stdout.startswith("logged as "), first.stderr
    assert not (moved / NOT_LOGGED).exists()
    found = runs(sqlite)
    assert sorted(run.info.run_name for run in found) == [*(f"loso child {n}" for n in range(3)), "loso parent"]
    assert {run.data.params["frames_seen"] for run in found} == {"(1, 2)"}
    (moved / NOT_LOGGED).write_text(kept)
    assert upload(moved, sqlite) in first.stdout and len(runs(sqlite)) == 4
    monkeypatch.setattr(sys, "argv", command[2:])
    with pytest.raises(SystemExit) as end:
        upload_command()
    said_again = capsys.readouterr().err
    assert end.value.code == DataError.code and said_again.startswith("error: got ") and NOT_LOGGED in said_again


def test_a_later_run_that_is_logged_takes_the_file_away(out: Path, sqlite: str, down: None) -> None:
    log_or_keep(DEAD, record(out), [], out, lambda _: None)
    assert (out / NOT_LOGGED).is_file()
    assert log_or_keep(sqlite, record(out), [], out, lambda _: None) is not None
    assert not (out / NOT_LOGGED).exists()


def test_a_tracker_that_answers_late_is_not_waited_for_to_the_end(
    out: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unlogged, "PATIENCE", 0.5)
    said: list[str] = []
    answer = json.dumps({"experiment": {"experiment_id": "1"}, "run": {"info": {"run_id": "1"}}}).encode()
    with server(200, 0.2, answer) as (uri, asked):
        assert log_or_keep(uri, record(out), children(out, 200), out, said.append) is None
    assert "too slowly" in said[0] and len(asked) <= 5, asked
    assert len(json.loads((out / NOT_LOGGED).read_text())["children"]) == 200


def test_every_run_that_a_tracker_takes_earns_it_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("cluster.tracking.client.time.monotonic", lambda: now)
    patience = tracker_client.Patience(60, 1)
    now = 159.0
    assert not patience.ends_in(0.5) and patience.ends_in(2)
    patience.earn()
    assert not patience.ends_in(2) and patience.ends_in(2.5)


def test_a_tracker_that_refuses_is_asked_once(out: Path, hasty: None, without_process: None) -> None:
    said: list[str] = []
    with server(401, answer=b"You are not authenticated.") as (uri, asked):
        assert log_or_keep(uri, record(out), [], out, said.append) is None
    assert len(asked) == 1 and (out / NOT_LOGGED).is_file()


def test_none_logs_nothing_keeps_nothing_and_is_no_place_to_upload_to(out: Path, down: None) -> None:
    said: list[str] = []
    assert log_or_keep("none", record(out), [], out, said.append) is None
    assert said == [] and not (out / NOT_LOGGED).exists()
    assert next_steps("none", None, "open it") == "Next: open it"
    log_or_keep(DEAD, record(out), [], out, said.append)
    with pytest.raises(UsageError, match="none as a tracker"):
        upload(out, "none")
    assert (out / NOT_LOGGED).is_file()


def test_what_comes_next_is_the_whole_address_of_the_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = "/#/runs/0a1b"
    assert next_steps("http://tracker:5000/", "0a1b", "open it") == f"Next: open it; open http://tracker:5000{page}"
    served = f" ui --backend-store-uri sqlite:///a.db, then open http://127.0.0.1:5000{page}"
    monkeypatch.setattr(sys, "executable", str(here / ".venv/bin/python"))
    assert next_steps("sqlite:///a.db", "0a1b") == f"Next: .venv/bin/mlflow{served}"
    monkeypatch.setattr(sys, "executable", "/elsewhere/bin/python")
    assert next_command("sqlite:///a.db", "0a1b") == f"/elsewhere/bin/mlflow{served}"
    assert " --backend-store-uri 'sqlite:///my runs/a.db', then" in next_command("sqlite:///my runs/a.db", "0a1b")


def test_a_run_has_the_times_of_its_job_also_when_it_is_uploaded_later(out: Path, sqlite: str, down: None) -> None:
    timed = replace(record(out), began=1000.25, ended=1060.5, note="# what it is")
    log_or_keep(DEAD, timed, [], out, lambda _: None)
    upload(out, sqlite)
    (found,) = runs(sqlite)
    assert (found.info.start_time, found.info.end_time) == (1000250, 1060500)
    assert found.data.tags["mlflow.note.content"] == "# what it is"


def test_a_record_that_an_earlier_version_kept_is_uploaded(out: Path, sqlite: str, down: None) -> None:
    log_or_keep(DEAD, record(out), [], out, lambda _: None)
    kept = json.loads((out / NOT_LOGGED).read_text())
    for name in ("began", "ended", "note"):
        del kept["parent"][name]
    (out / NOT_LOGGED).write_text(json.dumps(kept))
    before = 1000 * time.time()
    upload(out, sqlite)
    (found,) = runs(sqlite)
    assert found.info.end_time >= found.info.start_time >= before - 1 and "mlflow.note.content" not in found.data.tags


def test_the_columns_are_the_settings_in_which_runs_of_one_method_differ() -> None:
    def columns(*settings: dict[str, str]) -> list[str]:
        shown = json.loads(tracker_client.view_of(settings))["selectedColumns"]
        return [name.removeprefix("params.") for name in shown if name.startswith("params.")]

    one = {"method": "aman", "k": "9", "n": "11", "seed": "0", "grid_factors": "9"}
    assert columns() == columns(one) == []
    assert columns(one, {**one, "k": "7", "seed": "1", "grid_factors": "7"}) == ["`k`", "`seed`"]
    assert columns(one, {"method": "htnet", "dim": "8", "seed": "1"}) == ["`method`"]
    assert len(columns(*({str(name): str(name * run) for name in range(1, 20)} for run in (1, 2)))) == 8


def test_names_below_a_run_say_what_differs() -> None:
    assert what_differs(["k=7 n=11 quick s0", "k=8 n=11 quick s0"]) == ["k=7", "k=8"]
    assert what_differs(["k=7 s0", "k=7 s1"]) == ["s0", "s1"] and what_differs(["k=7 s0"]) == ["k=7 s0"]
    assert what_differs(["k=7", "k=7 rate=0.1"]) == ["k=7", "k=7 rate=0.1"], "nothing would be left of the first"


def test_a_table_in_a_description_is_text_whatever_its_names_hold() -> None:
    table = markdown(("run", "accuracy"), [("a|b <script> *c*", "70.8")])
    assert table.splitlines() == ["| run | accuracy |", "|---|---:|", r"| a\|b \<script\> \*c\* | 70.8 |"]


def test_no_password_is_shown_or_kept(out: Path, here: Path, down: None, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "http://someone:hunter2@127.0.0.1:9"
    with pytest.raises(UsageError) as refused:
        tracking_uri(secret)
    assert "hunter2" not in str(refused.value) and "MLFLOW_TRACKING_PASSWORD" in str(refused.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", secret)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter3")
    said: list[str] = []
    assert log_or_keep("", record(out), [], out, said.append) is None
    told = said[0] + (out / NOT_LOGGED).read_text() + next_command("", "0a1b")
    assert "hunter" not in told and "someone" not in told and "--tracking-uri" not in said[0]
    with pytest.raises(UsageError) as failed:
        upload(out, "")
    assert "hunter" not in str(failed.value) and (out / NOT_LOGGED).is_file()


@pytest.mark.parametrize("damage", ["{", '{"parent": {}, "children": []}', "[]", '{"children": []}'])
def test_a_file_that_holds_no_records_is_named(out: Path, sqlite: str, damage: str) -> None:
    (out / NOT_LOGGED).write_text(damage)
    with pytest.raises(DataError, match=NOT_LOGGED):
        upload(out, sqlite)


def test_an_artifact_that_is_gone_is_named_and_nothing_is_uploaded(out: Path, sqlite: str, down: None) -> None:
    log_or_keep(DEAD, record(out), [], out, lambda _: None)
    (out / "folds.csv").unlink()
    with pytest.raises(DataError, match=r"folds\.csv"):
        upload(out, sqlite)
    assert not Path(sqlite.removeprefix("sqlite:///")).exists() and (out / NOT_LOGGED).is_file()


def test_a_folder_that_cannot_be_written_costs_no_result(out: Path, down: None) -> None:
    (out / "file").write_text("")
    said: list[str] = []
    assert log_or_keep(DEAD, record(out), [], out / "file", said.append) is None
    assert "it was not kept" in said[0]


@pytest.mark.parametrize("kind", ["503 for an hour", "a body without end", "a redirect elsewhere"])
def test_a_hostile_tracker_neither_holds_a_job_nor_hears_a_password_elsewhere(
    out: Path, hasty: None, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "someone")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setattr(unlogged, "PATIENCE", 6.0)
    said: list[str] = []
    with hostile_tracker(kind) as tracker:
        assert log_or_keep(tracker.url, record(out), children(out), out, said.append) is None
    assert len(said) == 1 and said[0].startswith("warning: not logged") and said[0].isprintable()
    assert tracker.asked and not tracker.asked_elsewhere
    assert len(json.loads((out / NOT_LOGGED).read_text())["children"]) == 3


@pytest.mark.parametrize(
    "artifacts", ["http://other:5000/files", "mlflow-artifacts://other:5000/files", "http://tracker:5001/files"]
)
def test_files_go_to_no_other_server(artifacts: str) -> None:
    with pytest.raises(OSError, match="another server"):
        check_address(artifacts, "http://tracker:5000")
    for fine in ("mlflow-artifacts:/1/files", "s3://bucket/files", "http://tracker:5000/api/files"):
        check_address(fine, "http://tracker:5000")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://bob:p%40ss-word@host/db", "postgresql://host/db"),
        ("postgresql://host/db?user=bob&password=pass-word", "postgresql://host/db?user=bob&password=***"),
        ("mysql://host/db?ssl_ca=x&PASSWD=abc", "mysql://host/db?ssl_ca=x&PASSWD=***"),
        ("postgresql://host/db?p%61ssword=pass%2Dword", "postgresql://host/db?p%61ssword=***"),
        ("http://host/?api_key=pass-word#token=x", "http://host/?api_key=***#token=***"),
        ("pass-word of x: http://host/?token=pass-word", "*** of x: http://host/?token=***"),
    ],
)
def test_a_password_anywhere_in_an_address_is_refused_and_taken_out(uri: str, shown: str) -> None:
    with pytest.raises(UsageError) as refused:
        tracking_uri(uri)
    assert "pass-word" not in str(refused.value) and "abc" not in str(refused.value)
    assert without_password(uri, uri) == shown


def test_a_killed_process_that_tells_a_server_leaves_no_temporary_file(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, temporary = tmp_path / "begun", tmp_path / "temporary"
    temporary.mkdir()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch "$TMPDIR/half" && echo "$TMPDIR" > {begun}\nexec sleep 100\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with pytest.raises(TimeoutError, match="too slowly"):
        log_in_process_of_its_own(out, DEAD, 5, 0)
    assert Path(begun.read_text().strip()).parent == temporary
    assert list(temporary.iterdir()) == []
