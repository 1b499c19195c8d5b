"""Projections onto the dual cone of the gradients, for TorchJD's UPGrad and DualProj."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchjd.linalg import DualConeProjector

from counterpoint.balancing.weightings.many_projections import many_projections

Array = np.ndarray[Any, np.dtype[Any]]

_ROUNDS = 30
_PATIENCE = 6  # exchanges in a row that may not reduce the violations, before they are made one at a time
_TOLERANCE = 1e-11
# From so many tasks on, a linear system for each of them costs more than iterations for all together.
_MANY = 64
_AT_ONCE = 32  # systems of so many tasks that are held at once
# As TorchJD has them: a Gram matrix with a smaller trace counts as zero; the ridge is relative to the trace.
_SMALLEST_TRACE, _RIDGE = 1e-4, 1e-4


class PivotingProjector(DualConeProjector):
    """All projections at once, by block principal pivoting: min v'Gv over v >= u for each row u of U.

    TorchJD solves one quadratic program a task; here all exchange their active sets together, in batches of linear
    systems, started from those of the step before. From 64 tasks on the systems are solved by conjugate gradients, to
    1e-9 of the largest slope. The problem is TorchJD's, with its normalization and ridge (which make it strictly
    convex), so the weights are the same. Source: Proposition 1 of `Jacobian Descent for Multi-Objective Optimization
    <https://arxiv.org/abs/2406.16232>`_; Júdice & Pires (1994) for the exchanges.

    Example:
        >>> gram = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)
        >>> PivotingProjector()(torch.eye(2, dtype=torch.float64), gram).round(decimals=3)
        tensor([[1.0000, 0.5000],
                [0.5000, 1.0000]], dtype=torch.float64)
    """

    def __init__(self) -> None:
        self._previous: Array | None = None

    def __call__(self, U: Tensor, G: Tensor) -> Tensor:
        """Weights of the projections, shaped like ``U`` [..., T]."""
        gram = G.detach().cpu().double().numpy()
        lower = U.detach().cpu().double().numpy().reshape(-1, len(gram))
        trace = float(np.trace(gram))
        gram = gram / trace if trace >= _SMALLEST_TRACE else np.zeros_like(gram)
        gram = gram + _RIDGE * np.eye(len(gram))
        return torch.from_numpy(lower + self._raised(gram, lower)).view(U.shape).to(G.device, G.dtype)

    def _raised(self, gram: Array, lower: Array) -> Array:
        """What to add to each u, [k, T]: z >= 0 with (G(u + z))_i >= 0, and 0 wherever z_i > 0."""
        slopes = lower @ gram
        free = slopes < 0
        if self._previous is not None and self._previous.shape == free.shape:
            free = self._previous.copy()
        if len(gram) < _MANY or len(lower) == 1:
            raised, self._previous = _one_by_one(gram, slopes, free)
            return raised
        raised, self._previous, solved = many_projections(gram, slopes, free)
        for rows in np.split(np.flatnonzero(~solved), range(_AT_ONCE, int((~solved).sum()), _AT_ONCE)):
            raised[rows], self._previous[rows] = _one_by_one(gram, slopes[rows], self._previous[rows])
        return raised


def _one_by_one(gram: Array, slopes: Array, free: Array) -> tuple[Array, Array]:
    """Like :func:`many_projections`, by a linear system for each row in each round; it ends always."""
    scale = np.abs(slopes).max(axis=1, keepdims=True)
    slopes = slopes / np.where(scale > 0, scale, 1.0)
    free = free.copy()
    raised = np.zeros_like(slopes)
    open_ = np.arange(len(slopes))
    fewest, patience = np.full(len(slopes), gram.shape[0] + 1), np.full(len(slopes), _PATIENCE)
    for _ in range(_ROUNDS * (1 + len(gram))):
        inside = free[open_]
        raised[open_] = _solved(gram, slopes[open_], inside)
        wrong = np.where(inside, raised[open_], slopes[open_] + raised[open_] @ gram) < -_TOLERANCE
        count = wrong.sum(axis=1)
        better = count < fewest[open_]
        patience[open_] = np.where(better, _PATIENCE, patience[open_] - 1)
        fewest[open_] = np.minimum(count, fewest[open_])
        stuck = patience[open_] < 0
        if stuck.any():  # one at a time, the last: this rule ends always
            last = wrong.shape[1] - 1 - wrong[stuck][:, ::-1].argmax(axis=1)
            single = np.zeros_like(wrong[stuck])
            single[np.arange(len(last)), last] = True
            wrong[stuck] &= single
        free[open_] ^= wrong
        open_ = open_[count > 0]
        if not len(open_):
            break
    return np.maximum(raised, 0.0) * scale, free


def _solved(gram: Array, slopes: Array, inside: Array) -> Array:
    """The z that makes the slope zero on ``inside`` and is zero elsewhere, [k, T]."""
    both = inside[:, :, None] & inside[:, None, :]
    systems = np.where(both, gram, np.eye(len(gram)))
    return np.linalg.solve(systems, np.where(inside, -slopes, 0.0)[:, :, None])[:, :, 0]
