"""ResNet-18 split at the frozen depth: what is computed once, and what every fold trains."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from aman.errors import UsageError

STAGES = ("layer1", "layer2", "layer3", "layer4")
FEATURE_CHANNELS = 512
"""D: channels after layer4, the length of one frame's feature."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OURS = Path(__file__).parent / "weights" / "trunk.safetensors"
"""The project's own weights, what `--trunk fer2013` means."""
RANDOM_TRUNK_SEED = 0
"""The `random` trunk is one fixed network, whatever the seed of the run: its features can be cached."""


def stages_after(frozen: str) -> tuple[str, ...]:
    """Residual stages that are trained when `frozen` is the last frozen one."""
    return STAGES[STAGES.index(frozen) + 1 :] if frozen in STAGES else STAGES


def load_trunk(weights: str) -> nn.Module:
    """torchvision's ResNet-18 without its classifier, with the weights that `weights` names.

    `fer2013` (ours), `random`, `imagenet` (torchvision's download), or a file: .safetensors, or a PyTorch checkpoint,
    whose keys may be under `state_dict` and carry the prefix `module.`. Weights may lack layer4, as ours do, nothing
    else: it is then one fixed random network, calibrated as the `random` trunk is.
    """
    from torchvision.models import ResNet18_Weights, resnet18

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_TRUNK_SEED)
        network = resnet18(weights=None)
    network.fc = nn.Identity()
    if weights == "random":
        _calibrate(network, network)
    elif weights == "imagenet":
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
        state = _read_weights(_file_of(weights))
        _load(network, state, weights)
        if not _holds_layer4(state):
            _calibrate(network, network.layer4)
    return network


def _file_of(weights: str) -> Path:
    return OURS if weights == "fer2013" else Path(weights)


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
            expected="`fer2013`, `random`, `imagenet`, or a file of ResNet-18 weights",
            fix="check the path",
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(
            got=f"{path}, which cannot be read as weights ({type(error).__name__})",
            expected=".safetensors, or a PyTorch checkpoint of tensors alone",
            fix="save the state_dict again; pickled programs are never loaded",
        ) from None
    entries: Any = state.get("state_dict", state) if isinstance(state, Mapping) else None
    if not isinstance(entries, Mapping):
        raise UsageError(
            got=f"{path}, which holds no table of tensors",
            expected="the state_dict of a ResNet-18",
            fix="save network.state_dict()",
        )
    named = {str(key).removeprefix("module."): value for key, value in entries.items()}
    return {key: value for key, value in named.items() if isinstance(value, torch.Tensor)}


def _load(network: nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    wanted = network.state_dict()
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    wrong = [key for key, value in state.items() if key in wanted and value.shape != wanted[key].shape]
    whole = any(key.startswith("layer4.") for key in state)
    needed = {key for key in wanted if whole or not key.startswith("layer4.")}
    needed = {key for key in needed if not key.endswith("num_batches_tracked")}
    absent = sorted(needed - set(state))
    if wrong or absent:
        raise UsageError(
            got=f"--trunk {name} with {len(absent)} tensors missing and {len(wrong)} of another shape"
            f" ({', '.join((absent + wrong)[:3])}, ...)",
            expected="weights of torchvision's ResNet-18, conv1 to layer3 at least",
            fix="give a ResNet-18 checkpoint",
        )
    network.load_state_dict({key: value for key, value in state.items() if key in wanted}, strict=False)


def has_layer4(weights: str) -> bool:
    """Whether these weights say anything about layer4."""
    return weights in ("random", "imagenet") or _holds_layer4(_read_weights(_file_of(weights)))


def fresh_layer4(network: nn.Module) -> None:
    """layer4 as torchvision starts it (He initialisation, fan out), from torch's current random state."""
    for module in network.layer4.modules():  # type: ignore[union-attr]
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def digest(network: nn.Module) -> str:
    """sha256 over names, types, shapes and bytes of every tensor: the network's identity in keys and runs."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        total.update(f"{name} {array.dtype} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def trunk_digest(weights: str) -> str:
    """Identity of a trunk in keys and runs: the digest of its tensors; of the recipe of what is random in it, because
    the last bits of a calibration differ from processor to processor."""
    if weights == "random":
        return hashlib.sha256(f"random ResNet-18, seed {RANDOM_TRUNK_SEED}, version 1".encode()).hexdigest()
    network = load_trunk(weights)
    if has_layer4(weights):
        return digest(network)
    network.layer4 = nn.Identity()
    return hashlib.sha256(f"{digest(network)}, random layer4, seed {RANDOM_TRUNK_SEED}, version 1".encode()).hexdigest()


class FrozenTrunk(nn.Module):
    """Images to cached features: conv1 to the frozen stage, batch norm on its running statistics, no gradient."""

    def __init__(self, network: nn.Module, frozen: str) -> None:
        super().__init__()
        kept = [stage for stage in STAGES if stage not in stages_after(frozen)]
        self.stages = nn.Sequential(stem(network), *(getattr(network, stage) for stage in kept))
        if frozen == "layer4":
            self.stages.append(nn.AdaptiveAvgPool2d(1))
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)
        super().train(False)

    def train(self, mode: bool = True) -> "FrozenTrunk":
        """Stays in eval mode: the features of one image depend on no other image."""
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
    mean = torch.tensor(IMAGENET_MEAN, device=image_BCHW.device)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=image_BCHW.device)[:, None, None]
    return (image_BCHW.float() / 255 - mean) / std


def features(trunk: FrozenTrunk, image_LKHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
    """`feature_LKCHW` fp16, a frame's K factors at a time, on the trunk's device."""
    device = next(trunk.parameters()).device
    rows = []
    with torch.inference_mode():
        for image_KHWC in image_LKHWC:
            image = torch.from_numpy(image_KHWC).to(device).permute(0, 3, 1, 2)
            rows.append(trunk(image).contiguous().to(torch.float16).cpu().numpy())
    array = np.stack(rows)
    if not np.isfinite(array).all():
        raise FloatingPointError("features beyond the range of fp16: the trunk's weights are not usable")
    return array
