"""Moving pictures: frames side by side as a GIF, which pages, terminals' viewers and MLflow all show."""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aman.files import write_whole

MILLISECONDS = 80
"""How long each of the interpolated frames is shown: slower than a micro-expression, to be seen."""
COLOURS, SIZE = 256, 200
"""Colours of a palette, and pixels of the width of each picture that stands beside others."""
TITLE_HEIGHT = 22
"""Pixels above each picture for its title."""

Pictures = npt.NDArray[np.uint8]
"""`(L, H, W, 3)`"""


def gif(image_LHWC: Pictures, milliseconds: int = MILLISECONDS, comment: str = "") -> bytes:
    """The pictures as a GIF that is played again and again, with one palette for all of them: a palette a picture would
    flicker."""
    from PIL import Image

    pictures = [Image.fromarray(one) for one in image_LHWC]
    palette = Image.fromarray(np.concatenate(image_LHWC[:: max(1, len(image_LHWC) // 5)])).quantize(COLOURS)
    shown = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures]
    file = io.BytesIO()
    shown[0].save(
        file, "GIF", save_all=True, append_images=shown[1:], duration=milliseconds, loop=0, comment=comment.encode()
    )
    return file.getvalue()


def difference(first_LHWC: Pictures, second_LHWC: Pictures) -> tuple[Pictures, int]:
    """Where two clips differ, as a heat map, and the difference in grey levels (mean over colours) that is its
    brightest colour: the 99.5th percentile over all frames, at least 1, so that one pixel decides nothing."""
    apart_LHW = np.abs(first_LHWC.astype(np.int16) - second_LHWC.astype(np.int16)).mean(axis=-1)
    most = max(1, int(np.ceil(np.percentile(apart_LHW, 99.5))))
    level_LHW = np.clip(np.rint(apart_LHW * (255 / most)), 0, 255).astype(np.uint8)
    return np.stack([cv2.applyColorMap(one, cv2.COLORMAP_INFERNO)[..., ::-1] for one in level_LHW]), most


def side_by_side(panels: Sequence[tuple[str, Pictures]], size: int) -> Pictures:
    """The clips beside each other, each frame `size` pixels wide and under its title (Latin letters)."""
    shown = []
    for title, image_LHWC in panels:
        height = max(1, round(size * image_LHWC.shape[1] / image_LHWC.shape[2]))
        bar = np.full((TITLE_HEIGHT, size, 3), 255, np.uint8)
        cv2.putText(bar, title, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
        frames = [cv2.resize(one, (size, height), interpolation=cv2.INTER_AREA) for one in image_LHWC]
        shown.append(np.stack([np.concatenate([bar, one]) for one in frames]).astype(np.uint8))
    return np.concatenate(shown, axis=2)


def write_moving(path: Path, plain_LHWC: Pictures, magnified_LHWC: Pictures, factor: int, comment: str) -> Path:
    """A GIF of a clip beside itself, magnified by `factor`, and the map of their difference; its path. `comment` is
    kept in the file. Raises `OSError`."""
    map_LHWC, most = difference(plain_LHWC, magnified_LHWC)
    panels = [("unchanged", plain_LHWC), (f"magnified x{factor}", magnified_LHWC)]
    panels.append((f"difference, 0 to {most} of 255", map_LHWC))
    write_whole(path, gif(side_by_side(panels, SIZE), 2 * MILLISECONDS, comment))
    return path
