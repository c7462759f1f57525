"""With --keep-weights the store holds what each fold fitted, under the fold's key; results and their keys stay."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from small import TINY, planned, small_database, small_recipe

from aman.errors import DataError, UsageError
from aman.training.classical import digest, fit, predict
from aman.training.fitted import estimator_of, of_estimator, pack, unpack
from cluster.experiment.grid import Experiment, look_up
from cluster.experiment.run import prepare_all, run
from cluster.features.loaded import Loaded, supplies_of
from cluster.folds.results import pack_result, read_result
from cluster.store.names import FOLDS, WEIGHTS, ref_name


def quiet(text: str) -> None:
    del text


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("database") / "release", subjects=3, clips_per_subject=3)


@pytest.fixture(scope="module")
def prepared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the prepared clips of AMAN; not to be changed."""
    store = tmp_path_factory.mktemp("prepared")
    prepare_all(planned(root, store), quiet)
    return store


@pytest.fixture
def store(prepared: Path, tmp_path: Path) -> Path:
    """A store with prepared clips and no fold."""
    return Path(shutil.copytree(prepared, tmp_path / "store", copy_function=os.link))


def refs(experiment: Experiment, kind: str) -> dict[str, bytes | None]:
    store = experiment.first.store
    return {spec.key: store.get(ref_name(kind, spec.key)) for spec in experiment.first.folds}


def test_weights_are_kept_only_where_they_are_wanted_and_no_result_or_key_changes(root: Path, store: Path) -> None:
    plain = planned(root, store)
    assert run(plain, quiet).folds == 3
    results = refs(plain, FOLDS)
    assert set(refs(plain, WEIGHTS).values()) == {None}
    kept = planned(root, store, keep_weights=True)
    assert [spec.key for spec in kept.first.folds] == [spec.key for spec in plain.first.folds]
    assert run(kept, quiet).folds == 3  # each fold is there without its weights: it is trained again
    assert refs(kept, FOLDS) == results and None not in refs(kept, WEIGHTS).values()
    assert run(planned(root, store, keep_weights=True), quiet).folds == 0
    assert run(planned(root, store), quiet).folds == 0


@pytest.mark.parametrize("method", ["aman", "lbp-top", "accordion"])
def test_what_is_kept_predicts_what_the_fold_predicted(method: str, root: Path, store: Path) -> None:
    recipe = TINY if method == "aman" else small_recipe(method)
    experiment = planned(root, store, recipe, keep_weights=True)
    assert not run(experiment, quiet).failed
    plan = experiment.first
    loaded = Loaded(supplies_of([recipe], experiment.clips()), plan.cache, "cpu")
    for spec in plan.folds:
        content = plan.cache.read(WEIGHTS, spec.key)
        result = plan.finished[spec.key]
        assert content is not None
        fitted = unpack(content, key=spec.key)
        x = loaded.arrays_of(spec.recipe, spec.task.test_clips)
        if method == "aman":
            from aman.backbone import digest as network_digest
            from aman.training import neural

            # pyrefly: ignore[bad-argument-type]
            model = neural.build(spec.recipe.method, spec.recipe, spec.fold.classes, 0)
            model.load_state_dict(neural.state_of(fitted))
            assert network_digest(model) == result.weights_sha256
            # pyrefly: ignore[bad-argument-type]
            assert neural.predict(spec.recipe.method, model, x, 3)[0].tolist() == result.probabilities
        else:
            from aman.training.classical import vectors

            estimator = estimator_of(fitted)
            assert digest(estimator) == result.weights_sha256
            assert predict(estimator, vectors(x), spec.fold.classes).tolist() == result.probabilities


def test_a_fold_that_predicts_otherwise_when_it_is_trained_again_keeps_no_weights(root: Path, store: Path) -> None:
    """A result of another kind of machine, say: its weights would be those of another training."""
    experiment = planned(root, store)
    run(experiment, quiet)
    plan = experiment.first
    spec = plan.folds[0]
    result = plan.finished[spec.key]
    first, *rest = result.probabilities
    other = json.loads(pack_result(result, spec.key)) | {"probabilities": [[0.5, 0.5, 0.0, 0.0, 0.0], *rest]}
    assert len(first) == 5
    plan.store.replace(ref_name(FOLDS, spec.key), b"")
    plan.cache.publish(FOLDS, spec.key, json.dumps(other).encode())
    with pytest.raises(DataError, match="predicts otherwise now"):
        run(planned(root, store, keep_weights=True), quiet)
    assert not plan.cache.has(WEIGHTS, spec.key)
    assert read_result(plan.cache, spec.key, spec.fold) is not None


def test_lost_weights_are_made_again(root: Path, store: Path) -> None:
    experiment = planned(root, store, keep_weights=True)
    run(experiment, quiet)
    key = experiment.first.folds[1].key
    before = experiment.first.cache.read(WEIGHTS, key)
    experiment.first.store.replace(ref_name(WEIGHTS, key), b"")
    look_up(experiment.grids)
    assert run(planned(root, store, keep_weights=True), quiet).folds == 1
    assert experiment.first.cache.read(WEIGHTS, key) == before


@pytest.fixture
def table() -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    return generator.random((40, 6)), np.arange(40) % 3


def test_an_estimator_that_would_need_a_pickle_is_refused_by_the_name_of_its_method(table: tuple[Any, Any]) -> None:
    fitted = KNeighborsClassifier(algorithm="kd_tree").fit(*table)
    with pytest.raises(UsageError, match=r"method neighbours, .*KDTree"):
        of_estimator(fitted, "neighbours")


def test_an_estimator_of_one_class_comes_back(table: tuple[Any, Any]) -> None:
    x, _ = table
    fitted = fit(KNeighborsClassifier(), x, np.zeros(40, dtype=int))
    back = estimator_of(unpack(pack(of_estimator(fitted, "any"))))
    assert digest(back) == digest(fitted)


@pytest.mark.parametrize("module", ["os", "aman.files", "sklearn.externals"])
def test_no_class_but_an_estimator_of_scikit_learn_is_made(module: str, table: tuple[Any, Any]) -> None:
    fitted = of_estimator(KNeighborsClassifier(algorithm="brute").fit(*table), "any")
    estimator_of(fitted)
    fitted.structure["estimator"] = [module, "system"]
    with pytest.raises((ValueError, ImportError)):
        estimator_of(fitted)


def test_a_tree_whose_nodes_lead_nowhere_is_refused(table: tuple[Any, Any]) -> None:
    from sklearn.tree import DecisionTreeClassifier

    fitted = of_estimator(DecisionTreeClassifier().fit(*table), "any")
    estimator_of(fitted)
    name = next(name for name in fitted.arrays if name.endswith("nodes.left_child"))
    fitted.arrays[name][0] = 10**6
    with pytest.raises(ValueError, match="lead nowhere"):
        estimator_of(fitted)
