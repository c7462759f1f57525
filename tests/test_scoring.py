"""Scores against sums done by hand."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from aman.errors import DataError, UsageError
from aman.protocols import protocols, published_accuracy
from aman.scoring import (
    accuracy_interval,
    best_test_epoch_accuracy,
    chances,
    compare,
    guessing_best_of,
    labels_by_fold,
    right_by_epoch,
    score,
)
from aman.tables import confusion_table, percent, reachable, score_table, score_values

CLASSES = ("anger", "joy", "surprise")


def table(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Rows of clip, subject, label, prediction."""
    return pd.DataFrame(rows, columns=["clip", "subject", "label", "prediction"])


def example() -> pd.DataFrame:
    """Three subjects with 3, 3 and 1 clips; 4 of 7 right; surprise is never predicted."""
    return table(
        ("1a", "s1", "anger", "anger"),
        ("1b", "s1", "anger", "joy"),
        ("1c", "s1", "joy", "joy"),
        ("2a", "s2", "anger", "anger"),
        ("2b", "s2", "joy", "anger"),
        ("2c", "s2", "surprise", "anger"),
        ("3a", "s3", "joy", "joy"),
    )


def half(count: int = 12, *, by_subject: bool) -> pd.DataFrame:
    """`count` subjects of four clips, half of all clips right: whole subjects at a time, or half of each."""
    return table(
        *(
            (f"{s}-{c}", f"s{s:02d}", "joy", "joy" if (s if by_subject else c) % 2 else "anger")
            for s in range(count)
            for c in range(4)
        )
    )


def test_the_scores_are_those_done_by_hand() -> None:
    scores = score(example(), CLASSES)
    assert scores.clips == 7
    assert scores.accuracy == pytest.approx(4 / 7)
    # anger: 2 right, 2 too many, 1 missed; joy: 2 right, 1 too many, 1 missed; surprise: 1 missed
    assert scores.uf1 == pytest.approx(float((Fraction(4, 7) + Fraction(4, 6) + 0) / 3))
    assert scores.uar == pytest.approx(float((Fraction(2, 3) + Fraction(2, 3) + 0) / 3))
    assert scores.confusion_YY == [[2, 1, 0], [1, 2, 0], [1, 0, 0]]
    assert scores.weighted_f1 == pytest.approx(float((3 * Fraction(4, 7) + 3 * Fraction(4, 6) + 0) / 7))
    assert scores.per_class_recall == pytest.approx({"anger": 2 / 3, "joy": 2 / 3, "surprise": 0})
    assert scores.folds == 3
    assert scores.chance_majority == pytest.approx(3 / 7)
    assert scores.chance_prior == pytest.approx(float(Fraction(3 * 3 + 3 * 3 + 1, 49)))


def test_means_of_folds_weigh_subjects_alike_over_the_classes_that_they_show() -> None:
    scores = score(example(), CLASSES)
    assert scores.mean_fold_accuracy == pytest.approx(float((Fraction(2, 3) + Fraction(1, 3) + 1) / 3))
    first, second, third = (Fraction(2, 3) + Fraction(2, 3)) / 2, (Fraction(2, 4) + 0 + 0) / 3, Fraction(1)
    assert scores.mean_fold_f1 == pytest.approx(float((first + second + third) / 3))


def test_a_class_that_is_never_predicted_scores_zero_and_stays_in_the_mean() -> None:
    rows = example()
    without = score(rows[rows["label"] != "surprise"], CLASSES[:2])
    assert score(rows[rows["label"] != "surprise"], CLASSES).uf1 == pytest.approx(without.uf1 * 2 / 3)
    one_class = table(*((f"{i}", f"s{i}", CLASSES[i % 3], "joy") for i in range(9)))
    scores = score(one_class, CLASSES)
    assert scores.accuracy == pytest.approx(1 / 3)
    assert scores.uar == pytest.approx(1 / 3)
    assert scores.uf1 == pytest.approx((2 * 3 / (2 * 3 + 6)) / 3)


