"""Where a clip's bytes come from, this machine's disk, the task or a bucket, nothing else changes: the same index, keys
and features, and an error that names the file."""

import csv
import hashlib
import os
import pickle
import secrets
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from seaweed import Server
from small import GREY, LEAST, samm_row, small_database, small_samm, small_smic, write_image
from test_cluster_storage import through_a_faulty_proxy

from aman.databases import Clip, Index, reader_for
from aman.errors import DataError, UsageError
from cluster.experiment.plan import Plan, Request, make_plan
from cluster.features import tasks
from cluster.features.prepare import prepare_clip
from cluster.features.tasks import prepare
from cluster.machines.session import Slots, ray_session
from cluster.store.local_copies import near_folder
from cluster.store.releases import BucketRelease, ObjectPath, clip_reader, fetch, open_release, read_file
from cluster.store.s3 import _client

IMAGE = "CASME2_RAW_selected/sub01/EP01_01/img10.jpg"


def upload(folder: Path) -> str:
    """Put a folder into the bucket as any tool would; its URI, which ends like the folder."""
    uri = f"s3://aman/{secrets.token_hex(6)}/{folder.name}"
    client = _client(os.getpid())

    def put(path: Path) -> None:
        key = f"{uri.removeprefix('s3://aman/')}/{path.relative_to(folder).as_posix()}"
        client.put_object(Bucket="aman", Key=key, Body=path.read_bytes())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, [path for path in folder.rglob("*") if path.is_file()]))
    return uri


def place(uri: str, name: str) -> dict[str, str]:
    return {"Bucket": "aman", "Key": f"{uri.removeprefix('s3://aman/')}/{name}"}


def plan_of(root: str | Path, store: str | Path, database: str = "synthetic") -> Plan:
    return make_plan(Request(database=database, root=root, recipe=LEAST, store=str(store)))


def prepared(plan: Plan) -> list[str]:
    """Names of all objects once every clip is prepared in this process."""
    for clip in plan.clips_without_inputs():
        done = prepare_clip(clip, plan.inputs, plan.cache)
        assert done.error is None, done.error
    return sorted(name for name in plan.store.names("") if name.startswith(("blobs", "refs")))


def relocated(index: Index, old: str | Path, new: str | Path) -> tuple[Index, list[tuple[str, ...]]]:
    """The index without its frames, and their names as they would be in another place."""
    frames = [tuple(str(frame).replace(str(old), str(new)) for frame in clip.frames) for clip in index]
    return replace(index, clips=tuple(replace(clip, frames=()) for clip in index)), frames


def index_of(root: str | Path, database: str) -> Index:
    with open_release(root) as release:
        return release.index(reader_for(database))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small release on disk."""
    return small_database(tmp_path / "release", 2, 2)


@pytest.fixture
def uri(folder: Path, s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same in a bucket, and no copy of it on this machine."""
    monkeypatch.setenv("AMAN_LOCAL_CACHE", str(tmp_path / "near"))
    return upload(folder)


# The same whichever way


def test_a_release_in_a_bucket_gives_the_keys_and_features_of_its_folder(
    uri: str, folder: Path, tmp_path: Path
) -> None:
    here, there = plan_of(folder, tmp_path / "one"), plan_of(uri, tmp_path / "two")
    assert [replace(plan, clip=None) for plan in here.clips.values()] == [  # pyrefly: ignore[bad-argument-type]
        replace(plan, clip=None)  # pyrefly: ignore[bad-argument-type]
        for plan in there.clips.values()
    ]
    assert (here.selection.fingerprint, here.remarks) == (there.selection.fingerprint, there.remarks)
    assert str(there.clips["synthetic/sub01/EP01_01"].clip.frames[1]) == f"{uri}/{IMAGE}"
    shutil.rmtree(folder.parent / "release" / "CASME2_RAW_selected" / "sub02")  # of no use to a bucket's release
    here.clips = {name: clip for name, clip in here.clips.items() if "sub01" in name}
    there_all = prepared(there)
    assert len(there_all) == 4 * 4
    assert {name for name in prepared(here) if "refs" in name} < set(there_all)


def casme2(root: Path) -> Path:
    return small_database(root, 2, 2, release=False)


def samm(root: Path) -> Path:
    return small_samm(root, samm_row(), samm_row("007", "007_1_1", apex=500), samm_row("008", "none"))


