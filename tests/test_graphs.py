"""Recorded steps, with recorders that need no GPU: what they give is what the steps give, or they are not used."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from aman.methods import variant
from aman.methods.aman import METHOD
from aman.models import by_hand
from aman.models.settings import RECIPES
from aman.training import FoldResult, FoldTask, graphs, neural
from aman.training.eager import eager
from aman.training.fold import Rows
from aman.training.graphs import Graphed, Rates, Recorder, Step
from aman.training.neural import train_step

CPU = torch.device("cpu")
CLIPS, FEATURES, CLASSES = 10, 6, 3
X = torch.randn(CLIPS, FEATURES, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(CLIPS) % CLASSES
BATCHES = list(torch.arange(CLIPS).split(4)) * 2
"""Two epochs of two whole batches and a smaller one."""
OPTIMISERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "adamw": lambda model: eager(torch.optim.AdamW)(model.parameters(), lr=2**-6, weight_decay=0.01),
    "adamw, fused": lambda model: eager(torch.optim.AdamW)(model.parameters(), lr=2**-6, fused=True),
    "adam": lambda model: eager(torch.optim.Adam)(model.parameters(), lr=2**-6),
    "sgd, fused": lambda model: eager(torch.optim.SGD)(model.parameters(), lr=2**-6, momentum=0.9, fused=True),
    "sgd": lambda model: eager(torch.optim.SGD)(model.parameters(), lr=2**-6, momentum=0.9),
    "rmsprop": lambda model: eager(torch.optim.RMSprop)(model.parameters(), lr=2**-6, eps=1e-8),
}


def network() -> nn.Module:
    """A network with all that steps change: weights, running statistics, and numbers drawn for dropout."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(FEATURES, 8, bias=False), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, CLASSES))


def step_of(model: nn.Module, optimiser: torch.optim.Optimizer) -> Step:
    def step(places_B: torch.Tensor) -> torch.Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(X[places_B]), LABELS[places_B])
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


class Recording:
    """A recorder whose replays read and write buffers of their own, as a graph's do. `spoilt` is done at the end of
    each replay."""

    def __init__(self, spoilt: Callable[[], object] = lambda: None) -> None:
        self.spoilt = spoilt
        self.sizes: list[int] = []
        self.replayed: list[int] = []

    def __call__(self, step: Step, batch_B: torch.Tensor) -> Step:
        held_B, loss = batch_B.clone(), torch.zeros(())
        self.sizes.append(len(held_B))
        for _ in range(graphs.WARM_UP):
            step(held_B)

        def replay(places_B: torch.Tensor) -> torch.Tensor:
            self.replayed.append(len(places_B))
            held_B.copy_(places_B)
            loss.copy_(step(held_B))
            self.spoilt()
            return loss

        return replay


