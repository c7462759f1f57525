"""Folds on Ray Train: the queue, and the same results however they were come by."""

import os
import pickle
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import fields, replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from small import TINY, planned, small_database, small_recipe, thread_trainer, train_workers
from test_doors import METHOD
from test_groups import THREE, small_three

from aman.content import content_key
from aman.errors import DataError, SessionLostError, UsageError
from aman.methods import find, variant
from aman.training import FoldResult
from aman.training.fold import Rows
from cluster.experiment.grid import Experiment
from cluster.experiment.plan import Plan
from cluster.experiment.run import Done, run
from cluster.features.keys import Prepared
from cluster.features.loaded import Loaded, arrays_of_clip, supplies_of
from cluster.features.prepare import prepare_clip
from cluster.features.tasks import hand_out
from cluster.folds import fleet
from cluster.folds.checkpoint import FoldKeeper
from cluster.folds.keys import FoldSpec
from cluster.folds.queue import FoldQueue
from cluster.folds.tasks import Roster
from cluster.machines.session import Slots
from cluster.store.names import FOLDS, WEIGHTS
from cluster.store.open import open_store


def plain_loop(plan: Plan) -> dict[str, FoldResult]:
    """The folds one after the other in this process, without the queue, the store of results or Ray."""
    prepare_here(plan)
    recipe, (inputs,) = plan.request.recipe, [plan.inputs]
    view = recipe.method.view(recipe)
    arrays = {name: arrays_of_clip(clip, inputs, view, plan.cache) or () for name, clip in plan.clips.items()}
    results = {}
    for spec in plan.folds:
        train, test = (
            [torch.stack([torch.from_numpy(arrays[clip][0]) for clip in clips])]
            for clips in (spec.task.train_clips, spec.task.test_clips)
        )
        results[spec.key] = recipe.method.train(train, test, spec.task, recipe, None)
    return results


def prepare_here(plan: Plan) -> None:
    from aman.training.neural import be_deterministic

    be_deterministic()
    for clip in plan.clips_without_inputs():
        assert prepare_clip(clip, plan.inputs, plan.cache).error is None


def comparable(results: dict[str, FoldResult]) -> dict[str, tuple[str, list[list[float]], dict[str, list]]]:
    return {key: (r.weights_sha256, r.probabilities, r.extras) for key, r in results.items()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("tiny"), subjects=4, clips_per_subject=3)


@pytest.fixture(scope="module")
def looped(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Experiment, Done]:
    """A store in which the loop of this process has prepared and trained all; not to be changed."""
    store = tmp_path_factory.mktemp("looped")
    experiment = planned(root, store)
    return store, experiment, run(experiment, lambda line: None)


def copy_of(store: Path, to: Path) -> Path:
    """A copy of a store without its folds."""
    shutil.copytree(store, to)
    shutil.rmtree(to / "refs" / FOLDS)
    return to


