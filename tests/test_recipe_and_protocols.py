"""Settings and their ranges, errors that travel, and which clips of a database count."""

import pickle
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from importlib import import_module
from pathlib import Path

import pytest
from small import EMOTIONS, clip_of, sheet_rows, small_database, write_sheet

from aman.databases import Clip, Index, Problem, databases
from aman.databases.casme2 import read_casme2
from aman.databases.synthetic import read_synthetic
from aman.errors import DataError, UsageError, UserError
from aman.methods import variant
from aman.methods.aman import METHOD
from aman.models.settings import RECIPES, Model, Preparation, Settings, Training, check, sample
from aman.protocols import Selection, protocol_for, protocols, restrict, select
from jobs import loso, paper
from jobs.command_line import parse


def clips(per_subject: dict[str, int], label: str = "") -> tuple[Clip, ...]:
    """Clips without frames: so many of each subject, labels in turn or all `label`."""
    return tuple(
        clip_of([], subject=f"casme2/{subject}", name=f"EP{i:02d}_01", label=label or EMOTIONS[i % 5])
        for subject, count in per_subject.items()
        for i in range(count)
    )


def casme2(index: Index) -> Selection:
    return select(index, protocols()["casme2-5"])


def small_selection(root: Path) -> Selection:
    return casme2(read_casme2(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three subjects with two clips each."""
    return small_database(tmp_path, 3, 2)


# Recipes


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_passes_its_own_check_and_finds_its_grid(name: str) -> None:
    recipe = RECIPES[name]
    check(recipe)
    view = sample(recipe.preparation, recipe.model)
    assert len(view.frames) == recipe.model.n
    assert len(view.factors) == recipe.model.k


def test_the_defaults_are_the_values_of_the_paper() -> None:
    assert (Model().k, Model().n) == (9, 11)
    assert Preparation().frozen == "layer3"
    assert (Preparation().magnifier, Preparation().trunk) == ("learned", "fer2013")
    assert not Model().attention_bias
    official = RECIPES["official"]
    assert official.model.attention_bias
    assert official.training == Training(optimiser="rmsprop", rate=1e-3, weight_decay=1e-4, epochs=50, batch=4)


@pytest.mark.parametrize(
    ("option", "setting", "value"),
    [
        ("--k", "k", 0),
        ("--k", "k", 101),
        ("--n", "n", 0),
        ("--n", "n", 25),
        ("--grid-frames", "grid_frames", 0),
        ("--grid-frames", "grid_frames", 21),
        ("--grid-factors", "grid_factors", 0),
        ("--epochs", "epochs", 0),
        ("--batch", "batch", 0),
        ("--batch", "batch", -4),
        ("--rate", "rate", 0.0),
        ("--rate", "rate", -1e-3),
        ("--rate", "rate", float("nan")),
        ("--weight-decay", "weight_decay", -1e-9),
        ("--trunk-size", "trunk_size", 63),
        ("--trunk-size", "trunk_size", 225),
    ],
)
def test_a_setting_outside_its_range_is_refused_by_its_option(option: str, setting: str, value: float) -> None:
    with pytest.raises(UsageError) as caught:
        check(variant(Settings(), **{setting: value}))
    assert caught.value.got == f"{option} {value}"
    assert caught.value.expected
    assert caught.value.fix


@pytest.mark.parametrize(
    "changes",
    [{"k": 1, "n": 1}, {"n": 20, "k": 100}, {"batch": 1, "epochs": 1}, {"weight_decay": 0}, {"trunk_size": 64}],
)
def test_the_ends_of_the_ranges_are_taken(changes: dict[str, object]) -> None:
    check(variant(Settings(), **changes))


@pytest.mark.parametrize("changes", [{}, {"k": 8}, {"levels": "3", "grid_factors": 3}, {"amp_convention": "paper"}])
def test_batch_statistics_of_copies_that_are_not_seen_are_refused(changes: dict[str, object]) -> None:
    settings = variant(Settings(), trunk_bn="batch", grid_factors=9)
    check(settings)
    with pytest.raises(UsageError, match="--trunk-bn batch"):
        check(variant(settings, **({"grid_factors": 11} | changes)))
    check(variant(settings, **changes, frozen="none"))


def test_the_trunk_sees_pictures_of_the_size_that_is_asked_for() -> None:
    shapes = [METHOD.inputs(variant(Settings(), trunk_size=size))[0].shape() for size in (64, 96, 224)]
    assert shapes == [(256, 4, 4), (256, 6, 6), (256, 14, 14)]


def test_a_size_for_the_trunk_is_refused_where_nothing_is_frozen() -> None:
    settings = variant(Settings(), frozen="none")
    check(settings)
    with pytest.raises(UsageError, match="--trunk-size 96 with --frozen none"):
        check(variant(settings, trunk_size=96))


def test_a_variant_changes_settings_wherever_they_live_and_nothing_else() -> None:
    changed = variant(Settings(), k=7, frozen="layer2", epochs=50)
    assert changed == Settings(preparation=Preparation(frozen="layer2"), model=Model(k=7), training=Training(epochs=50))
    assert Settings() == variant(Settings())
    assert asdict(RECIPES["quick"])["model"]["k"] == 9
    assert variant(RECIPES["quick"], n=1).preparation == RECIPES["quick"].preparation


def test_a_variant_of_an_unknown_setting_is_a_fault() -> None:
    with pytest.raises(TypeError, match="no such setting: heights"):
        variant(Settings(), k=3, heights=7)


def test_no_setting_lives_in_two_parts() -> None:
    names = [field.name for part in (Preparation, Model, Training) for field in fields(part)]
    assert len(names) == len(set(names))


def test_the_synthetic_database_is_run_quickly() -> None:
    assert parse(loso.Options, None, []).recipe_name == "quick"
    assert parse(loso.Options, None, ["--database", "casme2", "--root", "x"]).settings == RECIPES["default"]
    assert parse(loso.Options, None, ["--recipe", "official"]).recipe_name == "official"
    assert parse(paper.Options, None, []).settings == RECIPES["small"]
    assert parse(paper.Options, None, ["--database", "synthetic", "casme2"]).recipe_name == "default"


# Errors


@pytest.mark.parametrize("kind", [UserError, UsageError, DataError])
def test_an_error_survives_pickling_with_its_fields(kind: type[UserError]) -> None:
    error = kind(got="--k 0", expected="1 to 100", fix="choose")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (back.got, back.expected, back.fix, back.code) == ("--k 0", "1 to 100", "choose", kind.code)
    assert str(back) == "got --k 0; expected 1 to 100; fix: choose"


def test_usage_and_data_have_exit_codes_of_their_own() -> None:
    assert (UsageError.code, DataError.code) == (2, 4)


# Protocols


def test_a_fold_trains_on_everyone_but_the_subject_that_it_tests(root: Path) -> None:
    selection = small_selection(root)
    assert selection.subjects == ("casme2/01", "casme2/02", "casme2/03")
    tested: list[Clip] = []
    for subject in selection.subjects:
        fold = selection.fold(subject)
        assert fold.left_out == subject
        assert {clip.subject for clip in fold.test} == {subject}
        assert subject not in {clip.subject for clip in fold.train}
        assert sorted((*fold.train, *fold.test), key=lambda clip: clip.clip_id) == list(selection.clips)
        tested += fold.test
    assert sorted(tested, key=lambda clip: clip.clip_id) == list(selection.clips)


def test_clips_with_labels_outside_the_protocol_do_not_count(root: Path) -> None:
    rows = sheet_rows(3, 2)
    rows[0]["Estimated Emotion"] = "fear"
    rows[1]["Estimated Emotion"] = "Sadness"
    write_sheet(root, rows)
    selection = small_selection(root)
    assert len(selection.clips) == 4
    assert selection.subjects == ("casme2/02", "casme2/03")
    assert sum(selection.counts().values()) == 4


def test_classes_are_numbered_in_the_order_of_the_protocol(root: Path) -> None:
    selection = small_selection(root)
    classes = selection.protocol.classes
    assert classes == ("happiness", "disgust", "repression", "surprise", "others")
    assert [classes[selection.class_of(clip)] for clip in selection.clips] == [clip.label for clip in selection.clips]
    assert selection.counts() == {"happiness": 1, "disgust": 2, "repression": 1, "surprise": 2, "others": 0}
    assert list(selection.counts()) == list(classes)


def test_every_protocol_maps_its_labels_to_its_classes() -> None:
    for name, protocol in protocols().items():
        assert protocol.name == name
        assert {name for labels in protocol.labels.values() for name in labels.values()} == set(protocol.classes)
        for edition in protocol.editions:
            assert tuple(edition.counts) == protocol.classes
        assert protocol.rule
    for name, database in databases().items():
        assert protocol_for(name) == protocol_for(name, database.default_protocol.name) == database.protocols[0]
        assert {protocol.database for protocol in database.protocols} == {name}


def test_a_protocol_of_another_database_is_refused() -> None:
    for name in ("synthetic", "casme2-7"):
        with pytest.raises(UsageError) as caught:
            protocol_for("casme2", name)
        assert caught.value.got == f"--protocol {name}"
        assert "casme2-5" in caught.value.expected


def test_the_fingerprint_changes_with_a_label_and_with_a_clip(root: Path) -> None:
    before = small_selection(root)
    rows = sheet_rows(3, 2)
    rows[2]["Estimated Emotion"] = "others"
    write_sheet(root, rows)
    relabelled = small_selection(root)
    assert relabelled.fingerprint != before.fingerprint
    fewer = replace(before, clips=before.clips[1:])
    renamed = replace(before, clips=(replace(before.clips[0], clip_id="casme2/sub01/EP09_01"), *before.clips[1:]))
    assert len({each.fingerprint for each in (before, relabelled, fewer, renamed)}) == 4


def test_the_fingerprint_does_not_change_with_the_order_of_the_sheet_or_the_place_of_the_files(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = small_selection(root).fingerprint
    write_sheet(root, sheet_rows(3, 2)[::-1])
    assert small_selection(root).fingerprint == before
    elsewhere = small_database(tmp_path_factory.mktemp("elsewhere"), 3, 2, frames_folder="Cropped", frames=8)
    assert small_selection(elsewhere).fingerprint == before


def casme2_clips(edition: int, subjects: int = 26) -> list[Clip]:
    """Clips without frames with the class counts of an edition of casme2-5, dealt to the subjects in turn."""
    counts = protocols()["casme2-5"].editions[edition].counts
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [
        clip_of([], subject=f"casme2/{i % subjects + 1:02d}", name=f"EP{i:03d}_01", label=label)
        for i, label in enumerate(labels)
    ]


@pytest.mark.parametrize(("edition", "expected"), [(0, 246), (1, 249)])
def test_a_protocol_knows_its_edition_and_how_many_clips_are_missing(edition: int, expected: int) -> None:
    full = casme2_clips(edition)
    for kept, shortfall in (
        (full, ""),
        (full[:-7], "7 clips of the protocol missing"),
        ([*full, clip_of([], subject="casme2/01", name="new")], "1 clips too many"),
    ):
        selection = casme2(Index(database="casme2", clips=tuple(kept)))
        assert selection.edition == protocols()["casme2-5"].editions[edition]
        assert selection.expected_clips == expected
        assert selection.shortfall == shortfall
        assert selection.incomplete == bool(shortfall)


def test_a_protocol_is_incomplete_without_a_subject_though_no_clip_is_missing() -> None:
    selection = casme2(Index(database="casme2", clips=tuple(casme2_clips(0, subjects=25))))
    assert selection.missing == 0
    assert selection.shortfall == "1 subjects of the protocol missing"


def test_a_protocol_is_incomplete_with_other_class_counts_though_no_clip_is_missing() -> None:
    clips = casme2_clips(0)
    clips[0] = replace(clips[0], label="disgust")
    selection = casme2(Index(database="casme2", clips=tuple(clips)))
    assert selection.missing == 0
    assert "happiness 31 of 32, disgust 64 of 63" in selection.shortfall


def test_clips_that_cannot_be_used_do_not_make_one_edition_pass_for_another() -> None:
    full = casme2_clips(1)
    lost = [clip for clip in full if clip.label == "surprise"][:3]
    problems = tuple(
        Problem(file="x", row=2, what="no frame", fix="unpack", clip_id=clip.clip_id, label=clip.label) for clip in lost
    )
    kept = tuple(clip for clip in full if clip not in lost)
    selection = casme2(Index(database="casme2", clips=kept, problems=problems))
    assert (selection.missing, selection.unusable) == (3, problems)


def test_a_clip_that_does_not_count_is_not_missed() -> None:
    fear = Problem(file="x", row=2, what="no frame", fix="unpack", clip_id="casme2/sub01/EP99", label="fear")
    selection = casme2(Index(database="casme2", clips=tuple(casme2_clips(0)), problems=(fear,)))
    assert not selection.unusable and not selection.incomplete


def test_a_release_that_lacks_declared_clips_is_incomplete(root: Path) -> None:
    complete = select(read_synthetic(root), protocols()["synthetic"])
    assert complete.missing == 0
    assert not complete.incomplete
    (root / "CASME2_RAW_selected" / "sub02" / "EP01_01" / "img10.jpg").unlink()
    lacking = select(read_synthetic(root), protocols()["synthetic"])
    assert lacking.missing == 1
    assert lacking.incomplete


@pytest.mark.parametrize("per_subject", [{}, {"01": 9}])
def test_fewer_than_two_subjects_make_no_benchmark(per_subject: dict[str, int]) -> None:
    with pytest.raises(DataError, match=r"of [01] subjects; expected two subjects or more"):
        casme2(Index(database="casme2", clips=clips(per_subject)))


def test_a_benchmark_that_cannot_be_made_names_the_first_problem() -> None:
    problem = Problem(file="sub01/EP01_01", row=2, what="no frame", fix="unpack", clip_id="casme2/sub01/EP01_01")
    with pytest.raises(DataError) as caught:
        casme2(Index(database="casme2", clips=(), problems=(problem,)))
    assert str(problem) in caught.value.fix


def test_subjects_are_chosen_by_their_text(root: Path) -> None:
    selection = small_selection(root)
    assert restrict(selection, ()) == selection.subjects
    assert restrict(selection, ("03", "casme2/01")) == ("casme2/03", "casme2/01")
    assert restrict(selection, ("02", "casme2/02")) == ("casme2/02",)


@pytest.mark.parametrize("name", ["3", "04", "samm/01", ""])
def test_an_unknown_subject_is_refused_by_its_name(root: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        restrict(small_selection(root), ("01", name))
    assert caught.value.got == f"--subjects {name}"
    assert caught.value.expected == "one of 01, 02, 03"


@pytest.mark.parametrize("job", ["loso", "prepare", "tune", "train", "paper", "compare"])
def test_a_protocol_that_there_is_not_is_refused_before_a_database_is_made(
    here: Path, call_job: Callable[..., tuple[int, str]], job: str
) -> None:
    code, said = call_job(import_module(f"jobs.{job}"), "--protocol", "nope")
    assert code == 2 and "--protocol nope" in said
    assert not (here / "runs/synthetic").exists()
