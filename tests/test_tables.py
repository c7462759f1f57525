"""Tables of anybody's making: encodings, labels that look alike, cells that nobody can read, hostile workbooks."""

import io
import json
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import fuzz_tables
import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import GREY, write_image

from aman import check
from aman.databases import Index, find
from aman.databases.base import Database, Protocol
from aman.databases.index import Clip, Problem
from aman.databases.megc2019 import LIKE_A_LIST, LIST_NAME
from aman.databases.reading.sheet import read_sheet
from aman.errors import DataError, UserError
from aman.predictions import read_predictions
from aman.protocols import protocols, select
from aman.runs import Run
from aman.sheets import workbook
from aman.sheets.own import escape, read_csv, unescape, write_csv
from aman.sheets.text import clean, decode, flaw, label_of, printable, skeleton
from jobs import check_database
from jobs import score as score_job

HEADER = ("clip", "subject", "label", "onset", "apex", "offset", "frames")
CHINESE = "高兴 厌恶 惊讶 压抑 悲伤 恐惧 愤怒 轻蔑 其他 消极 积极 中性 快乐 害怕 生气 吃惊 难过".split()
CSV = protocols()["csv"]
Cells = Sequence[Sequence[object]]


def folders(root: Path, clips: int = 6) -> Path:
    """Folders `f0`, `f1`, ... of frames 8 to 11."""
    for clip in range(clips):
        (root / f"f{clip}").mkdir(parents=True, exist_ok=True)
        for frame in range(8, 12):
            write_image(root / f"f{clip}" / f"img{frame}.png", GREY)
    return root


def rows_of(labels: Sequence[str], onset: object = 9, offset: object = 11) -> list[list[object]]:
    """A row a label, of two subjects."""
    return [[f"c{i}", f"s{i % 2}", label, onset, "", offset, f"f{i}"] for i, label in enumerate(labels)]


def text_of(labels: Sequence[str], separator: str = ",") -> str:
    return "".join(separator.join(map(str, row)) + "\r\n" for row in [HEADER, *rows_of(labels)])


def written(root: Path, content: str | bytes, name: str = "clips.csv") -> Path:
    folders(root)
    (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return root / name


def book_of(root: Path, *sheets: Cells, change: Callable[[openpyxl.Workbook], None] | None = None) -> Path:
    folders(root)
    book = openpyxl.Workbook()
    for sheet, rows in zip([book.active, *(book.create_sheet() for _ in sheets[1:])], sheets, strict=True):
        for row in rows:
            sheet.append(list(row))
    if change:
        change(book)
    book.save(root / "clips.xlsx")
    return root / "clips.xlsx"


def with_part(path: Path, edit: Callable[[bytes], bytes], part: str = "xl/worksheets/sheet1.xml") -> Path:
    """The workbook with one of its parts edited."""
    before = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(before)) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, edit(old.read(name)) if name == part else old.read(name))
    return path


def read(path: Path) -> Index:
    return find("csv").index(path)


def said(index: Index) -> str:
    return "\n".join(f"{one}; {one.consequence}" for one in index.problems)


# Encodings


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"])
def test_chinese_labels_are_read_in_every_encoding_that_spreadsheets_write(
    tmp_path: Path, encoding: str, separator: str
) -> None:
    index = read(written(tmp_path, text_of(CHINESE[:6], separator).encode(encoding)))
    assert [clip.label for clip in index] == CHINESE[:6]
    assert ("not UTF-8: read as" in said(index)) == (not encoding.startswith("utf-8"))
    assert encoding != "gb18030" or "GB18030 (Chinese), as in '高兴'" in said(index)


def test_every_usual_word_of_a_chinese_table_stays_itself() -> None:
    text, note = decode("\n".join(CHINESE).encode("gbk"), "x.csv")
    assert text.split() == CHINESE and "GB18030" in note
    for word in CHINESE:
        assert decode(f"clip,label\nc1,{word}\nc2,joy\n".encode("gb18030"), "x.csv")[0].split(",")[2].startswith(word)


@pytest.mark.parametrize(
    "words",
    ["überraschung ekel größe", "dégoût colère être", "alegría vergüenza", "surpresa aversão", "DÉGOÛT", "naïve é"],
)
def test_western_words_in_cp1252_are_read_where_they_leave_no_doubt(words: str) -> None:
    try:
        text, note = decode(f"clip,label\n{words}\n".encode("cp1252"), "x.csv")
    except DataError:
        assert words == "naïve é"  # as likely Czech
    else:
        assert words in text and "cp1252" in note


