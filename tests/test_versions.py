"""Edited code is another result: versions of stages, before, during and after an edit of a copy of the package."""

import contextlib
import functools
import importlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aman.errors import UsageError
from aman.magnify import MAGNIFIERS
from aman.released import next_release
from aman.source import read
from aman.versions import MANIFEST, NOT_COUNTED, STAGES, edited, names, version_of

ROOT = Path(__file__).parents[1]

EDITS = {
    "decode": ("pictures/picture.py", "image[..., ::-1]", "image", {"align", "tim", "features"}),
    "align": ("faces.py", "FOREHEAD = 0.2", "FOREHEAD = 0.3", {"decode", "tim", "features"}),
    "tim": ("tim.py", "np.clip(flat, 0, 255)", "np.clip(flat, 0, 254)", {"decode", "align", "magnify.phase"}),
    "magnify.none": ("magnify/__init__.py", "np.rint(images)", "np.floor(images)", {"decode", "align", "tim"}),
    "magnify.linear": ("magnify/linear.py", "factor_K *", "2 * factor_K *", {"magnify.none", "magnify.phase"}),
    "magnify.phase": (
        "magnify/phase.py",
        "(factor - 1)",
        "factor",
        {"magnify.linear", "magnify.learned", "methods.aman"},
    ),
    "magnify.learned": (
        "magnify/network.py",
        "import torch\n",
        "import torch\n\nZERO = 0\n",
        {"magnify.phase", "features"},
    ),
    "features": ("backbone.py", "image_BCHW.float() / 255", "image_BCHW.float() / 256", {"magnify.learned", "align"}),
    "methods.aman": ("models/aman.py", "self.classifier(v_BD),", "0 * self.classifier(v_BD),", {"tim", "features"}),
}
"""One edit of each stage: the file, a text and what is put in its place, and stages that it does not concern."""


READ: dict[tuple[str, Path, bytes], Any] = {}
"""What `aman.source.read` gave, by what it was given and by the content of the file. A process reads a file once; each
of these tests would otherwise parse the same hundred files several times."""


def remembering(read: Callable[[str, Path], Any]) -> Callable[[str, Path], Any]:
    """`aman.source.read`, as new, which parses no content twice at one place."""

    def once(module: str, path: Path) -> Any:
        key = module, path, path.read_bytes() if path.is_file() else b""
        if key not in READ:
            READ[key] = read(module, path)
        return READ[key]

    return functools.cache(once)


class Package:
    """A copy of the package. This process imports the copy for each question; `python` starts another process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "aman"
        shutil.copytree(ROOT / "aman", self.home, ignore=shutil.ignore_patterns("weights", "__pycache__"))

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False)

    @contextlib.contextmanager
    def imported(self) -> Iterator[None]:
        """Within this context, `import aman` gives the copy as its files are now. After it, the package of the project
        is back."""
        before = {name: one for name, one in sys.modules.items() if name.split(".")[0] == "aman"}
        path, compiled = list(sys.path), sys.dont_write_bytecode
        try:
            for name in before:
                del sys.modules[name]
            sys.path.insert(0, str(self.folder))
            sys.dont_write_bytecode = True
            importlib.invalidate_caches()
            source = importlib.import_module("aman.source")
            assert source.__file__ == str(self.home / "source.py")
            source.read = remembering(source.read.__wrapped__)  # pyrefly: ignore[missing-attribute]
            yield
        finally:
            for name in [name for name in sys.modules if name.split(".")[0] == "aman"]:
                del sys.modules[name]
            sys.modules |= before
            sys.path[:], sys.dont_write_bytecode = path, compiled

    def value(self, expression: str, first: str = "") -> Any:
        """The value of an expression, evaluated with the copy of the package after the statement `first`."""
        with self.imported():
            known = {"pathlib": pathlib, "versions": importlib.import_module("aman.versions")}
            exec(first, known)
            return eval(expression, known)

    def release(self, *arguments: str) -> tuple[int, str]:
        """What `python -m aman.released` does: its exit code, and what it prints."""
        said = io.StringIO()
        with self.imported(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                importlib.import_module("aman.released").main(arguments)
            except SystemExit as end:
                return int(end.code or 0), said.getvalue()
        return 0, said.getvalue()

    def versions(self) -> dict[str, int | str]:
        return self.value("{name: versions.version_of(name) for name in versions.names()}")

    def file_version(self, path: Path) -> str:
        return self.value(f"versions.file_version(pathlib.Path({str(path)!r}))")

    def edit(self, file: str, before: str, after: str) -> str:
        """Replace a text of a file, which is returned as it was."""
        path = self.home / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        return text

    def write(self, file: str, text: str) -> None:
        """Write a file of the package; its folder becomes a package where it is none."""
        path = self.home / file
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copy")


@pytest.fixture
def package(place: Path) -> Iterator[Package]:
    """A new copy, always at the same place."""
    yield Package(place)
    shutil.rmtree(place / "aman")


def with_comments(text: str) -> str:
    """The source with another docstring, comments, blank lines and a lone text, and what it does unchanged."""
    start = text.index('"""', 3) + 3
    lines = [
        '"""Another docstring."""',
        "# a comment",
        *text[start:].splitlines(),
        "",
        '"""A lone text."""',
        "# the end",
    ]
    return "\n".join(f"{line}  # so" if line.startswith("import ") else line for line in lines) + "\n"


