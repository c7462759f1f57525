"""Copies on this machine's disk of what lies in a bucket: by digest, verified on every read, bounded in size.

Losing any of it costs a download. A disk that is full, or cannot be written, means that nothing is kept.
"""

import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock

from aman.errors import UsageError
from aman.files import PARTIAL, write_whole
from cluster.store.names import BLOBS, blob_digest
from cluster.store.results import DIGEST
from cluster.store.s3 import S3Store

FOLDER, SIZE = "AMAN_LOCAL_CACHE", "AMAN_LOCAL_CACHE_GB"
"""Environment of a node: where its copies lie, and how many GiB they may take (0: none are kept)."""
USUAL_SIZE = 20.0
KEPT_WHEN_FULL = 0.9
"""Share of the bound that is left when the least recently used have gone, so that not every copy asks for room."""
FREE = 0.1
"""Share of the disk that is left to others: Ray stops at 95 % used."""


class NearFolder:
    """Contents by their sha256, of any processes at once; at most `most` bytes, the least recently used go first.

    The file `total` holds the sum of sizes; `lock` is held while anything is written. After a kill or a deletion
    `total` may overestimate, never underestimate, and the copies are counted again when it reaches the bound.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most

    def get(self, digest: str) -> bytes | None:
        """The content of this digest, or None. A damaged copy is removed."""
        path = self._path(digest)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != digest:
            self.drop(digest)
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def keep(self, digest: str, content: bytes) -> None:
        """Keep a content of this digest, if there is room. One of another digest does no harm: `get` finds out."""
        if len(content) > self.most:
            return
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.folder.stat().st_uid not in (os.getuid(), 0):
                return  # another user's: licensed images are not for everybody
            disk = shutil.disk_usage(self.folder)
            if disk.free - len(content) < FREE * disk.total:
                return
            with self._locked():
                self._write(self._path(digest), content)

    def drop(self, digest: str) -> None:
        """Remove a copy, if there is one."""
        with suppress(OSError):
            self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest

    def _locked(self) -> AcquireReturnProxy:
        """The lock of the folder, held; the lock of a killed process is free."""
        return FileLock(self.folder / "lock", mode=0o600).acquire(poll_interval=0.01)

    def _write(self, path: Path, content: bytes) -> None:
        if path.exists():
            return
        total = self.folder / "total"
        said = total.read_text(errors="replace").strip() if total.exists() else ""
        size = int(said) if said.isdecimal() else self.most
        if size + len(content) > self.most:
            size = self._shrink(min(self.most - len(content), int(KEPT_WHEN_FULL * self.most)))
        total.write_text(str(size + len(content)))  # cut short by a kill, it is no number, and the copies are counted
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(path, content, mode=0o600, sync=False)  # `get` finds out what a power cut left of a copy

    def _shrink(self, room: int) -> int:
        """Remove leftovers of killed writers, then the least recently used until `room` is kept; what is left."""
        files = []
        for path in self.folder.glob("*/*"):
            if path.name.startswith(PARTIAL):
                path.unlink(missing_ok=True)
                continue
            with suppress(FileNotFoundError):  # damaged and dropped meanwhile
                files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        left = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if left <= room:
                break
            path.unlink(missing_ok=True)
            left -= size
        return left


def near_folder() -> NearFolder:
    """The folder of this machine, as its environment says."""
    folder = os.environ.get(FOLDER) or f"{tempfile.gettempdir()}/aman-cache-{os.getuid()}"
    given = os.environ.get(SIZE) or str(USUAL_SIZE)
    try:
        most = int(float(given) * 2**30)
    except (ValueError, OverflowError):
        most = -1
    if most < 0:
        raise UsageError(got=f"{SIZE}={given}", expected="a number of GiB", fix=f"set {SIZE}={USUAL_SIZE:.0f}, or 0")
    return NearFolder(Path(folder), most)


class NearStore(S3Store):
    """The store on S3 with copies on this machine of the blobs that were read; all else is asked of the bucket."""

    def get(self, name: str) -> bytes | None:
        digest = blob_digest(name)
        if not name.startswith(f"{BLOBS}/") or not DIGEST.fullmatch(digest):
            return super().get(name)
        near = near_folder()
        content = near.get(digest)
        if content is None:
            content = super().get(name)
            if content is not None:
                near.keep(digest, content)
        return content

    def set_aside(self, name: str) -> None:
        super().set_aside(name)
        near_folder().drop(blob_digest(name))

    def delete(self, name: str) -> None:
        super().delete(name)
        near_folder().drop(blob_digest(name))
