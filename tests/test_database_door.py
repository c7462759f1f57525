"""A database is one file: found by itself in its folder, or anywhere by its path, and nothing else knows its name."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small import GREY, small_database, write_image

from aman.databases import Clip, Database, Index, Protocol, databases, find, reader_for
from aman.errors import DataError, UsageError
from aman.making import ensure_database
from aman.protocols import protocol_for, protocol_named, protocols, published, published_accuracy, restrict, select
from jobs import check_database, score
from jobs import protocols as protocols_job
from jobs.command_line import parse, root_of

ROOT = Path(__file__).parents[1]
Call = Callable[..., tuple[int, str]]

TINY = """
from dataclasses import dataclass
from aman.databases import Clip, Database, Edition, Index, Protocol

@dataclass
class Row:
    subject: str
    label: str

ROWS = [Row("s1", "joy"), Row("s2", "rage"), Row("s2", "joy"), Row("s3", "fear")]

def read(root):
    frames = tuple(sorted(root.glob("*.png")))
    clips = [
        Clip(clip_id=f"tiny/{one.subject}/{place}", subject=f"tiny/{one.subject}", label=one.label, onset=1, apex=None,
             offset=len(frames), frames=frames)
        for place, one in enumerate(ROWS)
    ]
    return Index(database="tiny", clips=tuple(clips))

DATABASE = Database(
    name="tiny",
    title="Tiny",
    about="two images",
    read=read,
    protocols=(
        Protocol(
            name="tiny-2",
            database="tiny",
            classes=("joy", "anger"),
            labels={"tiny": {"joy": "joy", "rage": "anger"}},
            editions=(Edition(name="only", counts={"joy": 2, "anger": 1}, folds=2),),
            rule="joy and rage",
        ),
        Protocol(name="tiny-all", database="tiny", classes=(), labels={"tiny": {}}, rule="every label"),
    ),
)
"""


@pytest.fixture
def tiny(tmp_path: Path) -> tuple[Path, Path]:
    """A reader in a file of its own, and its release."""
    file, root = tmp_path / "reader" / "tiny.py", tmp_path / "release"
    for folder in (file.parent, root):
        folder.mkdir()
    file.write_text(TINY)
    for number in (1, 2):
        write_image(root / f"{number}.png", GREY)
    return file, root


def test_a_database_in_a_file_of_its_own_is_read_selected_checked_shown_and_scored(
    tiny: tuple[Path, Path], call_job: Call, here: Path
) -> None:
    file, root = tiny
    before = dict(databases())
    selection = select(reader_for(str(file))(root), protocol_for(str(file)))
    assert selection.counts() == {"joy": 2, "anger": 1} and not selection.incomplete
    assert selection.subjects == ("tiny/s1", "tiny/s2")
    assert select(find(str(file)).read(root), protocol_for(str(file), "tiny-all")).protocol.classes == (
        *("fear", "joy", "rage"),
    )
    code, text = call_job(check_database, "--database", file, "--root", root)
    assert code == 0 and "tiny-2: 3 clips of 3 (only), 2 folds of 2, 1 problems" in text
    code, text = call_job(protocols_job, "--database", file)
    assert code == 0 and "tiny-2 (tiny): joy and rage" in text and "tiny-all" in text and "casme2" not in text
    assert "chance, in %: 66.7 (majority class)" in text
    code, text = call_job(protocols_job, "tiny-2", "--database", file, "--root", root)
    assert code == 0 and f"fingerprint {selection.fingerprint}" in text
    rows = [f"{c.clip_id},{c.subject},{selection.class_name(c)},joy" for c in selection.clips]
    (here / "p.csv").write_text("\n".join(["clip,subject,label,prediction", *rows]))
    code, text = call_job(score, "p.csv", "--protocol", "tiny-2", "--database", file, "--root", root)
    assert code == 0 and "fingerprint of the release is equal" in text and "66.7" in text
    assert dict(databases()) == before, "the file has changed what comes with the project"


@pytest.mark.slow
def test_a_file_put_into_the_folder_of_databases_is_found_everywhere(tiny: tuple[Path, Path]) -> None:
    file, root = tiny
    (file.parent / "helper.py").write_text("NOTHING = 1\n")
    program = f"""
import runpy, sys
import aman.databases
aman.databases.__path__.append({str(file.parent)!r})
for job, *arguments in (
    ("protocols",),
    ("check_database", "--database", "tiny", "--root", {str(root)!r}),
    ("loso", "--help"),
):
    sys.argv = [job, *arguments]
    try:
        runpy.run_path("jobs/" + job + ".py", run_name="__main__")
    except SystemExit as end:
        assert end.code == 0, (job, end.code)
