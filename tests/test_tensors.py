"""Files of weights: every usual wrapping is undone, and only whole, finite weights of the right network are used."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from aman.backbone import digest, load_trunk
from aman.errors import UsageError
from aman.magnify.network import Magnifier
from aman.magnify.weights import load_magnifier

State = dict[str, torch.Tensor]
WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {"lr": 1.0}},
    "model": lambda state: {"model": state, "optimizer": {"state": {}}},
    "one in another": lambda state: {"state_dict": {"model": state}},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "Lightning": lambda state: {
        "state_dict": {f"model.{name}": value for name, value in state.items()},
        "pytorch-lightning_version": "2.0",
        "hyper_parameters": {"rate": 0.1},
    },
    "compiled in parallel": lambda state: {"model": {f"_orig_mod.module.{name}": one for name, one in state.items()}},
}


@pytest.fixture(scope="module")
def trunk() -> State:
    return dict(load_trunk("random").state_dict())


@pytest.fixture(scope="module")
def known(trunk: State) -> str:
    """Digest of the trunk."""
    return digest(load_trunk("random"))


@pytest.fixture(scope="module")
def hollow(trunk: State) -> State:
    """Tensors of the trunk's names and shapes in a small file: of each, one number."""
    return {name: torch.ones((), dtype=value.dtype).expand(value.shape) for name, value in trunk.items()}


@pytest.fixture(scope="module")
def magnifier() -> State:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(Magnifier().state_dict())


def saved(path: Path, content: Any) -> str:
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in content.items()}, path)
    else:
        torch.save(content, path)
    return str(path)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_trunk_and_a_magnifier_are_found_in_every_usual_wrapping(
    wrapping: str, trunk: State, known: str, magnifier: State, tmp_path: Path
) -> None:
    wrap = WRAPPINGS[wrapping]
    classified = {**trunk, "fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}
    assert digest(load_trunk(saved(tmp_path / "trunk.pt", wrap(classified)))) == known
    found = load_magnifier(saved(tmp_path / "magnifier.pth", wrap(magnifier))).state_dict()
    assert all(torch.equal(found[name], value) for name, value in magnifier.items())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda state: {"model": state, "state_dict": state}, "several networks"),
        (lambda state: {**state, **{f"module.{name}": value for name, value in state.items()}}, "stands twice"),
        (lambda state: {**state, **{f"ema.{name}": value for name, value in state.items()}}, "belong to no part"),
        (lambda state: {"state_dict": {"state_dict": {}}}, "no table of tensors"),
        (lambda state: {"epoch": 3}, "no table of tensors"),
        (lambda state: {name: value.tolist() for name, value in state.items() if value.ndim == 1}, "no table"),
    ],
)
def test_what_is_not_one_network_is_refused(
    content: Callable[[State], Any], said: str, hollow: State, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        load_trunk(saved(tmp_path / "trunk.pt", content(hollow)))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("resnet34", "ResNet-34"),
        ("resnet50", "ResNet-50"),
        ("resnet101", "ResNet-101"),
        ("wide_resnet50_2", "wide ResNet-50"),
        ("resnext50_32x4d", "ResNeXt in the form of ResNet-50"),
    ],
)
def test_another_resnet_is_named_as_what_it_is(model: str, name: str, tmp_path: Path) -> None:
    import torchvision.models as zoo

    with torch.device("meta"):
        state = getattr(zoo, model)(weights=None).state_dict()
    state = {key: torch.zeros(()).expand(value.shape) for key, value in state.items()}
    path = saved(tmp_path / "other.pt", state)
    with pytest.raises(UsageError, match=f"which holds a {name}; expected"):
        load_trunk(path)


def test_a_wide_resnet_18_and_one_with_further_parts_are_refused(hollow: State, tmp_path: Path) -> None:
    wide = dict(hollow)
    wide |= {"conv1.weight": torch.zeros(128, 3, 7, 7)}
    with pytest.raises(UsageError, match="ResNet-18 of width 128"):
        load_trunk(saved(tmp_path / "wide.pt", wide))
    with pytest.raises(UsageError, match=r"1 that belong to no part of the network .*layer1\.0\.se\.weight"):
        load_trunk(saved(tmp_path / "more.pt", {**hollow, "layer1.0.se.weight": torch.zeros(3)}))


def quantised(value: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("change", "said"),
    {
        "not a number": (lambda value: value * float("nan"), "no numbers"),
        "endless": (lambda value: value + float("inf"), "no numbers"),
        "too large for float32": (lambda value: value.double() + 1e300, "no numbers"),
        "complex": (lambda value: value.to(torch.complex64), "complex64"),
        "int8": (lambda value: value.to(torch.int8), "int8"),
        "bool": (lambda value: value.bool(), "bool"),
        "sparse": (lambda value: value.to_sparse(), "not dense"),
        "meta": (lambda value: value.to("meta"), "has no values"),
        "quantised": (quantised, "is quantised"),
    }.values(),
)
@pytest.mark.parametrize("where", ["conv1.weight", "layer3.1.bn2.weight"])
def test_tensors_that_are_no_weights_are_refused_with_one_sentence(
    change: Callable[[torch.Tensor], torch.Tensor], said: str, where: str, trunk: State, hollow: State, tmp_path: Path
) -> None:
    path = saved(tmp_path / "odd.pt", {**hollow, where: change(trunk[where])})
    with pytest.raises(UsageError) as caught:
        load_trunk(path)
    assert said in str(caught.value) or "cannot be read" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_counts_of_batches_may_be_absent_or_half_and_variances_are_not_below_zero(
    trunk: State, known: str, hollow: State, tmp_path: Path
) -> None:
    without = {name: value for name, value in trunk.items() if not name.endswith("num_batches_tracked")}
    assert digest(load_trunk(saved(tmp_path / "without.pt", without))) == known
    half = {name: value.half() if name.endswith("tracked") else value for name, value in trunk.items()}
    assert digest(load_trunk(saved(tmp_path / "half.pt", half))) == known
    with pytest.raises(UsageError, match="variances below 0"):
        load_trunk(saved(tmp_path / "below.pt", {**hollow, "bn1.running_var": -torch.ones(64)}))


def test_a_tensor_of_one_number_that_says_to_be_huge_is_refused_before_it_is_made(
    hollow: State, tmp_path: Path
) -> None:
    huge = torch.zeros(1).expand(10**12)
    with pytest.raises(UsageError, match="1 of another shape"):
        load_trunk(saved(tmp_path / "huge.pt", {**hollow, "bn1.weight": huge}))


def test_a_magnifier_with_more_or_other_tensors_is_refused(magnifier: State, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 that belong to no part"):
        load_magnifier(saved(tmp_path / "more.pt", {**magnifier, "more.weight": torch.zeros(2)}))
    with pytest.raises(UsageError, match=r"torch\.int8"):
        load_magnifier(saved(tmp_path / "int.pt", {name: value.to(torch.int8) for name, value in magnifier.items()}))
    for about in ("[" * 5000, "[]", '{"padding": ["reflect"]}', "{"):
        save_file(magnifier, tmp_path / "deep.safetensors", {"magnifier": about})
        with pytest.raises(UsageError, match="name no padding"):
            load_magnifier(str(tmp_path / "deep.safetensors"))


def test_a_pickled_module_and_a_script_are_never_run(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    for content in (b"", b"PK\x03\x04", (tmp_path / "module.pt").read_bytes(), b"\x80\x04cos\nsystem\n(S'true'\ntR."):
        (tmp_path / "file.pt").write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read as weights"):
            load_trunk(str(tmp_path / "file.pt"))
