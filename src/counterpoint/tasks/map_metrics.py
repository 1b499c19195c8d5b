"""Metrics of numbers at every pixel. Imported when a task needs one: torchmetrics takes a second to load.

Means are over all known pixels of all rows, on whatever rank they are. Published code takes means over batches or
images first, which weighs the pixels of images with few known ones more; its figures differ a little.
"""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoint.tasks.dense_losses import absolute_differences, check_same_shape
from counterpoint.tasks.losses import wide
from counterpoint.tasks.metrics import MeanOverRows
from counterpoint.tasks.missing import known


class AbsoluteError(MeanOverRows):
    """Of outputs and targets [B, K, H, W], NaN where unknown: the mean absolute difference, over channels too.

    Example:
        >>> metric = AbsoluteError()
        >>> float(metric(torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[3.0, float("nan")]]]])))
        2.0
    """

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds maps."""
        labelled = known(targets)
        self.count(absolute_differences(outputs, targets, labelled)[labelled])


class RelativeError(MeanOverRows):
    """Of outputs and targets [B, K, H, W]: the mean of the absolute difference over the target.

    Targets that are not positive, or NaN, are left out.

    Example:
        >>> metric = RelativeError()
        >>> float(metric(torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[2.0, 0.0]]]])))
        0.5
    """

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds maps."""
        positive = targets > 0
        differences = absolute_differences(outputs, targets, positive)
        self.count(differences[positive] / targets[positive])


class MeanAngle(MeanOverRows):
    """Of outputs [B, 3, H, W] and normals, NaN where unknown: the mean angle between them, in degrees.

    Example:
        >>> outputs, normals = torch.tensor([2.0, 2.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])
        >>> round(float(MeanAngle()(outputs.reshape(1, 3, 1, 1), normals.reshape(1, 3, 1, 1))), 3)
        45.0
    """

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds maps."""
        self.count(angles(outputs, targets))


def angles(outputs: Tensor, targets: Tensor) -> Tensor:
    """Degrees between outputs and normals [B, 3, H, W] at all pixels of known normal, one after the other.

    Any lengths will do; an output of length zero is at 90 degrees to everything. Twice the arctangent of the lengths of
    u - n over u + n has its digits at every angle: an arccosine in fp32 is off by 0.02 degrees near 0.

    Raises:
        ValueError: for outputs of another shape than the targets'.
    """
    check_same_shape(outputs, targets)
    labelled = known(targets).all(1)
    directions, normals = (_unit(own.movedim(1, -1)[labelled]) for own in (outputs, targets))
    apart, along = (torch.linalg.vector_norm(own, dim=1) for own in (directions - normals, directions + normals))
    return torch.rad2deg(2 * torch.atan2(apart, along))


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(wide(vectors), dim=1)
