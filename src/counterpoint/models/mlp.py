"""A plain encoder for tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class MLPEncoder(nn.Sequential):
    """Linear layers, each followed by a ReLU: rows [B, inputs] to features [B, hidden[-1]].

    Args:
        inputs: Number of columns.
        hidden: Width of each layer.
        dropout: Share of each layer's outputs that training drops.

    Raises:
        ValueError: if there is no layer.

    Example:
        >>> import torch
        >>> MLPEncoder(103, (128, 64))(torch.zeros(2, 103)).shape
        torch.Size([2, 64])
    """

    def __init__(self, inputs: int, hidden: Sequence[int] = (128, 64), dropout: float = 0.0) -> None:
        if not hidden:
            raise ValueError("hidden is empty, expected the width of at least one layer")
        layers: list[nn.Module] = []
        for before, after in zip((inputs, *hidden), hidden, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        super().__init__(*layers)
