"""Several small networks side by side, computed at once, and mixtures of what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.models.mlp import MLPEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence


class GroupedLinear(nn.Linear):
    """As many linear layers side by side as there are groups, in one matrix product.

    Rows are [B, inputs], which all groups see, or [B, groups, inputs], one row for each; the result is
    [B, groups, outputs]. Each group starts as a ``nn.Linear(inputs, outputs)`` would.

    Example:
        >>> layer = GroupedLinear(5, 3, groups=4)
        >>> layer(torch.zeros(2, 5)).shape, layer(torch.zeros(2, 4, 5)).shape
        (torch.Size([2, 4, 3]), torch.Size([2, 4, 3]))
    """

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__(inputs, groups * outputs)
        self.groups = groups
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """All groups' outputs."""
        if x.dim() == 2:
            return functional.linear(x, self.weight, self.bias).view(x.shape[0], self.groups, self.outputs)
        weight = self.weight.view(self.groups, self.outputs, self.in_features)
        bias = self.bias.view(self.groups, 1, self.outputs)
        return torch.baddbmm(bias, x.transpose(0, 1), weight.mT).transpose(0, 1)


class Experts(nn.Sequential):
    """MLPs of one shape side by side: rows [B, inputs] or [B, experts, inputs] to [B, experts, hidden[-1]].

    Args:
        inputs: Number of columns.
        hidden: Width of each layer of an expert; each is followed by a ReLU.
        experts: How many.
        dropout: Share of each layer's outputs that training drops.

    Raises:
        ValueError: if there is no layer or no expert.

    Example:
        >>> Experts(103, (128, 64), experts=4)(torch.zeros(2, 103)).shape
        torch.Size([2, 4, 64])
    """

    def __init__(self, inputs: int, hidden: Sequence[int], experts: int, dropout: float = 0.0) -> None:
        if not hidden:
            raise ValueError("hidden is empty, expected the width of at least one layer")
        if experts < 1:
            raise ValueError(f"experts is {experts}, expected at least 1")
        layers: list[nn.Module] = []
        for before, after in zip((inputs, *hidden), hidden, strict=False):
            layers += [GroupedLinear(before, after, experts), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        super().__init__(*layers)


def mixture(weights: Tensor, experts: Tensor) -> Tensor:
    """Weighted sums of experts: weights [B, E] and experts [B, E, H] to [B, H]; [B, M, E] to M of them, [B, M, H].

    Example:
        >>> mixture(torch.tensor([[0.5, 0.5]]), torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
        tensor([[2., 3.]])
    """
    if weights.dim() == 3:
        return torch.bmm(weights, experts)
    return torch.bmm(weights.unsqueeze(1), experts).squeeze(1)


def tower(features: int, hidden: Sequence[int], outputs: int, dropout: float = 0.0) -> nn.Module:
    """A task's own hidden layers, if any, and its linear layer: features [B, features] to [B, outputs].

    Example:
        >>> tower(64, (), 3), len(tower(64, (32,), 3))
        (Linear(in_features=64, out_features=3, bias=True), 2)
    """
    if not hidden:
        return nn.Linear(features, outputs)
    return nn.Sequential(MLPEncoder(features, hidden, dropout), nn.Linear(hidden[-1], outputs))
