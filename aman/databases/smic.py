"""SMIC-HS as it is downloaded and unpacked (Li et al., 2013): subject / micro / emotion / clip, and no sheet.

The label is the folder. Names are padded differently by release, so numbers are compared; there is no apex, and the
middle frame stands for it by convention.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from aman.databases.base import FITS_NONE, Database, Edition, Protocol, Published, counts, fits, same, table_2
from aman.databases.index import Clip, Index, Problem, unusable
from aman.databases.reading.annotated import COMPARE, last_number
from aman.databases.reading.folders import (
    Frames,
    clips_in,
    cropped,
    entries,
    existing_folder,
    frame_count,
    is_video,
    numbered_frames,
    relative,
    second_folder,
    subfolders,
    unreadable,
    walk,
)
from aman.errors import DataError

SUBJECT = re.compile(r"^s0*(\d{1,3})$", re.IGNORECASE | re.ASCII)
CLIP = re.compile(r"^s0*(\d{1,3})_(ne|po|su)[a-z]*_0*(\d{1,4})$", re.IGNORECASE | re.ASCII)
FRAME = re.compile(r"^(?:reg_)?image0*(\d{1,9})\.(?:bmp|jpg|jpeg|png)$", re.IGNORECASE | re.ASCII)
OTHER_CAMERA = re.compile(r"(^|[^a-z])(nir|vis)([^a-z]|$)", re.IGNORECASE)
LABELS = {"ne": "negative", "po": "positive", "su": "surprise"}
CODES = {"negative": "ne", "positive": "po", "surprise": "sur"}
SPONTANEOUS = ("non_micro", "non-micro", "nonmicro")
SHORTEST = 11
"""Frames of the shortest clip of the release, s3_ne_03."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One copy of the high-speed part."""

    folder: Path
    clips: tuple[tuple[Path, int, str], ...]
    """Each clip's folder or video, its subject by the folder above, its label."""
    long: bool
    """Whether clips lie beneath their subject at once, as in the long release."""
    problems: tuple[Problem, ...]

    def filled(self) -> int:
        """Clips that hold a frame."""
        return sum(1 for folder, _, _ in self.clips if numbered_frames(folder, FRAME).filled)


def read_smic(root: Path) -> Index:
    """Index of SMIC-HS under `root`, cropped, raw or long (`DataError` where no release can be found there)."""
    root = existing_folder(root, "give the folder that holds SMIC_all_cropped or HS")
    copies = find_copies(root)
    if not copies:
        raise DataError(
            got=f"no folder with s1/micro, s2/micro, ... of the high-speed camera under {root}",
            expected="the frames as the release unpacks them, HS/s1/micro/negative/s1_ne_01",
            fix="unpack SMIC-HS there (folders called NIR or VIS are the other cameras')",
        )
    copy, problems = copies[0], list(copies[0].problems)
    problems += [
        Problem(
            file=relative(other.folder, root),
            row=None,
            what=f"another copy of the frames, with {len(other.clips)} clips; {relative(copy.folder, root)} is read",
            fix="merge them if they are parts of one; else give the wanted one as --root",
            consequence="its frames are not used",
        )
        for other in copies[1:]
    ]
    if copy.long:
        problems.append(
            Problem(
                file=relative(copy.folder, root),
                row=None,
                what="a copy of the long release: its folders begin before the onset and end behind the offset",
                fix="take the release of clips, SMIC_all_cropped",
                consequence="every frame of a folder counts as its clip",
            )
        )
    clips: dict[str, tuple[Clip, Path]] = {}
    for folder, subject, label in copy.clips:
        clip, more = make_clip(folder, subject, label, root)
        problems += more
        if clip is None:
            continue
        other = clips.get(clip.clip_id)
        if other is None:
            clips[clip.clip_id] = clip, folder
        elif other[0].label != clip.label:
            what, fix = f"{clip.clip_id} lies in the folder of {other[0].label} too", "keep the right one"
            file = relative(folder, root)
            problems.append(unusable(file=file, row=None, what=what, fix=fix, clip_id=clip.clip_id, label=clip.label))
        else:
            first, second = sorted((other, (clip, folder)), key=lambda one: -len(one[0].frames))
            clips[clip.clip_id] = first
            problems.append(second_folder(second[1], first[1], root))
    lost = {problem.clip_id for problem in problems}
    kept = sorted((clip for clip, _ in clips.values() if clip.clip_id not in lost), key=lambda clip: clip.clip_id)
    return Index(database="smic", clips=tuple(kept), problems=tuple(problems))


