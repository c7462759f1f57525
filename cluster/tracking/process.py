"""The process that tells a tracking server of a run, and the job that waits for it, as long as its patience lasts."""

import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TAKEN, LOGGED, FAILED = "taken", "logged", "failed"
"""First words of the lines that the process prints: for every run that the server took, and at the end."""
GRACE = 3.0
"""Seconds after the end of the patience in which the process may end by itself."""


def log_in_process_of_its_own(out: Path, uri: str, seconds: float, seconds_a_run: float) -> str:
    """Log what the folder's file of unlogged runs holds; the parent's id.

    Waits `seconds`, and `seconds_a_run` more for every run that the server took, then kills the process and raises
    `TimeoutError`. `OSError` with the server's reason where it fails.
    """
    command = [sys.executable, "-m", "cluster.tracking", str(out), "--patience", str(seconds), str(seconds_a_run)]
    lines: queue.Queue[str | None] = queue.Queue()
    # The process is killed in the middle of its work, and leaves what it has in its folder for temporary files.
    scratch = tempfile.TemporaryDirectory(prefix="aman-tracker-", ignore_cleanup_errors=True)
    # A URI with a password shows in no list of processes.
    with (
        scratch as folder,
        subprocess.Popen(
            command,
            env={**os.environ, "MLFLOW_TRACKING_URI": uri, "TMPDIR": folder},
            stdin=subprocess.PIPE,  # closed with this process, however that ends, and then the other one ends, too
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process,
    ):
        reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        until = time.monotonic() + seconds + GRACE
        try:
            while (line := lines.get(timeout=max(0.0, until - time.monotonic()))) is not None:
                word, _, rest = line.rstrip("\n").partition(" ")
                if word == TAKEN:
                    until += seconds_a_run
                elif word == LOGGED:
                    return rest
                elif word == FAILED:
                    raise OSError(rest)
            raise OSError(f"the process that asks it ended with code {process.wait()}")
        except queue.Empty:
            raise TimeoutError("it answers too slowly") from None
        finally:
            process.kill()
            reader.join(GRACE)  # it ends with the process, and before the pipe that it reads is closed


def _read(process: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)
