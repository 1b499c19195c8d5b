"""The blocks of residual networks (He et al. 2016), with the names of their parameters in torchvision."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from counterpoint.models.convolution import Convolution


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a way past them: [B, inputs, H, W] to [B, width, H / stride, W / stride].

    Args:
        inputs: Channels that enter.
        width: Channels of both convolutions.
        stride: That of the first.
        dilation: Theirs.

    Example:
        >>> import torch
        >>> BasicBlock(4, 8, stride=2)(torch.zeros(1, 4, 6, 6)).shape
        torch.Size([1, 8, 3, 3])
    """

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, width: int, *, stride: int = 1, dilation: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.conv1 = Convolution(inputs, width, stride=stride, dilation=dilation[0])
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Convolution(width, width, dilation=dilation[1])
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The block's sum, past a ReLU."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(y)) + self.downsample(x), inplace=True)


class Bottleneck(nn.Module):
    """A 3 x 3 convolution between two of 1 x 1, and a way past them: to [B, 4 width, H / stride, W / stride].

    Args:
        inputs: Channels that enter.
        width: Channels of the 3 x 3 convolution.
        stride: That of the 3 x 3 convolution.
        dilation: That of the 3 x 3 convolution, and of one that would follow it.

    Example:
        >>> import torch
        >>> Bottleneck(4, 8, stride=2)(torch.zeros(1, 4, 6, 6)).shape
        torch.Size([1, 32, 3, 3])
    """

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, width: int, *, stride: int = 1, dilation: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.conv1 = Convolution(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Convolution(width, width, stride=stride, dilation=dilation[0])
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = Convolution(width, 4 * width, 1)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = shortcut(inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The block's sum, past a ReLU."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = functional.relu(self.bn2(self.conv2(y)), inplace=True)
        return functional.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The way past a block: a 1 x 1 convolution and its normalization where the form changes, else nothing.

    Example:
        >>> shortcut(8, 8, 1)
        Identity()
    """
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(Convolution(inputs, outputs, 1, stride=stride), nn.BatchNorm2d(outputs))
