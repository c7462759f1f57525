"""Training of the face classifier whose trunk is kept, in one cycle of the learning rate.

Whatever is random is drawn from (seed, epoch, batch), so that a run that was interrupted ends with the same weights as
one that was not. Letters: `B` pictures of a batch, `M` of a set, `H W` their side, `E` classes.
"""

import math
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from aman.errors import UsageError
from aman.pretraining.augmentation import augment, generator_for
from aman.pretraining.classifier import accuracy, confusion, copy_of, forward, in_bf16, mean_recall, start_network
from aman.pretraining.faces import FaceSets, read_sets
from aman.pretraining.settings import Pretraining, full_size_from, size_of
from aman.schedules import resume_schedule, warm_up_then_cosine
from aman.training.eager import eager
from aman.training.neural import be_deterministic
from aman.worker import Worker

CHECKPOINT_SECONDS = 60.0
WARM_UP = 0.15
"""Part of the steps in which the rate rises."""
MOMENTUM = 0.9


def pretrain(worker: Worker, settings: Pretraining) -> None:
    """Train, choose the epoch on PublicTest, score it once on PrivateTest.

    Steps are the optimiser's; the line after the last has the scores, and its checkpoint the result (see `result`).
    """
    be_deterministic()
    state = worker.resume() or {}
    if "result" in state:
        return
    sets = read_sets(settings)
    per_epoch = len(sets.training_MHW) // settings.batch
    if per_epoch == 0 or settings.batch < 2 * worker.world_size:
        raise UsageError(
            got=f"batches of {settings.batch} for {len(sets.training_MHW)} pictures and {worker.world_size} workers",
            expected="a full batch of pictures, and two of a batch for each worker",
            fix="choose another --batch, or fewer --workers",
        )
    network = start_network(settings, len(sets.classes))
    network.load_state_dict(state.get("network", network.state_dict()))
    network = network.to(memory_format=torch.channels_last)
    bf16 = in_bf16(settings.precision, worker.device)
    model = worker.wrap(network)
    optimiser = eager(torch.optim.SGD)(
        model.parameters(), lr=settings.rate, momentum=MOMENTUM, nesterov=True, weight_decay=settings.weight_decay
    )
    total = per_epoch * settings.epochs
    schedule = warm_up_then_cosine(optimiser, warm_up=max(1, round(WARM_UP * total)), steps=total)
    if state:
        optimiser.load_state_dict(state["optimiser"])
        resume_schedule(schedule, state)
    images, labels = (torch.from_numpy(array).to(worker.device) for array in (sets.training_MHW, sets.training_ME))
    weights = class_weights(labels, settings)
    best: dict[str, Any] = state.get("best", {"public": -1.0})
    done = int(state.get("step", 0))
    clock = Clock(settings, per_epoch, done, float(state.get("seconds", 0.0)))
    loss_sum = torch.tensor(float(state.get("loss_sum", 0.0)), device=worker.device)
    for step in range(done, total):
        epoch, place = divmod(step, per_epoch)
        chosen = order_of(len(images), settings.seed, epoch)[place * settings.batch : (place + 1) * settings.batch]
        mine = slice(worker.rank, None, worker.world_size)
        x_BHW = augment(images[chosen], size_of(epoch, settings), settings, generator_for(settings.seed, epoch, place))
        model.train()
        logits_BE = forward(model, x_BHW[mine], bf16)
        soft_BE = labels[chosen][mine]
        loss = F.cross_entropy(logits_BE, soft_BE, weights, label_smoothing=settings.label_smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        loss_sum = loss.detach() + (loss_sum if place else 0.0)
        ends = place + 1 == per_epoch
        if worker.rank != 0 or not (ends or clock.due()):
            continue
        metrics = {"epoch": (step + 1) / per_epoch, "loss": float(loss_sum) / (place + 1)}
        if not math.isfinite(metrics["loss"]):
            raise FloatingPointError(f"the loss is {metrics['loss']} at step {step}: the rate may be too high")
        if ends:
            size = size_of(epoch, settings)
            public = accuracy(confusion(network, sets.public_MHW, sets.public_M, size, worker.device, bf16))
            metrics |= {"public": public, "size": float(size)}
            if epoch >= full_size_from(settings) and public > best["public"]:
                best = {"network": copy_of(network), "public": public, "epoch": epoch + 1}
        metrics |= {"seconds": clock.seconds, "remaining": clock.remaining(step + 1)}
        state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "best": best, "step": step + 1}
        state |= {"schedule": schedule.state_dict(), "loss_sum": float(loss_sum), "seconds": clock.seconds}
        worker.report(step + 1, metrics, state)
        clock.reported = time.perf_counter()
    if worker.rank == 0:
        scored = result(network, sets, settings.size, best, clock.seconds)
        worker.report(total + 1, dict(scored["scores"]), {"result": scored})


def result(network: nn.Module, sets: FaceSets, size: int, best: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The chosen network with its scores; here and nowhere else are the labels of PrivateTest looked at."""
    device = next(network.parameters()).device
    network.load_state_dict(best["network"])
    public_EE = confusion(network, sets.public_MHW, sets.public_M, size, device)
    private_EE = confusion(network, sets.private_MHW, sets.private_M, size, device)
    scores = {"public": accuracy(public_EE), "private": accuracy(private_EE)}
    scores |= {"public_recall": mean_recall(public_EE), "private_recall": mean_recall(private_EE)}
    scores |= {"epoch": float(best["epoch"]), "seconds": seconds}
    return {
        "network": copy_of(network),
        "scores": scores,
        "confusion": {"public": public_EE.tolist(), "private": private_EE.tolist()},
        "classes": list(sets.classes),
        "remarks": list(sets.remarks),
        "faces": sets.sha256,
        "counts": list(sets.counts),
    }


class Clock:
    """Time that training took, over all its parts, and an estimate of what is left: it goes by pixels."""

    def __init__(self, settings: Pretraining, per_epoch: int, done: int, seconds: float) -> None:
        self.begun = self.reported = time.perf_counter()
        self.before, self.done, self.per_epoch = seconds, done, per_epoch
        self.pixels = [size_of(epoch, settings) ** 2 for epoch in range(settings.epochs)]

    @property
    def seconds(self) -> float:
        """Time so far; that of interrupted parts counts up to their last checkpoint."""
        return self.before + time.perf_counter() - self.begun

    def due(self) -> bool:
        """Whether a checkpoint is."""
        return time.perf_counter() - self.reported >= CHECKPOINT_SECONDS

    def work(self, step: int) -> float:
        """Pixels of the first steps, a picture counted once a batch."""
        whole, rest = divmod(step, self.per_epoch)
        return sum(self.pixels[:whole]) * self.per_epoch + (self.pixels[whole] * rest if rest else 0)

    def remaining(self, step: int) -> float:
        """Seconds that are left after so many steps."""
        left = self.work(len(self.pixels) * self.per_epoch) - self.work(step)
        return left * (time.perf_counter() - self.begun) / (self.work(step) - self.work(self.done))


def class_weights(label_ME: torch.Tensor, settings: Pretraining) -> torch.Tensor:
    """Weights of the classes in the loss; their mean over the pictures is 1."""
    share = label_ME.sum(dim=0).clamp(min=1) / len(label_ME)
    weights = share ** -{"none": 0.0, "sqrt": 0.5, "full": 1.0}[settings.class_weights]
    return weights / (weights * share).sum()


def order_of(count: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of the training pictures in an epoch. What does not fill a batch at its end is left out."""
    return torch.randperm(count, generator=generator_for(seed, epoch))
