"""Nash bargaining: the update that maximizes the product of the tasks' gains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from counterpoint.balancing.faint import without_faint
from counterpoint.balancing.fair_point import Array, fair_point
from counterpoint.balancing.weightings.weighting import Weighting

if TYPE_CHECKING:
    from collections.abc import Hashable

    from counterpoint.balancing.step import Step


class Nash(Weighting):
    r"""Weights of the Nash bargaining solution (Nash-MTL).

    .. math:: G w = 1 / w \quad\text{elementwise, } w > 0

    The update maximizes the product of the tasks' first-order gains among those of its length: rescaling one task's
    gradient rescales its weight inversely and changes nothing else. Without ``max_norm`` its squared norm w'Gw is T.
    Source: `Multi-Task Learning as a Bargaining Game <https://arxiv.org/abs/2202.01017>`_, Navon et al., ICML 2022
    (Claim 3.1, Algorithm 1).

    Solved to a relative residual of 1e-10 by :func:`~counterpoint.balancing.fair_point.fair_point`, started from the
    previous solution; the published code and TorchJD run 20 rounds of a conic solver on a linearization. Where zero
    lies inside the hull of the gradients no solution exists: the weights are then finite and the update is small. A
    task whose gradient is exactly zero, or no longer than float32 can tell from zero (a norm of 1e-31), weighs 0.

    Args:
        max_norm: Bound on the norm sqrt(w'Gw) of the update; 1.0 in the published experiments, ``None`` for no bound.
        every: Solve at every n-th call and keep the weights in between (``update_weights_every`` in the published
            code); also solve when a task takes part that has no weight yet.

    Raises:
        ValueError: if ``max_norm`` is not positive or ``every`` is less than one.

    Example:
        >>> Nash()(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.5000, 1.0000])
    """

    carried = ("_held", "_calls_since")

    def __init__(self, max_norm: float | None = None, every: int = 1) -> None:
        super().__init__()
        if max_norm is not None and not 0 < max_norm < math.inf:
            raise ValueError(f"max_norm={max_norm}, expected a positive finite number, or None for no bound")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every={every!r}, expected a whole number of at least 1")
        self.max_norm = max_norm
        self.every = every
        self._held: dict[Hashable, float] = {}
        self._calls_since = 0

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Returns the weights, [T, T] -> [T]; held ones (``every``) only if T is that of the call before."""
        if len(self._held) != len(gram):
            self._held = {}
        return self._weights(gram, tuple(range(len(gram))))

    def weigh(self, step: Step) -> Tensor:
        """Weights [P] of the tasks that took part; held ones (``every``) go by the tasks' names."""
        return self._weights(step.gram, step.present)

    def _weights(self, gram: Tensor, tasks: tuple[Hashable, ...]) -> Tensor:
        matrix = without_faint(gram.detach().to("cpu").to(torch.float64).numpy())
        known = all(task in self._held for task in tasks)
        weights: Array | None = np.array([self._held[task] for task in tasks]) if known else None
        self._calls_since += 1
        if weights is None or self._calls_since >= self.every:
            weights, _, _ = fair_point(matrix, 1.0, start=weights)
            self._held = dict(zip(tasks, weights.tolist(), strict=True))
            self._calls_since = 0
        if self.max_norm is not None:
            norm = math.sqrt(max(0.0, float(weights @ matrix @ weights)))
            weights = weights * min(1.0, self.max_norm / norm) if norm > 0 else weights
        return torch.from_numpy(weights).to(gram.device, gram.dtype)

    def extra_repr(self) -> str:
        """Options for ``repr``."""
        return f"max_norm={self.max_norm}, every={self.every}"
