"""Metrics of numbers and counts. Imported when a task needs one: torchmetrics takes a second to load."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from counterpoint.tasks.losses import poisson_deviances, squared_errors


class MeanOverRows(Metric):
    """The mean of an error over all rows, on whatever rank they are: only sums cross ranks. NaN without rows."""

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    total: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", default=torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("rows", default=torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def count(self, errors: Tensor) -> None:
        """Adds errors [B]."""
        self.total = self.total + errors.sum()
        self.rows = self.rows + errors.numel()

    def compute(self) -> Tensor:
        """The mean."""
        return self.total / self.rows


class RootMeanSquaredError(MeanOverRows):
    """Of outputs [B] or [B, 1] and targets [B], times a scale: of standardized numbers, their standard deviation.

    Args:
        scale: What one of the standardized numbers' units is in the metric's.

    Example:
        >>> metric = RootMeanSquaredError(scale=100.0)
        >>> float(metric(torch.tensor([[1.0], [2.0]]), torch.tensor([1.5, 2.5])))
        50.0
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds rows."""
        self.count(squared_errors(outputs, targets))

    def compute(self) -> Tensor:
        """The root of the mean, scaled."""
        return self.scale * super().compute().sqrt()


class MeanPoissonDeviance(MeanOverRows):
    """Of outputs [B] or [B, 1], logarithms of expected counts, and targets [B], counts.

    Example:
        >>> metric = MeanPoissonDeviance()
        >>> float(metric(torch.tensor([[0.0], [0.0]]), torch.tensor([1.0, 0.0])))
        1.0
    """

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds rows."""
        self.count(poisson_deviances(outputs, targets))
