"""Scenes with known motion, and a training that goes on where it was killed."""

import contextlib
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from aman.errors import UsageError
from aman.magnify.training.camera import exposures, jpeg, smoothed
from aman.magnify.training.dice import Dice
from aman.magnify.training.loop import Pair, held_out, loss_of, sheet, start, train
from aman.magnify.training.scenes import canvases, displacements, generator_for, look, scenes
from aman.magnify.training.settings import MagnifierTraining, SceneRanges, check_training
from aman.magnify.weights import load_magnifier, save_magnifier
from cluster.training.checkpoint import read_progress
from cluster.training.data_parallel import Context, Progress, alone, read_checkpoint
from jobs.command_line import parse
from jobs.train_magnifier import Options, finish, main, track, with_path

SMALL = MagnifierTraining(
    steps=8,
    batch=2,
    crop=20,
    small_crop=16,
    small_steps=5,
    warmup=2,
    report_every=2,
    save_every=4,
    half_decoder=False,  # bfloat16 takes five times as long on a CPU without instructions for it
)
CLEAN = SceneRanges(noise=0.0, coded=0.0, flicker=0.0, still=0.0)


OF_CAMERAS = ("--quality 0", "--quality 98", "--coded 2", "--still -1", "--smooth 0.4", "--uneven 0.9", "--latents -1")


class KilledError(Exception):
    """What ends a training in these tests."""


def run(folder: Path, settings: MagnifierTraining, dies_at: int = 10**9) -> list[Progress]:
    """Train in this process, up to the report at which it dies; the curve in the folder."""

    class Mortal(Context):
        def report(self, step: int, metrics: dict[str, float], state: dict[str, Any] | None = None) -> None:
            super().report(step, metrics, state)
            if step >= dies_at:
                raise KilledError

    context = alone(folder, settings)
    context.__class__ = Mortal
    with contextlib.suppress(KilledError):
        train(context, settings)
    return read_progress(folder)


