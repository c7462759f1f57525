"""What magnifiers do with known motions, and what the shared latents of the learned one gain.

Laptop: `.venv/bin/python bench/magnify.py --json runs/magnify.json`, on the processor. Time: four minutes on two cores
that do nothing else, one minute more for every further file of weights.

First table: `aman.magnify.measure` (what is compared with what is said there), PSNR in decibels and effective gain, a
column a displacement d and factor k, SSIM in the JSON; then factor 1 against the frame itself. Rows: `none` (a copy of
the frame), `linear`, `phase`, `flow` (optical flow between the two images, the onset warped along k times that flow:
a reference), `learned` where our weights are there, our earlier weights (`learned-1`), and every file given. Networks
see less than a pixel of total motion or so badly: look for no gain there.

Second and third table: `aman.magnify.exposures`, one face as cameras and JPEG files give it. Two exposures of the still
face, PSNR to the face at the factors 5 and 11 and the error of the colours at 11; then the face moved by half a pixel,
PSNR to the truth and effective gain at 11. A magnifier that multiplies noise is worse here than `none`.

Then one frame at nine factors through the learned magnifier in two ways that take turns: naive (the whole network
for every factor) and shared (`magnify_with`: encoders and motion once, the decoder for every factor).
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import tyro

from aman.errors import UsageError
from aman.magnify import MAGNIFIERS, Magnify, is_learned
from aman.magnify.exposures import FACTORS, MOTION, MOVING, STILL, moving, still
from aman.magnify.learned import magnify_with
from aman.magnify.measure import CASES, SIZE, acceptance, identity, scenes
from aman.magnify.network import Magnifier
from aman.magnify.weights import load_magnifier
from aman.plain_weights import EARLIER_MAGNIFIERS, MAGNIFIER
from cluster.folds.timing import machine
from jobs.command_line import DONE, run_job, say

Float = npt.NDArray[np.float32]

NINE = tuple(range(1, 10))
"""Factors of the paper's best k."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the benchmark."""

    weights: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """A file of magnifier weights: one more row. May be given several times."""
    size: int = SIZE
    """Side of the pictures; another one makes the table another table."""
    rounds: int = 3
    """Rounds of naive against shared."""
    json: Path | None = None
    """File for the numbers as JSON."""


def magnify_flow(onset_HWC: Float, frames_LHWC: Float, factors: Sequence[int]) -> Float:
    """The onset, warped by k times the dense optical flow (DIS) between frame and onset."""
    grey = [cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2GRAY) for image in (onset_HWC, *frames_LHWC)]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    y, x = np.mgrid[: onset_HWC.shape[0], : onset_HWC.shape[1]].astype(np.float32)
    rows = []
    for frame in grey[1:]:
        flow = method.calc(frame, grey[0], np.zeros((*frame.shape, 2), np.float32))
        at = [(x + factor * flow[..., 0], y + factor * flow[..., 1]) for factor in factors]
        rows.append([cv2.remap(onset_HWC, *one, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT) for one in at])
    return np.asarray(rows, np.float32)


def magnifiers(options: Options) -> dict[str, Magnify]:
    """Rows of the table, by name."""
    rows: dict[str, Magnify] = {name: one for name, one in MAGNIFIERS.items() if not is_learned(name)}
    rows["flow"] = magnify_flow
    if MAGNIFIER.is_file():
        rows["learned"] = partial(magnify_with, load_magnifier("learned"))
    for path in (*EARLIER_MAGNIFIERS, *options.weights):
        rows[str(path)] = partial(magnify_with, load_magnifier(str(path)))
    return rows


def compare_quality(options: Options) -> dict[str, Any]:
    """The table; a line as soon as a magnifier is done."""
    say("PSNR in dB / effective gain, mean of two scenes")
    say("  ".join([f"{'':24}", *(f"{case!s:>16}" for case in CASES), "  factor 1", " seconds"]))
    rows = {}
    for name, magnifier in magnifiers(options).items():
        begun = time.perf_counter()
        scores, same = acceptance(magnifier, size=options.size), identity(magnifier, options.size)
        seconds = time.perf_counter() - begun
        cells = [f"{f'{scores[case].psnr:.1f}/{scores[case].gain:.1f}':>16}" for case in CASES]
        say("  ".join([f"{Path(name).name[:24]:24}", *cells, f"{same:10.1f}", f"{seconds:8.1f}"]))
        rows[name] = {"cases": {str(case): asdict(scores[case]) for case in CASES}, "identity_psnr": same}
    return rows


