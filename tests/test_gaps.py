"""Frames that are missing within a clip: the time of each frame is known to what depends on it, and to no other key."""

from dataclasses import replace
from pathlib import Path

import pytest
from small import GREY, clip_of, write_image

from aman.databases.index import times_of
from aman.inputs.aligned import Aligned, Source
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
from aman.inputs.pictures.spotted import SpottedKeyframes
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
