"""The apex by each rule of `--apex`: where it is found, what it is called, and which keys it has."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from moving import bump, clip, moved, texture
from small import small_database

from aman.errors import UsageError
from aman.inputs import ClipFacts, chain, keys_of, weights_of
from aman.inputs.keyframes import ANNOTATED, LARGEST_FLOW, Keyframes, rule_of
from aman.inputs.motion.long_term import LongFlow
from aman.inputs.spotting import FOUND, SHEET, spotter
from aman.inputs.spotting.frequency import HIGH_FREQUENCY
from aman.inputs.spotting.lbp import DIVIDE_AND_CONQUER, apex_of, distances, divide_and_conquer
from aman.inputs.spotting.middle import MIDDLE
from aman.methods import FacesAndApex, find, names, settings_of, variant
from aman.training.settings import ApexRule
from jobs import compare, loso
from jobs.command_line import parse

NOWHERE = np.empty((0, 2))
RISE_AND_FALL = [0.0, 0.3, 0.7, 1.0, 0.6, 0.2, 0.1]
SAID = {
    SHEET: ANNOTATED,
    "flow": LARGEST_FLOW,
    "lbp": DIVIDE_AND_CONQUER,
    "frequency": HIGH_FREQUENCY,
    "middle": MIDDLE,
}
ALIGNED = FacesAndApex(align="none").aligned()


@pytest.mark.parametrize(
    ("distance", "at"),
    [
        ([0, 1, 5, 1, 0, 0, 2, 0], 2),
        ([1, 2, 3, 4], 3),
        ([4, 3, 2, 1], 0),
        ([0, 4, 0, 0, 0, 3, 0, 3], 5),  # two lower peaks together are more than a higher one
        ([2, 2, 2], 0),
        ([7], 0),
    ],
)
def test_a_binary_search_keeps_the_half_whose_peaks_are_more(distance: list[float], at: int) -> None:
    assert divide_and_conquer(np.array(distance, dtype=float)) == at


def test_patterns_find_the_frame_that_moved_most() -> None:
    face = clip(RISE_AND_FALL).face_THWC
    assert np.argmax(distances(face, NOWHERE)) == apex_of(face, NOWHERE) == 3
    assert distances(face, NOWHERE)[0] == pytest.approx(0, abs=1e-12)


def test_patterns_look_at_the_brows_and_the_mouth_alone() -> None:
    """The cheek moves most in frame 1, and the mouth in frame 3."""
    still, field = texture(), np.stack([bump(112, 112, 9), 0 * bump(0, 0, 9)], axis=-1)
    cheek, mouth = (np.roll(field, rows, axis=0) for rows in (0, 60))
    # pyrefly: ignore[bad-argument-type]
    face = np.stack([moved(still, 3 * a * cheek + b * mouth) for a, b in ((0, 0), (1, 0), (0, 0.5), (0, 1), (0, 0))])
    points = np.zeros((68, 2))
    points[17:48] = np.random.default_rng(0).uniform([60, 20], [160, 50], (31, 2))
    points[48:68] = np.random.default_rng(0).uniform([90, 160], [134, 185], (20, 2))
    assert apex_of(face, points) == 3 and apex_of(face, NOWHERE) == 1


@pytest.mark.parametrize("strengths", [[0.0], [0.0, 0.0, 0.0]])
@pytest.mark.parametrize("rule", FOUND)
def test_a_clip_that_is_still_or_one_frame_has_an_apex_in_it(rule: str, strengths: list[float]) -> None:
    at = spotter(rule, ALIGNED).make(clip(strengths))["positions_3"][1]
    assert at == min(1, len(strengths) - 1)


@pytest.mark.parametrize("rule", [SHEET, *FOUND])
def test_keyframes_say_how_their_apex_was_found_and_only_the_sheet_counts_for_one_rule(rule: str) -> None:
    stage = spotter(rule, ALIGNED)
    made = [stage.make(clip(RISE_AND_FALL, apex=apex)) for apex in (41, 45)]
    assert rule_of(stage.unpack(stage.pack(made[0]))) == SAID[rule]
    at = [int(one["positions_3"][1]) for one in made]
    expected = {SHEET: [1, 5], "flow": [3, 3], "lbp": [3, 3], "middle": [3, 3], "frequency": [at[0], at[0]]}
    assert at == expected[rule]
    facts = ClipFacts(digests=("a", "b"), onset=40, apex=41, offset=46, weights={"landmark_model": ""})
    keys = {keys_of((stage,), replace(facts, apex=apex))[stage] for apex in (41, 45, None)}
    assert len(keys) == (3 if rule == SHEET else 1)


def test_the_names_of_the_rules_are_those_of_the_option() -> None:
    assert {SHEET, *FOUND} == set(get_args(ApexRule))
    with pytest.raises(UsageError, match="--apex spotted"):
        spotter("spotted", ALIGNED)


@pytest.mark.parametrize("name", names())
def test_every_method_that_looks_at_an_apex_takes_the_option_and_no_other_does(name: str) -> None:
    method = find(name)
    usual: Any = method.Settings()
    stages = [stage for last in method.inputs(usual) for stage in chain(last)]
    looks = any(isinstance(stage, Keyframes | LongFlow) for stage in stages)
    assert ("apex" in settings_of(usual)) == looks
    if looks:
        keys = set()
        for rule in SAID:
            inputs = method.inputs(variant(usual, apex=rule))
            facts = ClipFacts(digests=("a", "b"), onset=40, apex=41, offset=46, weights=weights_of(inputs))
            keys.add(tuple(keys_of(inputs, facts)[one] for one in inputs))
        assert len(keys) == len(SAID)


def test_folds_of_lgccond_keep_the_words_that_their_keys_had_for_two_rules() -> None:
    method = find("lgccond")

    def word(**changes: str) -> object:
        parts: Any = method.key_parts(variant(method.Settings(), **changes), {})
        return parts["settings"]["apex"]

    assert (word(), word(apex="sheet"), word(apex="lbp")) == ("spotted", "annotated", "lbp")


def test_several_methods_have_one_option_and_it_is_refused_where_none_looks_at_an_apex() -> None:
    options = parse(compare.Options, "", ["--method", "ststnet", "lbp-top", "--apex", "flow"])
    assert [settings_of(one.settings).get("apex") for one in options.wanted] == ["flow", None]
    with pytest.raises(UsageError, match="--apex flow for lbp-top"):
        parse(compare.Options, "", ["--method", "lbp-top", "--apex", "flow"])


@pytest.mark.slow
def test_another_rule_prepares_the_clips_again_and_the_first_one_is_still_there(
    call_job: Callable[..., tuple[int, str]], here: Path
) -> None:
    root = small_database(here / "release", subjects=2, clips_per_subject=2)
    wanted = ["--method", "bi-woof", "--flow", "dis", "--align", "none", "--root", root, "--here", "--store", "store"]
    for rule, prepared in (("sheet", 4), ("middle", 4), ("sheet", 0)):
        code, text = call_job(loso, *wanted, "--apex", rule)
        assert code == 0 and f": {prepared} clips and" in text, text
