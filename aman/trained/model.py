"""A trained model as one file: safetensors that hold the method, its settings, the classes, the weights, and the
digests of all that the model depends on. A file holds no program, and reading one runs none.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aman import methods
from aman.content import canonical, digest_of
from aman.errors import DataError, UsageError
from aman.files import write_whole
from aman.inputs.base import stages, weights_of
from aman.training import Method, Neural, Recipe, settings_of, variant
from aman.training.fitted import Fitted, metadata_of, pack, unpack
from aman.versions import version_of

ABOUT, SEAL = "aman_model", "seal"
"""Entries of the metadata: what the model is, as JSON, and the digest of the whole file."""
FILES = "files of the training clips"
"""Name of the array with the digests of the files that the model was trained on."""
FORM = 1
"""Number of this form of a model file."""
DIGEST_BYTES = 8
"""Bytes of sha256 that are kept of each file: enough to know a file again."""
SUFFIX = ".safetensors"
TRAIN_AGAIN = "train the model again with jobs/train.py"


@dataclass(frozen=True, kw_only=True)
class About:
    """What a model file says of the model."""

    method: str
    recipe: str
    """Name of the recipe that the settings began with."""
    settings: Mapping[str, Any]
    """Every setting by its option's name."""
    classes: Sequence[str]
    database: str
    protocol: str
    fingerprint: str
    """Digest over the ids and classes of the training clips."""
    clips: int
    subjects: int
    incomplete: str
    """Why the training clips are not all of the protocol, or empty text."""
    seed: int
    device: str
    """What the training ran on."""
    key: str
    """Content key of the training."""
    weights_sha256: str
    """Digest of what was fitted."""
    weights: Mapping[str, str]
    """Digests of the weights that the inputs use and that the training started from, by name."""
    versions: Mapping[str, int | str]
    """Version of each stage of code that makes the inputs or the method, by its name."""
    libraries: Mapping[str, str]
    """Versions of the libraries that the training used."""
    form: int = FORM


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained model."""

    about: About
    recipe: Recipe
    fitted: Fitted
    files: npt.NDArray[np.uint8]
    """`(F, 8)`: the first bytes of the sha256 of every file that the model was trained on."""

    @property
    def method(self) -> Method:
        """The method."""
        return self.recipe.method

    def known(self, digests: Sequence[str]) -> int:
        """How many of the files with these digests (sha256 as hexadecimal text) the model was trained on."""
        there = {row.tobytes() for row in self.files}
        return sum(row.tobytes() in there for row in files_array(digests))


def files_array(digests: Sequence[str]) -> npt.NDArray[np.uint8]:
    """`(F, 8)` of digests of files, in their order."""
    rows = [list(bytes.fromhex(one)[:DIGEST_BYTES]) for one in digests]
    return np.array(rows, dtype=np.uint8).reshape(len(rows), DIGEST_BYTES)


def libraries_of(method: Method) -> dict[str, str]:
    """Versions of the libraries that train this method."""
    found = {}
    for name in ("numpy", "torch") if isinstance(method, Neural) else ("numpy", "scikit-learn"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def versions_of(recipe: Recipe) -> dict[str, int | str]:
    """Version of each stage of code that a prediction depends on, by its name."""
    codes = [code for stage in stages(recipe.method.inputs(recipe)) for code in stage.code()]
    found = {f"the method {recipe.method.name}": version_of(type(recipe.method))}
    for code in codes:
        found[code if isinstance(code, str) else code.__qualname__] = version_of(code)
    return found


def digests_of(recipe: Recipe) -> dict[str, str]:
    """Digests of all weights that these settings name. `UsageError` for weights that are none."""
    return {**weights_of(recipe.method.inputs(recipe)), **recipe.method.weights(recipe)}


def write_model(path: Path, model: Model) -> None:
    """Write the file, whole or not at all. `UsageError` where it cannot be written."""
    arrays = {**model.fitted.arrays, FILES: model.files}
    about = json.dumps(asdict(model.about))
    content = pack(
        replace(model.fitted, arrays=arrays),
        **{ABOUT: about, SEAL: _seal(about, model.fitted.structure, arrays)},
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise UsageError(
            got=f"--out {path}, which cannot be written ({error.strerror})",
            expected="a file in a folder with room that can be written",
            fix="name another --out",
        ) from None


def read_model(path: Path, method: str = "", files: Mapping[str, str] | None = None) -> Model:
    """The model of a file. `method` names the .py file of a method of the user's own; `files` says where files are that
    the settings name, by setting: their digests must be those of the training.

    `DataError` for a file that is damaged or was not written by jobs/train.py, and for a model whose method, inputs or
    weights are others here than when it was trained; `UsageError` for a path or option that is wrong.
    """
    fitted, about = _read(path)
    found = _method(path, about, method)
    try:
        recipe = variant(found.Settings(), **{name: _frozen(one) for name, one in about.settings.items()})
    except TypeError as error:
        raise _edited(path, f"settings of {about.method} that this code does not know ({error})") from None
    recipe = _with_files(recipe, files or {})
    try:
        here, weights = versions_of(recipe), digests_of(recipe)
    except UsageError as error:
        names = ", ".join(
            name for name in ("trunk", "weights", "magnifier", "landmark_model") if name in about.settings
        )
        raise UsageError(
            got=f"{path}, a model that needs a file which is not here: {error.got}",
            expected=error.expected,
            fix=f"say where the file is: --file SETTING=FILE, with SETTING one of {names}",
        ) from None
    if other := [name for name in {**here, **about.versions} if here.get(name) != about.versions.get(name)]:
        raise _edited(path, f"{' and '.join(other)}: the code is not that of the training")
    if other := [name for name in {**weights, **about.weights} if weights.get(name) != about.weights.get(name)]:
        raise DataError(
            got=f"{path}, a model that was trained with other weights of {', '.join(other)} than are here",
            expected=f"the weights with the digest {about.weights.get(other[0], 'none')[:12]}",
            fix=f"say where they are with --file SETTING=FILE, or {TRAIN_AGAIN}",
        )
    library, trained = "scikit-learn", about.libraries.get("scikit-learn")
    if trained is not None and trained != libraries_of(found)[library]:
        raise DataError(
            got=f"{path}, a model of {library} {trained} where {library} {libraries_of(found)[library]} is installed",
            expected=f"{library} {trained}: its estimators differ between versions",
            fix=f"install {library} {trained}, or {TRAIN_AGAIN}",
        )
    arrays = {name: array for name, array in fitted.arrays.items() if name != FILES}
    return Model(about=about, recipe=recipe, fitted=replace(fitted, arrays=arrays), files=fitted.arrays[FILES])


def damaged(path: Path, why: str) -> DataError:
    """The error for a file that is not what was written."""
    return DataError(
        got=f"{path}, a damaged model file ({why})",
        expected="a model file as jobs/train.py wrote it",
        fix=f"copy the file again from where it came from, or {TRAIN_AGAIN}",
    )


def _read(path: Path) -> tuple[Fitted, About]:
    """What the file holds, if it is whole."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            got=f"{path}, which cannot be read ({error.strerror})", expected="a model file", fix="check the path"
        ) from None
    foreign = DataError(
        got=f"{path}, which is no model file",
        expected="a file that jobs/train.py wrote",
        fix="name the model file first",
    )
    try:
        said = metadata_of(content)
    except (ValueError, AttributeError, RecursionError, MemoryError):
        raise foreign from None
    if ABOUT not in said:
        raise foreign
    try:
        fitted = unpack(content)
        if said.get(SEAL) != _seal(said[ABOUT], fitted.structure, fitted.arrays):
            raise ValueError("its content is not what was written")
        values = json.loads(said[ABOUT])
        if not isinstance(values, dict):
            raise ValueError("what it says of the model is no table")
    except Exception as error:
        raise damaged(path, str(error)) from None
    if values.get("form") != FORM or {one.name for one in fields(About)} != values.keys():
        raise _edited(path, f"form {values.get('form')} of model files, where this code reads form {FORM}")
    return fitted, About(**values)


