"""A synthetic database with a known answer, in the layout of CASME II.

Identities are warps and relightings of the public-domain portrait of Eileen Collins in scikit-image. An expression is
a smooth displacement field around the landmarks; a frame is `frame_t(x) = identity(x - d_t(x))` with
`d_t = amplitude_t * field + drift_t`. A subject's strength (the peak of `field` in pixels of the 224x224 face) runs
from `WEAKEST` to `STRONGEST`, a factor of eight: no single magnification suits every subject.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aman.databases.synthetic import RELEASE_FILE
from aman.errors import DataError
from aman.faces import FACE_SIZE, Points, landmarks, similarity

Float = npt.NDArray[np.float32]

WEAKEST, STRONGEST = 0.5, 4.0
"""Strength of the weakest and of the strongest subject, in pixels of the aligned face."""
FRAME_SIZE = 320
"""Side of a frame in pixels; the face takes about half of it."""
PORTRAIT = (slice(0, 230), slice(105, 335))
"""Rows and columns of the portrait around the face."""
NOISE = 1.0
"""Standard deviation of the sensor noise, in grey levels."""
DRIFT = 0.3
"""Head drift from onset to offset, in pixels of the frame (and degrees / 5)."""
JPEG_QUALITY = 97
VERSION = 1

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


@dataclass(frozen=True)
class Portrait:
    """A neutral face: `image_HWC` float32 RGB in [0, 255], and its 68 landmarks."""

    image_HWC: Float
    points: Points


def portrait(model: Path) -> Portrait:
    """The public-domain portrait, cropped around the face and enlarged to `FRAME_SIZE`."""
    from skimage.data import astronaut

    image = astronaut()[PORTRAIT].astype(np.float32)
    large = cv2.resize(image, (FRAME_SIZE, FRAME_SIZE), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return Portrait(large, landmarks(_pixels(large), model, what="the portrait of scikit-image"))


def identity(base: Portrait, model: Path, rng: np.random.Generator) -> Portrait:
    """Another person: the portrait under a smooth warp, other proportions, skin, light and tone."""
    for _ in range(20):
        size = FRAME_SIZE
        warp = np.stack([smooth_noise(rng, size, 45) for _ in range(2)], axis=-1) * 1.0
        centre = base.points.mean(axis=0)
        stretch = rng.uniform(-0.02, 0.02, 2)
        grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
        displacement = (warp + (grid - centre) * stretch).astype(np.float32)
        image = displaced(base.image_HWC, displacement)
        texture = 1 + 0.014 * smooth_noise(rng, size, 1.2) + 0.01 * smooth_noise(rng, size, 4)
        angle = rng.uniform(0, 2 * np.pi)
        ramp = ((grid - size / 2) @ np.array([np.cos(angle), np.sin(angle)])) / size
        light = (1 + rng.uniform(0.03, 0.1) * ramp)[..., None] * rng.uniform(0.97, 1.03, 3)
        image = 255 * (np.clip(image * texture[..., None] * light, 0, 255) / 255) ** rng.uniform(0.96, 1.04)
        image = image.astype(np.float32)
        try:
            return Portrait(image, landmarks(_pixels(image), model, what="a synthetic identity"))
        except DataError:  # a warp too strong for the detector: draw another
            continue
    raise RuntimeError("no identity with a detectable face in 20 draws")


def smooth_noise(rng: np.random.Generator, size: int, reach: float) -> Float:
    """Gaussian noise of unit deviation, smooth over `reach` pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), reach)
    return (noise / noise.std()).astype(np.float32)


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


def displaced(image_HWC: Float, displacement_HW2: Float) -> Float:
    """`image(x - d(x))`, bicubic at float coordinates (OpenCV's remap rounds them to 1/32 px)."""
    import torch

    size = image_HWC.shape[0]
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1) - displacement_HW2
    where = torch.from_numpy((grid / (size - 1) * 2 - 1).astype(np.float32))[None]
    image = torch.from_numpy(image_HWC.transpose(2, 0, 1))[None]
    out = torch.nn.functional.grid_sample(image, where, mode="bicubic", padding_mode="border", align_corners=True)
    return np.ascontiguousarray(out[0].permute(1, 2, 0).numpy())


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


