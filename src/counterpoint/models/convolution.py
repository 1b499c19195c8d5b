"""Convolutions that keep an image's size, and what follows them."""

from __future__ import annotations

from math import gcd
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.names import one_of

Norm = Literal["batch", "group", "none"]
GROUPS = 8  # of channels that are normalized together, or the most that divides their number


class Convolution(nn.Conv2d):
    """A convolution whose output is as large as its input, or smaller by its stride.

    Images [B, inputs, H, W] become [B, outputs, H / stride, W / stride], sizes rounded up. It starts as `He et al. 2015
    <https://arxiv.org/abs/1502.01852>`_ say for layers before ReLUs: normal, by the fan-out as torchvision's residual
    networks do, by the fan-in if nothing normalizes what leaves (there is a bias). Unlike a function that would set the
    weights once, it starts so again when ``reset_parameters`` is called. Its weights have the memory layout in
    which CPUs and tensor cores convolve fastest, and hand it on to the images.

    Args:
        inputs: Channels that enter.
        outputs: Channels that leave.
        kernel: Side of the kernel, odd.
        stride: Every how many pixels it looks.
        dilation: How far apart the pixels lie that it looks at.
        bias: Whether it adds a number to each channel; useless before a normalization.

    Raises:
        ValueError: for an even kernel, which has no middle.

    Example:
        >>> Convolution(3, 8, 3, stride=2)(torch.zeros(2, 3, 7, 10)).shape
        torch.Size([2, 8, 4, 5])
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, bias: bool = False
    ) -> None:
        if kernel % 2 == 0:
            raise ValueError(f"kernel={kernel}, expected an odd side: an even one has no middle pixel")
        padding = dilation * (kernel // 2)
        super().__init__(inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation, bias=bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Images to images."""
        stride = self.stride[0]
        if self.kernel_size == (1, 1) and stride > 1:
            # The same pixels, picked beforehand: PyTorch 2.13 on CPUs writes past the end of memory in the backward
            # pass of a strided 1 x 1 convolution of fewer than 8 channels in this layout.
            return functional.conv2d(x[..., ::stride, ::stride], self.weight, self.bias)
        return super().forward(x)

    def reset_parameters(self) -> None:
        """Starts anew."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out" if self.bias is None else "fan_in", nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def normalization(norm: Norm, channels: int) -> nn.Module:
    """A normalization of maps [B, channels, H, W].

    Groups of channels (`Wu & He 2018 <https://arxiv.org/abs/1803.08494>`_) are normalized image by image: small batches
    do no harm, and an image says the same whatever others are in the batch.

    Raises:
        ValueError: for another word.

    Example:
        >>> normalization("group", 12).num_groups
        4
    """
    one_of("norm", norm, get_args(Norm))
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(gcd(GROUPS, channels), channels)
    return nn.Identity()


def convolved(inputs: int, outputs: int, kernel: int = 3, *, norm: Norm = "batch", dilation: int = 1) -> nn.Sequential:
    """A convolution, its normalization and a ReLU.

    Example:
        >>> [type(part).__name__ for part in convolved(3, 8)]
        ['Convolution', 'BatchNorm2d', 'ReLU']
    """
    first = Convolution(inputs, outputs, kernel, dilation=dilation, bias=norm == "none")
    return nn.Sequential(first, normalization(norm, outputs), nn.ReLU(inplace=True))


def enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [B, C, h, w] at another size, [B, C, *size], interpolated bilinearly between the centres of pixels.

    Example:
        >>> enlarged(torch.tensor([[[[0.0, 4.0]]]]), (1, 4))
        tensor([[[[0., 1., 3., 4.]]]])
    """
    return x if x.shape[-2:] == size else functional.interpolate(x, size, mode="bilinear", align_corners=False)
