"""What is in a store is of the key that it is found under, or it is a miss: names exchanged, forms, what is no file."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import fuzz_store
import numpy as np
import pytest
import small
import torch
from safetensors.numpy import load, save
from small import TINY, small_database

from aman.errors import UsageError
from aman.methods import variant
from aman.training import FoldResult
from cluster.experiment.grid import Experiment
from cluster.experiment.run import run
from cluster.folds.checkpoint import FoldKeeper
from cluster.folds.results import damage
from cluster.store.cleanup import bind_results, status, verify
from cluster.store.folder import FolderStore
from cluster.store.names import FOLDS, REFS, blob_name, ref_name, unfinished_name
from cluster.store.open import open_store
from cluster.store.results import Cache, write_ref
from cluster.training.checkpoint import PROGRESS, Progress, check_settings, read_progress, write_checkpoint
from jobs import cache as cache_job

RECIPE = variant(TINY, grid_factors=1, k=1)
"""Two pictures of each clip: arrays can be cut."""
planned = partial(small.planned, recipe=RECIPE)

Results = dict[str, tuple[str, list[list[float]]]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("tiny"), subjects=3, clips_per_subject=2)


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the folds of two seeds; not to be changed."""
    store = tmp_path_factory.mktemp("store")
    for seed in (0, 1):
        run(planned(root, store, seed=seed), lambda line: None)
    return store


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "store")


def results_of(experiment: Experiment) -> Results:
    run(experiment, lambda line: None)
    found: dict[str, FoldResult] = experiment.first.finished
    return {key: (one.weights_sha256, one.probabilities) for key, one in found.items()}


def refs(store: Path, kind: str) -> list[Path]:
    return sorted(path for path in (store / REFS / kind).rglob("*") if path.is_file())


