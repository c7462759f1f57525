"""ResNet-18 split at the frozen depth: what is computed once, and what every fold trains."""

import copy
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from aman.content import digest_of
from aman.errors import UsageError
from aman.plain_weights import RANDOM_TRUNK_SEED, trunk_file
from aman.resnet import ResNet18
from aman.tensors import as_weights, read_tensors

STAGES = ("layer1", "layer2", "layer3", "layer4")
WIDTH = 64
"""Channels of the first convolution and of layer1."""
CLASSIFIERS = ("fc.", "classifier.", "head.")
"""Beginnings of the names of what a classifier adds to a trunk: such tensors have no part in it."""
FEATURE_CHANNELS = 512
"""D: channels after layer4, the length of one frame's feature."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def stages_after(frozen: str) -> tuple[str, ...]:
    """Residual stages that are trained when `frozen` is the last frozen one."""
    return STAGES[STAGES.index(frozen) + 1 :] if frozen in STAGES else STAGES


def load_trunk(weights: str) -> nn.Module:
    """ResNet-18 without its classifier, with the weights that `weights` names; a network of the caller's own.

    `fer2013` (ours), `fer2013-96` (our first), `random`, `imagenet` (torchvision's download), or a file: .safetensors,
    or a PyTorch checkpoint, in any of the wrappings of `aman.tensors`. Weights may lack layer4, as our first do,
    and nothing else: it is then one fixed random network, calibrated as the `random` trunk is. Every tensor but a
    classifier's must be one of ResNet-18's: weights of another network are refused and never used in part.

    The process keeps the trunk that it loaded last, for the next fold: reading and calibrating it takes a fifth of a
    second, and a copy a tenth of that. A file that has changed is read again.
    """
    return copy.deepcopy(_loaded(weights, _state_of(trunk_file(weights))))


def _state_of(path: Path) -> tuple[int, ...]:
    """What changes when the file does."""
    if not path.is_file():
        return ()
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=1)
def _loaded(weights: str, state_of_file: tuple[int, ...]) -> nn.Module:
    """The trunk of these weights. Nobody may change it: `load_trunk` hands out copies."""
    del state_of_file
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_TRUNK_SEED)
        network = ResNet18()
    network.fc = nn.Identity()  # pyrefly: ignore[bad-assignment]
    if weights == "random":
        _calibrate(network, network)
    elif weights == "imagenet":
        from torchvision.models import ResNet18_Weights

        try:
            state = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
        except Exception as error:
            raise UsageError(
                got=f"--trunk imagenet, but the weights cannot be fetched ({error})",
                expected="a connection, or the file in torch's own cache folder",
                fix="fetch resnet18-f37072fd.pth elsewhere and give it as --trunk FILE",
            ) from None
        _load(network, state, weights)
    else:
        state = _read_weights(trunk_file(weights))
        _load(network, state, weights)
        if not _holds_layer4(state):
            _calibrate(network, network.layer4)
    return network


def _holds_layer4(state: Mapping[str, torch.Tensor]) -> bool:
    return any(key.startswith("layer4.") for key in state)


def _calibrate(network: nn.Module, untrained: nn.Module) -> None:
    """Give the untrained part the running statistics of noise, so that no stage drifts out of fp16's range.

    No picture of any database is used: what is frozen must not know the subject that is left out.
    """
    generator = torch.Generator().manual_seed(RANDOM_TRUNK_SEED)
    coarse = torch.randn(8, 3, 28, 28, generator=generator)
    noise = nn.functional.interpolate(coarse, size=(112, 112), mode="bilinear", align_corners=False)
    norms = [module for module in untrained.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the sums of several threads differ in their last bits
    network.eval()
    untrained.train()
    with torch.no_grad():
        network(noise)
    network.train()
    torch.set_num_threads(threads)
    for norm in norms:
        norm.momentum = 0.1
        norm.num_batches_tracked = torch.tensor(0)


def _read_weights(path: Path) -> Mapping[str, torch.Tensor]:
    if not path.is_file():
        raise UsageError(
            got=f"--trunk {path}, which is no file",
            expected="`fer2013`, `fer2013-96`, `random`, `imagenet`, or a file of ResNet-18 weights",
            fix="check the path",
        )
    state, _ = read_tensors(path, "--trunk")
    return {key: tensor for key, tensor in state.items() if not key.startswith(CLASSIFIERS)}


def _load(network: nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    """Give the network these weights, all of them. Raises `UsageError` for weights that are not its own."""
    of = resnet_of(state)
    if of not in ("", "ResNet-18"):
        raise UsageError(
            got=f"--trunk {name}, which holds a {of}",
            expected="weights of torchvision's ResNet-18, conv1 to layer3 at least",
            fix="give a ResNet-18 checkpoint",
        )
    kept = {key: tensor for key, tensor in state.items() if not key.startswith(CLASSIFIERS)}
    wanted = network.state_dict()
    if not _holds_layer4(kept):
        wanted = {key: tensor for key, tensor in wanted.items() if not key.startswith("layer4.")}
    what = "weights of torchvision's ResNet-18, conv1 to layer3 at least"
    network.load_state_dict(as_weights(kept, wanted, option="--trunk", name=name, what=what), strict=False)


def resnet_of(state: Mapping[str, torch.Tensor]) -> str:
    """Which ResNet has tensors of these names and shapes: `ResNet-34`, `wide ResNet-50`, `ResNet-18 of width 128`.
    Empty where they are no ResNet's."""
    blocks = {stage: {key.split(".")[1] for key in state if key.startswith(f"{stage}.")} for stage in STAGES}
    stem, first = state.get("conv1.weight"), state.get("layer1.0.conv1.weight")
    if stem is None or first is None or stem.ndim != 4 or first.ndim != 4:
        return ""
    counts = tuple(len(found) for found in blocks.values())
    deep = "layer1.0.conv3.weight" in state
    known: dict[tuple[bool, tuple[int, ...]], str] = {
        (False, (2, 2, 2, 2)): "ResNet-18",
        (False, (2, 2, 2, 0)): "ResNet-18",
        (False, (3, 4, 6, 3)): "ResNet-34",
        (True, (3, 4, 6, 3)): "ResNet-50",
        (True, (3, 4, 23, 3)): "ResNet-101",
        (True, (3, 8, 36, 3)): "ResNet-152",
    }
    name = known.get((deep, counts), f"ResNet of {'-'.join(map(str, counts))} blocks")
    middle = state.get("layer1.0.conv2.weight")
    if deep and middle is not None and middle.ndim == 4 and middle.shape[1] < first.shape[0]:
        return f"ResNeXt in the form of {name}"
    if stem.shape[0] != WIDTH:
        return f"{name} of width {stem.shape[0]}"
    return f"wide {name}" if first.shape[0] != WIDTH else name


def holds_layer4(weights: str) -> bool:
    """Whether these weights say anything about layer4; `aman.digests.has_layer4` reads most files without torch."""
    return weights in ("random", "imagenet") or _holds_layer4(_read_weights(trunk_file(weights)))


def fresh_layer4(network: nn.Module, *, as_authors: bool = False) -> None:
    """Fresh weights of layer4 from torch's current random state: as torchvision starts them (He initialisation, fan
    out), or as the code of AMAN's authors does (PyTorch's own start of a convolution, uniform)."""
    for module in network.layer4.modules():  # pyrefly: ignore[missing-attribute]
        if isinstance(module, nn.Conv2d) and as_authors:
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def digest(network: nn.Module) -> str:
    """`aman.content.digest_of` every tensor: the network's identity in keys and runs."""
    state = network.state_dict()
    return digest_of({name: tensor.detach().cpu().contiguous().numpy() for name, tensor in state.items()})


def tensors_digest(weights: str) -> str:
    """`digest` of the trunk that `load_trunk` gives, without a layer4 that the weights lack."""
    network = load_trunk(weights)
    if not holds_layer4(weights):
        network.layer4 = nn.Identity()
    return digest(network)


class FrozenTrunk(nn.Module):
    """Images to cached features: conv1 to the frozen stage, no gradient.

    Batch norm takes its running statistics with `bn="running"`, so that the features of one image depend on no other
    image. With `bn="batch"` it takes those of the images that are given together, as the code of AMAN's authors does
    with the k copies of a frame.
    """

    def __init__(self, network: nn.Module, frozen: str, bn: str = "running") -> None:
        super().__init__()
        kept = [stage for stage in STAGES if stage not in stages_after(frozen)]
        self.stages = nn.Sequential(stem(network), *(getattr(network, stage) for stage in kept))
        if frozen == "layer4":
            self.stages.append(nn.AdaptiveAvgPool2d(1))
        if bn == "batch":
            for norm in (module for module in self.modules() if isinstance(module, nn.BatchNorm2d)):
                norm.running_mean = norm.running_var = None
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)
        super().train(False)

    def train(self, mode: bool = True) -> "FrozenTrunk":
        """Stays in eval mode."""
        del mode
        return self

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        return self.stages(normalise(image_BCHW))


