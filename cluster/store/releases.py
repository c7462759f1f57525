"""Where a release lies, in a folder or in a bucket, and how the bytes of its files are had.

Readers list names and open sheets, nothing else. So a bucket is listed once and shown to them as a folder in which the
sheets are real and all other files are empty; the frames of the index are then named as what they are, objects.
"""

import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PosixPath
from typing import Any, TypeVar

from aman.databases.index import Clip, Index
from aman.databases.reading.folders import existing_folder
from aman.errors import DataError, UserError
from aman.frames import digests as file_digests
from aman.frames import read_bytes
from cluster.store.base import Store
from cluster.store.local_copies import near_folder
from cluster.store.results import DIGEST
from cluster.store.s3 import S3Store

PARALLEL = 8
"""Objects that a process fetches at once."""
SHEETS = re.compile(r"\.(xlsx|xls|ods|csv|json)$", re.IGNORECASE)
"""What a reader may open."""
REMEMBERED = "raw"
"""Folder of a store with the digests of objects: `raw/<digest of the folder's name>/<digest of the content>`, each a
JSON list of [name, bytes, ETag, sha256]."""
REMEMBER_EVERY = 2000
"""Objects after which their digests are stored: a plan that is stopped goes on from there."""
T = TypeVar("T")


class ObjectPath(PosixPath):
    """An object of a bucket where a file's path is expected, `s3://bucket/folder/img46.jpg`: a name to show and to
    take apart. No file is there; `read_file` and `clip_reader` give its bytes."""

    def __str__(self) -> str:
        return re.sub("^s3:/(?!/)", "s3://", super().__str__())