def exchange(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def as_the_first_releases(store: Path) -> None:
    """Refs without a key, and folds that do not say theirs."""
    for path in [path for kind in (store / REFS).iterdir() for path in refs(store, kind.name)]:
        entry = json.loads(path.read_bytes())
        digest, size = entry["digest"], entry["size"]
        if path.parts[-3] == FOLDS:
            values = json.loads((store / blob_name(digest)).read_bytes())
            del values["key"]
            digest = Cache(FolderStore(store)).publish("x", path.name, json.dumps(values).encode())
            size = len(json.dumps(values).encode())
        path.write_text(json.dumps({"digest": digest, "size": size}))
    shutil.rmtree(store / REFS / "x")


def test_two_features_whose_names_were_exchanged_are_made_again(root: Path, whole: Path, store: Path) -> None:
    exchange(*refs(store, "features")[:2])
    folds = store / REFS / FOLDS
    shutil.rmtree(folds)
    experiment = planned(root, store)
    assert len(experiment.first.clips_without_inputs()) == 2
    assert results_of(experiment) == results_of(planned(root, whole))


@pytest.mark.parametrize("how", ["moved", "copied", "only the digest"])
def test_a_fold_of_another_seed_under_its_name_is_trained_again(
    root: Path, whole: Path, store: Path, how: str, call_job: Callable[..., tuple[int, str]]
) -> None:
    wanted = results_of(planned(root, whole))
    mine, other = (planned(root, store, seed=seed).first.folds[0].key for seed in (0, 1))
    one, two = (store / ref_name(FOLDS, key) for key in (mine, other))
    if how == "moved":
        two.replace(one)
    elif how == "copied":
        shutil.copy(two, one)
    else:
        theirs = json.loads(two.read_bytes())
        one.write_text(json.dumps({"digest": theirs["digest"], "size": theirs["size"]}))
    code, text = call_job(cache_job, "verify", "--store", shutil.copytree(store, store.parent / "copy"))
    assert code == 4 and f"{mine}" in text and "1 were not" in text
    experiment = planned(root, store)
    done = run(experiment, lambda line: None)
    assert (done.clips, done.folds) == (0, 1)
    assert results_of(experiment) == wanted


def test_verify_finds_names_that_were_exchanged(store: Path, call_job: Callable[..., tuple[int, str]]) -> None:
    assert call_job(cache_job, "verify", "--store", store)[0] == 0
    exchange(*refs(store, "features")[:2])
    code, text = call_job(cache_job, "verify", "--store", store)
    assert code == 4 and text.count("is not the name of a features result") == 2
    assert status(FolderStore(store)).aside == 2
    assert call_job(cache_job, "verify", "--store", store)[0] == 0


def test_a_store_of_the_first_releases_is_warm_and_is_bound_once(
    root: Path, whole: Path, store: Path, call_job: Callable[..., tuple[int, str]]
) -> None:
    as_the_first_releases(store)
    count = len([path for kind in (store / REFS).iterdir() for path in refs(store, kind.name)])
    for _ in range(2):
        experiment = planned(root, store)
        done = run(experiment, lambda line: None)
        assert (done.clips, done.folds) == (0, 0)
        assert results_of(experiment) == results_of(planned(root, whole))
        code, text = call_job(cache_job, "bind", "--store", store)
        assert code == 0
    assert text.startswith("0 names")
    exchange(*refs(store, "features")[:2])
    assert len(planned(root, store).first.clips_without_inputs()) == 2
    assert verify(FolderStore(store), lambda line: None, damage)[1] == 2 and count > 10


def test_an_old_fold_of_another_subject_is_noticed_and_not_bound_with_damage(root: Path, store: Path) -> None:
    as_the_first_releases(store)
    first, second = planned(root, store).first.folds[:2]
    exchange(*(store / ref_name(FOLDS, spec.key) for spec in (first, second)))
    assert run(planned(root, store), lambda line: None).folds == 2
    features = refs(store, "features")
    (store / blob_name(json.loads(features[0].read_bytes())["digest"])).write_bytes(b"damaged")
    said: list[str] = []
    bound, left = bind_results(FolderStore(store), said.append, damage)
    assert left == 1 and bound > 5 and "no sound blob" in said[0]


@pytest.mark.parametrize("change", ["nan", "shape", "type", "form", "more"])
@pytest.mark.parametrize("kind", ["features", "images"])
def test_arrays_of_another_form_are_made_again(root: Path, whole: Path, store: Path, kind: str, change: str) -> None:
    path = refs(store, kind)[0]
    entry = json.loads(path.read_bytes())
    arrays = load((store / blob_name(entry["digest"])).read_bytes())
    name = "feature_LKCHW" if kind == "features" else "0/0"
    other: Any = {
        "nan": {**arrays, name: np.full_like(arrays[name], np.nan if kind == "features" else 7)},
        "shape": {**arrays, name: arrays[name][:1]},
        "type": {**arrays, name: arrays[name].astype(np.float64 if kind == "features" else np.int64)},
        "form": {"x": arrays[name]},
        "more": {**arrays, "9/9": arrays[name]},
    }[change]
    cache = Cache(FolderStore(store))
    digest = cache.publish("x", "y", save(other))
    path.write_bytes(write_ref(kind, path.name, digest, len(save(other))))
    shutil.rmtree(store / REFS / FOLDS)
    if kind == "images":
        for clip in planned(root, store).first.clips.values():
            if path.name in clip.keys.values():  # its features are gone, so that its images are read
                for key in clip.keys.values():
                    (store / ref_name("features", key)).unlink(missing_ok=True)
        assert len(refs(store, "features")) < len(refs(store, "images"))
    assert results_of(planned(root, store)) == results_of(planned(root, whole))


@pytest.mark.parametrize(
    ("place", "thing"),
    [
        *product(["object"], ["folder", "circle", "nowhere", "pipe"]),
        *product(["folder"], ["file", "circle", "nowhere", "pipe"]),
    ],
)
@pytest.mark.parametrize("part", ["blobs", "refs"])
def test_what_is_no_file_in_a_store_is_a_miss_and_set_aside(tmp_path: Path, part: str, thing: str, place: str) -> None:
    cache = Cache(FolderStore(tmp_path))
    cache.publish("kind", "ab" * 32, b"content")
    (name,) = cache.store.names(part)
    path = tmp_path / name
    at = path if place == "object" else path.parent
    path.unlink()
    if place == "folder":
        at.rmdir()
    if thing == "folder":
        (at / "in").mkdir(parents=True)
    elif thing == "file":
        at.write_bytes(b"x")
    elif thing == "pipe":
        os.mkfifo(at)
    else:
        at.symlink_to(at if thing == "circle" else "nowhere")
    assert name not in cache.store.names(part) and not cache.has("kind", "ab" * 32)
    assert cache.read("kind", "ab" * 32) is None
    cache.publish("kind", "ab" * 32, b"content")
    assert cache.read("kind", "ab" * 32) == b"content"
    assert status(cache.store).aside >= 1
    for name in list(cache.store.names("aside")):
        cache.store.delete(name)
    assert status(cache.store).aside == 0


def test_a_file_that_cannot_be_read_is_set_aside_and_a_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(FolderStore(tmp_path))
    cache.publish("kind", "ab" * 32, b"content")
    real, (blob,) = os.open, cache.store.names("blobs")

    def refuse(path: Any, *how: Any, **more: Any) -> int:
        if str(path).endswith(blob):
            raise PermissionError(13, "Permission denied")
        return real(path, *how, **more)

    monkeypatch.setattr(os, "open", refuse)
    assert cache.read("kind", "ab" * 32) is None
    monkeypatch.undo()
    assert len(list(cache.store.names("aside"))) == 2
    shutil.rmtree(tmp_path / "refs")
    (tmp_path / "refs").write_text("")
    with pytest.raises(UsageError, match="cannot be used"):
        cache.publish("kind", "ab" * 32, b"content")


@pytest.mark.parametrize(
    ("name", "said"),
    [("FILE", "is no folder"), ("FILE/x", "is no folder"), ("a\0b", "no name of a folder"), ("x" * 300, "no name")],
)
def test_a_store_that_can_be_none_is_one_sentence(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "FILE").write_text("")
    for uri in (str(tmp_path / name), f"file://{tmp_path / name}"):
        with pytest.raises(UsageError, match=said):
            open_store(uri)


def test_a_store_whose_name_has_a_space_is_one_store_for_all_processes(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "a b %41 é"))
    store.put("name", b"content")
    assert open_store(store.uri).get("name") == b"content"


