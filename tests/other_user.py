"""What another local user reaches of the files and sockets that processes have open."""

import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

NOBODY = 65534


def open_files(processes: Iterable[int], below: Sequence[str]) -> list[str]:
    """Files with a name that the processes have open below these folders."""
    found = set()
    for process in processes:
        for link in Path(f"/proc/{process}/fd").glob("*"):
            try:
                target = str(link.readlink())
            except OSError:  # closed meanwhile
                continue
            if target.startswith(tuple(f"{folder}/" for folder in below)) and not target.endswith("(deleted)"):
                found.add(target)
    return sorted(found)


def reached_by_another_user(paths: Sequence[str]) -> list[str]:
    """Those of the files, folders and sockets that the user `nobody` can read, write or connect to. Needs root."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(theirs, "\n".join(path for path in paths if _reached(path)).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as told:
        found = told.read().splitlines()
    os.waitpid(child, 0)
    return found


def _reached(path: str) -> bool:
    for how in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND):
        with suppress(OSError):
            os.close(os.open(path, how | os.O_NONBLOCK))
            return True
    with suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.connect(path)
        return True
    return False
