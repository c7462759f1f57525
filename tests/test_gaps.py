"""Frames that are missing within a clip, and frame rates: they are in the keys of what depends on time alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from small import GREY, clip_of, write_image

from aman.databases.index import times_of
from aman.errors import DataError, UsageError
from aman.inputs.aligned import Aligned, AlignedClip, Source
from aman.inputs.base import Input, weights_of
from aman.inputs.flow import Flow
from aman.inputs.histograms.accordion import Accordion
from aman.inputs.histograms.lbp_sip import LbpSip
from aman.inputs.images import Images
from aman.inputs.interpolated import Interpolated
from aman.inputs.keyframes import Keyframes
from aman.inputs.lbp_top import LbpTop
from aman.inputs.motion.long_term import LongFlow
from aman.inputs.pictures.dynamic import DynamicImage
from aman.inputs.spotting.frequency import SpottedKeyframes
from aman.methods import find, variant
from aman.tim import interpolate
from cluster.features.keys import plan_clip

ALIGNED = Aligned(align="none")
INTERPOLATED = Interpolated(source=ALIGNED)
BY_TIME: tuple[Input, ...] = (
    Images(source=INTERPOLATED, magnifier="none"),
    LbpTop(source=INTERPOLATED),
    LbpSip(source=INTERPOLATED),
    Accordion(source=INTERPOLATED),
    DynamicImage(source=ALIGNED),
    LongFlow(source=ALIGNED),
    SpottedKeyframes(source=ALIGNED),
)
"""Stages that look at several frames of a clip in their order."""
BY_FRAME: tuple[Input, ...] = (Keyframes(source=ALIGNED), Flow(source=Keyframes(source=ALIGNED)))
"""Stages that look at an onset, an apex and an offset, whenever these were taken."""


@pytest.mark.parametrize(
    ("numbers", "times"),
    [
        ((), ()),
        ((7,), ()),
        ((7, 8, 9), ()),
        ((7, 9, 11, 13), ()),
        ((8, 9, 12, 13), (0, 1, 4, 5)),
        ((1, 3, 5, 6), (0, 2, 4, 5)),
        ((1000, 1033, 1067, 1100, 1200, 1233), (0, 1, 2, 3, 6, 7)),
        ((0, 1, 34, 67, 100, 200), (0, 1, 2, 3, 4, 7)),
        ((1, 2, 3, 10**18), ()),
    ],
    ids="none one whole steps gap lost stamps twice wild".split(),
)
def test_the_time_of_a_frame_follows_from_its_number(numbers: tuple[int, ...], times: tuple[int, ...]) -> None:
    assert times_of(numbers) == times


def test_gaps_enter_the_keys_of_what_depends_on_time_and_no_other(tmp_path: Path) -> None:
    clip = clip_of([tmp_path / f"{number}.png" for number in range(4)])
    inputs = (*BY_TIME, *BY_FRAME)

    def keys(*numbers: int) -> list[str]:
        planned = plan_clip(replace(clip, numbers=numbers), inputs, weights_of(inputs), lambda paths: "abcd")
        return [planned.keys[one] for one in inputs]

    whole, ends, gap, other = keys(), keys(3, 4, 5, 6), keys(1, 2, 4, 5), keys(1, 2, 5, 6)
    assert ends == whole, "frames that are missing before the first one tell nothing of the others"
    for place, one in enumerate(inputs):
        assert len({whole[place], gap[place], other[place]}) == (3 if one in BY_TIME else 1), one.name


def test_the_frame_rate_enters_the_keys_of_windows_that_it_changes_and_no_other(tmp_path: Path) -> None:
    clip = clip_of([tmp_path / f"{number}.png" for number in range(4)])
    windows = (LongFlow(source=ALIGNED, window_rate=200), SpottedKeyframes(source=ALIGNED, window_rate=200))
    inputs = (*BY_TIME, *BY_FRAME, *windows)

    def keys(fps: float | None, wanted: Sequence[Input] = inputs) -> list[str]:
        planned = plan_clip(replace(clip, fps=fps), wanted, weights_of(wanted), lambda paths: "abcd")
        return [planned.keys[one] for one in wanted]

    fast, slow = keys(200), keys(30)
    assert [one for one, a, b in zip(inputs, fast, slow, strict=True) if a != b] == list(windows)
    assert fast[-2:] == keys(200, (LongFlow(source=ALIGNED), SpottedKeyframes(source=ALIGNED)))
    with pytest.raises(DataError, match="window-rate 200 and a clip without a frame rate"):
        keys(None)
    for name in ("slstt", "lgccond"):
        method = find(name)
        usual, other = method.Settings(), variant(method.Settings(), window_rate=200.0)
        assert method.key_parts(usual, {}) == method.key_parts(other, {})
        assert method.inputs(usual) != method.inputs(other)
    with pytest.raises(UsageError, match="apex annotated"):
        find("lgccond").check(variant(find("lgccond").Settings(), window_rate=200.0, apex="annotated"))


def test_a_window_at_a_rate_spans_the_same_time_whatever_the_camera_took() -> None:
    frames_THWC = np.arange(21, dtype=np.uint8).reshape(21, 1, 1, 1)
    clip = AlignedClip(face_THWC=frames_THWC, points_68=np.empty((0, 2)), onset=0, apex=None, fps=100)
    slow = replace(clip, face_THWC=frames_THWC[::2], fps=50)
    assert clip.around(10, range(-4, 5, 2), 100) == [6, 8, 10, 12, 14]
    assert slow.around(5, range(-4, 5, 2), 100) == [3, 4, 5, 6, 7], "half as many frames in as much time"
    gaps = replace(clip, face_THWC=frames_THWC[[0, 9, 10, 20]], times=(0, 9, 10, 20))
    assert gaps.around(2, (-5, -1, 0, 5), 50) == [0, 1, 2, 3], "five steps of 20 ms are ten frames"


def test_tim_makes_of_a_movement_the_same_frames_at_any_rate() -> None:
    def movement(frames: int) -> npt.NDArray[np.uint8]:
        values = 128 + 100 * np.sin(np.linspace(0, np.pi, frames))
        return np.rint(values).astype(np.uint8).reshape(frames, 1, 1, 1)

    at_30, at_200 = (interpolate(movement(frames)) for frames in (15, 101))
    np.testing.assert_allclose(at_30, at_200, atol=2)


def test_the_numbers_of_the_files_reach_what_is_made_of_the_frames(tmp_path: Path) -> None:
    for number in range(4):
        write_image(tmp_path / f"{number}.png", GREY + 30 * number)
    clip = clip_of(sorted(tmp_path.iterdir()))
    whole, gap = (
        INTERPOLATED.make(ALIGNED.make(Source(clip=replace(clip, numbers=numbers)))) for numbers in ((), (1, 2, 3, 9))
    )
    middle = whole.shape[0] // 2
    assert gap[[0, -1]] == pytest.approx(whole[[0, -1]], abs=1e-2)
    assert gap[middle].mean() > whole[middle].mean() + 10, "half of the time lies behind the third frame"
