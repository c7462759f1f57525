"""The learned magnifier's network (Oh et al., "Learning-based video motion magnification", ECCV 2018).

An image becomes a texture, a quarter of its size, and a shape, half of its size. Motion is a difference of shapes; it
is multiplied, added to the frame's shape, and the decoder paints the frame's texture in the moved shape. Images are
RGB in [-1, 1], `B C H W` with C 3 and H, W multiples of 4. There are no biases and no norms, so that all of the
manipulator is positively homogeneous: its output is **exactly linear in (factor - 1)** for factors from 1 up, and
only the decoder has to run per factor. The factor is the total gain: 1 is no magnification (the paper's alpha is
factor - 1).
"""

import torch
from torch import nn

from aman.plain_weights import Padding


def conv(wide: int, out: int, size: int) -> nn.Conv2d:
    """A convolution without bias that keeps the size, mirrored at the border."""
    return nn.Conv2d(wide, out, size, padding=size // 2, padding_mode="reflect", bias=False)


class Halve(nn.Module):
    """A 3x3 convolution of stride 2. Weights only suit the padding they were trained with, by 12 dB.

    `reflect` mirrors one pixel at every side; `tensorflow` adds a row of zeros below and a column at the right, what
    TensorFlow's SAME does with even sides.
    """

    def __init__(self, wide: int, out: int, padding: Padding) -> None:
        super().__init__()
        self.conv = nn.Conv2d(wide, out, 3, stride=2, bias=False)
        self.padding = padding

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        if self.padding == "tensorflow":
            return self.conv(nn.functional.pad(x_BCHW, (0, 1, 0, 1)))
        return self.conv(nn.functional.pad(x_BCHW, (1, 1, 1, 1), mode="reflect"))


class Residual(nn.Module):
    """`x + conv(ReLU(conv(x)))`, without an activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3)
        self.conv2 = conv(channels, channels, 3)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return x_BCHW + self.conv2(torch.relu(self.conv1(x_BCHW)))


def residuals(channels: int, count: int) -> nn.Sequential:
    """`count` residual blocks, one after the other."""
    return nn.Sequential(*(Residual(channels) for _ in range(count)))


class Magnifier(nn.Module):
    """Encoder, manipulator and decoder: 918,928 weights, and 9,216 more with the convolution of the shape.

    `shape_conv`: whether the shape has a 3x3 convolution before its blocks; the paper's network has none, the PyTorch
    ports have one. `padding`: see `Halve`.
    """

    def __init__(self, *, padding: Padding = "reflect", shape_conv: bool = True) -> None:
        super().__init__()
        self.padding: Padding = padding
        self.shape_conv = shape_conv
        relu, twice = nn.ReLU(), nn.Upsample(scale_factor=2, mode="nearest")
        self.encoder = nn.Sequential(conv(3, 16, 7), relu, Halve(16, 32, padding), relu, residuals(32, 3))
        self.texture = nn.Sequential(Halve(32, 32, padding), relu, residuals(32, 2))
        first = (conv(32, 32, 3), relu) if shape_conv else (nn.Identity(), nn.Identity())
        self.shape = nn.Sequential(*first, residuals(32, 2))
        self.difference = nn.Sequential(conv(32, 32, 7), relu)
        """g of the paper: what is multiplied."""
        self.moved = nn.Sequential(conv(32, 32, 3), residuals(32, 1))
        """h of the paper: what becomes of it before it is added."""
        self.enlarge = nn.Sequential(twice, conv(32, 32, 3), relu)
        self.blocks = residuals(64, 9)
        self.paint = nn.Sequential(twice, conv(64, 32, 3), relu, conv(32, 3, 7))

    def encode(self, image_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Texture (32 channels, H/4) and shape (32 channels, H/2)."""
        x = self.encoder(image_BCHW)
        return self.texture(x), self.shape(x)

    def motion(self, shape_a_BCHW: torch.Tensor, shape_b_BCHW: torch.Tensor) -> torch.Tensor:
        """What one unit of (factor - 1) adds to b's shape: the magnified shape is `shape_b + (factor - 1) * motion`."""
        return self.moved(self.difference(shape_b_BCHW - shape_a_BCHW))

    def decode(self, texture_BCHW: torch.Tensor, shape_BCHW: torch.Tensor) -> torch.Tensor:
        """The image (H) of a texture (H/4) in a shape (H/2); may leave [-1, 1] a little."""
        return self.paint(self.blocks(torch.cat([self.enlarge(texture_BCHW), shape_BCHW], dim=1)))

    def forward(self, a_BCHW: torch.Tensor, b_BCHW: torch.Tensor, factor_B: torch.Tensor) -> torch.Tensor:
        """`b` with `factor_B` times its displacement from `a`, in the paper's own order (equation 3): g, times, h."""
        _, shape_a = self.encode(a_BCHW)
        texture_b, shape_b = self.encode(b_BCHW)
        gain = (factor_B - 1).to(shape_b.dtype).view(-1, 1, 1, 1)
        return self.decode(texture_b, shape_b + self.moved(gain * self.difference(shape_b - shape_a)))
