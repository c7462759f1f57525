"""Motion magnifiers: every sampled frame against the onset, at every factor.

A factor is the total gain: 1 leaves the frame as it is, 5 shows five times the displacement from the onset. A
magnifier is a function `(onset_HWC, frames_LHWC, factors) -> image_LKHWC` in float; a new one is a module and a row
of `MAGNIFIERS`. Entry (frame j, factor i) depends on neither the other frames nor the other factors. What is no name in
`MAGNIFIERS` names weights of the learned one: ours of an earlier time, or a file.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from aman.magnify.learned import magnify_learned
from aman.magnify.linear import magnify_linear
from aman.magnify.phase import magnify_phase

Float = npt.NDArray[np.float32]
Magnify = Callable[[Float, Float, Sequence[int]], Float]


def magnify_none(onset_HWC: Float, frames_LHWC: Float, factors: Sequence[int]) -> Float:
    """Every factor is the frame itself: the control."""
    del onset_HWC
    return np.repeat(frames_LHWC[:, None], len(factors), axis=1)


MAGNIFIERS: dict[str, Magnify] = {
    "none": magnify_none,
    "linear": magnify_linear,
    "phase": magnify_phase,
    "learned": magnify_learned,
}


def is_learned(name: str) -> bool:
    """Whether `name` (of a magnifier, or a file) means the network, whose weights are then part of the content key."""
    return name == "learned" or name not in MAGNIFIERS


def magnifier_for(name: str) -> Magnify:
    """The magnifier that a name, or weights of the learned one, mean."""
    return MAGNIFIERS[name] if name in MAGNIFIERS else partial(magnify_learned, weights=name)


def magnify(name: str, onset_HWC: Float, frames_LHWC: Float, factors: Sequence[int]) -> npt.NDArray[np.uint8]:
    """`image_LKHWC` uint8: `frames_LHWC` (float32, [0, 255]) at every factor, rounded and clipped once at the end."""
    images = magnifier_for(name)(onset_HWC, frames_LHWC, factors)
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)
