"""Which labels are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# What stands in integer targets where a label is missing; floating-point targets hold NaN.
MISSING = -100


def known(targets: Tensor) -> Tensor:
    """Whether each element of the targets is a label: a mask of bool, of their shape.

    Example:
        >>> import torch
        >>> known(torch.tensor([1, -100, 0], dtype=torch.int8))
        tensor([ True, False,  True])
    """
    return ~targets.isnan() if targets.is_floating_point() else targets != MISSING
