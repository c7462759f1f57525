"""Estimates of `--plan`: from what was measured and kept, or none; and what planning needs of a machine."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from small import TINY_OPTIONS, small_database

from aman.errors import UsageError
from bench.scale import database
from cluster.experiment.room import room_text
from cluster.folds import timing
from cluster.store.folder import FolderStore
from cluster.store.names import TIMINGS, timing_name
from jobs import ablation, cache, loso, paper, prepare, tune

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "torchvision", "mlflow", "matplotlib", "ray", "sklearn", "dlib"}
MODULES = """
import runpy, sys
for line in sys.argv[1:]:
    sys.argv = line.split()
    sys.path.insert(0, sys.argv[0].rpartition("/")[0])
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code
    print("imported:", *sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""
"""Runs jobs one after another, each given as a line, and says after each what was imported."""

Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("release"), subjects=3, clips_per_subject=3)


@pytest.fixture
def plan(call_job: Callable[..., tuple[int, str]], whole: Path, here: Path) -> Call:
    """The last lines of a plan of loso."""

    def run(*more: object) -> tuple[int, str]:
        return call_job(loso, "--root", whole, *TINY_OPTIONS, "--here", "--store", here / "store", "--plan", *more)

    return run


def timings(here: Path) -> list[str]:
    return sorted(FolderStore(here / "store").names(""))


def test_a_plan_without_a_timing_says_so_and_how_to_have_one(plan: Call, here: Path) -> None:
    code, text = plan()
    assert code == 0
    assert "preparation: 9 clips, not timed on this machine yet" in text
    assert "training of aman: 3 folds, not timed on this machine yet" in text
    assert "estimate: unknown; the same command with --measure" in text
    assert list(here.iterdir()) == []


def test_a_plan_says_what_is_read_and_that_store_and_results_can_be_written(
    plan: Call, here: Path, whole: Path
) -> None:
    code, text = plan("--out", here / "mine")
    read = re.search(r"^to read: (\d+\.\d\d) GB in (\d+) files$", text, re.MULTILINE)
    assert code == 0 and read and 0 < int(read[2]) <= len(list(whole.rglob("*.jpg")))
    assert re.search(rf"^store: {here}/store can be written, \d+\.\d GB free$", text, re.MULTILINE)
    assert re.search(rf"^results: {here}/mine can be written, \d+\.\d GB free$", text, re.MULTILINE)
    assert list(here.iterdir()) == []


def test_a_plan_refuses_a_place_where_nothing_can_be_made(plan: Call, here: Path) -> None:
    (here / "file").touch()
    code, text = plan("--out", here / "file" / "mine")
    assert code == 2 and f"got {here}/file/mine, which cannot be written (Not a directory)" in text


def test_a_store_that_is_too_small_or_cannot_be_made_is_named(tmp_path: Path) -> None:
    (line,) = room_text(FolderStore(tmp_path / "store"), None, 1e18)
    assert line.endswith("less than the 1000000000.0 GB that the cache needs")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--store .+, which cannot be used .Not a directory"):
        room_text(FolderStore(tmp_path / "file/store"), None, 0)


def test_a_timing_is_measured_once_kept_and_used_by_every_later_plan(plan: Call, here: Path) -> None:
    code, text = plan("--measure")
    assert code == 0 and "not timed" not in text and "(minutes:seconds) with 1 CPU worker;" in text
    kept = timings(here)
    assert len(kept) == 2 and all(name.startswith(f"{TIMINGS}/") for name in kept)
    assert plan()[1] == text == plan("--measure")[1]
    assert timings(here) == kept
    other = plan("--rate", "0.5")[1]
    assert "training of aman: 3 folds, not timed" in other and "preparation: about" in other
    assert "estimate: more than " in other


def test_a_plan_says_how_much_room_the_cache_will_take(
    call_job: Callable[..., tuple[int, str]], whole: Path, here: Path
) -> None:
    where = ("--root", whole, "--method", "ststnet", "--align", "none", "--flow", "dis", "--store", here / "store")
    code, text = call_job(prepare, *where, "--here", "--plan", "--measure")
    (said,) = re.findall(r"^cache: about (\d+\.\d+) GB more, (\d+\.\d+) MB each$", text, flags=re.MULTILINE)
    assert code == 0 and not (here / "store" / "blobs").exists()
    assert call_job(prepare, *where, "--here")[0] == 0
    kept = sum(path.stat().st_size for path in (here / "store" / "blobs").rglob("*") if path.is_file())
    assert float(said[1]) == pytest.approx(kept / 9 / 1e6, rel=0.2, abs=0.01) and kept > 9e5
    assert float(said[0]) == pytest.approx(9 * float(said[1]) / 1e3, abs=0.006)
    assert "cache:" not in call_job(prepare, *where, "--here", "--plan")[1]


