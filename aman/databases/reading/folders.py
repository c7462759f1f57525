"""Where frames lie: folders of subjects and clips, however often a release was unpacked into itself."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from aman.databases.index import VIDEO, Problem
from aman.errors import DataError

DEPTH = 6
"""How far below the root a release may lie."""
IGNORED = re.compile(r"^(\.|__MACOSX$|~\$)")


def existing_folder(root: Path, fix: str) -> Path:
    """The root, absolute; `DataError` where it is no folder."""
    try:
        absolute = Path(os.path.abspath(root))  # noqa: PTH100 (`Path.absolute` keeps `..`, whose parent is another)
        found = absolute.is_dir()
    except OSError:
        found = False
    if not found:
        raise DataError(
            got=f"--root {root}, which is no folder", expected="the folder of the unpacked release", fix=fix
        )
    return absolute  # pyrefly: ignore[unbound-name]


Names = tuple[tuple[str, ...], tuple[str, ...]]
"""Names of the folders and of the files in a folder, each in order."""
_LISTED: ContextVar[dict[str, Names | None] | None] = ContextVar("listed", default=None)
"""What is in each folder that was listed, by its path; None for a folder that cannot be entered."""


@contextmanager
def listed_once() -> Iterator[None]:
    """Within it no folder is listed twice, however often readers look for something there."""
    token = _LISTED.set({}) if _LISTED.get() is None else None
    try:
        yield
    finally:
        if token:
            _LISTED.reset(token)


def names_in(folder: Path, denied: list[Path] | None = None) -> Names:
    """What is in a folder; links that lead nowhere are neither folders nor files. A folder that cannot be entered is
    added to `denied`."""
    listed, path = _LISTED.get(), str(folder)
    known = {} if listed is None else listed
    if path not in known:
        known[path] = _names_at(path)
    names = known[path]
    if names is None and denied is not None:
        denied.append(folder)
    return names or ((), ())


def _names_at(path: str) -> Names | None:
    folders, files = list[str](), list[str]()
    try:
        with os.scandir(path) as found:
            for entry in found:
                if IGNORED.match(entry.name):
                    continue
                try:
                    if entry.is_dir():
                        folders.append(entry.name)
                    elif entry.is_file():
                        files.append(entry.name)
                except OSError:  # a link in a circle, say: its neighbours are read all the same
                    continue
    except OSError:
        return None
    return tuple(sorted(folders)), tuple(sorted(files))


def entries(folder: Path, denied: list[Path] | None = None) -> tuple[list[Path], list[Path]]:
    """Folders and files in a folder, in the order of their names. A folder that cannot be entered is added to
    `denied`."""
    folders, files = names_in(folder, denied)
    return [folder / name for name in folders], [folder / name for name in files]


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, in the order of their names."""
    return [folder / name for name in names_in(folder)[0]]


def walk(root: Path, depth: int = DEPTH) -> Iterator[Path]:
    """The root and the folders below it, nearest first."""
    level = [root]
    for _ in range(depth + 1):
        yield from level
        level = [child for folder in level for child in subfolders(folder)]


def find_files(root: Path, name: re.Pattern[str], depth: int = DEPTH) -> list[Path]:
    """Files under the root whose name matches, in the order of their names."""
    found = [folder / file for folder in walk(root, depth) for file in names_in(folder)[1] if name.match(file)]
    return sorted(found, key=lambda path: (path.name, len(path.parts), str(path)))


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Image files of one clip by their number, or the video that holds it."""

    by_number: dict[int, Path] = field(default_factory=dict)
    video: Path | None = None
    """The only video there where no image is: its frames have the numbers 1, 2, ..."""
    twice: tuple[str, ...] = ()
    """Names of files whose number another file has."""
    others: tuple[str, ...] = ()
    """Names of files that are no frames."""

    @property
    def filled(self) -> int:
        """How many files hold the clip; 0 where nothing is there that can be read."""
        return len(self.by_number) or int(self.video is not None)

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

    @property
    def told(self) -> str:
        """How many frames there are, and what else lies there where there is none."""
        if self.by_number or not self.others:
            return f"{len(self.by_number)} frames in the folder"
        return f"no numbered JPEG, PNG or BMP in the folder, but {', '.join(self.others[:2])}, ..."


def is_video(path: Path) -> bool:
    """Whether a file is a video by its name."""
    return VIDEO.search(path.name) is not None


def frame_count(video: Path) -> int:
    """Frames that a video says to have; 0 for an empty file, as which a bucket's is shown (`DataError`: unreadable)."""
    from aman.pictures.video import frame_count as counted  # loads OpenCV, which a list of names does without

    return counted(video)