class FolderRelease:
    """A release in a folder of this machine (or the table that declares it)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def folder(self) -> Path:
        """The folder of all files."""
        return existing_folder(self.root.parent if self.root.is_file() else self.root, "check --root")

    def look(self, at: Callable[[Path], T]) -> T:
        """What a function of the root finds there."""
        return at(self.root)

    def index(self, reader: Callable[[Path], Index]) -> Index:
        """The index that a reader makes of it."""
        return reader(self.root)

    def digests(self, paths: Sequence[Path]) -> list[str]:
        """sha256 of each file, in order."""
        return file_digests(paths)

    def read(self, path: Path) -> bytes:
        """Content of a file."""
        return read_bytes(path)


class BucketRelease:
    """The same in a bucket: `s3://bucket/folder`, or `s3://bucket/folder/table.csv`.

    What is made of an object is named by its digest, so that each is fetched once; the digest is remembered in the
    store by name, size and ETag. A reader looks for a sheet below the folder only, and not beside it as on a disk.
    """

    def __init__(self, uri: str, pool: ThreadPoolExecutor, store: Store | None = None) -> None:
        given = S3Store(uri, option="--root")
        prefix, _, last = given.prefix.strip("/").rpartition("/")
        self.table = last if last.lower().endswith(".csv") else ""
        self.folder = ObjectPath("s3:", given.bucket, prefix, "" if self.table else last)
        self.pool, self.store, self.lock = pool, store, threading.Lock()
        self.listed = {name: (size, etag) for name, size, etag in S3Store(str(self.folder), option="--root").objects()}
        self.listed.pop("", None)  # the marker that some tools make of a folder
        if not self.listed:
            raise DataError(
                got=f"--root {uri} without a single object",
                expected="the folder of the unpacked release, uploaded as it is",
                fix=f"aws s3 sync DIR {self.folder}, or correct the name",
            )
        for name in self.listed:
            if {"", ".", ".."} & set(name.removesuffix("/").split("/")) or "\0" in name:
                raise DataError(
                    got=f"{self.folder}/{name}, which is no name of a file",
                    expected="objects named as the files of a release are",
                    fix="remove it, or give it another name",
                )
        self.place = f"{REMEMBERED}/{_sha256(str(self.folder).encode())}"
        self.known = dict(_remembered(store, self.place)) if store else {}
        self.fresh: list[tuple[str, int, str, str]] = []

    def look(self, at: Callable[[Path], T]) -> T:
        """What a function of a root folder finds there; its errors name the bucket."""
        with tempfile.TemporaryDirectory(prefix="aman-release-") as scratch:
            shown = Path(scratch) / self.folder.name  # by the names of folders readers know cameras and crops
            try:
                self._show(shown)
                return at(shown / self.table)
            except UserError as error:
                texts = {"got": error.got, "expected": error.expected, "fix": error.fix}
                told = {name: text.replace(str(shown), str(self.folder)) for name, text in texts.items()}
                raise type(error)(**told) from None
            except OSError as error:
                name = str(error.filename).replace(str(shown), str(self.folder))
                raise DataError(
                    got=f"{name}, which cannot be shown as a file ({error.strerror})",
                    expected="objects named as the files of a release are, and room for them on the local disk",
                    fix="remove it or give it another name, or free some space",
                ) from None

    def index(self, reader: Callable[[Path], Index]) -> Index:
        """The index that a reader makes of it; frames are `ObjectPath`s."""

        def located(root: Path) -> Index:
            folder, index = root.parent if self.table else root, reader(root)
            unknown = {clip.video for clip in index if clip.video and not clip.offset}
            if unknown:  # the reader needs the lengths of these videos: they alone are fetched and shown to it
                list(self.pool.map(lambda seen: seen.write_bytes(self.read(self._object(seen, folder))), unknown))
                index = reader(root)
            return replace(index, clips=tuple(self._located(clip, folder) for clip in index))

        return self.look(located)

    def digests(self, paths: Sequence[Path]) -> list[str]:
        """sha256 of each object, in order; an object whose digest is not known is fetched."""
        return list(self.pool.map(lambda path: self._known(path) or _sha256(self._learn(path)), paths))

    def read(self, path: Path) -> bytes:
        """Content of an object."""
        known = self._known(path)
        return read_file(path, known) if known else self._learn(path)

    def remember(self) -> None:
        """Store the digests that were learned."""
        with self.lock:
            learned, self.fresh = self.fresh, []
        if learned and self.store:
            content = json.dumps(sorted(learned)).encode()
            self.store.put(f"{self.place}/{_sha256(content)}", content)

    def _known(self, path: Path) -> str | None:
        name = path.relative_to(self.folder).as_posix()
        return self.known.get((name, *self.listed[name])) if name in self.listed else None

    def _learn(self, path: Path) -> bytes:
        content, etag = fetch(path)
        digest, name = _sha256(content), path.relative_to(self.folder).as_posix()
        near_folder().keep(digest, content)
        with self.lock:
            self.known[(name, len(content), etag)] = digest
            self.fresh.append((name, len(content), etag, digest))
            enough = len(self.fresh) >= REMEMBER_EVERY
        if enough:
            self.remember()
        return content

    def _show(self, folder: Path) -> None:
        """Write what a reader is to see."""
        sheets = [name for name in self.listed if SHEETS.search(name)]
        contents = dict(zip(sheets, self.pool.map(lambda name: self.read(self.folder / name), sheets), strict=True))
        made: set[Path] = set()
        for name in self.listed:
            path = folder / name
            inside = path if name.endswith("/") else path.parent
            if inside not in made:
                inside.mkdir(parents=True, exist_ok=True)
                made.add(inside)
            if inside != path:
                path.write_bytes(contents.get(name, b""))

    def _located(self, clip: Clip, folder: Path) -> Clip:
        """The clip with objects in place of the files that its reader saw."""
        arrays = clip.arrays
        if arrays:
            arrays = replace(arrays, files=tuple(self._object(file, folder) for file in arrays.files))
        return replace(clip, frames=tuple(self._object(frame, folder) for frame in clip.frames), arrays=arrays)

    def _object(self, frame: Path, folder: Path) -> ObjectPath:
        """The object that a reader saw as this file."""
        inside = Path(os.path.normpath(frame))
        if not inside.is_relative_to(folder):
            raise DataError(
                got=f"frames in {frame.parent}, outside of {self.folder}",
                expected="every frame below --root",
                fix="name folders in the table relative to it",
            )
        return self.folder / inside.relative_to(folder)


@contextmanager
def open_release(root: str | Path, store: Store | None = None) -> Iterator[FolderRelease | BucketRelease]:
    """The release at `--root`. What is learned of a bucket's objects is remembered in the store, if one is given."""
    if not in_bucket(root):
        yield FolderRelease(Path(root))
        return
    with ThreadPoolExecutor(PARALLEL) as pool:
        release = BucketRelease(str(root), pool, store)
        try:
            yield release
        finally:
            release.remember()


