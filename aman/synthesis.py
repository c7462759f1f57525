"""A synthetic database with a known answer, in the layout of CASME II.

Identities are warps and relightings of the public-domain portrait of Eileen Collins in scikit-image. An expression is
a smooth displacement field around the landmarks; a frame is `frame_t(x) = identity(x - d_t(x))` with
`d_t = amplitude_t * field + drift_t`. The strength of a clip is the peak of `field` in pixels of the 224x224 face.

There are two versions (`LOOKS`). In version 2 every second clip is weak and the others are strong, a quarter of the
movement of another class goes along with each, noise and compression are those of a camera, and the apex is anywhere
in the middle of the clip: a weak clip needs a gain at which the accompanying movement of a strong one is as visible as
an expression, so that no single magnification suits all clips. In version 1 all clips of a subject have one strength,
from 0.5 to 4 pixels, and no movement goes along.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aman.databases.synthetic import RELEASE_FILE, VERSION
from aman.faces import FACE_SIZE, Points, similarity
from aman.identities import FRAME_SIZE, Float, Portrait, Variety, displaced, identity, pixels, portrait, smooth_noise

WEAKEST, STRONGEST = 0.5, 4.0
"""Strength of the weakest and of the strongest subject of version 1, in pixels of the aligned face."""
LENGTHS = 22, 36
"""Frames of the shortest and of the longest clip."""
DRIFT = 0.3
"""Head drift from onset to offset, in pixels of the frame (and degrees / 5)."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the clips of one version are like."""

    variety: Variety
    noise: float
    """Standard deviation of the sensor noise of each colour, in grey levels."""
    noise_reach: float
    """Pixels over which the noise is smooth; 0: no two pixels have noise in common."""
    jpeg_quality: int
    apex: tuple[float, float]
    """First and last place of the apex, as a share of the clip."""
    groups: tuple[tuple[float, float], ...] = ()
    """Least and greatest strength, in pixels of the aligned face, of each group of clips; a clip's own is drawn evenly
    in the logarithm. Empty: a strength for each subject, from `WEAKEST` to `STRONGEST`."""
    accompanying: float = 0
    """Strength of the movement of another class that goes along, as a share of the clip's strength."""


LOOKS = {
    1: Look(
        variety=Variety(warp=1, stretch=0.02, texture=0.014, light=(0.03, 0.1), colour=0.03, gamma=0.04),
        noise=1,
        noise_reach=0,
        jpeg_quality=97,
        apex=(1 / 3, 1 / 2),
    ),
    2: Look(
        variety=Variety(warp=2, stretch=0.05, texture=0.03, light=(0.05, 0.3), colour=0.1, gamma=0.15),
        noise=2,
        noise_reach=0.8,
        jpeg_quality=90,
        apex=(0.2, 0.8),
        groups=((0.4, 1.0), (2.5, 6.0)),
        accompanying=0.25,
    ),
}
"""By version of the synthetic database."""

EXPRESSIONS: dict[str, tuple[str, tuple[tuple[int, float, float], ...]]] = {
    "happiness": ("12", ((48, -0.7, -0.8), (54, 0.7, -0.8), (60, -0.4, -0.5), (64, 0.4, -0.5))),
    "surprise": ("1+2", ((18, 0.0, -1.0), (20, 0.0, -1.0), (23, 0.0, -1.0), (25, 0.0, -1.0))),
    "disgust": ("9+10", ((31, 0.0, -1.0), (35, 0.0, -1.0), (50, 0.0, -0.7), (52, 0.0, -0.7))),
    "repression": ("15+17", ((48, 0.0, 1.0), (54, 0.0, 1.0), (57, 0.0, -0.9), (8, 0.0, -0.6))),
    "others": ("4", ((21, 0.6, 0.8), (22, -0.6, 0.8), (19, 0.2, 0.6), (24, -0.2, 0.6))),
}
"""Class: action units, and (landmark, dx, dy) of the displacement's centres. All known anatomy, no learned part."""
REACH = 0.22
"""Extent of one centre (standard deviation), as a share of the distance between the eyes' centres."""


