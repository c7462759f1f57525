"""Figures that are drawn already: a rerun with equal results draws nothing, and does not import what draws.

A note beside the figures says what they were drawn of and which bytes each has. Figures of other results, by other code
or another version of the library, and figures that were changed or are gone, are drawn again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aman.content import content_key
from aman.files import write_whole

NOTE = "figures.json"
HOME = Path(__file__).parent


def figures_key(of: object, code: Iterable[Path]) -> str:
    """Digest of what figures are drawn of, of the code in these files and in `aman/figures.py`, and of the library."""
    try:
        library = version("matplotlib")
    except PackageNotFoundError:
        library = ""
    files = [_sha256(path) for path in (HOME / "figures.py", *code)]
    return content_key({"of": of, "code": files, "matplotlib": library})


def drawn_once(folder: Path, key: str, draw: Callable[[], list[Path]], needed: Iterable[str] = ()) -> list[Path]:
    """The figures of a folder: as they are, where they are of this key and the needed ones are among them; else `draw`
    draws them. `OSError` where the folder cannot be written."""
    files = _drawn(folder, key)
    if files is None or not {folder / name for name in needed} <= set(files):
        files = draw()
        digests = {path.name: _sha256(path) for path in files}
        write_whole(folder / NOTE, json.dumps({"key": key, "files": digests}, indent=1) + "\n")
    return files


def _drawn(folder: Path, key: str) -> list[Path] | None:
    """The figures that the note names, in the order in which they were drawn; None where the note is of another key or
    a figure has other bytes."""
    try:
        note = json.loads((folder / NOTE).read_text())
        if note["key"] != key or not all(_sha256(folder / name) == digest for name, digest in note["files"].items()):
            return None
        return [folder / str(name) for name in note["files"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