def test_a_timing_counts_for_machines_of_its_kind_alone(
    plan: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan("--measure")
    monkeypatch.setattr(timing, "machine", lambda: "another processor, 96 CPUs")
    assert plan()[1].count("not timed") == 2


def test_a_damaged_timing_is_none(plan: Call, here: Path) -> None:
    plan("--measure")
    for content in (b"", b"{}", b"[1e400]", b'["1"]', b"[-1]", b"[true]", b"[" * 3000, b"[1" + b",1" * 9999):
        assert len(timings(here)) == 2
        for name in timings(here):
            (here / "store" / name).write_bytes(content)
        assert "estimate: unknown" in plan()[1], content[:9]


def test_timings_are_counted_checked_and_removed_when_they_are_old(
    call_job: Callable[..., tuple[int, str]], here: Path
) -> None:
    store = FolderStore(here)
    ages = {timing_name("a" * 64): 100, timing_name("b" * 64): 2, timing_name("c" * 64): 0}
    for name, days in ages.items():
        store.replace(name, b"[0.5]")
        os.utime(here / name, (time.time() - days * 86400,) * 2)
    old, young, wrong = ages
    code, text = call_job(cache, "status", "--store", here)
    assert code == 0 and "3 timings" in text
    assert call_job(cache, "verify", "--store", here)[0] == 0
    (here / wrong).write_bytes(b"[NaN]")
    code, text = call_job(cache, "verify", "--store", here)
    assert code == 4 and f"damaged: {wrong} is no timing, set aside" in text
    code, text = call_job(cache, "clean", "--store", here)
    assert code == 0 and f"would remove {old} (5 bytes): a timing for estimates, measured 100 days ago" in text
    assert young not in text and len(list(store.names(TIMINGS))) == 2
    assert call_job(cache, "clean", "--store", here, "--delete")[0] == 0
    assert list(store.names(TIMINGS)) == [young]


def test_measuring_without_planning_is_refused(call_job: Callable[..., tuple[int, str]], whole: Path) -> None:
    for job in (loso, prepare, tune, paper, ablation):
        code, text = call_job(job, "--root", whole, "--measure")
        assert code == 2 and "--measure without --plan" in text


def modules_of(job: str, *arguments: object, cwd: Path) -> set[str]:
    """Packages that a job imports."""
    return modules_of_each([(job, *arguments)], cwd)[0]


def modules_of_each(commands: Sequence[tuple[object, ...]], cwd: Path) -> list[set[str]]:
    """Packages that are imported after each of some jobs, which one process runs one after another."""
    lines = [" ".join([str(ROOT / "jobs" / f"{job}.py"), *map(str, arguments)]) for job, *arguments in commands]
    command = [sys.executable, "-c", MODULES, *lines]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return [set(line.split()[1:]) for line in done.stderr.splitlines() if line.startswith("imported: ")]


PLANS = (
    "loso --recipe default --align none",
    "loso --method ststnet",
    "loso --method lbp-top --align none",
    "tune --recipe small --align none",
    "tune --recipe small --align none --search optuna --samples 2",
    "paper --align none",
    "prepare --align none",
)


def test_planning_imports_nothing_heavy_and_measuring_does(whole: Path, here: Path) -> None:
    commands = [(job, "--root", whole, "--plan", *more) for job, *more in map(str.split, PLANS)]
    measuring = ("loso", "--root", whole, *TINY_OPTIONS, "--plan", "--measure")
    *found, after = modules_of_each([*commands, measuring], here)
    assert {plan: HEAVY & modules for plan, modules in zip(PLANS, found, strict=True) if HEAVY & modules} == {}
    assert "torch" in after, "the line above could not fail"


def test_planning_many_clips_is_cheap(tmp_path: Path) -> None:
    """A tenth of what `bench/scale.py` plans: processor seconds and memory of the whole process."""
    root = database(tmp_path / "many", clips=1000, subjects=200)
    options = [
        "--database",
        "csv",
        "--root",
        str(root),
        "--plan",
        "--align",
        "none",
        "--store",
        str(tmp_path / "store"),
    ]
    program = (
        MODULES
        + "import time\nprint(time.process_time(), [line for line in open('/proc/self/status') if 'HWM' in line])"
    )
    command = [sys.executable, "-c", program, " ".join([str(ROOT / "jobs" / "loso.py"), *options])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "200 to train" in done.stdout
    found = re.fullmatch(r"([0-9.]+) \['VmHWM:\\t *([0-9]+) kB\\n'\]", done.stdout.splitlines()[-1])
    assert found and float(found[1]) < 10 and int(found[2]) < 400_000
