"""What a worker has loaded: one array of a database, from which each fold sees its clips without a copy."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from aman.errors import UsageError
from aman.methods import variant
from aman.methods.aman import METHOD
from aman.models.settings import RECIPES, Settings
from aman.training import FoldTask
from aman.training.fold import Rows
from cluster.features import loaded as module
from cluster.features.loaded import Loaded, LostClipsError, supplies_of

WIDE: Settings = variant(RECIPES["quick"], n=3, k=3, grid_frames=3, grid_factors=3, epochs=2)
NARROW = variant(WIDE, n=1, k=2)
"""Sees the middle frame at two of three factors."""
(INPUT,) = METHOD.inputs(WIDE)
NAMES = [f"casme2/sub{number:02d}/EP01" for number in range(6)]


class Objects:
    """A store of arrays by the name of the clip; None for what is gone."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self.arrays: dict[str, Any] = {
            name: draw.random((3, 3, 512, 1, 1)).astype(np.float16) for name in [*NAMES, "samm/006/1"]
        }
        self.read: list[str] = []

    def load(self, name: str, key: str, unpack: Any) -> Any:
        del name, unpack
        self.read.append(key)
        return self.arrays[key]


@pytest.fixture
def objects() -> Objects:
    return Objects()


def loaded_on(device: str, objects: Objects) -> Loaded:
    """Nothing yet, for both recipes, of clips of two databases."""
    supplies = supplies_of([WIDE, NARROW], {METHOD.inputs(WIDE): []})
    plans = [
        SimpleNamespace(clip=SimpleNamespace(clip_id=name, database=name.split("/")[0]), keys={INPUT: name})
        for name in objects.arrays
    ]
    # pyrefly: ignore[bad-argument-type]
    whole: Any = {inputs: replace(supply, plans=tuple(plans)) for inputs, supply in supplies.items()}
    cache: Any = objects
    return Loaded(whole, cache, device)


def seen(recipe: Settings, array: Any) -> Any:
    return array if recipe == WIDE else array[[1]][:, [0, 1]]


@pytest.mark.parametrize("recipe", [WIDE, NARROW], ids=["all of the grid", "a part of it"])
def test_rows_of_one_array_are_the_arrays_of_the_clips_and_train_the_same_fold(
    recipe: Settings, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = FoldTask(
        subject="a",
        train_clips=tuple(NAMES[4::-1]),
        train_labels=(0, 1, 0, 1, 0),
        test_clips=(NAMES[5],),
        classes=2,
        seed=0,
    )

    def given(device_rule: int) -> list[list[Any]]:
        monkeypatch.setattr(module, "COPIED_AT_MOST", device_rule)
        loaded = loaded_on("cpu", objects)
        return [loaded.arrays_of(recipe, clips) for clips in (task.train_clips, task.test_clips)]

    (few,), (test,) = given(2**27)
    (rows,), (test_rows,) = given(0)
    assert isinstance(few, torch.Tensor) and isinstance(rows, Rows)
    wanted = [torch.from_numpy(seen(recipe, objects.arrays[name])) for name in task.train_clips]
    assert torch.equal(few, torch.stack(wanted)) and torch.equal(rows.whole(), few)
    assert torch.equal(rows[torch.tensor([3, 0])], few[[3, 0]])
    assert [len(part) for part in rows.split(2)] == [2, 2, 1] and torch.equal(torch.cat(list(rows.split(2))), few)
    assert rows.every.data_ptr() == test_rows.every.data_ptr()
    folds = [METHOD.train([x], [y], task, recipe, None) for x, y in ((few, test), (rows, test_rows))]
    assert replace(folds[0], seconds=0) == replace(folds[1], seconds=0)


def test_a_clip_is_read_once_and_another_database_takes_the_place_of_the_first(objects: Objects) -> None:
    loaded = loaded_on("cpu", objects)
    loaded.arrays_of(WIDE, NAMES[:2])
    loaded.arrays_of(NARROW, NAMES[1:4])
    assert objects.read == NAMES[:4] == list(loaded.places)
    assert [len(every) for every in loaded.every] == [len(NAMES)]
    loaded.arrays_of(WIDE, ["samm/006/1"])
    assert list(loaded.places) == ["samm/006/1"] and len(loaded.every[0]) == 1
    (both,) = loaded.arrays_of(WIDE, ["samm/006/1", NAMES[0]])
    assert torch.equal(both[1], torch.from_numpy(objects.arrays[NAMES[0]])) and len(loaded.every[0]) == 1 + len(NAMES)
    count = len(objects.read)
    loaded.arrays_of(WIDE, [NAMES[0]])  # of a database that is there
    assert len(objects.read) == count


def test_clips_that_are_gone_are_named_and_the_others_kept(objects: Objects) -> None:
    objects.arrays[NAMES[1]] = objects.arrays[NAMES[3]] = None
    loaded = loaded_on("cpu", objects)
    with pytest.raises(LostClipsError) as raised:
        loaded.load((INPUT,), NAMES)
    assert raised.value.clips == [NAMES[1], NAMES[3]]
    assert len(loaded.places) == 4


def test_an_array_of_another_shape_or_type_is_refused(objects: Objects) -> None:
    objects.arrays[NAMES[1]] = objects.arrays[NAMES[1]][:, :, :1]
    with pytest.raises(UsageError, match=r"features of casme2/sub01/EP01: torch.float16 of shape \(3, 3, 1, 1, 1\)"):
        loaded_on("cpu", objects).load((INPUT,), NAMES)
    objects.arrays[NAMES[1]] = objects.arrays[NAMES[0]].astype(np.float32)
    with pytest.raises(UsageError, match=r"torch\.float32"):
        loaded_on("cpu", objects).load((INPUT,), NAMES)


def test_arrays_that_a_gpu_has_no_room_for_stay_in_memory_and_a_line_says_so(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is torch's "meta", which stands for a GPU: it has shapes and no values."""
    size = len(NAMES) * objects.arrays[NAMES[0]].nbytes
    monkeypatch.setattr(module, "free_memory", lambda: 2 * size)
    (rows,) = loaded_on("meta", objects).arrays_of(WIDE, NAMES[:3])
    assert isinstance(rows, Rows)  # few bytes, and no copy all the same
    assert (rows.every.device.type, rows[torch.tensor([0])].device.type) == ("meta", "meta")
    monkeypatch.setattr(module, "free_memory", lambda: size)
    with pytest.warns(UserWarning, match="inputs of casme2 take 0.0 GB, and 0.0 GB of the GPU are free"):
        (rows,) = loaded_on("meta", objects).arrays_of(NARROW, NAMES[:3])
    assert (rows.every.device.type, rows[torch.tensor([0])].device.type) == ("cpu", "meta")
    assert rows.device == torch.device("meta") and next(rows.split(2)).shape == (2, 1, 2, 512, 1, 1)
