"""The method that docs/add_a_method.md shows is a method: its very text is run."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from aman.errors import UsageError
from aman.methods import FoldTask, Method, Neural, find, settings_of, variant

DOCUMENT = Path(__file__).parents[1] / "docs" / "add_a_method.md"
CODE = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def method(tmp_path: Path) -> Method:
    """The method of the document, from a file in a folder of its own."""
    (code,) = CODE
    path = tmp_path / "difference.py"
    path.write_text(code)
    return find(str(path))


def pictures(count: int, seed: int) -> torch.Tensor:
    """`image_MNKCHW` uint8, as a fold is given them: class by class, another part of the later frame is brighter."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 100, (count, 2, 1, 3, 224, 224), generator=generator, dtype=torch.uint8)
    for clip in range(count):
        image[clip, 1, 0, :, 112 * (clip % 2) : 112 * (clip % 2) + 112] += 100
    return image


def train(method: Method, x_test: torch.Tensor, **changes: Any) -> Any:
    settings = variant(method.Settings(), epochs=4, batch=4, **changes)
    method.check(settings)
    task = FoldTask(
        subject="made/00",
        train_clips=tuple(f"made/01/{i}" for i in range(8)),
        train_labels=tuple(i % 2 for i in range(8)),
        train_subjects=("made/01",) * 8,
        test_clips=tuple(f"made/00/{i}" for i in range(len(x_test))),
        classes=2,
        seed=0,
    )
    return method.train([pictures(8, 1)], [x_test], task, settings, None)


def test_the_document_shows_a_whole_method_in_under_60_lines_of_code() -> None:
    (code,) = CODE
    assert len([line for line in code.splitlines() if line.strip()]) < 60


def test_the_method_of_the_document_trains_a_fold(method: Method) -> None:
    x_test = pictures(4, 2)
    result = train(method, x_test)
    assert result.epoch_classes[-1] == [0, 1, 0, 1]
    assert len(result.epoch_classes) == len(result.losses) == 4
    assert replace(train(method, x_test), seconds=0.0) == replace(result, seconds=0.0)
    assert train(method, torch.zeros_like(x_test)).weights_sha256 == result.weights_sha256


def test_the_method_of_the_document_has_the_options_that_the_document_names(method: Method) -> None:
    assert isinstance(method, Neural)
    names = re.search(r"here (`--factor`.*?)\. ", DOCUMENT.read_text().replace("\n", " "))
    assert names
    assert set(re.findall(r"--(\w+)", names[1])) == set(settings_of(method.Settings()))
    with pytest.raises(UsageError, match="--factor 12"):
        train(method, pictures(1, 2), factor=12)


def test_the_method_of_the_document_sees_what_the_grid_holds_and_says_its_true_shape(method: Method) -> None:
    settings = method.Settings()
    (images,) = method.inputs(settings)
    view = method.view(settings)
    assert view
    assert set(view.frames) <= set(images.grid.frames)  # pyrefly: ignore[missing-attribute]
    assert set(view.factors) <= set(images.grid.factors)  # pyrefly: ignore[missing-attribute]
    assert method.shapes(settings) == ((len(view.frames), len(view.factors), *images.shape()),)


def test_the_document_names_files_that_exist() -> None:
    named = set(re.findall(r"`((?:aman|jobs|tests)/[\w/]*\.?\w*)`", DOCUMENT.read_text()))
    missing = {name for name in named if not (DOCUMENT.parents[1] / name).exists()}
    assert missing == {"aman/methods/difference.py", "tests/test_difference.py"}  # which the reader writes
