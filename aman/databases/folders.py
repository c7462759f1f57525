"""Where frames lie: folders of subjects and clips, however often a release was unpacked into itself."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

DEPTH = 6
"""How far below the root a release may lie."""
IGNORED = re.compile(r"^(\.|__MACOSX$|~\$)")


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, in the order of their names; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not IGNORED.match(entry.name) and entry.is_dir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def walk(root: Path, stop: Callable[[Path], bool], depth: int = DEPTH) -> Iterator[Path]:
    """The root and the folders below it, nearest first; what `stop` holds for is not entered."""
    level = [root]
    for _ in range(depth + 1):
        yield from level
        level = [child for folder in level for child in subfolders(folder) if not stop(child)]


def find_files(root: Path, name: re.Pattern[str], depth: int = 3) -> list[Path]:
    """Files under the root whose name matches, in the order of their names."""
    found = []
    for folder in walk(root, lambda path: False, depth):
        try:
            with os.scandir(folder) as entries:
                found += [folder / e.name for e in entries if name.match(e.name) and not IGNORED.match(e.name)]
        except OSError:
            continue
    return sorted(found, key=lambda path: (path.name, len(path.parts)))


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Image files of one clip by their number."""

    by_number: dict[int, Path]
    twice: tuple[str, ...] = ()
    """Names of files whose number another file has."""

    def between(self, onset: int, offset: int) -> tuple[Path, ...]:
        """Files from onset to offset, both included, in numeric order."""
        return tuple(self.by_number[n] for n in sorted(self.by_number) if onset <= n <= offset)

    def gaps(self, onset: int, offset: int, most: int = 5) -> tuple[int, str]:
        """How many numbers from onset to offset are missing, and the first of them as text."""
        there = sorted(number for number in self.by_number if onset <= number <= offset)
        missing = max(0, offset - onset + 1 - len(there))
        runs: list[str] = []
        before = onset - 1
        for number in [*there, offset + 1]:
            if number > before + 1 and len(runs) <= most:
                first, last = before + 1, number - 1
                runs.append(str(first) if first == last else f"{first}-{last}")
            before = number
        return missing, ", ".join(runs[:most]) + (", ..." if len(runs) > most else "")


def numbered_frames(folder: Path | None, name: re.Pattern[str]) -> Frames:
    """Files of a folder by the number that is the pattern's first group; whatever else lies there is left alone."""
    by_number: dict[int, Path] = {}
    twice: list[str] = []
    try:
        entries = sorted(folder.iterdir()) if folder else []
    except OSError:
        entries = []
    for path in entries:
        match = name.match(path.name)
        if match:
            number = int(match.group(1))
            if number in by_number:
                twice.append(path.name)
            else:
                by_number[number] = path
    return Frames(by_number=by_number, twice=tuple(twice))


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One copy of a release's frames: clip folders by subject number and lower-case clip name."""

    folder: Path
    clips: dict[tuple[int, str], Path]


def trees(root: Path, subject: re.Pattern[str]) -> list[Tree]:
    """Every folder under the root that holds folders of subjects (first group: the number)."""
    found = []
    for folder in walk(root, lambda path: bool(subject.match(path.name))):
        clips: dict[tuple[int, str], Path] = {}
        for child in subfolders(folder):
            match = subject.match(child.name)
            if match:
                clips |= {(int(match.group(1)), clip.name.lower()): clip for clip in subfolders(child)}
        if clips:
            found.append(Tree(folder=folder, clips=clips))
    return found


def cropped(folder: Path, root: Path) -> bool:
    """Whether a copy holds faces that were cropped by the release, by its name."""
    return "crop" in relative(folder, root).lower()


def relative(path: Path, root: Path) -> str:
    """The path as a user sees it below `--root`."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
