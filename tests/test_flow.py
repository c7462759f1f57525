"""Optical flow against motions that are known, its strain, and the small pictures of both."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from moving import SIZE, bump, clip, moved, smile, texture

from aman.databases.index import Clip
from aman.inputs import ClipFacts, Input, chain, keys_of
from aman.inputs import displacement as of_libraries
from aman.inputs.aligned import Source
from aman.inputs.displacement import FlowKind, displacement, grey, optical_strain
from aman.inputs.flow import Flow, SmallFlow, stretched
from aman.inputs.keyframes import Keyframes
from aman.methods import Alignment

KINDS: tuple[FlowKind, ...] = get_args(FlowKind)
INSIDE = (slice(None), slice(12, -12), slice(12, -12))
FACTS = ClipFacts(digests=("a", "b", "c"), onset=40, apex=41, offset=42, weights={"landmark_model": ""})


def pair(field_HW2: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A grey picture before and after this displacement."""
    image = texture()
    return grey(moved(image, np.zeros_like(field_HW2))), grey(moved(image, field_HW2))


def key(last: Input, facts: ClipFacts = FACTS) -> str:
    return keys_of((last,), facts)[last]


def small(**settings: Any) -> SmallFlow:
    keyframes = Keyframes(source=Alignment(align="none").aligned())
    return SmallFlow(source=Flow(source=keyframes), **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_known_smooth_motion_is_recovered(kind: FlowKind) -> None:
    field = smile()
    first, second = pair(field)
    error_HW = np.linalg.norm(displacement(first, second, kind) - field.transpose(2, 0, 1), axis=0)
    assert error_HW.mean() < 0.1 < np.linalg.norm(field, axis=-1).max()
    assert error_HW.max() < 0.6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("right", "down"), [(2.0, 0.0), (0.0, 2.0), (-1.5, 1.0)])
