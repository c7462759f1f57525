"""One fold of a neural method: train on all subjects but one from cached arrays, predict the one that was left out.

The labels of the left-out clips never come here: what is predicted and every weight cannot depend on them.
"""

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from aman.backbone import digest
from aman.training import graphs
from aman.training.eager import eager
from aman.training.fitted import Fitted, of_network
from aman.training.fold import FoldResult, FoldTask, Keeper, Rows, fold_seed
from aman.training.graphs import random_state, restore_random

KEEP_SECONDS = 60.0
"""A fold that trains longer is kept at the end of an epoch, this long after it was kept last."""
TIMED_STEPS = 5
"""Training steps that are timed for an estimate."""


class Neural(Protocol):
    """What this runner asks of a neural method; `aman.training.base.Neural` says what each of these is."""

    name: ClassVar[str]
    timed_clips: ClassVar[int]

    def shapes(self, settings: Any) -> tuple[tuple[int, ...], ...]: ...
    def build(self, settings: Any, classes: int, seed: int) -> Any: ...
    def begin(self, model: Any, settings: Any, x_train: Sequence[Any]) -> None: ...
    def ahead(self, model: Any, settings: Any, x: Sequence[Any]) -> Sequence[Any]: ...
    def read(self, output: Any) -> tuple[Any, dict[str, Any]]: ...
    def loss(self, output: Any, labels_B: Any, settings: Any, counts_Y: Any) -> Any: ...
    def backward(self, model: Any, settings: Any, x: Sequence[Any], labels_B: Any, counts_Y: Any) -> Any: ...
    def optimiser(self, model: Any, settings: Any, steps: int) -> tuple[Any, Any]: ...
    def order(self, settings: Any, labels: Sequence[int]) -> Sequence[int] | None: ...
    def cost(self, settings: Any, clips: int) -> float: ...


def build(method: Neural, settings: Any, classes: int, seed: int) -> nn.Module:
    """The network of a fold before its first step, from the seed alone, in the layout in which it is trained."""
    torch.manual_seed(seed)
    model = method.build(settings, classes, seed)
    return model.to(memory_format=torch.contiguous_format if _overruns(model) else torch.channels_last)


def _overruns(model: nn.Module) -> bool:
    """Whether channels_last would have oneDNN write beyond the gradients of a convolution, which ends the process.

    Seen with torch 2.15 on processors with AVX2 and without AVX-512: kernels of one pixel, strided, on fewer than 8
    channels.
    """
    convolutions = (one for one in model.modules() if isinstance(one, nn.Conv2d))
    return any(max(one.kernel_size) == 1 < max(one.stride) and one.in_channels < 8 for one in convolutions)


def adamw_cosine(model: nn.Module, rate: float, weight_decay: float, steps: int) -> tuple[Any, Any]:
    """AdamW, and a cosine from `rate` to 0 over the steps.

    torch's `CosineAnnealingLR` computes each rate from the one before, which differs in its last bits, and would
    change the weights of every fold that was ever trained.
    """
    optimiser = eager(torch.optim.AdamW)(model.parameters(), lr=rate, weight_decay=weight_decay, fused=fused(model))
    return optimiser, torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
    )


def rmsprop_steps(model: nn.Module, rate: float, weight_decay: float, steps_an_epoch: int) -> tuple[Any, Any]:
    """The AMAN authors' optimiser: RMSprop, a fifth of the rate after every 30 epochs."""
    optimiser = eager(torch.optim.RMSprop)(model.parameters(), lr=rate, eps=1e-8, weight_decay=weight_decay)
    return optimiser, torch.optim.lr_scheduler.StepLR(optimiser, 30 * steps_an_epoch, gamma=0.2)


def adam(model: nn.Module, rate: float) -> Any:
    """Adam as torch has it, with nothing but a rate."""
    return eager(torch.optim.Adam)(model.parameters(), lr=rate, fused=fused(model))


def sgd(model: nn.Module, rate: float, weight_decay: float = 0) -> Any:
    """SGD with a momentum of 0.9."""
    own = {"weight_decay": weight_decay, "fused": fused(model)}
    return eager(torch.optim.SGD)(model.parameters(), lr=rate, momentum=0.9, **own)


