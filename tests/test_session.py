"""The Ray session that a job starts on a laptop: nobody else gets in, from another machine or from this one."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from faults import open_ports
from other_user import open_files, reached_by_another_user

from aman.errors import SessionLostError, UsageError
from cluster.machines import own_folder, session
from cluster.machines.watch import below
from jobs.command_line import INTERRUPTED
from jobs.interrupts import SENTENCE

SESSION = """
import os, signal, sys
from cluster.machines.session import ray_session
from dataclasses import dataclass
from jobs.command_line import run_job
@dataclass
class Options:
    pass
def main(options):
    handler = signal.getsignal(signal.SIGTERM)
    with ray_session(1):
        import ray
        print(ray.get_runtime_context().gcs_address, flush=True)
        seen = ray.remote(lambda: sorted(name for name in os.environ if name.startswith("MLFLOW_")))
        print(ray.get(seen.remote()), os.environ["MLFLOW_RUN_ID"], flush=True)
        print(ray.get(ray.remote(lambda: os.environ["TMPDIR"]).remote()), flush=True)
        print(callable(handler) and signal.getsignal(signal.SIGTERM) is handler, flush=True)
        sys.stdin.readline()
run_job(Options, main, "")
"""
MLFLOW = {"MLFLOW_RUN_ID": "0" * 32, "MLFLOW_TRACKING_PASSWORD": "hunter2", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}


CRASHES = """
import os, signal
from contextlib import ExitStack
from dataclasses import dataclass
from cluster.machines.watch import without_errors_of_libraries
from jobs.command_line import run_job
@dataclass
class Options:
    pass
def end(how, when):
    with without_errors_of_libraries():
        if when == "in the end":
            os.kill(os.getpid(), how)
        os.abort()
def main(options):
    with ExitStack() as stack:
        stack.callback(end, how := signal.Signals[os.environ["HOW"]], when := os.environ["WHEN"])
        if when == "before":
            os.kill(os.getpid(), how)