"""
    environment = {**os.environ, "COLUMNS": "500"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "tiny-2 (tiny): joy and rage" in done.stdout, "jobs/protocols.py"
    assert "tiny-2: 3 clips of 3 (only)" in done.stdout, "jobs/check_database.py"
    assert "samm, smic, synthetic or tiny" in done.stdout, "the help of --database"


def test_the_file_in_the_guide_is_a_whole_database(tmp_path: Path, call_job: Call) -> None:
    guide = (ROOT / "docs/add_a_database.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    assert len(code.splitlines()) < 60
    file, root = tmp_path / "myfaces.py", tmp_path / "MyFaces"
    file.write_text(code)
    for place, label in enumerate(("joy", "anger", "joy", "rage", "joy", "anger", "fear")):
        folder = root / f"{place % 3 + 1:02d}" / label / str(place)
        folder.mkdir(parents=True)
        for number in range(8, 12):
            write_image(folder / f"frame{number}.png", GREY)
    exit_code, text = call_job(check_database, "--database", file, "--root", root)
    assert exit_code == 0 and "myfaces-2: 6 clips of 6 (first edition), 3 folds of 3" in text
    index = find(str(file)).index(root)
    assert [path.name for path in index.clips[0].frames] == [f"frame{number}.png" for number in range(8, 12)]
    exit_code, text = call_job(protocols_job, "--database", file)
    assert exit_code == 0 and "SomeNet: accuracy 66.67 (Table 1 of the SomeNet paper)" in text
    (root / "01" / "joy" / "0" / "frame9.png").unlink()
    exit_code, text = call_job(check_database, "--database", file, "--root", root)
    assert exit_code == 4 and "01/joy/0: missing frames: 9; fix: copy the clip again" in text


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (None, "which is no file"),
        ("DATABASE = Databas(", "cannot be run (SyntaxError"),
        ("import nothing_of_this_name", "cannot be run (ModuleNotFoundError"),
        ("NAME = 1", "defines no DATABASE"),
        ("DATABASE = 1", "defines no DATABASE"),
        (TINY.replace('database="tiny", classes=()', 'database="teeny", classes=()'), "with database='teeny'"),
        (TINY.replace('"rage": "anger"', '"rage": "wrath"'), "with a class 'wrath'"),
        (TINY.replace('"tiny-all"', '"tiny-2"'), "with the protocols tiny-2, tiny-2"),
    ],
)
def test_a_file_that_is_no_database_is_refused_in_one_sentence(
    content: str | None, got: str, tmp_path: Path, call_job: Call
) -> None:
    file = tmp_path / "tiny.py"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=re.escape(got)):
        find(str(file))
    code, text = call_job(check_database, "--database", file, "--root", tmp_path)
    assert code == 2 and text.startswith("error: got ") and len(text.splitlines()) == 1


def test_a_file_that_was_edited_is_run_again(tiny: tuple[Path, Path]) -> None:
    file, _ = tiny
    assert find(str(file)) is find(str(file))
    file.write_text(TINY.replace('title="Tiny"', 'title="Tiny, second edition"'))
    assert find(str(file)).title == "Tiny, second edition"


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"clip_id": "s1"}, "clip 's1' of subject 'tiny/s1'"),
        ({"subject": "s1"}, "clip 'tiny/s1/0' of subject 's1'"),
        ({"subject": "casme2/01"}, "clip 'tiny/s1/0' of subject 'casme2/01'"),
        ({"clip_id": "tiny/s2/1"}, "clip id tiny/s2/1 2 times"),
    ],
)
def test_a_reader_whose_clips_could_not_be_told_apart_is_refused(
    change: dict[str, Any], got: str, tiny: tuple[Path, Path]
) -> None:
    from dataclasses import replace

    database = find(str(tiny[0]))

    def read(root: Path) -> Index:
        first, *rest = database.read(root).clips
        return Index(database="tiny", clips=(replace(first, **change), *rest))

    with pytest.raises(DataError, match=re.escape(got)):
        replace(database, read=read).index(tiny[1])


def test_the_databases_that_come_with_the_project_are_these() -> None:
    assert list(databases()) == [
        *("4dme", "arrays", "casme1", "casme2", "casme3", "casme3c", "csv", "dfme", "megc2018", "megc2019", "mmew"),
        *("samm", "smic", "synthetic"),
    ]
    names = [protocol.name for database in databases().values() for protocol in database.protocols]
    assert sorted(names) == sorted(protocols()), "two protocols of one name"
    for name, database in databases().items():
        assert find(name) is database and database.about and database.title
        assert protocol_for(name) is database.protocols[0] is database.default_protocol
    assert protocol_named("casme2-4") is protocol_for("casme2", "casme2-4")
    with pytest.raises(UsageError, match="one of casme2-5, casme2-4, casme2-objective-5 for casme2"):
        protocol_named("samm-5", "casme2")


def test_what_papers_print_stands_with_the_protocols() -> None:
    first, *_, last = published()["AMAN"].items()
    assert (first[0], first[1].accuracy, first[1].f1) == ("casme2-5", 75.40, 71.25)
    assert (last[0], last[1].accuracy) == ("smic-hs-3", 79.87)
    assert published_accuracy("samm-5") == 68.85 and published_accuracy("megc2019") is None
    assert published_accuracy("megc2019", "OFF-ApexNet") == 74.60
    assert published()["STSTNet"]["megc2019"].uf1 == 73.53
    assert list(published())[:7] == ["LBP-SIP", "DSSN", "TSCNN-I", "LGCconD", "RNMA", "GEME", "AMAN"]


def test_a_database_that_can_be_made_needs_no_root_and_any_other_does(tmp_path: Path, here: Path) -> None:
    assert root_of("synthetic", "") == "runs/synthetic" and root_of("synthetic", "x") == "x"
    with pytest.raises(UsageError, match=re.escape("SAMM_Micro_FACS_Codes_v2.xlsx")):
        root_of("samm", "")
    file = tmp_path / "mine.py"
    file.write_text(TINY.replace('about="two images",', 'about="two images", default_root="runs/tiny",'))
    assert root_of(str(file), "") == "runs/tiny"
    with pytest.raises(UsageError, match="a database that can be made: synthetic"):
        ensure_database(str(file), "", False, print)
    Path("runs/tiny").mkdir(parents=True)
    assert ensure_database(str(file), "", False, print)
    assert list(Path("runs").iterdir()) == [Path("runs/tiny")]


def test_the_recipe_of_a_file_s_database_is_that_of_any_release(tiny: tuple[Path, Path]) -> None:
    from jobs import loso

    assert parse(loso.Options, None, ["--database", str(tiny[0]), "--root", "x"]).recipe_name == "default"


def test_subjects_are_short_where_one_database_is_there_and_whole_where_there_are_several(tmp_path: Path) -> None:
    def clips(*subjects: str) -> Index:
        made = [
            Clip(clip_id=f"{s}/1", subject=s, label="joy", onset=1, apex=None, offset=1, frames=()) for s in subjects
        ]
        return Index(database="any", clips=tuple(made))

    both = Protocol(name="any", database="any", classes=("joy",), labels={}, rule="every clip")
    with pytest.raises(UsageError, match="one of 1, 2;"):
        restrict(select(clips("a/1", "a/2"), both), ("3",))
    with pytest.raises(UsageError, match="one of a/1, b/1;"):
        restrict(select(clips("a/1", "b/1"), both), ("1",))


def test_a_database_without_a_protocol_is_refused() -> None:
    with pytest.raises(UsageError, match="with the protocols none"):
        Database(name="x", title="X", about="", read=lambda root: Index(database="x", clips=()), protocols=())


NAMED_LAYOUTS = {"aman/releases.py", "aman/lookalike.py"}
"""Files that write look-alikes of three releases, each in its own form."""


def compared_names() -> Iterator[str]:
    """Comparisons with the name of a database outside of the databases' own files."""
    for folder in ("aman", "cluster", "jobs", "tune_spaces"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith("aman/databases/") or name in NAMED_LAYOUTS:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Compare):
                    continue
                parts = ast.walk(node)
                constants = {one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)}
                if constants & databases().keys():
                    yield f"{name}:{node.lineno}"


def test_no_code_asks_for_a_database_by_its_name() -> None:
    assert list(compared_names()) == []


def test_the_test_above_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "NAMED_LAYOUTS", set())
    assert any(line.startswith("aman/releases.py:") for line in compared_names())


def test_an_official_list_is_asked_of_the_database_and_compared(tmp_path: Path, call_job: Call) -> None:
    root = small_database(tmp_path / "release", 2, 2)
    file = tmp_path / "listed.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from aman.databases import find\n"
        "def listed(root):\n"
        "    return root / 'list.csv', {'synthetic/sub01/EP01_01': 'fear'}\n"
        "DATABASE = replace(find('synthetic'), official_list=listed)\n"
    )
    code, text = call_job(check_database, "--database", file, "--root", root)
    assert code == 0 and "synthetic/sub01/EP01_01 is fear in the list and happiness in the release" in text
    assert "in the list" not in call_job(check_database, "--database", "synthetic", "--root", root)[1]
