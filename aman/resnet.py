"""ResNet-18 (He et al., CVPR 2016) as torchvision builds it: equal names of tensors, equal weights from a seed, equal
sums. Importing torchvision for it would bring 1,100 more modules into each process that needs the network."""

import torch
from torch import nn

BLOCKS = 2
"""Residual blocks of each stage."""


class Block(nn.Module):
    """Two convolutions of 3x3, and the input added to what they make; `x_BCHW` to `y_BCHW`."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        # torchvision makes the shortcut first: the random state that each layer starts from depends on the order.
        shortcut = None
        if stride != 1 or inputs != width:
            shortcut = nn.Sequential(_convolution(inputs, width, 1, stride), nn.BatchNorm2d(width))
        self.conv1 = _convolution(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _convolution(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        y_BCHW = self.relu(self.bn1(self.conv1(x_BCHW)))
        y_BCHW = self.bn2(self.conv2(y_BCHW))
        y_BCHW += x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        return self.relu(y_BCHW)


class ResNet18(nn.Module):
    """Images `x_BCHW` to class scores `logits_BY`, untrained, from torch's current random state."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = _convolution(3, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _stage(64, 64, 1)
        self.layer2 = _stage(64, 128, 2)
        self.layer3 = _stage(128, 256, 2)
        self.layer4 = _stage(256, 512, 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        y_BCHW = self.maxpool(self.relu(self.bn1(self.conv1(x_BCHW))))
        y_BCHW = self.layer4(self.layer3(self.layer2(self.layer1(y_BCHW))))
        return self.fc(torch.flatten(self.avgpool(y_BCHW), 1))


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=size, stride=stride, padding=size // 2, bias=False)


def _stage(inputs: int, width: int, stride: int) -> nn.Sequential:
    first = Block(inputs, width, stride)
    return nn.Sequential(first, *(Block(width, width, 1) for _ in range(1, BLOCKS)))
