"""Servers that a program starts beside itself."""

import os
import signal
import stat
from pathlib import Path

import pytest

from aman.errors import UsageError
from cluster.machines.server import start_server, stop_server


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_server_is_returned_when_it_is_ready_and_ends_when_it_is_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["sh", "-c", f"echo $NAME; touch {tmp_path}/ready; exec sleep 600"]
    ready = (tmp_path / "ready").exists
    process = start_server(command, {"NAME": "its name"}, name="a server", log=log, ready=ready, seconds=60)
    assert process.poll() is None
    assert log.read_text() == "its name\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600 and (tmp_path / "ready").stat().st_mode & 0o077 == 0
    stop_server(process)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("command", "seconds"), [("echo $$ >pid; exit 3", 60.0), ("echo $$ >pid; exec sleep 600", 1.0)]
)
def test_a_server_that_ends_or_is_never_ready_is_refused_with_its_log_and_is_gone(
    here: Path, command: str, seconds: float
) -> None:
    log = here / "log"
    with pytest.raises(UsageError, match=f"a server that does not start; .*{log}"):
        start_server(["sh", "-c", command], {}, name="a server", log=log, ready=lambda: False, seconds=seconds)
    assert gone(int((here / "pid").read_text()))


def test_a_server_whose_port_another_one_has_is_stopped_before_the_refusal_is_raised(here: Path) -> None:
    def refuse() -> bool:
        if not (here / "pid").exists():
            return False
        raise UsageError(got="a port", expected="another", fix="name one")

    command = ["sh", "-c", "echo $$ >.pid; mv .pid pid; exec sleep 600"]
    with pytest.raises(UsageError, match="got a port"):
        start_server(command, {}, name="a server", log=here / "log", ready=refuse, seconds=60)
    assert gone(int((here / "pid").read_text()))
