"""Direction-based bargaining: what each task wants is a direction, not a slope."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterpoint.balancing.weightings.weighting import Weighting

Array = np.ndarray[Any, np.dtype[np.float64]]


class DiBS(Weighting):
    r"""Weights of direction-based bargaining, blind to any increasing transformation of the losses.

    With unit gradients u_t = g_t/||g_t||, each task's preferred point in a trust region of radius r is -r u_t. From
    d = 0, every step moves towards all of them, towards the farther ones more, and is projected back to the region:

    .. math:: d \leftarrow P_{\|d\| \le r}\Big(d - s \sum_t \|d + r u_t\|\, u_t\Big)

    One step is the closed form w_t = s r/||g_t||, not projected. Everything is arithmetic on the Gram matrix. Source:
    DiBS-MTL: Transformation-Invariant Multitask Learning with Direction Oracles, Murthy et al. 2026.

    Replacing a loss L by f(L), f increasing, leaves w_t g_t unchanged; with ``backward(..., heads="weighted")`` a whole
    training run does not change. With radius 1 and one step the shared update is a sum of T unit vectors, however large
    or small the gradients are: under plain SGD a learning rate means a distance, and those tuned for another weighting
    do not carry over. A task whose gradient is exactly zero has no direction and weighs 0.

    Args:
        steps: Bargaining steps; the paper's experiments use 1 or T.
        radius: r, of the trust region.
        step_size: s; ``None`` stands for 1/steps, as in the published code, whose radius is 1.

    Raises:
        ValueError: for fewer than one step, or a radius or step size that is not positive and finite.

    Example:
        >>> DiBS()(torch.tensor([[4.0, 1.0], [1.0, 1.0]]))
        tensor([0.5000, 1.0000])
    """

    def __init__(self, steps: int = 1, radius: float = 1.0, step_size: float | None = None) -> None:
        super().__init__()
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps={steps!r}, expected a whole number of at least 1")
        if not 0 < radius < math.inf:
            raise ValueError(f"radius={radius}, expected a positive finite number")
        if step_size is not None and not 0 < step_size < math.inf:
            raise ValueError(f"step_size={step_size}, expected a positive finite number, or None for 1/steps")
        self.steps = steps
        self.radius = radius
        self.step_size = step_size

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Returns non-negative weights, [T, T] -> [T]."""
        size = 1.0 / self.steps if self.step_size is None else self.step_size
        lengths = [math.sqrt(max(0.0, square)) for square in gram.diagonal().tolist()]
        inverse = [1.0 / length if length > 0 else 0.0 for length in lengths]
        if self.steps > 1:
            weights = self._bargained(gram.detach().to("cpu").to(torch.float64).numpy(), np.array(inverse), size)
            return torch.from_numpy(weights).to(gram.device, gram.dtype)
        reach = size * self.radius
        return torch.tensor([reach * factor for factor in inverse], dtype=gram.dtype, device=gram.device)

    def _bargained(self, gram: Array, inverse: Array, size: float) -> Array:
        """Weights a_t/||g_t||, [T], of the direction d = -sum_t a_t u_t."""
        cosines = gram * inverse * inverse[:, None]
        square = self.radius**2
        a = np.zeros(len(cosines))
        products, length = a, 0.0  # of d with each -u_t, and of d with itself
        for _ in range(self.steps):
            a = a + size * np.sqrt(np.maximum(length + square - 2.0 * self.radius * products, 0.0))
            products = cosines @ a
            length = float(a @ products)
            if length > square:
                shrink = self.radius / math.sqrt(length)
                a, products, length = a * shrink, products * shrink, square
        return np.asarray(a * inverse)

    def extra_repr(self) -> str:
        """Options for ``repr``."""
        return f"steps={self.steps}, radius={self.radius}, step_size={self.step_size}"
