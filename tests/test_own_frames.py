"""Frames of one's own table: gaps, steps, time stamps, and a sentence for each way to name no frames."""

import shutil
from pathlib import Path

import pytest
from fuzz_pictures import video_bytes, video_frames
from small import write_image

from aman.databases import Index, find
from aman.frames import read_clip
from aman.inputs.aligned import Aligned, Source
from aman.inputs.keyframes import Keyframes
from cluster.features.keys import plan_clip

FRAMES = video_frames()


def read(root: Path, row: str) -> Index:
    (root / "clips.csv").write_text(f"clip,subject,label,onset,apex,offset,frames\nc,x,joy,{row}\n")
    return find("csv").read(root)


def folder(root: Path, *names: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        write_image(root / name, FRAMES[place % len(FRAMES)])
    return root


def test_the_table_of_the_page_about_your_data_is_read_whole(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs/your_data.md").read_text().split("```csv\n")[1].split("```")[0]
    (tmp_path / "clips.csv").write_text(text)
    for clip in ("s01_a", "s01_b"):
        folder(tmp_path / "faces" / clip, *(f"img{number}.png" for number in range(10, 50)))
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/s02_a.mp4").write_bytes(video_bytes("mp4v", ".mp4", 30))
    index = find("csv").read(tmp_path)
    assert [(one.clip_id, one.label, one.onset, one.apex, one.offset) for one in index] == [
        ("csv/s01_a", "joy", 12, 25, 41),
        ("csv/s01_b", "anger", 10, None, 49),
        ("csv/s02_a", "joy", 1, None, 30),
    ]


def test_gaps_are_used_and_said_in_one_line(tmp_path: Path) -> None:
    folder(tmp_path / "a", *(f"img{number}.png" for number in (1, 2, 3, 5, 6, 9, 10)))
    index = read(tmp_path, ",6,,a")
    (problem,) = (one for one in index.problems if one.row)  # and one line for all clips without onset and offset
    assert problem.what == (
        "gaps in the frame numbers: used 7 of 10 frames from onset 1 to offset 10 (the first that is missing: 4)"
    )
    assert problem.clip_id is None and "7 frames that are there" in problem.consequence
    (clip,) = index
    assert (clip.onset, clip.apex, clip.offset, clip.numbers) == (1, 6, 10, (1, 2, 3, 5, 6, 9, 10))
    assert read_clip(clip).shape == (7, 48, 64, 3)


def test_the_apex_of_a_clip_with_gaps_is_the_frame_of_its_number(tmp_path: Path) -> None:
    folder(tmp_path / "a", *(f"img{number}.png" for number in (1, 2, 3, 5, 6, 9, 10)))
    for apex, position in ((1, 0), (3, 2), (5, 3), (6, 4), (7, 4), (8, 5), (10, 6)):
        (clip,) = read(tmp_path, f",{apex},,a")
        assert clip.apex_position == position
        keyframes = Keyframes(source=Aligned(align="none"))
        made = keyframes.make(Aligned(align="none").make(Source(clip=clip)))
        assert made["positions_3"].tolist() == [0, position, 6]
    keys = set()
    for apex in (3, 5):
        (clip,) = read(tmp_path, f",{apex},,a")
        keys.add(plan_clip(clip, (keyframes,), {"landmark_model": ""}).keys[keyframes])
    assert len(keys) == 2


def test_with_fewer_than_half_of_the_frames_a_clip_is_refused(tmp_path: Path) -> None:
    folder(tmp_path / "a", *(f"img{number}.png" for number in (1, 2, 3, 4, 10)))
    assert len(read(tmp_path, ",,,a").clips) == 1
    (problem,) = read(tmp_path, ",,11,a").problems
    assert "5 of 11 frames from onset 1 to offset 11 are there, less than 50%" in problem.what
    assert "where the camera took no more, number the files without gaps" in problem.fix


def test_numbers_from_zero_steps_and_time_stamps_are_frames(tmp_path: Path) -> None:
    folder(tmp_path / "zero", *(f"{number}.png" for number in range(5)))
    (clip,) = read(tmp_path, "0,2,4,zero")
    assert (clip.onset, clip.apex, clip.offset, len(clip.frames), clip.numbers) == (0, 2, 4, 5, ())
    stamps = [1690000000000 + 33 * number + number % 2 for number in range(6)]
    folder(tmp_path / "stamps", *(f"cam_{stamp}.png" for stamp in stamps))
    index = read(tmp_path, f"{stamps[1]},{stamps[3]},,stamps")
    (clip,) = index
    assert [path.name for path in clip.frames] == [f"cam_{stamp}.png" for stamp in stamps[1:]]
    assert clip.apex_position == 2
    (problem,) = (one for one in index.problems if one.row)  # and one line for all clips without onset and offset
    assert problem.what.startswith("frame numbers in steps of about 3") and "used 5 of 5" in problem.what
    folder(tmp_path / "tiff", "1.tif", "2.tiff")
    folder(tmp_path / "webp", "1.webp", "2.webp")
    assert len(read(tmp_path, ",,,tiff").clips[0].frames) == len(read(tmp_path, ",,,webp").clips[0].frames) == 2


@pytest.mark.parametrize(
    ("cell", "said", "fix"),
    [
        ("gone", "no such folder, there is no gone in", "relative to the table's folder"),
        ("clips/gone/a", "no such folder, there is no gone in clips", "relative"),
        ("clips\\a", "backslashes are no separators here", "write clips/a"),
        ("Clips/A", "the letters' case differs from clips/a", "write clips/a"),
        ("film.wmv", "a video that is not read", "ffmpeg"),
        ("film", "there is film.wmv, a video that is not read", "ffmpeg"),
        ("holds", "x.wmv is a video that is not read", "ffmpeg"),
        ("gifs", "1.gif is a picture of a kind that is not read", "save them as PNG"),
        ("names", "face.png has no number of up to 20 digits", "number the files"),
        ("long", "has no number of up to 20 digits", "number the files"),
        ("clips", "there are folders in it, such as a", "clips/a"),
        ("empty", "the folder is empty", "name the folder that holds the frames"),
        ("clips/a/1.png", "it is a file and no video", "name the folder"),
        ("twins", "there are 2 videos", "name one of them: twins/a.avi"),
    ],
)
def test_each_way_to_name_no_frames_has_its_sentence(tmp_path: Path, cell: str, said: str, fix: str) -> None:
    folder(tmp_path / "clips" / "a", "1.png", "2.png")
    folder(tmp_path / "names", "face.png")
    folder(tmp_path / "long", f"{'1' * 21}.png")
    for name in ("empty", "holds", "gifs", "twins"):
        (tmp_path / name).mkdir()
    for name in ("film.wmv", "holds/x.wmv", "gifs/1.gif"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("a.avi", "b.avi"):
        (tmp_path / "twins" / name).write_bytes(video_bytes("XVID", ".avi"))
    (problem,) = read(tmp_path, f",,,{cell}").problems
    assert problem.what.startswith(f"no numbered image in {cell}: ") and said in problem.what
    assert fix in problem.fix and problem.clip_id == "csv/c"


def test_frames_of_samm_may_be_called_by_their_number_alone(tmp_path: Path) -> None:
    from small import samm_row, small_samm

    root = small_samm(tmp_path, samm_row())
    before = find("samm").read(root)
    for path in (root / "SAMM").rglob("*.jpg"):
        shutil.move(path, path.with_name(path.name.split("_")[1]))
    after = find("samm").read(root)
    assert len(after.clips) == 1 and not after.problems
    assert [c.onset for c in after] == [c.onset for c in before]