def network_of(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in the folder's checkpoint."""
    checkpoint = read_checkpoint(folder)
    assert checkpoint is not None
    return checkpoint["state"]["network"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that went through; not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one that died at its sixth step, with the checkpoint of its fourth; not to be changed."""
    folder = tmp_path_factory.mktemp("killed")
    assert [line.step for line in run(folder, SMALL, dies_at=6)] == [2, 4, 6]
    return folder


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a folder, to go on in."""
    return lambda folder: Path(shutil.copytree(folder, tmp_path / folder.name))


def test_a_step_of_a_worker_always_has_the_same_scenes_and_another_step_or_worker_has_others() -> None:
    first, again = (scenes(2, 16, generator_for(0, 5, rank=1)) for _ in range(2))
    for name, tensor in vars(first).items():
        assert torch.equal(tensor, getattr(again, name)), name
    for other in (generator_for(1, 5, rank=1), generator_for(0, 6, rank=1), generator_for(0, 5, rank=0)):
        assert not torch.equal(scenes(2, 16, other).a_BCHW, first.a_BCHW)


def test_the_truth_is_the_onset_moved_by_the_factor_times_the_displacement() -> None:
    made = scenes(48, 32, generator_for(0, 0), replace(CLEAN, motion=1.0, magnified=3.0, front=0.0))
    inner = slice(4, -4)
    line = torch.arange(32.0)
    place = torch.stack(torch.meshgrid(line, line, indexing="xy")) + made.factor_B.view(-1, 1, 1, 1) * made.shift_B2HW
    grid = ((2 * place + 1) / 32 - 1).permute(0, 2, 3, 1)
    moved = nn.functional.grid_sample(made.a_BCHW, grid, mode="bicubic", align_corners=False)
    error = (moved - made.truth_BCHW)[:, :, inner, inner].abs().mean((1, 2, 3))
    unmoved = (made.a_BCHW - made.truth_BCHW)[:, :, inner, inner].abs().mean((1, 2, 3))
    # Smooth scenes, for the onset's own pixels are read between; they are only known to half a grey level.
    smooth = made.a_BCHW.diff(dim=3).abs().amax((1, 2, 3)) < 0.2
    assert (smooth & (unmoved > 0.02)).sum() >= 3
    assert (error[smooth] < 0.004).all(), error[smooth]


def test_a_canvas_is_read_where_it_was_painted_and_a_hundredth_of_a_pixel_shows() -> None:
    line = torch.arange(40.0)
    ramp = ((line + 0.5) / 2 - 4 - 0.5).expand(1, 1, 40, 40)  # in pixels of the picture, which starts at pixel 4
    still = torch.zeros(1, 2, 12, 12)
    torch.testing.assert_close(look(ramp, still)[0, 0, 0], torch.arange(12.0), atol=1e-4, rtol=0)
    for shift in (0.01, 0.1, 0.25, 1.37):
        seen = look(ramp, still + shift)[0, 0, 0]
        torch.testing.assert_close(seen, torch.arange(12.0) + shift, atol=1e-4, rtol=0)


def test_factor_one_is_the_frame_itself() -> None:
    made = scenes(64, 16, generator_for(0, 0), CLEAN)
    ones = made.factor_B == 1
    assert ones.sum() >= 2
    assert (made.truth_BCHW[ones] - made.b_BCHW[ones]).abs().max() <= 0.5 / 127.5 + 1e-6  # its rounding to 8 bits


def test_what_does_not_move_stays_whatever_the_factor() -> None:
    made = scenes(96, 16, generator_for(0, 0), CLEAN)
    still = (made.shift_B2HW.abs().amax((1, 2, 3)) == 0) & (made.factor_B > 2)
    still &= (made.a_BCHW == made.b_BCHW).flatten(1).all(1)
    assert still.sum() >= 3
    assert (made.truth_BCHW[still] - made.a_BCHW[still]).abs().max() <= 0.5 / 127.5 + 1e-6


def test_motion_stays_within_its_ranges_and_is_mostly_below_a_pixel() -> None:
    ranges, factor = SceneRanges(), torch.linspace(1, 12, 256)
    shift = displacements(256, 48, factor, ranges, Dice(generator_for(0, 0)))
    largest = shift.norm(dim=1).amax((1, 2))
    assert (largest <= ranges.motion + 1e-4).all()
    assert (largest * factor <= ranges.magnified + 1e-3).all()
    assert (largest == 0).sum() > 10
    assert 0.5 < (largest < 1).float().mean() < 0.95
    assert (shift.diff(dim=3).abs() * factor.view(-1, 1, 1, 1)).max() <= 0.6 + 1e-3


def test_images_are_of_8_bits_in_range_and_only_the_given_ones_are_noisy() -> None:
    made = scenes(16, 16, generator_for(0, 3), replace(CLEAN, noise=4.0))
    for image in (made.a_BCHW, made.b_BCHW):
        grey = (image + 1) * 127.5
        assert (grey - grey.round()).abs().max() < 1e-4
        assert image.abs().max() <= 1
    canvas = canvases(2, 64, 3.0, Dice(generator_for(0, 0)))
    assert canvas.std() > 0.2


def test_smoothed_noise_keeps_its_deviation_and_neighbours_become_alike() -> None:
    noise = Dice(generator_for(0, 0)).normal(200, 1, 32, 32)
    for over, wanted in ((0.0, 0.0), (0.5, 0.37), (1.5, 0.895)):  # exp(-1 / (4 s^2)), the smoothing's own
        made = smoothed(noise, torch.full((200,), over))
        assert made.std() == pytest.approx(1, abs=0.02)
        alike = float((made[..., 1:] * made[..., :-1]).mean() / made.square().mean())
        assert alike == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("quality", [60, 75, 90, 97])
def test_jpeg_is_that_of_opencv(quality: int, halved: bool) -> None:
    from skimage.data import chelsea

    image = np.ascontiguousarray(chelsea()[:192, :192])
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    how = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    content = cv2.imencode(".jpg", image[..., ::-1], how)[1]
    theirs = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), float)[..., ::-1]
    level = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    ours = jpeg(level, torch.tensor([float(quality)]), torch.tensor([halved]))[0].permute(1, 2, 0).numpy()
    apart, ours_lost, theirs_lost = (
        float(np.sqrt(np.mean((one - other) ** 2))) for one, other in ((ours, theirs), (ours, image), (theirs, image))
    )
    assert apart < max(0.5 * theirs_lost, 1.2)  # theirs rounds brightness and colours before the cosines, too
    assert ours_lost == pytest.approx(theirs_lost, rel=0.1)