OTHERS = {
    "cp932": "喜び 嫌悪 驚き 悲しみ",
    "euc_jp": "喜び 嫌悪 驚き 悲しみ",
    "big5": "高興 厭惡 驚訝 悲傷",
    "cp949": "행복 혐오 놀람 슬픔",
    "cp1251": "радость удивление печаль страх",
    "koi8_r": "радость удивление печаль страх",
    "cp1250": "štěstí překvapení złość",
    "cp1253": "χαρά έκπληξη",
    "cp1254": "şaşk\u0131nl\u0131k iğrenme",
    "mac_roman": "dégoût überraschung",
    "cp850": "dégoût überraschung größe",
}


@pytest.mark.parametrize("encoding", OTHERS)
def test_an_encoding_in_doubt_is_refused_with_row_byte_and_a_way_out(tmp_path: Path, encoding: str) -> None:
    for words in (OTHERS[encoding], *OTHERS[encoding].split()):
        rows = text_of(["joy", words]).encode(encoding)
        at = next(place for place, byte in enumerate(rows) if byte > 127)
        with pytest.raises(DataError, match=rf"clips\.csv, row 3, byte {at + 1} \(0x") as error:
            read(written(tmp_path, rows))
        assert "CSV UTF-8" in error.value.fix


@pytest.mark.parametrize(
    "content", [b"clip,\0", b"\xff\xfea", "clip".encode("utf-16")[:-1], b"\xef\xbb\xbf\xff", b"\x80"]
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="row 1"):
        read(written(tmp_path, content))


def test_one_damaged_byte_of_a_chinese_table_in_utf_8_is_refused() -> None:
    content = bytearray("\n".join(CHINESE).encode())
    content[7] = 0xFF
    with pytest.raises(DataError, match="row 2, byte 8"):
        decode(bytes(content), "x.csv")


def test_a_table_larger_than_any_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, text_of(["joy", "rage"]))
    monkeypatch.setattr("aman.sheets.delimited.MOST_BYTES", 50)
    for reader in (read, lambda path: read_predictions(path, CSV)):
        with pytest.raises(DataError, match="with more than"):
            reader(path)


@pytest.mark.parametrize("more", ["," * 20_000, "," * 5_000_000, '"' + "x" * 200_000 + '"', ',"x'])
def test_a_row_that_is_wider_or_longer_than_any_is_refused_by_its_number(tmp_path: Path, more: str) -> None:
    rows = text_of(["joy", "rage", "joy"]).splitlines()
    rows[2] += more if more[0] == "," else f",{more}"
    with pytest.raises(DataError, match=r"row 3: no CSV"):
        read(written(tmp_path, "\n".join(rows)))


# Labels


SAME = ["\u200bjoy", "jo\u00ady", "joy\u00a0", "\u3000Joy", "\ufeffjoy", "j\u2060oy", "joy\ufe0f", " JOY "]


@pytest.mark.parametrize("other", SAME)
def test_labels_that_differ_in_what_nobody_sees_are_one(tmp_path: Path, other: str) -> None:
    index = read(written(tmp_path, text_of(["joy", other, "rage"])))
    assert select(index, CSV).counts() == {"joy": 2, "rage": 1}


def test_composed_and_decomposed_letters_are_one_label(tmp_path: Path) -> None:
    words = [unicodedata.normalize(form, "dégoût") for form in ("NFC", "NFD")]
    assert select(read(written(tmp_path, text_of(words))), CSV).counts() == {"dégoût": 2}


@pytest.mark.parametrize(
    "other",
    ["\uff4a\uff4f\uff59", "j\u043ey", "\uff4aoy", "\u212b", "jo\u200dy\u202e", "joy\u200f", "joy\x07", "joy\ufffd"],
)
def test_labels_that_look_alike_and_are_not_one_are_refused_with_the_row(tmp_path: Path, other: str) -> None:
    index = read(written(tmp_path, text_of(["joy", "å", other])))
    refused = [problem for problem in index.problems if problem.clip_id]
    if other == "\u212b":  # NFC makes the letter of the sign
        assert not refused
    else:
        assert [(problem.row, problem.clip_id) for problem in refused] == [(4, "csv/c2")]
        assert refused[0].what.isascii() and select(index, CSV).incomplete


