"""Whether files and folders can be written where a user wants them: asked before anything is computed for them."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from aman.errors import UsageError, unwritable


def free_below(folder: Path) -> int:
    """Bytes that are free where a folder of this name is or can be made. `OSError` where nothing can be written there.

    Nothing is left behind: the nearest folder that is there gets a file without a name for a moment.
    """
    there = folder.absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    with tempfile.TemporaryFile(dir=there):
        return shutil.disk_usage(there).free


def check_folder(folder: Path, option: str, named: Path | None = None) -> int:
    """Bytes that are free for a folder of this name, which may be missing as yet. `UsageError` where nothing can be
    written there; it names the folder, or what the user `named` in it."""
    try:
        return free_below(folder)
    except OSError as error:
        raise unwritable(named or folder, error, f"name another {option}") from None


def check_file(path: Path, option: str) -> None:
    """`UsageError` where no file of this name can be written. Its folder may be missing as yet."""
    if path.is_dir():
        got = f"{option} {path}, which cannot be written (it is a folder)"
        raise UsageError(got=got, expected="a file", fix=f"name a file for {option}")
    check_folder(path.parent, option, path)
