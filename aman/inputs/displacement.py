"""Displacement between two images by the optical flow of well-known libraries, and the strain of such a field."""

from importlib.metadata import version
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from aman.frames import Image

FlowKind = Literal["tvl1", "dis", "farneback"]
Field = npt.NDArray[np.floating[Any]]

FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)
"""Pyramid scale, levels, window, iterations, neighbourhood, its Gaussian, flags: as most code of the field has them."""


def grey(face_HWC: Image) -> Image:
    """`HW` uint8 of an RGB image."""
    return np.asarray(cv2.cvtColor(face_HWC, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def displacement(first_HW: Image, second_HW: Image, kind: FlowKind) -> npt.NDArray[np.float32]:
    """`flow_2HW` (u, v) in pixels: what is at (x, y) in the first image is at (x + u, y + v) in the second.

    u counts columns to the right, v rows down. `tvl1` is scikit-image's TV-L1, `dis` and `farneback` are OpenCV's. Of
    two equal images the flow is 0, but Farneback's reaches 0.1 px in the last columns and rows.
    """
    if kind == "tvl1":
        from skimage.registration import optical_flow_tvl1

        # Grey levels in [0, 1] are what the default weight of the data term is made for.
        v, u = optical_flow_tvl1(np.float32(first_HW) / 255, np.float32(second_HW) / 255)
        return np.stack([u, v]).astype(np.float32)
    if kind == "dis":
        estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        flow_HW2 = estimator.calc(first_HW, second_HW, None)  # pyrefly: ignore[no-matching-overload]
    else:
        # pyrefly: ignore[no-matching-overload]
        flow_HW2 = cv2.calcOpticalFlowFarneback(first_HW, second_HW, None, *FARNEBACK)
    return np.ascontiguousarray(flow_HW2.transpose(2, 0, 1), dtype=np.float32)


def library(kind: FlowKind) -> str:
    """The library that computes this flow, and its version: another version may give other numbers."""
    if kind == "tvl1":
        return f"scikit-image {version('scikit-image')}"
    return f"opencv {cv2.getVersionString()}"


def optical_strain(u_HW: Field, v_HW: Field) -> Field:
    """`strain_HW`: how much the skin is stretched at each pixel, without direction.

    eps = sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2), the Frobenius norm of the symmetric part of the flow's derivatives,
    which are central differences. A translation has none; a stretch u = a x has |a|. (Equation 7 of the STSTNet paper
    prints u_x twice.)
    """
    u_y, u_x = np.gradient(u_HW)
    v_y, v_x = np.gradient(v_HW)
    return np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)
