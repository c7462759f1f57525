"""Tiny releases and tables for tests: CASME II, SAMM and SMIC-HS with plain images, no face and no dlib."""

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from aman.databases import Clip
from aman.databases.synthetic import RELEASE_FILE
from aman.methods import Recipe, find, variant
from cluster.experiment.grid import Experiment, plan_experiment
from cluster.experiment.plan import Request
from cluster.machines.watch import below

EMOTIONS = ("happiness", "surprise", "disgust", "repression", "others")
HEIGHT, WIDTH = 40, 48
FIRST_FRAME = 8
"""Number of the first frame on disk: with it, names go from one digit to two (`img9.jpg`, `img10.jpg`)."""
SHEET = "CASME2-coding-20140508"
COLUMNS = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion")

Row = dict[str, object]


def small_database(
    folder: Path,
    subjects: int = 2,
    clips_per_subject: int = 2,
    *,
    frames: int = 6,
    frames_folder: str = "CASME2_RAW_selected",
    release: bool = True,
    seed: int = 0,
) -> Path:
    """Write a release into `folder` (made if absent) and return it; the reader `synthetic` takes it with `release`.

    Clip `sub01/EP01_01` has the frames img8.jpg, img9.jpg, img10.jpg, ...; onset is the second one and offset the
    last but one. Frame number f is a texture of the subject's own, as bright as 4 f + 40 in the mean, with a square
    that moves by a pixel a frame. Labels run through `EMOTIONS`, from another one for every subject.
    """
    for number in range(subjects):
        noise = np.random.default_rng([seed, number]).uniform(-30, 30, (HEIGHT, WIDTH, 3))
        texture = cv2.GaussianBlur(noise, (0, 0), 2).astype(np.float64)
        for position in range(clips_per_subject):
            clip_folder = folder / frames_folder / f"sub{number + 1:02d}" / clip_name(position)
            write_frames(clip_folder, texture, frames, start=position)
    write_sheet(folder, sheet_rows(subjects, clips_per_subject, frames=frames))
    if release:
        declared = {"subjects": subjects, "clips_per_subject": clips_per_subject}
        (folder / RELEASE_FILE).write_text(json.dumps(declared))
    return folder


def clip_name(position: int) -> str:
    """`EP01_01`, `EP02_02`, ...: the names of a subject's clips, in their order."""
    return f"EP{position + 1:02d}_{position % 3 + 1:02d}"


def write_frames(folder: Path, texture_HWC: npt.NDArray[np.float64], count: int, *, start: int = 0) -> None:
    """`img8.jpg` and on: the texture, brighter from frame to frame, behind a square that moves."""
    folder.mkdir(parents=True)
    for number in range(FIRST_FRAME, FIRST_FRAME + count):
        image = texture_HWC - texture_HWC.mean() + 4 * number + 40
        left = 6 + start + number - FIRST_FRAME
        image[10:20, left : left + 10] += 60
        write_image(folder / f"img{number}.jpg", np.clip(np.rint(image), 0, 255).astype(np.uint8))


def write_image(path: Path, image_HWC: npt.NDArray[np.uint8]) -> Path:
    """Write an RGB (or grey, `HW`) image in the format of the path's suffix; `GREY` in another shade for each name."""
    if image_HWC is GREY:
        image_HWC = GREY + np.uint8(sum(path.name.encode()) % 60)
    bgr = image_HWC if image_HWC.ndim == 2 else np.ascontiguousarray(image_HWC[..., ::-1])
    assert cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, 97] if path.suffix == ".jpg" else [])
    return path


