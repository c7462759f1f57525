"""Notices when a Ray session breaks, before Ray ends this process with a page of its own text."""

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from aman.errors import SessionLostError

STDERR = 2
LOST = signal.SIGUSR1
"""Wakes the main thread where the session is lost, whatever call it waits in."""
LOOK_SECONDS = 0.5
SECONDS_TO_UNWIND = 5.0
"""How long the main thread may take to end its work in order once the session is lost: a call to a dead session may
never come back, and Ray ends the process after ten seconds or more."""


def session_lost(what: str) -> SessionLostError:
    """The error of a session that broke."""
    return SessionLostError(
        got=f"a Ray session that broke ({what})",
        expected="one that lasts until the job is done",
        fix="run the same command again: what is finished stays; where it happens again, see whether memory runs out",
    )


class Watch:
    """Looks at the processes of a session that this process started, beside the main thread.

    Where one of them is dead, `lost` is set and the main thread interrupted: at the end of the `with` block
    `SessionLostError` is raised in place of whatever came out of it. Where the main thread does not come back in time,
    the process ends with that error's code, after `remove()`.
    """

    def __init__(self, remove: Callable[[], None]) -> None:
        self.lost: SessionLostError | None = None
        self._remove, self._over, self._unwound = remove, threading.Event(), False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            signal.signal(LOST, signal.default_int_handler)
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.lost is not None:
            self._unwound = True
            raise self.lost from None
        self._over.set()

    def _look(self) -> None:
        import ray._private.worker

        while not self._over.wait(LOOK_SECONDS):
            node = ray._private.worker._global_node
            dead: list[str] = [] if node is None else [kind for kind, _ in node.dead_processes()]
            if dead and not self._over.is_set():
                self.lost = session_lost(f"its process {dead[0]} ended")
                interrupt_main()
                time.sleep(SECONDS_TO_UNWIND)  # ends before that where the main thread does
                if not self._unwound:
                    sys.stderr.write(f"error: {self.lost}\n")
                kill_all_below()
                self._remove()
                os._exit(self.lost.code)


def below(process: int) -> dict[int, str]:
    """Processes that a process started, and those that they started; the command of each."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=False).stdout
    rows = [(int(pid), int(parent), command) for pid, parent, *command in (one.split() for one in listed.splitlines())]
    found, count = {process}, 0
    while len(found) > count:
        count = len(found)
        found |= {pid for pid, parent, _ in rows if parent in found}
    return {pid: " ".join(command) for pid, _, command in rows if pid in found - {process}}


@contextmanager
def without_errors_of_libraries() -> Iterator[None]:
    """Nothing that is written to stderr inside is shown, for while a session ends Ray reports each task that ends with
    it. Libraries in C++ write there without Python's `sys.stderr`, so the file behind it is exchanged."""
    sys.stderr.flush()
    kept, nowhere = os.dup(STDERR), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)


def kill_all_below() -> None:
    """Kill all processes that this process started, and those that they started: of a session without its head they
    would go on for minutes."""
    for process in below(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def interrupt_main() -> None:
    """Raise `KeyboardInterrupt` in the main thread. The signal is one of our own: at SIGINT and SIGTERM a job says that
    somebody interrupted it."""
    if callable(signal.getsignal(LOST)):
        os.kill(os.getpid(), LOST)
    else:
        _thread.interrupt_main()
