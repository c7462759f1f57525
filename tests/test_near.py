"""Copies on this machine's disk: bounded, verified, shared by processes, and never worth more than a download."""

import errno
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from seaweed import Server

from aman.errors import UsageError
from cluster.store.local_copies import NearFolder, NearStore, near_folder
from cluster.store.open import open_store
from cluster.store.results import Cache
from cluster.store.s3 import S3Store


def named(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def keep(folder: NearFolder, content: bytes, *, used: float | None = None) -> str:
    """Keep a content, last used at that time; its digest."""
    folder.keep(named(content), content)
    if used is not None and folder._path(named(content)).exists():
        os.utime(folder._path(named(content)), (used, used))
    return named(content)


def size_of(folder: NearFolder) -> int:
    return sum(path.stat().st_size for path in folder.folder.glob("*/*"))


def test_what_is_kept_is_found_by_its_digest(tmp_path: Path) -> None:
    folder = NearFolder(tmp_path / "near", 1000)
    assert folder.get(named(b"content")) is None
    keep(folder, b"content")
    assert folder.get(named(b"content")) == b"content"
    folder.drop(named(b"content"))
    assert folder.get(named(b"content")) is None


def test_copies_are_for_their_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = NearFolder(tmp_path / "near", 1000)
    keep(folder, b"content")
    assert all(path.stat().st_mode & 0o077 == 0 for path in (folder.folder, folder._path(named(b"content"))))
    monkeypatch.setattr(os, "getuid", lambda: folder.folder.stat().st_uid + 1)
    if folder.folder.stat().st_uid == 0:
        os.chown(folder.folder, 1234, -1)
    keep(folder, b"other")
    assert folder.get(named(b"other")) is None


def test_the_bound_holds_whatever_is_kept(tmp_path: Path) -> None:
    folder = NearFolder(tmp_path / "near", 10_000)
    for number in range(60):
        keep(folder, bytes([number]) * (100 * (number % 20) + 1))
        assert size_of(folder) <= 10_000
    assert size_of(folder) > 5000
    keep(folder, bytes(10_001))
    assert folder.get(named(bytes(10_001))) is None
    keep(folder, bytes(10_000))
    assert folder.get(named(bytes(10_000))) and size_of(folder) == 10_000


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    folder = NearFolder(tmp_path / "near", 1000)
    digests = [keep(folder, bytes([number]) * 240, used=1000.0 + number) for number in range(4)]
    assert folder.get(digests[0])  # the oldest is used again
    keep(folder, b"new" * 80)
    assert [folder.get(digest) is not None for digest in digests] == [True, False, True, True]


def test_a_flipped_bit_is_noticed_and_the_copy_is_gone(tmp_path: Path) -> None:
    folder = NearFolder(tmp_path / "near", 1000)
    path = folder._path(keep(folder, b"content"))
    path.write_bytes(b"contenu")
    assert folder.get(named(b"content")) is None
    assert not path.exists()
    keep(folder, b"content")
    assert folder.get(named(b"content")) == b"content"


@pytest.mark.parametrize("total", [b"", b"\xff", b"-5", b"99999999"])
def test_a_total_that_is_wrong_is_counted_anew(tmp_path: Path, total: bytes) -> None:
    folder = NearFolder(tmp_path / "near", 1000)
    old = keep(folder, bytes(100))
    (folder.folder / "total").write_bytes(total)
    new = keep(folder, bytes([1]) * 100)
    assert folder.get(old) and folder.get(new)
    assert int((folder.folder / "total").read_bytes()) == 200


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_is_full_or_cannot_be_written_keeps_nothing_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    folder = NearFolder(tmp_path / "near", 1000)
    before = keep(folder, b"before")

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    assert folder.get(keep(folder, b"after")) is None
    monkeypatch.undo()
    assert folder.get(before) == b"before"
    assert len(list(folder.folder.glob("*/*"))) == 1
    (tmp_path / "file").write_bytes(b"")
    keep(NearFolder(tmp_path / "file" / "near", 1000), b"content")


def test_a_tenth_of_the_disk_is_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = NearFolder(tmp_path / "near", 1000)
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10_000, 8_950, 1_050))
    assert folder.get(keep(folder, bytes(51))) is None
    assert folder.get(keep(folder, bytes(50))) is not None


WRITER = """
import os, sys, hashlib
from pathlib import Path
from cluster.store.local_copies import NearFolder
folder, count, name = NearFolder(Path(sys.argv[1]), int(sys.argv[2])), int(sys.argv[3]), sys.argv[4]
for number in range(count):
    content = hashlib.sha256(f"{name} {number}".encode()).digest() * int(sys.argv[5])
    folder.keep(hashlib.sha256(content).hexdigest(), content)
    print(number, flush=True)
"""


