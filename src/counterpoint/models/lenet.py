"""The LeNet of the digit-pair experiment (Sener & Koltun 2018, Section 5.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class LeNetEncoder(nn.Module):
    """Two convolutions and a linear layer: images [B, 1, 36, 36] to features [B, 50].

    Args:
        features: Number of features.

    Example:
        >>> LeNetEncoder()(torch.zeros(2, 1, 36, 36)).shape
        torch.Size([2, 50])
    """

    def __init__(self, features: int = 50) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 10, kernel_size=5)
        self.second = nn.Conv2d(10, 20, kernel_size=5)
        self.linear = nn.Linear(20 * 6 * 6, features)
        for convolution in (self.first, self.second):  # a step on a CPU takes half the time
            convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Images to features."""
        x = functional.relu(functional.max_pool2d(self.first(x), 2))
        x = functional.relu(functional.max_pool2d(self.second(x), 2))
        return functional.relu(self.linear(x.flatten(1)))


class LeNetHead(nn.Module):
    """Two linear layers: features [B, features] to class scores [B, classes].

    Args:
        features: Number of features.
        classes: Number of classes.

    Example:
        >>> LeNetHead()(torch.zeros(2, 50)).shape
        torch.Size([2, 10])
    """

    def __init__(self, features: int = 50, classes: int = 10) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, features)
        self.scores = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Features to class scores."""
        return torch.as_tensor(self.scores(functional.relu(self.hidden(features))))