def write_sheet(
    folder: Path,
    rows: Sequence[Row],
    *,
    name: str = SHEET,
    suffix: str = "xlsx",
    columns: Sequence[str] = ("Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", " ", *COLUMNS[5:]),
) -> Path:
    """The annotation sheet, by default with the two blank columns of the release."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame([[row.get(column, "") for column in columns] for row in rows], columns=list(columns))
    path = folder / f"{name}.{suffix}"
    if suffix == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_excel(path, index=False)
    return path


def sheet_rows(subjects: int = 2, clips_per_subject: int = 2, *, frames: int = 6) -> list[Row]:
    """The rows that `small_database` writes, to be changed and written again."""
    return [
        {
            "Subject": f"{number + 1:02d}",
            "Filename": clip_name(position),
            "OnsetFrame": FIRST_FRAME + 1,
            "ApexFrame": FIRST_FRAME + frames // 2,
            "OffsetFrame": FIRST_FRAME + frames - 2,
            "Action Units": "12",
            "Estimated Emotion": EMOTIONS[(number + position) % len(EMOTIONS)],
        }
        for number in range(subjects)
        for position in range(clips_per_subject)
    ]


def clip_of(paths: Sequence[Path], *, subject: str = "casme2/01", name: str = "EP01_01", label: str = "others") -> Clip:
    """A clip of these files, without a release around it."""
    return Clip(
        clip_id=f"{subject.split('/')[0]}/sub{subject.split('/')[1]}/{name}",
        subject=subject,
        label=label,
        onset=1,
        apex=None,
        offset=max(1, len(paths)),
        frames=tuple(paths),
    )


GREY = np.tile(np.arange(60, 100, 5, dtype=np.uint8), (6, 1))
"""A picture of which only that it is one matters."""
SAMM_HEADER = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration"]
SAMM_HEADER += ["Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes"]


def small_samm(root: Path, *rows: list[object], header: list[str] = SAMM_HEADER, preamble: int = 13) -> Path:
    """SAMM with these rows; frames 98 to 105 of every clip whose subject is a number."""
    root.mkdir(exist_ok=True)
    with (root / "SAMM_Micro_FACS_Codes_v2.csv").open("w", newline="") as file:
        csv.writer(file).writerows([*([["about"]] * preamble), header, *rows])
    for row in rows:
        if str(row[0]).isdigit():
            folder = root / "SAMM" / str(row[0]) / str(row[1])
            folder.mkdir(parents=True, exist_ok=True)
            for frame in range(98, 106):
                write_image(folder / f"{row[0]}_{frame:0{4 + frame % 2}d}.jpg", GREY)
    return root


def samm_row(subject: object = "006", name: object = "006_1_2", **changes: object) -> list[object]:
    cells: dict[str, object] = {"on": 99, "apex": 101, "off": 104, "duration": 6, "label": "Anger", **changes}
    numbers = [1, cells["on"], cells["apex"], cells["off"], cells["duration"]]
    return [subject, name, *numbers, "Micro", "4+7", cells["label"], 1, ""]


def small_smic(root: Path, *clips: str, frames: Sequence[int] = range(990, 1010)) -> Path:
    """SMIC with these clip folders, `s1/micro/negative/s1_ne_01`."""
    for clip in clips:
        folder = root / "HS" / clip
        folder.mkdir(parents=True)
        for frame in frames:
            write_image(folder / f"reg_image{frame}.bmp", GREY)
    return root


def small_smic_of_three(root: Path) -> Path:
    """SMIC with a negative and a positive clip of each of three subjects."""
    kinds = [(subject, kind) for subject in (1, 2, 3) for kind in ("negative", "positive")]
    return small_smic(root, *(f"s{subject}/micro/{kind}/s{subject}_{kind[:2]}_01" for subject, kind in kinds))


GRID: dict[str, object] = {"magnifier": "linear", "trunk_size": 64, "grid_frames": 2, "grid_factors": 2, "k": 2, "n": 2}
TINY = variant(find("aman").recipes["quick"], align="none", epochs=3, **GRID)
"""AMAN in seconds: two frames and two factors, which the trunk sees at 64 pixels, and three epochs."""
LEAST = variant(TINY, grid_frames=1, grid_factors=1, k=1, n=1)
"""AMAN on one picture of each clip: for tests in which only the way of the clips counts."""


def as_options(settings: Mapping[str, object]) -> list[str]:
    """Settings as they stand on the command line."""
    options: list[str] = []
    for setting, value in settings.items():
        values = value if isinstance(value, tuple) else (value,)
        options += [f"--{setting.replace('_', '-')}", *map(str, values)]
    return options


TINY_OPTIONS = as_options({"align": "none", **GRID, "epochs": 3})
"""`TINY` on the command line."""
PAPER_OPTIONS = as_options({"align": "none", **GRID, "grid_frames": 1, "grid_factors": 11, "k": 9, "n": 1, "epochs": 1})
"""The gains of the paper's tables, on one frame of each clip."""


