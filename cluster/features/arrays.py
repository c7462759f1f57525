"""How cached arrays lie in bytes: safetensors, a header with offsets and no program to run.

Entries are found by absolute frame and factor, never by their position in a request.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import zstandard
from safetensors.numpy import load, save

ZSTD_LEVEL = 1


def pack_features(feature_LKCHW: npt.NDArray[np.float16]) -> bytes:
    """Features of one clip's grid, frame-major."""
    return save({"feature_LKCHW": np.ascontiguousarray(feature_LKCHW)})


def unpack_features(content: bytes, frames: Sequence[int], factors: Sequence[int]) -> npt.NDArray[np.float16]:
    """`feature_NKCHW`: the rows and columns of the grid that `tim.sample` gives."""
    feature_LKCHW = load(content)["feature_LKCHW"]
    return np.ascontiguousarray(feature_LKCHW[list(frames)][:, list(factors)])


def pack_images(image_LKHWC: npt.NDArray[np.uint8]) -> bytes:
    """Magnified images, lossless: each as zstd of its difference (modulo 256) from the same frame's first factor."""
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    tensors = {"shape": np.array(image_LKHWC.shape, dtype=np.int64)}
    for j, image_KHWC in enumerate(image_LKHWC):
        for i, image in enumerate(image_KHWC):
            chunk = image if i == 0 else image - image_KHWC[0]
            tensors[f"{j}/{i}"] = np.frombuffer(compressor.compress(chunk.tobytes()), dtype=np.uint8)
    return save(tensors)


def unpack_images(content: bytes, frames: Sequence[int], factors: Sequence[int]) -> npt.NDArray[np.uint8]:
    """`image_NKHWC`: the rows and columns of the grid that `tim.sample` gives; only these are decoded."""
    tensors = load(content)
    shape = tuple(int(side) for side in tensors["shape"][2:])
    images = np.empty((len(frames), len(factors), *shape), dtype=np.uint8)
    for row, j in enumerate(frames):
        first = _decompress(tensors[f"{j}/0"], shape)
        for column, i in enumerate(factors):
            images[row, column] = first if i == 0 else first + _decompress(tensors[f"{j}/{i}"], shape)
    return images


def _decompress(chunk: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    content, size = chunk.tobytes(), int(np.prod(shape))
    if zstandard.frame_content_size(content) != size:
        raise ValueError("a chunk whose declared size is not that of its image")
    return np.frombuffer(zstandard.ZstdDecompressor().decompress(content), dtype=np.uint8).reshape(shape)
