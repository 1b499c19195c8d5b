"""Block principal pivoting for the nonnegative quadratic program behind the min-norm point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.lapack import dposv, dpotrs

Array = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

# Exchanges in a row that may fail to reduce the number of violations. Kim & Park (2011) go on with single exchanges
# after 3; with 6, rank-deficient problems (T = 40, d = 30) settle in 99 % of cases instead of 80 %.
_PATIENCE = 6
_SIGN_TOLERANCE = 1e-13


@dataclass(frozen=True, eq=False)
class Exchanged:
    """Where pivoting ended: v >= 0 [T], and the linear system that it solves on its support."""

    v: Array
    rounds: int
    settled: bool
    inside: np.ndarray[Any, np.dtype[np.intp]]
    system: Array
    factor: Array
    target: Array
    x: Array

    def refined(self) -> Array:
        """The same v after iterative refinement, which takes out the ridge as proximal-point steps do."""
        x = self.x
        residual = self.target - self.system @ x
        size = float(np.abs(residual).max())
        for _ in range(3):
            candidate = x + dpotrs(self.factor, residual)[0]
            residual = self.target - self.system @ candidate
            smaller = float(np.abs(residual).max())
            if smaller >= size:
                break
            x, size = candidate, smaller
        v = np.zeros_like(self.v)
        v[self.inside] = np.maximum(x, 0.0)
        return v


def exchange(scaled: Array, b: Array, ridge: float, support: Mask | None = None) -> Exchanged:
    """Minimizes v'Mv/2 - b'v over v >= 0: all indices that violate a sign change sides at once.

    Júdice & Pires (1994). May cycle where M is nearly singular; ``settled`` tells.

    Args:
        scaled: M, [T, T], symmetric positive semidefinite with diagonal of size 1 to 2.
        b: [T], positive, at most 1.
        ridge: Added to M's diagonal.
        support: [T], where v is expected to be positive; everywhere by default.

    Raises:
        numpy.linalg.LinAlgError: if M plus the ridge is not positive definite.

    Example:
        >>> found = exchange(np.array([[1.0, 0.9], [0.9, 1.0]]), np.array([1.0, 0.5]), 0.0)
        >>> found.v, found.rounds, found.settled
        (array([1., 0.]), 2, True)
    """
    fewest, patience, rounds = len(b) + 1, _PATIENCE, 0
    if support is None:
        factor, x = _solved(scaled, b, ridge)
        rounds, positive = 1, [value >= -_SIGN_TOLERANCE for value in x.tolist()]
        if all(positive):
            return Exchanged(np.maximum(x, 0.0), rounds, True, np.arange(len(b)), scaled, factor, b, x)
        fewest, support = len(b) - sum(positive), np.array(positive)
    while True:
        rounds += 1
        inside = np.flatnonzero(support)
        system = scaled[inside[:, None], inside]
        target = b[inside]
        factor, x = _solved(system, target, ridge)
        v = np.zeros(len(b))
        v[inside] = x
        wrong = np.where(support, v, scaled @ v - b) < -_SIGN_TOLERANCE
        count = int(np.count_nonzero(wrong))
        if count < fewest:
            fewest, patience = count, _PATIENCE
        else:
            patience -= 1
        changed = support ^ wrong
        if count == 0 or patience < 0 or not changed.any():
            return Exchanged(np.maximum(v, 0.0), rounds, count == 0, inside, system, factor, target, x)
        support = changed


def _solved(system: Array, target: Array, ridge: float) -> tuple[Array, Array]:
    """Cholesky factor of the system plus the ridge, and the solution."""
    regular = system.copy()
    regular.ravel()[:: len(target) + 1] += ridge
    factor, x, failed = dposv(regular, target, lower=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError
    return factor, x