def test_the_state_of_another_fold_is_none(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    FoldKeeper(store, "a" * 64).save({"model": torch.zeros(2)})
    assert FoldKeeper(store, "a" * 64).load() is not None
    (tmp_path / unfinished_name("b" * 64)).parent.mkdir(parents=True)
    shutil.copy(tmp_path / unfinished_name("a" * 64), tmp_path / unfinished_name("b" * 64))
    assert FoldKeeper(store, "b" * 64).load() is None


@pytest.mark.parametrize("content", [[1], {"step": 1}, {"step": 1, "settings": [], "state": {}}, torch.zeros(2), None])
def test_a_checkpoint_of_another_form_is_one_sentence(tmp_path: Path, content: Any) -> None:
    write_checkpoint(tmp_path, content)
    with pytest.raises(UsageError, match="no checkpoint of a training"):
        check_settings(tmp_path, {"a": "1"})


def test_damaged_lines_of_a_curve_are_left_out(tmp_path: Path) -> None:
    lines = [b'{"step": 1, "metrics": {"loss": 0.5}}', b"{", b"\xff\xfe", b"[1]", b'{"step": "2", "metrics": {}}']
    lines += [b'{"step": 3, "metrics": {"loss": "x"}}', b"[" * 5000, b'{"step": 4, "metrics": {"loss": 1}}', b'{"st']
    (tmp_path / PROGRESS).write_bytes(b"\n".join(lines))
    assert read_progress(tmp_path) == [
        Progress(step=1, metrics={"loss": 0.5}),
        Progress(step=4, metrics={"loss": 1}),
    ]


def test_results_of_a_search_are_kept_as_counts_and_read_again(root: Path, store: Path) -> None:
    experiment = planned(root, store)
    plan = experiment.first
    assert plan.known == {spec.key for spec in plan.folds}
    shutil.rmtree(store / REFS / FOLDS)
    assert plan.finished == {} and "3 of 3 folds missing" in plan.incomplete()
    assert replace(plan).known == plan.known


def test_mutations_of_stores_and_weights_are_right_or_a_miss(tmp_path: Path) -> None:
    counts = fuzz_store.run(1, 150, tmp_path)
    assert sum(counts.values()) == 150 and counts["miss"] > 60 and counts["refused"] > 20