SMALL_METHODS: dict[str, dict[str, object]] = {
    "accordion": {"levels": 2, "trees": 5},
    "aman": {**GRID, "epochs": 2},
    "apex-cnn": {"epochs": 2},
    "bi-woof": {"flow": "dis", "blocks": 2},
    "causalnet": {"flow": "dis", "dim": 8, "repeats": (1, 1, 1), "epochs": 2},
    "dssn": {"flow": "dis", "epochs": 1, "batch": 2},
    "geme": {"epochs": 2},
    "graph-tcn": {"width": 8, "epochs": 2},
    "htnet": {"flow": "dis", "dim": 8, "repeats": (1, 1, 1), "epochs": 2},
    "lbp-sip": {"blocks": 2},
    "lbp-top": {"blocks": 2},
    "lgccond": {"apex": "sheet", "hidden": 8, "epochs": 2},
    "mmnet": {"size": 32, "width": 4, "epochs": 2},
    "off-apexnet": {"flow": "dis", "epochs": 2},
    "rcn-a": {"flow": "dis", "size": 28, "filters": 4, "pool": 3, "epochs": 2},
    "rnma": {"width": 8, "epochs": 2},
    "skd-tstsan": {"flow": "dis", "parts": 2, "epochs": 1, "batch": 4},
    "slstt": {"flow": "dis", "size": 16, "dim": 8, "depth": 1, "heads": 2, "epochs": 1, "batch": 4},
    "ststnet": {"flow": "dis", "epochs": 2},
    "tscnn": {"flow": "dis", "parts": 2, "epochs": 1, "batch": 4},
}
"""Settings with which each method of the house takes seconds, by the method's name, beside `align` none."""


def small_recipe(name: str) -> Recipe:
    """The method with its small settings."""
    method = find(name)
    return variant(method.recipes.get("quick", method.Settings()), align="none", **SMALL_METHODS[name])


def small_options(name: str) -> list[str]:
    """The small settings on the command line."""
    recipe = ["--recipe", "quick"] if "quick" in find(name).recipes else []
    return [*recipe, *as_options({"align": "none", **SMALL_METHODS[name]})]


def planned(root: Path, store: Path | str, recipe: Recipe = TINY, **more: Any) -> Experiment:
    """A benchmark of a small database, in this process unless `here=False`."""
    options: dict[str, Any] = {"here": True, "database": "synthetic", **more}
    return plan_experiment(Request(root=root, recipe=recipe, store=str(store), **options))


def thread_trainer(config: dict[str, Any], tried: list[str] | None = None) -> Any:
    """In place of Ray Train: a thread of this process trains the folds of the queue, which is a Ray actor as ever.
    `tried` gets the keys. For tests of what is around the training: a start of Ray Train takes 15 s of computing."""
    return SimpleNamespace(fit=lambda: _worker()(config, tried))


def task_trainer(config: dict[str, Any]) -> Any:
    """The same in a process of Ray's that has prepared clips before: for tests of what is sent to workers."""
    import ray

    return SimpleNamespace(fit=lambda: ray.get(ray.remote(num_cpus=1)(_worker()).remote(config)))


def _worker() -> Callable[..., None]:
    """Trains the folds of the queue. A function inside another one: workers do not have this file."""

    def work(config: dict[str, Any], tried: list[str] | None = None) -> None:
        import ray

        from cluster.features.loaded import Loaded
        from cluster.folds.here import train_one
        from cluster.folds.queue import work_through
        from cluster.store.open import open_store
        from cluster.store.results import Cache

        cache, work = Cache(open_store(config["store"])), config["work"]
        loaded = Loaded(ray.get(config["supplies"]), cache, "cpu")

        def train(key: str) -> None:
            if tried is not None:
                tried.append(key)
            fold, recipe = work.find(key, ray.get)
            train_one(key, fold.task, recipe, loaded, cache)

        ray.get(config["queue"].join.remote("a worker"))
        work_through(config["queue"], "a worker", train)

    return work


def train_workers() -> list[int]:
    """Processes that train folds in the Ray session that this process started, and in nobody else's."""
    return [pid for pid, command in below(os.getpid()).items() if "RayTrainWorker" in command]
