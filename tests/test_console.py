"""The command `aman` and `aman.benchmark` are the jobs under other names."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small import GRID, small_database
from test_architecture import JOBS

import aman
from aman.errors import UsageError
from aman.step import Step
from jobs import console
from jobs.started import as_started, program, started_by

SETTINGS = {"align": "none", **GRID, "epochs": 2}


def test_the_command_knows_every_job_and_imports_none_to_say_so() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from jobs.console import main; main(); import sys; assert 'tyro' not in sys.modules"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert sorted(console.jobs()) == JOBS
    assert all(f"  {job}" in said for job in JOBS)


def test_a_job_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", ["aman", "lose"])
    with pytest.raises(SystemExit, match="2"):
        console.main()
    assert "got aman lose; expected one of ablation, " in capsys.readouterr().err


BOTH = """
import runpy, sys
from jobs import console
root = sys.argv[1]
for start, name in (
    (console.main, ["aman", "check"]),
    (lambda: runpy.run_path("jobs/check_database.py", run_name="__main__"), ["jobs/check_database.py"]),
):
    sys.argv = [*name, "--database", "casme2", "--root", root]
    try:
        start()
    except SystemExit as end:
        print("exit code", end.code)
"""
"""Runs the command, and then the job that it stands for."""


def test_the_command_is_the_job(tmp_path: Path) -> None:
    root = small_database(tmp_path / "release", 2, 2, release=False)
    done = subprocess.run(
        [sys.executable, "-c", BOTH, str(root)], capture_output=True, text=True, check=True, cwd=console.HERE.parent
    )
    command, job, rest = re.split(r"^exit code (?=\d)", done.stdout, flags=re.MULTILINE)
    assert command == job.partition("\n")[2] != "" and job.splitlines()[0] == rest.strip()


@pytest.mark.parametrize(
    ("started", "typed", "said"),
    [
        ("aman loso", "python", "aman report, aman score; ray job submit -- aman tune"),
        (".venv/bin/aman train-magnifier", "python", ".venv/bin/aman report, .venv/bin/aman score"),
        (
            "jobs/loso.py",
            ".venv/bin/python",
            ".venv/bin/python jobs/report.py, jobs/score.py; ray job submit -- python",
        ),
        ("/a b/jobs/loso.py", "python3", "python3 '/a b/jobs'/report.py, jobs/score.py"),
        ("/usr/bin/pytest", "python", "python jobs/report.py, jobs/score.py; ray job submit -- python jobs/tune.py"),
    ],
)
def test_jobs_are_named_as_this_one_was_started(
    started: str, typed: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from jobs.command_line import say

    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.setattr(sys, "orig_argv", [typed])
    say("python jobs/report.py, jobs/score.py; ray job submit -- python jobs/tune.py")
    assert capsys.readouterr().out.startswith(said)
    assert program() == (started if typed == "python" else f"{typed} {shlex.quote(started)}")
    step = Step("clip 1/2 one", work="clips", done=1, all=2)
    assert as_started(step) is step


def test_the_command_is_named_by_its_path_where_the_shell_does_not_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "aman"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert started_by(str(program), "loso") == started_by("-c", "loso") == "aman loso"
    monkeypatch.setenv("PATH", "/nowhere")
    assert started_by(str(program), "loso") == f"{program} loso"


def test_a_benchmark_from_python_is_that_of_the_job(tmp_path: Path) -> None:
    from jobs import loso

    root = small_database(tmp_path / "release", 2, 2)
    lines: list[str] = []
    found = aman.benchmark(
        "synthetic", root=str(root), store=str(tmp_path / "one"), here=True, say=lines.append, **SETTINGS
    )
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    where = ["--root", str(root), "--store", str(tmp_path / "two"), "--out", str(tmp_path / "out"), "--here"]
    from jobs.command_line import parse

    assert loso.main(parse(loso.Options, None, [*where, *options, "--tracking-uri", "none"])) == 0
    columns = ["clip", "subject", "label", "prediction"]
    written = pd.read_csv(tmp_path / "out" / "predictions.csv", dtype=str)
    assert written[columns].equals(found.predictions[columns].astype(str))
    assert found.scores.loc["accuracy", "value"] == (written["label"] == written["prediction"]).mean()
    assert found.scores.loc["accuracy", "low"] <= found.scores.loc["accuracy", "high"]
    assert found.failed == {} and any("fold" in line for line in lines)


def test_a_wrong_setting_from_python_is_an_error_that_says_the_fix(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--recipe nonsense"):
        aman.benchmark(root=str(tmp_path), recipe="nonsense")
    with pytest.raises(UsageError, match=r"kk as a setting of aman; expected one of its settings: .*\bk\b"):
        aman.benchmark(root=str(tmp_path), kk=3)
    with pytest.raises(AttributeError, match="no attribute 'bench'"):
        aman.bench  # noqa: B018


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"database": "casme9"}, "got --database casme9; expected 4dme, .*synthetic"),
        ({"database": ""}, "got --database ''; expected 4dme"),
        ({"database": None}, "got database=None; expected a name or a path"),
        ({"database": ["casme2", "casme9"]}, "got --database casme9; expected 4dme"),
        ({"database": "casme2"}, "got --database casme2 without --root"),
        ({"database": ["casme2", "samm"], "root": [Path("/a")] * 3}, "got --root /a /a /a for --database casme2 samm"),
        ({"root": 5}, 'got root=5; expected a name or a path; fix: write it as text, root="..."'),
        ({"method": "amann"}, "got --method amann; expected one of accordion, .*ststnet"),
        ({"protocol": "casme2-9"}, "got --protocol casme2-9; expected one of synthetic"),
        ({"store": "gs://x"}, "got --store 'gs://x'; expected a folder"),
        ({"store": Path("file")}, "got --store 'file', which cannot be used"),
        ({"seed": "1"}, "got seed='1'; expected a whole number; fix: write seed=7"),
        ({"align": "no"}, "got align='no'; expected one of landmarks, none"),
        ({"k": 2.5}, "got k=2.5; expected a whole number"),
        ({"k": 0}, "got --k 0; expected 1 to 100"),
        ({"rate": "fast"}, "got rate='fast'; expected a number"),
        ({"standardise": "yes"}, "got standardise='yes'; expected True or False"),
        ({"magnifier": 3}, "got magnifier=3; expected text"),
    ],
)
def test_what_is_wrong_in_python_is_an_error_as_that_of_the_job(given: dict[str, Any], said: str, here: Path) -> None:
    """Settings are checked before anything is made: nothing of the command line's types reaches a program."""
    (here / "file").touch()
    (here / "runs/synthetic").mkdir(parents=True)
    with pytest.raises(UsageError, match=said):
        aman.benchmark(**{"here": True, **given})
    assert sorted(one.name for one in here.iterdir()) == ["file", "runs"]


def test_the_page_about_python_names_arguments_and_results_that_there_are() -> None:
    import ast
    import inspect
    import re
    from dataclasses import fields

    from aman.methods.aman import METHOD
    from aman.training.settings import settings_of
    from jobs.api import Benchmark

    page = (Path(console.HERE).parent / "docs/python.md").read_text()
    known = {*inspect.signature(aman.benchmark).parameters, *settings_of(METHOD.Settings())}
    results = {one.name for one in fields(Benchmark)}
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block))]
    given = {word.arg for node in nodes if isinstance(node, ast.Call) for word in node.keywords}
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}
    assert len(blocks) == 2 and given and given <= known
    assert used - {"benchmark"} and used - {"benchmark"} <= results