def smic(root: Path) -> Path:
    small_smic(root, "s1/micro/negative/s1_ne_01", "s2/micro/surprise/s2_sur_01", "NIR/s1/micro/negative/s1_ne_01")
    return root


def composite(root: Path) -> Path:
    for name, make in (("c2", casme2), ("samm", samm), ("smic", smic)):
        (root / name).mkdir(parents=True)
        make(root / name)
    (root / "combined_3class_gt.csv").write_text("casme2,sub01,EP01_01,1\nsamm,006,006_1_2,0\n")
    return root


@pytest.mark.parametrize(
    ("database", "make"), [("casme2", casme2), ("samm", samm), ("smic", smic), ("megc2019", composite)]
)
def test_the_index_of_every_layout_is_that_of_the_folder_problems_included(
    s3_server: Server, tmp_path: Path, database: str, make: Callable[[Path], Path]
) -> None:
    (tmp_path / "release").mkdir()
    root = make(tmp_path / "release")
    uri = upload(root)
    here, there = index_of(root, database), index_of(uri, database)
    assert here.clips
    assert relocated(here, root, uri) == relocated(there, "", "")
    assert all(isinstance(frame, ObjectPath) for clip in there for frame in clip.frames)


def test_a_table_in_a_bucket_names_folders_beside_it(s3_server: Server, tmp_path: Path) -> None:
    root = tmp_path / "own"
    (root / "a").mkdir(parents=True)
    for number in range(3):
        write_image(root / "a" / f"{number}.png", GREY)
    table = root / "table.csv"

    def write(frames: str) -> None:
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([["clip", "subject", "label", "frames"], ["one", "1", "x", frames]])

    write("a")
    uri = upload(root)
    for end in ("", "/", "/table.csv"):
        here, there = index_of(table if end == "/table.csv" else root, "csv"), index_of(uri + end, "csv")
        assert relocated(here, root, uri) == relocated(there, "", "") and len(there.clips) == 1
    write(str(root / "a"))
    uri = upload(root)
    with pytest.raises(DataError, match=f"frames in {root}/a, outside of {uri}"):
        index_of(uri, "csv")
    write("../own/a")
    uri = upload(root)
    assert relocated(index_of(root, "csv"), f"{root}/../own", uri) == relocated(index_of(uri, "csv"), "", "")
    write("../b")
    (problem,) = index_of(upload(root), "csv").problems
    assert "no numbered image in ../b" in problem.what


def test_check_database_says_the_same_of_a_bucket(
    s3_server: Server, here: Path, call_job: Callable[..., tuple[int, str]]
) -> None:
    from jobs import check_database

    root = small_database(here / "release", 2, 2, release=False)
    (root / IMAGE).write_bytes((root / IMAGE).read_bytes()[:-300])
    write_image(root / IMAGE.replace("sub01", "sub02"), GREY)
    uri = upload(root)
    found = [call_job(check_database, "--database", "casme2", "--root", where) for where in (root, uri)]
    assert found[0] == found[1] and found[0][0] == 4
    assert f"{IMAGE}, row 2: an image that is cut off" in found[0][1]


def test_a_bucket_can_be_the_root_of_protocols_and_score(
    uri: str, here: Path, call_job: Callable[..., tuple[int, str]]
) -> None:
    from jobs import protocols

    code, text = call_job(protocols, "synthetic", "--root", uri)
    assert code == 0 and plan_of(uri, here / "store").selection.fingerprint in text


def test_an_object_path_is_a_name_that_travels() -> None:
    path = ObjectPath("s3:", "bucket", "folder", "img 1.jpg")
    assert str(path) == f"{path}" == "s3://bucket/folder/img 1.jpg"
    assert pickle.loads(pickle.dumps(path)) == path and isinstance(pickle.loads(pickle.dumps(path)), ObjectPath)
    assert ObjectPath(str(path)) == path and str(path.parent) == "s3://bucket/folder"
    assert str(path.relative_to(path.parent)) == "img 1.jpg"


# What is fetched


def test_a_second_plan_fetches_nothing_but_the_listing(
    uri: str, tmp_path: Path, requests: Callable[[], list[str]]
) -> None:
    first = plan_of(uri, tmp_path / "store")
    inside = uri.removeprefix("s3://")
    asked = Counter(one.split()[0] for one in requests() if inside in one)
    frames = sum(len(plan.clip.frames) for plan in first.clips.values())
    assert asked == {"ListObjectsV2": 1, "GetObject": frames + 2}  # the sheet and release.json
    second = plan_of(uri, tmp_path / "store")
    assert [one for one in requests() if inside in one] == [f"ListObjectsV2 {inside}/"]
    assert second.clips == first.clips


