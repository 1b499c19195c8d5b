"""The paper's solver for the min-norm point: Frank-Wolfe with exact line search."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

# Published stopping rule: the weights moved by less than this in one iteration.
_SMALLEST_MOVE = 1e-5


def frank_wolfe(gram: Array, max_iterations: int = 250) -> Array:
    """Minimizes w'Gw over the simplex by Frank-Wolfe (Sener & Koltun 2018, Algorithm 2).

    Converges like 1/iterations, so it stops short of the optimum on badly scaled or rank-deficient Gram matrices;
    kept as the paper's algorithm. :func:`min_norm_point` is exact.

    Args:
        gram: [T, T] symmetric positive semidefinite.
        max_iterations: Most iterations.

    Returns:
        Weights [T], non-negative with sum 1.

    Example:
        >>> frank_wolfe(np.diag([1.0, 3.0])).round(3)
        array([0.75, 0.25])
    """
    weights = np.full(len(gram), 1.0 / len(gram))
    for _ in range(max_iterations):
        slopes = gram @ weights
        vertex = int(np.argmin(slopes))
        here, cross, there = float(weights @ slopes), float(slopes[vertex]), float(gram[vertex, vertex])
        if here <= cross:  # no vertex lies below the current point: optimal
            break
        # Closed-form minimum over the segment from the current point to the vertex (Algorithm 1), in [0, 1].
        step = 1.0 if there <= cross else (here - cross) / (here + there - 2.0 * cross)
        move = -step * weights
        move[vertex] += step
        weights = weights + move
        if float(np.abs(move).sum()) < _SMALLEST_MOVE:
            break
    return weights