def fused(model: nn.Module) -> bool | None:
    """Whether an optimiser changes all weights in one kernel: on a GPU, where torch leaves it to others. None: torch's
    own choice, which folds on a CPU were trained with."""
    return next(model.parameters()).is_cuda or None


def batches(
    count: int, size: int, epochs: int, seed: int, order: Sequence[int] | None = None, device: Any = "cpu"
) -> Iterator[torch.Tensor]:
    """Positions of the training clips, batch by batch, in a new order every epoch, or always in this one. They come to
    the device an epoch at a time."""
    drawn = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        positions = torch.randperm(count, generator=drawn) if order is None else torch.tensor(order)
        yield from positions.to(device).split(size)


def train_fold(
    method: Neural,
    x_train: Sequence[torch.Tensor | Rows],
    x_test: Sequence[torch.Tensor | Rows],
    task: FoldTask,
    settings: Any,
    keeper: Keeper | None = None,
) -> FoldResult:
    """Train on `x_train` and predict `x_test`: for each input an array (M, ...) as it is cached, or its `Rows`, on its
    device.

    With a keeper, a long fold goes on from the last epoch that was kept, and comes out the same; it hears of the
    weights at the end if it wants them. Where the task leaves no clip out, nothing is predicted.
    Raises `FloatingPointError` when the loss is no number.
    """
    begun = kept_at = time.perf_counter()
    seed = fold_seed(task.seed, task.subject)
    device = x_train[0].device
    model = build(method, settings, task.classes, seed).to(device)
    method.begin(model, settings, x_train)
    x_train = method.ahead(model, settings, x_train)
    x_test = method.ahead(model, settings, x_test) if task.test_clips else x_test
    labels = torch.tensor(task.train_labels, device=device)
    counts_Y = torch.bincount(labels.cpu(), minlength=task.classes).to(device)
    epochs, batch = settings.training.epochs, settings.training.batch
    per_epoch = math.ceil(len(labels) / batch)
    optimiser, schedule = method.optimiser(model, settings, per_epoch * epochs)
    losses: list[float] = []
    epoch_classes: list[list[int]] = []
    done, before = 0, 0.0
    total_loss = torch.zeros((), dtype=torch.float64, device=device)
    probabilities, extras = np.empty((0, task.classes)), dict[str, np.ndarray]()
    kept = keeper.load() if keeper else None
    if kept is not None:
        model.load_state_dict(kept["model"])
        optimiser.load_state_dict(kept["optimiser"])
        if schedule is not None:
            schedule.load_state_dict(kept["schedule"])
        restore_random(kept.get("random"), device)
        losses, epoch_classes, before = kept["losses"], kept["epoch_classes"], kept["seconds"]
        done = len(losses) * per_epoch

    def one_step(places_B: torch.Tensor) -> torch.Tensor:
        x = [one[places_B] if isinstance(one, Rows) else one.index_select(0, places_B) for one in x_train]
        return train_step(method, model, optimiser, x, labels[places_B], settings, counts_Y)

    own_order = method.order(settings, task.train_labels)
    take: graphs.Step = one_step
    if device.type in graphs.RECORDED_ON and per_epoch * epochs > graphs.WORTH_GRAPHS:
        epoch = list(batches(len(labels), batch, 1, seed, own_order, device))
        first = [*islice(cycle(epoch), graphs.CHECKED - 1), epoch[-1]]
        take = graphs.Graphed(one_step, model.train(), optimiser, first)
    order = batches(len(labels), batch, epochs, seed, own_order, device)
    model.train()
    for step, chosen in enumerate(islice(order, done, None), start=done + 1):
        loss = take(chosen)
        if schedule is not None:
            schedule.step()
        total_loss += loss.double() * len(chosen)
        if step % per_epoch == 0:
            losses.append(float(total_loss) / len(labels))
            total_loss.zero_()
            if task.test_clips:
                probabilities, extras = predict(method, model, x_test, batch)
                epoch_classes.append(probabilities.argmax(1).tolist())
                model.train()
            now = time.perf_counter()
            if keeper and now - kept_at > KEEP_SECONDS and len(losses) < epochs:
                keeper.save(
                    {
                        "model": model.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "schedule": {} if schedule is None else schedule.state_dict(),
                        "random": random_state(device),
                        "losses": losses,
                        "epoch_classes": epoch_classes,
                        "seconds": before + now - begun,
                    }
                )
                kept_at = time.perf_counter()
    if not np.isfinite(losses).all() or not np.isfinite(probabilities).all():
        raise FloatingPointError(f"the training loss of fold {task.subject} is no number: {losses[-1]}")
    if not task.test_clips and not all(one.isfinite().all() for one in model.state_dict().values()):
        raise FloatingPointError("the last step of the training made weights that are no numbers")
    if keeper and keeper.wants_weights:
        keeper.fitted(of_network(model.state_dict(), method.name))
    return FoldResult(
        subject=task.subject,
        clips=task.test_clips,
        probabilities=probabilities.tolist(),
        extras={name: values.tolist() for name, values in extras.items()},
        epoch_classes=epoch_classes,
        losses=losses,
        weights_sha256=digest(model),
        seconds=before + time.perf_counter() - begun,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    )


