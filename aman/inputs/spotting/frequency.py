"""Keyframes whose apex is found in the frequency domain, whatever the release says.

The source is Li, Huang and Zhao, "Can micro-expression be recognized based on single apex frame?", ICIP 2018, with the
program that its authors released; the paper takes all 36 blocks, the program nine of them by a line that cannot be
right.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import fft

from aman.content import content_key
from aman.inputs.aligned import AlignedClip, scaled
from aman.inputs.base import ClipFacts
from aman.inputs.displacement import grey
from aman.inputs.lbp_top import codes
from aman.inputs.spotting.found import FoundKeyframes

HIGH_FREQUENCY = "high-frequency"
"""Rule of these keyframes: see `apex_of`."""
WINDOW = 61
"""Frames around a frame that are looked at; the first and the last frame stand for those outside the clip, and the
nearest one in time for one that is missing."""
BLOCKS = 6
"""Rows and columns of blocks."""
LEAST_DISTANCE = 31
"""Distance from frequency 0, in steps of the spectrum, from which on a frequency is a high one."""


@dataclass(frozen=True, kw_only=True)
class SpottedKeyframes(FoundKeyframes):
    """What `Keyframes` has, with another apex."""

    name: ClassVar[str] = "keyframes-spotted"
    rules: ClassVar[tuple[str, ...]] = (HIGH_FREQUENCY,)
    by_effect: ClassVar[tuple[str, ...]] = ("source", "window_rate")

    window_rate: float = 0
    """Frames a second that the window is counted in; 0 takes the frames of the clip as they are."""

    def key(self, source_key: str, facts: ClipFacts) -> str:
        stage = super().key(source_key, facts)
        rate = scaled(self.window_rate, facts)
        return content_key({"stage": stage, **rate}) if rate else stage

    def spot(self, source: AlignedClip) -> int:
        return apex_of(source, self.window_rate)


def apex_of(clip: AlignedClip, window_rate: float = 0) -> int:
    """Position of the frame around which the high frequencies of the binary patterns are strongest.

    The first of equals counts, and the onset itself only where the clip has no other frame. Where the clip is shorter
    than the window, each window holds all of the clip and the sums differ little: on clips of about 27 frames the apex
    that is found is mostly near one end.
    """
    sums = high_frequencies(clip, window_rate)
    return 1 + int(np.argmax(sums[1:])) if len(sums) > 1 else 0


def high_frequencies(clip: AlignedClip, window_rate: float = 0) -> list[float]:
    """For each frame: its map of local binary patterns and those of the window around it are cut into blocks; the
    moduli of the high frequencies of each block (in y, x and time) are summed, and the sums of all blocks added."""
    grey_THW = np.stack([grey(face) for face in clip.face_THWC]).astype(np.float32)
    # Patterns of single frames: `codes` wants neighbours in time too, which the plane xy does not look at.
    pattern_THW = codes(np.concatenate([grey_THW[:1], grey_THW, grey_THW[-1:]]), "xy", (1, 1, 1))
    count, (height, width) = len(pattern_THW), (side // BLOCKS for side in pattern_THW.shape[1:])
    block_TYHXW = pattern_THW[:, : BLOCKS * height, : BLOCKS * width].reshape(count, BLOCKS, height, BLOCKS, width)
    # In space each frame is transformed once, for all windows that it is in; of x, half the spectrum tells the other.
    spectrum = fft.rfft2(block_TYHXW.transpose(0, 1, 3, 2, 4).astype(np.float32))
    steps = [np.abs(np.rint(fft.fftfreq(size) * size)) for size in (WINDOW, height)]
    x_steps = np.arange(spectrum.shape[-1])
    distance = np.sqrt(
        steps[0][:, None, None] ** 2 + steps[1][None, :, None] ** 2 + x_steps[None, None, :].astype(float) ** 2
    )
    twice = np.where((x_steps == 0) | ((width % 2 == 0) & (x_steps == width // 2)), 1, 2)
    weight_TYX = (distance >= LEAST_DISTANCE) * twice
    steps_T = range(-(WINDOW // 2), WINDOW // 2 + 1)
    return [
        float(
            (
                np.abs(fft.fft(spectrum[clip.around(at, steps_T, window_rate)], axis=0)).sum(axis=(1, 2)) * weight_TYX
            ).sum()
        )
        for at in range(count)
    ]
