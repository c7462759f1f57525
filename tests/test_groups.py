"""Benchmarks that leave out other groups than subjects: k folds, test sets, databases; from the plan to the scores."""

import csv
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from small import planned, samm_row, small_database, small_options, small_recipe, small_samm, small_smic

from aman.databases import find
from aman.errors import DataError, UsageError
from aman.protocols import protocol_for, protocol_named, select
from aman.selection import inner_tasks
from aman.splits import SubjectFolds
from cluster.experiment.grid import Experiment, look_up
from cluster.experiment.run import prepare_all, run
from cluster.features.loaded import Loaded, supplies_of
from jobs import check_database, compare, loso, protocols, report, score, tune

THREE = "casme2+samm+smic"
Call = Callable[..., tuple[int, str]]


def small_three(root: Path) -> Path:
    """CASME II, SAMM and SMIC side by side: 13, 9 and 6 clips that count, of 4, 3 and 2 subjects, every class in
    each."""
    root.mkdir()
    small_database(root / "c2", subjects=4, clips_per_subject=4, release=False)
    labels = ("Anger", "Happiness", "Surprise")
    rows = [samm_row(f"{s:03d}", f"{s:03d}_1_{i}", label=one) for s in (6, 7, 9) for i, one in enumerate(labels)]
    small_samm(root / "samm", *rows)
    kinds = (("positive", "po"), ("surprise", "sur"), ("negative", "ne"))
    small_smic(root / "smic", *(f"s{s}/micro/{kind}/s{s}_{short}_01" for s in (3, 4) for kind, short in kinds))
    return root


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_three(tmp_path_factory.mktemp("three") / "all")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared clips for all tests of this file; each trains what it needs."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def table(three: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's split: two subjects of CASME II, one of each other database and no clip of the last are predicted."""
    clips = planned(three, store, small_recipe("ststnet"), database=THREE).first.selection.clips
    tested = ("casme2/01", "casme2/02", "samm/006", "smic/s3")
    path = tmp_path_factory.mktemp("split") / "My split.csv"
    rows = [(clip.clip_id, "test" if clip.subject in tested else "train") for clip in clips[:-1]]
    return write(path, [("clip", "set"), *rows, (clips[-1].clip_id, "unused")])


def write(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


KINDS = ("cross", "cross-to-smic", "kfold3-seed0", "split")
"""Every kind of split that these databases can have; `split` stands for the user's table."""


def asked_for(kind: str, table: Path) -> dict[str, str]:
    """The kind as a request has it."""
    return {"split": str(table)} if kind == "split" else {"protocol": kind}


# Leaks


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("ststnet", kind) for kind in KINDS),
        ("lbp-sip", "kfold3-seed0"),  # which chooses a setting by inner folds; tests/test_honest.py has every method
    ],
)
def test_labels_of_the_left_out_group_change_no_fitted_number(
    name: str, kind: str, three: Path, table: Path, tmp_path: Path
) -> None:
    options = {"database": THREE, **asked_for(kind, table)}

    def weights(experiment: Experiment) -> dict[str, str]:
        run(experiment, lambda line: None)
        plan = experiment.first
        return {spec.subject: plan.finished[spec.key].weights_sha256 for spec in plan.folds}

    first = planned(three, tmp_path / "first", small_recipe(name), **options)
    prepare_all(first, lambda line: None)
    shutil.copytree(tmp_path / "first", tmp_path / "other", copy_function=os.link)
    other = planned(three, tmp_path / "other", small_recipe(name), **options)
    plan, outer = other.first, other.first.left_out[0]
    group, labels = plan.selection.group_of, {name: sorted(of) for name, of in plan.selection.protocol.labels.items()}
    turned = {(name, label): of[place - 1] for name, of in labels.items() for place, label in enumerate(of)}
    shuffled = tuple(
        replace(clip, label=turned[clip.database, clip.label]) if group[clip.clip_id] == outer else clip
        for clip in plan.selection.clips
    )
    before = plan.truth
    plan.selection = replace(plan.selection, clips=shuffled)
    moved = {clip for clip, label in plan.truth.items() if label != before[clip]}
    assert moved and all(group[clip] == outer for clip in moved)
    look_up(other.grids)
    mine, others = weights(first), weights(other)
    assert mine[outer] == others[outer]
    learned_elsewhere = [one for one in mine if one != outer]
    assert all(mine[one] != others[one] for one in learned_elsewhere)  # the labels matter where they are learned from


