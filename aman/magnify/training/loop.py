"""Training of the learned magnifier from scenes made as it goes: no pictures, no epochs, every step is new."""

import math
import time
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from aman.magnify.exposures import FACTORS, moving, still
from aman.magnify.learned import magnify_with
from aman.magnify.measure import acceptance, identity
from aman.magnify.network import Magnifier
from aman.magnify.training.scenes import Scenes, generator_for, scenes
from aman.magnify.training.settings import MagnifierTraining
from aman.magnify.weights import load_magnifier
from aman.schedules import resume_schedule, warm_up_then_cosine
from aman.worker import Worker

HELD_OUT = -1
"""Seed of the scenes that are never trained on."""
HELD_OUT_SCENES = 32


def start(seed: int) -> Magnifier:
    """The network before its first step: half of it hands the picture on, the other half is He's random one.

    There are no norms, so nothing else keeps the sum of eleven branches in range, nor twelve times a motion: every
    residual branch and the motion begin nearly silent. The shape begins with all of the picture in it: each colour's
    positive and negative part (a ReLU passes one sign), at each of the four places that become one pixel. From a
    shape of random features alone, the decoder takes a thousand steps more to find the picture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Magnifier()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    weights = dict(network.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            if name.endswith("conv2.weight") or name == "moved.0.weight":
                weight.mul_(0.1)
        weights["paint.3.weight"].mul_(0.3)
        colours, halve, shape = (weights[f"{name}.weight"] for name in ("encoder.0", "encoder.2.conv", "shape.0"))
        for weight, known in ((colours, 6), (halve, 24), (shape, 24)):
            weight.mul_(0.5)
            weight[:known] = 0
        for part in range(6):
            colours[part, part // 2, 3, 3] = 1 - 2 * (part % 2)
            for place in range(4):
                halve[6 * place + part, part, 1 + place // 2, 1 + place % 2] = 1
        for channel in range(24):
            shape[channel, channel, 1, 1] = 1
    return network


class Pair(nn.Module):
    """The network as it is trained: all images in one batch, the decoder in bfloat16.

    With copies in other colours it is trained as in the paper (section 3.3): onset and frame have one texture, the
    tinted frame and the tinted truth have one texture, and the frame and its tinted copy have one shape.
    """

    def __init__(self, network: Magnifier, *, half_decoder: bool) -> None:
        super().__init__()
        self.network, self.half_decoder = network, half_decoder

    def forward(self, made: Scenes, *, copies: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """The magnified images, and the sum of the three differences between latents (0 without `copies`)."""
        network, count = self.network, len(made.a_BCHW)
        images = [made.a_BCHW, made.b_BCHW, *([made.tinted_b_BCHW, made.tinted_truth_BCHW] if copies else [])]
        x = network.encoder(torch.cat(images).contiguous(memory_format=torch.channels_last))
        shapes = network.shape(x[: 3 * count]).split(count)
        textures = network.texture(x if copies else x[count:]).split(count)
        gain = (made.factor_B - 1).view(-1, 1, 1, 1)
        magnified = shapes[1] + gain * network.motion(shapes[0], shapes[1])
        apart = torch.zeros((), device=x.device)
        if copies:
            pairs = ((textures[0], textures[1]), (textures[2], textures[3]), (shapes[1], shapes[2]))
            apart = torch.stack([(one - other).abs().mean() for one, other in pairs]).sum()
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.half_decoder):
            return network.decode(textures[1 if copies else 0], magnified).float(), apart


def loss_of(image_BCHW: torch.Tensor, made: Scenes, unseen: float) -> torch.Tensor:
    """Mean absolute difference from the truth, less where it cannot be known."""
    weight = made.seen_B1HW + unseen * (1 - made.seen_B1HW)
    return ((image_BCHW - made.truth_BCHW).abs() * weight).sum() / (3 * weight.sum())


def train(worker: Worker, settings: MagnifierTraining) -> None:
    """Train to the last step, from the last checkpoint where there is one; the last report carries the network."""
    state = worker.resume() or {}
    begun, before, seconds = int(state.get("step", 0)), time.perf_counter(), float(state.get("seconds", 0.0))
    if begun == settings.steps:
        return
    torch.set_num_threads(1)  # the sums of several threads differ in their last bits
    first = load_magnifier(settings.start).requires_grad_(True) if settings.start else start(settings.seed)
    network = first.to(memory_format=torch.channels_last).to(worker.device)
    model = worker.wrap(Pair(network, half_decoder=settings.half_decoder))
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.rate)
    schedule = warm_up_then_cosine(optimiser, warm_up=settings.warmup, steps=settings.steps)
    if state:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        resume_schedule(schedule, state)
    total = torch.zeros((), device=worker.device)
    for step in range(begun, settings.steps):
        made = scenes(
            settings.batch,
            settings.small_crop if step < settings.small_steps else settings.crop,
            generator_for(settings.seed, step, worker.rank, worker.device),
            settings.scenes,
        )
        optimiser.zero_grad(set_to_none=True)
        image, apart = model(made, copies=settings.latents > 0)
        loss = loss_of(image, made, settings.unseen)
        (loss + settings.latents * apart).backward()
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimiser.step()
        rate = float(schedule.get_last_lr()[0])
        schedule.step()
        total += loss.detach()
        done = step + 1
        if done % settings.report_every and done < settings.steps:
            continue
        metrics = {
            "train/loss": float(total) / (done - last_report(step, settings)),
            "train/rate": rate,
        }
        total.zero_()
        if not math.isfinite(metrics["train/loss"]):
            raise FloatingPointError(f"the training loss at step {done} is no number: lower the rate")
        metrics["train/seconds"] = seconds + time.perf_counter() - before
        saved = None
        if worker.rank == 0 and (done % settings.save_every == 0 or done == settings.steps):
            metrics |= validate(network, settings)
            saved = {
                "step": done,
                "seconds": metrics["train/seconds"],
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
            }
        worker.report(done, metrics, saved)


def last_report(step: int, settings: MagnifierTraining) -> int:
    """Steps done at the report before this step's."""
    return step // settings.report_every * settings.report_every


