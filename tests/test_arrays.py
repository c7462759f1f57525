"""Arrays that exist already: a table of clips beside .npz files, read as a database and served to inputs."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

from aman.databases import ArrayRow, Clip, find, reader_for
from aman.databases.arrays import array_for
from aman.databases.megc2019 import CLASSES, official_clip
from aman.errors import DataError, UsageError
from aman.predictions import read_predictions
from aman.protocols import Selection, fingerprint, protocol_for, select
from cluster.store.releases import ObjectPath, open_release
from jobs import check_database

if TYPE_CHECKING:
    from seaweed import Server

Call = Callable[..., tuple[int, str]]
Row = tuple[str, str, str, str]
REAL = Path(__file__).parents[1] / "../shared/data/megc2019_flow"
ROWS: list[Row] = [
    ("smic", "smic/s03", "s03_po_1", "positive"),
    ("casme2", "sub01", "EP02_01f", "happiness"),
    ("samm", "6", "006_1_2", "Anger"),
    ("casme2", "casme2/02", "ep01_11F", "negative"),
    ("samm", "samm/006", "006_1_3", "surprise"),
]


def arrays_in(folder: Path, rows: Sequence[Row] = ROWS, **arrays: npt.NDArray[np.generic]) -> Path:
    """A table of these rows, and a file `a.npz` of these arrays (`flow` where none is given)."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("database", "subject", "clip", "label"), *rows])
    made: Mapping[str, npt.NDArray[np.generic]] = arrays or {"flow": numbered(len(rows), 3, 4, 5)}
    np.savez(folder / "a.npz", **made)  # pyrefly: ignore[bad-argument-type]
    return folder


