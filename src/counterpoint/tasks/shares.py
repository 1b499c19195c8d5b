"""Metrics that are shares of something counted. Imported when a task needs one: torchmetrics takes a second to load."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from counterpoint.tasks.missing import known


class Share(Metric):
    """Hits over all that was counted, on whatever rank: both exact at any number. NaN where nothing was counted."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    hits: Tensor
    counted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("hits", default=torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("counted", default=torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def count(self, hits: Tensor) -> None:
        """Adds hits and misses, of any shape."""
        self.hits = self.hits + hits.sum()
        self.counted = self.counted + hits.numel()

    def compute(self) -> Tensor:
        """The share."""
        return self.hits / self.counted


class LogitAccuracy(Share):
    """Of logits [B] or [B, 1] and targets [B] of 0 and 1: how often the logit has the label's sign.

    torchmetrics' ``BinaryAccuracy`` takes a batch of logits for probabilities if all lie from 0 to 1.

    Example:
        >>> metric = LogitAccuracy()
        >>> float(metric(torch.tensor([[0.2], [-1.0]]), torch.tensor([1, 1])))
        0.5
    """

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds rows."""
        self.count((outputs.reshape(targets.shape) > 0) == (targets > 0))


class PixelAccuracy(Share):
    """Of logits [B, C, H, W] and classes [B, H, W]: how many of all labelled pixels have the right class.

    torchmetrics' ``MulticlassAccuracy(average="micro", ignore_index=-100)``, but NaN where no pixel has a label.

    Example:
        >>> metric, logits = PixelAccuracy(), torch.tensor([[[[2.0, 0.0, 9.0]], [[1.0, 1.0, 0.0]]]])
        >>> float(metric(logits, torch.tensor([[[0, 0, -100]]])))
        0.5
    """

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds images."""
        self.count((outputs.argmax(1) == targets)[known(targets)])