def clips_in(folder: Path, denied: list[Path] | None = None) -> list[tuple[str, Path]]:
    """Name and place of the clips in a folder: its folders, and its videos by their names without the suffix."""
    folders, files = entries(folder, denied)
    return [(path.name, path) for path in folders] + [(path.stem, path) for path in files if is_video(path)]


def numbered_frames(folder: Path | None, name: re.Pattern[str], denied: list[Path] | None = None) -> Frames:
    """The frames in a folder, by number. The first group of the pattern `name` is the number; a file that does not
    match is no frame. `folder` may also be a video file, or hold one video and no picture."""
    by_number: dict[int, Path] = {}
    twice, others = [], []
    if folder is None:
        return Frames()
    if is_video(folder) and not folder.is_dir():
        return Frames(video=folder)
    files = names_in(folder, denied)[1]
    for file in files:
        match = name.match(file)
        if match is None:
            others.append(file)
        elif int(match.group(1)) in by_number:
            twice.append(file)
        else:
            by_number[int(match.group(1))] = folder / file
    videos = [] if by_number else [path for path in (folder / file for file in files) if is_video(path)]
    video = videos[0] if len(videos) == 1 else None
    return Frames(by_number=by_number, video=video, twice=tuple(twice), others=tuple(others))


Place = tuple[int, str]
"""Number of a subject and name of a clip in lower case."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One copy of a release's frames."""

    folder: Path
    clips: dict[Place, tuple[Path, Frames]]
    """Folder and frames of each clip: of several folders of one clip, the one that holds most."""
    problems: tuple[Problem, ...] = ()
    """Folders that could not be entered, that are a clip's second, or that are no subject's though frames lie there."""


def trees(root: Path, subject: re.Pattern[str], frame: re.Pattern[str]) -> list[Tree]:
    """Every folder under the root that holds folders of subjects (first group: the number) with clips in them."""
    found = []
    for folder in walk(root):
        clips: dict[Place, tuple[Path, Frames]] = {}
        told: list[Problem] = []
        denied: list[Path] = []
        for child in subfolders(folder):
            match = subject.match(child.name)
            if not match:
                continue
            for name, clip in clips_in(child, denied):
                place, one = (int(match.group(1)), name.lower()), (clip, numbered_frames(clip, frame, denied))
                other = clips.get(place)
                if other is not None:
                    one, other = sorted((one, other), key=lambda each: -each[1].filled)
                    told.append(second_folder(other[0], one[0], root))
                clips[place] = one
        if clips:
            told += [unreadable(path, root) for path in denied]
            told += strangers(folder, subject, frame, root)
            found.append(Tree(folder=folder, clips=clips, problems=tuple(told)))
    return found


def strangers(folder: Path, subject: re.Pattern[str], frame: re.Pattern[str], root: Path) -> list[Problem]:
    """Folders beside those of the subjects that hold clips and have no subject's name."""
    problems = []
    for child in subfolders(folder):
        if not subject.match(child.name) and any(numbered_frames(c, frame).filled for _, c in clips_in(child)):
            problems.append(
                Problem(
                    file=relative(child, root),
                    row=None,
                    what="a folder with clips whose name is no subject's",
                    fix="name it as the others are named, or move it away",
                    consequence="its frames are not used",
                )
            )
    return problems


def second_folder(path: Path, used: Path, root: Path) -> Problem:
    """A clip's second folder."""
    what = f"a second folder of a clip; {relative(used, root)} holds as many frames or more and is read"
    return Problem(
        file=relative(path, root), row=None, what=what, fix="merge the two", consequence="its frames are not used"
    )


def unreadable(path: Path, root: Path) -> Problem:
    """A folder that cannot be entered."""
    consequence = "what lies in it is not used"
    return Problem(
        file=relative(path, root),
        row=None,
        what="a folder that cannot be entered",
        fix="change its permissions",
        consequence=consequence,
    )


def cropped(folder: Path, root: Path) -> bool:
    """Whether a copy holds faces that were cropped by the release, by its name."""
    return "crop" in relative(folder, root).lower()


def relative(path: Path, root: Path) -> str:
    """The path as a user sees it below `--root`."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