@pytest.mark.parametrize("odd", ["a\nb", "a\x1b[2Jb", "a\u202eb", "a\tb", "a\rb", "a\u2028b"])
def test_what_cannot_be_printed_is_refused_in_the_table_as_by_score(tmp_path: Path, odd: str) -> None:
    for column in (0, 1, 2):
        rows = rows_of(["joy", "rage", "rage"])
        rows[1][column] = odd
        text = "\n".join(",".join(f'"{cell}"' for cell in row) for row in [HEADER, *rows])
        index = read(written(tmp_path, text))
        assert [problem.row for problem in index.problems if problem.clip_id] == [3]
        assert odd not in said(index)
    given = f'clip,subject,label,prediction\nc1,s1,"{odd}",joy\nc2,s2,joy,joy\n'
    (tmp_path / "predictions.csv").write_text(given)
    with pytest.raises(DataError, match="row 2: label"):
        read_predictions(tmp_path / "predictions.csv", CSV)


def test_a_reader_of_ones_own_gives_no_label_that_cannot_be_printed() -> None:
    clip = Clip(clip_id="mine/a", subject="mine/1", label="a\nb", onset=1, apex=None, offset=2, frames=())
    protocol = Protocol(name="mine", database="mine", classes=(), labels={"mine": {}}, rule="")
    database = Database(
        name="mine", title="", about="", read=lambda _: Index(database="mine", clips=(clip,)), protocols=(protocol,)
    )
    with pytest.raises(DataError, match=r"label 'a\\nb' with the character U\+000A"):
        database.index(Path())


def test_labels_of_refused_rows_are_no_classes(tmp_path: Path) -> None:
    rows = [*rows_of(["joy", "rage", "joy", "rage"]), list[object](HEADER)]
    rows += [["c 9", "s1", "fear", "", "", "", "f4"], ["c8", "s1", "fear", "x", "", "", "f4"]]
    index = read(written(tmp_path, "\n".join(",".join(map(str, row)) for row in [HEADER, *rows])))
    selection = select(index, CSV)
    assert selection.counts() == {"joy": 2, "rage": 2} and selection.missing == 3


@given(st.text(max_size=20))
def test_a_clean_cell_is_clean_and_any_text_can_be_judged(cell: str) -> None:
    assert clean(clean(cell)) == clean(cell) and label_of(label_of(cell)) == label_of(cell)
    assert skeleton(label_of(cell)) == skeleton(cell) or flaw(label_of(cell)) or not cell.isascii()
    assert printable(cell).replace("\n", "").replace("\t", "").isprintable()


# Workbooks


def test_a_workbook_says_what_csv_says(tmp_path: Path) -> None:
    labels = ["joy", "高兴", "null", "nan", "1", "n/a"]
    assert read(book_of(tmp_path, [HEADER, *rows_of(labels)])) == read(written(tmp_path / "csv", text_of(labels))) or [
        (clip.clip_id, clip.label, clip.onset) for clip in read(tmp_path / "clips.xlsx")
    ] == [(f"csv/c{i}", label, 9) for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("cell", "said_of_it"),
    [
        (b'<c r="D3"><f>8+1</f></c>', "cell D3 is a formula whose value is not in the file"),
        (b'<c r="D3"><f>8+1</f><v></v></c>', "cell D3 is a formula whose value is not in the file"),
        (b'<c r="D3" t="e"><f>B1/0</f><v>#DIV/0!</v></c>', "cell D3 is the error #DIV/0!"),
        (b'<c r="D3" t="str"><f>""</f><v></v></c>', ""),
        (b'<c r="D3"><f>8+1</f><v>9</v></c>', ""),
        (b'<c r="D3"/>', ""),
        (b"", ""),
    ],
)
def test_empty_cells_and_cells_that_cannot_be_read_are_told_apart(tmp_path: Path, cell: bytes, said_of_it: str) -> None:
    path = book_of(tmp_path, [HEADER, *rows_of(["joy", "rage", "joy"])])

    def edit(part: bytes) -> bytes:
        old = b'<c r="D3" t="n"><v>9</v></c>'
        assert part.count(old) == 1
        return part.replace(old, cell)

    index = read(with_part(path, edit))
    refused = [problem for problem in index.problems if problem.clip_id]
    if said_of_it:
        assert [(one.row, one.what) for one in refused] == [(3, said_of_it)]
    else:
        assert not refused
        assert [clip.onset for clip in index] == [9, 9 if b"<v>9" in cell else 8, 9]


