"""Files that appear whole or not at all, whatever ends the process that writes them."""

import errno
import os
import secrets
from pathlib import Path

PARTIAL = ".partial-"
"""Beginning of the name of a file that is being written. A killed writer may leave such a file; no reader sees it."""


def write_whole(
    path: Path, content: bytes | str, *, mode: int = 0o666, replace: bool = True, sync: bool = True
) -> bool:
    """Write a file under a temporary name in its folder, and then give it its real name in one step.

    A reader finds the whole content or no file (with `replace`: or the previous file), and a failed write leaves
    nothing behind. Text is written as UTF-8. The file never has more permissions than `mode` (before the umask).
    With `replace=False` an existing file stays as it is and the answer is False: the first writer wins. With `sync` the
    content is on the disk before the name is: after a power cut an empty file under the real name would be worse than
    none. Raises `OSError`; the folder must exist.
    """
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        if replace:
            partial.replace(path)
        else:
            try:
                path.hardlink_to(partial)
            except FileExistsError:
                return False
    finally:
        partial.unlink(missing_ok=True)
    if sync:
        _sync_folder(path.parent)
    return True


class Repeated:
    """Writes new small files with few contents, for trees of many thousand files: each content once, and again where
    the file system takes no further link to it. To change one file of such a tree, write it anew: a change in place
    is one to all files with its content."""

    def __init__(self) -> None:
        self.first: dict[bytes, str] = {}

    def write(self, path: str, content: bytes) -> None:
        """Make the file, or put it in the place of one that is there; the folder must exist."""
        try:
            os.link(self.first[content], path)
        except FileExistsError:
            Path(path).unlink()
            self.first = {one: first for one, first in self.first.items() if first != path}
            self.write(path, content)
        except (KeyError, OSError):  # a new content, or links that the file system does not take, or no more of them
            Path(path).unlink(missing_ok=True)
            write_tiny(path, content)
            self.first[content] = path


def write_tiny(path: Path | str, content: bytes) -> None:
    """Write a new small file in half the time of `Path.write_bytes`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
