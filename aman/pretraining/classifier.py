"""The face classifier: ResNet-18 on grey faces; its input, its scores, and the files of its weights.

Letters: `B` pictures of a batch, `M` of a set, `H W` their side, `E` classes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from aman.backbone import CLASSIFIERS, computing_in, load_trunk, normalise
from aman.files import write_whole
from aman.plain_weights import COUNTS
from aman.pretraining.settings import Pretraining
from aman.resnet import ResNet18


def start_network(settings: Pretraining, classes: int) -> nn.Module:
    """ResNet-18 with a fresh classifier, and fresh throughout for `random`, from the seed."""
    torch.manual_seed(settings.seed)
    network = ResNet18(classes)
    if settings.start != "random":
        network.load_state_dict(load_trunk(settings.start).state_dict(), strict=False)
    return network


def as_input(x_BHW: torch.Tensor) -> torch.Tensor:
    """Grey in [0, 255] as the trunk sees a colour picture later, (B, 3, H, W), channels last."""
    return normalise(x_BHW[:, None].expand(-1, 3, -1, -1)).contiguous(memory_format=torch.channels_last)


def in_bf16(precision: str, device: torch.device) -> bool:
    """Whether the network computes in bf16 there: as told, or where `auto` finds instructions for it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.type == "cuda"


def forward(network: nn.Module, x_BHW: torch.Tensor, bf16: bool) -> torch.Tensor:
    """(B, E) logits in fp32 of grey pictures (B, H, W) in [0, 255]."""
    with computing_in("bf16" if bf16 else "fp32", x_BHW.device):
        logits_BE: torch.Tensor = network(as_input(x_BHW))
    return logits_BE.float()


@torch.no_grad()
def confusion(
    network: nn.Module, image_MHW: Any, label_M: Any, size: int, device: torch.device, bf16: bool = False
) -> torch.Tensor:
    """(E, E) pictures by true class (rows) and predicted class (columns), at `size`, without a change."""
    network.eval()
    images, predicted = torch.from_numpy(image_MHW), list[torch.Tensor]()
    for part_BHW in images.split(128):
        x = F.interpolate(part_BHW[:, None].to(device).float(), (size, size), mode="bilinear", align_corners=False)
        logits_BE = forward(network, x[:, 0], bf16)
        predicted.append(logits_BE.argmax(1).cpu())
    classes = logits_BE.shape[1]  # pyrefly: ignore[unbound-name]
    pairs = torch.from_numpy(label_M) * classes + torch.cat(predicted)
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def accuracy(confusion_EE: torch.Tensor) -> float:
    """Share of pictures that are right."""
    return float(confusion_EE.trace() / confusion_EE.sum())


def mean_recall(confusion_EE: torch.Tensor) -> float:
    """Mean over the classes that occur of the share that is right."""
    counts = confusion_EE.sum(dim=1)
    return float((confusion_EE.diagonal()[counts > 0] / counts[counts > 0]).mean())


def copy_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """The state on the CPU, untouched by what is trained on."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def write_weights(network: Mapping[str, torch.Tensor], out: Path, about: Mapping[str, Any]) -> None:
    """Write conv1 to layer4 as fp16, without the classifier; `about` goes along.

    Raises `FloatingPointError` for a weight beyond fp16's range.
    """
    from safetensors.torch import save

    metadata = {"about": json.dumps(about, sort_keys=True)}  # one entry: of several the order would be left to chance
    kept = {
        name: tensor.half().contiguous()
        for name, tensor in network.items()
        if not name.startswith(CLASSIFIERS) and not name.endswith(COUNTS)
    }
    if wrong := [name for name, tensor in kept.items() if not tensor.isfinite().all()]:
        raise FloatingPointError(f"beyond the range of fp16: {', '.join(wrong)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, save(kept, metadata))  # not `save_file`: that makes a file which no one else may read