def test_a_label_that_excel_made_a_date_is_refused_by_its_cell(tmp_path: Path) -> None:
    import datetime

    rows = rows_of(["joy", "rage", "joy"])
    rows[1][1] = datetime.datetime(2024, 2, 1)
    assert "row 3: cell B3 is a date" in said(read(book_of(tmp_path, [HEADER, *rows])))


@pytest.mark.parametrize(
    ("merge", "refused"), [("C2:C4", [3, 4]), ("D2:E2", [2]), ("D3:F3", [3]), ("I2:K9", []), ("E2:E4", [])]
)
def test_cells_that_merging_hides_are_refused_where_they_hide_something(
    tmp_path: Path, merge: str, refused: list[int]
) -> None:
    path = book_of(
        tmp_path, [HEADER, *rows_of(["joy", "rage", "joy"])], change=lambda book: book.active.merge_cells(merge)
    )
    index = read(path)
    assert [problem.row for problem in index.problems if problem.clip_id] == refused
    assert not refused or f"is part of the merged cells {merge}" in said(index)


def test_how_many_spans_were_filled_in_is_said_in_one_line(tmp_path: Path) -> None:
    rows = rows_of(["joy", "rage", "joy"])
    rows[0][3] = rows[1][3] = rows[1][5] = ""
    index = read(book_of(tmp_path, [HEADER, *rows]))
    (problem,) = index.problems
    assert problem.what == "of 3 clips, 2 have no onset and 1 no offset"
    assert [(clip.onset, clip.offset) for clip in index] == [(8, 11), (8, 11), (9, 11)]


def test_further_worksheets_are_named_with_their_rows(tmp_path: Path) -> None:
    rows = rows_of(["joy", "rage", "joy"])
    path = book_of(tmp_path, [HEADER, *rows[:2]], [HEADER, *rows[2:]], [["a note"]], [])
    text = said(read(path))
    assert "worksheet 'Sheet1' has such a table too, of 1 rows; 'Sheet' alone decides clips and labels" in text
    assert "the rows of 'Sheet1' are not used" in text
    assert "worksheet 'Sheet2' has no such header" in text and "Sheet3" not in text


def far_away(part: bytes) -> bytes:
    return part.replace(b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>')


def test_one_cell_at_the_far_corner_costs_no_more_than_itself(tmp_path: Path) -> None:
    path = with_part(book_of(tmp_path, [HEADER, *rows_of(["joy", "rage"])]), far_away)
    assert len(read(path).clips) == 2
    (sheet,) = workbook.worksheets(path.read_bytes(), "x")
    assert [len(line.cells) for line in sheet.lines] == [7, 6, 6, 1]


def test_formatted_blank_rows_are_no_rows(tmp_path: Path) -> None:
    blank = b"".join(b'<row r="%d" s="1" customFormat="1"><c r="A%d" s="1"/></row>' % (n, n) for n in range(4, 5000))
    path = book_of(tmp_path, [HEADER, *rows_of(["joy", "rage"])])
    with_part(path, lambda part: part.replace(b"</sheetData>", blank + b"</sheetData>"))
    assert len(read(path).clips) == 2 and len(read_sheet(path, HEADER).rows) == 2


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/styles.xml", "docProps/app.xml"])
def test_a_workbook_that_unpacks_to_more_than_a_table_is_refused_unread(tmp_path: Path, part: str) -> None:
    path = with_part(
        book_of(tmp_path, [HEADER, *rows_of(["joy", "rage"])]), lambda content: content + b" " * 2**26, part
    )
    assert path.stat().st_size < 2**18
    with pytest.raises(DataError, match="which unpacks to") as error:
        read(path)
    assert "delete the empty rows" in error.value.fix


@pytest.mark.parametrize("name", ["clips.csv", "clips.xlsx", "clips.xls"])
@pytest.mark.parametrize("content", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"clip,subject\n", b"", b"<html>"])
def test_a_file_under_a_wrong_name_or_of_another_kind_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(DataError, match=rf"{name}"):
        read(written(tmp_path, content, name))


