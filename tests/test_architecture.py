"""The promises about structure: what importing pulls in, how fast help answers, what options there are."""

import ast
import functools
import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import pytest

from aman.extras import EXTRAS
from jobs.help_texts import flowing

ROOT = Path(__file__).parents[1]
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.py") if "__main__" in path.read_text())

PACKAGES = {"": ("aman", "cluster", "jobs", "tune_spaces", "bench"), "tests": ("faults",)}
"""Packages in which no modules may import each other in a circle, by the folder that holds them."""

PRINT_MODULES = "import sys; print('\\n'.join(sys.modules))"

OPTIONS = {
    "loso": """align allow-incomplete amp-convention attention attention-bias batch bn database epochs frozen
    gpus-per-worker grid-factors grid-frames here json k keep-weights kernels landmark-model layer4-init levels
    magnifier measure method n optimiser out plan precision protocol rate recipe root sampling seed size standardise
    store subjects tracking-uri trunk trunk-bn trunk-size weight-decay workers""",
    "synthesize": "clips-per-subject full-size landmark-model layout out seed subjects version",
    "check_database": "database images json protocol root",
    "score": "against database epochs fingerprint json printed protocol root",
    "protocols": "database json root",
    "prepare": """align allow-incomplete amp-convention attention attention-bias batch bn database epochs frozen
    gpus-per-worker grid-factors grid-frames here json k kernels landmark-model layer4-init levels magnifier measure
    method n optimiser plan precision protocol rate recipe root sampling seed size standardise store trunk trunk-bn
    trunk-size
    weight-decay workers""",
    "pretrain": """batch class-weights epochs erasing faces first-size flip folder label-smoothing light out plan
    precision rate rotation seed shift size start tracking-uri votes weight-decay workers zoom""",
    "train_magnifier": """batch blur clip coded crop factor flicker folder front half-decoder latents magnified motion
    noise out plan quality rate report-every save-every seed small-crop small-steps smooth smooth-share start steps
    still tracking-uri uneven unseen warmup workers""",
    "tune": """align allow-incomplete amp-convention attention attention-bias batch bn database epochs frozen
    gpus-per-worker grid-factors grid-frames here json k kernels landmark-model layer4-init levels magnifier measure
    method n optimiser out plan precision protocol rate recipe root samples sampling search seed selection size
    space standardise stopping store tracking-uri trunk trunk-bn trunk-size weight-decay workers""",
    "train": """align allow-incomplete amp-convention attention attention-bias batch bn database epochs frozen
    gpus-per-worker grid-factors grid-frames here k kernels landmark-model layer4-init levels magnifier measure
    method n optimiser out plan precision protocol rate recipe root sampling seed size standardise store trunk
    trunk-bn trunk-size weight-decay workers""",
    "predict": "apex csv file gif json method offset onset",
    "cache": "delete json store",
    "report": "compare out",
    "paper": """align allow-incomplete amp-convention apex attention attention-bias batch bn database epochs frozen
    gpus-per-worker grid-factors grid-frames here k kernels landmark-model layer4-init levels magnifier measure
    method methods n only optimiser out plan precision protocol rate recipe root sampling seed size standardise
    seeds store tracking-uri trunk trunk-bn trunk-size usd-per-gpu-hour weight-decay workers""",
    "compare": """align allow-incomplete apex database gpus-per-worker here landmark-model measure method out plan
    protocol recipe root seed seeds store tracking-uri usd-per-gpu-hour workers""",
    "ablation": """align allow-incomplete amp-convention attention attention-bias batch bn database epochs frozen
    gpus-per-worker grid-factors grid-frames here k kernels landmark-model layer4-init levels magnifier measure
    method n optimiser out plan precision protocol rate recipe root sampling seed size standardise seeds store
    tracking-uri trunk trunk-bn trunk-size usd-per-gpu-hour weight-decay workers""",
}

for job in ("loso", "prepare", "train", "tune", "paper", "ablation", "compare", "score", "protocols", "check_database"):
    OPTIONS[job] += " split labels"  # every job that says which clips count and which are left out together


HELP = """
import contextlib, io, json, runpy, sys
for program in sys.argv[1:]:
    sys.argv = [program, "--help"]
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)) as shown:
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as end:
            assert not end.code, end.code
    print(json.dumps([program, shown.buffer.getvalue().decode(), sorted({name.split(".")[0] for name in sys.modules})]))
"""


