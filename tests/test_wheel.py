"""The wheel holds all that the commands need: an installation works without the clone."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = "from setuptools import build_meta; build_meta.build_wheel('wheels')"


def test_the_wheel_has_every_file_of_the_packages_and_the_command(tmp_path: Path) -> None:
    """Built by the project's own backend from a copy, with what is installed here; nothing is fetched."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    listed = subprocess.run(
        ["git", "ls-files", *packages], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    for name in (*listed, "pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run([sys.executable, "-c", BUILD], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (points,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    assert {name for name in names if ".dist-info/" not in name} == set(listed)
    assert {"aman/weights/trunk.safetensors", "aman/report/page.html", "aman/released.json"} <= names
    assert "aman = jobs.console:main" in points