@pytest.fixture(scope="module")
def prepared(looped: tuple[Path, Experiment, Done], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the prepared clips; not to be changed."""
    return copy_of(looped[0], tmp_path_factory.mktemp("prepared") / "store")


@pytest.fixture
def store(prepared: Path, tmp_path: Path) -> Path:
    """A store with prepared clips and no fold."""
    return Path(shutil.copytree(prepared, tmp_path / "prepared"))


@pytest.fixture(scope="module")
def undisturbed(root: Path, prepared: Path) -> dict[str, FoldResult]:
    return plain_loop(planned(root, prepared).first)


def test_the_queue_hands_out_folds_in_their_order_and_ends() -> None:
    queue = FoldQueue(["a", "b"])
    assert [queue.lease("w"), queue.lease("w")] == ["a", "b"]
    assert queue.lease("w") == ""
    queue.finish("a")
    queue.finish("b")
    assert queue.lease("w") is None


def test_what_a_lost_group_held_is_handed_out_again_first() -> None:
    queue = FoldQueue(["a", "b", "c"])
    queue.join("first")
    queue.join("first")
    assert queue.lease("w1") == "a"
    queue.join("second")
    assert [queue.lease("w2"), queue.lease("w2"), queue.lease("w2")] == ["a", "b", "c"]


def test_a_fold_that_fails_three_times_is_given_up_and_the_others_go_on() -> None:
    queue = FoldQueue(["bad", "good"])
    for _ in range(3):
        assert queue.lease("w") == "bad"
        queue.give_up("bad", "ValueError: no")
    assert queue.lease("w") == "good"
    queue.finish("good")
    assert queue.lease("w") is None
    assert queue.outcome() == ({"bad": "ValueError: no"}, [], None)


def test_a_fold_outlives_many_groups_of_workers_but_not_any_number() -> None:
    queue = FoldQueue(["a"])
    for number in range(19):
        queue.join(f"group {number}")
        assert queue.lease("w") == "a"
    queue.join("group 19")
    assert queue.outcome()[0] == {} and queue.lease("w") == "a"
    queue.join("group 20")
    assert queue.outcome()[0] == {"a": "its workers died 20 times"} and queue.lease("w") is None


def test_a_worker_waits_while_another_may_still_die() -> None:
    queue = FoldQueue(["a"])
    queue.lease("w1")
    assert queue.lease("w2") == ""
    queue.give_up("a", "its worker died")
    assert queue.lease("w2") == "a"


def test_after_what_stops_everything_nothing_is_handed_out() -> None:
    queue = FoldQueue(["a", "b"])
    queue.stop(DataError(got="a full disk", expected="room", fix="make some"))
    assert queue.lease("w") is None


def test_any_order_of_events_loses_no_fold() -> None:
    draw = random.Random(0)
    for _ in range(300):
        queue = FoldQueue([str(i) for i in range(6)])
        done: set[str] = set()
        held: dict[str, str] = {}
        for step in range(2000):
            event = draw.random()
            worker = str(draw.randrange(3))
            if event < 0.02:
                queue.join(str(step))
                held = {}
            elif worker in held:
                mine = held.pop(worker)
                if event < 0.9:
                    queue.finish(mine)
                    done.add(mine)
                else:
                    queue.give_up(mine, "x")
            else:
                key = queue.lease(worker)
                if key is None:
                    break
                if key:
                    held[worker] = key
        assert done | set(queue.failed) == {str(i) for i in range(6)}


def test_the_driver_is_told_of_every_finished_fold_once() -> None:
    queue = FoldQueue(["a", "b"])
    queue.join("first")
    queue.lease("w")
    assert queue.progress(0) == ([], 1)
    queue.finish("a")
    assert queue.progress(0) == (["a"], 1)
    queue.finish("b")
    queue.join("second")
    assert queue.progress(1) == (["b"], 1)


def test_a_worker_reads_the_parts_of_the_work_that_its_leases_need_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    sent_parts: list[bytes] = []
    got: list[int] = []

    def put(value: Any) -> int:
        sent_parts.append(pickle.dumps(value))
        return len(sent_parts) - 1

    def get(handle: int) -> Any:
        got.append(handle)
        return pickle.loads(sent_parts[handle])

    monkeypatch.setattr(ray, "put", put)
    monkeypatch.setattr(fleet, "PART", 10)
    roster = Roster(clips=tuple("abcdef"), labels=(0, 1) * 3, subjects=tuple("xxyyzz"), classes=2, seed=0)
    folds = [roster.without(subject) for subject in "xyz"]
    recipes = [variant(TINY, epochs=epochs) for epochs in range(1, 101)]
    specs = [
        FoldSpec(key=content_key({"fold": fold.subject, "epochs": recipe.training.epochs}), fold=fold, recipe=recipe)
        for recipe in recipes
        for fold in folds
    ]
    sent = fleet.Sent.of(specs)
    wanted = specs[123]
    fold, recipe = sent.find(wanted.key, get)
    assert len(sent_parts) == 1 + 10 + 30 and len(got) == 3
    assert (fold.task, recipe) == (wanted.task, wanted.recipe)
    assert vars(fold.roster).keys() == {one.name for one in fields(Roster)}  # nothing that was computed travels
    for spec in specs:
        fold, recipe = sent.find(spec.key, get)
        assert (fold.task, recipe) == (spec.task, spec.recipe)


def test_as_many_clips_are_handed_out_as_there_is_room_for_and_more_where_machines_may_join() -> None:
    assert Slots(cpus=8, gpus=0).in_flight == 16
    assert Slots(cpus=0, gpus=0).in_flight == 1
    assert Slots(cpus=0, gpus=0, ours=False).in_flight == 32
    assert Slots(cpus=64, gpus=0, ours=False).in_flight == 128


def test_workers_are_as_many_as_gpus_hold_or_one_a_cpu() -> None:
    assert Slots(cpus=8, gpus=2).workers() == 2
    assert Slots(cpus=8, gpus=2).workers(share=0.25) == 8
    assert Slots(cpus=8, gpus=0).workers() == 8
    assert Slots(cpus=0, gpus=0).workers() == 1
    assert Slots(cpus=8, gpus=2).workers(5) == 5


def first_fold(root: Path, folder: Path) -> tuple[Plan, Loaded, list[Any], list[Any]]:
    """A plan of prepared clips, what a worker has loaded for its first fold, and the arrays of training and left-out
    clips."""
    plan = planned(root, folder).first
    recipe, task = plan.request.recipe, plan.folds[0].task
    loaded = Loaded(supplies_of([recipe], {plan.inputs: list(plan.clips.values())}), plan.cache, "cpu")
    loaded.load(plan.inputs, task.clips)
    return plan, loaded, loaded.arrays_of(recipe, task.train_clips), loaded.arrays_of(recipe, task.test_clips)


@pytest.mark.slow
def test_a_fold_on_large_arrays_copies_none_and_comes_out_the_same(
    root: Path, undisturbed: dict[str, FoldResult], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cluster.features import loaded as module

    monkeypatch.setattr(module, "COPIED_AT_MOST", 0)
    plan, loaded, train, test = first_fold(root, store)
    recipe, spec = plan.request.recipe, plan.folds[0]
    assert isinstance(train[0], Rows)
    assert train[0].every.data_ptr() == test[0].every.data_ptr() == loaded.every[0].data_ptr()
    result = recipe.method.train(train, test, spec.task, recipe, None)
    assert comparable({spec.key: result}) == comparable({spec.key: undisturbed[spec.key]})


@pytest.mark.slow
def test_a_fold_that_is_kept_goes_on_from_its_last_epoch_and_comes_out_the_same(
    root: Path, undisturbed: dict[str, FoldResult], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aman.training import neural

    monkeypatch.setattr(neural, "KEEP_SECONDS", -1.0)
    plan, _, train, test = first_fold(root, store)
    recipe, spec = plan.request.recipe, plan.folds[0]
    steps: list[int] = []
    per_epoch = ceil(len(spec.task.train_clips) / TINY.training.batch)

    def counted(*given: Any) -> Any:
        steps.append(1)
        if len(steps) == 2 * per_epoch + 1:  # the third epoch's first step
            raise KeyboardInterrupt
        return train_step(*given)

    train_step = neural.train_step
    monkeypatch.setattr(neural, "train_step", counted)
    with pytest.raises(KeyboardInterrupt):
        recipe.method.train(train, test, spec.task, recipe, FoldKeeper(plan.store, spec.key))
    keeper = FoldKeeper(open_store(plan.store.uri), spec.key)
    assert len((keeper.load() or {})["losses"]) == 2
    result = recipe.method.train(train, test, spec.task, recipe, keeper)
    assert len(steps) == 3 * per_epoch + 1
    assert comparable({spec.key: result}) == comparable({spec.key: undisturbed[spec.key]})
    assert (result.losses, result.epoch_classes) == (undisturbed[spec.key].losses, undisturbed[spec.key].epoch_classes)
    name = keeper.name
    content = bytearray(plan.store.get(name) or b"")
    content[-1] ^= 1
    plan.store.replace(name, bytes(content))
    assert FoldKeeper(plan.store, spec.key).load() is None
    keeper.forget()
    assert plan.store.get(name) is None


def test_the_folds_that_take_longest_are_trained_first(root: Path, tmp_path: Path) -> None:
    plan = planned(root, tmp_path).first
    for place, clips in ((0, 2), (1, 5), (2, 4)):
        spec = plan.folds[place]
        unseen = tuple(range(len(plan.clips)))[: 12 - 3 - clips]
        plan.folds[place] = replace(spec, fold=replace(spec.fold, unseen=unseen))
    assert [spec.task.subject[-2:] for spec in plan.folds_to_train()] == ["04", "02", "03", "01"]


def test_the_loop_in_this_process_gives_the_predictions_of_a_plain_loop_and_a_second_run_computes_nothing(
    root: Path, undisturbed: dict[str, FoldResult], looped: tuple[Path, Experiment, Done]
) -> None:
    store, experiment, done = looped
    assert (done.clips, done.folds, done.failed) == (12, 4, {})
    assert comparable(experiment.first.finished) == comparable(undisturbed)
    again = planned(root, store)
    done = run(again, lambda line: None)
    assert (done.clips, done.folds) == (0, 0)
    assert comparable(again.first.finished) == comparable(undisturbed)


def damage_a_feature(store: Path, plan: Plan) -> None:
    """Flip a bit in one of the cached features."""
    assert not plan.clips_without_inputs()
    blobs = [store / name for name in plan.store.names("blobs")]
    features = [path for path in blobs if b"feature_LKCHW" in path.read_bytes()[:200]]
    assert 0 < len(features) < len(blobs)
    content = bytearray(features[0].read_bytes())
    content[-1] ^= 1
    features[0].write_bytes(content)


def repaired(
    experiment: Experiment, store: Path, say: Callable[[str], None] = lambda line: None, clips: int = 1, folds: int = 4
) -> Done:
    """A run that finds a damaged feature and has it made again; so many clips are made in all, and folds trained."""
    damage_a_feature(store, experiment.first)
    said: list[str] = []

    def note(line: str) -> None:
        said.append(line)
        say(line)

    done = run(experiment, note)
    assert any("gone or damaged" in line for line in said), done.failed
    assert (done.clips, done.folds, done.failed) == (clips, folds, {})
    return done


@pytest.mark.slow
def test_damaged_features_are_made_again_and_the_predictions_stay(
    root: Path, undisturbed: dict[str, FoldResult], store: Path
) -> None:
    experiment = planned(root, store)
    repaired(experiment, store)
    assert comparable(experiment.first.finished) == comparable(undisturbed)


def of_every_kind(root: Path, three: Path, store: Path, here: bool) -> Experiment:
    """Subjects left out one by one, a training on all clips, three folds over subjects, each of three databases
    learned from the others by another method, and a method of one's own whose file workers do not have, with the
    weights of all of them."""
    recipe = variant(TINY, epochs=160)  # other folds still train when the first one is finished
    asked: list[dict[str, Any]] = [
        {"root": root},
        {"root": root, "recipe": TINY, "whole": True},
        {"root": root, "recipe": TINY, "protocol": "kfold3-seed1"},
        {"root": three, "recipe": small_recipe("ststnet"), "database": THREE, "protocol": "cross"},
        {"root": root, "recipe": find(str(three.with_name("plain.py"))).Settings()},
    ]
    more: dict[str, Any] = {"recipe": recipe, "store": store, "keep_weights": True, "here": here, "workers": 2}
    plans = [planned(**{**more, **one}) for one in asked]
    return Experiment(grids=[grid for one in plans for grid in one.grids])


def all_of(experiment: Experiment) -> tuple[dict[str, FoldResult], dict[str, bytes | None]]:
    """Results and weights of all folds, by key."""
    results: dict[str, FoldResult] = {}
    for grid in experiment.grids:
        results |= grid.first.finished
    return results, {key: experiment.first.cache.read(WEIGHTS, key) for key in results}


def test_two_workers_after_a_damaged_feature_of_which_one_is_killed_give_the_results_and_weights_of_this_process(
    ray_cluster: None, root: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread in place of workers finds the damage; of the workers that train after the repair, one dies."""
    killed: list[int] = []
    usual = fleet._trainer

    def first_by_a_thread(config: dict[str, Any], *how: Any, **more: Any) -> Any:
        monkeypatch.setattr(fleet, "_trainer", usual)
        return thread_trainer(config)

    monkeypatch.setattr(fleet, "_trainer", first_by_a_thread)

    def kill_one(line: str) -> None:
        if line.startswith("fold 1/") and not killed:
            killed.append(train_workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    three = small_three(tmp_path / "three")
    (tmp_path / "plain.py").write_text(METHOD)
    for name in ("there", "here"):
        shutil.copytree(prepared, tmp_path / name)
    there, here = (of_every_kind(root, three, tmp_path / name, name == "here") for name in ("there", "here"))
    folds, others = 4 + 1 + 3 + 3 + 4, 28  # the pictures of the method of one's own are there
    repaired(there, tmp_path / "there", kill_one, clips=1 + others, folds=folds)
    # A training on all clips leaves nobody out, and the three databases are too small for their protocol.
    assert len(killed) == 1 and not any(grid.first.incomplete() for grid in there.grids[::2])
    assert run(here, lambda line: None).folds == folds
    results, weights = all_of(there)
    expected, kept = all_of(here)
    assert len(results) == folds and comparable(results) == comparable(expected)
    assert weights == kept and None not in weights.values()


def test_an_error_that_stops_everything_comes_out_of_a_training_run(
    ray_cluster: None, root: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is a Ray actor, as ever; what would be a worker of Ray Train is a thread of this process."""
    plan = planned(root, store, here=False, workers=1).first
    (store / "refs" / "folds").write_text("a file where the folder of results should be")
    (store / "aside").write_text("so that it cannot be set aside")
    tried: list[str] = []
    monkeypatch.setattr(fleet, "_trainer", lambda config, *_, **__: thread_trainer(config, tried))
    with pytest.raises(UsageError, match="cannot be used"):
        fleet.train_folds(
            plan.folds_to_train(),
            {plan.inputs: list(plan.clips.values())},
            plan.store.uri,
            workers=1,
            gpu_share=0,
            scratch=str(tmp_path / "scratch"),
            on_finish=lambda spec, result: 0,
        )
    assert len(tried) == 1  # and none after that


def test_a_worker_that_dies_costs_a_clip_nothing_and_one_that_always_dies_ends_the_run(
    ray_cluster: None, root: Path, tmp_path: Path
) -> None:
    import ray

    died = tmp_path / "died"

    @ray.remote(max_retries=0)
    def work(name: str, always: bool) -> Prepared:
        if always or not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Prepared(clip_id=name, made={})

    clips = list(planned(root, tmp_path / "store").first.clips.values())[:3]
    report = hand_out(clips, lambda plan: work.remote(plan.clip.clip_id, False), lambda line: None)
    assert died.exists() and (report.computed, report.failed) == (3, [])
    with pytest.raises(SessionLostError, match=clips[0].clip.clip_id):
        hand_out(clips[:1], lambda plan: work.remote(plan.clip.clip_id, True), lambda line: None)
