"""Metrics of numbers, counts and yes or no. Imported when a task needs one: torchmetrics takes a second to load."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from counterpoint.tasks.losses import poisson_deviances, squared_errors, wide


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


class AreaUnderROC(Metric):
    """Of outputs [B] or [B, 1], logits or other scores, and targets [B] of 0 and 1: how often a positive scores higher.

    Over all pairs of a positive and a negative; equal scores count half. NaN where all targets are the same.

    torchmetrics' ``BinaryAUROC`` takes a batch of scores for probabilities if all lie from 0 to 1 and puts others
    through a sigmoid: batches of logits would be compared on two scales. Ranks need no sigmoid, which also makes large
    logits equal.

    Example:
        >>> metric = AreaUnderROC()
        >>> float(metric(torch.tensor([[-1.0], [0.5], [2.0]]), torch.tensor([0, 1, 0])))
        0.5
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    scores: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("labels", default=[], dist_reduce_fx="cat")

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds rows."""
        self.scores.append(wide(outputs).detach().reshape(-1))
        self.labels.append((targets.reshape(-1) > 0).float())

    def compute(self) -> Tensor:
        """The area."""
        if not self.scores:
            return torch.full((), torch.nan)
        scores, positive = dim_zero_cat(self.scores).cpu(), dim_zero_cat(self.labels).cpu() > 0
        if bool(scores.isnan().any()):
            return torch.full((), torch.nan)
        place, equal = torch.unique(scores, return_inverse=True, return_counts=True)[1:]
        equal = equal.double()
        ranks = equal.cumsum(0) - (equal - 1) / 2  # from 1; the mean rank of those that are equal
        positives = positive.sum().double()
        above: Tensor = ranks[place][positive].sum() - positives * (positives + 1) / 2
        return above / (positives * (len(positive) - positives))