def test_the_corner_of_a_picture_may_be_anywhere_in_a_block() -> None:
    level = scenes(2, 32, generator_for(0, 0)).a_BCHW * 127.5 + 127.5
    quality, halved = torch.tensor([70.0, 90.0]), torch.tensor([True, False])
    first, second = (jpeg(level, quality, halved, corner) for corner in ([0, 0], [5, 11]))
    assert first.shape == second.shape == level.shape
    assert not torch.equal(first, second)
    assert ((first - level).abs().mean() - (second - level).abs().mean()).abs() < 0.5


def test_two_exposures_have_one_camera_and_their_own_noise() -> None:
    picture = torch.full((256, 3, 16, 16), 0.1)
    ranges = SceneRanges(coded=0.0, noise=4.0)
    a, b = (image * 127.5 for image in exposures([picture, picture], ranges, Dice(generator_for(0, 0))))
    spread = [(image - picture * 127.5).flatten(1).std(1) for image in (a, b)]
    assert torch.corrcoef(torch.stack(spread))[0, 1] > 0.9
    assert 0.2 < (spread[0] < 0.1).float().mean() < 0.5  # a third without noise
    assert not torch.equal(a, b)


def test_light_changes_from_the_onset_to_the_frame_and_the_truth_has_the_frames_light() -> None:
    made = scenes(64, 16, generator_for(0, 0), replace(CLEAN, flicker=0.1, still=1.0))
    a, b, truth = (image.mean((1, 2, 3)) for image in (made.a_BCHW, made.b_BCHW, made.truth_BCHW))
    assert (a - b).abs().max() > 0.02
    assert (b - truth).abs().max() < 0.5 / 127.5


def test_a_share_of_the_scenes_is_still() -> None:
    for share, low, high in ((1.0, 1.0, 1.0), (0.3, 0.15, 0.5)):
        made = scenes(96, 16, generator_for(0, 1), replace(CLEAN, still=share, front=0.0))
        assert low <= (made.shift_B2HW.abs().amax((1, 2, 3)) == 0).float().mean() <= high


def test_the_fast_way_of_training_is_the_network() -> None:
    network, made = start(0), scenes(2, 16, generator_for(0, 0))
    whole = network(made.a_BCHW, made.b_BCHW, made.factor_B)
    for copies in (False, True):
        exact, half = (Pair(network, half_decoder=half)(made, copies=copies)[0] for half in (False, True))
        torch.testing.assert_close(exact, whole, atol=1e-5, rtol=1e-4)
        assert (half - whole).abs().max() < 0.03 * whole.abs().max()


def test_latents_that_should_be_equal_are_compared_and_no_others() -> None:
    network, made = start(0), scenes(2, 16, generator_for(0, 0))
    pair = Pair(network, half_decoder=False)
    assert pair(made)[1] == 0
    still = replace(made, b_BCHW=made.a_BCHW, tinted_b_BCHW=made.a_BCHW, tinted_truth_BCHW=made.a_BCHW)
    assert pair(still, copies=True)[1] == 0
    for name in ("b_BCHW", "tinted_b_BCHW", "tinted_truth_BCHW"):
        assert pair(replace(still, **{name: -made.a_BCHW}), copies=True)[1] > 0, name
    shape_a = network.encode(made.a_BCHW)[1]
    assert not torch.equal(shape_a, network.encode(made.truth_BCHW)[1])  # a moved picture may have another shape
    assert pair(replace(still, truth_BCHW=made.truth_BCHW), copies=True)[1] == 0


