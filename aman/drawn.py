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
    draws them, and figures that the note names, of another key, are removed where none of these names is drawn again:
    they would be taken for figures of these results. `OSError` where the folder cannot be written."""
    files = _drawn(folder, key)
    if files is None or not {folder / name for name in needed} <= set(files):
        before = _note(folder)
        files = draw()
        if before and before[0] != key:
            for name in before[1].keys() - {path.name for path in files}:
                (folder / name).unlink(missing_ok=True)
        digests = {path.name: _sha256(path) for path in files}
        write_whole(folder / NOTE, json.dumps({"key": key, "files": digests}, indent=1) + "\n")
    return files


def _drawn(folder: Path, key: str) -> list[Path] | None:
    """The figures that the note names, in the order in which they were drawn; None where the note is of another key or
    a figure has other bytes."""
    note = _note(folder)
    try:
        if not note or note[0] != key or not all(_sha256(folder / name) == one for name, one in note[1].items()):
            return None
    except OSError:
        return None
    return [folder / name for name in note[1]]


def _note(folder: Path) -> tuple[str, dict[str, str]] | None:
    """Key and figures of the note, by the name of each its digest; None where there is no note or it is damaged."""
    try:
        note = json.loads((folder / NOTE).read_text())
        key, files = str(note["key"]), {str(name): str(digest) for name, digest in note["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (key, files) if all(name == Path(name).name for name in files) else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
