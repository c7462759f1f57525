"""Onset, apex and offset of a clip, and the rule for an apex that nobody annotated."""

from dataclasses import replace

import numpy as np
import pytest
from moving import clip

from aman.errors import DataError
from aman.inputs import ClipFacts, keyframes, keys_of
from aman.inputs.aligned import Aligned
from aman.inputs.keyframes import ANNOTATED, LARGEST_FLOW, Keyframes, largest_flow, rule_of

RISE_AND_FALL = [0.0, 0.3, 0.7, 1.2, 1.5, 1.1, 0.6, 0.2]
"""Its apex is frame 4."""
FACTS = ClipFacts(digests=("a", "b", "c"), onset=40, apex=41, offset=42, weights={"landmark_model": ""})


def key(facts: ClipFacts) -> str:
    stage = Keyframes(source=Aligned(align="none"))
    return keys_of((stage,), facts)[stage]


def test_the_annotated_apex_is_taken_by_its_place_in_the_clip() -> None:
    source = clip(RISE_AND_FALL, apex=42)
    made = Keyframes().make(source)
    assert made["positions_3"].tolist() == [0, 2, 7]
    np.testing.assert_array_equal(made["face_3HWC"], source.face_THWC[[0, 2, 7]])
    np.testing.assert_array_equal(made["points_68"], source.points_68)
    assert made["face_3HWC"].shape == Keyframes().shape()
    assert rule_of(made) == ANNOTATED


def test_a_missing_apex_is_the_frame_that_moved_most_from_the_onset() -> None:
    made = Keyframes().make(clip(RISE_AND_FALL))
    assert made["positions_3"].tolist() == [0, 4, 7]
    assert rule_of(made) == LARGEST_FLOW


@pytest.mark.parametrize("shift", [(0.6, 0.0), (-0.3, 0.5)])
def test_a_camera_that_moves_on_until_the_offset_does_not_move_the_found_apex(shift: tuple[float, float]) -> None:
    assert largest_flow(clip(RISE_AND_FALL, shift=shift).face_THWC) == 4


def test_a_found_apex_is_never_the_onset_while_there_is_another_frame() -> None:
    assert largest_flow(clip([0.0, 0.0, 0.0]).face_THWC) == 1
    assert largest_flow(clip([0.0]).face_THWC) == 0


def test_an_annotated_apex_at_the_onset_stays_there() -> None:
    made = Keyframes().make(clip([0.0, 1.0], apex=40))
    assert made["positions_3"].tolist() == [0, 0, 1]


@pytest.mark.parametrize("apex", [39, 43])
def test_an_apex_outside_the_clip_is_refused_by_its_number(apex: int) -> None:
    with pytest.raises(DataError, match=f"apex frame {apex} of a clip whose 3 frames begin at 40.*from 40 to 42"):
        Keyframes().make(clip([0.0, 1.0, 0.5], apex=apex))


@pytest.mark.parametrize("aligned", [True, False], ids=["points", "no points"])
def test_keyframes_come_out_of_the_store_as_they_went_in(aligned: bool) -> None:
    source = clip([0.0, 1.0])
    made = Keyframes().make(source if aligned else replace(source, points_68=np.empty((0, 2))))
    back = Keyframes().unpack(Keyframes().pack(made))
    assert set(back) == {"face_3HWC", "positions_3", "points_68", "rule"}
    for name, array in made.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype
    assert rule_of(back) == LARGEST_FLOW


def test_the_apex_enters_the_key_by_its_place_and_not_by_its_number() -> None:
    elsewhere = replace(FACTS, onset=140, apex=141, offset=142)
    assert key(elsewhere) == key(FACTS)
    keys = {key(replace(FACTS, apex=apex)) for apex in (None, 40, 41, 42)}
    assert len(keys) == 4


def test_another_version_of_the_rule_renames_the_clips_without_an_apex_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = replace(FACTS, apex=None)
    before = key(FACTS), key(missing)
    monkeypatch.setattr(keyframes, "LARGEST_FLOW_VERSION", 2)
    assert key(FACTS) == before[0]
    assert key(missing) != before[1]


def test_the_found_apex_is_found_again() -> None:
    source = clip(RISE_AND_FALL, shift=(0.2, 0.1))
    assert Keyframes().pack(Keyframes().make(source)) == Keyframes().pack(Keyframes().make(source))