class Head(nn.Module):
    """The trained end of the trunk: features of the frozen depth to one vector, `x_BCHW -> f_BD`.

    With nothing frozen it starts at the images. Batch norm is chosen with `bn` by `PositionNorm`, see there.
    """

    def __init__(self, network: nn.Module, frozen: str) -> None:
        super().__init__()
        self.stem = nn.Sequential(Normalise(), stem(network)) if frozen == "none" else nn.Identity()
        self.stages = nn.Sequential(*(getattr(network, stage) for stage in stages_after(frozen)))

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return self.stages(self.stem(x_BCHW)).mean(dim=(2, 3))


class Normalise(nn.Module):
    """`normalise` as a layer."""

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        return normalise(image_BCHW)


def stem(network: nn.Module) -> nn.Sequential:
    """Everything before layer1."""
    return nn.Sequential(*(network.get_submodule(name) for name in ("conv1", "bn1", "relu", "maxpool")))


def normalise(image_BCHW: torch.Tensor) -> torch.Tensor:
    """[0, 255] to ImageNet's mean and deviation, in float32."""
    mean, std = (per_channel(values, image_BCHW.device) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (image_BCHW.float() / 255 - mean) / std


def per_channel(values: Iterable[float], device: torch.device) -> torch.Tensor:
    """These values as (C, 1, 1), made on the device: CUDA cannot record a step that copies numbers from the CPU."""
    return torch.cat([torch.full((1, 1, 1), value, device=device) for value in values])


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """Within it convolutions and products are `fp32` or `bf16` on this device; weights, and statistics, scale and shift
    of batch norms stay fp32. On a GPU the convolutions of `fp32` are TF32, torch's default, and its products are true
    fp32: `torch.backends.cudnn.allow_tf32` and `torch.backends.cuda.matmul.allow_tf32` are left as torch has them."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def features(
    trunk: FrozenTrunk, image_LKHWC: npt.NDArray[np.uint8], precision: str = "fp32"
) -> npt.NDArray[np.float16]:
    """`feature_LKCHW` fp16, a frame's K factors at a time, on the trunk's device."""
    device = next(trunk.parameters()).device
    rows = []
    with torch.inference_mode():
        for image_KHWC in image_LKHWC:
            image = torch.from_numpy(image_KHWC).to(device).permute(0, 3, 1, 2)
            with computing_in(precision, device):
                rows.append(trunk(image).contiguous().to(torch.float16).cpu().numpy())
    array = np.stack(rows)
    if not np.isfinite(array).all():
        raise FloatingPointError("features beyond the range of fp16: the trunk's weights are not usable")
    return array
