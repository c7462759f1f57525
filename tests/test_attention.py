"""Attention that says nothing is noticed, and attention is compared with what is known of a clip."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aman.attention import against_truth, flat_folds, shares_of, shown, summary, warnings
from aman.databases import find
from aman.databases.base import Truth
from aman.training import Axis

LEVELS = Axis(label="factor", plural="levels", at=(1, 2, 3), truth="strength")
FRAMES = Axis(label="interpolated frame", plural="frames", at=(0, 10, 19), truth="amplitude")


def predictions(name: str, values: Sequence[object], subjects: Sequence[str] = ()) -> pd.DataFrame:
    """A table of predictions with one attention."""
    return pd.DataFrame(
        {
            "clip": [f"c{number}" for number in range(len(values))],
            "subject": list(subjects) or ["s"] * len(values),
            name: [json.dumps(one) for one in values],
        }
    )


def assert_found(found: tuple[float, int] | None, correlation: float, clips: int) -> None:
    assert found is not None
    assert found[0] == pytest.approx(correlation)
    assert found[1] == clips


def test_a_fold_is_flat_where_its_median_clip_is() -> None:
    flat, steep = [[0.5, 0.5005], [0.2, 0.2]], [[0.5, 0.6], [0.2, 0.9]]
    table = predictions("alpha", [flat, flat, steep, steep, steep, flat], ["a", "a", "a", "b", "b", "b"])
    assert flat_folds(table, "alpha") == ["a"]
    assert flat_folds(predictions("beta", [[0.5, 0.5], [0.1, 0.1009]]), "beta") == ["s"]
    assert flat_folds(predictions("beta", [[0.5, 0.5], [0.1, 0.9]]), "beta") == []


def test_shares_sum_to_one_and_are_even_where_no_number_is_left_of_the_attention() -> None:
    table = predictions("alpha", [[[0.1, 0.3], [0.0, 0.0]], [[1e-310, 3e-310], [1.0, 1.0]]])
    np.testing.assert_allclose(shares_of(table, "alpha"), [[0.375, 0.625], [0.375, 0.625]])


def test_a_flat_attention_is_said_with_its_folds_and_a_steep_one_is_not() -> None:
    table = predictions("alpha", [[[0.1, 0.1]], [[0.1, 0.9]]], ["a", "b"])
    table["beta"] = [json.dumps([0.1, 0.9])] * 2
    found = summary(table, {"alpha": LEVELS, "beta": FRAMES}, find("samm"), Path("nowhere"))
    (line,) = warnings(found, 2)
    assert line.startswith("warning: alpha") and "1 of 2 folds: a" in line and "levels" in line
    assert "rank_correlation" not in found["alpha"]  # nothing is known of real clips


def test_levels_that_weaken_with_strength_correlate_negatively() -> None:
    truths = {f"c{number}": Truth(strength=1.0 + number, amplitude_T=(0, 1)) for number in range(3)}
    weak_first = predictions("alpha", [[[0, 0, 1]], [[0, 1, 0]], [[1, 0, 0]]])
    assert_found(against_truth(weak_first, "alpha", LEVELS, truths), -1, 3)
    strong_first = predictions("alpha", [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]])
    assert_found(against_truth(strong_first, "alpha", LEVELS, truths), 1, 3)
    equal = predictions("alpha", [[[1, 1, 1]]] * 3)
    assert against_truth(equal, "alpha", LEVELS, truths) is None
    assert against_truth(weak_first, "alpha", LEVELS, {}) is None
    assert against_truth(weak_first, "alpha", Axis(label="factor", plural="levels", at=(1, 2, 3)), truths) is None


def test_frames_that_show_the_movement_correlate_with_it_within_each_clip() -> None:
    truth = Truth(strength=1, amplitude_T=(0, 0.5, 1, 0.6, 0.1))
    np.testing.assert_allclose(shown(truth, (0, 19)), (0, 0.1))
    assert shown(truth, (9,))[0] == pytest.approx(0.5 + 0.5 * (9 * 4 / 19 - 1))
    truths = {"c0": truth, "c1": truth}
    assert_found(against_truth(predictions("beta", [[0.1, 0.9, 0.2]] * 2), "beta", FRAMES, truths), 1, 2)
    opposite = predictions("beta", [[0.9, 0.1, 0.2], [0.1, 0.9, 0.2]])
    assert_found(against_truth(opposite, "beta", FRAMES, truths), (1 - 1) / 2, 2)
