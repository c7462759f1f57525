"""The folder of a Ray session that is this process's own: no other user of the machine may enter it.

Ray makes its folder, its log files and its sockets for everybody (mode 0777), and its sockets ask for no token. Inside
a folder of mode 0700 nobody else reaches them.
"""

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from aman.errors import UsageError

NAME = "aman-ray-"
RAYS = "r"
"""Folder in it that Ray takes for its own, and opens to everybody."""
IN_USE = "in-use"
"""File that the process of the session holds a lock on for as long as it lives."""
LONGEST_SOCKET = 107
"""Bytes of the name of a Unix socket, as Linux bounds them."""
BELOW = f"/{RAYS}/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""What Ray adds to its folder for its longest socket."""
ROOM = LONGEST_SOCKET - len(f"/{NAME}12345678{BELOW}")
"""Bytes that the name of the folder may have in which a session gets its own."""
SECONDS_TO_LOCK = 60.0
"""A folder without that file is one of a process that starts, or, when it is older than this, of a dead one."""
SECONDS_TO_EMPTY = 3.0
"""How long processes of the session may take to end, and with them to write into the folder."""


@contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder of mode 0700, removed at the end, however this process ends but by SIGKILL: what that leaves, the
    next call removes. It lies in $RAY_TMPDIR, $TMPDIR or /tmp, the first of them whose name is short enough for Ray's
    sockets. `UsageError` where none is, or none can be written."""
    parent = _parent()
    _remove_those_of_the_dead(parent)
    folder = Path(tempfile.mkdtemp(prefix=NAME, dir=parent))  # mkdtemp makes folders of mode 0700
    lock = FileLock(folder / IN_USE, mode=0o600)
    lock.acquire()
    atexit.register(remove_folder, folder)  # before Ray registers the end of its processes: it runs after that
    try:
        yield folder
    finally:
        lock.release()
        remove_folder(folder)
        atexit.unregister(remove_folder)


def _parent() -> Path:
    named = os.environ.get("RAY_TMPDIR")
    tried = [named] if named else [tempfile.gettempdir(), "/tmp"]
    short = [place for place in (Path(one).absolute() for one in tried) if len(os.fsencode(place)) <= ROOM]
    for place in short:
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
            return place
    raise UsageError(
        got=f"{' and '.join(tried)}, which {'cannot be written' if short else 'has too long a name for Ray'}",
        expected=f"a folder for Ray's sockets that can be written and whose name has at most {ROOM} bytes",
        fix="set RAY_TMPDIR to one, /tmp for example",
    )


def _remove_those_of_the_dead(parent: Path) -> None:
    for folder in parent.glob(f"{NAME}*"):
        if folder.name.removeprefix(NAME).isdigit():  # a cluster's, by the number of its user: ray_cluster.yaml
            continue
        with suppress(OSError, Timeout):
            mine, age = folder.stat().st_uid == os.getuid(), time.time() - folder.stat().st_mtime
            if mine and ((folder / IN_USE).exists() or age > SECONDS_TO_LOCK):
                with FileLock(folder / IN_USE, mode=0o600, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)


def remove_folder(folder: Path | None) -> None:
    """Remove the folder if there is one, again while something is still being written into it."""
    until = time.monotonic() + SECONDS_TO_EMPTY
    while folder is not None and folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > until:
            return
        if folder.exists():
            time.sleep(0.1)
