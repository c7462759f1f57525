"""Temporal interpolation (TIM, Zhou et al. 2011) in closed form, and which of its frames are sampled."""

from collections.abc import Sequence

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


def filling(times: Sequence[int]) -> npt.NDArray[np.float64]:
    """`P` (all x given): `P @ frames` are the frames at the times 0, 1, ... of a clip of which those at `times` are
    there. A missing frame lies on the straight line between its two neighbours in time."""
    every = np.arange(times[-1] + 1)
    return np.stack([np.interp(every, times, one) for one in np.eye(len(times))], axis=1)


def interpolate(
    frames_THWC: npt.NDArray[np.uint8], wanted: int = INTERPOLATED_FRAMES, times: Sequence[int] = ()
) -> Float:
    """`face_LHWC` float32 in [0, 255]: the clip at `wanted` frames, first and last as given.

    `times` says when each frame was taken, in frames from the first one, where frames between are missing
    (`Clip.times`): a frame counts at its time, and not at its place among those that are there.

    Stays in float, because the interpolation rings (weights from -0.24) and the next stage multiplies rounding
    errors; clipped to the range of pixels at the end.
    """
    given, *shape = frames_THWC.shape
    matrix = interpolation_matrix(times[-1] + 1 if times else given, wanted)
    if times:
        matrix = matrix @ filling(times)
    flat = matrix.astype(np.float32) @ frames_THWC.reshape(given, -1).astype(np.float32)
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