def find_copies(root: Path) -> list[Copy]:
    """Copies of the high-speed part under the root: not the long one where there is another, the fullest first, then
    raw before cropped, then the nearest."""
    copies = []
    for folder in walk(root):
        parts = (root.name, *folder.relative_to(root).parts)
        if any(OTHER_CAMERA.search(part) for part in parts):
            continue
        copy = copy_in(folder, root)
        if copy:
            copies.append(copy)

    def rank(copy: Copy) -> tuple[bool, int, bool, int, str]:
        folder = copy.folder
        return copy.long, -copy.filled(), cropped(folder, root), len(folder.parts), folder.as_posix()

    return sorted(copies, key=rank)


def copy_in(folder: Path, root: Path) -> Copy | None:
    """The copy whose subjects lie in this folder, or None."""
    clips: list[tuple[Path, int, str]] = []
    problems: list[Problem] = []
    denied: list[Path] = []
    long, known = "long" in relative(folder, root).lower(), False
    for child in subfolders(folder):
        match = SUBJECT.match(child.name)
        if not match:
            if any(CLIP.match(name) for name, _ in clips_in(child)) or (child / "micro").is_dir():
                problems.append(nameless(child, root, "no subject's name", "name it s1, s2, ..."))
            elif CLIP.match(child.name):
                problems.append(nameless(child, root, "a clip beside the subjects", "move it to its subject"))
            continue
        subject = int(match.group(1))
        for name, inner in clips_in(child, denied):
            named = CLIP.match(name)
            if inner.name.lower() == "micro":
                known = True
                for emotion in entries(inner, denied)[0]:
                    if emotion.name.lower() in CODES:
                        clips += [(clip, subject, emotion.name.lower()) for _, clip in clips_in(emotion, denied)]
                    else:
                        fix = "give it one of these names if it holds clips"
                        problems.append(nameless(emotion, root, f"none of {', '.join(CODES)}", fix))
            elif named:
                long = long or not known
                clips.append((inner, subject, LABELS[named.group(2).lower()]))
            elif inner.name.lower() not in SPONTANEOUS and not is_video(inner):
                problems.append(nameless(inner, root, "neither micro nor a clip", "name it micro if it holds clips"))
    problems += [unreadable(path, root) for path in denied]
    return Copy(folder=folder, clips=tuple(clips), long=long, problems=tuple(problems)) if clips else None


def nameless(folder: Path, root: Path, what: str, fix: str) -> Problem:
    """A folder of which it cannot be said what it holds."""
    lost = "what lies in it is not used"
    return Problem(file=relative(folder, root), row=None, what=f"{folder.name} is {what}", fix=fix, consequence=lost)