# The manifest and the source of this checkout


def test_the_code_is_the_released_code() -> None:
    try:
        release = next_release()
    except UsageError as error:
        pytest.fail(str(error))
    assert release.text() == MANIFEST.read_text(), "run `make released`: a stage is new or gone"
    assert edited() == []


def test_a_released_stage_has_its_number_as_version() -> None:
    assert [version_of(name) for name in STAGES] == [1] * len(STAGES)


def test_every_magnifier_is_a_stage() -> None:
    assert {f"magnify.{name}" for name in MAGNIFIERS} == {name for name in STAGES if name.startswith("magnify.")}


def test_what_a_listed_module_imports_is_listed_or_has_a_version_of_its_own() -> None:
    home = ROOT / "aman"
    listed = {module for modules in STAGES.values() for module in modules}
    for module in listed:
        place = home.joinpath(*module.split(".")[1:])
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        for used in read(module, path).imports:
            known = {used, used.rpartition(".")[0]}
            apart = used.startswith(("aman.databases.", "aman.inputs.", "aman.training.")) or known & {
                *NOT_COUNTED[:-1]
            }
            assert not used.startswith("aman.") or apart or known & listed, (
                f"{module} imports {used}: list it in STAGES"
            )


def test_versions_are_found_without_importing_what_they_are_of(package: Package) -> None:
    done = package.python("-c", "import sys, aman.versions as v; v.edited(); print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not {"torch", "numpy", "cv2", "aman.tim"} & set(done.stdout.split())


# Edits of the package


@pytest.mark.parametrize("stage", EDITS)
def test_an_edit_changes_the_version_of_its_stage_and_of_none_that_it_does_not_concern(
    package: Package, stage: str
) -> None:
    file, before, after, others = EDITS[stage]
    package.edit(file, before, after)
    changed = package.versions()
    assert len(str(changed[stage])) == 64
    assert {changed[other] for other in others} == {1}


def test_undoing_edits_gives_the_numbers_back(package: Package) -> None:
    whole = {file: package.edit(file, before, after) for file, before, after, _ in EDITS.values()}
    edited_versions = package.versions()
    assert all(len(str(edited_versions[stage])) == 64 for stage in EDITS)
    for file, text in whole.items():
        (package.home / file).write_text(text)
    assert set(package.versions().values()) == {1}


def test_comments_docstrings_and_blank_lines_change_no_version(package: Package) -> None:
    for file, *_ in EDITS.values():
        path = package.home / file
        path.write_text(with_comments(path.read_text()))
    assert set(package.versions().values()) == {1}


def test_two_edits_are_two_results(package: Package) -> None:
    file, before, after, _ = EDITS["align"]
    whole = package.edit(file, before, after)
    first = package.versions()["align"]
    (package.home / file).write_text(whole.replace(before, "FOREHEAD = 0.4"))
    assert package.versions()["align"] != first


def test_a_place_of_installation_changes_no_version(package: Package, tmp_path: Path) -> None:
    file, before, after, _ = EDITS["tim"]
    package.edit(file, before, after)
    elsewhere = Package(tmp_path / "somewhere" / "else")
    elsewhere.edit(file, before, after)
    assert package.versions() == elsewhere.versions()


def test_an_edited_file_is_named_once_with_the_stages_that_it_makes(package: Package) -> None:
    file, before, after, _ = EDITS["magnify.none"]
    package.edit(file, before, after)
    wanted = ["magnify.none", "magnify.phase", "tim"]
    assert package.value(f"versions.edited({wanted})") == [
        "aman/magnify/__init__.py differs from the released code, whose results count again when the edit is undone: "
        "results of magnify.none, magnify.phase are kept under the digest of this code"
    ]
    assert package.value("versions.edited(['tim', 'align'])") == []


def test_an_installation_without_sources_is_named_and_nothing_is_guessed(package: Package) -> None:
    (package.home / "faces.py").unlink()
    done = package.python("-c", "from aman.versions import version_of; version_of('align')")
    assert "UsageError: got no source of aman.faces" in done.stderr
    assert "expected the package with its .py files" in done.stderr


# Inputs and methods that are found


def test_a_file_of_an_input_is_a_stage_and_what_it_imports_inside_a_function_counts(package: Package) -> None:
    package.write(
        "inputs/toy.py", "class Toy:\n    def make(self):\n        from aman.toys import size\n        return size\n"
    )
    package.write("toys.py", "size = 1\n")
    assert "inputs.toy" in package.versions()
    look = ("[versions.version_of(Toy), versions.edited([Toy])]", "from aman.inputs.toy import Toy")
    version, sentences = package.value(*look)
    assert isinstance(version, str)
    assert sentences[0].startswith("aman/inputs/toy.py is not part of the released code: results of inputs.toy")
    assert package.python("-m", "aman.released").stdout == "inputs.toy: released as version 1\n"
    assert package.value(*look) == [1, []]
    package.write("toys.py", "size = 2\n")
    assert package.value(*look) != [1, []]


def test_a_file_in_a_room_of_the_inputs_is_a_stage_too(package: Package) -> None:
    package.write("inputs/room/__init__.py", "")
    package.write("inputs/room/toy.py", "class Toy:\n    pass\n")
    assert "inputs.room.toy" in package.versions()
    assert "inputs.room.toy: released as version 1" in package.release()[1]
    assert package.value("versions.version_of(Toy)", "from aman.inputs.room.toy import Toy") == 1
    package.edit("inputs/room/toy.py", "pass", "size = 1")
    assert len(str(package.versions()["inputs.room.toy"])) == 64


@pytest.mark.parametrize(
    ("base", "own", "other"), [("Neural", "neural", "classical"), ("Classical", "classical", "neural")]
)
def test_a_method_counts_with_the_runner_of_its_base_alone(package: Package, base: str, own: str, other: str) -> None:
    package.write("methods/toy.py", f"from aman.training import {base}\n\n\nclass Toy({base}):\n    pass\n")
    for runner in (own, other):
        if not (package.home / f"training/{runner}.py").is_file():
            package.write(f"training/{runner}.py", "")
    first = package.versions()["methods.toy"]
    for runner, same in ((other, True), (own, False)):
        path = package.home / f"training/{runner}.py"
        path.write_text(f"{path.read_text()}\nEDITED = True\n")
        assert (package.versions()["methods.toy"] == first) is same, runner


def test_a_method_has_the_version_that_it_had_when_only_the_code_of_its_input_is_edited(package: Package) -> None:
    package.write("inputs/toy.py", "size = 1\n")
    package.write("methods/toy.py", "from aman.inputs.toy import size\n")
    before = package.versions()
    package.write("inputs/toy.py", "size = 2\n")
    after = package.versions()
    assert after["inputs.toy"] != before["inputs.toy"]
    assert after["methods.toy"] == before["methods.toy"]


# A user's own file

OWN = '"""A method."""\n\nfrom helper import share\n\n\ndef score(x):\n    return share * x\n'


def test_an_own_file_counts_by_what_it_does(package: Package, tmp_path: Path) -> None:
    own, helper = tmp_path / "own.py", tmp_path / "helper.py"
    own.write_text(OWN)
    helper.write_text("share = 2\n")
    first = package.file_version(own)
    own.write_text(OWN.replace("share * x", "0 * share * x"))
    assert package.file_version(own) != first, "edited"
    own.write_text(with_comments(OWN).replace("(x)", "(\n    x,\n)"))
    assert package.file_version(own) == first, "commented and formatted"
    own.write_text(OWN)
    helper.write_text("share = 3\n")
    assert package.file_version(own) != first, "a module beside it edited"
    helper.write_text("share = 2\n")
    assert package.file_version(own.rename(tmp_path / "renamed.py")) == first, "undone"


def test_an_own_file_counts_with_what_it_imports_from_the_package(package: Package, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("from aman.models.aman import AMAN\n")
    first = package.file_version(own)
    package.edit(*EDITS["align"][:3])
    assert package.file_version(own) == first
    package.edit(*EDITS["methods.aman"][:3])
    assert package.file_version(own) != first


def test_a_class_of_an_own_file_has_the_version_of_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_method_file.py").write_text("class Mine:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import own_method_file  # pyrefly: ignore[missing-import]

    assert version_of(own_method_file.Mine) == version_of(tmp_path / "own_method_file.py")
    with pytest.raises(UsageError, match="a class without a file"):
        version_of(type("Typed", (), {"__module__": "nowhere"}))


@pytest.mark.parametrize("content", [b"def f(:\n", b"x = '\xff'\n", b"x = 1\0\n"])
def test_an_own_file_that_is_no_python_is_named(tmp_path: Path, content: bytes) -> None:
    own = tmp_path / "own.py"
    with pytest.raises(UsageError, match=r"own\.py: No such file"):
        version_of(own)
    own = tmp_path / "broken.py"
    own.write_bytes(content)
    with pytest.raises(UsageError, match=r"broken\.py, no Python"):
        version_of(own)


# Releasing edited code


@pytest.mark.parametrize(("option", "number"), [("--same", 1), ("--raised", 2)])
def test_edited_code_is_released_only_with_a_statement_about_its_results(
    package: Package, option: str, number: int
) -> None:
    package.edit(*EDITS["magnify.none"][:3])
    manifest = (package.home / "released.json").read_text()
    code, said = package.release()
    assert code == 2
    assert "magnify.none (aman.magnify)" in said
    assert '`make released RAISED="STAGE ..."`' in said
    code, said = package.release(option, "magnify.none")
    assert code == 2
    assert "magnify.phase (aman.magnify)" in said
    assert (package.home / "released.json").read_text() == manifest
    code, said = package.release(option, "magnify.*")
    assert code == 0, said
    versions = package.versions()
    assert {versions[name] for name in versions if name.startswith("magnify.")} == {number}
    assert {versions[name] for name in versions if not name.startswith("magnify.")} == {1}


def test_a_stage_that_was_gone_does_not_start_at_one_again(package: Package) -> None:
    package.write("inputs/toy.py", "size = 1\n")
    package.release()
    (package.home / "inputs/toy.py").unlink()
    package.release()
    package.write("inputs/toy.py", "size = 2\n")
    assert isinstance(package.versions()["inputs.toy"], str)
    assert package.release()[0] == 2
    assert package.release("--raised", "inputs.toy")[0] == 0
    assert package.versions()["inputs.toy"] == 2


def test_a_statement_about_no_stage_and_two_about_one_are_refused() -> None:
    with pytest.raises(UsageError, match="`algin`, which fits no stage"):
        next_release(same=["algin"])
    with pytest.raises(UsageError, match="align as unchanged and as raised"):
        next_release(same=["al*"], raised=["align"])
    assert "align" in names()
