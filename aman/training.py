"""One fold: train on all subjects but one from cached features, predict the one that was left out.

The labels of the left-out clips never come here: what is predicted and every weight cannot depend on them.
"""

import hashlib
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from aman.backbone import Head, digest, load_trunk
from aman.models import AMAN
from aman.recipe import Recipe, Training


@dataclass(frozen=True, kw_only=True)
class FoldTask:
    """What a trainer is given of one fold. Labels are class numbers of the training clips only."""

    subject: str
    """The subject that is left out."""
    train_clips: tuple[str, ...]
    train_labels: tuple[int, ...]
    test_clips: tuple[str, ...]
    classes: int
    seed: int

    @property
    def clips(self) -> tuple[str, ...]:
        """All clips that the fold sees."""
        return self.train_clips + self.test_clips


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """Predictions of one fold, row by row in the order of `clips`."""

    subject: str
    clips: tuple[str, ...]
    probabilities: list[list[float]]
    """Softmax after the last epoch, clip by class."""
    alpha: list[list[list[float]]]
    """Attention over levels, clip by frame by level."""
    beta: list[list[float]]
    """Attention over frames, clip by frame."""
    epoch_classes: list[list[int]]
    """Predicted class after every epoch, epoch by clip: what the published scripts choose their best epoch from."""
    losses: list[float]
    """Mean training loss of every epoch."""
    weights_sha256: str
    """Digest of the trained network: equal digests, equal networks."""
    seconds: float
    """Time that the training took."""
    device: str = ""
    """What it ran on: `cpu`, or the name of the GPU. Empty where nobody wrote it down."""


class Keeper(Protocol):
    """Keeps what a fold would lose with its worker. A later state replaces the earlier one."""

    def load(self) -> dict[str, Any] | None:
        """The last state, tensors on the CPU; None where there is none."""

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state: tensors, numbers, text and collections of them."""


KEEP_SECONDS = 60.0
"""A fold that trains longer is kept at the end of an epoch, this long after it was kept last."""


def build(recipe: Recipe, classes: int, seed: int) -> AMAN:
    """The network of a fold before its first step, from the seed alone."""
    torch.manual_seed(seed)
    network = load_trunk(recipe.preparation.trunk)
    if recipe.model.layer4_init == "random":
        fresh_layer4(network)
    return AMAN(Head(network, recipe.preparation.frozen), recipe.model, classes)


def fresh_layer4(network: nn.Module) -> None:
    """layer4 as torchvision starts it (He initialisation, fan out), from torch's current random state."""
    for module in network.layer4.modules():  # type: ignore[union-attr]
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def fold_seed(seed: int, subject: str) -> int:
    """A seed of its own for every fold, whatever worker trains it and whatever came before."""
    return int.from_bytes(hashlib.sha256(f"{seed} {subject}".encode()).digest()[:4], "big")


