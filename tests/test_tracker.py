"""The MLflow server of a cluster's head: reached on the loopback address only, and not without its password."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from seaweed import free_ports

from aman.errors import UsageError
from cluster.machines.mlflow_server import (
    CREDENTIALS,
    LOG,
    SECRET,
    Settings,
    answers,
    credentials,
    options,
    running,
    start,
)
from cluster.tracking.log import log_runs
from cluster.tracking.record import RunRecord

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A server with a password."""
    with running(Settings(folder=tmp_path_factory.mktemp("tracker"), port=free_ports(1)[0])) as settings:
        yield settings


def record(tmp_path: Path) -> RunRecord:
    artifact = tmp_path / "scores.json"
    artifact.write_text("{}")
    return RunRecord(
        experiment="synthetic",
        name="a run",
        key="a" * 64,
        parameters={"k": 9},
        scores={"accuracy": 75.4},
        curves={"loss": [1.0, 0.5]},
        tags={},
        artifacts=[artifact],
        dataset="synthetic",
        dataset_digest="b" * 64,
    )


def status(settings: Settings, path: str = "/api/2.0/mlflow/experiments/search?max_results=1") -> int:
    asking = HTTPConnection("127.0.0.1", settings.port, timeout=10)
    asking.request("GET", path)
    return asking.getresponse().status


def processes() -> str:
    """What every user of the machine sees of its processes."""
    return subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_nobody_gets_in_without_the_password(
    tracker: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status(tracker) == 401
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "guessed-wrongly")
    with pytest.raises(Exception, match=r"not authenticated|401"):
        log_runs(tracker.uri, record(tmp_path), [])


def test_a_run_is_logged_with_the_credentials_in_mlflows_own_file(
    tracker: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").symlink_to(tracker.folder / CREDENTIALS)
    monkeypatch.setenv("HOME", str(tmp_path))
    first = log_runs(tracker.uri, record(tmp_path), [])
    assert log_runs(tracker.uri, record(tmp_path), []) == first, "logged twice is logged once"
    assert list((tracker.folder / "artifacts").rglob("scores.json"))
    below = [replace(record(tmp_path), key=f"child {number}") for number in range(9)]
    parent = log_runs(tracker.uri, replace(record(tmp_path), key="parent"), below)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracker.uri)
    experiment = client.get_experiment_by_name("synthetic")
    assert experiment is not None
    children = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert sorted(run.data.tags["aman.key"] for run in children) == [one.key for one in below]
    assert {run.info.status for run in children} == {"FINISHED"}
    assert len(list((tracker.folder / "artifacts").rglob("scores.json"))) == 1 + 10


def test_the_password_is_in_no_log_and_no_list_of_processes(tracker: Settings) -> None:
    _, password = credentials(tracker.folder)
    secret = (tracker.folder / SECRET).read_text()
    seen, logged = processes(), (tracker.folder / LOG).read_text()
    assert f"--port {tracker.port}" in seen and "Uvicorn running" in logged
    assert password not in seen + logged and secret not in seen + logged
    for path in tracker.folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_start_finds_the_first(tracker: Settings) -> None:
    before = credentials(tracker.folder)
    assert start(tracker) is None
    assert credentials(tracker.folder) == before


def test_another_folders_server_is_not_taken_for_ones_own(tracker: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="another server answers"):
        start(Settings(folder=tmp_path, port=tracker.port))


def test_a_server_that_lets_everybody_in_is_not_taken_for_one_with_a_password(tmp_path: Path) -> None:
    class Open(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Open) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = Settings(folder=tmp_path, port=server.server_port)
        assert answers(Settings(folder=tmp_path, port=server.server_port, auth=False))
        with pytest.raises(UsageError, match="another server answers"):
            start(settings)
        server.shutdown()


def test_a_server_without_a_password_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    settings = Settings(folder=tmp_path / "open", port=free_ports(1)[0], auth=False)
    command = [sys.executable, "-m", "cluster.machines.mlflow_server", "--folder", str(settings.folder), "--no-auth"]
    starter = subprocess.Popen(
        [*command, "--port", str(settings.port)], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert starter.stdout is not None
    assert f"server at {settings.uri}, stop it" in starter.stdout.readline()
    assert status(settings) == 200 and f"--port {settings.port}" in processes()
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    end = time.monotonic() + 20
    while f"--port {settings.port}" in processes():
        assert time.monotonic() < end, "it outlived its starter"
        time.sleep(0.2)


def test_a_database_password_on_the_command_line_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as error:
        options(["--backend-uri", "postgresql://aman:hunter2@db/mlflow"])
    assert "MLFLOW_BACKEND_STORE_URI" in str(error.value) and "hunter2" not in str(error.value)


def test_what_is_printed_names_the_file_and_not_the_password(tracker: Settings) -> None:
    command = [
        sys.executable,
        "-m",
        "cluster.machines.mlflow_server",
        "--folder",
        str(tracker.folder),
        "--port",
        str(tracker.port),
    ]
    done = subprocess.run([*command, "--detach"], cwd=ROOT, capture_output=True, text=True, check=True)
    _, password = credentials(tracker.folder)
    assert "running already" in done.stdout and password not in done.stdout + done.stderr
    export = re.search(r"export MLFLOW_TRACKING_PASSWORD=(.*)", done.stdout)
    assert export
    shown = subprocess.run(["bash", "-c", f"echo {export[1]}"], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == password