def make_clip(folder: Path, subject: int, label: str, root: Path) -> tuple[Clip | None, list[Problem]]:
    """The clip in a folder, or None, and what is wrong with it."""
    name = folder.stem if is_video(folder) else folder.name
    file, named = relative(folder, root), CLIP.match(name)
    code, place = (CODES[LABELS[named.group(2).lower()]], int(named.group(3))) if named else ("", 0)
    rest = f"s{subject}_{code}_{place:02d}" if named else re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    clip_id = f"smic/s{subject}/{rest}"
    problems: list[Problem] = []

    def lost(what: str, fix: str) -> tuple[None, list[Problem]]:
        one = unusable(file=file, row=None, what=what, fix=fix, clip_id=clip_id, label=label)
        return None, [*problems, one]

    def told(what: str, fix: str, consequence: str) -> None:
        problems.append(Problem(file=file, row=None, what=what, fix=fix, consequence=consequence))

    if not named:
        return lost(f"{folder.name} is no name of a clip", f"name it s{subject}_{CODES[label]}_01, or move it away")
    if int(named.group(1)) != subject:
        what = f"a clip of subject {named.group(1)} in the folder of subject {subject}"
        return lost(what, "move it where it belongs")
    if LABELS[named.group(2).lower()] != label:
        what = f"{folder.name} lies in the folder of {label}"
        told(what, "move it if that is wrong", f"it counts as {label}: the label is the folder")
    frames: Frames = numbered_frames(folder, FRAME)
    try:
        numbers = sorted(frames.by_number) or list(range(1, frame_count(frames.video) + 1 if frames.video else 1))
    except DataError as error:
        return lost(f"{error.got}", error.fix)
    if not numbers and not frames.video:
        return lost(f"no frame in the folder ({frames.told})", COMPARE)
    if len(numbers) == 1:
        return lost("a clip of one frame", f"motion needs two frames or more: {COMPARE}")
    if frames.twice:
        return lost(f"two files with the number of {frames.twice[0]}", "keep the right one")
    missing, which = frames.gaps(numbers[0], numbers[-1]) if frames.by_number else (0, "")
    if missing > len(numbers):
        return lost(f"{missing} of {missing + len(numbers)} frames are missing ({which})", COMPARE)
    used = f"the clip is used with the {len(numbers)} frames that are there"
    if missing:
        span = numbers[-1] - numbers[0] + 1
        what = f"gaps in the numbering: {missing} of {span} numbers are missing ({which})"
        told(what, COMPARE, used)
    elif numbers and len(numbers) < SHORTEST:
        what = f"{len(numbers)} frames; the shortest clip of the release has {SHORTEST}"
        told(what, COMPARE, used)
    clip = Clip(
        clip_id=clip_id,
        subject=f"smic/s{subject}",
        label=label,
        onset=numbers[0] if numbers else 1,
        apex=numbers[len(numbers) // 2] if numbers else None,
        offset=numbers[-1] if numbers else 0,
        frames=(frames.video,) if frames.video else frames.between(numbers[0], numbers[-1]),
        numbers=tuple(numbers) if missing else (),
        source=file,
    )
    return clip, problems


def identify(subject: str, clip: str) -> tuple[str, str]:
    """Clip id and subject id of `s03` (or `s3`, `3`) and `s03_ne_7`; `ValueError` where these name no clip."""
    number, named = last_number(subject), re.match(r"^s0*(\d+)_(ne|po|sur)[a-z]*_0*(\d+)$", clip.lower(), re.ASCII)
    if not named:
        raise ValueError("no clip of SMIC")
    return f"smic/s{number}/s{number}_{named.group(2)}_{int(named.group(3)):02d}", f"smic/s{number}"


THREE = ("negative", "positive", "surprise")

DATABASE = Database(
    name="smic",
    title="SMIC-HS",
    about="SMIC_all_cropped/HS or another copy of HS, and no sheet",
    read=read_smic,
    identify=identify,
    fps=(100,),
    protocols=(
        Protocol(
            name="smic-hs-3",
            database="smic",
            classes=THREE,
            labels={"smic": same(*THREE)},
            editions=(Edition(name="HS", counts=counts(THREE, 70, 51, 43), folds=16),),
            published={
                **table_2(
                    {
                        "LBP-SIP": (62.80, None),
                        "DSSN": (63.41, 64.62),
                        "TSCNN-I": (72.74, 72.36),
                        "LGCconD": (63.41, 62.00),
                        "RNMA": (49.40, 49.60),
                        "GEME": (64.63, 61.58),
                        "AMAN": (79.87, 77.08),
                    },
                    notes={
                        "LBP-SIP": "protocol unconfirmed: fits 103 of 164 clips, and is not in its own abstract",
                        "DSSN": fits(104, 164),
                        "TSCNN-I": FITS_NONE,
                        "LGCconD": fits(104, 164),
                        "RNMA": fits(81, 164),
                        "GEME": fits(106, 164),
                    },
                ),
                "SLSTT": Published(
                    accuracy=73.71,
                    f1=72.40,
                    note="best test epoch, says the released script; fits no number of clips that was tried",
                    source="Zhang et al., IEEE TAFFC, 2022",
                ),
                "Bi-WOOF": Published(
                    f1=62.00,
                    note="protocol unconfirmed: the abstract names no number of clips; there is no epoch to choose",
                    source="Liong et al., Signal Processing: Image Communication 62, 2018, abstract",
                ),
            },
            rule="every clip of the high-speed camera, by folder",
        ),
    ),
)
