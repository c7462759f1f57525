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


def check_folder(folder: Path, option: str) -> None:
    """`UsageError` where nothing can be written to a folder of this name, which may be missing as yet."""
    try:
        free_below(folder)
    except OSError as error:
        raise unwritable(folder, error, f"name another {option}") from None


def check_file(path: Path, option: str) -> None:
    """`UsageError` where no file of this name can be written. Its folder may be missing as yet."""
    if path.is_dir():
        got = f"{option} {path}, which cannot be written (it is a folder)"
        raise UsageError(got=got, expected="a file", fix=f"name a file for {option}")
    try:
        free_below(path.parent)
    except OSError as error:
        raise unwritable(path, error, f"name another {option}") from None