def test_all_right_is_one_everywhere() -> None:
    rows = example()
    rows["prediction"] = rows["label"]
    scores = score(rows, CLASSES)
    for value in (scores.accuracy, scores.uf1, scores.uar, scores.mean_fold_accuracy, scores.mean_fold_f1):
        assert value == 1
    assert set(scores.interval) == {1.0}


def test_the_order_of_the_rows_does_not_matter() -> None:
    scores = score(example(), CLASSES)
    for seed in range(3):
        assert score(example().sample(frac=1, random_state=seed), CLASSES) == scores
    assert score(example().iloc[::-1], CLASSES) == scores


def test_the_order_of_the_classes_is_that_of_the_confusion_matrix_alone() -> None:
    scores, turned = score(example(), CLASSES), score(example(), CLASSES[::-1])
    assert turned.confusion_YY == [row[::-1] for row in scores.confusion_YY[::-1]]
    assert [turned.uf1, turned.uar] == pytest.approx([scores.uf1, scores.uar])


def test_a_clip_that_is_predicted_twice_is_refused_by_its_name() -> None:
    rows = pd.concat([example(), example().iloc[[4]]])
    with pytest.raises(ValueError, match="clip scored twice: 2b"):
        score(rows, CLASSES)


def uneven() -> pd.DataFrame:
    """Thirty subjects with one to nine clips: no two draws of them give the same accuracy."""
    rng = np.random.default_rng(11)
    return table(
        *(
            (f"{s}-{c}", f"s{s:02d}", "joy", "joy" if rng.random() < s / 30 else "anger")
            for s in range(30)
            for c in range(1 + s * 7 % 9)
        )
    )


def test_each_interval_contains_its_score() -> None:
    for rows in (example(), half(by_subject=True), half(by_subject=False), uneven()):
        scores = score(rows, CLASSES)
        for value, (low, high) in (
            (scores.accuracy, scores.interval),
            (scores.uf1, scores.uf1_interval),
            (scores.uar, scores.uar_interval),
        ):
            assert 0 <= low <= value <= high <= 1


def test_the_interval_of_one_table_is_that_of_its_score() -> None:
    assert accuracy_interval(uneven()) == pytest.approx(score(uneven(), CLASSES).interval)
    seeds = pd.concat([uneven(), uneven().assign(prediction="joy")])
    low, high = accuracy_interval(seeds)
    assert low < (seeds["label"] == seeds["prediction"]).mean() < high


def test_the_interval_is_over_subjects_and_not_over_clips() -> None:
    low, high = accuracy_interval(half(by_subject=False))
    assert (low, high) == (0.5, 0.5)  # every subject is half right: it makes no difference who is left out
    low, high = accuracy_interval(half(by_subject=True))
    # 12 subjects right or wrong: by Student's t for their mean, on its own scale
    reach = 2.201 * np.sqrt(0.25 / 11)
    assert (low, high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=0.04)


def test_a_subject_with_more_clips_weighs_more_in_the_interval() -> None:
    rows = [(f"a{i}", "s1", "joy", "joy") for i in range(9)] + [("b", "s2", "joy", "anger")]
    assert accuracy_interval(table(*rows)) == (0, 1)  # as if there were little more than one subject


def test_the_best_test_epoch_of_every_fold_is_counted() -> None:
    first = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    second = np.array([[0], [0], [1]])
    assert best_test_epoch_accuracy([first, second]) == pytest.approx(3 / 4)
    assert best_test_epoch_accuracy([first]) == pytest.approx(2 / 3)


def test_the_best_test_epoch_is_never_below_the_last() -> None:
    rng = np.random.default_rng(0)
    folds = [rng.integers(0, 2, (5, clips)) for clips in (1, 4, 9)]
    last = sum(int(fold[-1].sum()) for fold in folds) / 14
    assert best_test_epoch_accuracy(folds) >= last


def test_a_class_without_a_clip_has_no_recall_and_scores_zero_in_the_means() -> None:
    scores = score(example(), (*CLASSES, "fear"))
    assert scores.per_class_recall["fear"] is None
    assert scores.uar == pytest.approx(score(example(), CLASSES).uar * 3 / 4)
    assert "nan" not in str(score_values(scores)).lower()


