"""Multiple-gradient descent: the min-norm point of the convex hull of the task gradients."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from counterpoint.balancing.frank_wolfe import frank_wolfe
from counterpoint.balancing.min_norm import solve
from counterpoint.balancing.weightings.weighting import Weighting, needed
from counterpoint.names import one_of

Solver = Literal["active-set", "frank-wolfe"]
Array = np.ndarray[Any, np.dtype[np.float64]]
Normalize = Literal["none", "l2", "loss", "loss+"]


class MGDA(Weighting):
    r"""Weights of the multiple-gradient descent algorithm; at feature level, MGDA-UB.

    .. math:: \min_{w \in \Delta} \Big\| \sum_t w_t g_t \Big\|^2

    over the simplex. The update has a non-negative inner product with every task gradient, hence hurts no task to
    first order, and vanishes only at Pareto-stationary points. ``FanOut(MGDA())`` is MGDA-UB. Source: `Multi-Task
    Learning as Multi-Objective Optimization <https://arxiv.org/abs/1810.04650>`_, Sener & Koltun, NeurIPS 2018 (Eq. 3
    and Eq. MGDA-UB); the problem is Désidéri's (2012).

    A task with an exactly zero gradient is a min-norm point by itself: it takes all the weight and the shared update
    is zero. A task that took no part in the backward pass is something else; :class:`FanOut` leaves it out.

    Differences from other implementations: the published code and TorchJD iterate to a tolerance (and the published
    code clips two-task weights to [0.001, 0.999]); ``"active-set"`` solves exactly and certifies it.

    Args:
        solver: ``"active-set"`` is exact (:func:`min_norm_point`, started from the previous step's solution);
            ``"frank-wolfe"`` is the paper's Algorithm 2.
        normalize: Divide g_t by its norm (``"l2"``), its loss (``"loss"``) or both (``"loss+"``) before solving, and
            apply the weights to the original gradients, as the published code does; the guarantee above then holds
            for the normalized gradients only. The last two need losses, none of them negative; a task whose loss is
            exactly zero weighs 0 and is left out, unless all are zero: then none is divided by its loss.
        max_iterations: Bound for ``"frank-wolfe"``; 250 as published.

    Raises:
        ValueError: for another solver or normalization, or fewer than one iteration; when called, for losses that are
            needed and missing, negative or not finite.

    Example:
        >>> MGDA()(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
        tensor([0.7500, 0.2500])
    """

    carried = ("_previous",)

    def __init__(self, solver: Solver = "active-set", normalize: Normalize = "none", max_iterations: int = 250) -> None:
        super().__init__()
        one_of("solver", solver, get_args(Solver))
        one_of("normalize", normalize, get_args(Normalize))
        if max_iterations < 1:
            raise ValueError(f"max_iterations={max_iterations}, expected at least 1")
        self.solver = solver
        self.normalize = normalize
        self.max_iterations = max_iterations
        self.needs_losses = normalize in {"loss", "loss+"}
        self._previous: Array | None = None

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:
        """Returns the min-norm weights, [T, T] -> [T], non-negative with sum 1."""
        matrix = gram.detach().to("cpu").to(torch.float64).numpy()
        weights = self._solved(matrix) if self.normalize == "none" else self._normalized(matrix, losses)
        return torch.from_numpy(weights).to(gram.device, gram.dtype)

    def _solved(self, matrix: Array) -> Array:
        if self.solver == "frank-wolfe":
            return frank_wolfe(matrix, self.max_iterations)
        self._previous, _ = solve(matrix, start=self._previous)
        return self._previous

    def _normalized(self, matrix: Array, losses: Tensor | None) -> Array:
        sizes = np.ones(len(matrix))
        if self.normalize in {"l2", "loss+"}:
            norms = np.sqrt(matrix.diagonal())
            sizes = np.where(norms > 0, norms, 1.0)
        if not self.needs_losses:
            return self._solved(matrix / sizes / sizes[:, None])
        values = self._checked(losses)
        alive = values > 0
        if not alive.any():
            return self._solved(matrix / sizes / sizes[:, None])
        sizes = (sizes * values)[alive]
        weights = np.zeros(len(matrix))
        weights[alive] = self._solved(matrix[np.ix_(alive, alive)] / sizes / sizes[:, None])
        return weights

    def _checked(self, losses: Tensor | None) -> Array:
        values: Array = needed(losses, self).detach().to("cpu").to(torch.float64).numpy()
        if not (np.isfinite(values).all() and values.min() >= 0):
            raise ValueError(f"{self} got losses {values.tolist()}, expected non-negative finite numbers to divide by")
        return values

    def extra_repr(self) -> str:
        """Options for ``repr``."""
        return f"solver={self.solver!r}, normalize={self.normalize!r}"
