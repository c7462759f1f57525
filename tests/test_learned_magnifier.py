"""The learned magnifier: its network, its weights, what it shares between factors, and its place in content keys."""

import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from aman import plain_weights
from aman.databases.index import Clip
from aman.errors import UsageError
from aman.faces import FACE_SIZE, fit
from aman.inputs.aligned import Aligned
from aman.inputs.base import weights_of
from aman.inputs.features import Features
from aman.inputs.images import Images
from aman.inputs.interpolated import Interpolated
from aman.magnify import MAGNIFIERS, learned, magnifier_for, magnify, magnify_none
from aman.magnify.learned import magnify_with
from aman.magnify.measure import Case, Score, acceptance, identity, scenes
from aman.magnify.network import Halve, Magnifier
from aman.magnify.weights import PUBLISHED, load_magnifier, save_magnifier
from aman.methods import variant
from aman.methods.aman import METHOD
from aman.models.settings import MAGNIFIER_NAMES, Settings, check
from aman.plain_weights import Padding
from aman.tim import interpolate
from cluster.features.keys import plan_clip

Float = npt.NDArray[np.float32]

PARTS = {
    "encoder": (("encoder",), 62_256),
    "texture": (("texture",), 46_080),
    "shape": (("shape",), 36_864),
    "manipulator": (("difference", "moved"), 77_824),
    "decoder": (("enlarge", "blocks", "paint"), 695_904),
}
"""The network's parts in the paper's words, ours, and their weights without the convolution of the shape."""


@pytest.fixture(scope="module")
def network() -> Magnifier:
    """Weights of chance, large enough that motion shows in the image."""
    return seeded(0)


def seeded(seed: int, padding: Padding = "reflect", shape_conv: bool = True) -> Magnifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Magnifier(padding=padding, shape_conv=shape_conv)
        for parameter in made.parameters():
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="linear")
    return made.requires_grad_(False).eval()


def pictures(count: int, height: int = 32, width: int = 40, seed: int = 0) -> Float:
    return np.random.default_rng(seed).uniform(0, 255, (count, height, width, 3)).astype(np.float32)


def tensor(image_BHWC: Float) -> torch.Tensor:
    return torch.from_numpy(image_BHWC).permute(0, 3, 1, 2) / 127.5 - 1


def latents(network: Magnifier) -> tuple[torch.Tensor, torch.Tensor]:
    """Shapes of an onset and of a frame."""
    _, shape = network.encode(tensor(pictures(2)))
    return shape[:1], shape[1:]


def magnified_shape(network: Magnifier, shape_a: torch.Tensor, shape_b: torch.Tensor, factor: float) -> torch.Tensor:
    """The magnified shape in the paper's own order: the factor between g and h."""
    return shape_b + network.moved((factor - 1) * network.difference(shape_b - shape_a))


def test_every_part_has_the_papers_number_of_weights() -> None:
    plain, port = Magnifier(shape_conv=False), Magnifier()
    for part, (names, count) in PARTS.items():
        modules = [plain.get_submodule(name) for name in names]
        assert sum(p.numel() for module in modules for p in module.parameters()) == count, part
    assert sum(p.numel() for p in plain.parameters()) == 918_928
    assert sum(p.numel() for p in port.parameters()) == 928_144
    assert sum(p.numel() for p in port.shape.parameters()) - PARTS["shape"][1] == 9_216


def test_the_network_has_neither_biases_nor_norms() -> None:
    network = Magnifier()
    assert all(name.endswith(".weight") for name in network.state_dict())
    assert all(parameter.dim() == 4 for parameter in network.parameters())
    assert not list(network.buffers())


def test_texture_is_a_quarter_and_shape_half_of_the_image(network: Magnifier) -> None:
    texture, shape = network.encode(tensor(pictures(2)))
    assert texture.shape == (2, 32, 8, 10)
    assert shape.shape == (2, 32, 16, 20)
    assert network.decode(texture, shape).shape == (2, 3, 32, 40)


def test_factor_one_leaves_the_latent_unchanged(network: Magnifier) -> None:
    shape_a, shape_b = latents(network)
    assert torch.equal(magnified_shape(network, shape_a, shape_b, 1), shape_b)
    a, b = tensor(pictures(2)).split(1)
    again = network.decode(*network.encode(b))
    torch.testing.assert_close(network(a, b, torch.tensor([1.0])), again, rtol=0, atol=1e-6)


