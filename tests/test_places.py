"""A place that cannot be written is said before anything is computed for it, by --plan too."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from aman.errors import UsageError
from aman.places import check_file, check_folder, free_below
from jobs.command_line import parse

Call = Callable[..., tuple[int, str]]


def test_a_place_that_can_be_made_is_looked_at_and_nothing_is_left_there(tmp_path: Path) -> None:
    assert free_below(tmp_path / "a/b") > 0
    check_file(tmp_path / "a/b.json", "--json")
    check_folder(tmp_path / "a", "--out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["file/x", "/proc/x/y"])
def test_a_place_that_cannot_be_made_is_refused_by_the_name_of_its_option(place: str, here: Path) -> None:
    (here / "file").touch()
    with pytest.raises(UsageError, match=rf"got {place}, which cannot be written .*name another --json"):
        check_file(Path(place), "--json")
    with pytest.raises(UsageError, match=rf"got {place}, which cannot be written .*name another --folder"):
        check_folder(Path(place), "--folder")
    (here / "file").unlink()
    (here / "file").mkdir()
    with pytest.raises(UsageError, match=r"--json file, which cannot be written \(it is a folder\)"):
        check_file(Path("file"), "--json")


@pytest.mark.parametrize("job", ["loso", "tune", "compare", "paper", "ablation"])
def test_a_job_that_trains_looks_at_its_folder_first(job: str, here: Path) -> None:
    (here / "file").touch()
    words = ["--plan", "--out", "file", *(["--space", "level_ceiling"] if job == "tune" else [])]
    with pytest.raises(UsageError, match="got file, which cannot be written"):
        parse(import_module(f"jobs.{job}").Options, None, words)


@pytest.mark.parametrize(
    ("job", "words", "said"),
    [
        ("train", ("--out", "file/m.safetensors"), "got file/m.safetensors, which cannot be written"),
        ("train", ("--out", "m.txt"), "got --out m.txt; expected a file whose name ends in .safetensors"),
        ("train", ("--store", "file/store"), "got --store 'file/store', which cannot be used"),
        ("loso", ("--store", "/proc/x/store"), "got --store /proc/x/store, which cannot be used"),
        (
            "compare",
            ("--store", "/proc/x/store", "--method", "ststnet"),
            "got --store /proc/x/store, which cannot be used",
        ),
        ("loso", ("--json", "file/x.json"), "got file/x.json, which cannot be written"),
        ("train_magnifier", ("--out", "file/m.safetensors"), "got file/m.safetensors, which cannot be written"),
        ("train_magnifier", ("--folder", "file"), "got file, which cannot be written"),
        ("pretrain", ("--faces", "none.csv", "--out", "file/m.safetensors"), "got file/m.safetensors, which cannot"),
    ],
)
def test_a_plan_says_what_cannot_be_written(
    job: str, words: tuple[str, ...], said: str, here: Path, call_job: Call
) -> None:
    """The database is not there: a plan without these options would end with code 0."""
    (here / "file").touch()
    code, printed = call_job(import_module(f"jobs.{job}"), "--plan", *words)
    assert code == 2 and said in printed
