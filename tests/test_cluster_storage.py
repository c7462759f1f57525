"""The contract of stores, on a folder, on a real S3 server and with near copies of it, and the cache over them: whole
or absent, first writer wins, damage is noticed."""

import errno
import hashlib
import itertools
import os
import pickle
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from faults.faulty_proxy import FaultyProxy
from seaweed import Server

from aman.content import content_key
from aman.errors import DataError, UsageError
from aman.inputs.features import pack_features, unpack_features
from aman.inputs.images import pack_images, unpack_images
from cluster.store.base import Store
from cluster.store.cleanup import removable, status, verify
from cluster.store.folder import FolderStore
from cluster.store.open import open_store
from cluster.store.results import Cache
from cluster.store.s3 import S3Store, _client, client


@pytest.fixture(params=["folder", "s3", "near"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store of each kind, `near` with copies on this machine."""
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    request.getfixturevalue("s3_server")
    monkeypatch.setenv("AMAN_LOCAL_CACHE", str(tmp_path / "near"))
    return open_store(f"s3://aman/{secrets.token_hex(6)}", near=request.param == "near")


@pytest.fixture
def cache(store: Store) -> Cache:
    return Cache(store)


def replace(store: Store, name: str, content: bytes | None) -> None:
    """Damage or remove an object behind the store's back."""
    if isinstance(store, FolderStore):
        path = store.folder / name
        path.write_bytes(content) if content is not None else path.unlink()
        return
    assert isinstance(store, S3Store)
    place = {"Bucket": store.bucket, "Key": store.prefix + name}
    if content is None:
        _client(os.getpid()).delete_object(**place)
    else:
        _client(os.getpid()).put_object(**place, Body=content)


def blobs(store: Store) -> list[str]:
    return list(store.names("blobs"))


def test_what_is_put_can_be_got_by_a_store_opened_from_the_uri(store: Store) -> None:
    assert store.put("a/b", b"content")
    assert open_store(store.uri).get("a/b") == b"content"
    assert open_store(store.uri).size("a/b") == 7


def test_what_is_absent_is_none(store: Store) -> None:
    assert store.get("a/b") is None
    assert store.size("a/b") is None
    assert list(store.names("a")) == []


def test_the_first_writer_of_a_name_wins(store: Store) -> None:
    assert store.put("name", b"first")
    assert not store.put("name", b"second")
    assert store.get("name") == b"first"


def test_what_is_replaced_is_the_last_one_and_nothing_takes_it_away(store: Store) -> None:
    for content in (b"first", b"second"):
        store.replace("unfinished/one", content)
        assert open_store(store.uri).get("unfinished/one") == content
    store.replace("unfinished/one", b"")
    assert store.get("unfinished/one") is None and store.size("unfinished/one") is None
    assert "unfinished/one" not in store.names("unfinished")
    store.replace("unfinished/absent", b"")


def test_of_sixteen_writers_at_once_exactly_one_wins(store: Store) -> None:
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: store.put("name", str(i).encode()), range(16)))
    assert won.count(True) == 1
    assert store.get("name") == str(won.index(True)).encode()


def test_nothing_partial_is_left_or_listed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a/one", b"1")
    store.put("a/one", b"2")
    (store.folder / "a" / ".partial-1-2").write_bytes(b"torn")
    assert list(store.names("a")) == ["a/one"]
    assert len(list((store.folder / "a").iterdir())) == 2


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_only_whole_objects(tmp_path: Path) -> None:
    program = (
        "import sys, hashlib, os\n"
        "from pathlib import Path\n"
        "from cluster.store.folder import FolderStore\n"
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


def test_a_full_disk_is_a_data_error_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
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


def test_every_flipped_bit_is_noticed_set_aside_and_can_be_made_anew(cache: Cache, store: Store) -> None:
    content = bytes(range(64))
    for position in range(0, 64, 7):
        cache.publish("kind", "key", content)
        (blob,) = blobs(store)
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        replace(store, blob, bytes(damaged))
        assert cache.read("kind", "key") is None
        assert not cache.has("kind", "key")
    cache.publish("kind", "key", content)
    assert cache.read("kind", "key") == content
    assert len(list(store.names("aside"))) == 2 * len(range(0, 64, 7))


def test_a_blob_cut_off_is_replaced_by_the_next_publication(cache: Cache, store: Store) -> None:
    cache.publish("kind", "key", b"content")
    replace(store, blobs(store)[0], b"con")
    assert not cache.has("kind", "key")
    cache.publish("kind", "key", b"content")
    assert cache.read("kind", "key") == b"content"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"digest": "../../x", "size": 1}', b"\xff\x00"])