def optimiser_for(
    model: nn.Module, training: Training, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Optimiser, and the schedule that is advanced after every step."""
    if training.optimiser == "rmsprop":
        optimiser: torch.optim.Optimizer = torch.optim.RMSprop(
            model.parameters(), lr=training.rate, eps=1e-8, weight_decay=training.weight_decay
        )
        per_epoch = max(1, steps // training.epochs)
        return optimiser, torch.optim.lr_scheduler.StepLR(optimiser, 30 * per_epoch, gamma=0.2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.rate, weight_decay=training.weight_decay)
    return optimiser, torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
    )


def batches(count: int, size: int, epochs: int, seed: int) -> Iterator[torch.Tensor]:
    """Positions of the training clips, batch by batch, shuffled anew every epoch."""
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield from torch.randperm(count, generator=order).split(size)


def train_fold(
    x_train: torch.Tensor, x_test: torch.Tensor, task: FoldTask, recipe: Recipe, keeper: Keeper | None = None
) -> FoldResult:
    """Train on `x_train` (M,N,K,C,H,W) and predict `x_test`, both as cached and already on the device they stay on.

    With a keeper, a long fold goes on from the last epoch that was kept, and comes out the same.
    Raises `FloatingPointError` when the loss is no number.
    """
    begun = kept_at = time.perf_counter()
    seed = fold_seed(task.seed, task.subject)
    device = x_train.device
    model = build(recipe, task.classes, seed).to(device).to(memory_format=torch.channels_last)
    labels = torch.tensor(task.train_labels, device=device)
    training = recipe.training
    per_epoch = math.ceil(len(labels) / training.batch)
    optimiser, schedule = optimiser_for(model, training, per_epoch * training.epochs)
    losses: list[float] = []
    epoch_classes: list[list[int]] = []
    total, done, before = 0.0, 0, 0.0
    kept = keeper.load() if keeper else None
    if kept is not None:
        model.load_state_dict(kept["model"])
        optimiser.load_state_dict(kept["optimiser"])
        schedule.load_state_dict(kept["schedule"])
        losses, epoch_classes, before = kept["losses"], kept["epoch_classes"], kept["seconds"]
        done = len(losses) * per_epoch
    order = batches(len(labels), training.batch, training.epochs, seed)
    for step, chosen in enumerate(islice(order, done, None), start=done + 1):
        model.train()
        loss = train_step(model, optimiser, x_train[chosen.to(device)], labels[chosen.to(device)])
        schedule.step()
        total += loss * len(chosen)
        if step % per_epoch == 0:
            losses.append(total / len(labels))
            total = 0.0
            probabilities, alpha, beta = predict(model, x_test, training.batch)
            epoch_classes.append(probabilities.argmax(1).tolist())
            now = time.perf_counter()
            if keeper and now - kept_at > KEEP_SECONDS and len(losses) < training.epochs:
                keeper.save(
                    {
                        "model": model.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "schedule": schedule.state_dict(),
                        "losses": losses,
                        "epoch_classes": epoch_classes,
                        "seconds": before + now - begun,
                    }
                )
                kept_at = time.perf_counter()
    if not np.isfinite(losses).all() or not np.isfinite(probabilities).all():
        raise FloatingPointError(f"the training loss of fold {task.subject} is no number: {losses[-1]}")
    return FoldResult(
        subject=task.subject,
        clips=task.test_clips,
        probabilities=probabilities.tolist(),
        alpha=alpha.tolist(),
        beta=beta.tolist(),
        epoch_classes=epoch_classes,
        losses=losses,
        weights_sha256=digest(model),
        seconds=before + time.perf_counter() - begun,
        device=torch.cuda.get_device_name(x_train.device) if x_train.is_cuda else "cpu",
    )


def train_step(
    model: nn.Module, optimiser: torch.optim.Optimizer, x_BNKCHW: torch.Tensor, labels_B: torch.Tensor
) -> float:
    """One step of plain cross-entropy in fp32; the loss before it."""
    optimiser.zero_grad(set_to_none=True)
    loss = F.cross_entropy(model(x_BNKCHW.float()).logits_BY, labels_B)
    loss.backward()
    optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def predict(model: AMAN, x_MNKCHW: torch.Tensor, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (M,Y), alpha (M,N,K) and beta (M,N), float64 of float32 values, on the running statistics."""
    model.eval()
    outputs = [model(part.float()) for part in x_MNKCHW.split(batch)]
    probabilities = torch.cat([F.softmax(out.logits_BY.double(), dim=1) for out in outputs])
    alpha = torch.cat([out.alpha_BNK for out in outputs])
    beta = torch.cat([out.beta_BN for out in outputs])
    return probabilities.cpu().numpy(), alpha.cpu().numpy(), beta.cpu().numpy()


def be_deterministic() -> None:
    """One thread and deterministic kernels: the same fold gives the same bits beside one neighbour or eight."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
