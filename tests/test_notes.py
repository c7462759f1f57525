"""What is told of clips that are used all the same: one line a kind, with how many and an example."""

from pathlib import Path

import numpy as np
import pytest
from fuzz_pictures import video_frames
from small import planned

from cluster.experiment.run import prepare_all
from cluster.features.keys import Prepared
from cluster.features.tasks import Report


def test_notes_that_differ_by_numbers_are_one_line_with_their_count() -> None:
    report = Report()
    for clip, notes in (("b", ("10 bits", "2 faces")), ("a", ("12 bits",)), ("c", ())):
        report.add(Prepared(clip_id=clip, made={}, notes=notes))
    assert report.remarks == ["2 clips: 12 bits (a)", "1 clips: 2 faces (b)"]


@pytest.mark.slow
def test_a_run_says_what_was_done_to_pictures(tmp_path: Path) -> None:
    import cv2

    rows = ["clip,subject,label,frames"]
    for place, name in enumerate("abcd"):
        folder = tmp_path / "own" / name
        folder.mkdir(parents=True)
        for number, frame in enumerate(video_frames()[:4]):
            cv2.imwrite(str(folder / f"{number}.png"), (frame.astype(np.uint16) + place) << 4)
        rows.append(f"{name},{place % 2},{'joy' if place < 2 else 'fear'},{name}")
    (tmp_path / "own" / "clips.csv").write_text("\n".join(rows))
    said: list[str] = []
    report, clips = prepare_all(planned(tmp_path / "own", tmp_path / "store", database="csv"), said.append)
    assert clips == report.computed == 4
    (remark,) = [line for line in said if line.startswith("remark: ")]
    assert remark.startswith("remark: 4 clips: pictures of 16 bits with the largest value") and "(csv/a)" in remark


def test_notes_come_back_from_workers(ray_cluster: None, tmp_path: Path) -> None:
    from small import TINY

    from cluster.experiment.grid import plan_experiment
    from cluster.experiment.plan import Request

    folder = tmp_path / "own"
    test_a_run_says_what_was_done_to_pictures(tmp_path)
    said: list[str] = []
    request = Request(root=folder, recipe=TINY, store=str(tmp_path / "ray"), database="csv", workers=1)
    prepare_all(plan_experiment(request), said.append)
    assert [line for line in said if line.startswith("remark: 4 clips: pictures of 16 bits")]
