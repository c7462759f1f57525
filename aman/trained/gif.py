"""A clip beside itself, magnified at the level that the model attended to, as a moving picture."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from aman.errors import UsageError
from aman.faces import FACE_SIZE, fit
from aman.files import write_whole
from aman.inputs.base import stages
from aman.inputs.images import Images
from aman.magnify import magnify
from aman.moving import gif
from aman.trained.predict import Prediction
from aman.training import Recipe

LEVELS = "alpha"
"""The attention over levels of magnification."""


def level_of(recipe: Recipe, attended: dict[str, int]) -> int:
    """The factor that the model attended to, or the only one that it sees. `UsageError` for a method that magnifies
    nothing, or that sees several levels and attends to none of them."""
    view = recipe.method.view(recipe)
    if view is None or not any(isinstance(stage, Images) for stage in stages(recipe.method.inputs(recipe))):
        raise UsageError(
            got=f"--gif with a model of {recipe.method.name}, which does not magnify the whole clip",
            expected="a model that attends to levels of magnification (aman)",
            fix="leave --gif out",
        )
    if LEVELS not in attended and len(view.factors) > 1:
        raise UsageError(
            got=f"--gif with a model of {recipe.method.name} that attends to no level",
            expected="a model with attention over levels, or with one level",
            fix="leave --gif out",
        )
    return attended[LEVELS] if LEVELS in attended else view.factors[0]


def write_gif(path: Path, recipe: Recipe, prediction: Prediction) -> int:
    """Write the clip's 20 interpolated frames, on the left as they are and on the right magnified at `level_of`; that
    level. `UsageError` where there is none, or where the file cannot be written."""
    level = level_of(recipe, prediction.attended)
    (images,) = (one for one in stages(recipe.method.inputs(recipe)) if isinstance(one, Images))
    source_LHWC = prediction.source_LHWC
    assert source_LHWC is not None, "a method with magnified images has their source"
    magnified_LHWC = magnify(images.magnifier, source_LHWC[0], source_LHWC, (level,))[:, 0]
    plain_LHWC = np.clip(np.rint(source_LHWC), 0, 255).astype(np.uint8)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, gif(np.concatenate([_small(plain_LHWC), _small(magnified_LHWC)], axis=2)))
    except OSError as error:
        raise UsageError(
            got=f"--gif {path}, which cannot be written ({error.strerror})",
            expected="a file in a folder with room that can be written",
            fix="name another --gif",
        ) from None
    return level


def _small(image_LHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return image_LHWC if image_LHWC.shape[1:3] == (FACE_SIZE, FACE_SIZE) else fit(image_LHWC)
