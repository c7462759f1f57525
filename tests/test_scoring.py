"""Scores against sums done by hand."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from aman.scoring import BOOTSTRAP_ROUNDS, best_test_epoch_accuracy, bootstrap_interval, score

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
    assert scores.chance_majority == pytest.approx(3 / 7)


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


def test_the_interval_contains_the_accuracy() -> None:
    for rows in (example(), half(by_subject=True), half(by_subject=False), uneven()):
        scores = score(rows, CLASSES)
        low, high = scores.interval
        assert 0 <= low <= scores.accuracy <= high <= 1


def test_the_interval_is_the_same_every_time() -> None:
    intervals = {bootstrap_interval(uneven(), seed) for seed in range(8)}
    assert len(intervals) > 1  # the draws do show in it
    assert {bootstrap_interval(uneven()) for _ in range(4)} == {score(uneven(), CLASSES).interval}


def test_the_interval_is_over_subjects_and_not_over_clips() -> None:
    low, high = bootstrap_interval(half(by_subject=False))
    assert (low, high) == (0.5, 0.5)  # every subject is half right: draws of subjects cannot differ
    low, high = bootstrap_interval(half(by_subject=True))
    # 12 subjects right or wrong: the 95 % interval of a binomial share of 12
    draws = np.random.default_rng(9).binomial(12, 0.5, 10 * BOOTSTRAP_ROUNDS) / 12
    assert (low, high) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.09)


def test_a_subject_with_more_clips_weighs_more_in_the_interval() -> None:
    rows = [(f"a{i}", "s1", "joy", "joy") for i in range(9)] + [("b", "s2", "joy", "anger")]
    low, high = bootstrap_interval(table(*rows))
    assert (low, high) == (0, 1)
    drawn = {round(right / total, 6) for right, total in ((18, 18), (9, 10), (0, 2))}
    assert score(table(*rows), CLASSES).accuracy in drawn


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
