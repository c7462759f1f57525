"""Splits: which clips are left out of a training together."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import clip_of

from aman.databases import Clip, Edition, Index, Problem, Protocol, unusable
from aman.databases.base import same
from aman.errors import DataError, UsageError
from aman.protocols import Selection, select
from aman.splits import Databases, Listed, Parts, Split, SubjectFolds, Subjects

TO_A = Parts(train=("training",), test=("test A",))
"""What a database with parts states."""


def clips_of(subjects: Sequence[str], each: int = 2, labels: Sequence[str] = ("joy", "anger")) -> list[Clip]:
    """So many clips of every subject; the labels take turns."""
    return [
        clip_of([], subject=subject, name=f"EP{number:02d}", label=labels[number % len(labels)])
        for subject in subjects
        for number in range(each)
    ]


def with_parts(parts: Sequence[str], each: int = 2) -> list[Clip]:
    """Clips of a subject of its own for every part."""
    clips = clips_of([f"made/{number:02d}" for number in range(len(parts))], each=each)
    of = {f"made/{number:02d}": part for number, part in enumerate(parts)}
    return [replace(clip, part=of[clip.subject]) for clip in clips]


def selected(
    clips: Sequence[Clip], split: Split, problems: tuple[Problem, ...] = (), editions: tuple[Edition, ...] = ()
) -> Selection:
    """The clips under a protocol that counts joy and anger, of any database."""
    labels = {clip.database: same("anger", "joy") for clip in clips}
    protocol = Protocol(
        name="made", database="made", classes=("anger", "joy"), labels=labels, rule="", split=split, editions=editions
    )
    return select(Index(database="made", clips=tuple(clips), problems=problems), protocol)


def names(clips: Sequence[Clip]) -> set[str]:
    return {clip.clip_id for clip in clips}


SPLITS = (Subjects(), SubjectFolds(folds=2, seed=0), Databases(), Databases(test="other"), TO_A)


def everything() -> list[Clip]:
    """Clips that all of `SPLITS` can divide."""
    other = clips_of(["other/01", "other/02"], each=4)
    return [*with_parts(["training", "training", "test A"], each=4), *(replace(one, part="test A") for one in other)]


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.text)
def test_every_predicted_clip_is_in_one_test_group_and_never_in_its_own_training(split: Split) -> None:
    selection = selected(everything(), split)
    folds = [selection.fold(name) for name in selection.groups]
    tested = [clip.clip_id for fold in folds for clip in fold.test]
    assert len(tested) == len(set(tested)) and set(tested) == names(selection.predicted)
    for fold in folds:
        assert fold.train and fold.test and not names(fold.train) & names(fold.test)
        assert not {clip.subject for clip in fold.train} & {clip.subject for clip in fold.test}
    assert selection.on_both_sides == ()


def test_parts_of_a_release_are_learned_from_or_predicted_as_the_protocol_says() -> None:
    clips = with_parts(["training", "training", "test A", "test B"])
    selection = selected(clips, TO_A)
    assert selection.groups == ("test A",)
    fold = selection.fold("test A")
    assert {clip.part for clip in fold.train} == {"training"} and {clip.part for clip in fold.test} == {"test A"}
    assert set(selection.excluded) == {clip.clip_id for clip in clips if clip.part == "test B"}
    assert all("test B" in why for why in selection.excluded.values())


def test_several_test_parts_are_predicted_one_by_one_from_the_training_part_alone() -> None:
    clips = with_parts(["training", "test A", "test B"])
    selection = selected(clips, Parts(train=("training",), test=("test A", "test B")))
    assert selection.groups == ("test A", "test B")
    for name in selection.groups:
        assert {clip.part for clip in selection.fold(name).train} == {"training"}


def test_a_part_without_a_clip_is_an_error() -> None:
    with pytest.raises(DataError) as error:
        selected(with_parts(["training", "test B"]), TO_A)
    assert "test A" in error.value.got


@pytest.mark.parametrize(("train", "test"), [(("a",), ("a", "b")), ((), ("b",)), (("a",), ()), (("a", ""), ("b",))])
def test_a_part_on_both_sides_and_an_empty_side_are_refused(train: tuple[str, ...], test: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        Parts(train=train, test=test)


def test_a_lost_clip_of_a_part_that_takes_no_part_is_not_missed() -> None:
    clips = with_parts(["training", "test A", "test B"])
    lost = [
        unusable(file="sheet", row=1, what="gone", fix="find it", clip_id=f"made/{part}", label="joy", part=part)
        for part in ("test A", "test B")
    ]
    assert [problem.part for problem in selected(clips, TO_A, tuple(lost)).unusable] == ["test A"]


def test_the_edition_of_a_split_says_how_many_clips_are_predicted() -> None:
    clips = with_parts(["training", "test A"], each=4)
    tested = Edition(name="test A", counts={"anger": 2, "joy": 2}, folds=1)
    whole = Edition(name="released", counts={"anger": 4, "joy": 4}, folds=2, tested=tested)
    assert not selected(clips, TO_A, editions=(whole,)).incomplete
    short = selected(clips, TO_A, editions=(replace(whole, tested=replace(tested, counts={"anger": 2, "joy": 1})),))
    assert "4 clips to predict in place of 3" in short.shortfall


@given(st.integers(2, 9), st.integers(0, 5), st.integers(9, 30), st.randoms(use_true_random=False))
def test_folds_partition_the_subjects_whatever_the_order_and_number_of_clips(
    folds: int, seed: int, subjects: int, draw: random.Random
) -> None:
    split = SubjectFolds(folds=folds, seed=seed)
    people = [f"made/{number:02d}" for number in range(subjects)]
    clips = clips_of(people)
    of = {clip.subject: split.groups(clips)[clip.clip_id] for clip in clips}
    sizes = [list(of.values()).count(name) for name in set(of.values())]
    assert len(sizes) == folds and max(sizes) - min(sizes) <= 1
    draw.shuffle(people)
    again = clips_of(people, each=draw.randint(1, 5))
    found = split.groups(again)
    assert {clip.subject: found[clip.clip_id] for clip in again} == of


def test_another_seed_makes_other_folds_and_another_fingerprint() -> None:
    clips = clips_of([f"made/{number:02d}" for number in range(12)])
    selections = [selected(clips, SubjectFolds(folds=3, seed=seed)) for seed in range(2)]
    divisions = [{frozenset(clip.subject for clip in one.fold(name).test) for name in one.groups} for one in selections]
    assert divisions[0] != divisions[1]
    prints = {one.fingerprint for one in selections} | {selected(clips, SubjectFolds(folds=4, seed=0)).fingerprint}
    assert len(prints | {selected(clips, Subjects()).fingerprint}) == 4


@pytest.mark.parametrize(("folds", "seed"), [(1, 0), (0, 0), (3, -1)])
def test_less_than_two_folds_or_a_negative_seed_is_refused(folds: int, seed: int) -> None:
    with pytest.raises(UsageError):
        SubjectFolds(folds=folds, seed=seed)


def test_more_folds_than_subjects_are_refused() -> None:
    with pytest.raises(DataError) as error:
        selected(clips_of(["made/01", "made/02"]), SubjectFolds(folds=3, seed=0))
    assert "3 folds over 2 subjects" in error.value.got


def test_every_database_is_left_out_once_or_the_named_one_alone() -> None:
    clips = clips_of(["casme2/01", "samm/01", "smic/01"])
    selection = selected(clips, Databases())
    assert selection.groups == ("casme2", "samm", "smic")
    assert {clip.database for clip in selection.fold("samm").train} == {"casme2", "smic"}
    one = selected(clips, Databases(test="samm"))
    assert one.groups == ("samm",) and one.fold("samm") == selection.fold("samm")
    assert one.fingerprint != selection.fingerprint


@pytest.mark.parametrize("split", [Databases(), Databases(test="samm"), Databases(test="smic")])
def test_one_database_alone_cannot_be_left_out(split: Databases) -> None:
    with pytest.raises(DataError):
        selected(clips_of(["samm/01", "samm/02"]), split)


def listed(clips: Sequence[Clip], *sets: str) -> Listed:
    """The clips in these sets."""
    return Listed(sets=dict(zip([clip.clip_id for clip in clips], sets, strict=True)), source="own.csv")


def test_a_table_says_which_clips_are_learned_from_and_which_are_predicted() -> None:
    clips = clips_of(["made/01", "made/02", "made/03"])
    split = listed(clips, "train", "train", "test", "unused", "test", "test")
    selection = selected(clips, split)
    assert [clip.clip_id for clip in selection.predicted] == [clips[place].clip_id for place in (2, 4, 5)]
    assert list(selection.excluded) == [clips[3].clip_id] and "unused" in selection.excluded[clips[3].clip_id]
    absent = Listed(sets={name: one for name, one in split.sets.items() if one != "unused"}, source="own.csv")
    assert "no row" in selected(clips, absent).excluded[clips[3].clip_id]
    assert absent.digest != split.digest


def test_a_table_that_names_an_unknown_clip_is_refused() -> None:
    clips = clips_of(["made/01", "made/02"])
    with pytest.raises(DataError) as error:
        selected(clips[:-1], listed(clips, "train", "train", "test", "test"))
    assert clips[-1].clip_id in error.value.got


@pytest.mark.parametrize("sets", [("train",) * 4, ("test",) * 4, ("train", "train", "unused", "unused")])
def test_an_empty_set_is_refused(sets: tuple[str, ...]) -> None:
    clips = clips_of(["made/01", "made/02"])
    with pytest.raises(DataError) as error:
        selected(clips, listed(clips, *sets))
    assert "own.csv with no clip of the set" in error.value.got


def test_a_class_that_no_training_clip_has_is_refused() -> None:
    clips = clips_of(["made/01", "made/02"])
    with pytest.raises(DataError) as error:
        selected(clips, listed(clips, "train", "test", "train", "test"))
    assert "class anger" in error.value.got and "test set" in error.value.got


def test_a_subject_on_both_sides_is_found() -> None:
    clips = clips_of(["made/01", "made/02"], each=4)
    selection = selected(clips, listed(clips, "train", "train", "test", "test", *["train"] * 4))
    assert selection.on_both_sides == ("made/01",)


def test_labels_play_no_role_in_who_is_left_out() -> None:
    clips = everything()
    other = [replace(clip, label="joy" if clip.label == "anger" else "anger") for clip in clips]
    for split in SPLITS:
        assert split.groups(clips) == split.groups(other)
