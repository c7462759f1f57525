"""Rows that name a clip twice, in one sheet or in two, and clips of a single frame."""

from dataclasses import replace
from pathlib import Path

import pytest

from aman.check import check
from aman.databases import find
from aman.databases.further.dfme import name_of
from aman.databases.further.mmew import read_mmew
from aman.databases.index import Clip, Index
from aman.databases.reading.folders import Frames
from aman.databases.reading.own_frames import NoFramesError
from aman.databases.reading.parts import Part, within
from aman.databases.reading.rows import Entry, once

CELLS = {"Subject": "sub0003", "Filename": "sub0003_04"}


def test_a_clip_of_training_and_of_a_test_set_is_used_in_neither() -> None:
    """Equal rows in both sheets would let a training see a clip that is predicted."""
    first = Entry(name=name_of(CELLS), label="fear", file="train.xlsx", row=5, cells=CELLS, part="training")
    other = replace(first, file="testA.xlsx", row=2, part="test A")
    kept, (problem,) = once([first, other])
    assert kept == []
    assert "in row 5 of train.xlsx too, as part of training there and of test A here" in problem.what
    again = replace(first, row=6)
    kept, (problem,) = once([first, again])
    assert kept == [first]
    assert problem.what.endswith("is listed twice, in row 5 too")


@pytest.mark.parametrize(("subject", "said"), [("", "names nobody"), ("sub0004", "which is another's")])
def test_a_row_says_what_is_wrong_with_its_subject(subject: str, said: str) -> None:
    """An empty cell is nobody, not another subject."""
    with pytest.raises(ValueError, match=said):
        name_of({**CELLS, "Subject": subject})


def test_a_clip_of_one_frame_is_refused_in_words_that_say_so(tmp_path: Path) -> None:
    """No frame is missing there: a list of missing frames would be empty."""
    clip = Clip(clip_id="x/1/1", subject="x/1", label="fear", onset=1, apex=None, offset=1, frames=())
    frames = Frames(by_number={1: tmp_path / "1.jpg"})
    with pytest.raises(NoFramesError, match="a single frame, 1; a clip needs 2"):
        within(clip, Part(first=1, apex=None, last=1), frames, "clip")


def test_equal_rows_of_mmew_keep_the_apex(tmp_path: Path) -> None:
    """The first of two equal rows counts, as in every other sheet; unequal rows cost the apex."""
    row, sheet = "S01-01-001,1,2,3,happiness,12", tmp_path / "MMEW_Micro_Exp.csv"
    head = "Filename,OnsetFrame,ApexFrame,OffsetFrame,Estimated Emotion,Action Units"
    folder = tmp_path / "Micro_Expression" / "happiness" / "S01-01-001"
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        (folder / f"{number}.jpg").write_bytes(b"x")
    for second, apex in ((row, 2), (row.replace("2,3", "1,3"), None)):
        sheet.write_text(f"{head}\n{row}\n{second}\n", encoding="utf-8")
        index = read_mmew(tmp_path)
        assert [clip.apex for clip in index] == [apex]
        assert any("listed twice, in row 2 too" in problem.what for problem in index.problems)


def test_a_misspelt_emotion_is_named_with_the_classes_that_it_may_be() -> None:
    """A label outside the protocol is left out; "none is needed" alone would hide a typing error."""
    clips = tuple(
        Clip(clip_id=f"dfme/{n}", subject=f"dfme/{n}", label=label, onset=1, apex=None, offset=2, frames=())
        for n, label in enumerate(("fear", "fear", "hapiness"))
    )
    found = check(Index(database="dfme", clips=clips), find("dfme").protocols[0])
    (problem,) = [one for one in found.problems if "hapiness" in one.what]
    assert "unless it is a misspelling of anger, contempt, disgust, fear, happiness" in problem.fix