def _seal(about: str, structure: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    return hashlib.sha256(f"{about}\n{canonical(structure)}\n{digest_of(arrays)}".encode()).hexdigest()


def _method(path: Path, about: About, named: str) -> Method:
    if not named and about.method not in methods.names():
        raise UsageError(
            got=f"{path}, a model of the method {about.method}, which is a file of a user's own",
            expected="the file of that method",
            fix="add --method FILE.py",
        )
    found = methods.find(named or about.method)
    if found.name != about.method:
        raise UsageError(
            got=f"--method {named} with {path}, a model of the method {about.method}",
            expected=f"the file of the method {about.method}",
            fix="leave --method out, or name that file",
        )
    return found


def _edited(path: Path, what: str) -> DataError:
    return DataError(
        got=f"{path}, a model of other code: {what}",
        expected="the code with which the model was trained",
        fix=f"use that version of this project, or {TRAIN_AGAIN}",
    )


def _with_files(recipe: Recipe, places: Mapping[str, str]) -> Recipe:
    own = settings_of(recipe)
    for name, place in places.items():
        if name not in own or not Path(place).is_file():
            raise UsageError(
                got=f"--file {name}={place}",
                expected=f"SETTING=FILE with a setting of {recipe.method.name} and a file",
                fix="check the name of the setting and the path",
            )
    return variant(recipe, **{name: str(Path(place).absolute()) for name, place in places.items()})


def _frozen(value: Any) -> Any:
    """A setting as it was before JSON made a list of a tuple."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
