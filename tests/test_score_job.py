"""Tables of predictions as people bring them: what the two jobs say of them, and of every table that is wrong."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
from small import small_database

from aman.databases import find
from aman.errors import DataError, UserError
from aman.predictions import read_predictions
from aman.protocols import protocol_for, protocols, select
from aman.scoring import score
from jobs import protocols as protocols_job
from jobs import score as score_job

ROOT = Path(__file__).parents[1]
CASME2 = protocols()["casme2-5"]
HEADER = "clip,subject,label,prediction"
GOOD = [
    "sub01/EP02_01f,01,happiness,happiness",
    "sub01/EP03_02,01,others,disgust",
    "sub02/EP01_11f,02,disgust,disgust",
    "sub02/EP06_01f,02,others,others",
]
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(call_job: Call) -> Call:
    """Run a job, score unless another is named: its exit code and all that it printed."""
    return lambda *arguments, job=score_job: call_job(job, *arguments)


def write(path: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def whole_protocol(name: str = "casme2-5", edition: int = 0, wrong: int = 5) -> list[str]:
    """Rows with the size of an edition; every `wrong`-th prediction is another class."""
    protocol = protocols()[name]
    size = protocol.editions[edition]
    labels = [label for label, count in size.counts.items() for _ in range(count)]
    rows = []
    for position, label in enumerate(labels):
        subject = f"{position % size.folds + 1:02d}"
        said = label if position % wrong else protocol.classes[(protocol.classes.index(label) + 1) % 3]
        rows.append(f"sub{subject}/EP{position:03d},{subject},{label},{said}")
    return rows


def with_epochs(rows: Sequence[str], epochs: int = 3) -> list[str]:
    """The rows as the last epoch; before it, everybody is said to be happy."""
    early = [f"{row.rpartition(',')[0]},happiness,{epoch}" for epoch in range(epochs - 1) for row in rows]
    return [*early, *(f"{row},{epochs - 1}" for row in rows)]


def test_a_whole_table_is_complete_and_its_scores_are_those_of_the_library(call: Call, here: Path) -> None:
    path = write(here / "mine.csv", whole_protocol())
    code, text = call(path, "--protocol", "casme2-5", "--printed", "75.40", "--json", "deep/result.json")
    assert code == 0, text
    result = json.loads((here / "deep" / "result.json").read_text())
    table = read_predictions(path, CASME2).table
    scores = score(table, CASME2.classes)
    assert (result["clips"], result["folds"], result["classes"]) == (246, 26, list(CASME2.classes))
    assert (result["incomplete"], result["incomplete_why"]) == (False, "")
    assert result["accuracy"] == scores.accuracy == pytest.approx(196 / 246)
    assert result["weighted_f1"] == scores.weighted_f1 and result["interval"] == list(scores.interval)
    assert result["uf1_interval"] == list(scores.uf1_interval) and result["uar_interval"] == list(scores.uar_interval)
    assert result["per_class_recall"] == dict(scores.per_class_recall)
    assert result["chance"] == {"majority": scores.chance_majority, "prior": scores.chance_prior}
    assert result["guessing_best_of"]["epochs"] == 50 and 0.4 < result["guessing_best_of"]["accuracy"] < 0.7
    assert result["literature"] is None and result["against"] is None and result["release"] is None
    assert result["printed"]["count"] is None and result["printed"]["below"] == "75.20"
    assert f"fingerprint {result['fingerprint']}\n" in text and "complete: 246 clips, 26 folds" in text
    for row in ("UF1", "UAR", "weighted F1", "mean of folds: accuracy", "mean of folds: macro-F1", "class priors"):
        assert row in text
    assert "no whole number of 246 clips" in text and "literature" not in text and "incomplete" not in text
    assert not list(here.rglob(".partial-*"))


def test_the_last_epoch_counts_and_the_best_is_stamped(call: Call, here: Path) -> None:
    write(here / "epochs.csv", with_epochs(whole_protocol()), f"{HEADER},epoch")
    write(here / "last.csv", whole_protocol())
    assert call("last.csv", "--protocol", "casme2-5", "--json", "last.json")[0] == 0
    code, text = call("epochs.csv", "--protocol", "casme2-5", "--json", "epochs.json")
    last, epochs = (json.loads((here / name).read_text()) for name in ("last.json", "epochs.json"))
    assert code == 0 and {**epochs, "guessing_best_of": 0, "literature": 0} == {
        **last,
        "guessing_best_of": 0,
        "literature": 0,
    }
    assert epochs["literature"]["epochs"] == epochs["guessing_best_of"]["epochs"] == 3
    assert epochs["literature"]["best_test_epoch_accuracy"] >= epochs["accuracy"]
    assert "peeks at the test labels" in text
    assert call("epochs.csv", "--protocol", "casme2-5", "--epochs", "1", "--json", "one.json")[0] == 0
    one = json.loads((here / "one.json").read_text())
    assert one["guessing_best_of"] == {"epochs": 1, "accuracy": pytest.approx(one["chance"]["prior"])}


def test_a_table_that_lacks_clips_is_stamped_incomplete_in_every_output(call: Call, here: Path) -> None:
    write(here / "part.csv", whole_protocol()[1:])
    code, text = call("part.csv", "--protocol", "casme2-5", "--json", "result.json")
    result = json.loads((here / "result.json").read_text())
    assert code == 0 and result["incomplete"] is True
    assert result["incomplete_why"] == "sheet of 2014: 245 clips of 246; happiness 31 of 32"
    assert text.count(f"incomplete: {result['incomplete_why']}") == 2  # at once, and beneath the scores


def test_the_nearest_edition_is_the_one_that_counts(here: Path) -> None:
    for edition, surprised in ((0, 25), (1, 28)):
        rows = whole_protocol(edition=edition)
        assert read_predictions(write(here / "x.csv", rows), CASME2).shortfall == ""
        lost = next(row for row in rows if row.split(",")[2] == "surprise")
        name, size = CASME2.editions[edition].name, CASME2.editions[edition].clips
        expected = f"{name}: {size - 1} clips of {size}; surprise {surprised - 1} of {surprised}"
        found = read_predictions(write(here / "x.csv", [row for row in rows if row != lost]), CASME2)
        assert found.shortfall == expected
    others = [row.replace(",repression,", ",disgust,") for row in whole_protocol()]
    found = read_predictions(write(here / "x.csv", others), CASME2)
    assert found.shortfall == "sheet of 2014: disgust 90 of 63; repression 0 of 27"
    one = [f"clip{i},07,{','.join(row.split(',')[2:])}" for i, row in enumerate(whole_protocol())]
    assert read_predictions(write(here / "x.csv", one), CASME2).shortfall == "sheet of 2014: 1 folds of 26"


def test_a_clip_that_the_protocol_leaves_out_is_named(here: Path) -> None:
    rows = [f"casme2/sub05/EP09_05f,casme2/05,{label},{label}" for label in ("negative",)]
    path = write(here / "x.csv", [*rows, "smic/s1/s1_ne_01,smic/s1,negative,positive"])
    found = read_predictions(path, protocols()["megc2019"])
    assert "casme2/sub05/EP09_05f is not in the official list" in (found.shortfall or "")


def test_without_a_published_size_nobody_says_complete(call: Call, here: Path) -> None:
    write(here / "own.csv", ["a,p1,Joy,joy", "b,p2,sad,joy"])
    code, text = call("own.csv", "--protocol", "csv", "--json", "result.json")
    result = json.loads((here / "result.json").read_text())
    assert code == 0 and result["incomplete"] is None and "no published size" in result["incomplete_why"]
    assert "complete:" not in text and result["classes"] == ["joy", "sad"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n \n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_blanks_marks_case_and_order_do_not_matter(here: Path, separator: str, start: str, end: str) -> None:
    plain = read_predictions(write(here / "plain.csv", GOOD), CASME2)
    rows = ["Prediction, clip ,LABEL,extra,Subject"]
    for row in reversed(GOOD):
        clip, subject, label, said = row.split(",")
        rows.append(f" {said.upper()} ,casme2/{clip},{label.title()},,casme2/{subject} ")
    text = start + end.join(row.replace(",", separator) for row in rows) + end + end
    (here / "other.csv").write_bytes(text.encode())
    other = read_predictions(here / "other.csv", CASME2)
    pd.testing.assert_frame_equal(plain.table, other.table)
    assert plain.fingerprint == other.fingerprint
    assert list(plain.table["subject"]) == ["casme2/01", "casme2/01", "casme2/02", "casme2/02"]
    assert plain.table["clip"][0] == "casme2/sub01/EP02_01f"


SAD = "sub03/EP01_01,03,sadness,others"
WRONG: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "no header"),
    "blank": ("\n\n  \n", "no header"),
    "header only": (HEADER + "\n", "a header and no row"),
    "a column missing": ("clip,subject,label\na,1,others\n", "no prediction"),
    "no header": ("\n".join(GOOD), "no clip, subject, label, prediction"),
    "a column twice": (f"{HEADER},label\n{GOOD[0]},others\n", "two columns label"),
    "an image": (b"\x89PNG\r\n\x1a\n\x00\x00", "not UTF-8"),
    "zip": (b"PK\x03\x04\x14\x00\x08\x00", "a workbook"),
    "UTF-16 cut off": ("\n".join([HEADER, *GOOD]).encode("utf-16")[:-1], "begins as UTF-16"),
    "an open quote": (f'{HEADER}\n{GOOD[0]}\n"sub02,2', "row 3: no CSV"),
    "too many cells": (f"{HEADER}\n{GOOD[0]},x\n", "row 2: 5 cells"),
    "too few cells": (f"{HEADER}\n{GOOD[0]}\n\nsub9,1\n", "row 4: no label"),
    "no prediction": (f"{HEADER}\nsub01/EP02_01f,01,others,  \n", "row 2: no prediction"),
    "a clip twice": ("\n".join([HEADER, *GOOD, GOOD[1]]), "row 6: clip 'casme2/sub01/EP03_02', which row 3 has"),
    "a foreign label": ("\n".join([HEADER, *GOOD, SAD]), "row 6: label 'sadness'"),
    "a foreign prediction": ("\n".join([HEADER, SAD.replace("sadness", "others")[:-6] + "joy"]), "prediction 'joy'"),
    "a clip of another database": (f"{HEADER}\nsamm/006_1_2,006,others,others\n", "clip 'samm/006_1_2'"),
    "a line break in an id": (f'{HEADER}\n"sub\n01",01,others,others\n', r"clip 'sub\n01'"),
    "a person twice": ("\n".join([HEADER, *GOOD, "sub1/EP9,1,others,others"]), "subject 'casme2/1' beside 'casme2/01'"),
    "epoch one and a half": (f"{HEADER},epoch\n{GOOD[0]},1.5\n", "epoch '1.5'"),
    "epoch minus one": (f"{HEADER},epoch\n{GOOD[0]},-1\n", "epoch '-1'"),
    "no epoch": (f"{HEADER},epoch\n{GOOD[0]},\n", "row 2: no epoch"),
    "a clip twice an epoch": (f"{HEADER},epoch\n{GOOD[0]},1\n{GOOD[0]},01\n", "of epoch 1, which row 2 has"),
    "an epoch without a clip": (
        f"{HEADER},epoch\n" + "\n".join(with_epochs(GOOD)[:-1]),
        "epoch 2 without 1 clips (casme2/sub02/EP06_01f)",
    ),
    "two labels of a clip": (
        f"{HEADER},epoch\n{GOOD[0]},0\n" + GOOD[0].replace("happiness", "others") + ",1\n",
        "row 3: clip 'casme2/sub01/EP02_01f' with subject",
    ),
    "two subjects of a clip": (
        f"{HEADER},epoch\nx,01,others,others,0\nx,02,others,others,1\n",
        "one subject and one label a clip",
    ),
    "another subject's clip": (f"{HEADER}\n{GOOD[0].replace(',01,', ',02,')}\n", "the subject of the clip"),
    "two spellings of a clip": (f"{HEADER}\nclipA,01,others,others\nclipa,01,others,others\n", "one spelling a clip"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_table_is_one_sentence(call: Call, here: Path, name: str) -> None:
    content, said = WRONG[name]
    (here / "bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, text = call("bad.csv", "--protocol", "casme2-5", "--json", "result.json")
    assert code == 4, text
    assert text.startswith("error: got bad.csv") and text.count("\n") == 1
    assert said in text and "; expected " in text and "; fix: " in text
    assert not (here / "result.json").exists()


def test_a_label_of_the_sheet_is_not_translated_but_its_class_is_named(here: Path) -> None:
    rows = ["casme2/sub01/EP02_01f,casme2/01,repression,negative"]
    with pytest.raises(DataError, match=r"'repression'; expected one of negative.* fix: write negative"):
        read_predictions(write(here / "x.csv", rows), protocols()["megc2019"])


@pytest.mark.parametrize(
    "row",
    ["sub01/EP02,01,negative,negative", "casme2/x,samm/01,negative,negative", "casme2/,casme2/1,negative,negative"],
)
def test_a_composite_wants_the_database_in_front(here: Path, row: str) -> None:
    with pytest.raises(DataError):
        read_predictions(write(here / "x.csv", [row]), protocols()["megc2019"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["missing.csv", "--protocol", "casme2-5"], 2, "missing.csv, which is no file"),
        ([".", "--protocol", "casme2-5"], 2, "which is no file"),
        (["good.csv/x", "--protocol", "casme2-5"], 2, "which is no file"),
        (["good.csv", "--protocol", "casme9"], 2, "protocol 'casme9'"),
        (["good.csv", "--protocol", "casme2-5", "--fingerprint", "abc"], 2, "--fingerprint abc"),
        (["good.csv", "--protocol", "casme2-5", "--fingerprint", "01234567"], 4, "expected 01234567"),
        (["good.csv", "--protocol", "casme2-5", "--epochs", "-1"], 2, "--epochs -1"),
        (["good.csv", "--protocol", "casme2-5", "--epochs", "9" * 40], 2, "--epochs 999"),
        (["good.csv", "--protocol", "casme2-5", "--printed", "75,40"], 2, "'75,40'"),
        (["good.csv", "--protocol", "casme2-5", "--json", "good.csv/x.json"], 2, "cannot be written"),
        (["good.csv", "--protocol", "casme2-5", "--json", "."], 2, "cannot be written"),
        (["good.csv", "--protocol", "casme2-5", "--against", "missing.csv"], 2, "missing.csv"),
        (["good.csv", "--protocol", "casme2-5", "--against", "fewer.csv"], 4, "1 clips that only one"),
        (["good.csv", "--protocol", "casme2-5", "--root", "missing"], 4, "missing"),
    ],
)
def test_wrong_usage_is_one_sentence_and_writes_nothing(
    call: Call, here: Path, arguments: list[str], code: int, said: str
) -> None:
    write(here / "good.csv", GOOD)
    write(here / "fewer.csv", GOOD[1:])
    got = call(*arguments)
    assert got[0] == code, got[1]
    errors = [line for line in got[1].splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "cannot be written" in said or len(got[1].splitlines()) == 1
    assert said in errors[0] and "; expected " in errors[0] and "; fix: " in errors[0]
    assert sorted(path.name for path in here.iterdir()) == ["fewer.csv", "good.csv"]


def test_a_fingerprint_is_checked_by_its_first_digits(call: Call, here: Path) -> None:
    path = write(here / "good.csv", GOOD)
    digits = read_predictions(path, CASME2).fingerprint
    assert call(path, "--protocol", "casme2-5", "--fingerprint", digits[:8].upper())[0] == 0
    assert call(path, "--protocol", "casme2-5", "--fingerprint", digits)[0] == 0
    other = digits[:-1] + ("0" if digits[-1] != "0" else "1")
    assert call(path, "--protocol", "casme2-5", "--fingerprint", other)[0] == 4


def test_two_tables_are_compared_by_clip(call: Call, here: Path) -> None:
    rows = whole_protocol()
    write(here / "a.csv", rows)
    write(here / "b.csv", whole_protocol(wrong=3)[::-1])
    code, text = call("a.csv", "--protocol", "casme2-5", "--against", "b.csv", "--json", "result.json")
    found = json.loads((here / "result.json").read_text())["against"]
    assert code == 0 and "a.csv less b.csv, 246 clips joined by id" in text
    # Wrong where the position is a multiple of 5 here, of 3 there.
    assert found["only_first"] == sum(i % 3 == 0 and i % 5 != 0 for i in range(246))
    assert found["only_second"] == sum(i % 5 == 0 and i % 3 != 0 for i in range(246))
    assert found["accuracy_difference"] == pytest.approx((found["only_first"] - found["only_second"]) / 246)
    for name in ("accuracy", "uf1", "uar"):
        assert found[f"{name}_interval"][0] < found[f"{name}_difference"] < found[f"{name}_interval"][1]


def test_a_release_is_checked_clip_by_clip(call: Call, here: Path) -> None:
    root = small_database(here / "release", subjects=3, clips_per_subject=3)
    selection = select(find("synthetic").read(root), protocol_for("synthetic"))
    rows = [f"{c.clip_id},{c.subject},{c.label},others" for c in selection.clips]
    write(here / "same.csv", rows)
    arguments = ("--protocol", "synthetic", "--root", root, "--json", "result.json")
    code, text = call("same.csv", *arguments)
    result = json.loads((here / "result.json").read_text())
    assert code == 0, text
    assert result["incomplete"] is False and result["release"]["fingerprint_equal"]
    assert result["fingerprint"] == selection.fingerprint and "fingerprint of the release is equal" in text

    others = next(i for i, row in enumerate(rows) if ",others,others" in row)
    changed = [*rows[:others], rows[others].replace(",others,", ",disgust,"), *rows[others + 1 :]]
    first = (others + 1) % len(rows)
    changed[first] = "synthetic/sub09/EP01_01,synthetic/09,others,others"
    write(here / "changed.csv", changed)
    code, text = call("changed.csv", *arguments)
    result = json.loads((here / "result.json").read_text())
    assert code == 0 and result["incomplete"] is True and not result["release"]["fingerprint_equal"]
    assert result["release"]["missing"] == [selection.clips[first].clip_id]
    assert result["release"]["unknown"] == {"synthetic/sub09/EP01_01": "not there"}
    assert result["release"]["otherwise"] == {selection.clips[others].clip_id: "disgust in the table, others there"}
    assert "1 clips of the release missing" in text and "1 clips with another label or subject" in text

    next((root / "CASME2_RAW_selected" / "sub01").glob("EP01_01/img9.jpg")).unlink()
    for path in (root / "CASME2_RAW_selected" / "sub01" / "EP01_01").glob("*"):
        path.unlink()
    code, text = call("same.csv", *arguments)
    assert code == 0 and "1 clips that do not count in the release (synthetic/sub01/EP01_01: " in text
    assert "the release on disk: 1 clips of the protocol missing" in text


@pytest.mark.slow
def test_tables_that_are_damaged_at_random_end_in_scores_or_in_one_sentence(call: Call, here: Path) -> None:
    rng = random.Random(7)
    whole = ("\ufeff" + "\n".join([f"{HEADER},epoch", *with_epochs(GOOD, 2)]) + "\n").encode()
    pieces = [b",", b";", b"\t", b'"', b"\n", b"\r", b"\x00", b"\xff", b"casme2/", b"samm/", b"/", b"epoch", b"9" * 30]
    pieces += [bytes([i]) for i in range(256)] + ["\u2028é\u0661".encode(), b"nan", b"=1+1", b" ", b"others", b"clip"]
    codes = set()
    for _ in range(400):
        data = whole
        for _ in range(rng.randint(1, 4)):
            at, to = sorted(rng.randrange(len(data) + 1) for _ in range(2))
            data = (
                rng.choice(
                    [
                        data[:at] + rng.choice(pieces) + data[at:],
                        data[:at] + rng.choice(pieces) + data[at + 1 :],
                        data[:at] + data[min(to, at + 20) :],
                        data[:to] + data[at:to] + data[to:],
                        data[: max(to, 40)],
                    ]
                )
                or b"x"
            )
        (here / "x.csv").write_bytes(data)
        protocol = rng.choice(["casme2-5", "casme2-5", "csv", "megc2019"])
        code, text = call("x.csv", "--protocol", protocol)
        codes.add(code)
        assert code == 0 or (code == 4 and text.startswith("error: got ") and len(text.splitlines()) == 1), (data, text)
    assert codes == {0, 4}


def test_a_reader_of_other_bytes_raises_user_errors_only(here: Path) -> None:
    rng = random.Random(1)
    for _ in range(200):
        (here / "x.csv").write_bytes(HEADER.encode() + b"\n" + rng.randbytes(rng.randint(0, 60)))
        with pytest.raises(UserError):
            read_predictions(here / "x.csv", CASME2)


@pytest.mark.slow
def test_scoring_needs_neither_ray_nor_torch_nor_mlflow(here: Path) -> None:
    write(here / "good.csv", GOOD)
    program = (
        "import sys, runpy\nsys.argv = ['score.py', 'good.csv', '--protocol', 'casme2-5', '--against', 'good.csv']\n"
        f"try:\n    runpy.run_path(r'{ROOT}/jobs/score.py', run_name='__main__')\nexcept SystemExit as end:\n"
        "    assert end.code == 0, end.code\n"
        "heavy = {'torch', 'ray', 'mlflow'} & set(sys.modules)\nassert not heavy, heavy\n"
        "assert 'scipy' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=here)
    assert done.returncode == 0, done.stderr


def test_every_protocol_is_listed_with_its_sizes_and_chances(call: Call, here: Path) -> None:
    code, text = call("--json", "all.json", job=protocols_job)
    listed = {one["name"]: one for one in json.loads((here / "all.json").read_text())["protocols"]}
    assert code == 0 and listed.keys() == protocols().keys()
    first = listed["casme2-5"]["editions"][0]
    assert (first["clips"], first["folds"], first["counts"]["others"]) == (246, 26, 99)
    assert first["chance"]["majority"] == pytest.approx(99 / 246)
    assert first["chance"]["prior"] == pytest.approx((99**2 + 63**2 + 32**2 + 27**2 + 25**2) / 246**2)
    assert first["paper"] == {"accuracy_percent": 75.4, "clips_right": None}
    assert listed["smic-hs-3"]["editions"][0]["paper"]["clips_right"] == 131
    assert "leaves out casme2/sub04/EP12_01f: not in the official list; it has no apex" in text
    assert "no whole number of 136 clips" in text and "no published size" in text


def test_a_protocol_with_its_release_shows_what_guessing_gets_there(call: Call, here: Path) -> None:
    root = small_database(here / "release", subjects=3, clips_per_subject=3)
    code, text = call("synthetic", "--root", root, "--json", "one.json", job=protocols_job)
    (one,) = json.loads((here / "one.json").read_text())["protocols"]
    found = one["release"]
    assert code == 0 and (found["clips"], found["folds"], found["incomplete"]) == (9, 3, False)
    assert f"fingerprint {found['fingerprint']}" in text
    once, often = found["guessing_best_of"]
    counts = select(find("synthetic").read(root), protocol_for("synthetic")).counts()
    assert once["accuracy"] == pytest.approx(sum((count / 9) ** 2 for count in counts.values()))
    assert often["epochs"] == 50 and often["accuracy"] > once["accuracy"]
    for arguments in (["--root", root], ["synthetic", "csv", "--root", root], ["casme9"]):
        code, text = call(*arguments, job=protocols_job)
        assert code == 2 and text.startswith("error: got ")
