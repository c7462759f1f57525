"""A fold of a classical method: all that is fitted or chosen in it follows from the training clips alone."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_info, threadpool_limits

from aman.methods import Classical, FoldResult, FoldTask, Recipe
from aman.methods.lbp_top import METHOD, LbpTopSettings
from aman.training.classical import digest

SETTINGS = LbpTopSettings(costs=(1e-4, 1e-3, 1e-2, 1e-1, 1.0))
SUBJECTS, CLIPS, CLASSES, FEATURES = 4, 9, 3, 12


def database(
    seed: int = 0, *, noise: float = 1.5, subjects: int = SUBJECTS, classes: int = CLASSES
) -> tuple[torch.Tensor, list[int], list[str], list[str]]:
    """Vectors (M,D) around a centre for each class, moved and stretched for each subject; labels, subjects, clips."""
    rng = np.random.default_rng(seed)
    labels = [i % classes for _ in range(subjects) for i in range(CLIPS)]
    of = [f"made/{number:02d}" for number in range(subjects) for _ in range(CLIPS)]
    centres = rng.normal(size=(classes, FEATURES))
    scale = 10.0 ** rng.uniform(-2, 2, FEATURES)
    moved = rng.normal(size=(subjects, FEATURES)).repeat(CLIPS, axis=0)
    x_MD = (centres[labels] + moved + noise * rng.normal(size=(len(labels), FEATURES))) * scale
    return torch.from_numpy(x_MD.astype(np.float32)), labels, of, [f"{one}/{i}" for i, one in enumerate(of)]


def fold(
    x_MD: torch.Tensor,
    labels: Sequence[int],
    of: Sequence[str],
    clips: Sequence[str],
    left_out: str,
    *,
    method: Classical = METHOD,
    settings: Recipe = SETTINGS,
    classes: int = CLASSES,
    x_test: torch.Tensor | None = None,
) -> FoldResult:
    """The fold of one left-out subject."""
    train = [i for i, one in enumerate(of) if one != left_out]
    test = [i for i, one in enumerate(of) if one == left_out]
    task = FoldTask(
        subject=left_out,
        train_clips=tuple(clips[i] for i in train),
        train_labels=tuple(labels[i] for i in train),
        train_subjects=tuple(of[i] for i in train),
        test_clips=tuple(clips[i] for i in test),
        classes=classes,
        seed=0,
    )
    return method.train([x_MD[train]], [x_MD[test] if x_test is None else x_test], task, settings, None)


def timeless(result: FoldResult) -> FoldResult:
    return replace(result, seconds=0.0)


def test_a_fold_gives_a_row_of_probabilities_for_each_left_out_clip() -> None:
    x, labels, of, clips = database(noise=0.3)
    result = fold(x, labels, of, clips, "made/01")
    assert result.clips == tuple(clips[CLIPS : 2 * CLIPS])
    probabilities = np.array(result.probabilities)
    assert probabilities.shape == (CLIPS, CLASSES)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities > 0).all()
    assert result.epoch_classes == [probabilities.argmax(axis=1).tolist()]
    right = [a == b for a, b in zip(result.epoch_classes[0], labels[CLIPS : 2 * CLIPS], strict=True)]
    assert sum(right) >= CLIPS - 1
    assert (result.losses, result.subject, result.device) == ([], "made/01", "cpu")


def test_the_fold_predicts_what_scikit_learn_predicts_when_it_is_given_the_training_clips_alone() -> None:
    x, labels, of, clips = database()
    result = fold(x, labels, of, clips, "made/02")
    train, test = np.array(of) != "made/02", np.array(of) == "made/02"
    (cost,) = set(result.extras["svc__C"])
    honest = (
        METHOD.estimator(SETTINGS, 0).set_params(svc__C=cost).fit(x[train].double().numpy(), np.array(labels)[train])
    )
    assert result.epoch_classes == [honest.predict(x[test].double().numpy()).tolist()]
    assert result.weights_sha256 == digest(honest)
    leaking = copy.deepcopy(honest)
    leaking.named_steps["standardscaler"].fit(x.double().numpy())
    assert digest(leaking) != result.weights_sha256


@pytest.mark.slow
def test_the_parameter_is_the_one_that_a_search_by_subject_finds_on_the_training_clips() -> None:
    seen = set()
    for seed in range(4, 8):
        x, labels, of, clips = database(seed)
        result = fold(x, labels, of, clips, "made/00")
        train = np.array(of) != "made/00"
        search = GridSearchCV(METHOD.estimator(SETTINGS, 0), METHOD.grid(SETTINGS), cv=LeaveOneGroupOut())
        search.fit(x[train].double().numpy(), np.array(labels)[train], groups=np.array(of)[train])
        assert result.extras == {"svc__C": [search.best_params_["svc__C"]] * CLIPS}
        seen.add(search.best_params_["svc__C"])
    assert len(seen) > 1  # the search had something to find


def test_choosing_on_all_clips_would_have_chosen_another_parameter() -> None:
    x, labels, of, clips = database(6)
    inside = fold(x, labels, of, clips, "made/00").extras["svc__C"][0]
    search = GridSearchCV(METHOD.estimator(SETTINGS, 0), METHOD.grid(SETTINGS), cv=LeaveOneGroupOut())
    search.fit(x.double().numpy(), np.array(labels), groups=np.array(of))
    assert search.best_params_["svc__C"] != inside


def test_noise_in_place_of_the_left_out_clips_changes_nothing_that_is_fitted_or_chosen() -> None:
    x, labels, of, clips = database()
    honest = fold(x, labels, of, clips, "made/01")
    noise = 1e6 * torch.randn(CLIPS, FEATURES, generator=torch.Generator().manual_seed(1))
    other = fold(x, labels, of, clips, "made/01", x_test=noise)
    assert other.weights_sha256 == honest.weights_sha256
    assert other.extras == honest.extras
    assert other.probabilities != honest.probabilities


def test_other_labels_of_the_left_out_clips_change_nothing() -> None:
    x, labels, of, clips = database()
    shuffled = [(label + 1) % CLASSES if one == "made/01" else label for label, one in zip(labels, of, strict=True)]
    first, second = fold(x, labels, of, clips, "made/01"), fold(x, shuffled, of, clips, "made/01")
    assert timeless(first) == timeless(second)
    assert not {field.name for field in fields(FoldTask)} & {"test_labels", "labels"}


def test_left_out_clips_in_another_order_give_their_rows_in_that_order() -> None:
    x, labels, of, clips = database()
    first = fold(x, labels, of, clips, "made/01")
    backwards = fold(x, labels, of, clips, "made/01", x_test=x[CLIPS : 2 * CLIPS].flip(0))
    np.testing.assert_array_equal(backwards.probabilities, first.probabilities[::-1])
    assert backwards.weights_sha256 == first.weights_sha256


def test_two_runs_are_equal_and_other_training_clips_are_another_fit() -> None:
    x, labels, of, clips = database()
    first = fold(x, labels, of, clips, "made/01")
    assert timeless(fold(x, labels, of, clips, "made/01")) == timeless(first)
    changed = x.clone()
    changed[0, 0] += 0.01
    assert fold(changed, labels, of, clips, "made/01").weights_sha256 != first.weights_sha256


def test_a_class_without_training_clips_has_no_probability_and_is_never_predicted() -> None:
    x, labels, of, clips = database()
    only_there = [1 if one == "made/01" else 2 * (label > 0) for label, one in zip(labels, of, strict=True)]
    result = fold(x, only_there, of, clips, "made/01", classes=4)
    probabilities = np.array(result.probabilities)
    assert probabilities.shape == (CLIPS, 4)
    assert (probabilities[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert set(result.epoch_classes[0]) == {0, 2}


def test_two_training_subjects_without_a_common_class_can_be_learnt_from() -> None:
    x, labels, of, clips = database(subjects=3)
    apart = [{"made/00": 0, "made/01": 1, "made/02": label}[one] for label, one in zip(labels, of, strict=True)]
    result = fold(x, apart, of, clips, "made/02")
    assert set(result.extras["svc__C"]) == {1e-4}  # each group is all wrong, so the smallest is chosen
    assert set(result.epoch_classes[0]) <= {0, 1}


def test_one_training_subject_is_split_by_clips() -> None:
    x, labels, of, clips = database(subjects=2, noise=0.3)
    result = fold(x, labels, of, clips, "made/01")
    right = [a == b for a, b in zip(result.epoch_classes[0], labels[CLIPS:], strict=True)]
    assert sum(right) > CLIPS / 2
    chosen = {fold(*database(seed, subjects=2), "made/01").extras["svc__C"][0] for seed in range(2)}
    assert chosen == {0.1}  # without a split the first, 0.0001, would be taken


@pytest.mark.parametrize("kept", [1, 4])
def test_training_clips_of_one_class_predict_that_class(kept: int) -> None:
    x, labels, of, clips = database()
    at = [i for i, label in enumerate(labels) if label == 2 and of[i] != "made/01"][:kept] + list(
        range(CLIPS, 2 * CLIPS)
    )
    result = fold(x[at], [labels[i] for i in at], [of[i] for i in at], [clips[i] for i in at], "made/01")
    assert result.probabilities == [[0.0, 0.0, 1.0]] * CLIPS


def test_a_choice_without_known_subjects_is_refused() -> None:
    x, labels, _, clips = database(subjects=2)
    task = FoldTask(
        subject="s",
        train_clips=tuple(clips[:CLIPS]),
        train_labels=tuple(labels[:CLIPS]),
        test_clips=tuple(clips[CLIPS:]),
        classes=CLASSES,
        seed=0,
    )
    with pytest.raises(ValueError, match="9 training clips of 0 known subjects"):
        METHOD.train([x[:CLIPS]], [x[CLIPS:]], task, SETTINGS, None)
    one = METHOD.train([x[:CLIPS]], [x[CLIPS:]], task, replace(SETTINGS, costs=(0.1,)), None)  # nothing to choose
    assert len(one.probabilities) == CLIPS


def test_several_inputs_of_any_shape_become_one_vector() -> None:
    x, labels, of, clips = database()
    task = FoldTask(
        subject="made/00",
        train_clips=tuple(clips[CLIPS:]),
        train_labels=tuple(labels[CLIPS:]),
        train_subjects=tuple(of[CLIPS:]),
        test_clips=tuple(clips[:CLIPS]),
        classes=CLASSES,
        seed=0,
    )
    parts = [x[:, :2], x[:, 2:].reshape(len(x), 2, 5)]
    result = METHOD.train([part[CLIPS:] for part in parts], [part[:CLIPS] for part in parts], task, SETTINGS, None)
    assert timeless(result) == timeless(fold(x, labels, of, clips, "made/00"))


@dataclass(frozen=True, kw_only=True)
class Plain(Recipe):
    """No setting."""


def made(estimator: Any, **grid: Sequence[Any]) -> Classical:
    """A method with this estimator."""

    class Made(Classical, settings=Plain):
        name = "made"

        def estimator(self, settings: Plain, seed: int) -> Any:
            return clone(estimator)

        def grid(self, settings: Plain) -> Mapping[str, Sequence[Any]]:  # pyrefly: ignore[bad-override]
            return grid

    return Made()


def test_of_equally_good_parameters_the_first_of_the_grid_is_chosen() -> None:
    x, labels, of, clips = database()
    method = made(DummyClassifier(), random_state=[3, 1, 2])
    assert set(fold(x, labels, of, clips, "made/00", method=method, settings=Plain()).extras["random_state"]) == {3}


def test_two_classes_have_the_probabilities_of_the_margin() -> None:
    x, labels, of, clips = database(classes=2)
    result = fold(x, labels, of, clips, "made/00", method=made(SVC(kernel="linear")), settings=Plain(), classes=2)
    fitted = SVC(kernel="linear").fit(x[CLIPS:].double().numpy(), labels[CLIPS:])
    margin = fitted.decision_function(x[:CLIPS].double().numpy())
    np.testing.assert_allclose(np.array(result.probabilities)[:, 1], 1 / (1 + np.exp(-margin)))
    assert result.epoch_classes == [fitted.predict(x[:CLIPS].double().numpy()).tolist()]


def test_an_estimator_with_a_value_for_each_pair_of_classes_is_refused() -> None:
    x, labels, of, clips = database(classes=4)
    method = made(SVC(decision_function_shape="ovo"))
    with pytest.raises(TypeError, match="6 values for 4 classes"):
        fold(x, labels, of, clips, "made/00", method=method, settings=Plain(), classes=4)


class CountsThreads(DummyClassifier):
    """Notes how many threads a library may use while it is fitted."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        self.threads_ = max(one["num_threads"] for one in threadpool_info())
        threads.append(self.threads_)
        return super().fit(X, y)


