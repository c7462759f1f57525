"""SMIC-HS as it is downloaded and unpacked (Li et al., 2013): subject / micro / emotion / clip, and no sheet.

The label is the folder. Names are padded differently by release, so numbers are compared; there is no apex, and the
middle frame stands for it by convention.
"""

import re
from pathlib import Path

from aman.databases.folders import cropped, numbered_frames, relative, subfolders, walk
from aman.databases.index import Clip, Index, Problem, unusable
from aman.errors import DataError

SUBJECT = re.compile(r"^s0*(\d{1,3})$", re.IGNORECASE | re.ASCII)
CLIP = re.compile(r"^s0*(\d{1,3})_(ne|po|su)[a-z]*_0*(\d{1,4})$", re.IGNORECASE | re.ASCII)
FRAME = re.compile(r"^(?:reg_)?image0*(\d{1,9})\.(?:bmp|jpg|jpeg|png)$", re.IGNORECASE | re.ASCII)
LABELS = {"ne": "negative", "po": "positive", "su": "surprise"}
CODES = {"negative": "ne", "positive": "po", "surprise": "sur"}
OTHER_CAMERAS = ("nir", "vis")


def read_smic(root: Path) -> Index:
    """Index of SMIC-HS under `root`, cropped, raw or long (`DataError` where no release can be found there)."""
    if not root.is_dir():
        raise DataError(
            got=f"--root {root}, which is no folder",
            expected="the folder of the unpacked release",
            fix="give the folder that holds SMIC_all_cropped or HS",
        )
    copies = find_copies(root)
    if not copies:
        raise DataError(
            got=f"no folder with s1/micro, s2/micro, ... under {root}",
            expected="the frames as the release unpacks them, HS/s1/micro/negative/s1_ne_01",
            fix="unpack SMIC-HS there",
        )
    folder, found = copies[0]
    problems = [
        Problem(
            file=relative(other, root),
            row=None,
            what=f"another copy of the frames, with {len(more)} clips; {relative(folder, root)} is read",
            fix="to read this one, give it as --root",
            consequence="its frames are not used",
        )
        for other, more in copies[1:]
    ]
    clips: dict[str, Clip] = {}
    for clip_folder, subject, label in found:
        clip, more = make_clip(clip_folder, subject, label, root)
        if clip and clip.clip_id in clips:
            what, fix = f"a second folder of {clip.clip_id}", "keep the right one"
            file = relative(clip_folder, root)
            problems.append(
                unusable(file=file, row=None, what=what, fix=fix, clip_id=clip.clip_id, label=clip.label),
            )
        elif clip:
            clips[clip.clip_id] = clip
        problems += more
    twice = {problem.clip_id for problem in problems}
    kept = sorted((clip for clip in clips.values() if clip.clip_id not in twice), key=lambda clip: clip.clip_id)
    return Index(database="smic", clips=tuple(kept), problems=tuple(problems))


Found = tuple[Path, int, str]
"""A clip's folder, its subject by the folder above, its label."""


def find_copies(root: Path) -> list[tuple[Path, list[Found]]]:
    """Copies of the high-speed part under the root: the largest first, then raw before cropped, then the nearest."""
    copies = []
    for folder in walk(root, lambda path: bool(SUBJECT.match(path.name)) or path.name.lower() in OTHER_CAMERAS):
        if any(part.lower() in OTHER_CAMERAS for part in folder.relative_to(root).parts):
            continue
        clips = [one for child in subfolders(folder) for one in clips_of(child)]
        if clips:
            copies.append((folder, clips))
    return sorted(copies, key=lambda one: (-len(one[1]), cropped(one[0], root), len(one[0].parts), one[0].as_posix()))


def clips_of(folder: Path) -> list[Found]:
    """Clips of one subject's folder: `micro/negative/s1_ne_01`, or in a long release `s1_ne_01` at once."""
    match = SUBJECT.match(folder.name)
    if not match:
        return []
    subject, found = int(match.group(1)), []
    for child in subfolders(folder):
        named = CLIP.match(child.name)
        if child.name.lower() == "micro":
            for emotion in subfolders(child):
                if emotion.name.lower() in CODES:
                    found += [(clip, subject, emotion.name.lower()) for clip in subfolders(emotion)]
                else:
                    found.append((emotion, subject, ""))
        elif named:
            found.append((child, subject, LABELS[named.group(2).lower()]))
    return found


def make_clip(folder: Path, subject: int, label: str, root: Path) -> tuple[Clip | None, list[Problem]]:
    """The clip in a folder, or None, and what is wrong with it."""
    file, named = relative(folder, root), CLIP.match(folder.name)
    if not label:
        what = f"{folder.name} is none of {', '.join(CODES)}"
        fix, lost = "give it one of these names if it holds clips", "what lies in it is not used"
        return None, [Problem(file=file, row=None, what=what, fix=fix, consequence=lost)]
    if not named:
        clip_id = f"smic/s{subject}/{re.sub(r'[^A-Za-z0-9_.-]', '_', folder.name)}"
        what, fix = f"{folder.name} is no name of a clip", f"name it s{subject}_{CODES[label]}_01, or move it away"
        return None, [unusable(file=file, row=None, what=what, fix=fix, clip_id=clip_id, label=label)]
    code = CODES[LABELS[named.group(2).lower()]]
    clip_id = f"smic/s{subject}/s{subject}_{code}_{int(named.group(3)):02d}"
    if int(named.group(1)) != subject:
        what, fix = f"a clip of subject {named.group(1)} in the folder of subject {subject}", "move it where it belongs"
        return None, [unusable(file=file, row=None, what=what, fix=fix, clip_id=clip_id, label=label)]
    problems = []
    if LABELS[named.group(2).lower()] != label:
        what = f"{folder.name} lies in the folder of {label}"
        said = f"it counts as {label}: the label is the folder"
        problems.append(
            Problem(file=file, row=None, what=what, fix="move it if that is wrong", consequence=said),
        )
    frames = numbered_frames(folder, FRAME)
    numbers = sorted(frames.by_number)
    if not numbers:
        what, fix = "no frame in the folder", "unpack the clip again"
        return None, [*problems, unusable(file=file, row=None, what=what, fix=fix, clip_id=clip_id, label=label)]
    if frames.twice:
        what, fix = f"two files with the number of {frames.twice[0]}", "keep the right one"
        return None, [*problems, unusable(file=file, row=None, what=what, fix=fix, clip_id=clip_id, label=label)]
    missing, which = frames.gaps(numbers[0], numbers[-1])
    if missing:
        what = f"gaps in the numbering: {missing} of {numbers[-1] - numbers[0] + 1} numbers are missing ({which})"
        used = f"the clip is used with the {len(numbers)} frames that are there"
        problems.append(Problem(file=file, row=None, what=what, fix="unpack the clip again", consequence=used))
    clip = Clip(
        clip_id=clip_id,
        subject=f"smic/s{subject}",
        label=label,
        onset=numbers[0],
        apex=numbers[len(numbers) // 2],
        offset=numbers[-1],
        frames=frames.between(numbers[0], numbers[-1]),
        source=file,
    )
    return clip, problems
