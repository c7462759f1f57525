"""Files that appear whole or not at all, whatever ends the process that writes them."""

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
    """Writes many small files that have few different contents. Files with equal content are hard links to one file;
    where the file system refuses a further link, one more file is written. A program that replaces such a file
    changes that file alone. A program that writes into it changes all files with its content."""

    def __init__(self) -> None:
        self.first: dict[bytes, str] = {}

    def write(self, path: str, content: bytes) -> None:
        """Make the file, or put it in the place of one that is there; the folder must exist."""
        Path(path).unlink(missing_ok=True)
        self.first = {one: first for one, first in self.first.items() if first != path}
        try:
            os.link(self.first[content], path)
        except (KeyError, OSError):  # a new content, or links that the file system does not take, or no more of them
            Path(path).write_bytes(content)
            self.first[content] = path


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