threads: list[int] = []


def test_a_fold_is_fitted_by_one_thread_whatever_the_process_may_use() -> None:
    x, labels, of, clips = database()
    threads.clear()
    with threadpool_limits(limits=2):
        fold(x, labels, of, clips, "made/00", method=made(CountsThreads()), settings=Plain())
    assert threads == [1]


ESTIMATORS = {
    "random forest": RandomForestClassifier(5, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=3, random_state=0),
    "neighbours": KNeighborsClassifier(3, algorithm="kd_tree"),
    "discriminant": LinearDiscriminantAnalysis(),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "selection": make_pipeline(SelectKBest(k=3), StandardScaler(), PCA(2), LinearSVC(random_state=0)),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_digest_of_any_estimator_follows_from_what_was_fitted(name: str) -> None:
    x, labels, *_ = database(noise=0.5)
    vectors = x.double().numpy()
    fitted = clone(ESTIMATORS[name]).fit(vectors, labels)
    assert digest(clone(ESTIMATORS[name]).fit(vectors, labels)) == digest(fitted)
    assert digest(copy.deepcopy(fitted)) == digest(fitted)
    assert digest(clone(ESTIMATORS[name]).fit(vectors[:-3], labels[:-3])) != digest(fitted)


def test_the_digest_sees_one_bit_of_a_coefficient_and_the_chosen_parameter_but_no_memory_order() -> None:
    x, labels, *_ = database()
    fitted = METHOD.estimator(SETTINGS, 0).fit(x.double().numpy(), labels)
    other = copy.deepcopy(fitted)
    other.named_steps["standardscaler"].mean_[0] = np.nextafter(other.named_steps["standardscaler"].mean_[0], 9)
    assert digest(other) != digest(fitted)
    assert digest(copy.deepcopy(fitted).set_params(svc__C=2.0)) != digest(fitted)
    turned = copy.deepcopy(fitted)
    svm = turned.named_steps["svc"]
    svm.support_vectors_ = np.asfortranarray(svm.support_vectors_)
    assert digest(turned) == digest(fitted)


def test_values_of_different_kinds_or_places_have_different_digests() -> None:
    values = [1, 1.0, "1", True, None, [1], [[1]], [], {}, {1: 2}, [1, 2], {1}, b"1", np.float32(1), np.ones(1), abs]
    assert len({digest(value) for value in values}) == len(values) - 1  # a set and a list of its items
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})


def test_an_estimate_times_whole_folds() -> None:
    seconds = METHOD.unit_seconds(LbpTopSettings(blocks=1), 5)
    assert len(seconds) == 3
    assert all(one > 0 for one in seconds)
