"""Folders of clips, found by what each level of folders is called; every folder is listed once, however deep it is.

A recording of CAS(ME)^3 has thousands of frames: folders that hold frames are not entered to look for other folders.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aman.databases.index import Problem
from aman.databases.reading.folders import (
    DEPTH,
    Frames,
    cropped,
    entries,
    is_video,
    numbered_frames,
    relative,
    second_folder,
    unreadable,
)

Place = tuple[str, ...]
"""What the names of a clip's folders say: numbers without leading zeros, and names in lower case."""
NUMBERED = re.compile(r"^(?!\.)(?:.*\D)?0*(\d{1,9})\.(?:jpg|jpeg|png|bmp)$", re.IGNORECASE | re.ASCII)
"""A picture whose number is the last number in its name."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form in which a release is unpacked."""

    levels: tuple[re.Pattern[str], ...]
    """What the folders of each level are called, the last of which holds frames. All groups together are the place."""
    example: str
    frame: re.Pattern[str] = NUMBERED
    """First group: the frame's number."""
    whole: bool = False
    """Whether a folder holds a whole recording, of which clips are parts."""
    spread: bool = False
    """Whether several folders hold one copy together (a folder for each emotion)."""


@dataclass(kw_only=True)
class Copy:
    """One copy of a release's frames, or a part of a copy."""

    form: Form
    folder: Path
    clips: dict[Place, Path]
    """Folder or video of each clip or recording."""
    folders: list[Path] = field(default_factory=list)
    """Every folder that holds a part of it."""
    problems: list[Problem] = field(default_factory=list)
    read: dict[Path, Frames] = field(default_factory=dict)
    denied: list[Path] = field(default_factory=list)

    def frames(self, place: Place) -> Frames:
        """The frames at a place, listed when they are first asked for; none where there is no folder."""
        path = self.clips.get(place)
        if path is None:
            return Frames()
        if path not in self.read:
            self.read[path] = numbered_frames(path, self.form.frame, self.denied)
        return self.read[path]