@pytest.mark.slow
def test_the_weight_of_the_latents_enters_the_training_and_the_curve_shows_the_picture_alone(tmp_path: Path) -> None:
    curves = {}
    for weight in (0.0, 0.1):
        settings = replace(SMALL, steps=2, report_every=1, latents=weight, half_decoder=True)
        curves[weight] = [line.metrics["train/loss"] for line in run(tmp_path / str(weight), settings)]
    assert curves[0.0][0] == curves[0.1][0]
    assert curves[0.0][1] != curves[0.1][1]
    first, second = (network_of(tmp_path / str(weight)) for weight in (0.0, 0.1))
    assert not torch.equal(first["texture.0.conv.weight"], second["texture.0.conv.weight"])


def test_a_training_starts_from_the_weights_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "first.safetensors"
    save_magnifier(start(3), file)
    settings = replace(SMALL, start=str(file), steps=1, rate=1e-9)
    run(tmp_path / "run", settings)
    torch.testing.assert_close(
        network_of(tmp_path / "run"), load_magnifier(str(file)).state_dict(), atol=1e-6, rtol=1e-6
    )
    with pytest.raises(UsageError, match="no file"):
        run(tmp_path / "other", replace(settings, start=str(tmp_path / "absent")))


def test_the_shape_begins_with_the_whole_picture_in_it() -> None:
    network, image = start(0), scenes(1, 16, generator_for(0, 0)).b_BCHW
    latent = network.encoder[:4](image)  # before the residual blocks
    for place, (y, x) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        positive, negative = latent[:, 6 * place : 6 * place + 6 : 2], latent[:, 6 * place + 1 : 6 * place + 6 : 2]
        torch.testing.assert_close(positive - negative, image[:, :, y::2, x::2])
    torch.testing.assert_close(network.shape[1](network.shape[0](latent))[:, :24], latent[:, :24])


def test_pixels_that_nobody_can_know_count_little() -> None:
    made = scenes(4, 16, generator_for(0, 0), replace(CLEAN, magnified=8.0))
    wrong = made.truth_BCHW + (1 - made.seen_B1HW)
    assert made.seen_B1HW.mean() < 1
    assert loss_of(wrong, made, 0.0) == 0
    assert 0 < loss_of(wrong, made, 0.1) < loss_of(wrong, made, 1.0)


@pytest.mark.slow
def test_a_short_training_lowers_the_loss(tmp_path: Path) -> None:
    settings = replace(SMALL, steps=25, batch=4, warmup=3, rate=1e-3, small_steps=20, report_every=5, save_every=25)
    curve = run(tmp_path, settings)
    losses = [line.metrics["train/loss"] for line in curve]
    assert [line.step for line in curve] == list(range(5, 26, 5))
    assert np.mean(losses[-2:]) < 0.75 * losses[0]
    assert curve[-1].metrics["validation/psnr"] > 10
    trained, begun = network_of(tmp_path), start(settings.seed).state_dict()
    assert all(not torch.equal(trained[name], begun[name]) for name in begun)


