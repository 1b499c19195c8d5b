"""The class behind :func:`~counterpoint.balancing.weightings.as_torchjd.as_torchjd`; importing it imports TorchJD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torchjd.aggregation import Weighting as TorchJDWeighting
from torchjd.linalg import PSDMatrix

if TYPE_CHECKING:
    from torch import Tensor

    from counterpoint.balancing.weightings.weighting import Weighting


class OnTorchJD(TorchJDWeighting[PSDMatrix]):
    """A weighting of ours that TorchJD takes for one of its own.

    Args:
        weighting: A weighting that needs the Gram matrix only.
    """

    def __init__(self, weighting: Weighting) -> None:
        super().__init__()
        self.weighting = weighting

    def forward(self, gramian: PSDMatrix, /) -> Tensor:
        """Returns our weights, [T, T] -> [T]."""
        with torch.no_grad():
            return self.weighting(gramian)
