"""Edited code is another result: the version of a stage is a released number, or the digest of its source.

A content key must change when the code changes that makes a result, and must not change otherwise. So a key holds
`version_of(stage)`: the number in `released.json` where the source of that stage is the released one, and else the
digest of that source. Undoing an edit gives the number back, and with the number every earlier result.

A stage is made by modules of this package. For the stages of `STAGES` the modules are listed there. Each file in
`aman/inputs` and `aman/methods` is a stage without being listed: the file and all modules of this package that it
imports, at the top or inside functions. A user's own file counts in the same way, together with the modules beside it
that it imports; it has no number, its digest always counts.

The digest of a module covers its syntax tree without docstrings and other lone constants, so that comments,
formatting and docstrings are free to change. Everything else counts, the text of an error message too: whole modules
are compared, because no program can tell which functions matter. Not covered: modules that are imported by a name
that is computed, other packages, and files of weights, whose own digests are in the keys.

The code of this package is read from the files when it is first asked for, and never a second time in one process; a
user's own file is read again when it has changed.
"""

import functools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aman.errors import UsageError
from aman.source import read, sha256

PACKAGE, HOME = "aman", Path(__file__).parent
MANIFEST = HOME / "released.json"

STAGES: dict[str, tuple[str, ...]] = {
    "decode": (
        "aman.frames",
        "aman.pictures.jpeg",
        "aman.pictures.picture",
        "aman.pictures.spoken",
        "aman.pictures.video",
    ),
    "align": ("aman.faces", "aman.inputs.aligned"),
    "tim": ("aman.tim", "aman.inputs.interpolated"),
    "magnify.none": ("aman.magnify", "aman.inputs.images"),
    "magnify.linear": ("aman.magnify", "aman.inputs.images", "aman.magnify.linear"),
    "magnify.phase": ("aman.magnify", "aman.inputs.images", "aman.magnify.phase"),
    "magnify.learned": (
        "aman.magnify",
        "aman.inputs.images",
        "aman.magnify.learned",
        "aman.magnify.network",
        "aman.magnify.weights",
    ),
    "features": ("aman.backbone", "aman.inputs.features", "aman.resnet"),
    "apex": ("aman.inputs.pictures.apex",),
    "picture_features": ("aman.inputs.pictures.trunk",),
}
"""Stages whose modules are named one by one, because what these modules import belongs to other stages, whose versions
stand in the keys as well. A file `aman/methods/NAME.py` replaces an entry `methods.NAME`."""

FOLDERS = ("inputs", "methods")
"""Folders in which each file, at any depth, is a stage (`inputs.flow`, `inputs.histograms.bi_woof`, `methods.ststnet`),
unless `STAGES` names the module."""

RUNNERS = {"Neural": "aman.training.neural", "Classical": "aman.training.classical"}
"""Bases of methods, and the module that trains their folds: it counts for every module that uses the base's name."""
REGISTRY = "aman.training.base"
"""The module that imports all runners, of which a method uses one: what it imports does not count."""
SHARED = "aman.inputs.base"
"""What all inputs derive from: no stage, and part of every input and method."""
NOT_COUNTED = (
    "aman.content",
    "aman.databases",
    "aman.digests",
    "aman.errors",
    "aman.files",
    "aman.own_file",
    "aman.methods",
    "aman.plain_weights",
    "aman.protocols",
    "aman.source",
    "aman.tensors",
    "aman.versions",
    PACKAGE,
)
"""Modules that change no cached result, or whose outcome stands in the keys by its value: settings, constants, labels.
The files in `aman/databases` do not count either; those in `aman/methods` do."""

Stage = str | type | Path
"""A stage by its name, by a class that an input's or a method's file defines, or by the path of a user's own file."""


def version_of(stage: Stage) -> int | str:
    """What stands for the code of a stage in a content key: its released number, or the digest of its edited source.

    A class that is defined outside this package, and a path, give a digest always. Raises `UsageError` where there is
    no source to read, and `KeyError` for a name that is no stage.
    """
    place, release = _place(stage), released()
    code = code_of(place)
    if isinstance(place, str) and release.code(place) == code:
        return release.numbers[place]
    return sha256(json.dumps(sorted(code.items())))


def file_version(path: Path) -> str:
    """Digest of a user's own file, of what it imports from beside it, and of what it imports from this package.

    The path and the name of the file do not enter. Raises `UsageError` for a file that cannot be read or parsed.
    """
    return str(version_of(path))


def edited(stages: Iterable[Stage] | None = None) -> list[str]:
    """One sentence for each file of this package that is not the released one, of those that make these stages (by
    default all): for people who would wonder why everything is computed again."""
    release = released()
    concerned: dict[str, list[str]] = {}
    for stage in names() if stages is None else stages:
        place = _place(stage)
        before = release.code(place) if isinstance(place, str) else None
        known = release.digests if before is None else before
        for module, digest in code_of(place).items():
            if module.split(".")[0] == PACKAGE and known.get(module) != digest:
                concerned.setdefault(module, []).append(place if isinstance(place, str) else place.name)
    return [
        f"{_file_of(module)} {EDITED if module in release.digests else NEW}: results of "
        f"{', '.join(dict.fromkeys(places))} are kept under the digest of this code"
        for module, places in sorted(concerned.items())
    ]


EDITED = "differs from the released code, whose results count again when the edit is undone"
NEW = "is not part of the released code"


