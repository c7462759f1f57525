"""Phase-based magnification (Wadhwa et al., 2013) of two frames, over plenoptic's complex steerable pyramid."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]


@functools.lru_cache(maxsize=4)
def _pyramid(height: int, width: int) -> Any:
    from plenoptic.process import SteerablePyramidFreq

    return SteerablePyramidFreq((height, width), order=3, is_complex=True, downsample=True)


def magnify_phase(onset_HWC: Float, frames_LHWC: Float, factors: Sequence[int]) -> Float:
    """Each complex band of B turned further by (factor - 1) times its phase difference from A.

    Motion is local phase, so a gain of phase is a gain of displacement, without the gain of noise that the linear
    magnifier has. Works channel by channel; the low-pass and high-pass residuals are B's own.
    """
    import torch

    pyramid = _pyramid(*onset_HWC.shape[:2])
    images = []
    with torch.inference_mode():
        onset = pyramid(_planes(onset_HWC))
        for frame_HWC in frames_LHWC:
            bands = pyramid(_planes(frame_HWC))
            turns = {
                level: torch.angle(band * onset[level].conj()) for level, band in bands.items() if band.is_complex()
            }
            for factor in factors:
                turned = dict(bands)
                for level, turn in turns.items():
                    angle = (factor - 1) * turn
                    turned[level] = bands[level] * torch.polar(torch.ones_like(angle), angle)
                images.append(pyramid.recon_pyr(turned)[:, 0].permute(1, 2, 0).numpy())
    return np.stack(images).reshape(len(frames_LHWC), len(factors), *onset_HWC.shape)


def _planes(image_HWC: Float) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(image_HWC.transpose(2, 0, 1)))[:, None]
