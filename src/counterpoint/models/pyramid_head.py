"""Pyramid pooling, the head of the published experiment with three tasks on scenes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.models.convolution import Norm, convolved, enlarged
from counterpoint.models.image_heads import MapHead


class PyramidHead(MapHead):
    """Means over an image's parts beside its map: maps [B, channels, h, w] to [B, outputs, H, W].

    Pyramid pooling (`Zhao et al. 2017 <https://arxiv.org/abs/1612.01105>`_, Section 3.2): means over a grid of each
    size, a 1 x 1 convolution of each, enlarged and put beside the map; a 3 x 3 convolution, and a 1 x 1 convolution.
    By default it is what Sener & Koltun 2018 put on a dilated ResNet-50 for each of three tasks (their published code),
    and that is heavy: as many multiply-adds as four fifths of that encoder.

    Args:
        channels: What the encoder's map has.
        outputs: Channels of the output: classes, or numbers a pixel.
        hidden: Channels of each branch, and of what joins them; a quarter of ``channels`` by default, at least one.
        grids: Rows and columns of each grid.
        norm: Normalization of all; a grid of one cell, one number a channel, is normalized by ``"batch"`` only, which
            takes batches of at least 2.
        size: Height and width of the targets; ``None`` where ``factor`` says.
        factor: How many times those of the map they are: the encoder's ``stride``.

    Raises:
        ValueError: if there is no grid.

    Example:
        >>> PyramidHead(8, 7, factor=8)(torch.zeros(2, 8, 6, 12)).shape
        torch.Size([2, 7, 48, 96])
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        hidden: int | None = None,
        grids: tuple[int, ...] = (1, 2, 3, 6),
        norm: Norm = "batch",
        size: tuple[int, int] | None = None,
        factor: int = 1,
    ) -> None:
        super().__init__(size, factor)
        if not grids or min(grids) < 1:
            raise ValueError(f"grids are {grids}, expected at least one number of rows and columns")
        hidden = max(1, channels // 4) if hidden is None else hidden
        self.grids = tuple(grids)
        self.branches = nn.ModuleList(
            convolved(channels, hidden, 1, norm="none" if grid == 1 and norm == "group" else norm) for grid in grids
        )
        self.join = convolved(channels + len(grids) * hidden, hidden, norm=norm)
        self.predict = nn.Conv2d(hidden, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """A map to outputs."""
        size = (features.shape[2], features.shape[3])
        parts = [
            enlarged(branch(functional.adaptive_avg_pool2d(features, grid)), size)
            for grid, branch in zip(self.grids, self.branches, strict=True)
        ]
        return self.at_target_size(self.predict(self.join(torch.cat([features, *parts], dim=1))))