def held_out(settings: MagnifierTraining, count: int = HELD_OUT_SCENES) -> Scenes:
    """The fixed scenes of validation, made on the CPU so that they are the same everywhere."""
    return scenes(count, settings.crop, generator_for(HELD_OUT, 0), settings.scenes)


@torch.no_grad()
def validate(network: Magnifier, settings: MagnifierTraining) -> dict[str, float]:
    """Mean peak signal-to-noise ratio (dB) of the held-out scenes, where the truth can be known."""
    made, device = held_out(settings), next(network.parameters()).device
    image = network(made.a_BCHW.to(device), made.b_BCHW.to(device), made.factor_B.to(device)).cpu().clamp(-1, 1)
    square = ((image - made.truth_BCHW) ** 2 * made.seen_B1HW).sum((1, 2, 3)) / (3 * made.seen_B1HW.sum((1, 2, 3)))
    return {"validation/psnr": float((10 * torch.log10(4 / square.clamp(min=1e-8))).mean())}


def judge(network: Magnifier) -> dict[str, float]:
    """Every score of `aman.magnify.measure` and of `aman.magnify.exposures`."""
    magnifier = partial(magnify_with, network)
    scores = {"factor 1/psnr": identity(magnifier)}
    for case, score in acceptance(magnifier).items():
        name = str(case).replace("=", " ")
        scores |= {f"{name}/psnr": score.psnr, f"{name}/ssim": score.ssim, f"{name}/gain": score.gain}
    for exposure, face in still(magnifier).items():
        name = f"still {exposure}".replace(",", "")
        scores |= {f"{name}/psnr k {factor}": psnr for factor, psnr in zip(FACTORS, face.psnr, strict=True)}
    for exposure, moved in moving(magnifier).items():
        name = f"moving {exposure}".replace(",", "")
        scores |= {f"{name}/psnr": moved.psnr, f"{name}/gain": moved.gain}
    return scores


@torch.no_grad()
def sheet(network: Magnifier, settings: MagnifierTraining, count: int = 6) -> npt.NDArray[np.uint8]:
    """Held-out scenes to look at, RGB: a row each of the onset, the frame, what was made of them, and the truth."""
    made = held_out(settings, count)
    image = network.cpu()(made.a_BCHW, made.b_BCHW, made.factor_B)
    columns = torch.cat([made.a_BCHW, made.b_BCHW, image, made.truth_BCHW], dim=3)
    pixels = ((columns.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    return pixels.reshape(-1, *pixels.shape[2:]).numpy()