def people(*, subjects: int, seed: int, model: Path) -> Iterator[tuple[Portrait, float, np.random.Generator]]:
    """Every subject's face and strength, with the generator that goes on to draw the subject's clips."""
    base = portrait(model)
    order = np.random.default_rng([seed, 0]).permutation(subjects)
    for number in range(subjects):
        rng = np.random.default_rng([seed, 1, number])
        yield identity(base, model, rng), float(strengths(subjects)[order[number]]), rng


def movement(person: Portrait, label: str, strength: float) -> Float:
    """`field_HW2` in frame pixels of an expression whose peak is `strength` pixels of the aligned face."""
    scale = float(np.linalg.norm(similarity(person.points)[0, :2]))
    return expression_field(person.points, label) * np.float32(strength / scale)


def write_database(out: Path, *, subjects: int, clips_per_subject: int, seed: int, model: Path) -> Iterator[str]:
    """Write the release into `out`, which must be empty or absent; yields a line a subject.

    `CASME2_RAW_selected/sub01/EP01_01/img*.jpg`, the sheet, and `truth/sub01/EP01_01.npz` with what is known of every
    frame, onset to offset: `field_HW2` (frame pixels at the apex), `amplitude_T`, and the arguments of `drift_field`,
    `drift_T` with `direction`, and `pose`, the same for all frames. `true_displacement` puts them together.
    """
    import pandas as pd

    labels = list(EXPRESSIONS)
    rows = []
    for number, (person, strength, rng) in enumerate(people(subjects=subjects, seed=seed, model=model)):
        for position in range(clips_per_subject):
            label = labels[(position + number) % len(labels)]
            subject, name = f"{number + 1:02d}", f"EP{position // 9 + 1:02d}_{position % 9 + 1:02d}"
            folder = out / "CASME2_RAW_selected" / f"sub{subject}" / name
            truth = out / "truth" / f"sub{subject}" / f"{name}.npz"
            field = movement(person, label, strength)
            row = write_clip(folder, "img{}.jpg".format, person, field, rng, truth=truth)
            emotion: dict[str, object] = {"Action Units": EXPRESSIONS[label][0], "Estimated Emotion": label}
            rows.append({"Subject": subject, "Filename": name, **row, **emotion})
        yield f"subject {number + 1}/{subjects}: {clips_per_subject} clips, peak {strength:.2f} px at {FACE_SIZE}"
    columns = ["Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", " ", "Action Units"]
    table = pd.DataFrame(rows).reindex(columns=[*columns, "Estimated Emotion"])
    table.to_excel(out / "CASME2-coding-20140508.xlsx", index=False)
    release = {"version": VERSION, "subjects": subjects, "clips_per_subject": clips_per_subject, "seed": seed}
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
) -> dict[str, int]:
    """Frames of one clip, and its truth where a file is named for it; its onset, apex and offset.

    `file_of` names the file of a frame number in `folder`, and so the format; `onsets` bounds the onset's number;
    `margin` frames lie before and behind the clip, as in CASME II; `crop` pixels are cut from every side of a frame.
    """
    count = int(rng.integers(22, 37))
    apex = int(rng.integers(count // 3, count // 2 + 1))
    amplitude, progress = amplitudes(count, apex), np.linspace(0, 1, count).astype(np.float32)
    direction, onset = float(rng.uniform(0, 2 * np.pi)), int(rng.integers(*onsets))
    posed, towards = float(rng.uniform(-6, 6)), float(rng.uniform(0, 2 * np.pi))
    pose = drift_field(posed, towards)
    gain, kept = rng.uniform(0.95, 1.05), slice(crop, FRAME_SIZE - crop)
    (folder / file_of(onset)).parent.mkdir(parents=True)
    for number in range(-margin, count + margin):
        t = min(max(number, 0), count - 1)
        displacement = pose + amplitude[t] * field + drift_field(float(progress[t]), direction)
        frame = displaced(person.image_HWC, displacement) * gain
        frame = frame + NOISE * rng.standard_normal(frame.shape).astype(np.float32)
        rgb, path = _pixels(frame[kept, kept]), folder / file_of(onset + number)
        image = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if grey else rgb[..., ::-1]
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else [])
    if truth:
        truth.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            truth,
            field_HW2=field.astype(np.float16),
            amplitude_T=amplitude,
            drift_T=progress,
            direction=np.float32(direction),
            pose=np.array([posed, towards], dtype=np.float32),
        )
    return {"OnsetFrame": onset, "ApexFrame": onset + apex, "OffsetFrame": onset + count - 1}


def _pixels(image: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