@pytest.mark.parametrize("kind", KINDS)
def test_noise_in_place_of_the_left_out_clips_leaves_every_fitted_number_as_it_is(
    kind: str, three: Path, store: Path, table: Path
) -> None:
    recipe = small_recipe("ststnet")
    experiment = planned(three, store, recipe, database=THREE, **asked_for(kind, table))
    run(experiment, lambda line: None)
    plan = experiment.first
    loaded = Loaded(supplies_of([plan.request.recipe], experiment.clips()), plan.cache, "cpu")
    for spec in plan.folds:
        task = spec.task
        assert not set(task.train_clips) & set(task.test_clips)
        loaded.load(plan.inputs, task.clips)
        train, test = (loaded.arrays_of(recipe, clips) for clips in (task.train_clips, task.test_clips))
        noise = [torch.rand_like(one.float()).to(one.dtype) for one in test]
        again, other = (recipe.method.train(train, some, task, recipe, None) for some in (test, noise))
        known = plan.finished[spec.key]
        assert known.weights_sha256 == again.weights_sha256 == other.weights_sha256
        assert known.losses == other.losses and known.probabilities != other.probabilities


@pytest.mark.parametrize("kind", KINDS)
def test_inner_folds_hold_training_clips_alone_and_predict_each_once(
    kind: str, three: Path, store: Path, table: Path
) -> None:
    options = asked_for(kind, table)
    selection = planned(three, store, small_recipe("ststnet"), database=THREE, **options).first.selection
    for outer in selection.groups:
        train = {clip.clip_id: clip.subject for clip in selection.fold(outer).train}
        tasks = inner_tasks(selection, outer, seed=0)
        assert sorted(clip for task in tasks for clip in task.test_clips) == sorted(train)
        for task in tasks:
            assert set(task.clips) == set(train)
            assert not {train[clip] for clip in task.test_clips} & set(task.train_subjects)


# From the command line


def options_of(kind: str, table: Path) -> list[str]:
    return ["--split", str(table)] if kind == "split" else ["--protocol", kind]


