"""The learned magnifier: encode every image once, find every motion once, decode every factor.

The network's manipulator is linear in (factor - 1), so that the latents of a frame serve all factors and only the
decoder runs for each: a quarter fewer operations than the whole network for every factor.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from aman.magnify.network import Magnifier

Float = npt.NDArray[np.float32]

SMALLEST_SIDE = 8
"""Below this, mirroring three pixels at half the size has nothing to mirror."""
CPU_BATCH, GPU_BATCH = 1, 20
"""Images at a time. Larger batches leave a CPU's cache and gain nothing."""


def magnify_learned(onset_HWC: Float, frames_LHWC: Float, factors: Sequence[int], weights: str = "learned") -> Float:
    """`magnify_with` the network that `weights` names, kept in memory, on a GPU where there is one."""
    return magnify_with(_network(weights), onset_HWC, frames_LHWC, factors)


def magnify_with(network: "Magnifier", onset_HWC: Float, frames_LHWC: Float, factors: Sequence[int]) -> Float:
    """`image_LKHWC`: the frames with `factors` (1 or more) times their displacement from the onset, RGB in [0, 255].

    Sides that are no multiple of 4 are padded below and at the right by the edge's pixels and cut back. Runs on the
    network's device, in fp32 (no TF32). Batches always have one size, filled up where short, so that an image has
    the same bits whatever else is magnified with it. Factor 1 does **not** copy the frame, as in the paper: the
    network paints it anew, with the same softness as the other factors; a copy would be told apart by its sharpness.
    """
    import torch

    device = next(network.parameters()).device
    batch = GPU_BATCH if device.type == "cuda" else CPU_BATCH
    height, width = onset_HWC.shape[:2]
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        onset = _padded(onset_HWC[None]).to(device)
        frames = _padded(frames_LHWC).to(device)
        texture_L, shape_L = _batched(network.encode, batch, frames)
        _, onset_shape = _batched(network.encode, batch, onset)
        (motion_L,) = _batched(network.motion, batch, onset_shape.expand_as(shape_L), shape_L)
        images = []
        for texture, shape, motion in zip(texture_L, shape_L, motion_L, strict=True):
            amount_K = torch.tensor([float(factor - 1) for factor in factors], device=device).view(-1, 1, 1, 1)
            (image_KCHW,) = _batched(_Decoder(network, texture, shape, motion), batch, amount_K)
            image = image_KCHW[:, :, :height, :width].permute(0, 2, 3, 1)
            images.append(((image + 1) * 127.5).cpu().numpy())
    return np.stack(images)


def magnified_shape(onset_HWC: Float, frame_HWC: Float, factor: float, weights: str = "learned") -> Float:
    """`shape_CHW` of 32 channels and half the size of the frame: what the network paints the magnified frame from.

    Images are RGB in [0, 255]; the shape of a side that is no multiple of 4 includes what was padded.
    """
    import torch

    network = _network(weights)
    device = next(network.parameters()).device
    batch = GPU_BATCH if device.type == "cuda" else CPU_BATCH
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        _, shape_BCHW = _batched(network.encode, batch, _padded(np.stack([onset_HWC, frame_HWC])).to(device))
        (motion_BCHW,) = _batched(network.motion, batch, shape_BCHW[:1], shape_BCHW[1:])
        return (shape_BCHW[1] + (factor - 1) * motion_BCHW[0]).cpu().numpy()


class _Decoder:
    """One frame's images as a function of (factor - 1)."""

    def __init__(self, network: "Magnifier", *latents_CHW: "torch.Tensor") -> None:
        self.network = network
        self.texture, self.shape, self.motion = latents_CHW

    def __call__(self, amount_B: "torch.Tensor") -> "torch.Tensor":
        texture_BCHW = self.texture.expand(len(amount_B), *self.texture.shape)
        return self.network.decode(texture_BCHW, self.shape + amount_B * self.motion)


def _batched(function: Callable, batch: int, *inputs: "torch.Tensor") -> tuple["torch.Tensor", ...]:
    """`function` of the inputs, `batch` rows at a time and never fewer: the last rows are repeated to fill up.

    The kernels of a convolution, and so its last bits, depend on how many images it is given.
    """
    import torch

    pieces = []
    for chunk in zip(*(tensor.split(batch) for tensor in inputs), strict=True):
        rows = len(chunk[0])
        filled = [torch.cat([part, part[-1:].expand(batch - rows, *part.shape[1:])]) for part in chunk]
        outputs = function(*filled)
        pieces.append([one[:rows] for one in (outputs if isinstance(outputs, tuple) else (outputs,))])
    return tuple(torch.cat(parts) for parts in zip(*pieces, strict=True))


def _padded(image_BHWC: Float) -> "torch.Tensor":
    """`image_BCHW` in [-1, 1], both sides a multiple of 4."""
    import torch

    more = [max(-side % 4, SMALLEST_SIDE - side) for side in image_BHWC.shape[1:3]]
    image_BHWC = np.pad(image_BHWC, ((0, 0), (0, more[0]), (0, more[1]), (0, 0)), mode="edge")
    return torch.from_numpy(np.ascontiguousarray(image_BHWC.transpose(0, 3, 1, 2))) / 127.5 - 1


@functools.lru_cache(maxsize=2)
def _network(weights: str) -> "Magnifier":
    import torch

    from aman.magnify.weights import load_magnifier

    return load_magnifier(weights).to("cuda" if torch.cuda.is_available() else "cpu")
