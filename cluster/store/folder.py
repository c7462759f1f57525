"""A store in a local folder: objects are files."""

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from aman.files import PARTIAL, write_whole
from cluster.store.base import storage_error
from cluster.store.names import ASIDE

IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EACCES, errno.EIO, errno.ENXIO}
"""What the operating system says of an object, where something that is no object may be in its place."""


class FolderStore:
    """Objects as files of a local folder.

    What is no object and is in the place of one, or of the folder that it should be in, is set aside as a damaged
    object is: a file where a folder belongs, a folder where a file belongs, a link that leads nowhere, a file that
    cannot be read. The folders `blobs`, `refs` and such are a person's own affair: where one of them is no folder (a
    link to a disk that is not mounted, say), that is a `UsageError`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.uri = self.folder.as_uri()

    def get(self, name: str) -> bytes | None:
        try:
            content = _read(f"{self.folder}/{name}")
        except FileNotFoundError:
            return None
        except OSError as error:
            if not self._clear(name, error):
                raise storage_error(error, self.folder) from None
            return None
        if content is None:
            self.set_aside(name)
        return content

    def put(self, name: str, content: bytes) -> bool:
        return self._write(name, content, replace=False)

    def replace(self, name: str, content: bytes) -> None:
        if content:
            self._write(name, content, replace=True)
        else:
            self.delete(name)

    def _write(self, name: str, content: bytes, *, replace: bool) -> bool:
        path = self.folder / name
        for attempt in range(3):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                return write_whole(path, content, replace=replace)
            except OSError as error:
                if attempt == 2 or not self._clear(name, error):
                    raise storage_error(error, self.folder) from None
        raise AssertionError("unreachable")

    def _clear(self, name: str, error: OSError) -> bool:
        """Set aside what is in the way of an object; False where the error has another cause."""
        if error.errno not in IN_THE_WAY:
            return False
        parts = name.split("/")
        top = self.folder / parts[0]
        if len(parts) < 2 or (os.path.lexists(top) and not top.is_dir()):
            return False
        for depth in range(2, len(parts)):
            folder = self.folder.joinpath(*parts[:depth])
            if os.path.lexists(folder) and not folder.is_dir():
                self.set_aside("/".join(parts[:depth]))
                return True
        path = self.folder / name
        if error.errno == errno.EACCES and not os.access(path.parent, os.W_OK | os.X_OK):
            return False
        if os.path.lexists(path):
            self.set_aside(name)
            return True
        return error.errno != errno.EACCES  # another process has cleared the way

    def size(self, name: str) -> int | None:
        try:
            status = (self.folder / name).stat()
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def names(self, prefix: str) -> Iterator[str]:
        for name, entry in self._walk(prefix.strip("/")):
            if not entry.name.startswith(PARTIAL):
                yield name

    def _walk(self, place: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
        """All files in a folder of the store by name, in order; what was set aside may be anything.

        `os.scandir`, because a store holds hundreds of thousands of files and a `Path` of each takes seconds.
        """
        try:
            with os.scandir(f"{self.folder}/{place}") as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return  # nothing is there, or it is gone meanwhile
        except OSError as error:
            if error.errno == errno.ELOOP:
                return
            raise storage_error(error, self.folder) from None
        for entry in entries:
            name = f"{place}/{entry.name}" if place else entry.name
            if place == ASIDE:
                yield name, entry
            elif _is(entry.is_dir, follow_symlinks=not place):
                yield from self._walk(name)
            elif _is(entry.is_file, follow_symlinks=True):
                yield name, entry

    def set_aside(self, name: str) -> None:
        target = self.folder / ASIDE / f"{name.replace('/', '-')}-{secrets.token_hex(4)}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.folder / name, target)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise storage_error(error, self.folder) from None

    def ages(self, prefix: str) -> Iterator[tuple[str, float, int]]:
        now = time.time()
        for name, entry in self._walk(prefix.strip("/")):
            with suppress(OSError):  # gone meanwhile
                status = entry.stat(follow_symlinks=not name.startswith(f"{ASIDE}/"))
                yield name, now - status.st_mtime, status.st_size

    def delete(self, name: str) -> None:
        path = self.folder / name
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise storage_error(error, self.folder) from None

    def check_writable(self) -> None:
        probe = f"{PARTIAL}probe-{secrets.token_hex(4)}"
        self.put(probe, b"probe")
        (self.folder / probe).unlink(missing_ok=True)


def _read(path: str) -> bytes | None:
    """Content of a file, or None of what is no file. Nothing is waited for: a pipe would never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        content = os.read(descriptor, status.st_size)
        while len(content) < status.st_size and (more := os.read(descriptor, status.st_size - len(content))):
            content += more
        return content
    finally:
        os.close(descriptor)


def _is(question: Callable[..., bool], *, follow_symlinks: bool) -> bool:
    """The answer to `is_dir` or `is_file` of an entry; a link in a circle is neither."""
    try:
        return question(follow_symlinks=follow_symlinks)
    except OSError:
        return False