@functools.cache
def helps(folder: str) -> dict[str, tuple[str, set[str]]]:
    """What each program of a folder says of itself, and the packages that were imported until then. One process asks
    them all, and so what one program imports is among the packages of those behind it."""
    programs = sorted(
        f"{folder}/{path.name}" for path in (ROOT / folder).glob("*.py") if "__main__" in path.read_text()
    )
    done = subprocess.run([sys.executable, "-c", HELP, *programs], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name: (shown, set(modules)) for name, shown, modules in map(json.loads, done.stdout.splitlines())}


def help_of(program: str) -> str:
    """What a program says of itself."""
    return helps(program.split("/")[0])[program][0]


def modules_after(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{PRINT_MODULES}"], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def modules_of(folder: Path, packages: Iterable[str]) -> dict[str, Path]:
    """Files of the modules of packages in a folder, by module name; a package's name stands for its `__init__`."""
    paths = [path for package in packages for path in (folder / package).rglob("*.py")]
    return {".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


ALL_OF_AMAN = (
    "\n".join(f"import {name}" for name in sorted(modules_of(ROOT, ["aman"]))) + "\naman.databases.databases()"
)
"""Imports of every module of the package and of its subpackages."""


REST = "import cluster.experiment.write, jobs.loso, jobs.synthesize"
STARTED = "import sys\nassert 'ray' not in sys.modules or not sys.modules['ray'].is_initialized()"


@pytest.mark.slow
def test_the_method_pulls_in_no_cluster_tracker_or_network_and_importing_writes_and_starts_nothing(
    tmp_path: Path,
) -> None:
    """What `aman` imports is printed first. Then the other packages are imported too, in an empty folder."""
    code = f"{ALL_OF_AMAN}\n{PRINT_MODULES}\n{REST}\n{STARTED}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert not {"ray", "mlflow", "boto3"} & {name.split(".")[0] for name in done.stdout.split()}
    assert list(tmp_path.iterdir()) == []


def test_the_test_above_can_fail() -> None:
    for module in ("aman.methods.aman", "aman.inputs.images", "aman.databases.reading.sheet", "aman.report"):
        assert f"import {module}\n" in ALL_OF_AMAN
    assert "boto3" in modules_after("import aman, boto3")


def imports_of(path: Path, known: Collection[str]) -> set[str]:
    """Known modules that a file imports anywhere: at its top, in a function, or for the type checker alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: a relative import"
            inner = {f"{node.module}.{name.name}" for name in node.names}
            found |= inner if inner <= set(known) else {node.module, *inner}
    return found & set(known)


def circles(modules: Mapping[str, Path]) -> set[frozenset[str]]:
    """Groups of modules of which each imports each other one, directly or by way of others."""
    imports = {name: imports_of(path, modules) for name, path in modules.items()}

    def reached(name: str) -> set[str]:
        seen: set[str] = set()
        ahead = set(imports[name])
        while ahead:
            seen.add(one := ahead.pop())
            ahead |= imports[one] - seen
        return seen

    reach = {name: reached(name) for name in imports}
    return {frozenset(one for one in reach[name] if name in reach[one]) for name in reach if name in reach[name]}


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules: dict[str, Path] = {}
    for folder, packages in PACKAGES.items():
        found = modules_of(ROOT / folder, packages)
        assert set(packages) <= {name.split(".")[0] for name in found}
        modules |= found
    assert [sorted(circle) for circle in circles(modules)] == []


@pytest.mark.parametrize(
    "back",
    [
        "import house.front\n",
        "from house.front import door\n",
        "from house import front\n",
        "def late():\n    from house import front\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.front import door\n",
    ],
)
def test_a_circle_is_found_whichever_way_it_is_closed(tmp_path: Path, back: str) -> None:
    house = tmp_path / "house"
    house.mkdir()
    for name, text in (("__init__", ""), ("front", "from house import hall\n"), ("hall", "import house.back\n")):
        (house / f"{name}.py").write_text(text)
    (house / "back.py").write_text("import ast\n")
    assert circles(modules_of(tmp_path, ["house"])) == set()
    (house / "back.py").write_text(back)
    assert circles(modules_of(tmp_path, ["house"])) == {frozenset({"house.front", "house.hall", "house.back"})}


@pytest.mark.parametrize("job", JOBS)
def test_help_needs_neither_torch_nor_ray_nor_mlflow(job: str) -> None:
    """Nor anything else that comes with an extra: a base install has the help of all jobs."""
    shown, modules = helps("jobs")[f"jobs/{job}.py"]
    assert "--" in shown and not {*EXTRAS["train"], *EXTRAS["cluster"], "pandas", "cv2"} & modules


@pytest.mark.parametrize("job", JOBS)
def test_the_options_of_a_job_are_these(job: str) -> None:
    shown = help_of(f"jobs/{job}.py")
    found = re.findall(r"^│ --([a-z0-9-]+)", shown, flags=re.MULTILINE)
    assert set(found) == set(OPTIONS[job].split())
    opening = [one for one in ("database", "root", "method", "recipe", "protocol") if one in found]
    assert job == "predict" or found[: len(opening)] == opening


def pages() -> list[Path]:
    """README and the pages of docs that people follow: measurements have commands of earlier commits, and what the two
    pages about own files have is run by their own tests."""
    made = {"measurements", "methods", "tree", "add_a_method", "add_a_database"}
    return [ROOT / "README.md", *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.stem not in made)]


@pytest.mark.slow
def test_every_command_in_readme_and_docs_is_there() -> None:
    text = "\n".join(page.read_text() for page in pages())
    targets = set(re.findall(r"^make ([a-z-]+)", text, flags=re.MULTILINE))
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert targets and targets <= known
    for line in re.findall(r"python ((?:jobs|bench)/\w+\.py[^`\n]*)", text):
        assert (ROOT / line.split()[0]).is_file(), line
        shown = help_of(line.split()[0])
        for option in re.findall(r"--[a-z0-9-]+(?![a-z0-9.-])", line):
            assert option in shown, (line, option)


def test_every_file_named_in_readme_and_docs_exists() -> None:
    for page in pages():
        for name in re.findall(
            r"`((?:aman|cluster|jobs|tune_spaces|bench|tests|docs|policies)/[\w./-]*)`", page.read_text()
        ):
            assert "NAME" in name or (ROOT / name).exists(), (page.name, name)


def test_the_page_of_the_tree_is_made_from_the_code() -> None:
    made = subprocess.run([sys.executable, "docs/tree.py"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert (ROOT / "docs/tree.md").read_text() == made, "run `make tree`"
    assert "| `jobs/loso.py` | " in made


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 10_000


def test_nothing_names_a_registry_or_a_stub() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert listed
    for name in listed:
        text = (ROOT / name).read_text(errors="replace")
        assert not re.search("pypi" + r"\.org|pythonhosted" + r"\.org", text), name
        assert "Not" + "ImplementedError" not in text, name


def test_no_job_imports_a_job() -> None:
    for job in JOBS:
        tree = ast.parse((ROOT / "jobs" / f"{job}.py").read_text())
        used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        assert not used & {f"jobs.{other}" for other in JOBS}, job


def test_help_gives_docstrings_without_the_line_ends_of_the_source() -> None:
    @dataclass
    class Part:
        inner: int = 0
        """One line
        and another."""

    @dataclass
    class Whole(Part):
        part: Part = field(default_factory=Part)
        inner: int = 1
        """Declared again: `python jobs/loso.py`
        runs it."""
        bare: int = 2

    flowing(Whole, ["--plan"])
    assert not any(one.metadata for one in fields(Whole))
    flowing(Whole, ["--help"])
    told = {one.name: one.metadata.get("help") for one in fields(Whole)}
    assert told == {"inner": "Declared again: `python jobs/loso.py` runs it.", "part": None, "bare": None}
    assert fields(Part)[0].metadata["help"] == "One line and another."


def test_no_room_has_over_ten_files_and_no_file_over_300_lines() -> None:
    for room in [folder for folder in (ROOT / "cluster").iterdir() if folder.is_dir() and folder.name != "__pycache__"]:
        assert len([path for path in room.glob("*.py") if path.stem != "__init__"]) <= 10, room
    for package in PACKAGES[""]:
        for path in (ROOT / package).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 300, path