def test_a_damaged_ref_is_a_miss_and_can_be_made_anew(cache: Cache, store: Store, damage: bytes) -> None:
    cache.publish("kind", "key", b"content")
    (ref,) = store.names("refs")
    replace(store, ref, damage)
    assert cache.read("kind", "key") is None
    cache.publish("kind", "key", b"content")
    assert cache.read("kind", "key") == b"content"


def test_a_result_that_appears_while_it_is_looked_for_is_left_alone(cache: Cache, store: Store) -> None:
    real = store.get
    late = iter([True])

    def get(name: str) -> bytes | None:
        content = real(name)
        if next(late, False):
            cache.publish("kind", "key", b"content")  # another process, just after we looked
        return content

    store.get = get  # pyrefly: ignore[method-assign]
    assert cache.read("kind", "key") is None
    assert cache.read("kind", "key") == b"content"
    assert list(store.names("aside")) == []


def test_two_producers_of_a_key_agree_on_the_first(cache: Cache) -> None:
    first = cache.publish("kind", "key", b"one")
    assert cache.publish("kind", "key", b"other") == first
    assert cache.read("kind", "key") == b"one"


def test_objects_lost_at_random_are_misses_and_never_wrong(cache: Cache, store: Store) -> None:
    draw = random.Random(0)
    wanted = {f"{number:064x}": os.urandom(50) for number in range(16)}
    for _ in range(4):
        for key, content in wanted.items():
            cache.publish("kind", key, content)
        for name in draw.sample([*store.names("refs"), *store.names("blobs")], 12):
            replace(store, name, None)
        read = {key: cache.read("kind", key) for key in wanted}
        assert 0 < sum(content is None for content in read.values()) < 16
        assert all(content in (None, wanted[key]) for key, content in read.items())


def test_a_content_key_depends_on_values_and_not_on_their_order() -> None:
    assert content_key({"a": 1, "b": [2]}) == content_key({"b": [2], "a": 1})
    assert content_key({"a": 1, "b": [2]}) != content_key({"a": 1, "b": [3]})


def test_images_are_cached_without_loss_and_found_by_frame_and_factor() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 9, 3), dtype=np.uint8)
    content = pack_images(images)
    assert (unpack_images(content, range(4), range(3), images.shape) == images).all()
    assert (unpack_images(content, [3, 1], [2, 0], images.shape) == images[[3, 1]][:, [2, 0]]).all()


def test_features_are_found_by_frame_and_factor() -> None:
    features = np.random.default_rng(0).standard_normal((4, 3, 5, 2, 2)).astype(np.float16)
    content = pack_features(features)
    assert (unpack_features(content, [2, 0], [1], features.shape) == features[[2, 0]][:, [1]]).all()


def test_a_chunk_that_unpacks_to_another_size_is_refused() -> None:
    import zstandard
    from safetensors.numpy import load, save

    tensors = load(pack_images(np.zeros((1, 1, 4, 4, 3), dtype=np.uint8)))
    bomb = zstandard.ZstdCompressor().compress(bytes(10_000_000))
    tensors["0/0"] = np.frombuffer(bomb, dtype=np.uint8)
    with pytest.raises(ValueError, match="declared size"):
        unpack_images(save(tensors), [0], [0], (1, 1, 4, 4, 3))


# S3 alone


def test_a_store_that_travels_carries_no_secret(s3_server: Server) -> None:
    store = S3Store("s3://aman/travels")
    store.put("a", b"content")
    packed = pickle.dumps(store)
    for secret in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        assert s3_server.environment[secret].encode() not in packed
    assert pickle.loads(packed).get("a") == b"content"


