"""Losses of tasks with a label at every pixel: means over the labelled pixels of a batch, in fp32 at least.

A label is missing where a floating-point target is NaN or an integer one -100. A batch without any label costs zero,
and its gradients are zero, too.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from counterpoint.tasks.losses import wide
from counterpoint.tasks.missing import MISSING, known

# Outputs shorter than this have the cosine's gradient of outputs of this length: at a zero vector it would be infinite.
SHORTEST = 1e-3


def pixel_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over labelled pixels.

    Args:
        outputs: Logits [B, C, H, W].
        targets: Classes [B, H, W], integers of any width; -100 where there is no label.

    Raises:
        ValueError: for outputs of another shape than the targets', or classes that the outputs do not have.

    Example:
        >>> targets = torch.tensor([[[0, -100]]], dtype=torch.int8)
        >>> round(float(pixel_cross_entropy(torch.zeros(1, 4, 1, 2), targets)), 4)  # log 4
        1.3863
    """
    if outputs.shape[:1] + outputs.shape[2:] != targets.shape:
        classes = f"[{targets.shape[0]}, classes, {', '.join(map(str, targets.shape[1:]))}]"
        raise ValueError(f"outputs have shape {list(outputs.shape)}, expected {classes} for {list(targets.shape)}")
    # Not "mean", which is 0 / 0 without a label.
    try:
        total = functional.cross_entropy(wide(outputs), targets.long(), ignore_index=MISSING, reduction="sum")
    except IndexError:  # where there is no GPU, which would be stopped by looking
        raise ValueError(
            f"targets hold classes from {int(targets.min())} to {int(targets.max())}, expected 0 to "
            f"{outputs.shape[1] - 1} as the outputs have, or {MISSING} where there is no label"
        ) from None
    return total / known(targets).sum().clamp(min=1)


def mean_absolute_difference(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute difference over all known numbers: over pixels and, where there are several, over channels.

    Of offsets (dy, dx) it is half the mean over pixels of abs(dy - dy*) + abs(dx - dx*).

    Args:
        outputs: Numbers [B, K, H, W].
        targets: The same, NaN where unknown.

    Raises:
        ValueError: for outputs of another shape than the targets'.

    Example:
        >>> outputs, targets = torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[3.0, float("nan")]]]])
        >>> float(mean_absolute_difference(outputs, targets))
        2.0
    """
    labelled = known(targets)
    return absolute_differences(outputs, targets, labelled).sum() / labelled.sum().clamp(min=1)


def absolute_differences(outputs: Tensor, targets: Tensor, labelled: Tensor) -> Tensor:
    """Of each number, [B, K, H, W]; zero, with a gradient of zero, where it has no label."""
    check_same_shape(outputs, targets)
    outputs = wide(outputs)
    # A NaN that is masked after the difference would still reach the gradient: zero times NaN.
    return (outputs - torch.where(labelled, targets, outputs.detach())).abs()


def mean_cosine_distance(outputs: Tensor, targets: Tensor) -> Tensor:
    """One minus the cosine of the angle between output and normal, the mean over known pixels.

    The length of an output is divided out, if it is at least 0.001. From shorter ones, a zero vector for one, the
    gradient leads towards the normal and stays finite.

    Args:
        outputs: Vectors of any length [B, 3, H, W].
        targets: Unit vectors, NaN where unknown.

    Raises:
        ValueError: for outputs of another shape than the targets'.

    Example:
        >>> outputs, targets = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.6, 0.8, 0.0])
        >>> round(float(mean_cosine_distance(outputs.reshape(1, 3, 1, 1), targets.reshape(1, 3, 1, 1))), 4)
        0.4
    """
    check_same_shape(outputs, targets)
    outputs, labelled = wide(outputs), known(targets).all(1)
    normals = torch.where(labelled.unsqueeze(1), targets, 0.0)
    squares = outputs.square().sum(1).clamp(min=SHORTEST**2)
    cosines = (outputs * normals).sum(1) * squares.rsqrt()
    return torch.where(labelled, 1 - cosines, 0.0).sum() / labelled.sum().clamp(min=1)


def check_same_shape(outputs: Tensor, targets: Tensor) -> None:
    """Raises ValueError for others: [B, 1, H, W] less [B, H, W] would be [B, B, H, W], without a word."""
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs have shape {list(outputs.shape)}, expected that of the targets, {list(targets.shape)}"
        )