def expression_field(points: Points, label: str) -> Float:
    """`field_HW2` (dx, dy) of an expression on a face with these landmarks; its largest length is 1."""
    reach = REACH * float(np.linalg.norm(points[36:42].mean(axis=0) - points[42:48].mean(axis=0)))
    rows, columns = np.mgrid[:FRAME_SIZE, :FRAME_SIZE]
    field = np.zeros((FRAME_SIZE, FRAME_SIZE, 2), dtype=np.float32)
    for landmark, dx, dy in EXPRESSIONS[label][1]:
        x, y = points[landmark]
        bump = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * reach**2))
        field += bump[..., None] * np.array([dx, dy])
    return (field / np.linalg.norm(field, axis=-1).max()).astype(np.float32)


def amplitudes(count: int, apex: int) -> Float:
    """Strength of every frame: 0 at the onset, 1 at the apex, down to 0.1 at the offset, smooth."""
    t = np.arange(count)
    rise = 0.5 - 0.5 * np.cos(np.pi * t / apex)
    fall = 0.55 + 0.45 * np.cos(np.pi * (t - apex) / (count - 1 - apex))
    return np.where(t <= apex, rise, fall).astype(np.float32)


def drift_field(progress: float, direction: float) -> Float:
    """Displacement of a slow rigid movement of the head, `progress` from 0 (onset) to 1 (offset)."""
    grid = np.stack(np.meshgrid(np.arange(FRAME_SIZE), np.arange(FRAME_SIZE)), axis=-1) - FRAME_SIZE / 2
    turn = np.deg2rad(DRIFT / 5) * progress * np.sign(np.sin(7 * direction))
    shift = DRIFT * progress * np.array([np.cos(direction), np.sin(direction)])
    return (shift + turn * np.stack([-grid[..., 1], grid[..., 0]], axis=-1)).astype(np.float32)


def true_displacement(truth: Path) -> Float:
    """`d_THW2` (dx, dy) in frame pixels of a saved `truth/.../*.npz`: every frame relative to the onset."""
    with np.load(truth, allow_pickle=False) as known:
        field, direction = known["field_HW2"].astype(np.float32), float(known["direction"])
        return np.stack(
            [
                amplitude * field + drift_field(float(progress), direction)
                for amplitude, progress in zip(known["amplitude_T"], known["drift_T"], strict=True)
            ]
        )


def strengths(subjects: int) -> npt.NDArray[np.float64]:
    """Peak displacement of each subject's expressions in face pixels, evenly in the logarithm."""
    return np.geomspace(WEAKEST, STRONGEST, subjects) if subjects > 1 else np.array([STRONGEST])


def people(
    *, subjects: int, seed: int, model: Path, look: Look = LOOKS[1]
) -> Iterator[tuple[Portrait, float, np.random.Generator]]:
    """Every subject's face and the strength that it has in version 1, with the generator that goes on to draw the
    subject's clips."""
    base = portrait(model)
    order = np.random.default_rng([seed, 0]).permutation(subjects)
    for number in range(subjects):
        rng = np.random.default_rng([seed, 1, number])
        yield identity(base, model, rng, look.variety), float(strengths(subjects)[order[number]]), rng


def drawn(look: Look, label: str, group: int, rng: np.random.Generator) -> tuple[float, str]:
    """The strength of a clip of a group, in pixels of the aligned face, and the other class that goes along."""
    least, greatest = look.groups[group % len(look.groups)]
    strength = float(np.exp(rng.uniform(np.log(least), np.log(greatest))))
    return strength, str(rng.choice([name for name in EXPRESSIONS if name != label]))


def movement(person: Portrait, label: str, strength: float) -> Float:
    """`field_HW2` in frame pixels of an expression whose peak is `strength` pixels of the aligned face."""
    scale = float(np.linalg.norm(similarity(person.points)[0, :2]))
    return expression_field(person.points, label) * np.float32(strength / scale)