def test_a_formula_in_a_published_sheet_costs_its_clip_unless_it_names_action_units(tmp_path: Path) -> None:
    from small import SHEET, small_database

    path = small_database(tmp_path, release=False) / f"{SHEET}.xlsx"
    header = [cell.value for cell in next(openpyxl.load_workbook(path).active.iter_rows())]
    refused = []
    for name in ("Action Units", "OnsetFrame"):
        book = openpyxl.load_workbook(path)
        book.active.cell(row=2, column=header.index(name) + 1).value = "=1+1"
        book.save(path)
        refused.append([one.what for one in find("casme2").index(tmp_path).problems])
    assert refused[0] == []
    assert [what.endswith("is a formula whose value is not in the file") for what in refused[1]] == [True]


# Our own tables


HOSTILE = [
    "=cmd|'/c calc'!A0",
    "+1+1",
    "-1+1",
    "@sum(a1)",
    "\tx",
    "\rx",
    "'=x",
    "''=x",
    "'x",
    "-",
    "null",
    "nan",
    "N/A",
    "",
]
NUMBERS = ["-1", "+1", "1e5", "-.5", "+2.50"]


def test_our_tables_run_nothing_in_a_spreadsheet_and_come_back_as_they_were(tmp_path: Path) -> None:
    words = [*HOSTILE, *NUMBERS]
    table = pd.DataFrame(
        {"label": words, "=x": words, "score": np.linspace(-1, 1, len(words)), "n": range(-3, len(words) - 3)}
    )
    write_csv(tmp_path / "x.csv", table)
    raw = pd.read_csv(tmp_path / "x.csv", dtype=str, keep_default_na=False)
    for cell in [*raw["label"], *raw.columns]:
        assert not cell.startswith(("=", "@", "\t", "\r")) and (cell[:1] not in ("+", "-") or float(cell))
    assert [cell for cell in raw["label"] if cell[:1] in ("+", "-")] == NUMBERS[:2] + NUMBERS[3:]
    back = read_csv(tmp_path / "x.csv", ("label", "=x"))
    assert back["label"].tolist() == words == back["=x"].tolist()
    np.testing.assert_allclose(back["score"], table["score"])
    assert back["n"].dtype == np.int64 and float(raw["score"][0]) == -1
    assert read_csv(tmp_path / "x.csv")["label"].tolist() == words


@given(st.text())
def test_every_text_survives_escaping(text: str) -> None:
    assert unescape(escape(text)) == text
    assert not escape(text).startswith(("=", "@", "\t", "\r"))


def test_a_tracker_gets_the_labels_as_they_are(tmp_path: Path) -> None:
    from cluster.tracking.client import _table

    write_csv(tmp_path / "folds.csv", pd.DataFrame({"subject": ["nan", "=1", "01"], "seconds": [1.5, 2, None]}))
    (tmp_path / "out").mkdir()
    told = json.loads(_table(tmp_path / "folds.csv", tmp_path / "out").read_text())
    assert [row[0] for row in told["data"]] == ["nan", "=1", "01"]


