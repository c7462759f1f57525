"""Faults of the store: damaged and deleted objects, damaged replies, a server that dies, a full disk."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aman.errors import DataError
from faults.faulty_proxy import no_fault
from faults.hosts import command
from faults.lab import CLIPS, SUBJECTS, Lab, Row

FAULTS_A_ROUND = 10


def test_an_undisturbed_run_on_ray_gives_the_results_of_a_plain_loop(ray_lab: Lab) -> None:
    assert ray_lab.undisturbed.results == ray_lab.truth()
    assert len(ray_lab.truth()) == SUBJECTS


def hit_objects(lab: Lab, rounds: int, fault: str, hit: Callable[[Path], None]) -> Row:
    """Hit objects of a finished store at random, in another copy of the store each round, and run the benchmark."""
    found, clips, folds, begun = [], 0, 0, time.monotonic()
    for number in range(rounds):
        store = lab.folder / f"{hit.__name__}{number}"
        shutil.copytree(lab.folder / "undisturbed", store)
        every = sorted(path for kind in ("blobs", "refs") for path in (store / kind).rglob("*") if path.is_file())
        for path in lab.draw.sample(every, FAULTS_A_ROUND):
            hit(path)
        one = lab.run(str(store))
        found.append(one.results)
        clips, folds = clips + one.clips, folds + one.folds
    return lab.row(fault, rounds * FAULTS_A_ROUND, found, time.monotonic() - begun, clips=clips, folds=folds)


def test_flipped_bits_on_disk_change_no_result(
    ray_lab: Lab, record: Callable[[Row], None], pytestconfig: pytest.Config
) -> None:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[ray_lab.draw.randrange(len(content))] ^= 1 << ray_lab.draw.randrange(8)
        path.write_bytes(content)

    record(hit_objects(ray_lab, pytestconfig.getoption("--rounds"), "bits flipped on disk (blobs and names)", flip))


def test_deleted_blobs_and_names_change_no_result(
    ray_lab: Lab, record: Callable[[Row], None], pytestconfig: pytest.Config
) -> None:
    record(hit_objects(ray_lab, pytestconfig.getoption("--rounds"), "blobs and names deleted", Path.unlink))


def test_replies_of_the_s3_server_that_are_cut_or_flipped_change_no_result(
    ray_lab: Lab, record: Callable[[Row], None]
) -> None:
    """Every third object that is read: by turns one bit of it is flipped, or its second half is missing."""
    counted = 0

    def fault(request: bytes, reply: bytes) -> bytes | None:
        nonlocal counted
        head, _, body = reply.partition(b"\r\n\r\n")
        read = request.startswith(b"GET ") and b"list-type" not in request and reply.startswith(b"HTTP/1.1 200")
        if not read or not body:
            return None
        counted += 1
        if counted % 3:
            return None
        if counted % 2:
            return reply[: -(len(body) // 2) or None]
        where = ray_lab.draw.randrange(len(body))
        return head + b"\r\n\r\n" + body[:where] + bytes([body[where] ^ 1]) + body[where + 1 :]

    ray_lab.proxy.fault, before = fault, ray_lab.proxy.faults
    try:
        first, again = ray_lab.run("s3://aman/damaged"), ray_lab.run("s3://aman/damaged")
    finally:
        ray_lab.proxy.fault = no_fault
    faults, seconds = ray_lab.proxy.faults - before, first.seconds + again.seconds - ray_lab.undisturbed.seconds
    assert faults > 0
    clips, folds = first.clips - CLIPS, first.folds - SUBJECTS
    found = [first.results, again.results]
    record(ray_lab.row("answers of the S3 server cut or flipped", faults, found, seconds, clips=clips, folds=folds))


def test_an_s3_server_that_is_killed_and_started_again_costs_no_result(
    ray_lab: Lab, record: Callable[[Row], None]
) -> None:
    """Once while clips are prepared, and once while folds are trained."""
    marks = ["clip 4/", "fold 2/"]

    def say(line: str) -> None:
        if marks and line.startswith(marks[0]):
            marks.pop(0)
            ray_lab.kill_s3()

    one = ray_lab.run("s3://aman/killed", say)
    assert not marks
    seconds, clips, folds = one.seconds - ray_lab.undisturbed.seconds, one.clips - CLIPS, one.folds - SUBJECTS
    name = "the S3 server killed and started again"
    record(ray_lab.row(name, 2, [one.results], seconds, clips=clips, folds=folds))


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of limited size is mounted by root")
def test_a_full_disk_is_said_in_one_sentence_and_the_command_goes_on_where_there_is_room(
    ray_lab: Lab, record: Callable[[Row], None]
) -> None:
    disk = ray_lab.folder / "disk"
    disk.mkdir()
    needed = sum(path.stat().st_size for path in (ray_lab.folder / "undisturbed").rglob("*") if path.is_file())
    command("mount", "-t", "tmpfs", "-o", f"size={needed // 2 // 4096 * 4}k", "tmpfs", str(disk))
    try:
        begun = time.monotonic()
        with pytest.raises(DataError, match="full disk"):
            ray_lab.run(str(disk))
        command("mount", "-o", f"remount,size={needed * 4 // 1024}k", str(disk))
        one = ray_lab.run(str(disk))
        seconds = time.monotonic() - begun - ray_lab.undisturbed.seconds
    finally:
        command("umount", "-l", str(disk))
    clips = max(0, one.clips + 1 - CLIPS)
    record(ray_lab.row("a full disk, then room", 1, [one.results], seconds, clips=clips))
