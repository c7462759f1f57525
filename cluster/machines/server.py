"""Servers that a program starts beside itself: how they begin, when they are ready, how they end."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aman.errors import UsageError

Process = subprocess.Popen[bytes]


def start_server(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    name: str,
    log: Path,
    ready: Callable[[], bool],
    seconds: float,
    when_we_die: str = "",
) -> Process:
    """Start a server in a process group of its own and return when `ready()`.

    Its output goes to the file `log`; the log and whatever the server writes are for their owner alone. `when_we_die`
    is the signal that the server gets when this process dies, however that happens; without it the server lives on.
    `UsageError` where the server ends, or is not ready within `seconds`; whatever `ready` raises is raised.
    """
    bound = ["setpriv", "--pdeathsig", when_we_die] if when_we_die and shutil.which("setpriv") else []
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(
            [*bound, *command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=0o077,
        )
    try:
        begun = time.monotonic()
        while not ready():
            if process.poll() is not None or time.monotonic() - begun > seconds:
                raise UsageError(
                    got=f"{name} that does not start", expected=f"it within {seconds:.0f} s", fix=f"see {log}"
                )
            time.sleep(0.2)
    except BaseException:
        stop_server(process)
        raise
    return process


def stop_server(process: Process, how: int = signal.SIGTERM) -> None:
    """Send the signal to the server's process; its whole group is killed where it has not ended after ten seconds."""
    process.send_signal(how)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its own group: it was started as the first of one
        process.wait()
