"""One fold of a classical method: fit a scikit-learn estimator to the clips of all subjects but one, predict the rest.

Everything that is fitted (scaling, selection of features, the estimator) and everything that is chosen (its parameters)
follows from the training clips alone. The labels of the left-out clips never come here.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import ParameterGrid
from threadpoolctl import threadpool_limits

from aman.protocols import groups_of
from aman.training.fitted import of_estimator
from aman.training.fold import FoldResult, FoldTask, Keeper, fold_seed


class Classical(Protocol):
    """What this runner asks of a classical method; `aman.training.base.Classical` says what each of these is."""

    name: ClassVar[str]

    def shapes(self, settings: Any) -> tuple[tuple[int, ...], ...]: ...
    def estimator(self, settings: Any, seed: int) -> Any: ...
    def grid(self, settings: Any) -> dict[str, Sequence[Any]]: ...
    def cost(self, settings: Any, clips: int) -> float: ...


Vectors = npt.NDArray[np.float64]

TIMED_FOLDS = 3
"""Folds that are timed for an estimate."""
TIMED_SUBJECTS, TIMED_CLIPS = 6, 60
"""Training subjects and clips in each of them."""


def fit_fold(
    method: Classical,
    x_train: Sequence[torch.Tensor],
    x_test: Sequence[torch.Tensor],
    task: FoldTask,
    settings: Any,
    keeper: Keeper | None = None,
) -> FoldResult:
    """Choose, fit and predict: for each input an array (M, ...), which is flattened to one vector a clip. A keeper
    hears of the fitted estimator if it wants the weights. Where the task leaves no clip out, nothing is predicted.

    One thread computes, because a sum that several threads share differs in its last bits. The parameters that were
    chosen are in `extras`, one equal row for each clip. Raises `ValueError` where a choice is to be made and the
    subjects of the training clips are not known.
    """
    begun = time.perf_counter()
    with threadpool_limits(limits=1):
        train_MD = vectors(x_train)
        labels = np.array(task.train_labels)
        seed = fold_seed(task.seed, task.subject)

        def unfitted(chosen: Mapping[str, Any]) -> Any:
            return method.estimator(settings, seed).set_params(**chosen)

        chosen = choose(unfitted, ParameterGrid(dict(method.grid(settings))), train_MD, labels, task)
        fitted = fit(unfitted(chosen), train_MD, labels)
        probabilities = np.empty((0, task.classes))
        if task.test_clips:
            probabilities = predict(fitted, vectors(x_test), task.classes)
    if keeper and keeper.wants_weights:
        keeper.fitted(of_estimator(fitted, method.name))
    return FoldResult(
        subject=task.subject,
        clips=task.test_clips,
        probabilities=probabilities.tolist(),
        epoch_classes=[probabilities.argmax(axis=1).tolist()] if task.test_clips else [],
        losses=[],
        weights_sha256=digest(fitted),
        seconds=time.perf_counter() - begun,
        device="cpu",
        extras={name: [value] * len(task.test_clips) for name, value in chosen.items()},
    )


def vectors(x: Sequence[torch.Tensor]) -> Vectors:
    """`x_MD`: the arrays of all inputs side by side, a row for each clip."""
    return np.concatenate([one.flatten(1).cpu().numpy().astype(np.float64) for one in x], axis=1)


def choose(
    unfitted: Callable[[Mapping[str, Any]], Any],
    grid: ParameterGrid,
    x_MD: Vectors,
    labels: npt.NDArray[np.int_],
    task: FoldTask,
) -> Mapping[str, Any]:
    """The parameters with the most right training clips when each group of subjects is predicted from the others.

    Of equals, the first of the grid is chosen. Where all training clips are of one subject, groups of clips take the
    place of groups of subjects; where there is one clip, nothing can be predicted and the first is chosen.
    """
    if len(grid) == 1:
        return grid[0]
    if len(task.train_subjects) != len(labels):
        raise ValueError(f"{len(labels)} training clips of {len(task.train_subjects)} known subjects")
    of = task.train_subjects if len(set(task.train_subjects)) > 1 else task.train_clips
    groups = groups_of(Counter(of))
    held_out = [np.isin(of, group) for group in groups] if len(groups) > 1 else []

    def right(chosen: Mapping[str, Any]) -> int:
        total = 0
        for out in held_out:
            fitted = fit(unfitted(chosen), x_MD[~out], labels[~out])
            said = predict(fitted, x_MD[out], task.classes).argmax(axis=1)
            total += int((said == labels[out]).sum())
        return total

    return max(grid, key=right)


def fit(estimator: Any, x_MD: Vectors, labels: npt.NDArray[np.int_]) -> Any:
    """The estimator, fitted. Where all clips are of one class, which most estimators refuse, one that always predicts
    that class."""
    one_class = len(set(labels.tolist())) == 1
    return (DummyClassifier(strategy="most_frequent") if one_class else estimator).fit(x_MD, labels)


def predict(fitted: Any, x_MD: Vectors, classes: int) -> Vectors:
    """Probabilities (M,Y), whose rows sum to 1: the estimator's own, or the softmax of its decision function. A class
    without a training clip has 0. Raises `TypeError` for an estimator that does not give one value for each class."""
    seen = fitted.classes_
    if hasattr(fitted, "predict_proba"):
        values = fitted.predict_proba(x_MD)
    else:
        scores = fitted.decision_function(x_MD)
        values = softmax(np.stack([-scores, scores], axis=1) / 2 if scores.ndim == 1 else scores, axis=1)
    if values.shape != (len(x_MD), len(seen)):
        raise TypeError(f"an estimator that gives {values.shape[1]} values for {len(seen)} classes")
    probabilities = np.zeros((len(x_MD), classes))
    probabilities[:, seen] = values
    return probabilities


def digest(fitted: Any) -> str:
    """sha256 of all that an estimator holds, its parameters and what was fitted, attribute by attribute."""
    total = hashlib.sha256()
    _add(total.update, fitted)
    return total.hexdigest()


def _add(update: Callable[[bytes], None], value: Any) -> None:
    """Every value begins with its kind and its size, so that no two values give the same bytes."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.names is not None:
        # Field by field, because the bytes between fields are undefined.
        _add(update, {name: np.asarray(value)[name] for name in value.dtype.names})  # pyrefly: ignore[bad-index]
    elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        array = np.asarray(value)
        kind = array.dtype.newbyteorder("<")
        update(f"array {kind.str} {array.shape}\n".encode())
        update(array.astype(kind, copy=False).tobytes())
    elif value is None or isinstance(value, bool | int | float | str | bytes):
        text = repr(value).encode()
        update(f"{type(value).__name__} {len(text)}\n".encode() + text)
    elif isinstance(value, Mapping):
        update(f"mapping {len(value)}\n".encode())
        for key in sorted(value, key=repr):
            _add(update, key)
            _add(update, value[key])
    elif isinstance(value, list | tuple | np.ndarray):
        update(f"list {len(value)}\n".encode())
        for one in value:
            _add(update, one)
    elif isinstance(value, set | frozenset):
        _add(update, sorted(value, key=repr))
    elif callable(value) and hasattr(value, "__qualname__"):
        update(f"function {value.__module__}.{value.__qualname__}\n".encode())
    elif isinstance(value, BaseEstimator):
        # What an estimator would be copied from has the version of scikit-learn, which is no part of the fit.
        _add(update, [type(value), vars(value)])
    else:
        made_from = value.__reduce_ex__(2)
        _add(update, [list(part) if isinstance(part, Iterator) else part for part in made_from])


def fit_seconds(method: Classical, settings: Any, classes: int) -> tuple[float, ...]:
    """Seconds of each of some folds here, for a unit of the method's cost. Arrays are random."""
    clips = tuple(f"clip {i:03d}" for i in range(TIMED_CLIPS + 1))
    task = FoldTask(
        subject="left out",
        train_clips=clips[1:],
        train_labels=tuple(i % classes for i in range(TIMED_CLIPS)),
        train_subjects=tuple(f"subject {i * TIMED_SUBJECTS // TIMED_CLIPS}" for i in range(TIMED_CLIPS)),
        test_clips=clips[:1],
        classes=classes,
        seed=0,
    )
    generator = torch.Generator().manual_seed(0)
    x = [torch.rand(len(clips), *shape, generator=generator) for shape in method.shapes(settings)]
    units = method.cost(settings, TIMED_CLIPS)
    train, test = [one[1:] for one in x], [one[:1] for one in x]
    fit_fold(method, train, test, task, settings)  # imports of the estimator's modules are not timed
    return tuple(fit_fold(method, train, test, task, settings).seconds / units for _ in range(TIMED_FOLDS))