def writer(folder: Path, most: int, count: int, name: str, repeat: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(folder), str(most), str(count), name, str(repeat)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_at_once_stay_within_the_bound_and_leave_whole_copies(tmp_path: Path) -> None:
    folder, most = NearFolder(tmp_path / "near", 200_000), 200_000
    writers = [writer(folder.folder, most, 400, name, 100) for name in ("a", "b")]
    seen = []
    while any(one.poll() is None for one in writers):
        if (folder.folder / "total").exists():
            with folder._locked():  # else a copy that is being renamed is counted twice
                seen.append(size_of(folder))
        time.sleep(0.01)
    for one in writers:
        one.communicate()
        assert one.returncode == 0
    assert max(seen) <= most and 0.8 * most < size_of(folder) <= most
    assert int((folder.folder / "total").read_bytes()) == size_of(folder)
    for path in folder.folder.glob("*/*"):
        assert named(path.read_bytes()) == path.name


def test_a_writer_killed_at_any_moment_leaves_whole_copies_and_blocks_nobody(tmp_path: Path) -> None:
    folder, most = NearFolder(tmp_path / "near", 30_000_000), 30_000_000
    for attempt in range(5):
        one = writer(folder.folder, most, 100_000, str(attempt), 100_000)
        assert one.stdout is not None
        one.stdout.readline()
        time.sleep(0.03 * attempt)
        one.send_signal(signal.SIGKILL)
        one.communicate()
    whole = [path for path in folder.folder.glob("*/*") if not path.name.startswith(".partial-")]
    assert len(whole) >= 5
    assert all(named(path.read_bytes()) == path.name for path in whole)
    for number in range(10):
        keep(folder, bytes([number]) * 3_000_000)
    assert size_of(folder) <= most
    assert not list(folder.folder.glob("*/.partial-*"))  # making room removes what the killed ones left


def test_the_environment_says_where_copies_lie_and_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMAN_LOCAL_CACHE", str(tmp_path))
    monkeypatch.delenv("AMAN_LOCAL_CACHE_GB", raising=False)
    assert (near_folder().folder, near_folder().most) == (tmp_path, 20 * 2**30)
    monkeypatch.setenv("AMAN_LOCAL_CACHE_GB", "0.5")
    assert near_folder().most == 2**29
    monkeypatch.setenv("AMAN_LOCAL_CACHE_GB", "0")
    keep(near_folder(), b"content")
    assert list(tmp_path.iterdir()) == []
    for wrong in ("-1", "much", "nan", "inf"):
        monkeypatch.setenv("AMAN_LOCAL_CACHE_GB", wrong)
        with pytest.raises(UsageError, match=f"AMAN_LOCAL_CACHE_GB={wrong}"):
            near_folder()


# The store with near copies


@pytest.fixture
def cache(s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache in a bucket, with an empty folder of copies."""
    monkeypatch.setenv("AMAN_LOCAL_CACHE", str(tmp_path / "near"))
    return Cache(open_store(f"s3://aman/{secrets.token_hex(6)}"))


def test_a_blob_is_fetched_once_and_then_read_here(cache: Cache, requests: Callable[[], list[str]]) -> None:
    digest = cache.publish("kind", "key", b"content")
    assert cache.read("kind", "key") == b"content"
    requests()
    assert cache.read("kind", "key") == b"content"
    (only,) = requests()
    assert only.startswith("GetObject") and "/refs/" in only
    assert near_folder().get(digest) == b"content"


def test_a_damaged_copy_is_dropped_and_the_bucket_is_read_and_left_as_it_is(cache: Cache) -> None:
    digest = cache.publish("kind", "key", b"content")
    for _ in range(2):
        assert cache.read("kind", "key") == b"content"
        near_folder()._path(digest).write_bytes(b"contenu")
        assert cache.read("kind", "key") == b"content"
        assert near_folder().get(digest) == b"content"
    assert list(cache.store.names("aside")) == []


def test_damage_in_the_bucket_is_not_copied(cache: Cache) -> None:
    digest = cache.publish("kind", "key", b"content")
    store = cache.store
    assert isinstance(store, NearStore)
    (blob,) = store.names("blobs")
    S3Store(store.uri).delete(blob)
    assert S3Store(store.uri).put(blob, b"contenu")
    assert cache.read("kind", "key") is None
    assert near_folder().get(digest) is None and len(list(store.names("aside"))) == 2


def test_a_copy_goes_with_its_object(cache: Cache) -> None:
    digest = cache.publish("kind", "key", b"content")
    (blob,) = cache.store.names("blobs")
    for remove in (cache.store.set_aside, cache.store.delete):
        cache.publish("kind", "key", b"content")
        assert cache.read("kind", "key") == b"content"
        remove(blob)
        assert near_folder().get(digest) is None and cache.store.get(blob) is None


def test_the_job_that_verifies_a_store_reads_the_bucket_and_no_copy(
    cache: Cache, call_job: Callable[..., tuple[int, str]]
) -> None:
    from jobs import cache as job

    cache.publish("kind", "key", b"content")
    assert cache.read("kind", "key") == b"content"
    (blob,) = cache.store.names("blobs")
    bucket = S3Store(cache.store.uri)
    bucket.delete(blob)
    bucket.put(blob, b"contenu")
    code, text = call_job(job, "verify", "--store", cache.store.uri)
    assert code == 4 and "1 were not" in text
