"""Linear Eulerian magnification (Wu et al., 2012) of two frames."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]


def magnify_linear(onset_HWC: Float, frames_LHWC: Float, factors: Sequence[int]) -> Float:
    """`A + factor (B - A)`: true for displacements below a pixel; multiplies noise by the factor."""
    factor_K = np.asarray(factors, dtype=np.float32)[None, :, None, None, None]
    return onset_HWC + factor_K * (frames_LHWC - onset_HWC)[:, None]  # pyrefly: ignore[bad-return]