def test_the_latents_distance_from_the_frame_is_proportional_to_the_factor_less_one(network: Magnifier) -> None:
    shape_a, shape_b = latents(network)
    unit = network.motion(shape_a, shape_b)
    assert unit.abs().max() > 0.1
    for factor in (1.5, 2, 7, 11):
        moved = magnified_shape(network, shape_a, shape_b, factor) - shape_b
        torch.testing.assert_close(moved, (factor - 1) * unit, rtol=1e-4, atol=1e-4)


def test_a_frame_like_the_onset_gives_the_same_image_at_every_factor(network: Magnifier) -> None:
    onset = pictures(1)
    images = magnify_with(network, onset[0], onset, (1, 2, 5, 11))[0]
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])


def test_motion_shows_in_the_image_and_grows_with_the_factor(network: Magnifier) -> None:
    onset, frame = pictures(2)
    images = magnify_with(network, onset, frame[None], (1, 2, 6))[0]
    near, far = (float(np.abs(image - images[0]).mean()) for image in images[1:])
    assert 0 < near < far


@pytest.mark.parametrize("shape_conv", [True, False])
@pytest.mark.parametrize("padding", ["reflect", "tensorflow"])
def test_shared_latents_give_the_images_of_the_whole_network(padding: Padding, shape_conv: bool) -> None:
    network = seeded(1, padding, shape_conv)
    onset, *frames = pictures(3)
    factors = (1, 2, 5, 9)
    shared = magnify_with(network, onset, np.stack(frames), factors)
    for j, frame in enumerate(frames):
        pair = [tensor(one[None]).expand(len(factors), -1, -1, -1) for one in (onset, frame)]
        naive = (network(*pair, torch.tensor(factors)) + 1) * 127.5
        largest = float(naive.abs().max())
        assert np.abs(shared[j] - naive.permute(0, 2, 3, 1).numpy()).max() <= 1e-5 * largest


def test_an_image_has_the_same_bits_whatever_is_magnified_with_it(network: Magnifier) -> None:
    onset, *rest = pictures(4)
    frames, factors = np.stack(rest), (1, 3, 8)
    images = magnify_with(network, onset, frames, factors)
    for j in range(len(frames)):
        for i, factor in enumerate(factors):
            alone = magnify_with(network, onset, frames[j : j + 1], (factor,))
            np.testing.assert_array_equal(alone[0, 0], images[j, i])
    turned = magnify_with(network, onset, frames[::-1], factors[::-1])
    np.testing.assert_array_equal(turned[::-1, ::-1], images)


