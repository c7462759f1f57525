"""Temporal interpolation (TIM, Zhou et al. 2011) in closed form, and which of its frames are sampled."""

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

INTERPOLATED_FRAMES = 20
"""L: frames of every clip after temporal interpolation (paper, section 3.1)."""


def interpolation_matrix(given: int, wanted: int) -> npt.NDArray[np.float64]:
    """`P` (wanted x given): interpolated frames are `P @ frames`, whatever the images are.

    TIM embeds the frames of a clip on a curve of sines, `F_k(t) = sin(pi k t + pi (n - k) / 2n)`; as the graph is
    a path, its eigenvectors are known and the published SVD is not needed. Equals half-sample cosine (DCT-II)
    interpolation. One frame is repeated; one wanted frame is the first.
    """
    order = np.arange(1, given)

    def curve(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.sin(np.pi * order * t[:, None] + np.pi * (given - order) / (2 * given))

    basis = curve(np.arange(1, given + 1) / given)
    return 1 / given + 2 / given * curve(np.linspace(1 / given, 1, wanted)) @ basis.T


def interpolate(frames_THWC: npt.NDArray[np.uint8], wanted: int = INTERPOLATED_FRAMES) -> Float:
    """`face_LHWC` float32 in [0, 255]: the clip at `wanted` frames, first and last as given.

    Stays in float, because the interpolation rings (weights from -0.24) and the next stage multiplies rounding
    errors; clipped to the range of pixels at the end.
    """
    given, *shape = frames_THWC.shape
    matrix = interpolation_matrix(given, wanted).astype(np.float32)
    flat = matrix @ frames_THWC.reshape(given, -1).astype(np.float32)
    return np.clip(flat, 0, 255).reshape(wanted, *shape)


def sampled_frames(n: int, sampling: str = "linspace", length: int = INTERPOLATED_FRAMES) -> tuple[int, ...]:
    """Absolute indices of the n frames that are seen, `successively from the beginning at a certain interval`.

    `linspace`: the middles of n equal parts of the clip, so that any n covers all of it, and n = 1 sees the middle
    and not the onset, which holds no motion (the paper's Figure 3 is as good at n = 1 as elsewhere). `stride`: every
    (length // n)-th frame from the first.
    """
    if sampling == "stride":
        return tuple(range(0, n * (length // n), length // n))
    return tuple((2 * i + 1) * length // (2 * n) for i in range(n))
