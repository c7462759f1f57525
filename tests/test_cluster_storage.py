"""The store and the cache: whole or absent, first writer wins, damage is noticed."""

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from aman.errors import DataError, UsageError
from cluster.cache import Cache, content_key
from cluster.containers import pack_features, pack_images, unpack_features, unpack_images
from cluster.storage import FolderStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def cache(store: FolderStore) -> Cache:
    return Cache(store)


def blobs(store: FolderStore) -> list[Path]:
    return [store.folder / name for name in store.names("blobs")]


def test_what_is_put_can_be_got_by_a_store_opened_from_the_uri(store: FolderStore) -> None:
    assert store.put("a/b", b"content")
    assert open_store(store.uri).get("a/b") == b"content"
    assert open_store(str(store.folder)).size("a/b") == 7


def test_what_is_absent_is_none(store: FolderStore) -> None:
    assert store.get("a/b") is None
    assert store.size("a/b") is None
    assert list(store.names("a")) == []


def test_the_first_writer_of_a_name_wins(store: FolderStore) -> None:
    assert store.put("name", b"first")
    assert not store.put("name", b"second")
    assert store.get("name") == b"first"


def test_of_sixteen_writers_at_once_exactly_one_wins(store: FolderStore) -> None:
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: store.put("name", str(i).encode()), range(16)))
    assert won.count(True) == 1
    assert store.get("name") == str(won.index(True)).encode()


def test_nothing_partial_is_left_or_listed(store: FolderStore) -> None:
    store.put("a/one", b"1")
    store.put("a/one", b"2")
    (store.folder / "a" / ".partial-1-2").write_bytes(b"torn")
    assert list(store.names("a")) == ["a/one"]
    assert len(list((store.folder / "a").iterdir())) == 2


def test_a_writer_killed_at_any_moment_leaves_only_whole_objects(tmp_path: Path) -> None:
    program = (
        "import sys, hashlib, os\n"
        "from pathlib import Path\n"
        "from cluster.storage import FolderStore\n"
        "store = FolderStore(Path(sys.argv[1]))\n"
        "while True:\n"
        "    content = os.urandom(3_000_000)\n"
        "    store.put('o/' + hashlib.sha256(content).hexdigest(), content)\n"
    )
    found = 0
    for attempt in range(4):
        writer = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
        time.sleep(0.7 + 0.05 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        store = FolderStore(tmp_path)
        for name in store.names("o"):
            found += 1
            assert hashlib.sha256(store.get(name) or b"").hexdigest() == name.removeprefix("o/")
    assert found > 4


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used"):
        FolderStore(tmp_path / "file" / "store").check_writable()


def test_a_full_disk_is_a_data_error_and_leaves_nothing_behind(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("before", b"whole")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="full disk"):
        store.put("after", b"x")
    monkeypatch.undo()
    assert list(store.names("")) == ["before"]
    assert store.get("before") == b"whole"
    assert [path.name for path in store.folder.iterdir()] == ["before"]


def test_another_kind_of_store_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="ftp://"):
        open_store("ftp://host/folder")


def test_a_published_result_is_read_back(cache: Cache) -> None:
    digest = cache.publish("features", "ab" * 32, b"content")
    assert digest == hashlib.sha256(b"content").hexdigest()
    assert cache.has("features", "ab" * 32)
    assert cache.read("features", "ab" * 32) == b"content"
    assert cache.read("folds", "ab" * 32) is None


def test_every_flipped_bit_is_noticed_set_aside_and_can_be_made_anew(cache: Cache, store: FolderStore) -> None:
    content = bytes(range(64))
    for position in range(0, 64, 7):
        cache.publish("kind", "key", content)
        (blob,) = blobs(store)
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        blob.write_bytes(damaged)
        assert cache.read("kind", "key") is None
        assert not cache.has("kind", "key")
    cache.publish("kind", "key", content)
    assert cache.read("kind", "key") == content
    assert len(list(store.names("aside"))) == 2 * len(range(0, 64, 7))


def test_a_blob_cut_off_is_replaced_by_the_next_publication(cache: Cache, store: FolderStore) -> None:
    cache.publish("kind", "key", b"content")
    blobs(store)[0].write_bytes(b"con")
    assert not cache.has("kind", "key")
    cache.publish("kind", "key", b"content")
    assert cache.read("kind", "key") == b"content"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"digest": "../../x", "size": 1}', b"\xff\x00"])
def test_a_damaged_ref_is_a_miss_and_can_be_made_anew(cache: Cache, store: FolderStore, damage: bytes) -> None:
    cache.publish("kind", "key", b"content")
    (ref,) = store.names("refs")
    (store.folder / ref).write_bytes(damage)
    assert cache.read("kind", "key") is None
    cache.publish("kind", "key", b"content")
    assert cache.read("kind", "key") == b"content"


def test_two_producers_of_a_key_agree_on_the_first(cache: Cache) -> None:
    first = cache.publish("kind", "key", b"one")
    assert cache.publish("kind", "key", b"other") == first
    assert cache.read("kind", "key") == b"one"


def test_objects_lost_at_random_are_misses_and_never_wrong(cache: Cache, store: FolderStore) -> None:
    draw = random.Random(0)
    wanted = {f"{number:064x}": os.urandom(50) for number in range(40)}
    for _ in range(5):
        for key, content in wanted.items():
            cache.publish("kind", key, content)
        for name in draw.sample([*store.names("refs"), *store.names("blobs")], 30):
            (store.folder / name).unlink()
        read = {key: cache.read("kind", key) for key in wanted}
        assert 0 < sum(content is None for content in read.values()) < 40
        assert all(content in (None, wanted[key]) for key, content in read.items())


def test_a_content_key_depends_on_values_and_not_on_their_order() -> None:
    assert content_key({"a": 1, "b": [2]}) == content_key({"b": [2], "a": 1})
    assert content_key({"a": 1, "b": [2]}) != content_key({"a": 1, "b": [3]})


def test_images_are_cached_without_loss_and_found_by_frame_and_factor() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 9, 3), dtype=np.uint8)
    content = pack_images(images)
    assert (unpack_images(content, range(4), range(3)) == images).all()
    assert (unpack_images(content, [3, 1], [2, 0]) == images[[3, 1]][:, [2, 0]]).all()


def test_features_are_found_by_frame_and_factor() -> None:
    features = np.random.default_rng(0).standard_normal((4, 3, 5, 2, 2)).astype(np.float16)
    assert (unpack_features(pack_features(features), [2, 0], [1]) == features[[2, 0]][:, [1]]).all()


def test_a_chunk_that_unpacks_to_another_size_is_refused() -> None:
    import zstandard
    from safetensors.numpy import load, save

    tensors = load(pack_images(np.zeros((1, 1, 4, 4, 3), dtype=np.uint8)))
    bomb = zstandard.ZstdCompressor().compress(bytes(10_000_000))
    tensors["0/0"] = np.frombuffer(bomb, dtype=np.uint8)
    with pytest.raises(ValueError, match="declared size"):
        unpack_images(save(tensors), [0], [0])
