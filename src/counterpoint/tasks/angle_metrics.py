"""How the angles between predicted and true normals are spread. Imported when a task needs one, as torchmetrics is."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from counterpoint.tasks.map_metrics import angles
from counterpoint.tasks.shares import Share

# Bins of the histogram of angles: 0.01 degrees each.
_BINS_A_DEGREE = 100
_BINS = 180 * _BINS_A_DEGREE


class AnglesWithin(Share):
    """Of outputs [B, 3, H, W] and normals, NaN where unknown: the share of pixels with an angle below some degrees.

    Args:
        degrees: The angle; 11.25, 22.5 and 30 are usual (Fouhey, Gupta and Hebert, ICCV 2013).

    Example:
        >>> outputs, normals = torch.tensor([2.0, 2.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])
        >>> float(AnglesWithin(30.0)(outputs.reshape(1, 3, 1, 1), normals.reshape(1, 3, 1, 1)))
        0.0
    """

    def __init__(self, degrees: float) -> None:
        super().__init__()
        self.degrees = degrees

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds maps."""
        self.count(angles(outputs, targets) < self.degrees)


class MedianAngle(Metric):
    """Of outputs [B, 3, H, W] and normals, NaN where unknown: the median angle over all pixels, in degrees.

    Angles are counted in bins of 0.01 degrees, whose centres stand for them: the median of any number of pixels, on any
    number of ranks, is exact to 0.005 degrees and needs no pixel to be kept. Published code takes the median of each
    batch and their mean.

    Example:
        >>> outputs, normals = torch.tensor([2.0, 2.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])
        >>> abs(float(MedianAngle()(outputs.reshape(1, 3, 1, 1), normals.reshape(1, 3, 1, 1))) - 45) <= 0.0051
        True
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    histogram: Tensor

    def __init__(self) -> None:
        super().__init__()
        # The last bin counts angles to outputs that are not numbers.
        self.add_state("histogram", default=torch.zeros(_BINS + 1, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds maps."""
        found = angles(outputs, targets)
        bins = (found * _BINS_A_DEGREE).clamp(max=_BINS - 1).nan_to_num(nan=_BINS).long()
        self.histogram = self.histogram + torch.bincount(bins, minlength=_BINS + 1)

    def compute(self) -> Tensor:
        """The median; of an even number, the mean of the two in the middle."""
        below = self.histogram.cumsum(0).cpu()
        count = int(below[-1])
        if count == 0 or int(self.histogram[-1]):
            return torch.full((), torch.nan)
        middle = torch.searchsorted(below, torch.tensor([(count + 1) // 2, count // 2 + 1]))
        return ((middle.double() + 0.5).mean() / _BINS_A_DEGREE).float()
