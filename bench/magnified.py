"""Clips of the synthetic database at every level of magnification, a row for each magnifier: a picture to look at.

`python bench/magnified.py --out FILE.png` draws the apex of five clips, from weak to strong by their true strength. The
first column is the onset, the others are the levels 1 to 11. The rows of a clip are our earlier weights (`learned-1`),
our weights of today (`learned`) and `phase`; `--magnifiers` takes other names or files of weights.

Time: about half a minute of one core.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from aman.databases import Clip, find
from aman.errors import UsageError
from aman.inputs.aligned import Source
from aman.magnify import magnify
from aman.making import ensure_database
from aman.places import check_file
from aman.training.settings import Alignment
from jobs.command_line import DONE, root_of, run_job, say

LEVELS = tuple(range(1, 12))
"""The paper's levels."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    out: Path = Path("runs/magnified.png")
    """The picture; a PNG or JPEG file."""
    root: str = ""
    """Folder of a synthetic database. Empty: that of the jobs, which is made where it is missing."""
    clips: int = 5
    """Clips, evenly from the weakest to the strongest."""
    magnifiers: tuple[str, ...] = ("learned-1", "learned", "phase")
    """Names of magnifiers, or files of weights."""
    side: int = 84
    """Side of one image in the picture, in pixels."""


def main(options: Options) -> int:
    """Writes the picture and says which rows it has."""
    if options.clips < 1 or options.side < 16:
        raise UsageError(
            got=f"--clips {options.clips} --side {options.side}",
            expected="one clip or more, and 16 pixels or more",
            fix="leave them out",
        )
    check_file(options.out, "--out")
    ensure_database("synthetic", options.root, False, say)
    database, root = find("synthetic"), Path(root_of("synthetic", options.root))
    clips = sorted(database.index(root).clips, key=lambda clip: strength(root, clip))
    chosen = [clips[at] for at in np.linspace(0, len(clips) - 1, options.clips).round().astype(int)]
    rows = []
    for clip in chosen:
        rows += rows_of(clip, options.magnifiers, options.side)
        say(f"{clip.clip_id}: {strength(root, clip):.2f} px; rows: {', '.join(options.magnifiers)}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    say(f"{options.out}: onset, then levels {LEVELS[0]} to {LEVELS[-1]}")
    return DONE


def strength(root: Path, clip: Clip) -> float:
    """The largest true movement of the clip, in pixels of the aligned face."""
    known = find("synthetic").truth
    truth = known(root, clip.clip_id) if known else None
    assert truth is not None, "the synthetic database has the truth of every clip"
    return float(truth.strength)


def rows_of(clip: Clip, magnifiers: Sequence[str], side: int) -> list[np.ndarray]:
    """A row of images for each magnifier, uint8 (side, 12 * side, 3)."""
    face_THWC = Alignment().aligned().make(Source(clip=clip)).face_THWC
    apex = clip.apex_position
    assert apex is not None, "the synthetic database has the apex of every clip"
    onset, frames = face_THWC[0].astype(np.float32), face_THWC[apex][None].astype(np.float32)
    rows = []
    for name in magnifiers:
        images = [face_THWC[0], *magnify(name, onset, frames, LEVELS)[0]]
        small = [cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in images]
        rows.append(np.hstack(small))
    return rows


if __name__ == "__main__":
    run_job(Options, main, __doc__)
