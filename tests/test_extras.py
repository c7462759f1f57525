"""Extras: a base install scores, checks and lists, and a command that lacks an extra says which one."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from refusing import refusing
from small import small_database

from aman.errors import UsageError
from aman.extras import EXTRAS, extras_named
from aman.own_file import running

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

RUN = """
import runpy, sys

def run(*words):
    sys.argv = list(words)
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        print("exit", end.code, flush=True)

for line in sys.argv[1:]:
    run(*line.split())
"""
"""Jobs one after another in one process."""


def without(extras: list[str], *commands: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """The jobs in a process that finds no package of these extras."""
    program = refusing(module for extra in extras for module in EXTRAS[extra]) + RUN
    words = [command.replace("jobs/", f"{ROOT}/jobs/") for command in commands]
    return subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False, cwd=folder
    )


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~]", one)[0] for one in requirements}


def test_the_modules_of_an_extra_are_those_of_its_packages() -> None:
    installed = importlib.metadata.packages_distributions()
    packages = {module: list(map(str.lower, found)) for module, found in installed.items()}
    for extra, modules in EXTRAS.items():
        wanted = names(PROJECT["optional-dependencies"][extra]) - {"aman-cluster"}
        assert wanted == {name for module in modules for name in packages[module]} & wanted, extra
        assert all(set(packages[module]) & wanted for module in modules if module != "botocore"), extra
    every = names(PROJECT["dependencies"]).union(*map(names, PROJECT["optional-dependencies"].values()))
    assert every >= {"ray", "torch", "torchvision", "opencv-python", "dlib-bin", "mlflow", "pandas", "boto3"}
    assert not names(PROJECT["dependencies"]) & {"torch", "ray", "mlflow", "boto3", "matplotlib"}


@pytest.mark.slow
def test_a_base_install_scores_checks_and_lists_and_names_the_extra_that_a_benchmark_needs(tmp_path: Path) -> None:
    small_database(tmp_path / "release", 2, 2, release=False)
    rows = [f"casme2/sub{one:02}/EP01,casme2/{one:02},happiness,happiness" for one in range(1, 4)]
    (tmp_path / "mine.csv").write_text("\n".join(["clip,subject,label,prediction", *rows]))
    done = without(
        ["train", "cluster"],
        "jobs/score.py mine.csv --protocol casme2-5",
        "jobs/protocols.py casme2-5 --root release",
        "jobs/check_database.py --database casme2 --root release --images",
        "jobs/loso.py --database casme2 --root release --allow-incomplete",
        folder=tmp_path,
    )
    assert re.findall(r"^exit (\d)$", done.stdout, re.MULTILINE) == ["0", "0", "4", "2"], done.stderr
    assert re.search(r"accuracy +100\.0", done.stdout) and "fingerprint" in done.stdout
    (said,) = done.stderr.splitlines()
    assert re.fullmatch(r"error: got no package ray, .+ with the extra `cluster`; fix: .+\[cluster\].+ --here .+", said)


def test_only_a_package_of_an_extra_is_named_so() -> None:
    with pytest.raises(UsageError, match=r"no package sklearn.+extra `train`.+\[train\]"), extras_named():
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn.svm")
    with pytest.raises(ModuleNotFoundError), extras_named():
        raise ModuleNotFoundError("No module named 'numpi'", name="numpi")


def test_a_method_of_ones_own_that_imports_what_is_not_installed_names_the_extra() -> None:
    def load(module: str) -> None:
        with running("method mine.py", makes="a method", fix="correct it"):
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    with pytest.raises(UsageError, match="extra `train`"):
        load("torch.nn")
    with pytest.raises(UsageError, match=r"mine.py, which cannot be run .ModuleNotFoundError"):
        load("mine_too")