def test_a_label_or_prediction_outside_the_classes_is_refused() -> None:
    for column in ("label", "prediction"):
        rows = example()
        rows.loc[2, column] = "envy"
        with pytest.raises(ValueError, match="envy is none of the classes"):
            score(rows, CLASSES)


ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(CLASSES), st.sampled_from(CLASSES), st.sampled_from(CLASSES)),
    min_size=1,
    max_size=20,
)
Drawn = Sequence[tuple[int, str, str, str]]


def tables(drawn: Drawn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables of the same clips."""
    first = table(*((str(i), f"s{s}", label, one) for i, (s, label, one, _) in enumerate(drawn)))
    second = table(*((str(i), f"s{s}", label, other) for i, (s, label, _, other) in enumerate(drawn)))
    return first, second


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_every_score_is_a_share_and_agrees_with_the_confusion_matrix(drawn: Drawn) -> None:
    scores = score(tables(drawn)[0], CLASSES)
    values = score_values(scores)
    shares = [*(values[name] for name in ("accuracy", "uf1", "uar", "weighted_f1", "mean_fold_accuracy"))]
    shares += [values["mean_fold_f1"], *values["chance"].values(), *values["interval"]]
    shares += [recall for recall in values["per_class_recall"].values() if recall is not None]
    assert all(0 <= share <= 1 for share in shares)
    found: Any = precision_recall_fscore_support(
        *zip(*((label, said) for _, label, said, _ in drawn), strict=True), labels=CLASSES, zero_division=0
    )
    _, recalls, f1_scores, counts = found
    assert scores.uf1 == pytest.approx(f1_scores.mean()) and scores.uar == pytest.approx(recalls.mean())
    assert scores.weighted_f1 == pytest.approx(f1_scores @ counts / len(drawn))
    confusion = np.array(scores.confusion_YY)
    assert confusion.sum() == len(drawn)
    assert scores.accuracy == pytest.approx(np.trace(confusion) / len(drawn))
    assert scores.chance_prior <= scores.chance_majority + 1e-12


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_a_comparison_agrees_with_the_scores_of_both_and_with_a_brute_force_test(drawn: Drawn) -> None:
    first, second = tables(drawn)
    found = compare(first, second, CLASSES)
    one, other = score(first, CLASSES), score(second, CLASSES)
    assert found.accuracy_difference == pytest.approx(one.accuracy - other.accuracy)
    assert found.uf1_difference == pytest.approx(one.uf1 - other.uf1)
    assert found.uar_difference == pytest.approx(one.uar - other.uar)
    right = [(label == said, label == also) for _, label, said, also in drawn]
    assert (found.only_first, found.only_second) == (right.count((True, False)), right.count((False, True)))
    n, least = found.only_first + found.only_second, min(found.only_first, found.only_second)
    tail = Fraction(sum(comb(n, i) for i in range(least + 1)), 2**n)
    assert found.p_value == pytest.approx(float(min(Fraction(1), 2 * tail)))


def test_a_comparison_joins_by_clip_and_not_by_order() -> None:
    first, second = example(), example()
    second["prediction"] = "joy"
    found = compare(first, second, CLASSES)
    # 1a and 2a right in the first alone, 1b wrong in both, 2b right in the second alone
    assert (found.clips, found.only_first, found.only_second) == (7, 2, 1)
    assert found.accuracy_difference == pytest.approx(1 / 7)
    for seed in range(3):
        assert compare(first, second.sample(frac=1, random_state=seed), CLASSES) == found
        assert compare(first.sample(frac=1, random_state=seed), second, CLASSES) == found
    turned = compare(second, first, CLASSES)
    assert (turned.only_first, turned.p_value) == (found.only_second, found.p_value)
    assert turned.accuracy_interval == pytest.approx((-found.accuracy_interval[1], -found.accuracy_interval[0]))


def test_equal_tables_differ_in_nothing() -> None:
    found = compare(uneven(), uneven(), CLASSES)
    assert (found.only_first, found.only_second, found.p_value) == (0, 0, 1.0)
    assert {*found.accuracy_interval, *found.uf1_interval, *found.uar_interval} == {0.0}
    assert {found.accuracy_difference, found.uf1_difference, found.uar_difference} == {0.0}


def test_the_interval_of_a_difference_is_paired_by_subject() -> None:
    first = half(by_subject=True)
    third = first.copy()
    third["prediction"] = ["anger" if i % 4 == 0 else "joy" for i in range(len(third))]
    always = third.copy()
    always["prediction"] = "joy"
    found = compare(always, third, CLASSES)
    assert found.accuracy_interval == (0.25, 0.25)  # every subject gains one clip of four: no other value can be


def test_tables_of_other_clips_labels_or_subjects_are_not_compared() -> None:
    for column, said in (("label", "1 clips with another label"), ("subject", "1 clips with another subject")):
        other = example()
        other.loc[4, column] = "surprise"
        with pytest.raises(DataError, match=rf"{said} in the second table \(2b\)"):
            compare(example(), other, CLASSES)
    with pytest.raises(DataError, match=r"4 clips that only one of the two tables has \(1a, 1b, 1c, ...\)"):
        compare(example(), example().iloc[4:], CLASSES)
    with pytest.raises(DataError, match=r"1 clips that only one of the two tables has \(3a\)"):
        compare(example().iloc[:-1], example(), CLASSES)


def test_epochs_are_put_together_by_clip() -> None:
    rows = pd.concat([example().assign(epoch=2), example().assign(epoch=10, prediction="joy")])
    folds = right_by_epoch(rows.sample(frac=1, random_state=1))
    assert [fold.astype(int).tolist() for fold in folds] == [
        [[1, 0, 1], [0, 0, 1]],
        [[1, 0, 0], [0, 1, 0]],
        [[1], [1]],
    ]
    assert best_test_epoch_accuracy(folds) == pytest.approx(4 / 7)
    with pytest.raises(ValueError, match="lacks a clip"):
        right_by_epoch(rows.iloc[:-2])


def test_guessing_once_is_right_as_often_as_the_class_priors_say() -> None:
    folds = labels_by_fold(example())
    assert guessing_best_of(folds, 1) == pytest.approx(float(Fraction(19, 49)), abs=1e-12)
    for protocol in protocols().values():
        for edition in protocol.editions:
            labels = [name for name, count in edition.counts.items() for _ in range(count)]
            found = guessing_best_of([labels[start :: edition.folds] for start in range(edition.folds)], 1)
            assert found == pytest.approx(chances(edition.counts)[1], abs=1e-12)


def test_the_best_guess_of_folds_is_the_one_done_by_hand() -> None:
    # Two classes of equal size: one clip is missed by chance 1/2 an epoch; of two, 0, 1, 2 are right by 1/4, 1/2, 1/4.
    assert guessing_best_of([["a"], ["b"]], 3) == pytest.approx(float(1 - Fraction(1, 2) ** 3))
    best = (1 - Fraction(1, 4) ** 2) + (1 - Fraction(3, 4) ** 2)
    assert guessing_best_of([["a", "b"]], 2) == pytest.approx(float(best / 2))
    assert guessing_best_of([["a", "a"], ["a"]], 7) == 1


def test_the_best_guess_is_that_of_a_simulation() -> None:
    rng, epochs, rounds = np.random.default_rng(4), 6, 20_000
    folds = [list("aabc"), list("aaaabbc"), list("c")]
    share = {name: sum(fold.count(name) for fold in folds) / 12 for name in "abc"}
    best = np.zeros(rounds)
    for fold in folds:
        chance = np.array([share[name] for name in fold])
        best += (rng.random((rounds, epochs, len(fold))) < chance).sum(axis=2).max(axis=1)
    assert guessing_best_of(folds, epochs) == pytest.approx(best.mean() / 12, abs=4 * best.std() / 12 / rounds**0.5)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=8), min_size=1, max_size=5))
def test_more_epochs_make_guessing_look_better_up_to_all_right(folds: list[list[str]]) -> None:
    found = [guessing_best_of(folds, epochs) for epochs in (1, 2, 10, 50, 1_000_000)]
    assert all(one <= more + 1e-12 for one, more in pairwise(found))
    assert found[0] > 0 and found[-1] <= 1 + 1e-12


@pytest.mark.parametrize(
    ("printed", "clips", "count", "cut", "below", "above"),
    [
        ("75.40", 246, None, False, "75.20", "75.61"),
        ("75.40", 249, None, False, "75.10", "75.50"),
        ("75.40", 248, 187, False, "75.00", "75.81"),
        ("68.85", 136, None, False, "68.38", "69.12"),
        ("79.87", 164, 131, True, "79.27", "80.49"),
        ("79.88", 164, 131, False, "79.27", "80.49"),
        ("67", 3, 2, False, "33", "100"),
        ("12", 8, 1, False, "0", "25"),
        ("13", 8, 1, False, "0", "25"),
        ("14", 8, None, False, "13", "25"),
        ("0.0", 3, 0, False, None, "33.3"),
        ("100", 5, 5, False, "80", None),
    ],
)
def test_a_printed_percentage_is_a_whole_number_of_clips_or_is_not(
    printed: str, clips: int, count: int | None, cut: bool, below: str | None, above: str | None
) -> None:
    found = reachable(printed, clips)
    assert (found.count, found.cut, found.below, found.above) == (count, cut, below, above)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 300), st.data())
def test_what_a_count_prints_is_that_count_again(clips: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, clips))
    found = reachable(f"{100 * count / clips:.2f}", clips)
    assert (found.count, found.cut) == (count, False)
    cut_off = Fraction(10_000 * count // clips, 100)
    assert reachable(f"{float(cut_off):.2f}", clips).count == count


@pytest.mark.parametrize("printed", ["", "x", "75,40", "101", "-1", "1e1", "75.4 %", "\u0667", "75.", "nan"])
def test_what_is_no_percentage_is_refused(printed: str) -> None:
    with pytest.raises(UsageError, match="expected 0 to 100"):
        reachable(printed, 10)


def test_the_table_names_every_way_of_scoring_and_stamps_the_peek() -> None:
    scores = score(example(), CLASSES)
    text = score_table(scores, "synthetic", 6 / 7, ["a note"], {50: 0.9})
    rows = dict(line.strip().split("  ", 1) for line in text.splitlines()[1:])
    assert {name: row.split()[0] for name, row in rows.items()} == {
        "accuracy": "57.1",
        "UF1": percent(scores.uf1),
        "UAR": percent(scores.uar),
        "weighted F1": percent(scores.weighted_f1),
        "mean of folds: accuracy": percent(scores.mean_fold_accuracy),
        "mean of folds: macro-F1": percent(scores.mean_fold_f1),
        "chance (majority class)": "42.9",
        "chance (class priors)": "38.8",
        "literature (best test epoch)": "85.7",
        "guessing, best of 50": "90.0",
        "note": "a",
    }
    assert "peeks at the test labels" in rows["literature (best test epoch)"]
    assert "literature" not in score_table(scores, "synthetic")
    assert "no whole number" not in score_table(scores, "casme2-5") and published_accuracy("casme2-5") == 75.40
    whole = score_table(replace(scores, clips=246), "casme2-5")
    assert "75.40  no whole number of 246 clips (next to it: 75.20 and 75.61)" in whole


def test_the_confusion_table_has_a_row_a_class_and_no_recall_where_there_is_no_clip() -> None:
    lines = confusion_table(score(example(), (*CLASSES, "fear"))).splitlines()
    assert lines[1].split() == [*CLASSES, "fear", "clips", "recall"]
    assert [line.split() for line in lines[2:]] == [
        ["anger", "2", "1", "0", "0", "3", "66.7"],
        ["joy", "1", "2", "0", "0", "3", "66.7"],
        ["surprise", "1", "0", "0", "0", "1", "0.0"],
        ["fear", "0", "0", "0", "0", "0", "-"],
    ]
    assert len({len(line) for line in lines[1:]}) == 1


def test_percentages_never_show_a_negative_zero() -> None:
    assert (percent(-0.0001), percent(-0.0001, "+"), percent(0.7389), percent(-0.012, "+")) == (
        "0.0",
        "+0.0",
        "73.9",
        "-1.2",
    )