def in_bucket(root: str | Path) -> bool:
    """Whether every machine that has the credentials can read the release."""
    return str(root).startswith("s3://")


def fetch(path: Path, digest: str = "") -> tuple[bytes, str]:
    """Content and ETag of an object; `digest` is the sha256 that it should have, where that is known.

    An ETag is mostly the content's MD5. Where it is not (encryption with a customer's key, uploads in parts), a
    content counts as sound when two answers in a row are equal.
    """
    before = ""

    def sound(content: bytes, answer: Mapping[str, Any]) -> bool:
        nonlocal before
        if digest and _sha256(content) == digest:
            return True
        last, before = before, hashlib.md5(content, usedforsecurity=False).hexdigest()
        return before in (last, answer["ETag"].strip('"'))

    _, bucket, *name = path.parts
    found = S3Store(f"s3://{bucket}", option="--root").read("/".join(name), sound)
    if found is None:
        raise DataError(got=f"{path}: no such object", expected="a readable image file", fix="upload the clip again")
    return found


def read_file(path: Path, digest: str) -> bytes:
    """Content of a file, which should have this sha256: from this machine's disk, or a bucket by way of it."""
    if not isinstance(path, ObjectPath):
        return read_bytes(path)
    near = near_folder()
    content = near.get(digest)
    if content is None:
        content, _ = fetch(path, digest)
        near.keep(digest, content)
    return content


def clip_reader(
    paths: Sequence[Path], digests: Sequence[str], files: Sequence[bytes] | None = None
) -> Callable[[Path], bytes]:
    """What gives the bytes of each file of a clip: `files` where they came with the task, else `read_file`.

    `DataError` for a file that is not the one of this digest: results carry the names of what they were made of.
    """
    wanted = dict(zip(paths, digests, strict=True))
    if files is None and any(isinstance(path, ObjectPath) for path in paths):
        with ThreadPoolExecutor(PARALLEL) as pool:
            files = list(pool.map(read_file, paths, digests))
    given = None if files is None else dict(zip(paths, files, strict=True))

    def read(path: Path) -> bytes:
        content = read_bytes(path) if given is None else given[path]
        if _sha256(content) != wanted[path]:
            raise DataError(
                got=f"{path}, which changed after the run was planned",
                expected=f"the file with sha256 {wanted[path]}",
                fix="run the same command again when nothing writes there",
            )
        return content

    return read


def _remembered(store: Store, place: str) -> Iterator[tuple[tuple[str, int, str], str]]:
    """Digests by name, size and ETag. What is damaged is set aside, and its objects are fetched again."""
    for segment in list(store.names(place)):
        try:
            if _sha256(content := store.get(segment) or b"[]") != segment.rpartition("/")[2]:
                raise ValueError("other bytes than its name says")
            rows = [((str(one[0]), int(one[1]), str(one[2])), str(one[3])) for one in json.loads(content)]
            yield from (row for row in rows if DIGEST.fullmatch(row[1]))
        except (ValueError, TypeError, LookupError, RecursionError):
            store.set_aside(segment)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