@pytest.mark.parametrize("batch", [2, 4, 7])
def test_batches_of_any_size_are_filled_up_and_change_nothing(
    network: Magnifier, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To 1e-5 of the range only between batch sizes: kernels are chosen by it."""
    onset, *rest = pictures(4)
    frames, factors = np.stack(rest), (1, 2, 3, 5, 8)
    one = magnify_with(network, onset, frames, factors)
    monkeypatch.setattr(learned, "CPU_BATCH", batch)
    sizes, decode = [], network.decode

    def watched(texture_BCHW: torch.Tensor, shape_BCHW: torch.Tensor) -> torch.Tensor:
        sizes.append(len(texture_BCHW))
        return decode(texture_BCHW, shape_BCHW)

    monkeypatch.setattr(network, "decode", watched)
    many = magnify_with(network, onset, frames, factors)
    assert set(sizes) == {batch}
    np.testing.assert_allclose(many, one, rtol=0, atol=1e-5 * float(np.abs(one).max()))


@pytest.mark.parametrize(("height", "width"), [(33, 40), (34, 38), (31, 29), (5, 32), (4, 3)])
def test_sides_that_are_no_multiple_of_four_are_padded_and_cut_back(
    network: Magnifier, height: int, width: int
) -> None:
    onset, frame = pictures(2, height, width)
    images = magnify_with(network, onset, frame[None], (1, 4))
    assert images.shape == (1, 2, height, width, 3)
    tall, wide = max(8, -(-height // 4) * 4), max(8, -(-width // 4) * 4)
    larger = [np.pad(one, ((0, tall - height), (0, wide - width), (0, 0)), mode="edge") for one in (onset, frame)]
    whole = magnify_with(network, larger[0], larger[1][None], (1, 4))
    np.testing.assert_array_equal(images, whole[:, :, :height, :width])


def test_a_side_that_is_a_multiple_of_four_is_left_as_it_is() -> None:
    assert learned._padded(pictures(1, 32, 40)).shape == (1, 3, 32, 40)


def test_tensorflows_padding_differs_from_reflection_where_it_should() -> None:
    """Zeros below and at the right move the grid by one pixel: output (y, x) looks at rows 2y to 2y + 2."""
    halves = {padding: Halve(1, 1, padding) for padding in ("reflect", "tensorflow")}
    kernel = torch.zeros(1, 1, 3, 3)
    kernel[..., 1, 1] = 1
    image = torch.arange(1.0, 65).view(1, 1, 8, 8)
    for half in halves.values():
        half.conv.weight.data = kernel
    assert torch.equal(halves["reflect"](image), image[..., ::2, ::2])
    assert torch.equal(halves["tensorflow"](image), image[..., 1::2, 1::2])
    kernel = torch.ones(1, 1, 3, 3)
    for half in halves.values():
        half.conv.weight.data = kernel
    inside = image[..., 2:5, 4:7].sum()
    assert halves["tensorflow"](image)[..., 1, 2] == inside
    assert halves["tensorflow"](image)[..., 3, 3] == image[..., 6:, 6:].sum()
    mirrored = image[..., 0, 0] + 2 * image[..., 0, 1] + 2 * image[..., 1, 0] + 4 * image[..., 1, 1]
    assert halves["reflect"](image)[..., 0, 0] == mirrored


def test_padding_changes_the_two_halvings_only() -> None:
    changed = [name for name, module in seeded(0).named_modules() if isinstance(module, Halve)]
    assert changed == ["encoder.2", "texture.0"]
    a, b = seeded(0, "reflect"), seeded(0, "tensorflow")
    assert [x.padding for x in a.modules() if isinstance(x, Halve)] == ["reflect", "reflect"]
    assert [x.padding for x in b.modules() if isinstance(x, Halve)] == ["tensorflow", "tensorflow"]


@pytest.mark.parametrize("shape_conv", [True, False])
@pytest.mark.parametrize("padding", ["reflect", "tensorflow"])
def test_saved_weights_come_back_within_half_precision(padding: Padding, shape_conv: bool, tmp_path: Path) -> None:
    network, path = seeded(2, padding, shape_conv), tmp_path / "new" / "weights.safetensors"
    save_magnifier(network.to(memory_format=torch.channels_last), path)
    assert path.stat().st_size < 1_900_000
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    back = load_magnifier(str(path))
    assert (back.padding, back.shape_conv) == (padding, shape_conv)
    assert not back.training and not any(p.requires_grad for p in back.parameters())
    for name, wanted in network.state_dict().items():
        assert back.state_dict()[name].dtype == torch.float32
        torch.testing.assert_close(back.state_dict()[name], wanted, rtol=2**-11, atol=1e-7)


def test_the_same_weights_are_saved_as_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for file in files:
        save_magnifier(seeded(3), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    save_magnifier(load_magnifier(str(files[0])), files[1])
    assert files[0].read_bytes() == files[1].read_bytes()


def published(network: Magnifier) -> dict[str, torch.Tensor]:
    """The state dict under the names of the published checkpoints."""
    names = {}
    for theirs, ours in sorted(PUBLISHED.items(), key=lambda pair: -len(pair[1])):
        for name in network.state_dict():
            if name.startswith(ours) and name not in names:
                names[name] = theirs + name.removeprefix(ours)
    assert len(set(names.values())) == len(network.state_dict())
    return {f"module.{theirs}": network.state_dict()[ours] for ours, theirs in names.items()}


@pytest.mark.parametrize("shape_conv", [True, False])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pth.tar"])
def test_a_published_checkpoint_is_read_by_its_own_names(suffix: str, shape_conv: bool, tmp_path: Path) -> None:
    network, path = seeded(4, shape_conv=shape_conv), tmp_path / f"weights{suffix}"
    torch.save({"state_dict": published(network), "time": 1.0}, path)
    back = load_magnifier(str(path))
    assert (back.padding, back.shape_conv) == ("reflect", shape_conv)
    for name, wanted in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], wanted)


class Pickled:
    """A program in disguise."""


def wrong_file(kind: str, folder: Path) -> Path:
    from safetensors.torch import save_file

    state = dict(seeded(0).state_dict())
    path = folder / ("weights.safetensors" if kind in ("bare", "odd padding", "cut off") else "weights.pth")
    if kind == "absent":
        return path
    if kind == "bare":
        save_file(state, path)
    elif kind == "odd padding":
        save_file(state, path, {"magnifier": json.dumps({"padding": "zeros", "shape_conv": True})})
    elif kind == "cut off":
        save_magnifier(seeded(0), path)
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "text":
        path.write_text("no weights")
    elif kind == "pickled":
        torch.save({"state_dict": Pickled()}, path)
    elif kind == "no table":
        torch.save([1, 2], path)
    elif kind == "another network":
        torch.save({"fc.weight": torch.zeros(2, 2)}, path)
    elif kind == "one missing":
        torch.save({name: value for name, value in state.items() if name != "paint.3.weight"}, path)
    elif kind == "one of another shape":
        torch.save({**state, "paint.3.weight": torch.zeros(3, 32, 5, 5)}, path)
    elif kind == "not a number":
        torch.save({**state, "paint.3.weight": torch.full((3, 32, 7, 7), torch.nan)}, path)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    {
        "absent": "which is no file",
        "bare": "name no padding",
        "odd padding": "name no padding",
        "cut off": "cannot be read as weights",
        "text": "cannot be read as weights",
        "pickled": "cannot be read as weights",
        "no table": "holds no table of tensors",
        "another network": "42 tensors missing",
        "one missing": "1 tensors missing.*paint.3.weight",
        "one of another shape": "1 of another shape.*paint.3.weight",
        "not a number": "paint.3.weight holds values that are no numbers",
    }.items(),
)
def test_a_file_that_is_no_magnifier_is_refused_by_name(kind: str, words: str, tmp_path: Path) -> None:
    path = wrong_file(kind, tmp_path)
    with pytest.raises(UsageError, match=words) as caught:
        load_magnifier(str(path))
    assert str(path) in caught.value.got
    assert "--magnifier FILE" in caught.value.fix


def test_without_our_weights_learned_says_how_to_make_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_weights, "MAGNIFIER", tmp_path / "magnifier.safetensors")
    with pytest.raises(UsageError, match=r"jobs/train_magnifier\.py.*--magnifier FILE"):
        load_magnifier("learned")
    save_magnifier(seeded(5), tmp_path / "magnifier.safetensors")
    assert load_magnifier("learned").shape_conv


def test_weights_of_an_earlier_time_have_a_name_that_is_no_file() -> None:
    assert images_of("learned-1").kind == "learned"
    onset, frame = pictures(2)
    again = magnify_with(load_magnifier("learned-1"), onset, frame[None], (3,))
    np.testing.assert_array_equal(magnifier_for("learned-1")(onset, frame[None], (3,)), again)


def test_a_file_of_weights_is_a_magnifier_by_its_path(tmp_path: Path) -> None:
    network, path = seeded(6), tmp_path / "mine.safetensors"
    save_magnifier(network, path)
    onset, *frames = pictures(3)
    images = magnify(str(path), onset, np.stack(frames), (1, 3))
    assert images.dtype == np.uint8
    wanted = magnify_with(load_magnifier(str(path)), onset, np.stack(frames), (1, 3))
    if not torch.cuda.is_available():
        np.testing.assert_array_equal(images, np.clip(np.rint(wanted), 0, 255).astype(np.uint8))
    assert magnifier_for("phase") is MAGNIFIERS["phase"]


def test_the_recipe_knows_every_magnifier_and_refuses_a_name_that_is_no_file(tmp_path: Path) -> None:
    assert set(MAGNIFIER_NAMES) == {*MAGNIFIERS, *plain_weights.EARLIER_MAGNIFIERS}
    for name in MAGNIFIER_NAMES:
        check(variant(Settings(), magnifier=name))
    file = tmp_path / "weights.pth"
    file.write_text("any")
    check(variant(Settings(), magnifier=str(file)))
    for wrong in ("phaze", "", str(tmp_path)):
        with pytest.raises(UsageError, match=r"--magnifier .*none, linear, phase, learned, learned-1, or a file"):
            check(variant(Settings(), magnifier=wrong))


def clip_of(folder: Path) -> Clip:
    """Two files of known bytes."""
    files = [folder / f"{number}.png" for number in range(2)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 9)
    return Clip(clip_id="s/1", subject="s", label="x", onset=0, apex=None, offset=1, frames=tuple(files))


def images_of(magnifier: str) -> Images:
    """Images of clips that are resized and not aligned, so that no landmark model enters."""
    return Images(source=Interpolated(source=Aligned(align="none")), magnifier=magnifier)


def test_keys_of_magnifiers_without_weights_are_what_they_were(tmp_path: Path) -> None:
    """From before there was a learned one: a cache of those days stays good."""
    clip, images, features = clip_of(tmp_path), {}, {}
    for name in ("none", "linear", "phase"):
        last = Features(source=images_of(name))
        keys = plan_clip(clip, [last], {"landmark_model": "", "trunk": "t", "magnifier": ""}).keys
        images[name], features[name] = keys[last.source], keys[last]
    assert images["none"] == "826dd3c6efde70384d74619e66977680bc17020e4f4102cb9eabeb90ee496aa3"
    assert images["linear"] == "282a5675326f642632d5ebd5897153bb6c2539f6b1fc612d0e9b5653d36ff5ce"
    assert images["phase"] == "9698850a29a4bf4d743918f1d0d2573aeee97613d41673c77f41d4d14bbbc72e"
    assert features["phase"] == "dbac6a6fa2d6e65d622ced5d60976a04e1afa8fdd9eae8b10bffd9f15cc57979"


def test_a_larger_face_is_another_key_and_the_usual_size_the_key_that_it_was(tmp_path: Path) -> None:
    clip = clip_of(tmp_path)

    def keys(size: int) -> list[str]:
        last = METHOD.inputs(variant(Settings(), align="none", magnifier="phase", frozen="layer4", size=size))
        given = {"landmark_model": "", "trunk": "t", "magnifier": ""}
        return list(plan_clip(clip, last, given).keys.values())

    usual = keys(Settings().preparation.size)
    assert "9698850a29a4bf4d743918f1d0d2573aeee97613d41673c77f41d4d14bbbc72e" in usual
    assert not set(usual) & set(keys(384))


def test_a_face_of_384_pixels_is_magnified_as_it_is_and_then_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def watched(onset: Float, frames: Float, factors: tuple[int, ...]) -> Float:
        seen.append(frames.shape)
        return magnify_none(onset, frames, factors)

    monkeypatch.setitem(MAGNIFIERS, "linear", watched)
    frames = np.random.default_rng(0).integers(0, 256, (6, 400, 500, 3), dtype=np.uint8)
    for size in (FACE_SIZE, 384):
        aligned = Aligned(align="none", size=size)
        stage = Images(source=Interpolated(source=aligned), magnifier="linear", grid_frames=2, grid_factors=3)
        source = interpolate(fit(frames, size))
        assert source.shape == stage.source.shape() == (20, size, size, 3)
        made = stage.make(source)
        assert made.shape == (2, 3, FACE_SIZE, FACE_SIZE, 3) and made.dtype == np.uint8
        assert seen[-1] == (2, size, size, 3)
        at = list(stage.grid.frames)
        wanted = fit(np.clip(np.rint(source[at]), 0, 255).astype(np.uint8))
        np.testing.assert_array_equal(made, np.repeat(wanted[:, None], 3, axis=1))
    assert Settings().preparation.size == Settings().preparation.trunk_size == FACE_SIZE == Aligned().size


def test_keys_of_the_learned_magnifier_hold_the_weights_and_not_their_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = clip_of(tmp_path)
    files = {name: tmp_path / f"{name}.safetensors" for name in ("a", "copy", "other", "padded")}
    save_magnifier(seeded(0), files["a"])
    save_magnifier(seeded(0), files["copy"])
    save_magnifier(seeded(1), files["other"])
    save_magnifier(seeded(0, "tensorflow"), files["padded"])

    def key(magnifier: str) -> str:
        images = images_of(magnifier)
        return plan_clip(clip, [images], weights_of([images])).keys[images]

    keys = {name: key(str(file)) for name, file in files.items()}
    assert keys["a"] == keys["copy"]
    assert len({keys["a"], keys["other"], keys["padded"], key("phase")}) == 4
    monkeypatch.setattr(plain_weights, "MAGNIFIER", files["a"])
    assert key("learned") == keys["a"]


def test_workers_get_the_absolute_path_of_the_weights_and_names_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def absolute(magnifier: str) -> str:
        return METHOD.absolute(variant(Settings(), magnifier=magnifier)).preparation.magnifier

    assert absolute("a.pth") == str(tmp_path / "a.pth")
    assert [absolute(name) for name in MAGNIFIER_NAMES] == list(MAGNIFIER_NAMES)


def test_the_measure_finds_the_gain_of_the_truth_itself() -> None:
    scene = scenes(96)[0]
    for displacement, factor in ((0.2, 5), (0.5, 11), (2.0, 11)):
        case = Case(displacement=displacement, factor=factor)
        assert scene.gain(scene.moved(factor * displacement), case) == pytest.approx(factor, rel=0.02)
        assert scene.gain(scene.moved(displacement), case) == pytest.approx(1, abs=0.05)


def test_the_measure_ranks_copy_linear_and_phase_and_sees_noise() -> None:
    cases = (Case(displacement=0.5, factor=5), Case(displacement=0.5, factor=11, noise=3))
    scores = {name: acceptance(MAGNIFIERS[name], cases, 96) for name in ("none", "linear", "phase")}
    first, noisy = cases
    assert scores["none"][first].gain == pytest.approx(1, abs=0.1)
    assert scores["phase"][first].gain > scores["linear"][first].gain > 2
    assert scores["phase"][first].psnr > scores["none"][first].psnr + 3
    assert scores["phase"][first].ssim > scores["none"][first].ssim
    assert scores["linear"][noisy].psnr < 18
    assert identity(MAGNIFIERS["phase"], 96) > 50
    assert identity(MAGNIFIERS["none"], 96) == 99


@pytest.mark.slow
def test_the_published_weights_score_as_they_were_measured_elsewhere() -> None:
    """`PUBLISHED_MAGNIFIER` names the AMAN authors' learning_based_mag.pth.tar, which has no licence to be shipped."""
    file = os.environ.get("PUBLISHED_MAGNIFIER", "")
    if not file:
        pytest.skip("PUBLISHED_MAGNIFIER names no file")
    network = load_magnifier(file)
    cases = {
        Case(displacement=0.5, factor=5): Score(psnr=32.8, ssim=0, gain=4.3),
        Case(displacement=1.0, factor=5): Score(psnr=32.1, ssim=0, gain=5.0),
        Case(displacement=1.0, factor=11): Score(psnr=30.2, ssim=0, gain=11.1),
    }
    found = acceptance(lambda onset, frames, factors: magnify_with(network, onset, frames, factors), tuple(cases))
    for case, wanted in cases.items():
        assert found[case].psnr == pytest.approx(wanted.psnr, abs=0.5), case
        assert found[case].gain == pytest.approx(wanted.gain, rel=0.1), case


def test_the_magnification_figure_has_a_row_for_every_clip_and_a_column_for_every_factor(tmp_path: Path) -> None:
    import cv2

    from aman.figures import magnification_figure

    images = {name: np.full((3, 16, 16, 3), grey, np.uint8) for name, grey in (("first", 40), ("second", 200))}
    magnification_figure(images, (1, 4, 8), tmp_path / "figure.png")
    drawn = cv2.imread(str(tmp_path / "figure.png"), cv2.IMREAD_GRAYSCALE)
    assert drawn is not None
    for grey in (40, 200):
        areas = cv2.connectedComponentsWithStats((drawn == grey).astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
        assert sum(area > 5000 for area in areas) == 3
    with pytest.raises(ValueError, match="zip"):
        magnification_figure(images, (1, 4), tmp_path / "figure.png")
