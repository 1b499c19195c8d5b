"""Direction-based bargaining: what each task wants is a direction, not a slope."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from counterpoint.balancing.faint import is_faint
from counterpoint.balancing.weightings.weighting import Weighting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.balancing.step import Step

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
    do not carry over.

    A task whose gradient is exactly zero, or no longer than float32 can tell from zero (a norm of 1e-31), has no
    direction and weighs 0. Every longer gradient has its full say: a task that is done, or a batch without its rare
    labels, still pulls with a unit vector, and features grow until the gradient is that small. ``recent=100`` slows
    that down: task t pulls with the length

    .. math:: c_t = \min\Big(1, \frac{\|g_t\|}{m_t}\Big), \qquad m_t^2 = \text{mean of its recent } \|g_t\|^2

    in place of 1. It is blind to constant factors of the losses only: an f whose slope varies from step to step
    changes c_t. Tasks whose gradients differ little from batch to batch hardly notice. Measured in docs/invariance.md,
    "A task that is done".

    Args:
        steps: Bargaining steps; the paper's experiments use 1 or T.
        radius: r, of the trust region.
        step_size: s; ``None`` stands for 1/steps, as in the published code, whose radius is 1.
        recent: How many steps "recent" are; ``None``, the published method, gives every gradient the length 1.

    Raises:
        ValueError: for fewer than one step or recent step, or a radius or step size that is not positive and finite;
            with ``recent``, for another number of tasks than before.

    Example:
        >>> DiBS()(torch.tensor([[4.0, 1.0], [1.0, 1.0]]))
        tensor([0.5000, 1.0000])
    """

    def __init__(
        self, steps: int = 1, radius: float = 1.0, step_size: float | None = None, *, recent: int | None = None
    ) -> None:
        super().__init__()
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps={steps!r}, expected a whole number of at least 1")
        if not 0 < radius < math.inf:
            raise ValueError(f"radius={radius}, expected a positive finite number")
        if step_size is not None and not 0 < step_size < math.inf:
            raise ValueError(f"step_size={step_size}, expected a positive finite number, or None for 1/steps")
        if recent is not None and (isinstance(recent, bool) or not isinstance(recent, int) or recent < 1):
            raise ValueError(f"recent={recent!r}, expected a whole number of at least 1, or None")
        self.steps = steps
        self.radius = radius
        self.step_size = step_size
        self.recent = recent
        self.learns = recent is not None
        # Of each task's recent norms; logarithms, so that averages over checkpoints make sense.
        self._log_mean_squares: list[float] = []
        self._counts: list[float] = []

    def bind(self, tasks: Sequence[str]) -> None:
        """Makes room for what is remembered of each task, where anything is.

        Raises:
            ValueError: if another number of tasks is remembered.
        """
        if self.recent is None:
            return
        if not self._counts:
            self._log_mean_squares, self._counts = [-math.inf] * len(tasks), [0.0] * len(tasks)
        elif len(self._counts) != len(tasks):
            raise ValueError(f"{self} remembers {len(self._counts)} tasks, expected as many, got {len(tasks)}")

    def remembered(self) -> dict[str, Tensor]:
        """Logarithm of the mean square of each task's recent norms, and how many there were, [T] each."""
        if not self._counts:
            return {}
        of_each = {"log_mean_squares": self._log_mean_squares, "counts": self._counts}
        return {name: torch.tensor(values, dtype=torch.float64) for name, values in of_each.items()}

    def remember(self, told: Mapping[str, Tensor]) -> None:
        """Takes up what :meth:`remembered` gave."""
        if self.recent is not None:
            self._log_mean_squares = told["log_mean_squares"].tolist() if told else [-math.inf] * len(self._counts)
            self._counts = told["counts"].tolist() if told else [0.0] * len(self._counts)

    def forward(self, gram: Tensor, losses: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Returns non-negative weights, [T, T] -> [T]."""
        names = [str(task) for task in range(len(gram))]
        self.bind(names)
        return self._weights(gram, range(len(gram)))

    def weigh(self, step: Step) -> Tensor:
        """Weights [P] of the tasks that took part; the others' memory stays as it is."""
        self.bind(step.tasks)
        return self._weights(step.gram, step.positions)

    def _weights(self, gram: Tensor, positions: Sequence[int]) -> Tensor:
        size = 1.0 / self.steps if self.step_size is None else self.step_size
        lengths = [math.sqrt(max(0.0, square)) for square in gram.diagonal().tolist()]
        inverse = [0.0 if is_faint(length) else 1.0 / length for length in lengths]
        shares = self._shares(lengths, positions)
        if self.steps > 1:
            matrix = gram.detach().to("cpu").to(torch.float64).numpy()
            weights = self._bargained(matrix, np.array(inverse), size * np.array(shares))
            return torch.from_numpy(weights).to(gram.device, gram.dtype)
        reach = size * self.radius
        pulls = [reach * share * factor for share, factor in zip(shares, inverse, strict=True)]
        return torch.tensor(pulls, dtype=gram.dtype, device=gram.device)

    def _shares(self, lengths: list[float], positions: Sequence[int]) -> list[float]:
        """The length c_t with which each task pulls, and notes this step's norms."""
        if self.recent is None:
            return [1.0] * len(lengths)
        counts, logarithms = self._counts, self._log_mean_squares
        shares = []
        for position, length in zip(positions, lengths, strict=True):
            counts[position] += 1
            new = 1.0 / min(counts[position], self.recent)
            mean = (1.0 - new) * math.exp(logarithms[position]) + new * length * length
            logarithms[position] = math.log(mean) if mean > 0 else -math.inf
            shares.append(min(1.0, length / math.sqrt(mean)) if mean > 0 else 1.0)
        return shares

    def _bargained(self, gram: Array, inverse: Array, size: Array) -> Array:
        """Weights a_t/||g_t||, [T], of the direction d = -sum_t a_t u_t; size [T] is a step's, by task."""
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
        more = "" if self.recent is None else f", recent={self.recent}"
        return f"steps={self.steps}, radius={self.radius}, step_size={self.step_size}{more}"
