"""The Ray session that a job starts on a laptop: nobody else gets in, from another machine or from this one."""

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from faults import open_ports

from cluster.machines import session

SESSION = """
import os, sys
from cluster.machines.session import ray_session
with ray_session(1):
    import ray
    print(ray.get_runtime_context().gcs_address, flush=True)
    seen = ray.remote(lambda: sorted(name for name in os.environ if name.startswith("MLFLOW_")))
    print(ray.get(seen.remote()), os.environ["MLFLOW_RUN_ID"], flush=True)
    sys.stdin.readline()
"""
MLFLOW = {"MLFLOW_RUN_ID": "0" * 32, "MLFLOW_TRACKING_PASSWORD": "hunter2", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}


@pytest.mark.xdist_group("ray")
@pytest.mark.skipif(shutil.which("ss") is None, reason="no program ss")
def test_a_session_of_ones_own_answers_to_nobody_without_its_token_and_its_workers_know_no_tracker() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SESSION],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **MLFLOW},
    ) as session:
        assert session.stdin is not None and session.stdout is not None
        address, _, port = session.stdout.readline().strip().rpartition(":")
        assert session.stdout.readline().strip() == f"[] {MLFLOW['MLFLOW_RUN_ID']}", "the driver keeps its own"
        said = subprocess.run(open_ports.COMMAND.split(), capture_output=True, text=True, check=True).stdout
        mine = {"raylet", "gcs_server", "ray::DashboardA", "ray::RuntimeEnv"}
        ours = "\n".join(line for line in said.splitlines() if any(f'"{name}"' in line for name in mine))
        found, asked = open_ports.unprotected(address, ours)
        assert open_ports.calls_answered(address, int(port)) == ([], True)
        session.stdin.write("done\n")
    assert found == [] and asked >= 3
    assert "44217" not in said and "44227" not in said


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
    with session._without_mlflow():
        assert not [name for name in os.environ if name.startswith("MLFLOW_")]
        told = json.loads(os.environ[session.SUBMITTED])
        assert told == {**given, "runtime_env": {"env_vars": {"AMAN_GPUS": "4"}}}
    assert os.environ["MLFLOW_RUN_ID"] == "of this process"
    assert json.loads(os.environ[session.SUBMITTED]) == given