@pytest.mark.parametrize(
    ("uri", "said"),
    [("s3://", "no bucket"), ("s3://b/x?color=red", "option color"), ("s3://key:secret@b/x", "credential")],
)
def test_a_uri_that_is_none_is_refused_without_repeating_a_secret(uri: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        open_store(uri)
    assert "secret" not in str(caught.value)


def test_wrong_credentials_a_missing_bucket_and_a_wrong_endpoint_are_one_sentence(s3_server: Server) -> None:
    with pytest.raises(UsageError, match="NoSuchBucket"):
        open_store("s3://nobody/x").check_writable()
    for name, value, said in (
        ("AWS_SECRET_ACCESS_KEY", "wrong", "SignatureDoesNotMatch"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "EndpointConnectionError"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            _client.cache_clear()
            with pytest.raises(UsageError, match=said) as caught:
                open_store("s3://aman/x").check_writable()
        assert s3_server.environment["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
        _client.cache_clear()


@contextmanager
def through_a_faulty_proxy(server: Server, fault: Callable[[bytes, bytes], bytes | None]) -> Iterator[FaultyProxy]:
    """Lead boto3 through a proxy, and back to the server; nothing else that a test or fixture patched is undone."""
    proxy = FaultyProxy(server.port, fault)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        _client.cache_clear()
        try:
            yield proxy
        finally:
            proxy.close()
    _client.cache_clear()


def test_a_body_cut_off_or_flipped_on_its_way_is_asked_for_again(s3_server: Server) -> None:
    content = os.urandom(50_000)
    S3Store("s3://aman/wire").put("object", content)
    count = itertools.count()

    def fault(request: bytes, reply: bytes) -> bytes | None:
        if not request.startswith(b"GET") or next(count) > 3:
            return None
        return reply[:-1000] if next(count) % 4 else reply[:-1] + bytes([reply[-1] ^ 1])

    with through_a_faulty_proxy(s3_server, fault) as proxy:
        assert S3Store("s3://aman/wire").get("object") == content
        assert proxy.faults >= 2


def test_a_put_whose_answer_is_lost_is_known_as_ones_own(s3_server: Server) -> None:
    lost = iter([True])

    def fault(request: bytes, reply: bytes) -> bytes | None:
        return b"" if request.startswith(b"PUT") and next(lost, False) else None

    with through_a_faulty_proxy(s3_server, fault) as proxy:
        assert S3Store("s3://aman/lost").put("object", b"content")
        assert proxy.faults == 1
    assert not S3Store("s3://aman/lost").put("object", b"other")
    assert S3Store("s3://aman/lost").get("object") == b"content"


@pytest.mark.slow
def test_a_server_killed_and_started_again_loses_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import seaweed

    server = seaweed.start(tmp_path)
    keys = {name: server.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    _client.cache_clear()
    try:
        client().create_bucket(Bucket="aman")
        store, written = S3Store("s3://aman/killed"), {}

        def write() -> None:
            for number in range(60):
                content = os.urandom(20_000)
                assert store.put(f"o/{number}", content)
                written[f"o/{number}"] = content

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            while len(written) < 15:
                time.sleep(0.01)
            seaweed.stop(server, signal.SIGKILL)
            server = seaweed.start(tmp_path, keys, server.port)
            writing.result(timeout=120)
        assert len(written) == 60
        assert {name: store.get(name) for name in written} == written
    finally:
        seaweed.stop(server)
        monkeypatch.undo()
        _client.cache_clear()


# Upkeep


def test_clean_finds_leftovers_and_never_what_a_result_leads_to(cache: Cache, store: Store) -> None:
    for number in range(4):
        cache.publish("kind", f"{number:064x}", f"content {number}".encode())
    store.put(f"blobs/00/{'0' * 64}", b"nobody's")
    replace(store, blobs(store)[1], b"damaged")
    for number in range(4):
        cache.read("kind", f"{number:064x}")
    assert list(removable(store)) == []  # all of it is young
    names = {name for name, _, _ in removable(store, grace=-1)}
    assert f"blobs/00/{'0' * 64}" in names and sum(name.startswith("aside/") for name in names) >= 1
    for name in names:
        store.delete(name)
    found = [cache.read("kind", f"{number:064x}") for number in range(4)]
    assert sum(content is None for content in found) <= 1
    assert [name for name, _, _ in removable(store, grace=-1) if name.startswith("blobs/00")] == []


def test_verify_reads_everything_and_sets_damage_aside(cache: Cache, store: Store) -> None:
    for number in range(5):
        cache.publish("kind", f"{number:064x}", f"content {number}".encode())
    replace(store, blobs(store)[2], b"damaged")
    said: list[str] = []
    assert verify(store, said.append) == (4, 1)
    assert len(said) == 1 and status(store).aside == 1
    assert status(store).results == {"kind": 5} and status(store).blobs == 4
    assert verify(store, said.append) == (4, 0)


def test_preparation_into_a_folder_and_into_s3_gives_the_same_digests(s3_server: Server, tmp_path: Path) -> None:
    from small import small_database

    from aman.methods import variant
    from aman.models.settings import RECIPES
    from cluster.experiment.plan import Request, make_plan
    from cluster.features.prepare import prepare_clip

    tiny = {"align": "none", "magnifier": "linear", "grid_frames": 2, "grid_factors": 2, "k": 2, "n": 2}
    recipe = variant(RECIPES["quick"], frozen="layer1", **tiny)
    root = small_database(tmp_path / "release", 2, 2)
    found = []
    for uri in (str(tmp_path / "store"), "s3://aman/prepared"):
        plan = make_plan(Request(database="synthetic", root=root, recipe=recipe, store=uri))
        for clip in plan.clips_without_inputs():
            prepare_clip(clip, plan.inputs, plan.cache)
        assert not plan.clips_without_inputs()
        found.append(sorted(name for name in plan.store.names("") if name.startswith(("blobs", "refs"))))
    assert found[0] == found[1] and len(found[0]) == 16
