"""Temporal interpolation (TIM, Zhou et al. 2011) in closed form, and which of its frames are sampled."""

import numpy as np
import numpy.typing as npt

from aman.errors import UsageError
from aman.recipe import INTERPOLATED_FRAMES, Model, Preparation

Float = npt.NDArray[np.float32]


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


def grid_frames(preparation: Preparation) -> tuple[int, ...]:
    """Absolute indices of the interpolated frames that are prepared."""
    return sampled_frames(preparation.grid_frames)


def grid_factors(preparation: Preparation) -> tuple[int, ...]:
    """Absolute factors (total gains) that are prepared."""
    return tuple(range(1, preparation.grid_factors + 1))


def factors_seen(model: Model) -> list[int]:
    """Total gains of the k levels that the model sees."""
    first = 2 if model.amp_convention == "paper" else 1
    return list(range(first, first + model.k))


def sample(preparation: Preparation, model: Model) -> tuple[list[int], list[int]]:
    """Where the n frames and the k factors of `model` lie on the prepared grid: `feature_LKCHW[frames][:, factors]`.

    Raises `UsageError` where the grid lacks one: a request is found by absolute frame and factor, never by position.
    """
    frames, factors = grid_frames(preparation), grid_factors(preparation)
    wanted_frames = sampled_frames(model.n, model.sampling)
    wanted_factors = factors_seen(model)
    if not set(wanted_frames) <= set(frames):
        raise UsageError(
            got=f"--n {model.n} ({model.sampling}: frames {', '.join(map(str, wanted_frames))})",
            expected=f"frames of the prepared grid of {len(frames)}: {', '.join(map(str, frames))}",
            fix=f"--grid-frames {INTERPOLATED_FRAMES} serves every --n",
        )
    if not set(wanted_factors) <= set(factors):
        raise UsageError(
            got=f"--k {model.k} ({model.amp_convention}: gains {wanted_factors[0]} to {wanted_factors[-1]})",
            expected=f"gains of the prepared grid: 1 to {len(factors)}",
            fix=f"choose a smaller --k, or --grid-factors {wanted_factors[-1]}",
        )
    return [frames.index(j) for j in wanted_frames], [factors.index(i) for i in wanted_factors]
