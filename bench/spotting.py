"""How well the apex of a clip is found without its annotation: each rule of `--apex` on the synthetic database.

`python bench/spotting.py` prints a row for each rule: the mean distance from the annotated apex in frames and as a
share of the clip (its frames from onset to offset), and the share of clips in which the distance is at most a tenth of
the clip. `--root` is another release with apexes; a clip without an apex is left out. The first frame behind the onset
is a rule of its own, so that nobody takes a number for a good one that any guess has.

Time: about two CPU-seconds a clip, most of it for the alignment and for the frequency domain.
"""

from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np

from aman.databases import find
from aman.inputs.aligned import AlignedClip, Source
from aman.inputs.spotting import FOUND, spotter
from aman.making import ensure_database
from aman.training.settings import Alignment
from jobs.command_line import DONE, root_of, run_job, say

NEAR = 0.1
"""A distance of at most this share of the clip is a hit."""
FIRST = "first frame"
"""The rule that looks at nothing."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    database: str = "synthetic"
    """A database whose clips have annotated apexes."""
    root: str = ""
    """Folder of its release. Empty: that of the jobs, which is made where it is missing."""
    clips: int = 0
    """Clips, evenly over the database; 0: all."""


def main(options: Options) -> int:
    """A row for each rule."""
    ensure_database(options.database, options.root, False, say)
    index = find(options.database).index(Path(root_of(options.database, options.root)))
    known = [(clip, at) for clip in index.clips if (at := clip.apex_position) is not None]
    if 0 < options.clips < len(known):
        known = [known[at] for at in np.linspace(0, len(known) - 1, options.clips).round().astype(int)]
    aligned = Alignment().aligned()
    distances: dict[str, list[int]] = {rule: [] for rule in (*FOUND, FIRST)}
    seconds = dict.fromkeys(distances, 0.0)
    lengths = []
    for clip, apex in known:
        source = aligned.make(Source(clip=clip))
        lengths.append(len(source.face_THWC))
        for rule in distances:
            begun = process_time()
            distances[rule].append(abs(found(rule, source) - apex))
            seconds[rule] += process_time() - begun
    say(f"{len(known)} clips of {min(lengths)} to {max(lengths)} frames, {np.mean(lengths):.1f} in the mean")
    say("| rule | frames off, mean | share of the clip, mean | within a tenth of the clip | CPU-seconds a clip |")
    say("|---|---|---|---|---|")
    for rule, off in distances.items():
        share = np.array(off) / lengths
        hits = f"{(share <= NEAR).mean():.0%}"
        say(f"| `{rule}` | {np.mean(off):.1f} | {share.mean():.1%} | {hits} | {seconds[rule] / len(known):.2f} |")
    return DONE


def found(rule: str, source: AlignedClip) -> int:
    """Position of the apex by this rule."""
    if rule == FIRST:
        return min(1, len(source.face_THWC) - 1)
    return int(spotter(rule, Alignment().aligned()).make(source)["positions_3"][1])


if __name__ == "__main__":
    run_job(Options, main, __doc__)
