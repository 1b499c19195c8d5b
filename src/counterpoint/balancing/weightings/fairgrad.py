"""Alpha-fair gains: between the sum of the losses and the worst-off task."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.balancing.faint import LARGEST_WEIGHT, kept, without_faint
from counterpoint.balancing.fair_point import fair_point
from counterpoint.balancing.weightings.weighting import Weighting

if TYPE_CHECKING:
    from counterpoint.balancing.fair_point import Array


class FairGrad(Weighting):
    r"""Weights of the alpha-fair update (FairGrad).

    .. math:: G w = w^{-1/\alpha} \quad\text{elementwise, } w > 0

    The update maximizes the alpha-fair utility of the tasks' first-order gains: alpha near 0 gives equal weights,
    alpha = 1 is :class:`Nash`, large alpha favours the task that gains least. Source: `Fair Resource Allocation in
    Multi-Task Learning <https://arxiv.org/abs/2402.15638>`_, Ban & Ji, ICML 2024 (Eq. 4, Algorithm 1).

    Solved to a relative residual of 1e-10 by :func:`~counterpoint.balancing.fair_point.fair_point` (alpha below 0.5
    with norms that differ by orders of magnitude may miss it), started from the previous solution; the published code
    and TorchJD hand the equation to ``scipy.optimize.least_squares``. Where zero lies inside the hull of the gradients
    no solution exists: the weights are then finite and the update is small.

    A task pulls the harder the smaller its gradient is: alone, with length ||g||^(-(alpha - 1)/(alpha + 1)), for
    alpha = 2 that is 5e6 at 1e-20. One whose gradient is exactly zero weighs 0, and so does one whose weight would
    exceed 1e31, which float32 cannot multiply gradients by: below 6e-24 for alpha = 2, 3e-19 for alpha = 5.

    Args:
        alpha: Fairness; the published experiments use 1 to 10, most often 2.

    Raises:
        ValueError: if alpha is not positive and finite.

    Example:
        >>> FairGrad(alpha=2.0)(torch.tensor([[8.0, 0.0], [0.0, 1.0]]))
        tensor([0.2500, 1.0000])
    """

    carried = ("_previous",)

    def __init__(self, alpha: float = 2.0) -> None:
        super().__init__()
        if not 0 < alpha < math.inf:
            raise ValueError(f"alpha={alpha}, expected a positive finite number")
        self.alpha = alpha
        self._previous: Array | None = None

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Returns the weights, [T, T] -> [T]."""
        matrix = without_faint(gram.detach().to("cpu").to(torch.float64).numpy())
        start = self._previous if self._previous is not None and len(self._previous) == len(matrix) else None
        weights, _, _ = fair_point(matrix, self.alpha, start=start)
        while (too_large := ~(weights <= LARGEST_WEIGHT)).any():  # ends: each round takes a task out of the matrix
            matrix = kept(matrix, ~too_large & (matrix.diagonal() > 0))
            weights, _, _ = fair_point(matrix, self.alpha, start=weights)
        self._previous = weights
        return torch.from_numpy(weights.copy()).to(gram.device, gram.dtype)

    def extra_repr(self) -> str:
        """Options for ``repr``."""
        return f"alpha={self.alpha}"
