"""A small U-shaped encoder-decoder."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from counterpoint.models.convolution import Norm, convolved, normalization

if TYPE_CHECKING:
    from collections.abc import Sequence


class UNet(nn.Module):
    """Features of every pixel: images [B, inputs, H, W] to [B, widths[0], H, W].

    Two 3 x 3 convolutions at each resolution on the way down, a maximum over 2 x 2 pixels between them; on the way up a
    convolution that doubles the size, joined with what the way down had found there (`Ronneberger et al. 2015
    <https://arxiv.org/abs/1505.04597>`_, with padding, so that the size stays, and with normalization). H and W are
    divisible by 2 to the number of steps down.

    Args:
        inputs: Channels of the image.
        widths: Channels at each resolution, fine to coarse.
        norm: What follows each convolution: ``"batch"`` or ``"group"`` normalization, or ``"none"``.

    Attributes:
        channels: What leaves, ``widths[0]``.
        stride: 1.

    Raises:
        ValueError: if there are no widths, or for another normalization.

    Example:
        >>> UNet(widths=(4, 8, 16))(torch.zeros(2, 3, 16, 24)).shape
        torch.Size([2, 4, 16, 24])
    """

    def __init__(self, inputs: int = 3, widths: Sequence[int] = (16, 32, 64), norm: Norm = "batch") -> None:
        super().__init__()
        if not widths:
            raise ValueError("widths is empty, expected the channels of at least one resolution")
        normalization(norm, 1)  # refuses other words before anything is built
        self.inputs = inputs
        self.channels = widths[0]
        self.stride = 1
        self.down = nn.ModuleList(_twice(before, after, norm) for before, after in pairwise((inputs, *widths)))
        self.pool = nn.MaxPool2d(2)
        upwards = list(pairwise(reversed(widths)))
        self.up = nn.ModuleList(nn.ConvTranspose2d(before, after, 2, stride=2) for before, after in upwards)
        self.join = nn.ModuleList(_twice(2 * after, after, norm) for _, after in upwards)

    def forward(self, x: Tensor) -> Tensor:
        """Images to features.

        Raises:
            ValueError: if the images are not [B, inputs, H, W], or H or W cannot be halved as often as needed.
        """
        part = 2 ** len(self.up)
        if x.ndim != 4 or x.shape[1] != self.inputs or x.shape[2] % part or x.shape[3] % part:
            raise ValueError(
                f"images have shape {list(x.shape)}, expected [B, {self.inputs}, H, W] with H and W divisible by "
                f"{part}: resize or crop them, or give fewer widths"
            )
        found: list[Tensor] = []
        for stage in self.down:
            x = stage(self.pool(x) if found else x)
            found.append(x)
        found.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([found.pop(), up(x)], dim=1))
        return x


def _twice(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(*convolved(inputs, outputs, norm=norm), *convolved(outputs, outputs, norm=norm))
