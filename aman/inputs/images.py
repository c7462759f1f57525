"""The grid of magnified images.

Neither the frame count n nor the level ceiling k enters a key: the whole grid is cached once, and every (n, k) is a
view of it. The keys are those of the first releases of this project, so that their stores stay warm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import zstandard
from safetensors.numpy import save

from aman.content import content_key
from aman.digests import magnifier_digest
from aman.faces import FACE_SIZE, fit
from aman.inputs.base import ClipFacts, Input, View, arrays_of
from aman.inputs.interpolated import Interpolated
from aman.magnify import is_learned, magnify
from aman.tim import INTERPOLATED_FRAMES, sampled_frames
from aman.versions import version_of

ZSTD_LEVEL = 1


@dataclass(frozen=True, kw_only=True)
class Images(Input):
    """`image_LKHWC` uint8, 224x224: every prepared frame at factors 1 to `grid_factors`.

    A larger source is magnified at its own size and then reduced, as the authors of AMAN do from 384 pixels: motion
    of half a pixel is then 0.86 pixels where it is magnified. The size of the source is in the key.
    """

    name: ClassVar[str] = "images"
    gpu: ClassVar[bool] = True
    unit: ClassVar[str] = "images magnified"

    source: Interpolated = field(default_factory=Interpolated)
    magnifier: str = "learned"
    grid_frames: int = INTERPOLATED_FRAMES
    grid_factors: int = 11

    @property
    def grid(self) -> View:
        """Absolute frames and factors that are prepared."""
        return View(frames=sampled_frames(self.grid_frames), factors=tuple(range(1, self.grid_factors + 1)))

    @property
    def kind(self) -> str:
        """The magnifier without its weights' path."""
        return "learned" if is_learned(self.magnifier) else self.magnifier

    def code(self) -> tuple[str | type, ...]:
        return (f"magnify.{self.kind}",)

    def weights(self) -> dict[str, str]:
        if not is_learned(self.magnifier):
            return {"magnifier": ""}
        return {"magnifier": magnifier_digest(self.magnifier)}

    def key(self, source_key: str, facts: ClipFacts) -> str:
        # Weights count, not their path; a magnifier without weights keeps the key that it had before there were any.
        learned = [facts.weights["magnifier"]] if is_learned(self.magnifier) else []
        made_of = {
            **self.source.parts(facts),
            "magnifier": [self.kind, version_of(f"magnify.{self.kind}"), *learned],
            "grid": [self.grid.frames, self.grid.factors],
        }
        return content_key(made_of)

    def make(self, source: Any) -> npt.NDArray[np.uint8]:
        return reduced(magnify(self.magnifier, source[0], source[list(self.grid.frames)], self.grid.factors))

    def shape(self) -> tuple[int, ...]:
        return 3, FACE_SIZE, FACE_SIZE

    def pack(self, value: Any) -> bytes:
        return pack_images(value)

    def unpack(self, content: bytes, view: View | None = None) -> npt.NDArray[np.uint8]:
        """`image_LKHWC`, or of a view `image_NKCHW`, as a network takes it; only what is seen is decoded."""
        channels, *sides = self.shape()
        shape = (self.grid_frames, self.grid_factors, *sides, channels)
        if view is None:
            return unpack_images(content, range(self.grid_frames), range(self.grid_factors), shape)
        return unpack_images(content, *self.places(view), shape).transpose(0, 1, 4, 2, 3)

    def places(self, view: View) -> tuple[list[int], list[int]]:
        """Rows and columns of the grid that the view sees."""
        grid = self.grid
        return [grid.frames.index(j) for j in view.frames], [grid.factors.index(i) for i in view.factors]

    def amount(self, value: Any) -> int:
        return int(value.shape[0] * value.shape[1])

    def sample(self) -> "tuple[Images, float]":
        small = replace(self, grid_frames=1, grid_factors=min(3, self.grid_factors))
        return small, self.grid_frames * self.grid_factors / small.grid_factors


def reduced(image_LKHWC: npt.NDArray[np.uint8], size: int = FACE_SIZE) -> npt.NDArray[np.uint8]:
    """The images at `size` x `size` pixels: themselves where they are of that size."""
    if image_LKHWC.shape[2:4] == (size, size):
        return image_LKHWC
    frames, factors = image_LKHWC.shape[:2]
    return np.stack([fit(image_LKHWC[j], size) for j in range(frames)]).reshape(frames, factors, size, size, 3)


def pack_images(image_LKHWC: npt.NDArray[np.uint8]) -> bytes:
    """Magnified images, lossless: each as zstd of its difference (modulo 256) from the same frame's first factor."""
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    tensors: dict[str, npt.NDArray[Any]] = {"shape": np.array(image_LKHWC.shape, dtype=np.int64)}
    for j, image_KHWC in enumerate(image_LKHWC):
        for i, image in enumerate(image_KHWC):
            chunk = image if i == 0 else image - image_KHWC[0]
            tensors[f"{j}/{i}"] = np.frombuffer(compressor.compress(chunk.tobytes()), dtype=np.uint8)
    return save(tensors)


def unpack_images(
    content: bytes, frames: Sequence[int], factors: Sequence[int], shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """`image_NKHWC`: the rows and columns of the grid that `tim.sample` gives; only these are decoded.

    `shape` (L, K, H, W, C) is what the grid must have. `ValueError` where the content says or holds another one: no
    size that stands in the content itself decides how much memory is taken.
    """
    tensors, one = arrays_of(content), shape[2:]
    chunks = {f"{j}/{i}" for j in range(shape[0]) for i in range(shape[1])}
    if tensors.keys() != {"shape", *chunks} or tensors["shape"].tolist() != list(shape):
        raise ValueError(f"images that are no grid of {shape}")
    images = np.empty((len(frames), len(factors), *one), dtype=np.uint8)
    for row, j in enumerate(frames):
        first = _decompress(tensors[f"{j}/0"], one)
        for column, i in enumerate(factors):
            images[row, column] = first if i == 0 else first + _decompress(tensors[f"{j}/{i}"], one)
    return images


def _decompress(chunk: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    content, size = chunk.tobytes(), int(np.prod(shape))
    if zstandard.frame_content_size(content) != size:
        raise ValueError("a chunk whose declared size is not that of its image")
    return np.frombuffer(zstandard.ZstdDecompressor().decompress(content), dtype=np.uint8).reshape(shape)
