"""The store: named objects that appear whole or not at all, behind one small interface.

Names are made of digests and fixed words only. Putting never replaces: the first writer of a name wins.
"""

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from aman.errors import DataError, UsageError, UserError

PARTIAL = ".partial-"
"""Prefix of files that are being written; a killed writer may leave one, no reader ever sees it."""


USUAL, VARIABLE = "runs/store", "AMAN_STORE"
"""Where results are kept when no store is named, and the variable by which a cluster's file names another."""
ASIDE = "aside"
"""Folder of damaged objects."""


class Store(Protocol):
    """What a store must do; processes pass its `uri` between them and open it anew."""

    uri: str

    def get(self, name: str) -> bytes | None:
        """Content of an object, or None where there is none."""

    def put(self, name: str, content: bytes) -> bool:
        """Create an object; False where one of that name exists, which is then left as it is."""

    def replace(self, name: str, content: bytes) -> None:
        """Create an object or take another's place; with no content, take it away. Only what no result depends on is
        kept under such a name."""

    def size(self, name: str) -> int | None:
        """Bytes of an object, or None where there is none."""

    def names(self, prefix: str) -> Iterator[str]:
        """Names of all objects that begin with the prefix."""

    def set_aside(self, name: str) -> None:
        """Take a damaged object out of the way: kept under `aside/`, found no more."""

    def ages(self, prefix: str) -> Iterator[tuple[str, float, int]]:
        """Name, seconds since it was written and bytes of everything under the prefix, leftovers of killed writers
        and emptied objects included."""

    def delete(self, name: str) -> None:
        """Remove an object for good; only a person's clean-up asks for it."""

    def check_writable(self) -> None:
        """Raise `UserError` now rather than after an hour of work."""


class FolderStore:
    """Objects as files of a local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.uri = self.folder.as_uri()

    def get(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise storage_error(error, self.folder) from None

    def put(self, name: str, content: bytes) -> bool:
        return self._write(name, content, os.link)

    def replace(self, name: str, content: bytes) -> None:
        if content:
            self._write(name, content, os.replace)
        else:
            self.delete(name)

    def _write(self, name: str, content: bytes, publish: Callable[[Path, Path], None]) -> bool:
        path = self.folder / name
        partial = path.with_name(f"{PARTIAL}{os.getpid()}-{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                publish(partial, path)
            finally:
                partial.unlink(missing_ok=True)
            _sync_folder(path.parent)
        except FileExistsError:
            return False
        except OSError as error:
            raise storage_error(error, self.folder) from None
        return True

    def size(self, name: str) -> int | None:
        try:
            return (self.folder / name).stat().st_size
        except OSError:
            return None

    def names(self, prefix: str) -> Iterator[str]:
        for path in sorted((self.folder / prefix).rglob("*")):
            if path.is_file() and not path.name.startswith(PARTIAL):
                yield path.relative_to(self.folder).as_posix()

    def set_aside(self, name: str) -> None:
        target = self.folder / ASIDE / f"{name.replace('/', '-')}-{secrets.token_hex(4)}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.folder / name, target)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error, self.folder) from None

    def ages(self, prefix: str) -> Iterator[tuple[str, float, int]]:
        now = time.time()
        for path in sorted((self.folder / prefix).rglob("*")):
            try:
                if path.is_file():
                    yield path.relative_to(self.folder).as_posix(), now - path.stat().st_mtime, path.stat().st_size
            except OSError:
                continue  # gone meanwhile

    def delete(self, name: str) -> None:
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self.folder) from None

    def check_writable(self) -> None:
        probe = f"{PARTIAL}probe-{secrets.token_hex(4)}"
        self.put(probe, b"probe")
        (self.folder / probe).unlink(missing_ok=True)


def open_store(uri: str, *, near: bool = True) -> Store:
    """The store of a URI: a folder's path, `file://` or `s3://bucket/folder`; empty text means `$AMAN_STORE`, or
    `runs/store`. Nothing is made or touched yet.

    `near`: a bucket's blobs may be read from this machine's copies.
    """
    uri = uri or os.environ.get(VARIABLE) or USUAL
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return FolderStore(Path(uri).expanduser())
    if scheme == "file" and rest.startswith("/"):
        return FolderStore(Path(rest))
    if scheme == "s3":
        from cluster.near import NearStore
        from cluster.s3 import S3Store

        return NearStore(uri) if near else S3Store(uri)
    raise UsageError(
        got=f"--store of the kind {scheme}://",
        expected="a folder, file:///folder or s3://bucket/folder",
        fix="give a folder's path, or a bucket",
    )


def storage_error(error: OSError, folder: Path) -> UserError:
    """What an operating system's refusal means to a user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(
            got=f"a full disk under {folder}",
            expected="room for the cache",
            fix="free some space or name another --store, then run the same command: what is finished stays",
        )
    return UsageError(
        got=f"--store {folder}, which cannot be used ({error.strerror})",
        expected="a folder that can be read and written",
        fix="name another --store, or change its permissions",
    )


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