def test_u_is_what_moved_to_the_right_and_v_what_moved_down(kind: FlowKind, right: float, down: float) -> None:
    first, second = pair(np.full((SIZE, SIZE, 2), (right, down), dtype=np.float32))
    u, v = np.median(displacement(first, second, kind)[INSIDE], axis=(1, 2))
    assert u == pytest.approx(right, abs=0.1)
    assert v == pytest.approx(down, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_face_that_is_shifted_as_a_whole_is_hardly_strained_and_a_smile_is(kind: FlowKind) -> None:
    shifted, smiling = (pair(one) for one in (np.full((SIZE, SIZE, 2), 1.0, dtype=np.float32), smile()))
    strain = [float(optical_strain(*displacement(*one, kind)[INSIDE]).mean()) for one in (shifted, smiling)]
    assert 3 * strain[0] < strain[1]


@pytest.mark.parametrize("kind", ["tvl1", "dis"])
def test_two_equal_pictures_have_no_flow_at_all(kind: FlowKind) -> None:
    first, _ = pair(smile())
    assert not displacement(first, first, kind).any()


def test_farneback_moves_nothing_but_the_edge_of_two_equal_pictures() -> None:
    first, _ = pair(smile())
    flow = displacement(first, first, "farneback")
    assert np.abs(flow[INSIDE]).max() < 1e-3
    assert np.abs(flow).max() < 0.3


@pytest.mark.parametrize("kind", ["dis", "farneback"])
def test_the_number_of_threads_changes_no_bit_of_the_flow(kind: FlowKind) -> None:
    first, second = pair(4 * smile())
    before = cv2.getNumThreads()
    try:
        flows = []
        for threads in (1, 2, 5):
            cv2.setNumThreads(threads)
            flows.append(displacement(first, second, kind))
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(flows[1], flows[0])
    np.testing.assert_array_equal(flows[2], flows[0])


def test_a_translation_and_a_small_turn_have_no_strain() -> None:
    u, v = np.full((20, 30), 1.7), np.full((20, 30), -0.4)
    assert not optical_strain(u, v).any()
    rows, columns = np.mgrid[:20, :30]
    np.testing.assert_allclose(optical_strain(-0.01 * rows, 0.01 * columns), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("u_x", "u_y", "v_x", "v_y", "strain"),
    [(0.03, 0, 0, 0, 0.03), (0, 0, 0, -0.02, 0.02), (0.03, 0, 0, 0.04, 0.05), (0, 0.02, 0.04, 0, 0.06 / 2**0.5)],
)
def test_a_linear_stretch_has_its_own_strain_everywhere(
    u_x: float, u_y: float, v_x: float, v_y: float, strain: float
) -> None:
    rows, columns = np.mgrid[:20, :30].astype(float)
    eps = optical_strain(u_x * columns + u_y * rows, v_x * columns + v_y * rows)
    np.testing.assert_allclose(eps, strain, atol=1e-12)


def test_the_cached_flow_leads_from_the_onset_to_the_apex() -> None:
    keyframes = Keyframes().make(clip([0.0, 1.0, 0.2], apex=41))
    flow = Flow(flow="dis").make(keyframes)
    assert flow.dtype == np.float16
    assert flow.shape == Flow().shape() == (2, SIZE, SIZE)
    assert np.abs(flow - smile().transpose(2, 0, 1))[INSIDE].mean() < 0.1
    back = Flow(flow="dis", pair="apex-offset").make(keyframes)
    assert np.abs(back + 0.8 * smile().transpose(2, 0, 1))[INSIDE].mean() < 0.1


@pytest.mark.parametrize("scale", ["minmax", "none"])
def test_half_precision_is_far_below_the_error_of_the_flow(scale: Any) -> None:
    first, second = pair(smile())
    exact = displacement(first, second, "tvl1")
    half = exact.astype(np.float16)
    assert np.abs(half - exact).max() < 1e-3
    stage = SmallFlow(scale=scale)
    off = np.abs(stage.make(half) - stage.make(exact.astype(np.float64)))  # pyrefly: ignore[bad-argument-type]
    assert off.max() < (0.5 if scale == "minmax" else 1e-3)


def test_the_small_picture_has_u_v_and_strain_in_this_order() -> None:
    flow = np.zeros((2, SIZE, SIZE), dtype=np.float16)
    flow[0] = 2 * bump(60, 60, 20)
    flow[1] = -bump(164, 164, 20)
    u, v, strain = SmallFlow(scale="none").make(flow)
    assert np.unravel_index(u.argmax(), u.shape) == (7, 7)
    assert u.max() == pytest.approx(2, abs=0.1)
    assert np.unravel_index(v.argmin(), v.shape) == (20, 20)
    assert v.min() == pytest.approx(-1, abs=0.05)
    assert v.max() == pytest.approx(0, abs=1e-3)
    exact = optical_strain(*flow.astype(np.float32))
    assert strain.mean() == pytest.approx(exact.mean(), rel=1e-4)
    assert (strain >= 0).all()


def test_every_channel_of_a_stretched_picture_reaches_from_0_to_255() -> None:
    first, second = pair(smile())
    picture = SmallFlow().make(displacement(first, second, "dis").astype(np.float16))
    assert picture.shape == SmallFlow().shape() == (3, 28, 28)
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture.min(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(picture.max(axis=(1, 2)), 255, atol=1e-3)
    assert SmallFlow(size=48).make(np.zeros((2, SIZE, SIZE), dtype=np.float16)).shape == (3, 48, 48)


def test_the_stretch_keeps_the_form_and_drops_the_strength() -> None:
    weak, strong = (SmallFlow().make((amount * smile().transpose(2, 0, 1)).astype(np.float16)) for amount in (1, 4))
    np.testing.assert_allclose(weak, strong, atol=0.5)
    weak, strong = (
        SmallFlow(scale="none").make((amount * smile().transpose(2, 0, 1)).astype(np.float16)) for amount in (1, 4)
    )
    np.testing.assert_allclose(4 * weak, strong, atol=1e-2)


@pytest.mark.parametrize("scale", ["minmax", "none"])
def test_a_still_clip_is_a_picture_of_zeros(scale: Any) -> None:
    keyframes = Keyframes().make(clip([0.0, 0.0], apex=41))
    picture = SmallFlow(scale=scale).make(Flow().make(keyframes))
    assert not picture.any()


def test_a_channel_without_motion_is_zero_beside_one_that_moves() -> None:
    flow = np.zeros((2, SIZE, SIZE), dtype=np.float16)
    flow[0] = bump(60, 60, 20)
    u, v, strain = SmallFlow().make(flow)
    assert u.max() == pytest.approx(255, abs=1e-3)
    assert not v.any()
    assert strain.any()
    assert not stretched(np.full((4, 4), 0.37, dtype=np.float32)).any()


@pytest.mark.slow
def test_two_runs_give_the_same_bytes() -> None:
    keyframes = Keyframes().make(clip([0.0, 1.0], apex=41))
    for kind in KINDS:
        stages = [SmallFlow(source=Flow(flow=kind)) for _ in range(2)]
        one, other = (stage.pack(stage.make(stage.source.make(keyframes))) for stage in stages)
        assert one == other


def test_pictures_come_out_of_the_store_as_they_went_in() -> None:
    flow = Flow().make(Keyframes().make(clip([0.0, 1.0], apex=41)))
    for stage, value in ((Flow(), flow), (SmallFlow(), SmallFlow().make(flow))):
        np.testing.assert_array_equal(stage.unpack(stage.pack(value)), value)


def test_the_apex_the_kind_of_flow_and_the_scale_enter_the_key() -> None:
    one = small()
    dis = replace(one, source=replace(one.source, flow="dis"))
    others = [
        key(one, replace(FACTS, apex=42)),
        key(one, replace(FACTS, apex=None)),
        key(one, replace(FACTS, digests=("a", "b", "d"))),
        key(dis),
        key(replace(one, source=replace(one.source, pair="apex-offset"))),
        key(replace(one, scale="none")),
        key(replace(one, size=48)),
    ]
    assert len({key(one), *others}) == 8


def test_another_version_of_a_library_renames_its_own_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {kind: key(Flow(source=small().source.source, flow=kind)) for kind in KINDS}
    monkeypatch.setattr(of_libraries, "version", lambda name: "0.0.1")
    after = {kind: key(Flow(source=small().source.source, flow=kind)) for kind in KINDS}
    assert [kind for kind in KINDS if after[kind] != before[kind]] == ["tvl1"]
    monkeypatch.setattr(cv2, "getVersionString", lambda: "0.0.1")
    after = {kind: key(Flow(source=small().source.source, flow=kind)) for kind in KINDS}
    assert all(after[kind] != before[kind] for kind in KINDS)


def test_the_place_of_the_landmark_model_enters_no_key(tmp_path: Path) -> None:
    keys = set()
    for name in ("one.dat", "other.dat"):
        (tmp_path / name).write_bytes(b"a model")
        last = SmallFlow(source=Flow(source=Keyframes(source=Alignment(landmark_model=str(tmp_path / name)).aligned())))
        weights = {name: digest for stage in chain(last) for name, digest in stage.weights().items()}
        keys.add(key(last, replace(FACTS, weights=weights)))
    assert len(keys) == 1


@pytest.mark.parametrize("apex", [pytest.param(12, marks=pytest.mark.slow), None], ids=["annotated", "found"])
def test_a_clip_on_disk_becomes_one_picture_wherever_it_is(apex: int | None, tmp_path: Path) -> None:
    last, made = small(), []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        for number, face in enumerate(clip([0.0, 0.5, 1.0, 0.4]).face_THWC, start=10):
            cv2.imwrite(str(folder / f"img{number}.png"), face[..., ::-1])
        frames = tuple(folder / f"img{number}.png" for number in range(10, 14))
        entry = Clip(clip_id="made/1/1", subject="made/1", label="x", onset=10, apex=apex, offset=13, frames=frames)
        value: Any = Source(clip=entry)
        for stage in chain(last):
            value = stage.make(value)
        made.append(value)
    np.testing.assert_array_equal(made[0], made[1])
    expected = last.make(smile().transpose(2, 0, 1).astype(np.float16))
    for got, right in zip(made[0][:2], expected[:2], strict=True):
        assert np.corrcoef(got.ravel(), right.ravel())[0, 1] > 0.95


def test_each_stage_has_a_folder_of_its_own_in_the_store() -> None:
    assert [stage.name for stage in chain(SmallFlow()) if stage.kept] == ["keyframes", "flow", "flow-small"]