def trained(
    kind: str,
    record: Callable[[nn.Module, torch.optim.Optimizer], Recorder] | None = None,
    batches: Sequence[torch.Tensor] = BATCHES,
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and weights of some steps, whose rate falls to the half in each epoch: of recorded steps, or of plain ones
    with the rate in a tensor."""
    model = network().train()
    optimiser = OPTIMISERS[kind](model)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 3, gamma=0.5)
    rates, step = Rates(optimiser, CPU), step_of(model, optimiser)

    def take(places_B: torch.Tensor) -> torch.Tensor:
        rates.fill()
        with rates.in_tensors():
            return step(places_B)

    if record is not None:
        take = Graphed(step, model, optimiser, [*BATCHES[:2], *BATCHES[:3]], record(model, optimiser))
    losses = []
    for places_B in batches:
        losses.append(float(take(places_B)))
        schedule.step()
        assert isinstance(optimiser.param_groups[0]["lr"], float)
    return losses, model.state_dict()


def assert_equal(one: tuple[list[float], dict[str, Any]], other: tuple[list[float], dict[str, Any]]) -> None:
    """Losses and weights are equal to the last bit."""
    assert one[0] == other[0]
    assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])


@pytest.fixture(autouse=True)
def deterministic() -> None:
    from aman.training.neural import be_deterministic

    be_deterministic()


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_replayed_steps_give_the_bits_of_plain_steps_at_every_size_of_a_batch(kind: str) -> None:
    recording = Recording()
    assert_equal(trained(kind, lambda model, optimiser: recording), trained(kind))
    assert recording.sizes == [4, 2]
    assert recording.replayed == [4, 4, 4, 4, 2] + [4, 4, 2] * 2  # the comparison, then the training


def refuse(step: Step, batch_B: torch.Tensor) -> Step:
    step(batch_B)
    raise RuntimeError("operation not permitted when stream is capturing\nand more of it")


def refuse_otherwise(step: Step, batch_B: torch.Tensor) -> Step:
    raise AssertionError


def fixed_rate(model: nn.Module, optimiser: torch.optim.Optimizer) -> Recorder:
    """A recorder that records the rate as a number: its replays do not follow the schedule."""

    def record(step: Step, batch_B: torch.Tensor) -> Step:
        del step, batch_B

        def replay(places_B: torch.Tensor) -> torch.Tensor:
            return step_of(model, optimiser)(places_B)

        return replay

    return record


@torch.no_grad()
def shift(model: nn.Module) -> None:
    next(model.parameters()).add_(1e-7)


SPOILT: dict[str, tuple[Callable[[nn.Module, torch.optim.Optimizer], Recorder], str]] = {
    "cannot be recorded": (
        lambda model, optimiser: refuse,
        "cannot be recorded: operation not permitted when stream is",
    ),
    "fails otherwise": (lambda model, optimiser: refuse_otherwise, r"cannot be recorded: AssertionError\(\)"),
    "weights differ": (lambda model, optimiser: Recording(lambda: shift(model)), "5 steps with graphs gave other"),
    "a fixed rate": (fixed_rate, "5 steps with graphs gave other"),
}


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_recording_that_fails_or_differs_is_not_used_and_leaves_nothing_behind(kind: str, spoilt: str) -> None:
    record, said = SPOILT[spoilt]
    with pytest.warns(UserWarning, match=said) as warned:
        found = trained(kind, record)
    assert len(warned) == 1
    assert_equal(found, trained(kind))


def test_a_size_that_was_not_recorded_is_trained_plainly() -> None:
    batches = [*BATCHES, torch.arange(3)]
    recording = Recording()
    assert_equal(trained("adam", lambda model, optimiser: recording, batches), trained("adam", batches=batches))
    assert 3 not in recording.replayed


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_rate_in_a_tensor_trains_as_the_number_does(kind: str) -> None:
    """To the last bit where the number is one of single precision and torch computes nothing with it."""
    for rate, apart in ((2**-7, 1e-6 if kind in ("adam", "adamw") else 0.0), (1e-3, 1e-6)):
        found = []
        for in_tensors in (False, True):
            model = network().train()
            optimiser = OPTIMISERS[kind](model)
            optimiser.param_groups[0]["lr"] = rate
            rates, step = Rates(optimiser, CPU), step_of(model, optimiser)
            torch.manual_seed(7)
            for places_B in BATCHES:
                rates.fill()
                if in_tensors:
                    with rates.in_tensors():
                        assert isinstance(optimiser.param_groups[0]["lr"], torch.Tensor)
                        step(places_B)
                else:
                    step(places_B)
            found.append(torch.cat([one.detach().flatten() for one in model.parameters()]))
        assert float((found[0] - found[1]).abs().max()) <= apart


class Operations(TorchDispatchMode):
    """What a CUDA graph is, on a CPU: all operations of a step with their tensors, which a replay runs again without
    the Python of the step, into the memory of the recording. A number that Python reads is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Any, Any, Any, list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("a number is read")
        given = as_they_are((args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        self.made.append((func, *given, tensors_in(as_they_are(result))))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Run all of them again."""
        for func, args, kwargs, results in self.made:
            again = func(*as_they_are(args), **as_they_are(kwargs))
            for one, other in zip(results, tensors_in(again), strict=True):
                if one.data_ptr() != other.data_ptr():
                    one.copy_(other)


def as_they_are(values: Any) -> Any:
    """The tensors in these values with the memory and the shape that they have now: some operations give a tensor
    another shape in place."""
    return tree_map(lambda one: one.detach() if isinstance(one, torch.Tensor) else one, values)


def tensors_in(values: Any) -> list[Any]:
    return [one for one in tree_leaves(values) if isinstance(one, torch.Tensor)]


def operations(step: Step, batch_B: torch.Tensor) -> Step:
    """A recorder of operations."""
    held_B, graph = batch_B.clone(), Operations()
    with graph:
        loss = step(held_B)

    def replay(places_B: torch.Tensor) -> torch.Tensor:
        held_B.copy_(places_B)
        graph.replay()
        return loss

    return replay


@pytest.mark.parametrize("kind", ["adamw, fused", "sgd, fused"])
def test_all_that_a_step_takes_and_changes_stays_where_it_is(kind: str) -> None:
    """Replays of the operations alone give the bits of steps, at other batches, rates and random numbers."""
    assert_equal(trained(kind, lambda model, optimiser: operations), trained(kind))


def test_a_step_whose_optimiser_reads_a_number_cannot_be_recorded() -> None:
    with pytest.warns(UserWarning, match="cannot be recorded: a number is read"):
        assert_equal(trained("adam", lambda model, optimiser: operations), trained("adam"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_of_aman_with_layer4_are_operations_on_tensors_that_stay(precision: str) -> None:
    recipe = variant(RECIPES["default"], n=2, k=2, precision=precision)
    every = torch.randn(6, 3, 3, 256, 2, 2, generator=torch.Generator().manual_seed(3)).relu().half()
    rows, first = Rows(every, [5, 3, 1, 0], [[0, 1], [6, 7]]), [torch.tensor([0, 1, 2]), torch.tensor([3, 0])]
    labels, found = torch.tensor([0, 1, 2, 0]), []
    for record in (None, operations):
        model = neural.build(METHOD, recipe, CLASSES, 0).train()
        optimiser = eager(torch.optim.AdamW)(model.parameters(), lr=1e-3, fused=True)

        def step(places_B: torch.Tensor, model: Any = model, optimiser: Any = optimiser) -> torch.Tensor:
            return train_step(METHOD, model, optimiser, [rows[places_B]], labels[places_B], recipe)

        take = Graphed(step, model, optimiser, first, record or Recording())
        losses = [float(take(torch.tensor(places))) for places in ([2, 0, 1], [3, 2], [3, 1, 0], [2, 1])]
        found.append((losses, model.state_dict()))
    assert_equal(*found)
    assert len(set(found[0][0])) == 4


FOLD = FoldTask(
    subject="a",
    train_clips=tuple("bcdefg"),
    train_labels=(0, 1, 2, 0, 1, 2),
    test_clips=("h", "i"),
    classes=CLASSES,
    seed=0,
)
RECIPE = variant(RECIPES["quick"], n=2, k=2, grid_frames=2, grid_factors=2, epochs=4, batch=4)
EVERY = torch.randn(8, 2, 2, 512, 1, 1, generator=torch.Generator().manual_seed(2)).relu().half()


def fold() -> FoldResult:
    result = METHOD.train([Rows(EVERY, range(2, 8))], [Rows(EVERY, range(2))], FOLD, RECIPE, None)
    return replace(result, seconds=0)


def test_a_fold_with_recorded_steps_is_the_fold_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "WORTH_GRAPHS", 7)  # of 8 steps
    monkeypatch.setattr(by_hand, "can_differentiate", lambda model: False)  # as on a GPU
    plain, recording = fold(), Recording()
    monkeypatch.setattr(graphs, "recorded", recording)
    assert fold() == plain and recording.sizes == []  # never on a CPU
    monkeypatch.setattr(graphs, "RECORDED_ON", ("cpu",))
    with_graphs = fold()
    assert recording.sizes == [4, 2] and recording.replayed[graphs.CHECKED :] == [4, 2] * 4
    assert with_graphs.losses == pytest.approx(plain.losses, rel=1e-3)  # the rate is of single precision
    monkeypatch.setattr(graphs, "recorded", refuse)
    with pytest.warns(UserWarning, match="cannot be recorded"):
        assert fold() == with_graphs
    monkeypatch.setattr(graphs, "WORTH_GRAPHS", 8)
    assert fold() == plain


class FromTheCpu(TorchDispatchMode):
    """Operations that make something on a GPU from a tensor of a CPU: CUDA cannot record them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        devices = [{one.device.type for one in tensors_in(values)} for values in ((args, kwargs), result)]
        if "cpu" in devices[0] and "cuda" in devices[1]:
            self.found.append(str(func))
        return result


def on_a_gpu(model: nn.Module) -> None:
    """Put fake tensors of a GPU, which have no values, in the place of weights and statistics."""
    for module in model.modules():
        tables: tuple[Any, ...] = (module._parameters, module._buffers)
        for held in tables:
            for key, value in held.items():
                if value is not None:
                    there = torch.empty(value.shape, dtype=value.dtype, device="cuda")
                    held[key] = nn.Parameter(there) if isinstance(value, nn.Parameter) else there


@pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="torch without CUDA has no such tensors")
@pytest.mark.parametrize(
    ("frozen", "shape"),
    [("layer3", (256, 14, 14)), pytest.param("none", (3, 224, 224), marks=pytest.mark.slow)],
)
def test_a_step_on_a_gpu_takes_nothing_from_the_cpu_and_waits_for_no_number(
    frozen: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's fake tensors raise where a number is read. Neither gradients nor fused kernels run on those of a GPU: the
    gradients are set, and the optimiser is that of the authors, which has no fused kernel."""
    for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
        monkeypatch.setattr(torch.optim.Optimizer, name, lambda optimiser: None, raising=False)  # asks the driver
    recipe = variant(RECIPES["official"], n=2, k=2, standardise=True, frozen=frozen)
    model = neural.build(METHOD, recipe, CLASSES, 0).train()
    with FakeTensorMode():
        on_a_gpu(model)
        optimiser, _ = METHOD.optimiser(model, recipe, 50)
        optimiser.param_groups[0]["foreach"] = True  # torch's choice on a GPU, which fake tensors do not get
        rows = Rows(torch.empty(9, 3, 3, *shape, dtype=torch.float16, device="cuda"), range(6), [[3, 4], [6, 7]])
        labels, places_B = (torch.zeros(count, dtype=torch.long, device="cuda") for count in (6, 4))

        def step() -> torch.Tensor:
            loss = METHOD.loss(model(rows[places_B].float()), labels[places_B], recipe, None)
            for weight in model.parameters():
                weight.grad = torch.empty_like(weight)
            optimiser.step()
            return loss.detach()

        rates = Rates(optimiser, torch.device("cuda"))
        rates.fill()
        with rates.in_tensors(), FromTheCpu() as from_the_cpu:
            assert step().device.type == "cuda"
            assert from_the_cpu.found == []
            places_B = torch.zeros(4, dtype=torch.long).to("cuda")
            assert from_the_cpu.found == ["aten._to_copy.default"]  # the test can fail
        optimiser.param_groups[0]["foreach"] = False
        with rates.in_tensors(), pytest.raises(DataDependentOutputException):
            step()  # so it can here: this form of the optimiser reads the rate
