"""Which labels are there."""

from __future__ import annotations

import torch
from torch import Tensor

# What stands in integer targets where a label is missing; floating-point targets hold NaN.
MISSING = -100


def known(targets: Tensor) -> Tensor:
    """Whether each element of the targets is a label: a mask of bool, of their shape.

    Example:
        >>> known(torch.tensor([1, -100, 0], dtype=torch.int8))
        tensor([ True, False,  True])
    """
    if targets.is_floating_point():
        return ~targets.isnan()
    if not targets.dtype.is_signed:  # it holds no -100; a comparison would take 156 for it
        return torch.ones_like(targets, dtype=torch.bool)
    return targets != MISSING