def numbered(*shape: int) -> npt.NDArray[np.float32]:
    """Every number another one, so that a wrong row or a wrong axis shows."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def read(root: Path) -> dict[str, Clip]:
    return {clip.clip_id: clip for clip in find("arrays").index(root)}


def first_row(root: Path) -> ArrayRow:
    """Where the arrays of the clip in the first row of the table are."""
    (row,) = [clip.arrays for clip in read(root).values() if clip.arrays and clip.arrays.row == 0]
    return row


# The table


def test_clips_get_the_ids_that_the_reader_of_their_database_gives_them(tmp_path: Path) -> None:
    clips = read(arrays_in(tmp_path))
    assert list(clips) == [
        "casme2/sub01/EP02_01f",
        "casme2/sub02/EP01_11f",
        "samm/006/006_1_2",
        "samm/006/006_1_3",
        "smic/s3/s3_po_01",
    ]
    assert [clip.subject for clip in clips.values()] == ["casme2/01", "casme2/02", "samm/006", "samm/006", "smic/s3"]
    assert [clip.arrays and clip.arrays.row for clip in clips.values()] == [1, 3, 2, 4, 0]
    assert all(clip.frames == () and clip.arrays and clip.arrays.rows == 5 for clip in clips.values())
    assert clips["samm/006/006_1_2"].row == 4, "row of the table as a spreadsheet counts it"


def test_labels_of_the_sheet_and_classes_count_under_the_protocol_of_another_database(tmp_path: Path) -> None:
    index = find("arrays").index(arrays_in(tmp_path))
    selection = select(index, protocol_for("arrays", "megc2019"))
    assert [selection.class_name(clip) for clip in selection.clips] == [
        *("positive", "negative", "negative", "surprise", "positive"),
    ]
    assert selection.protocol.name == "megc2019" and selection.expected_clips == 442 and selection.incomplete
    alone = select(index, protocol_for("arrays"))
    assert alone.protocol.classes == ("anger", "happiness", "negative", "positive", "surprise")
    assert len(alone.clips) == 5 and not alone.incomplete
    with pytest.raises(UsageError, match=r"one of arrays, .*casme2-5"):
        protocol_for("arrays", "megc2020")
    with pytest.raises(UsageError, match="one of casme2-5, casme2-4, casme2-objective-5 for casme2"):
        protocol_for("casme2", "megc2019")


def test_a_class_of_the_composite_is_no_label_of_a_release() -> None:
    assert protocol_for("megc2019").class_of("casme2", "negative") is None
    assert protocol_for("arrays", "megc2019").class_of("casme2", "negative") == "negative"
    assert protocol_for("arrays", "megc2019").class_of("casme2", "fear") is None


def test_predictions_on_arrays_keep_the_ids_of_their_databases(tmp_path: Path) -> None:
    selection = select(find("arrays").index(arrays_in(tmp_path)), protocol_for("arrays"))
    rows = [f"{c.clip_id},{c.subject},{c.label},{c.label}" for c in selection.clips]
    (tmp_path / "p.csv").write_text("\n".join(["clip,subject,label,prediction", *rows]))
    assert read_predictions(tmp_path / "p.csv", protocol_for("arrays")).fingerprint == selection.fingerprint
    (tmp_path / "p.csv").write_text("clip,subject,label,prediction\nEP02_01f,01,joy,joy\n")
    with pytest.raises(DataError, match="the name of the database in front"):
        read_predictions(tmp_path / "p.csv", protocol_for("arrays"))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (("casme2", "sub02", "EP01_11f", "surprise"), "casme2/sub02/EP01_11f is listed twice, in row 3 too"),
        (("smic", "s3", "s3_07", "positive"), "s3, s3_07: no clip of SMIC"),
        (("samm", "six", "006_1_4", "anger"), "six, 006_1_4: no subject"),
        (("casme2", "sub03", "../EP", "surprise"), "'../EP' is no name of a clip"),
        (("casme2", "sub03", "EP09_01", ""), "label ''"),
        (("a b", "1", "2", "joy"), "database 'a b'"),
    ],
)
def test_a_row_that_names_no_clip_costs_the_clip_and_moves_no_other(tmp_path: Path, row: Row, what: str) -> None:
    index = find("arrays").index(arrays_in(tmp_path, [ROWS[0], row, *ROWS[1:]]))
    (problem,) = index.problems
    assert what in problem.what and problem.row in (3, 6) and problem.clip_id and problem.fix
    places = {clip.clip_id: clip.arrays.row for clip in index if clip.arrays}
    assert places["smic/s3/s3_po_01"] == 0 and places["samm/006/006_1_3"] == 5
    assert len(places) == (4 if "twice" in what else 5)


def test_clips_of_a_database_that_nobody_knows_keep_their_names_and_are_remarked_once(tmp_path: Path) -> None:
    rows = [("CASME9", "casme9/s1", "a/b", "joy"), ("casme9", "s2", "a/b", "joy"), *ROWS]
    index = find("arrays").index(arrays_in(tmp_path, rows))
    assert [(clip.clip_id, clip.subject) for clip in index][2:4] == [
        ("casme9/s1/a/b", "casme9/s1"),
        ("casme9/s2/a/b", "casme9/s2"),
    ]
    (problem,) = index.problems
    assert "database 'casme9' is none that is known here" in problem.what and problem.clip_id is None


def test_a_folder_without_arrays_or_with_several_tables_is_refused(tmp_path: Path) -> None:
    root = arrays_in(tmp_path)
    (root / "other.csv").write_text("x\n")
    with pytest.raises(DataError, match="with 2 tables"):
        reader_for("arrays")(root)
    assert len(find("arrays").index(root / "clips.csv").clips) == 5
    (root / "a.npz").unlink()
    with pytest.raises(DataError, match=r"no \.npz file beside"):
        reader_for("arrays")(root / "clips.csv")


# Arrays


def test_a_clip_gets_its_own_row_with_the_channels_in_front(tmp_path: Path) -> None:
    flow, other = numbered(5, 4, 6, 3), numbered(5, 3, 4, 6) + 1000
    clips = read(arrays_in(tmp_path, flow_NHWC=flow, strain=other))
    for clip in clips.values():
        assert clip.arrays
        found = array_for(clip.arrays, "flow", (3, 4, 6))
        assert np.array_equal(found, np.transpose(flow[clip.arrays.row], (2, 0, 1)))
        assert np.array_equal(array_for(clip.arrays, "flow_NHWC", (3, 4, 6)), found)
        assert np.array_equal(array_for(clip.arrays, "strain", (3, 4, 6)), other[clip.arrays.row])


def test_an_array_of_another_name_serves_where_it_alone_has_the_shape(tmp_path: Path) -> None:
    pictures, standard = numbered(5, 4, 7, 7, 3).astype(np.uint8), numbered(5, 7, 7, 3).astype(np.uint8)
    row = first_row(arrays_in(tmp_path, pictures_N4HWC=pictures, standard_NHWC=standard))
    found = array_for(row, "flow", (3, 7, 7))
    assert found.dtype == np.uint8 and np.array_equal(found, np.moveaxis(standard[0], -1, 0))
    assert np.array_equal(array_for(row, "pictures", (4, 3, 7, 7)), np.moveaxis(pictures[0], -1, 1))


@pytest.mark.parametrize(
    ("name", "shape", "got"),
    [
        ("flow", (3, 9, 9), r"no array that could be input flow of shape \(3, 9, 9\): flow \(3, 4, 5\) in a.npz"),
        ("strain", (1, 4, 5), r"no array that could be input strain .*: flow \(3, 4, 5\) in a.npz, plain .* in a.npz"),
        ("strain", (3, 4, 5), "several arrays that could be input strain"),
    ],
)
def test_an_input_that_no_array_or_several_arrays_could_be_is_refused(
    tmp_path: Path, name: str, shape: tuple[int, ...], got: str
) -> None:
    row = first_row(arrays_in(tmp_path, flow=numbered(5, 3, 4, 5), plain=numbered(5, 3, 4, 5)))
    with pytest.raises(UsageError, match=got):
        array_for(row, name, shape)


def test_channels_are_not_guessed_where_the_name_has_no_letters(tmp_path: Path) -> None:
    row = first_row(arrays_in(tmp_path, flow=numbered(5, 4, 5, 3)))
    with pytest.raises(UsageError, match="flow_NHWC"):
        array_for(row, "flow", (3, 4, 5))
    assert array_for(row, "flow", (4, 5, 3)).shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("array", "key", "got"),
    [
        (numbered(4, 3), "flow", r"array flow of shape \(4, 3\)"),
        (np.float32(1), "flow", r"array flow of shape \(\)"),
        (numbered(5, 3), "flow_NHWC", r"array flow_NHWC of shape \(5, 3\)"),
        (numbered(5, 3, 4, 4, 3), "flow_N4HWC", r"of shape \(5, 3, 4, 4, 3\); expected an axis for each letter"),
        (np.array([None] * 5), "flow", "array flow of type object"),
        (np.array(["a"] * 5), "flow", "array flow of type <U1"),
    ],
)
def test_an_array_that_does_not_fit_the_table_is_refused_by_name_and_in_the_check(
    tmp_path: Path, call_job: Call, array: npt.NDArray[np.generic], key: str, got: str
) -> None:
    root = arrays_in(tmp_path, ROWS, **{key: array})
    with pytest.raises(DataError, match=got):
        array_for(first_row(root), "flow", (3,))
    code, text = call_job(check_database, "--database", "arrays", "--root", root)
    assert code == 4 and f"array {key} of " in text and "none of the clips of its table can be used" in text
    assert call_job(check_database, "--database", "arrays", "--root", root, "--no-images")[0] == 0


def test_a_file_that_is_no_npz_or_was_cut_or_changed_is_refused(tmp_path: Path, call_job: Call) -> None:
    root = arrays_in(tmp_path, flow=numbered(5, 3, 64, 64))
    whole = (root / "a.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    assert array_for(first_row(root), "flow", (3, 64, 64)).shape == (3, 64, 64)
    for content in (b"hello", whole[: len(whole) // 2], bytes(flipped)):
        (root / "a.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz, which cannot be read"):
            array_for(first_row(root), "flow", (3, 64, 64))
        assert call_job(check_database, "--database", "arrays", "--root", root)[0] == 4
    (root / "a.npz").unlink()
    row = ArrayRow(files=(root / "a.npz",), row=0, rows=5)
    with pytest.raises(DataError, match="which cannot be read"):
        array_for(row, "flow", (3, 64, 64))


def test_an_array_that_is_saved_again_is_read_again_and_nobody_can_write_into_it(tmp_path: Path) -> None:
    root = arrays_in(tmp_path, flow=numbered(5, 3))
    row = first_row(root)
    before = array_for(row, "flow", (3,))
    with pytest.raises(ValueError, match="read-only"):
        before[0] = 7
    arrays_in(tmp_path, flow=numbered(5, 3) + 100, more=numbered(5))
    assert np.array_equal(array_for(row, "flow", (3,)), before.astype(np.float32) + 100)


def test_arrays_in_a_bucket_are_read_from_there(tmp_path: Path, s3_server: "Server") -> None:
    from cluster.store.s3 import client

    flow = numbered(5, 3, 4, 5)
    root = arrays_in(tmp_path, flow=flow)
    for name in ("clips.csv", "a.npz"):
        client().put_object(Bucket="aman", Key=f"arrays/{name}", Body=(root / name).read_bytes())
    with open_release("s3://aman/arrays") as release:
        index = release.index(reader_for("arrays"))
        clip = next(clip for clip in index if clip.clip_id == "samm/006/006_1_3")
        assert clip.arrays and all(isinstance(file, ObjectPath) for file in clip.arrays.files)
        assert str(clip.arrays.files[0]) == "s3://aman/arrays/a.npz"
        assert np.array_equal(array_for(clip.arrays, "flow", (3, 4, 5), release.read), flow[4])
        assert release.digests(clip.arrays.files) == open_digests(root)


def open_digests(root: Path) -> list[str]:
    with open_release(root) as release:
        return release.digests([root / "a.npz"])


# The real flow pictures


def real_selection() -> Selection:
    return select(find("arrays").index(REAL), protocol_for("arrays", "megc2019"))


@pytest.mark.skipif(not REAL.is_dir(), reason="the flow pictures of MEGC 2019 are not on this machine")
def test_the_flow_pictures_of_megc_2019_are_the_clips_of_the_official_list(call_job: Call) -> None:
    selection = real_selection()
    assert not selection.incomplete and len(selection.clips) == 442 and len(selection.subjects) == 68
    assert selection.counts() == {"negative": 250, "positive": 109, "surprise": 83}
    assert Counter(clip.database for clip in selection.clips) == {"casme2": 145, "samm": 133, "smic": 164}
    with (REAL / "clips.csv").open() as file:
        rows = [(r["database"], r["subject"], r["clip"], r["label"]) for r in csv.DictReader(file)]
    official = [official_clip([*row[:3], str(CLASSES.index(row[3]))]) for row in rows]
    assert selection.fingerprint == fingerprint(official)
    with np.load(REAL / "flow.npz", allow_pickle=False) as arrays:
        standard = arrays["standard_NHWC"]
    for clip in selection.clips[::40]:
        assert clip.arrays
        assert official[clip.arrays.row] == (clip.clip_id, selection.class_name(clip))
        assert np.array_equal(
            array_for(clip.arrays, "flow", (3, 28, 28)), np.moveaxis(standard[clip.arrays.row], -1, 0)
        )
    code, text = call_job(check_database, "--database", "arrays", "--root", REAL, "--protocol", "megc2019")
    assert code == 0 and re.search("megc2019: 442 clips of 442 .* 68 folds of 68, 0 problems", text)