def names() -> list[str]:
    """All stages of this package."""
    return sorted(_listed())


@dataclass(frozen=True, kw_only=True)
class Release:
    """What `released.json` holds."""

    numbers: Mapping[str, int]
    """Number of each stage, raised when its result changes. A stage that is gone keeps its number."""
    modules: Mapping[str, Sequence[str]]
    """Modules that make each stage; empty for a stage that is gone."""
    digests: Mapping[str, str]
    """Digest of each module."""

    def code(self, stage: str) -> dict[str, str] | None:
        """The modules of a stage and their digests, or None for a stage that was never released."""
        if stage not in self.modules:
            return None
        return {module: self.digests.get(module, "") for module in self.modules[stage]}

    def text(self) -> str:
        """The file."""
        stages = {name: {"version": self.numbers[name], "modules": self.modules[name]} for name in self.numbers}
        return json.dumps({"modules": self.digests, "stages": stages}, indent=1, sort_keys=True) + "\n"


@functools.cache
def released() -> Release:
    """The release that this package is, or was before it was edited."""
    content = json.loads(MANIFEST.read_text(encoding="utf-8"))
    stages = content["stages"]
    return Release(
        numbers={name: stage["version"] for name, stage in stages.items()},
        modules={name: stage["modules"] for name, stage in stages.items()},
        digests=content["modules"],
    )


@functools.cache
def _listed() -> dict[str, tuple[str, ...] | None]:
    """Every stage, with its modules where `STAGES` names them."""
    taken = {module for modules in STAGES.values() for module in modules} | {SHARED}
    files = [path.relative_to(HOME) for folder in FOLDERS for path in (HOME / folder).rglob("[!_]*.py")]
    places = [".".join(path.with_suffix("").parts) for path in files]
    return {**STAGES, **{place: None for place in places if f"{PACKAGE}.{place}" not in taken}}


def _place(stage: Stage) -> str | Path:
    """The name of a stage, or the path of the user's own file that is one."""
    if not isinstance(stage, type):
        return stage
    if stage.__module__.startswith(f"{PACKAGE}."):
        return stage.__module__.removeprefix(f"{PACKAGE}.")
    path = getattr(sys.modules.get(stage.__module__), "__file__", None)
    if path is None:
        raise UsageError(
            got=f"{stage.__qualname__}, a class without a file",
            expected="a class in a .py file, whose digest is part of every key",
            fix="write the class into a file",
        )
    return Path(path)


def code_of(place: str | Path) -> dict[str, str]:
    """Modules that make a stage (by its name, or the user's own file that it is), and their digests. The user's own
    file has the name `file`."""
    if isinstance(place, Path):
        status = place.stat() if place.is_file() else None
        return _own(place.resolve(), (status.st_mtime_ns, status.st_size) if status else (0, 0))
    return _listed_code(place)


@functools.cache
def _own(path: Path, version: tuple[int, int]) -> dict[str, str]:
    """The user's own file, read once for each version (time and size) of the file."""
    return dict(_reached("file", path, path.parent, apart=""))


@functools.cache
def _listed_code(place: str) -> dict[str, str]:
    modules = _listed()[place]
    if modules is not None:
        return {module: read(module, _located(module)).digest for module in modules}
    root = f"{PACKAGE}.{place}"
    # The keys of a fold hold those of its inputs, and these hold their own versions.
    return dict(
        _reached(root, _located(root), None, apart=f"{PACKAGE}.inputs." if place.startswith("methods.") else "")
    )


def _reached(name: str, path: Path, folder: Path | None, *, apart: str) -> Iterator[tuple[str, str]]:
    """A module and all that it imports from this package or `folder`: names and digests. What begins with `apart` is
    left out, but for what is shared."""
    seen, waiting = set[str](), [(name, path)]
    while waiting:
        name, path = waiting.pop()
        if name in seen or (apart and name.startswith(apart) and name != SHARED):
            continue
        seen.add(name)
        source = read(name, path) if path.is_relative_to(HOME) else read.__wrapped__(name, path)
        yield name, source.digest
        uses = set(source.imports) if name != REGISTRY else set[str]()
        if not f"{name}.".startswith("aman.training."):
            uses |= {RUNNERS[word] for word in source.words & set(RUNNERS)}
        for used in uses:
            for module in (used, used.rpartition(".")[0]):
                found = _found(module, folder)
                if found is not None:
                    if module not in NOT_COUNTED and not module.startswith("aman.databases."):
                        waiting.append((module, found))
                    break


@functools.cache
def _found(module: str, folder: Path | None) -> Path | None:
    """File of a module of this package, or of one that lies in `folder`."""
    first, *rest = module.split(".")
    home, parts = (HOME, rest) if first == PACKAGE else (folder, [first, *rest])
    if home is None or not all(parts):
        return None
    whole = home.joinpath(*parts)
    files = (whole / "__init__.py", *([whole.with_name(f"{parts[-1]}.py")] if parts else []))
    return next((path for path in files if path.is_file()), None)


def _located(module: str) -> Path:
    path = _found(module, None)
    if path is None:
        raise UsageError(
            got=f"no source of {module} in {HOME}",
            expected="the package with its .py files, to tell whether the code is the released one",
            fix="install the project from its wheel or a checkout, unpacked",
        )
    return path


def _file_of(module: str) -> str:
    return str(_located(module).relative_to(HOME.parent))