def write_database(
    out: Path, *, subjects: int, clips_per_subject: int, seed: int, model: Path, version: int = VERSION
) -> Iterator[str]:
    """Write the release into `out`, which must be empty or absent; yields a line a subject.

    `CASME2_RAW_selected/sub01/EP01_01/img*.jpg`, the sheet, and `truth/sub01/EP01_01.npz` with what is known of every
    frame, onset to offset: `field_HW2` (frame pixels at the apex), `amplitude_T`, `strength` (pixels of the aligned
    face), and the arguments of `drift_field`, `drift_T` with `direction`, and `pose`, which is one for all frames.
    `true_displacement` puts them together.
    """
    import pandas as pd

    look, labels = LOOKS[version], list(EXPRESSIONS)
    rows = []
    for number, (person, strength, rng) in enumerate(people(subjects=subjects, seed=seed, model=model, look=look)):
        peaks = []
        for position in range(clips_per_subject):
            label = labels[(position + number) % len(labels)]
            subject, name = f"{number + 1:02d}", f"EP{position // 9 + 1:02d}_{position % 9 + 1:02d}"
            folder = out / "CASME2_RAW_selected" / f"sub{subject}" / name
            truth = out / "truth" / f"sub{subject}" / f"{name}.npz"
            field = movement(person, label, strength)
            if look.groups:  # each class is weak and strong in turn
                strength, other = drawn(look, label, position // len(labels) + labels.index(label) + number, rng)
                along = movement(person, other, strength * look.accompanying)
                field = movement(person, label, strength) + along
            peaks.append(strength)
            row = write_clip(folder, "img{}.jpg".format, person, field, rng, truth=truth, look=look, strength=strength)
            emotion: dict[str, object] = {"Action Units": EXPRESSIONS[label][0], "Estimated Emotion": label}
            rows.append({"Subject": subject, "Filename": name, **row, **emotion})
        peak = " to ".join(f"{one:.2f}" for one in sorted({min(peaks), max(peaks)}))
        yield f"subject {number + 1}/{subjects}: {clips_per_subject} clips, peak {peak} px at {FACE_SIZE}"
    columns = ["Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", " ", "Action Units"]
    table = pd.DataFrame(rows).reindex(columns=[*columns, "Estimated Emotion"])
    table.to_excel(out / "CASME2-coding-20140508.xlsx", index=False)
    release = {"version": version, "subjects": subjects, "clips_per_subject": clips_per_subject, "seed": seed}
    (out / RELEASE_FILE).write_text(json.dumps(release, indent=1) + "\n")


def write_clip(
    folder: Path,
    file_of: Callable[[int], str | Path],
    person: Portrait,
    field: Float,
    rng: np.random.Generator,
    *,
    onsets: tuple[int, int] = (3, 95),
    margin: int = 2,
    grey: bool = False,
    crop: int = 0,
    truth: Path | None = None,
    look: Look = LOOKS[1],
    strength: float = 0,
) -> dict[str, int]:
    """Frames of one clip, and its truth where a file is named for it; its onset, apex and offset.

    `file_of` names the file of a frame number in `folder`, and so the format; `onsets` bounds the onset's number;
    `margin` frames lie before and behind the clip, as in CASME II; `crop` pixels are cut from every side of a frame.
    """
    count = int(rng.integers(LENGTHS[0], LENGTHS[1] + 1))
    apex = int(rng.integers(int(look.apex[0] * count), int(look.apex[1] * count) + 1))
    amplitude, progress = amplitudes(count, apex), np.linspace(0, 1, count).astype(np.float32)
    direction, onset = float(rng.uniform(0, 2 * np.pi)), int(rng.integers(*onsets))
    posed, towards = float(rng.uniform(-6, 6)), float(rng.uniform(0, 2 * np.pi))
    pose = drift_field(posed, towards)
    gain, kept = rng.uniform(0.95, 1.05), slice(crop, FRAME_SIZE - crop)
    (folder / file_of(onset)).parent.mkdir(parents=True, exist_ok=True)
    for number in range(-margin, count + margin):
        t = min(max(number, 0), count - 1)
        displacement = pose + amplitude[t] * field + drift_field(float(progress[t]), direction)
        frame = displaced(person.image_HWC, displacement) * gain
        frame = frame + np.float32(look.noise) * noise_of(look, frame.shape, rng)
        rgb, path = pixels(frame[kept, kept]), folder / file_of(onset + number)
        image = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if grey else rgb[..., ::-1]
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, look.jpeg_quality] if path.suffix == ".jpg" else [])
    if truth:
        truth.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            truth,
            field_HW2=field.astype(np.float16),
            amplitude_T=amplitude,
            strength=np.float32(strength),
            drift_T=progress,
            direction=np.float32(direction),
            pose=np.array([posed, towards], dtype=np.float32),
        )
    return {"OnsetFrame": onset, "ApexFrame": onset + apex, "OffsetFrame": onset + count - 1}


def noise_of(look: Look, shape: tuple[int, ...], rng: np.random.Generator) -> Float:
    """Noise `_HWC` of unit deviation, as smooth as the look has it; each colour has its own."""
    if not look.noise_reach:
        return rng.standard_normal(shape).astype(np.float32)
    return np.stack([smooth_noise(rng, shape[0], look.noise_reach) for _ in range(shape[2])], axis=-1)