def test_a_second_plan_elsewhere_fetches_the_sheets_alone(
    uri: str, tmp_path: Path, requests: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"s3://aman/{secrets.token_hex(6)}"
    first = plan_of(uri, store)
    monkeypatch.setenv("AMAN_LOCAL_CACHE", str(tmp_path / "another machine"))
    requests()
    assert plan_of(uri, store).clips == first.clips
    got = [one.rpartition("/")[2] for one in requests() if uri.removeprefix("s3://") in one and "GetObject" in one]
    assert sorted(got) == ["CASME2-coding-20140508.xlsx", "release.json"]


def test_an_object_that_changed_between_two_plans_is_the_only_one_fetched_again(
    uri: str, folder: Path, tmp_path: Path, requests: Callable[[], list[str]]
) -> None:
    first = plan_of(uri, tmp_path / "store")
    other = (folder / IMAGE).read_bytes() + b"more"
    _client(os.getpid()).put_object(**place(uri, IMAGE), Body=other)
    requests()
    second = plan_of(uri, tmp_path / "store")
    assert [one for one in requests() if "GetObject" in one] == [f"GetObject {uri.removeprefix('s3://')}/{IMAGE}"]
    changed = [name for name in first.clips if first.clips[name] != second.clips[name]]
    assert changed == ["synthetic/sub01/EP01_01"]
    assert second.clips[changed[0]].digests[1] == hashlib.sha256(other).hexdigest()


def test_a_plan_that_is_stopped_remembers_what_it_fetched(
    uri: str, tmp_path: Path, requests: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cluster.store.open import open_store

    store = open_store(str(tmp_path / "store"))

    def stop(release: Any) -> None:
        index = release.index(reader_for("synthetic"))
        release.digests(index.clips[0].frames)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_release(uri, store) as release:
        stop(release)
    requests()
    plan_of(uri, tmp_path / "store")
    assert sum("GetObject" in one and "EP01_01" in one and "sub01" in one for one in requests()) == 0


def test_digests_that_were_damaged_in_the_store_are_learned_anew(
    uri: str, tmp_path: Path, requests: Callable[[], list[str]]
) -> None:
    first = plan_of(uri, tmp_path / "store")
    (segment,) = first.store.names("raw")
    path = tmp_path / "store" / segment
    path.write_bytes(path.read_bytes().replace(b'"', b"'", 1))
    requests()
    assert plan_of(uri, tmp_path / "store").clips == first.clips
    assert sum("GetObject" in one for one in requests()) == 18
    assert len(list(first.store.names("aside"))) == 1 and list(first.store.names("raw")) == [segment]


def test_a_worker_fetches_a_clip_once_and_then_reads_its_copy(
    uri: str, tmp_path: Path, requests: Callable[[], list[str]]
) -> None:
    plan = plan_of(uri, tmp_path / "store")
    shutil.rmtree(near_folder().folder)  # as on another machine
    clip = plan.clips["synthetic/sub01/EP01_01"]
    requests()
    for _ in range(2):
        read = clip_reader(clip.clip.frames, clip.digests)
        assert [hashlib.sha256(read(path)).hexdigest() for path in clip.clip.frames] == list(clip.digests)
    assert sum("GetObject" in one for one in requests()) == len(clip.digests)
    near_folder()._path(clip.digests[0]).write_bytes(b"damaged")
    assert clip_reader(clip.clip.frames, clip.digests)(clip.clip.frames[0])
    assert sum("GetObject" in one for one in requests()) == 1


# What goes wrong


def test_an_empty_prefix_a_missing_bucket_and_a_wrong_name_are_one_sentence(s3_server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--root s3://aman/nothing/here without a single object.*aws s3 sync"):
        plan_of("s3://aman/nothing/here", tmp_path)
    with pytest.raises(UsageError, match=r"--root s3://nobody/x/, which cannot be used \(NoSuchBucket\)"):
        plan_of("s3://nobody/x", tmp_path)
    with pytest.raises(UsageError, match="--root with a credential") as caught:
        plan_of("s3://key:secret@aman/x", tmp_path)
    assert "secret" not in str(caught.value)


def test_what_a_reader_says_names_the_bucket(uri: str, tmp_path: Path) -> None:
    client = _client(os.getpid())
    client.delete_object(**place(uri, "release.json"))
    with pytest.raises(DataError, match=f"got {uri} without a readable release.json"):
        plan_of(uri, tmp_path / "store")
    client.delete_object(**place(uri, "CASME2-coding-20140508.xlsx"))
    with pytest.raises(DataError, match=rf"no CASME2-coding-\*.xlsx \(or .csv\) under {uri}"):
        plan_of(uri, tmp_path / "store")


@pytest.mark.parametrize("name", ["../outside.csv", "a//b.jpg", "a/./b.jpg"])
def test_an_object_whose_name_is_no_files_is_refused(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Listed by hand: this server would tidy the name up."""
    monkeypatch.setattr("cluster.store.s3.S3Store.objects", lambda store: iter([(name, 1, '"x"')]))
    with pytest.raises(DataError, match=r"no name of a file"):
        plan_of(uri, tmp_path / "store")


def test_a_name_that_no_disk_takes_and_markers_of_folders(uri: str, tmp_path: Path) -> None:
    client = _client(os.getpid())
    client.put_object(**place(uri, ""), Body=b"")
    client.put_object(**place(uri, "CASME2_RAW_selected/sub03/"), Body=b"")
    assert len(plan_of(uri, tmp_path / "store").clips) == 4
    with ThreadPoolExecutor(1) as pool:
        release = BucketRelease(uri, pool)
        release.listed["a" * 300] = (1, "x")
        with pytest.raises(DataError, match=r"cannot be shown as a file \(File name too long"):
            release.index(reader_for("synthetic"))


def test_an_object_that_goes_after_it_was_listed_is_named(uri: str, tmp_path: Path) -> None:
    """Before its digest is known, and before its bytes are used."""
    with open_release(uri) as release:
        index = release.index(reader_for("synthetic"))
        _client(os.getpid()).delete_object(**place(uri, IMAGE))
        with pytest.raises(DataError, match=f"got {uri}/{IMAGE}: no such object"):
            release.digests(index.clips[0].frames)
    with pytest.raises(DataError, match="1 of 4 clips that cannot be used"):
        plan_of(uri, tmp_path / "store")


def test_an_object_that_changed_after_the_plan_is_not_taken_for_what_was_planned(
    uri: str, folder: Path, tmp_path: Path
) -> None:
    plan = plan_of(uri, tmp_path / "store")
    _client(os.getpid()).put_object(**place(uri, IMAGE), Body=(folder / IMAGE).read_bytes() + b"more")
    clip = plan.clips["synthetic/sub01/EP01_01"]
    near_folder().drop(clip.digests[1])
    done = prepare_clip(clip, plan.inputs, plan.cache)
    assert done.error is not None and f"{uri}/{IMAGE}, which changed after the run was planned" in str(done.error)
    _client(os.getpid()).delete_object(**place(uri, IMAGE))
    done = prepare_clip(clip, plan.inputs, plan.cache)
    assert done.error is not None and f"{uri}/{IMAGE}: no such object" in str(done.error)
    assert list(plan.store.names("refs")) == []


def test_a_file_that_changed_after_the_plan_is_not_taken_for_what_was_planned(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder, tmp_path / "store")
    clip = plan.clips["synthetic/sub01/EP01_01"]
    files = [path.read_bytes() for path in clip.clip.frames]
    (folder / IMAGE).write_bytes(files[1] + b"more")
    for sent in (None, [files[0], files[1] + b"more", *files[2:]]):
        done = prepare_clip(clip, plan.inputs, plan.cache, sent)
        assert done.error is not None and f"{folder}/{IMAGE}, which changed" in str(done.error)
    assert prepare_clip(clip, plan.inputs, plan.cache, files).error is None


def damage(how: str, times: int) -> Callable[[bytes, bytes], bytes | None]:
    """Cut so many answers that carry an image, or flip a bit of each, another one each time: two answers that are equal
    count as sound where the ETag is no MD5."""
    left = [times]

    def fault(request: bytes, reply: bytes) -> bytes | None:
        if not request.startswith(b"GET") or b"img10.jpg" not in request.split(b"\r\n")[0] or not left[0]:
            return None
        left[0] -= 1
        at = len(reply) - 9 - left[0]
        return reply[:-200] if how == "cut" else reply[:at] + bytes([reply[at] ^ 4]) + reply[at + 1 :]

    return fault


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_body_that_was_damaged_on_its_way_is_asked_for_again(
    uri: str, folder: Path, tmp_path: Path, s3_server: Server, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Where its digest is not known yet, and where it is."""
    with through_a_faulty_proxy(s3_server, damage(how, 2)) as proxy:
        plan = plan_of(uri, tmp_path / "store")
        assert proxy.faults == 2
    here = plan_of(folder, tmp_path / "other")
    assert [one.digests for one in plan.clips.values()] == [one.digests for one in here.clips.values()]
    clip = plan.clips["synthetic/sub01/EP01_01"]
    monkeypatch.setenv("AMAN_LOCAL_CACHE", str(tmp_path / "empty"))
    with through_a_faulty_proxy(s3_server, damage(how, 1)) as proxy:
        assert read_file(clip.clip.frames[1], clip.digests[1]) == (folder / IMAGE).read_bytes()
        assert proxy.faults == 1


def test_an_object_whose_etag_is_no_md5_is_sound_when_two_answers_agree(uri: str, s3_server: Server) -> None:
    client, where = _client(os.getpid()), place(uri, "img10.jpg")
    content = os.urandom(3000)
    upload_id = client.create_multipart_upload(**where)["UploadId"]
    part = client.upload_part(**where, UploadId=upload_id, PartNumber=1, Body=content)
    parts = [{"ETag": part["ETag"], "PartNumber": 1}]
    client.complete_multipart_upload(**where, UploadId=upload_id, MultipartUpload={"Parts": parts})
    path = ObjectPath(f"{uri}/img10.jpg")
    asked, flip = [], damage("flipped", 1)

    def fault(request: bytes, reply: bytes) -> bytes | None:
        asked.append(request)
        return flip(request, reply)

    with through_a_faulty_proxy(s3_server, fault) as proxy:
        found, etag = fetch(path)
    assert found == content and etag.strip('"') != hashlib.md5(content).hexdigest()
    assert (proxy.faults, len(asked)) == (1, 3)


# Files that travel with the task


def content_of(clip: Clip) -> list[bytes]:
    return [path.read_bytes() for path in clip.frames]


@pytest.mark.slow
def test_a_worker_that_cannot_see_the_folder_prepares_the_same_from_the_bytes_it_is_sent(
    folder: Path, tmp_path: Path
) -> None:
    here, there = plan_of(folder, tmp_path / "one"), plan_of(folder, tmp_path / "two")
    wanted = prepared(here)
    sent = {name: content_of(plan.clip) for name, plan in there.clips.items()}
    shutil.rmtree(folder)
    for name, clip in there.clips.items():
        failed = prepare_clip(clip, there.inputs, there.cache)
        assert failed.error is not None and f"{clip.clip.frames[0]}: No such file" in str(failed.error)
        assert prepare_clip(clip, there.inputs, there.cache, sent[name]).error is None
    assert prepared(there) == wanted


def test_a_file_that_cannot_be_decoded_has_the_same_name_whichever_way_it_came(folder: Path, tmp_path: Path) -> None:
    (folder / IMAGE).write_bytes((folder / IMAGE).read_bytes()[:-200])
    plan = plan_of(folder, tmp_path / "store")
    clip = plan.clips["synthetic/sub01/EP01_01"]
    errors = [prepare_clip(clip, plan.inputs, plan.cache, sent).error for sent in (None, content_of(clip.clip))]
    assert str(errors[0]) == str(errors[1]) and f"{folder}/{IMAGE}, an image that is cut off" in str(errors[0])


def test_clips_are_sent_only_where_the_session_was_there_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def joined() -> bool:
        with ray_session() as slots:
            return not slots.ours

    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2})
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    assert joined()
    started: list[object] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **how: started.append(how["address"]))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    assert not joined()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert joined()
    assert started == ["local", "127.0.0.1:6379"]


def test_clips_are_sent_to_workers_a_few_at_a_time_and_a_bad_one_stops_no_other(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers see nothing of this: the files are gone, and only this process has their bytes."""
    folder = small_database(tmp_path / "release", 4, 4)
    plan = plan_of(folder, tmp_path / "store")
    files = {path: path.read_bytes() for clip in plan.clips.values() for path in clip.clip.frames}
    lost = plan.clips["synthetic/sub02/EP01_01"].clip.frames[2]
    shutil.rmtree(folder)
    sent, done, most = 0, 0, 0

    def read(path: Path) -> bytes:
        nonlocal sent, most
        if path == lost:
            raise DataError(got=f"{path}: gone", expected="a file", fix="none")
        sent += path.name == "img9.jpg"  # the first of each clip
        most = max(most, sent - done)
        return files[path]

    def say(line: str) -> None:
        nonlocal done
        done += 1

    monkeypatch.setattr(tasks, "read_bytes", read)
    room = Slots(cpus=2, gpus=0)
    monkeypatch.setattr(tasks, "capacity", lambda: room)
    report = prepare(list(plan.clips.values()), plan.inputs, plan.store.uri, send_files=True, say=say)
    assert (report.computed, done) == (15, 16)
    (failed,) = report.failed
    assert failed.clip_id == "synthetic/sub02/EP01_01" and f"{lost}: gone" in str(failed.error)
    assert 2 < most <= room.in_flight
    assert len(list(plan.store.names("refs/features"))) == 15


def test_the_job_prepares_the_same_from_a_folder_and_from_a_bucket(
    ray_cluster: None, uri: str, folder: Path, here: Path, call_job: Callable[..., tuple[int, str]]
) -> None:
    from jobs import prepare as job

    tiny = "--align none --magnifier linear --trunk-size 64 --grid-frames 1 --grid-factors 1 --k 1 --n 1".split()
    found = []
    for root, store in ((folder, here / "one"), (uri, here / "two")):
        code, text = call_job(job, "--root", root, *tiny, "--store", store)
        assert code == 0 and "4 of 4 clips computed" in text, text
        code, text = call_job(job, "--root", root, *tiny, "--store", store)
        assert code == 0 and "0 of 4 clips computed" in text, text
        found.append(sorted(p.relative_to(store).as_posix() for p in store.rglob("*/*/*") if p.is_file()))
    assert [name for name in found[1] if not name.startswith("raw/")] == found[0] and len(found[0]) == 16


def test_planning_a_bucket_holds_no_clip_in_memory(s3_server: Server, tmp_path: Path) -> None:
    import tracemalloc

    def peak(subjects: int) -> tuple[int, int]:
        root = small_database(tmp_path / str(subjects), subjects, 3)
        for path in root.rglob("*.jpg"):
            path.write_bytes(path.read_bytes() + os.urandom(150_000))
        where = upload(root)
        tracemalloc.start()
        plan_of(where, tmp_path / "store")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most, sum(path.stat().st_size for path in root.rglob("*.jpg"))

    peak(2)
    few, small = peak(3)
    many, large = peak(6)
    assert many - few < 0.2 * (large - small)


def test_videos_in_a_bucket_give_the_clips_and_keys_of_their_folder(
    s3_server: Server, tmp_path: Path, requests: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fuzz_pictures import video_bytes

    monkeypatch.setenv("AMAN_LOCAL_CACHE", str(tmp_path / "near"))
    folder = tmp_path / "own"
    folder.mkdir()
    rows = ["a,x,joy,,3,,a.avi", "b,y,joy,2,4,9,b.mp4", "c,y,fear,1,,6,a.avi", "d,x,fear,,,,d"]
    (folder / "clips.csv").write_text("\n".join(["clip,subject,label,onset,apex,offset,frames", *rows]))
    for name, codec in (("a.avi", "FFV1"), ("b.mp4", "mp4v"), ("d.mkv", "FFV1")):
        (folder / name).write_bytes(video_bytes(codec, name[-4:]))
    uri = upload(folder)
    here = plan_of(folder, tmp_path / "first", "csv")
    there = plan_of(uri, tmp_path / "second", "csv")
    assert {name: plan.keys for name, plan in there.clips.items()} == {n: plan.keys for n, plan in here.clips.items()}
    assert [(c.clip.onset, c.clip.offset) for _, c in sorted(there.clips.items())] == [(1, 12), (2, 9), (1, 6), (1, 12)]
    assert prepared(there) == prepared(here)
    shutil.rmtree(tmp_path / "near")
    requests()
    plan_of(uri, tmp_path / "second", "csv")
    fetched = {one.rpartition("/")[2] for one in requests() if "GetObject" in one}
    assert "b.mp4" not in fetched and {"a.avi", "d.mkv"} <= fetched  # only where a length is asked for