def train_step(
    method: Neural,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    x: Sequence[torch.Tensor],
    labels_B: torch.Tensor,
    settings: Any = None,
    counts_Y: torch.Tensor | None = None,
) -> torch.Tensor:
    """One step of the method's loss; the loss before it, on its device: a GPU need not be waited for. `counts_Y`:
    training clips of each class. Inputs and the loss are fp32; what is between is the network's business."""
    optimiser.zero_grad(set_to_none=True)
    loss = method.backward(model, settings, [one.float() for one in x], labels_B, counts_Y)
    optimiser.step()
    return loss


@torch.no_grad()
def predict(
    method: Neural, model: nn.Module, x: Sequence[torch.Tensor | Rows], batch: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Probabilities (M,Y), float64 of float32 logits, and the extras by name, on the running statistics."""
    model.eval()
    parts = zip(*(one.split(batch) for one in x), strict=True)
    outputs = [method.read(model(*(one.float() for one in part))) for part in parts]
    probabilities = torch.cat([F.softmax(logits_BY.double(), dim=1) for logits_BY, _ in outputs])
    extras = {name: torch.cat([extra[name] for _, extra in outputs]).cpu().numpy() for name in outputs[0][1]}
    return probabilities.cpu().numpy(), extras


def step_seconds(method: Neural, settings: Any, classes: int) -> tuple[float, ...]:
    """Seconds of each of some training steps here, for a unit of the method's cost. Arrays are random."""
    be_deterministic()
    training = settings.training
    batch = min(training.batch, method.timed_clips)
    x: Sequence[Any] = [torch.rand(batch, *shape) for shape in method.shapes(settings)]
    model = build(method, settings, classes, 0).train()
    x = method.ahead(model, settings, x)
    optimiser, _ = method.optimiser(model, settings, training.epochs)
    labels = torch.arange(batch) % classes
    counts_Y = torch.bincount(labels, minlength=classes)
    train_step(method, model, optimiser, x, labels, settings, counts_Y)
    units = method.cost(settings, batch) / training.epochs
    seconds = []
    for _ in range(TIMED_STEPS):
        begun = time.perf_counter()
        train_step(method, model, optimiser, x, labels, settings, counts_Y)
        seconds.append((time.perf_counter() - begun) / units)
    return tuple(seconds)


def be_deterministic() -> None:
    """One thread and deterministic kernels: a fold gives equal bits beside one neighbour or eight.

    On a GPU, too: cuDNN and torch take deterministic kernels only and raise `RuntimeError` where there is none, cuDNN
    chooses its kernels by a rule and not by a trial, and cuBLAS has a fixed workspace. cuBLAS reads the variable of its
    workspace when a process first uses it, so call this before anything computes on a GPU.

    `torch.use_deterministic_algorithms` would import torch.compile's part for one more flag, which concerns compiled
    networks only: 900 modules and a second of computing in each process.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")
    # New tensors would be filled first, to show kernels that read them: no result is another one without.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyrefly: ignore[missing-attribute]
    torch.backends.cudnn.benchmark = False


@contextmanager
def fastest_kernels() -> Iterator[None]:
    """Within it a GPU takes the kernels that a trial finds fastest, deterministic or not; after it, those of before."""
    before = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        torch.backends.cudnn.benchmark = before[1]


def state_of(fitted: Fitted) -> dict[str, torch.Tensor]:
    """The state of a network whose arrays were kept; the tensors are the caller's own."""
    return {name: torch.from_numpy(np.array(array)) for name, array in fitted.arrays.items()}