SIZES = {"cross": (28, 3), "cross-to-smic": (6, 1), "kfold3-seed0": (28, 3), "split": (13, 1)}
"""Clips that are predicted, and trainings."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_benchmark_of_every_kind_is_planned_trained_resumed_scored_and_shown(
    kind: str, call_job: Call, here: Path, three: Path, store: Path, table: Path
) -> None:
    clips, folds = SIZES[kind]
    wanted = ["--method", "ststnet", *small_options("ststnet"), "--database", "casme2", "samm", "smic", "--root", three]
    wanted += [*options_of(kind, table), "--here", "--store", here / "store", "--tracking-uri", "none"]
    code, text = call_job(loso, *wanted, "--plan")
    assert code == 0 and f"{clips} of {27 if kind == 'split' else 28} clips are predicted" in text
    assert f"{folds} to train" in text and text.count(": learns from ") == folds
    code, text = call_job(loso, *wanted)
    assert code == 0 and f"{folds} folds trained" in text
    (folder,) = (here / "runs/loso").iterdir()
    found = json.loads((folder / "scores.json").read_text())
    assert (found["clips"], found["folds"]) == (clips, folds)
    assert found["clips_of_the_protocol"] == (27 if kind == "split" else 28)
    assert sum(one["clips"] for one in found["by_group"].values()) == clips and len(found["by_group"]) == folds
    right = sum(one["accuracy"] * one["clips"] for one in found["by_group"].values())
    assert found["accuracy"] * clips == pytest.approx(right) and found["subjects_on_both_sides"] == []
    predictions = pd.read_csv(folder / "predictions.csv")
    assert sorted(set(predictions["left_out"])) == sorted(found["by_group"]) == sorted(found["weights"])
    assert list(pd.read_csv(folder / "folds.csv")["left_out"]) == list(found["weights"])

    next((here / "store").glob("refs/folds/*/*")).unlink()
    code, again = call_job(loso, *wanted)
    assert code == 0 and f"1 folds trained, {folds - 1} were done" in again
    assert pd.read_csv(folder / "predictions.csv").equals(predictions)

    name = found["protocol"].rpartition("-my-split")[0] if kind == "split" else found["protocol"]
    more = ["--split", table] if kind == "split" else []
    code, text = call_job(score, folder / "predictions.csv", "--protocol", name, "--root", three, *more)
    assert code == 0 and f"complete: {clips} clips" in text
    lines = {" ".join(line.split()) for line in text.splitlines()}
    shown = ("  accuracy", "  UF1", "  mean of folds", "  left-out ", "  chance")
    assert {" ".join(line.split()) for line in again.splitlines() if line.startswith(shown)} <= lines
    table_of_clips = predictions.drop(columns="left_out")
    table_of_clips.to_csv(here / "plain.csv", index=False)
    call_job(score, here / "plain.csv", "--protocol", name, *more, "--json", "plain.json")
    plain = json.loads((here / "plain.json").read_text())
    assert {group: one["accuracy"] for group, one in plain["by_group"].items()} == {
        group: one["accuracy"] for group, one in found["by_group"].items()
    }
    if kind not in ("cross", "split"):
        return
    code, text = call_job(report, "runs/loso", "--out", "report")
    page = (here / "report/report.html").read_text()
    assert code == 0 and all(group in page for group in found["by_group"]) and found["split"]["rule"] in page


@pytest.mark.slow
def test_aman_runs_across_databases_with_a_root_for_each_in_any_order(call_job: Call, here: Path, three: Path) -> None:
    wanted = [*small_options("aman"), "--protocol", "cross", "--here", "--store", here / "store"]
    wanted += ["--tracking-uri", "none"]
    roots = {"smic": three / "smic", "casme2": three / "c2", "samm": three / "samm"}
    code, text = call_job(loso, *wanted, "--database", *roots, "--root", *roots.values(), "--json", "first.json")
    assert code == 0 and "3 folds trained" in text
    code, text = call_job(
        loso, *wanted, "--database", "casme2", "samm", "smic", "--root", three, "--json", "other.json"
    )
    assert code == 0 and "0 folds trained, 3 were done" in text and "0 to prepare" in text
    first, other = (json.loads((here / f"{name}.json").read_text()) for name in ("first", "other"))
    assert first["fingerprint"] == other["fingerprint"] and first["accuracy"] == other["accuracy"]
    assert first["database"] == THREE and first["protocol"] == f"{THREE}-cross"


def test_a_comparison_takes_a_root_for_each_database_of_those_side_by_side(
    call_job: Call, here: Path, three: Path, store: Path
) -> None:
    wanted = ["--method", "ststnet", "--database", "casme2+samm", "smic", "--here", "--plan", "--store", store]
    roots = [three / "c2", three / "samm", three / "smic"]
    plans = [call_job(compare, *wanted, "--root", *some) for some in (roots, [three, three / "smic"])]
    clips = [re.findall(r".*fingerprint.*", text) for code, text in plans if code == 0]
    assert len(clips) == 2 and clips[0] == clips[1] and clips[0][0].startswith("casme2+samm: 22 clips")
    code, text = call_job(compare, *wanted, "--root", *roots, three)
    assert code == 2 and "one --root for each database" in text and "give 2 or 3" in text


@pytest.mark.slow
def test_a_database_predicted_alone_shares_its_training_with_leaving_out_each_once(
    three: Path, store: Path, tmp_path: Path
) -> None:
    every, alone = (
        planned(three, tmp_path, small_recipe("ststnet"), database=THREE, protocol=name).first
        for name in ("cross", "cross-to-samm")
    )
    assert {spec.subject: spec.key for spec in every.folds}["samm"] == alone.folds[0].key
    assert every.selection.fingerprint != alone.selection.fingerprint


@pytest.mark.slow
def test_a_search_chooses_within_the_training_clips_of_every_group(call_job: Call, here: Path, three: Path) -> None:
    space = "SPACE = Space(method='ststnet', reproduces='nothing', choices={'epochs': (1, 2)})"
    (here / "mine.py").write_text(f"from tune_spaces import Space\n\n{space}\n")
    wanted = ["--database", "casme2", "samm", "smic", "--root", three, "--protocol", "kfold3-seed0"]
    wanted += [
        "--method",
        "ststnet",
        *small_options("ststnet"),
        "--space",
        "mine.py",
        "--here",
        "--store",
        here / "store",
        "--tracking-uri",
        "none",
    ]
    code, text = call_job(tune, *wanted, "--plan")
    assert code == 0 and "inner folds over the subjects of the training clips" in text
    assert "then 3 folds of the left-out folds with what was chosen" in text
    code, text = call_job(tune, *wanted, "--json", "found.json")
    assert code == 0 and "chosen, each without the fold that it was chosen for" in text
    found = json.loads((here / "found.json").read_text())
    assert sorted(found["chosen"]) == [f"fold-{number}-of-3-seed-0" for number in (1, 2, 3)]
    (folder,) = (here / "runs/tune").iterdir()
    assert list(pd.read_csv(folder / "chosen.csv").columns)[:2] == ["left_out", "configuration"]


@pytest.mark.slow
def test_methods_are_compared_under_a_split_into_groups(call_job: Call, here: Path, three: Path) -> None:
    wanted = ["--method", "ststnet", "lbp-sip", "--ststnet.flow", "dis", "--ststnet.epochs", "2", "--align", "none"]
    wanted += ["--lbp-sip.blocks", "2", "--database", THREE, "--root", str(three), "--protocol", "cross", "--here"]
    code, text = call_job(compare, *wanted, "--store", here / "store", "--tracking-uri", "none")
    assert code == 0, text
    page = next((here / "runs").rglob("leaderboard.html")).read_text()
    assert "every database left out once" in page and "every subject left out once" not in page
    assert "28 clips predicted, 9 subjects, 3 left-out databases" in page and "By database" in page


def test_the_protocols_job_and_the_check_show_what_is_left_out(call_job: Call, three: Path, table: Path) -> None:
    code, text = call_job(protocols, f"{THREE}-cross", "casme2-5-kfold5-seed3")
    assert code == 0 and "left out: every database left out once" in text
    assert "26 subjects, 5 folds" in text and "5 folds over subjects, seed 3" in text
    code, text = call_job(protocols, THREE, "--split", table, "--root", three)
    assert code == 0 and "13 of 27 clips are predicted" in text
    code, text = call_job(check_database, "--database", THREE, "--protocol", "cross", "--root", three, "--no-images")
    assert code == 0 and "28 clips" in text and "3 folds" in text


@pytest.mark.slow
def test_a_plan_says_hours_and_cache_of_each_database(call_job: Call, here: Path, three: Path) -> None:
    side_by_side = ["--database", "casme2", "samm", "smic", "--root", str(three), "--protocol", "cross"]
    wanted = ["--here", "--store", here / "store", "--plan"]
    code, text = call_job(loso, *side_by_side, "--method", "ststnet", *small_options("ststnet"), *wanted)
    clips = {"casme2": 13, "samm": 9, "smic": 6}
    assert code == 0
    for name, count in clips.items():
        assert f"preparation of {name}: {count} clips, not timed on this machine yet" in text
    code, text = call_job(loso, *side_by_side, "--method", "ststnet", *small_options("ststnet"), *wanted, "--measure")
    assert code == 0
    hours = re.findall(r"^preparation of (\w+): about \S+ core-hours for (\d+) clips", text, re.MULTILINE)
    assert dict(hours) == {name: str(count) for name, count in clips.items()}
    sizes = re.findall(r"^cache (of \w+|in all): about (\S+) GB more", text, re.MULTILINE)
    assert [name for name, _ in sizes] == ["of casme2", "of samm", "of smic", "in all"]
    one_by_one = ["--database", "casme2", "smic", "--root", three / "c2", three / "smic", "--method", "ststnet"]
    own = ["--align", "none", "--ststnet.flow", "dis", "--ststnet.epochs", "2"]
    code, text = call_job(compare, *one_by_one, *own, *wanted, "--measure")
    assert code == 0 and "preparation of casme2-5: about" in text and "preparation of smic-hs-3: about" in text
    assert re.search(r"^  of these for casme2-5: \S+ to \S+ core-hours for 4 folds$", text, re.MULTILINE)
    assert re.search(r"^  of these for smic-hs-3: \S+ to \S+ core-hours for 2 folds$", text, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["cross", "megc2019"])
def test_every_job_takes_a_root_for_each_database_in_any_order(
    call_job: Call, here: Path, three: Path, store: Path, protocol: str
) -> None:
    roots = {"smic": three / "smic", "casme2": three / "c2", "samm": three / "samm"}
    if protocol == "megc2019":  # the order of a composite is its own
        named, places = ["megc2019"], [roots[one] for one in ("casme2", "samm", "smic")]
    else:
        named, places = list(roots), list(roots.values())
    wanted = ["--database", *named]
    clips = planned(three, store, small_recipe("ststnet"), database="+".join(named), protocol=protocol).first
    name, fingerprint = clips.selection.protocol.name, clips.selection.fingerprint
    more = ["--protocol", protocol]
    code, text = call_job(check_database, *wanted, *more, "--root", *places, "--json", "check.json")
    found = json.loads((here / "check.json").read_text())
    assert (found["fingerprint"], found["protocol"], found["clips"]) == (fingerprint, name, 28), text
    assert "16 clips indexed; decoding 64 images" in text and code == (0 if protocol == "cross" else 4)
    if code == 0:
        (following,) = [line for line in text.splitlines() if line.startswith("Next: ")]
        assert f"--database {' '.join(named)} --root {' '.join(map(str, places))}" in following
    code, text = call_job(protocols, name, *wanted, "--root", *places, "--json", "protocols.json")
    assert code == 0 and json.loads((here / "protocols.json").read_text())["protocols"][0]["release"]["clips"] == 28
    predicted = clips.selection.predicted
    rows = [(one.clip_id, one.subject, *[clips.selection.class_name(one)] * 2) for one in predicted]
    write(here / "mine.csv", [("clip", "subject", "label", "prediction"), *rows])
    code, text = call_job(score, "mine.csv", "--protocol", name, *wanted, "--root", *places, "--json", "score.json")
    assert code == 0 and json.loads((here / "score.json").read_text())["release"]["otherwise"] == {}
    assert fingerprint in text
    for job, given in ((check_database, more), (protocols, [name]), (score, ["mine.csv", "--protocol", name])):
        code, text = call_job(job, *given, *wanted, "--root", *places[:2])
        assert code == 2 and "one folder that holds all, or one for each database in the same order" in text


def test_roots_without_databases_are_refused(call_job: Call, here: Path) -> None:
    code, text = call_job(protocols, "megc2019", "--root", "a", "b", "c")
    assert code == 2 and "name them, as in --database casme2 samm smic" in text


# Names and tables


def test_the_name_of_a_protocol_says_its_split_on_every_path() -> None:
    direct, short, named = (
        protocol_for("casme2", "casme2-5-kfold5-seed2"),
        protocol_for("casme2", "kfold5-seed2"),
        protocol_named("casme2-5-kfold5-seed2"),
    )
    assert direct == short == named and direct.split == SubjectFolds(folds=5, seed=2)
    assert direct.name == "casme2-5-kfold5-seed2" and not direct.published
    assert protocol_for("casme2", "casme2-4-kfold3-seed0").classes == protocol_for("casme2", "casme2-4").classes
    orders = [protocol_for("+".join(names), "cross") for names in (("samm", "casme2"), ("casme2", "samm"))]
    assert orders[0] == orders[1] == protocol_named("casme2+samm-cross")
    of_arrays = protocol_for("arrays", "megc2019-cross-to-smic")
    assert (
        of_arrays.name == "megc2019-cross-to-smic" and of_arrays.split.text == "smic predicted from all other databases"
    )


@pytest.mark.parametrize(
    "name",
    """casme2-5-kfold5 casme2-5-kfold05-seed0 casme2-5-kfold1-seed0 casme2-5-cross megc2019-cross-to-mmew
    megc2019-cross-kfold3-seed0 megc2019-kfold3-seed0-cross nothing-kfold3-seed0 cross""".split(),
)
def test_a_name_that_says_no_split_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as error:
        protocol_named(name)
    assert error.value.fix


def test_databases_side_by_side_share_the_classes_of_the_composite(three: Path) -> None:
    side, composite = find(THREE), find("megc2019")
    assert find("smic+casme2+samm").name == THREE
    mine, theirs = side.default_protocol, composite.default_protocol
    assert mine.labels == theirs.labels and mine.classes == theirs.classes and mine.excluded == theirs.excluded
    assert [clip.clip_id for clip in side.index(three)] == [clip.clip_id for clip in composite.index(three)]


def test_a_database_side_by_side_with_a_composite_that_holds_it_is_refused(three: Path) -> None:
    with pytest.raises(DataError, match="in megc2019 and in smic"):
        find("megc2019+smic").index(three)


@pytest.mark.parametrize("names", ["casme2+casme2", "casme2+", "casme2+none"])
def test_a_database_named_twice_or_unknown_is_refused(names: str) -> None:
    with pytest.raises(UsageError):
        find(names)


def test_classes_of_a_table_make_another_protocol_of_it(call_job: Call, three: Path, tmp_path: Path) -> None:
    rows = [("casme2", "happiness", "pleasant"), ("casme2", "disgust", "unpleasant"), ("samm", "Anger", "unpleasant")]
    mapped = write(tmp_path / "mine.csv", [("database", "label", "class"), *rows, ("samm", "happiness", "pleasant")])
    protocol = protocol_for("casme2+samm", "cross", labels=str(mapped))
    assert protocol.classes == ("pleasant", "unpleasant") and protocol.name.startswith("casme2+samm-cross-mine-")
    wanted = ["--method", "ststnet", *small_options("ststnet"), "--database", "samm", "casme2", "--root", three]
    code, text = call_job(loso, *wanted, "--protocol", "cross", "--labels", mapped, "--here", "--plan")
    assert code == 0 and "(pleasant 6, unpleasant 6)" in text


def test_databases_without_shared_classes_want_a_table() -> None:
    with pytest.raises(UsageError) as error:
        protocol_for("casme2+synthetic", "cross")
    assert "synthetic" in error.value.got and "--labels" in error.value.fix


BAD_SPLITS = {
    "a clip in both sets": [("casme2/sub01/EP01_01", "train"), ("casme2/sub01/EP01_01", "test")],
    "another set": [("casme2/sub01/EP01_01", "tset")],
    "no clip": [("", "train")],
    "an unknown clip": [("casme2/sub01/EP99_01", "train"), ("casme2/sub01/EP01_01", "test")],
    "no test set": [("casme2/sub01/EP01_01", "train"), ("casme2/sub01/EP02_02", "train")],
    "a class that is not learned": [("casme2/sub01/EP01_01", "train"), ("casme2/sub01/EP02_02", "test")],
}
SAID = {
    "a clip in both sets": "row 3: clip 'casme2/sub01/EP01_01' in the set test, and in row 2 in train",
    "another set": "row 2: clip 'casme2/sub01/EP01_01' with the set 'tset'",
    "no clip": "row 2",
    "an unknown clip": "clips that the database does not have (casme2/sub01/EP99_01)",
    "no test set": "no clip of the set test",
    "a class that is not learned": "no training clip of the class",
}


@pytest.mark.parametrize("case", BAD_SPLITS)
def test_a_wrong_table_is_refused_with_the_row_and_a_fix(case: str, call_job: Call, three: Path, here: Path) -> None:
    table = write(here / "own.csv", [("clip", "set"), *BAD_SPLITS[case]])
    wanted = ["--method", "ststnet", "--database", "casme2", "--root", three / "c2", "--split", table, "--here"]
    code, text = call_job(loso, *wanted, "--store", here / "store", "--plan")
    assert code == 4 and SAID[case] in text and "expected " in text and "fix: " in text


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--protocol", "kfold9-seed0"], 4, "9 folds over 4 subjects"),
        (["--protocol", "cross"], 2, "a protocol of casme2"),
        (["--split", "nowhere.csv"], 2, "no file"),
        (["--protocol", "kfold2-seed0", "--subjects", "01"], 2, "one of fold-1-of-2-seed-0, fold-2-of-2-seed-0"),
        (["--root", "a", "b"], 2, "one --root"),
    ],
)
def test_what_cannot_be_divided_is_refused(
    options: list[str], code: int, said: str, call_job: Call, three: Path, here: Path
) -> None:
    wanted = ["--method", "ststnet", "--database", "casme2", "--root", three / "c2", "--here", "--plan"]
    found, text = call_job(loso, *wanted, *options)
    assert found == code and said in text and "fix: " in text


def test_subjects_on_both_sides_are_named(call_job: Call, three: Path, here: Path) -> None:
    clips = [clip for clip in find("casme2").index(three / "c2") if clip.label in ("disgust", "happiness")]
    sets = ["train", "test", *["train"] * (len(clips) - 2)]
    table = write(
        here / "own.csv", [("clip", "set"), *((one.clip_id, to) for one, to in zip(clips, sets, strict=True))]
    )
    wanted = ["--method", "ststnet", "--database", "casme2", "--root", three / "c2", "--split", table, "--here"]
    code, text = call_job(loso, *wanted, "--plan")
    assert code == 0 and "remark: of 1 subjects some clips are learned from and others predicted (casme2/01)" in text


DOCS = (Path(__file__).parents[1] / "docs/protocols.md").read_text()
COMMANDS = [line.split()[1:] for line in DOCS.splitlines() if line.startswith("python jobs/")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[1:]))
def test_the_commands_of_the_page_on_protocols_can_be_planned(
    command: list[str], call_job: Call, three: Path, table: Path, here: Path
) -> None:
    places = {
        "/data/all": three,
        "/data/CASMEII": three / "c2",
        "/data/SAMM": three / "samm",
        "/data/SMIC": three / "smic",
    }
    (here / "classes.csv").write_text(
        next(part for part in DOCS.split("```") if "database,label,class" in part).strip()
    )
    clips = [clip for clip in find("casme2").index(three / "c2") if clip.label != "others"]
    rows = [(clip.clip_id, "test" if clip.subject == "casme2/01" else "train") for clip in clips]
    write(here / "sets.csv", [("clip", "set"), *rows])
    job = {"loso.py": loso, "tune.py": tune, "compare.py": compare}[command[0].removeprefix("jobs/")]
    arguments = [str(places.get(word, word)).replace("kfold5", "kfold3") for word in command[1:]]
    code, text = call_job(job, *arguments, "--align", "none", "--here", "--plan", "--store", here / "store")
    assert code == 0 and "nothing was started" in text, text


@pytest.mark.slow
def test_python_takes_databases_side_by_side_and_a_table_of_ones_own(
    three: Path, store: Path, table: Path, tmp_path: Path
) -> None:
    import aman

    small = {"align": "none", "flow": "dis", "epochs": 2}
    roots = [str(three / name) for name in ("samm", "c2", "smic")]
    options = {"method": "ststnet", "store": str(store), "here": True, **small}
    found = aman.benchmark("samm+casme2+smic", root=roots, protocol="cross", **options)
    assert len(found.predictions) == 28 and set(found.predictions["left_out"]) == {"casme2", "samm", "smic"}
    found = aman.benchmark(THREE, root=str(three), split=str(table), **options)
    assert len(found.predictions) == 13 and not found.incomplete


OWN = '''"""CASME II in a training set and two test sets."""

from dataclasses import replace

from aman.databases import Database, Edition, Protocol, find
from aman.databases.base import counts, same
from aman.splits import Parts

FIVE = ("disgust", "happiness", "others", "repression", "surprise")
PARTS = {"parts/01": "training", "parts/02": "training", "parts/03": "test A"}
SIZES = {"A": ((3, 2, 2, 3, 2), (1, 1, 1, 1, 0)), "B": ((2, 2, 2, 3, 3), (0, 1, 1, 1, 1))}


def read(root):
    index = find("casme2").read(root)
    return replace(index, clips=tuple(map(named, index)))


def named(clip):
    clip_id, subject = (one.replace("casme2/", "parts/", 1) for one in (clip.clip_id, clip.subject))
    return replace(clip, clip_id=clip_id, subject=subject, part=PARTS.get(subject, "test B"))


def protocol(letter):
    every, some = (counts(FIVE, *clips) for clips in SIZES[letter])
    tested = Edition(name=f"test {letter}", counts=some, folds=1)
    return Protocol(
        name=f"parts-{letter}",
        database="parts",
        classes=FIVE,
        labels={"parts": same(*FIVE)},
        split=Parts(train=("training",), test=(f"test {letter}",)),
        editions=(Edition(name="released", counts=every, folds=3, tested=tested),),
        rule="the released part",
    )


DATABASE = Database(name="parts", title="parts", about="CASME II", read=read, protocols=(protocol("A"), protocol("B")))
'''


@pytest.mark.slow
@pytest.mark.parametrize("letter", ["A", "B"])
def test_a_test_set_that_a_reader_states_is_predicted_from_the_training_set(
    letter: str, call_job: Call, here: Path, three: Path
) -> None:
    (here / "parts.py").write_text(OWN)
    wanted = ["--database", "parts.py", "--root", three / "c2", "--protocol", f"parts-{letter}"]
    training = ["--method", "ststnet", *small_options("ststnet"), "--here", "--store", here / "store"]
    training += ["--tracking-uri", "none"]
    code, text = call_job(check_database, *wanted, "--no-images")
    assert code == 0 and "12 clips of 12 (released), 1 folds of 1" in text
    code, text = call_job(loso, *wanted, *training, "--plan")
    assert code == 0 and f"test set test {letter}: learns from 8 clips of 2 subjects, predicts 4 clips" in text
    code, text = call_job(loso, *wanted, *training, "--out", "run")
    assert code == 0 and "4 of 12 clips are predicted" in text and "incomplete" not in text
    folder = here / "run"
    predictions = pd.read_csv(folder / "predictions.csv")
    assert set(predictions["subject"]) == {{"A": "parts/03", "B": "parts/04"}[letter]}
    assert set(predictions["left_out"]) == {f"test {letter}"}
    wanted = ["--database", "parts.py", "--protocol", f"parts-{letter}"]
    code, text = call_job(score, folder / "predictions.csv", *wanted)
    assert code == 0 and "complete: 4 clips, 1 folds, as published" in text
    code, text = call_job(score, folder / "predictions.csv", *wanted, "--root", three / "c2")
    assert code == 0 and "complete: 4 clips, 1 folds" in text and "fingerprint of the release" in text
    code, text = call_job(score, folder / "predictions.csv", *wanted, "--fingerprint", "0" * 8)
    assert code == 2 and "keeps clips for training only" in text
    code, text = call_job(protocols, f"parts-{letter}", "--database", "parts.py")
    assert code == 0 and f"predicted, test {letter}: 4 clips" in text


def test_a_database_none_of_whose_clips_counts_is_named(three: Path, tmp_path: Path) -> None:
    rows = [("casme2", "happiness", "yes"), ("casme2", "disgust", "no"), ("samm", "joy", "yes")]
    mapped = write(tmp_path / "mine.csv", [("database", "label", "class"), *rows])
    protocol = protocol_for("casme2+samm", "cross", labels=str(mapped))
    with pytest.raises(DataError, match="no clip of samm that counts"):
        select(find("casme2+samm").index(three), protocol)
