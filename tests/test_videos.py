"""Videos as clips: the frames that a folder would hold, read once; what is damaged or too short is named."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from fuzz_pictures import CODECS, video_bytes, video_frames
from small import sheet_rows, small_database, write_image, write_sheet

from aman.databases import find
from aman.databases.index import Clip
from aman.errors import DataError
from aman.frames import digests, read_clip
from aman.inputs.keyframes import Keyframes
from cluster.features.keys import plan_clip
from jobs import check_database


def clip(video: Path, onset: int = 1, offset: int = 0, apex: int | None = None) -> Clip:
    return Clip(clip_id="csv/a", subject="csv/x", label="joy", onset=onset, apex=apex, offset=offset, frames=(video,))


def wrote(path: Path, codec: str = "FFV1", **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(video_bytes(codec, path.suffix, **more))
    return path


@pytest.mark.parametrize(("codec", "suffix"), CODECS)
def test_a_video_gives_its_frames_in_order_from_onset_to_offset(tmp_path: Path, codec: str, suffix: str) -> None:
    video, frames = wrote(tmp_path / f"a{suffix}", codec), video_frames()
    whole, part = read_clip(clip(video)), read_clip(clip(video, 3, 6))
    assert whole.shape == (12, 48, 64, 3) and part.shape == (4, 48, 64, 3)
    np.testing.assert_array_equal(part, whole[2:6])
    assert np.abs(whole.astype(int) - frames).mean() < (1 if codec in ("FFV1", "HFYU") else 6)


def test_a_video_is_read_once_from_its_first_frame_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Counting:
        def __init__(self, *arguments: Any) -> None:
            self.capture = whole(*arguments)

        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(self.capture, name)

    whole = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Counting)
    read_clip(clip(wrote(tmp_path / "a.avi"), 3, 6))
    assert calls.count("grab") == 6 and calls.count("retrieve") == 4 and not {"read", "set"} & set(calls)


def test_a_video_with_fewer_frames_than_it_declares_or_is_asked_for_is_named_with_both_numbers(tmp_path: Path) -> None:
    video = wrote(tmp_path / "a.avi", "HFYU")
    with pytest.raises(DataError, match=r"a\.avi, a video that gives 12 frames and declares 12; frames 3 to 40 are"):
        read_clip(clip(video, 3, 40))
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    with pytest.raises(DataError, match=r"a\.avi, a video that gives [5-8] frames and declares 12"):
        read_clip(clip(video))


def test_a_matroska_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    content = video_bytes("FFV1", ".mkv")
    for left in (40, 300, len(content) // 2, len(content) - 1):
        (tmp_path / "a.mkv").write_bytes(content[:left])
        with pytest.raises(DataError, match="cut off"):
            read_clip(clip(tmp_path / "a.mkv"))


@pytest.mark.parametrize("content", [b"", b"no video", b"#EXTM3U\n/etc/passwd\n", b"RIFF1234AVI "])
def test_a_file_that_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.avi, "):
        read_clip(clip(tmp_path / "a.avi"))


def test_damage_that_the_decoder_conceals_is_an_error(tmp_path: Path) -> None:
    content = bytearray(video_bytes("XVID", ".mkv"))
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    (tmp_path / "a.mkv").write_bytes(content)
    with pytest.raises(DataError, match=r"its decoder finds damaged at frame \d+: \[mpeg4\]"):
        read_clip(clip(tmp_path / "a.mkv"))


def test_keys_hold_the_content_of_the_video_and_the_numbers_of_the_frames(tmp_path: Path) -> None:
    inputs, weights = (Keyframes(),), {"landmark_model": ""}

    def key(one: Clip) -> str:
        return plan_clip(one, inputs, weights).keys[inputs[0]]

    video, other = wrote(tmp_path / "a.avi"), wrote(tmp_path / "b.avi", "HFYU")
    same = tmp_path / "c" / "elsewhere.avi"
    same.parent.mkdir()
    same.write_bytes(video.read_bytes())
    keys = [key(clip(video, 1, 6, 3)), key(clip(video, 2, 6, 3)), key(clip(video, 1, 7, 3)), key(clip(other, 1, 6, 3))]
    assert len(set(keys)) == 4
    assert key(clip(same, 1, 6, 3)) == keys[0]
    assert plan_clip(clip(video, 1, 6), inputs, weights).digests == tuple(digests([video]))


def table(root: Path, rows: Sequence[str]) -> Path:
    (root / "clips.csv").write_text("\n".join(["clip,subject,label,onset,apex,offset,frames", *rows]) + "\n")
    return root


def test_a_table_names_videos_by_path_by_folder_and_by_the_folder_beside_them(tmp_path: Path) -> None:
    for name in ("a.avi", "in/b.mp4", "c.mov", "d.mkv"):
        wrote(tmp_path / name, "XVID" if name[-3:] in ("avi", "mkv") else "mp4v")
    (tmp_path / "c").mkdir()
    rows = ["a,x,joy,,,,a.avi", "b,x,joy,2,4,9,in", "c,y,joy,,,8,c", "d,y,joy,5,,,d", "e,y,joy,1,,4,a.avi"]
    index = find("csv").read(table(tmp_path, rows))
    assert not [one for one in index.problems if one.row]
    assert [(c.onset, c.apex, c.offset, c.video and c.video.name) for c in index] == [
        (1, None, 12, "a.avi"),
        (2, 4, 9, "b.mp4"),
        (1, None, 8, "c.mov"),
        (5, None, 12, "d.mkv"),
        (1, None, 4, "a.avi"),
    ]
    assert [len(read_clip(c)) for c in index] == [12, 8, 8, 8, 4]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("0,,4,a.avi", "onset 0 in a video, whose first frame is 1"),
        ("3,,3,a.avi", "onset and offset are one frame, 3"),
        ("13,,,a.avi", "onset 13 behind offset 12"),
        (",,,broken.avi", "broken.avi, a video that cannot be opened"),
        (",,,two", "2 videos called two"),
        (",,,clip.wmv", "no numbered image in clip.wmv: a video that is not read"),
        (",,,clip", "there is clip.wmv, a video that is not read"),
        (",,,A.avi", "the letters' case differs from a.avi"),
    ],
)
def test_what_is_wrong_with_a_row_that_names_a_video_is_said(tmp_path: Path, row: str, said: str) -> None:
    content = wrote(tmp_path / "a.avi", "XVID").read_bytes()
    (tmp_path / "broken.avi").write_bytes(content[:300])
    for name in ("two.avi", "two.mp4", "clip.wmv"):
        (tmp_path / name).write_bytes(content)
    (problem,) = find("csv").read(table(tmp_path, [f"c,x,joy,{row}"])).problems
    assert said in problem.what and problem.clip_id == "csv/c"


def test_casme2_and_smic_are_read_as_videos(tmp_path: Path) -> None:
    root = small_database(tmp_path / "casme2", 2, 1, release=False)
    for folder in [path.parent for path in root.rglob("img8.jpg")]:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        wrote(folder.with_suffix(".avi"), "XVID")
    write_sheet(root, sheet_rows(2, 1))
    index = find("casme2").read(root)
    assert index.problems == () and [(c.onset, c.apex, c.offset) for c in index] == [(9, 11, 12)] * 2
    assert [len(read_clip(c)) for c in index] == [4, 4]
    hs = tmp_path / "smic" / "HS" / "s1" / "micro"
    wrote(hs / "negative" / "s1_ne_01.avi", "XVID")
    wrote(hs / "positive" / "s1_po_02" / "video.mp4", "mp4v")
    (hs / "surprise" / "s1_sur_01").mkdir(parents=True)
    for number in range(1, 13):
        write_image(hs / "surprise" / "s1_sur_01" / f"image{number}.bmp", video_frames()[number - 1])
    index = find("smic").read(tmp_path / "smic")
    assert not [one for one in index.problems if one.row]
    assert [(c.label, c.onset, c.apex, c.offset) for c in index] == [
        (label, 1, 7, 12) for label in ("negative", "positive", "surprise")
    ]
    assert {len(read_clip(c)) for c in index} == {12}


def test_the_check_counts_frames_of_videos_and_names_a_damaged_one(tmp_path: Path, call_job: Any) -> None:
    wrote(tmp_path / "a.avi")
    content = wrote(tmp_path / "b.avi").read_bytes()
    (tmp_path / "b.avi").write_bytes(content[: len(content) // 2] + bytes(40) + content[len(content) // 2 + 40 :])
    table(tmp_path, ["a,x,joy,,,,a.avi", "b,y,joy,,,,b.avi", "c,y,joy,1,,5,a.avi"])
    code, text = call_job(check_database, "--database", "csv", "--root", tmp_path)
    assert code == 4 and "decoding 29 images" in text
    assert "b.avi, row 3: a video that its decoder finds damaged" in text and "2 clips" in text


def test_frames_in_a_folder_are_preferred_to_a_video_in_it(tmp_path: Path) -> None:
    wrote(tmp_path / "a" / "all.avi")
    frames: npt.NDArray[np.uint8] = video_frames()
    for number in (1, 2, 3):
        write_image(tmp_path / "a" / f"{number}.png", frames[number])
    (found,) = find("csv").read(table(tmp_path, ["a,x,joy,,,,a"]))
    assert found.video is None and len(found.frames) == 3