@dataclass(kw_only=True)
class Listing:
    """What lies below a root."""

    root: Path
    files: list[Path] = field(default_factory=list)
    """Files that lie in no folder of frames."""
    copies: list[Copy] = field(default_factory=list)
    denied: list[Path] = field(default_factory=list)
    skip: re.Pattern[str] | None = None
    """Folders that are not entered: other cameras, depth, macro-expressions."""
    seen: dict[Path, tuple[list[Path], list[Path]]] = field(default_factory=dict)

    def inside(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Folders and files in a folder."""
        if folder not in self.seen:
            folders, files = entries(folder, self.denied)
            kept = [one for one in folders if not (self.skip and self.skip.search(one.name))]
            self.seen[folder] = kept, files
        return self.seen[folder]

    def find(self, file: re.Pattern[str]) -> list[Path]:
        """Files whose name matches, in the order of their names."""
        found = [path for path in self.files if file.match(path.name)]
        return sorted(found, key=lambda path: (path.name, len(path.parts), str(path)))


def listing(root: Path, forms: Sequence[Form], skip: re.Pattern[str] | None = None) -> Listing:
    """All copies of these forms below the root, nearest first, and the files beside them."""
    found = Listing(root=root, skip=skip)
    level = [root]
    for _ in range(DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            folders, files = found.inside(folder)
            claimed = set[Path]()
            for form in forms:
                copy = _copy(found, folder, form)
                if copy:
                    found.copies.append(copy)
                    claimed |= set(copy.clips.values())
            found.files += [path for path in files if path not in claimed]
            found.seen[folder] = folders, files
            below += [one for one in folders if one not in claimed]
        taken = {path for copy in found.copies for path in copy.clips.values()}
        level = [one for one in below if one not in taken]
    return found


def _copy(found: Listing, folder: Path, form: Form) -> Copy | None:
    copy = Copy(form=form, folder=folder, clips={}, folders=[folder])
    for place, path in _matching(found, folder, form.levels):
        _add(copy, place, path, found.root)
    return copy if copy.clips else None


def _add(copy: Copy, place: Place, path: Path, root: Path) -> None:
    """Put a folder at its place: of two folders at one place the one that holds more."""
    other = copy.clips.setdefault(place, path)
    if other != path:
        best, second = sorted((other, path), key=lambda one: -numbered_frames(one, copy.form.frame).filled)
        copy.clips[place] = best
        copy.problems.append(second_folder(second, best, root))


def _matching(
    found: Listing, folder: Path, levels: Sequence[re.Pattern[str]], place: Place = ()
) -> Iterator[tuple[Place, Path]]:
    folders, files = found.inside(folder)
    last = len(levels) == 1
    for path in [*folders, *(one for one in files if last and is_video(one))]:
        match = levels[0].match(path.stem if is_video(path) and path in files else path.name)
        if not match:
            continue
        here = (*place, *(plain(one) for one in match.groups() if one is not None))
        if last:
            yield here, path
        else:
            yield from _matching(found, path, levels[1:], here)


def plain(text: str) -> str:
    """A part of a place: a number without leading zeros, or a name in lower case."""
    return str(int(text)) if text.isascii() and text.isdigit() else text.lower()


def united(found: Listing) -> list[Copy]:
    """The copies, where parts of one copy that lie in several folders (sections, training and test) are one."""
    whole: list[Copy] = []
    for copy in found.copies:
        crop = cropped(copy.folder, found.root)
        for other in whole:
            alike = other.form is copy.form and cropped(other.folder, found.root) == crop
            if alike and (copy.form.spread or not other.clips.keys() & copy.clips.keys()):
                other.problems += copy.problems
                other.folders += copy.folders
                for place, path in copy.clips.items():
                    _add(other, place, path, found.root)
                break
        else:
            whole.append(copy)
    return whole


def best_copy(
    copies: Sequence[Copy], root: Path, wanted: Callable[[Copy], Sequence[Place]]
) -> tuple[Copy | None, list[Problem]]:
    """The copy that holds frames of most of the wanted places; among equals raw before cropped, then the nearest one.
    A problem for each other copy that holds a wanted place."""

    def count(copy: Copy) -> int:
        return sum(1 for place in wanted(copy) if place in copy.clips and copy.frames(place).filled)

    ranked = sorted(
        ((count(copy), copy) for copy in copies),
        key=lambda one: (-one[0], cropped(one[1].folder, root), len(one[1].folder.parts), str(one[1].folder)),
    )
    ranked = [one for one in ranked if set(wanted(one[1])) & one[1].clips.keys()]
    if not ranked:
        return None, []
    (most, best), problems = ranked[0], []
    lacking = len(wanted(best)) - most
    missing = f"; it has {lacking} clips less than the sheet" if lacking else ""
    for clips, other in ranked[1:]:
        problems.append(
            Problem(
                file=relative(other.folder, root),
                row=None,
                what=f"another copy of the frames, with {clips} of the clips; {relative(best.folder, root)} is read"
                + missing,
                fix="merge them if they are parts of one; else give a --root with the wanted one and the sheet alone",
                consequence="its frames are not used",
            )
        )
    return best, problems


def strangers(found: Listing, copies: Sequence[Copy], copy: Copy) -> list[Problem]:
    """A problem for each folder of frames beside the clips of a copy whose name is that of no clip."""
    known = {path for one in copies for path in one.clips.values()}
    beside = [child for folder in copy.folders for child in found.inside(folder)[0] if child not in known]
    what, fix = "a folder of frames whose name is that of no clip", "name it as the release names it, or move it away"
    return [
        Problem(file=relative(one, found.root), row=None, what=what, fix=fix, consequence="its frames are not used")
        for one in beside
        if numbered_frames(one, copy.form.frame).filled
    ]


def no_entry(found: Listing, copies: Sequence[Copy]) -> list[Problem]:
    """A problem for each folder that cannot be entered."""
    denied = [*found.denied, *(path for copy in copies for path in copy.denied)]
    return [unreadable(path, found.root) for path in dict.fromkeys(denied)]