def test_a_missing_number_of_our_tables_stays_missing(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", pd.DataFrame({"label": ["nan", "b"], "alpha": [0.5, None]}))
    assert read_csv(tmp_path / "x.csv", ("label",))["alpha"].isna().tolist() == [False, True]


@pytest.mark.parametrize("label", ["null", "nan", "n/a", "none", "na", "-1", "1", "true", "=1+1", "@me", "'=x", "高兴"])
def test_what_a_run_writes_is_read_by_score_and_by_reports(tmp_path: Path, label: str) -> None:
    table = pd.DataFrame(
        {
            "clip": ["csv/a", "csv/b"],
            "subject": ["csv/1", "csv/2"],
            "label": [label, "joy"],
            "prediction": ["joy", label],
        }
    )
    write_csv(tmp_path / "predictions.csv", table)
    found = read_predictions(tmp_path / "predictions.csv", CSV)
    assert found.table["label"].tolist() == [label, "joy"] and set(found.protocol.classes) == {label, "joy"}
    assert Run(folder=tmp_path, values={}).table()["label"].tolist() == [label, "joy"]


def test_predictions_in_other_encodings_are_scored_with_a_note(
    tmp_path: Path, call_job: Callable[..., tuple[int, str]]
) -> None:
    rows = ["clip,subject,label,prediction", *(f"csv/{i},csv/s{i % 2},{word},{word}" for i, word in enumerate(CHINESE))]
    for encoding in ("utf-16", "gb18030"):
        (tmp_path / "p.csv").write_bytes("\n".join(rows).encode(encoding))
        code, text = call_job(score_job, str(tmp_path / "p.csv"), "--protocol", "csv")
        assert code == 0 and f"p.csv is not UTF-8: read as {encoding.upper()}" in text


def test_a_terminal_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    from jobs.command_line import say

    say("a\x1b[2Jb\u202ec\nd\t高兴")
    assert capsys.readouterr().out == "a\\x1b[2Jb\\u202ec\nd\t高兴\n"


# Lists and causes


@pytest.mark.parametrize(
    "name",
    [
        "combined_3class_gt-2.csv",
        "combined_3_class_gt.csv",
        "combined_3class_gt.xlsx",
        "Combined-3Class-GT (1).csv",
        "3class.csv",
    ],
)
def test_files_that_look_like_the_official_list_are_named(tmp_path: Path, name: str) -> None:
    from aman.databases.megc2019 import _like_lists

    (tmp_path / name).write_text("")
    (problem,) = _like_lists(tmp_path)
    assert problem.file == name and "combined_3class_gt.csv" in problem.fix
    (tmp_path / "combined_3class_gt.csv").write_text("")
    (problem,) = _like_lists(tmp_path)
    assert problem.file == name and "combined_3class_gt.csv alone is compared" in problem.what


def test_sheets_of_the_databases_are_no_lists() -> None:
    for name in (
        "CASME2-coding-20140508.xlsx",
        "SAMM_Micro_FACS_Codes_v2.xlsx",
        "HS_long.csv",
        "class.csv",
        "readme.txt",
    ):
        assert not LIKE_A_LIST.match(name) and not LIST_NAME.match(name)


def lost(row: int, what: str, clip: str, file: str = "clips.csv") -> Problem:
    return Problem(file=file, row=row, what=what, fix="add it", consequence=f"{clip} cannot be used", clip_id=clip)


def test_many_clips_with_one_cause_stand_in_one_line() -> None:
    many = [lost(row, f"no numbered image in clips/c{row}", f"csv/c{row}") for row in range(2, 32)]
    other = lost(40, "onset 'x'", "csv/c40")
    first, second = check.lines([*many, other])
    assert first.startswith("30 times, first clips.csv, row 2: no numbered image in clips/c2")
    assert first.endswith("(the others: row 3, row 4, row 5, row 6, row 7, ...)")
    assert second == f"{other}; consequence: {other.consequence}"


def test_clips_called_by_words_have_one_cause_too_and_labels_are_kept_apart() -> None:
    named = [
        lost(n, f"no numbered image in {name}", f"csv/{name}") for n, name in enumerate(("anna", "bert", "carl"), 2)
    ]
    assert len(check.lines(named)) == 1
    labels = [
        lost(n, f"label {label!r} is outside the protocol", f"csv/c{n}") for n, label in enumerate(("a", "b") * 3, 2)
    ]
    assert len(check.lines(labels)) == 2
    frames = [lost(n, "an image that is cut off", f"csv/c{n}", f"c{n}/img{n}.jpg") for n in range(2, 9)]
    assert len(check.lines(frames)) == 1


def test_the_check_says_all_of_it_before_a_run_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(["joy", "rage", "joy", "高兴", "joy", "rage"], onset="")
    for row in rows[2:5]:
        row[6] = "gone"
    path = written(tmp_path, "\n".join(",".join(map(str, row)) for row in [HEADER, *rows]).encode("gb18030"))
    code = check_database.main(check_database.Options(database=("csv",), root=(str(path),), json=tmp_path / "x.json"))
    out = capsys.readouterr().out
    assert code == 4 and "GB18030" in out and "3 times, first" in out and "3 have no onset" in out
    assert len([one for one in json.loads((tmp_path / "x.json").read_text())["problems"] if one["clip"]]) == 3


# Fuzz


@pytest.mark.slow
def test_damaged_tables_are_used_or_end_in_a_sentence(tmp_path: Path) -> None:
    folders(tmp_path, 9)
    ends = [fuzz_tables.outcome(tmp_path, case) for case in fuzz_tables.cases(7, fuzz_tables.NUMBER)]
    assert len(ends) == fuzz_tables.NUMBER and {"used", "DataError"} <= set(ends) <= {"used", "DataError", "UsageError"}


def test_the_fuzz_above_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aman.databases.table.label_of", lambda cell: {}[cell])
    folders(tmp_path, 9)
    with pytest.raises(KeyError):
        for case in fuzz_tables.cases(7, 50):
            fuzz_tables.outcome(tmp_path, case)
    assert issubclass(DataError, UserError)