def compare_exposures(options: Options) -> dict[str, Any]:
    """The two tables of exposures; a line as soon as a magnifier is done."""
    rows: dict[str, Any] = {}
    say(f"\nStill face: PSNR in dB at factors {' / '.join(map(str, FACTORS))} (error of colours, grey values)")
    say("  ".join([f"{'':24}", *(f"{exposure!s:>27}" for exposure in STILL)]))
    for name, magnifier in magnifiers(options).items():
        found = still(magnifier, size=options.size)
        cells = [f"{' / '.join(f'{one:.1f}' for one in row.psnr)} ({row.colour[-1]:.1f})" for row in found.values()]
        say("  ".join([f"{Path(name).name[:24]:24}", *(f"{cell:>27}" for cell in cells)]))
        rows[name] = {"still": {str(exposure): asdict(row) for exposure, row in found.items()}}
    say(f"\nFace moved by {MOTION:g} pixels: PSNR in dB to the truth / effective gain, at factor {FACTORS[-1]}")
    say("  ".join([f"{'':24}", *(f"{exposure!s:>27}" for exposure in MOVING)]))
    for name, magnifier in magnifiers(options).items():
        moved = moving(magnifier, size=options.size)
        cells = [f"{row.psnr:.1f}/{row.gain:.1f}" for row in moved.values()]
        say("  ".join([f"{Path(name).name[:24]:24}", *(f"{cell:>27}" for cell in cells)]))
        rows[name]["moving"] = {str(exposure): asdict(row) for exposure, row in moved.items()}
    return rows


def naive(network: Magnifier, onset_HWC: Float, frames_LHWC: Float, factors: Sequence[int]) -> Float:
    """The whole network, once for every frame and factor. Sides must be multiples of 4."""
    onset, *frames = (
        torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None] / 127.5 - 1
        for image in (onset_HWC, *frames_LHWC)
    )
    with torch.inference_mode():
        images = [[network(onset, frame, torch.tensor([float(k)]))[0] for k in factors] for frame in frames]
        stacked = torch.stack([torch.stack(row) for row in images])
    return ((stacked + 1) * 127.5).permute(0, 1, 3, 4, 2).numpy()


def compare_speed(options: Options) -> dict[str, Any]:
    """Seconds of one frame at nine factors, naive and shared, and how far their images are apart."""
    given = [str(path) for path in options.weights]
    names = ["learned"] if MAGNIFIER.is_file() else given[:1]
    network = load_magnifier(names[0]) if names else Magnifier().eval()
    scene = scenes(options.size)[0]
    onset, frames = scene.moved(0), scene.moved(0.5)[None]
    ways = {"naive": partial(naive, network), "shared": partial(magnify_with, network)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    images: dict[str, Float] = {}
    for number in range(options.rounds + 1):  # the first one warms up
        for name in list(ways) if number % 2 else list(ways)[::-1]:
            begun = time.perf_counter()
            images[name] = ways[name](onset, frames, NINE)
            seconds[name].append(time.perf_counter() - begun)
    middle = {name: median(values[1:]) for name, values in seconds.items()}
    apart = float(np.abs(images["naive"] - images["shared"]).max()) / 127.5
    ratio = middle["naive"] / middle["shared"]
    threads = torch.get_num_threads()
    say(f"\nOne frame at {len(NINE)} factors, {options.size}x{options.size}, {threads} threads")
    for name, values in seconds.items():
        say(f"  {name:8} {middle[name]:.2f} s ({min(values[1:]):.2f} to {max(values[1:]):.2f})")
    say(f"  shared is {ratio:.2f} times as fast; largest difference {apart:.1e} of a range of 2")
    return {"seconds": seconds, "ratio": ratio, "largest_difference": apart, "factors": len(NINE)}


def main(options: Options) -> int:
    """All comparisons; always `DONE`, for they are reported and not judged."""
    begun = time.perf_counter()
    if options.rounds < 1 or options.size < 64 or options.size % 4:
        raise UsageError(
            got=f"--rounds {options.rounds} --size {options.size}",
            expected="a round or more, and a multiple of 4 from 64 up",
            fix="leave them out",
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    kind = f"{machine()}, torch {torch.__version__}"
    say(f"{kind}, load before the start {os.getloadavg()[0]:.1f}\n")
    quality = compare_quality(options)
    exposures = compare_exposures(options)
    speed = compare_speed(options)
    say(f"done in {time.perf_counter() - begun:.0f} s, load at the end {os.getloadavg()[0]:.1f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        found = {"machine": kind, "quality": quality, "exposures": exposures, "speed": speed}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
