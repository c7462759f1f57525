"""A store in a local folder: objects are files."""

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from aman.files import PARTIAL, write_whole
from cluster.store.base import storage_error
from cluster.store.names import ASIDE


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
        return self._write(name, content, replace=False)

    def replace(self, name: str, content: bytes) -> None:
        if content:
            self._write(name, content, replace=True)
        else:
            self.delete(name)

    def _write(self, name: str, content: bytes, *, replace: bool) -> bool:
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write_whole(path, content, replace=replace)
        except OSError as error:
            raise storage_error(error, self.folder) from None

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