run_job(Options, main, "")
"""


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("when", ["before", "in the end"])
def test_a_job_that_is_told_to_end_says_so_though_its_session_crashes_while_it_ends(when: str, how: str) -> None:
    not_ignored = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # as in the background
    command = [sys.executable, "-c", not_ignored + CRASHES]
    environment = {**os.environ, "WHEN": when, "HOW": how}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        -signal.SIGABRT if when == "before" else INTERRUPTED,
        f"{SENTENCE}\n",
    )


@pytest.mark.xdist_group("ray")
@pytest.mark.skipif(shutil.which("ss") is None, reason="no program ss")
def test_a_session_of_ones_own_answers_to_nobody_and_its_end_is_noticed_and_leaves_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SESSION],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **MLFLOW},
    ) as session:
        assert session.stdin is not None and session.stdout is not None and session.stderr is not None
        address, _, port = session.stdout.readline().strip().rpartition(":")
        assert session.stdout.readline().strip() == f"[] {MLFLOW['MLFLOW_RUN_ID']}", "the driver keeps its own"
        folder = Path(session.stdout.readline().strip())
        assert session.stdout.readline() == "True\n", "SIGTERM is what it was before Ray started"
        assert (folder.name[:9], folder.stat().st_mode & 0o777) == ("aman-ray-", 0o700)
        sockets = [str(path) for path in folder.rglob("*") if path.is_socket()]
        assert len(sockets) >= 2
        if os.getuid() == 0:
            files = open_files([session.pid, *below(session.pid)], (tempfile.gettempdir(), "/tmp", "/dev/shm"))
            assert any(str(folder) in path for path in files)
            assert reached_by_another_user([*sockets, *files, str(folder)]) == []
        said = subprocess.run(open_ports.COMMAND.split(), capture_output=True, text=True, check=True).stdout
        mine = {"raylet", "gcs_server", "ray::DashboardA", "ray::RuntimeEnv"}
        ours = "\n".join(line for line in said.splitlines() if any(f'"{name}"' in line for name in mine))
        found, asked = open_ports.unprotected(address, ours)
        assert open_ports.calls_answered(address, int(port)) == ([], True)
        spared = re.compile(r"monitor\.py|dashboard\.py")
        assert not [command for command in below(session.pid).values() if spared.search(command)]
        head = next(pid for pid in below(session.pid) if Path(f"/proc/{pid}/comm").read_text() == "gcs_server\n")
        os.kill(head, signal.SIGKILL)
        errors = session.stderr.read()
    assert errors.startswith("error: got a Ray session that broke (its process gcs_server ended)")
    assert session.returncode == SessionLostError.code and errors.count("\n") == 1 and not folder.exists()
    assert found == [] and asked >= 3
    assert "44217" not in said and "44227" not in said


@pytest.mark.parametrize(("told", "shown"), [(None, False), ("0", False), ("1", True)])
def test_a_session_of_ones_own_has_the_dashboard_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, told: str | None, shown: bool
) -> None:
    import ray

    started: list[object] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **how: started.append(how["include_dashboard"]))
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2})
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    if told is not None:
        monkeypatch.setenv(session.DASHBOARD, told)
    with session.ray_session():
        pass
    assert started == [shown]


def test_a_page_that_is_shown_to_anybody_is_an_open_door() -> None:
    class Open(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Open) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        assert "/metrics 200" in open_ports.pages_served("127.0.0.1", port)
        shown = f'LISTEN 0 5 0.0.0.0:{port} 0.0.0.0:* users:(("python",pid=1,fd=3))'
        assert open_ports.unprotected("127.0.0.1", shown)[0][0] == f"python at 0.0.0.0:{port} serves / 200"
        assert open_ports.unprotected("127.0.0.1", shown.replace("0.0.0.0:", "127.0.0.1:")) == ([], 0)
        server.shutdown()


def test_workers_of_a_submitted_job_are_not_told_what_it_was_told_of_the_tracker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_RUN_ID", "of this process")
    given = {
        "runtime_env": {"env_vars": {**MLFLOW, "AMAN_GPUS": "4"}},
        "metadata": {"job_submission_id": "raysubmit_1"},
    }
    monkeypatch.setenv(session.SUBMITTED, json.dumps(given))
    with session._environment(session._without_mlflow()):
        assert not [name for name in os.environ if name.startswith("MLFLOW_")]
        told = json.loads(os.environ[session.SUBMITTED])
        assert told == {**given, "runtime_env": {"env_vars": {"AMAN_GPUS": "4"}}}
    assert os.environ["MLFLOW_RUN_ID"] == "of this process"
    assert json.loads(os.environ[session.SUBMITTED]) == given


def test_a_folder_of_ones_own_is_for_its_owner_and_goes_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="r") as short:
        monkeypatch.setenv("RAY_TMPDIR", short)
        dead, young = Path(short, "aman-ray-dead"), Path(short, "aman-ray-young")
        for folder in (dead, young):
            folder.mkdir()
            (folder / "log").write_text("what a killed process left")
        (dead / own_folder.IN_USE).touch()
        with own_folder.own_folder() as first:
            assert first.parent == Path(short) and first.stat().st_mode & 0o777 == 0o700
            assert not dead.exists() and young.exists()
            os.utime(young, (time.time() - 100,) * 2)
            with own_folder.own_folder() as second:
                assert first.is_dir() and second.is_dir() and not young.exists()
        assert list(Path(short).iterdir()) == []
        cluster = Path(short, "aman-ray-1000")  # where ray_cluster.yaml and ray_local.yaml have a cluster's session
        cluster.mkdir()
        os.utime(cluster, (time.time() - 100,) * 2)
        with own_folder.own_folder():
            assert list(cluster.iterdir()) == []
        cluster.rmdir()
    for wrong in (str(tmp_path / "x"), "/tmp/" + "n" * 60, "/proc/nothing"):
        monkeypatch.setenv("RAY_TMPDIR", wrong)
        with pytest.raises(UsageError, match="set RAY_TMPDIR"), own_folder.own_folder():
            pass
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/" + "n" * 60)
    with own_folder.own_folder() as folder:
        assert folder.parent == Path("/tmp")