@pytest.mark.slow
def test_a_killed_training_goes_on_as_if_it_had_never_stopped(
    whole: Path, killed: Path, copied: Callable[[Path], Path]
) -> None:
    folder = copied(killed)
    checkpoint = read_checkpoint(folder)
    assert checkpoint is not None and checkpoint["step"] == 4
    losses = [
        [(line.step, line.metrics["train/loss"]) for line in curve]
        for curve in (read_progress(whole), run(folder, SMALL))
    ]
    assert losses[0] == losses[1]
    first, second = network_of(whole), network_of(folder)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_rate_of_a_line_is_that_of_its_step(whole: Path) -> None:
    rates = [line.metrics["train/rate"] for line in read_progress(whole)]
    assert rates == pytest.approx([SMALL.rate * (1 + math.cos(math.pi * part / 6)) / 2 for part in (0, 1, 3, 5)])


@pytest.mark.slow
def test_a_checkpoint_of_an_earlier_version_is_refused_in_words_and_a_finished_one_is_not(
    whole: Path, killed: Path, copied: Callable[[Path], Path]
) -> None:
    for before, step, refused in ((killed, 4, True), (whole, 8, False)):
        folder = copied(before)
        checkpoint = read_checkpoint(folder)
        assert checkpoint is not None and checkpoint["step"] == step
        del checkpoint["state"]["schedule"]
        torch.save(checkpoint, folder / "checkpoint.pt")
        with pytest.raises(UsageError, match="without the state") if refused else contextlib.nullcontext():
            run(folder, SMALL)


def test_a_finished_training_is_not_trained_again(whole: Path, copied: Callable[[Path], Path]) -> None:
    folder = copied(whole)
    before = (folder / "checkpoint.pt").read_bytes()
    assert run(folder, SMALL) == read_progress(whole)
    assert (folder / "checkpoint.pt").read_bytes() == before


def test_a_loss_that_is_no_number_ends_the_training_in_words(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="lower the rate"):
        run(tmp_path, replace(SMALL, rate=1e30))


def test_the_sheet_shows_onset_frame_result_and_truth(tmp_path: Path) -> None:
    picture = sheet(start(0), SMALL, count=3)
    assert picture.shape == (3 * SMALL.crop, 4 * SMALL.crop, 3)
    onset = ((held_out(SMALL, 3).a_BCHW[1] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(picture[20:40, :20], onset)


@pytest.mark.parametrize(
    "arguments",
    ["--steps 0", "--crop 50", "--rate 0", "--unseen 2", "--save-every 75", "--factor 1", "--blur 0.1", *OF_CAMERAS],
)
def test_settings_that_no_training_can_have_are_refused(arguments: str) -> None:
    with pytest.raises(UsageError):
        check_training(parse(Options, None, arguments.split()).settings)


def test_weights_to_start_from_are_a_name_or_a_file_and_workers_get_the_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("", "learned", "learned-1"):
        assert with_path(replace(SMALL, start=name)).start == name
    with pytest.raises(UsageError, match=r"--start mine\.safetensors, which is no file"):
        main(parse(Options, None, ["--plan", "--start", "mine.safetensors"]))
    save_magnifier(start(3), tmp_path / "mine.safetensors")
    assert with_path(replace(SMALL, start="mine.safetensors")).start == str(tmp_path / "mine.safetensors")
    assert main(parse(Options, None, ["--plan", "--start", "mine.safetensors"])) == 0


def test_the_plan_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(parse(Options, None, ["--plan", "--steps", "100"])) == 0
    assert "about 0.0" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_network_is_written_judged_and_logged_once(
    tmp_path: Path, ready_tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aman.magnify.training.loop.judge", lambda network: {"factor 1/psnr": 12.5})
    options = Options(settings=SMALL, out=tmp_path / "m.safetensors", tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    curve = [Progress(step=step, metrics={"train/loss": 1 / step}) for step in range(1, 500)]
    scores, files = finish(start(0).state_dict(), options)
    assert [file.name for file in files] == ["m.safetensors", "m.png"]
    torch.testing.assert_close(
        load_magnifier(str(options.out)).state_dict(), start(0).state_dict(), atol=1e-3, rtol=1e-3
    )
    assert track(options, curve, scores, files) == track(options, curve, scores, files)
