"""The point where every task gains in fair proportion: G w = w^(-1/alpha), from the Gram matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.linalg.lapack import dposv

Array = np.ndarray[Any, np.dtype[np.float64]]

_EXACT = 1e-10
# Where (Gw)_t is a small difference of large numbers, fp64 cannot tell a smaller residual from rounding ...
_ROUNDING = 8 * np.finfo(np.float64).eps
# ... and a point whose residual is rounding up to this share is no solution at all.
_LARGEST_ROUNDING = 1e-4
# Residual to which the problem with a ridge is solved: it is not the given problem anyway.
_NEAR = 1e-6
# Added to a unit diagonal where there is no solution, one after the other as long as that works. The first dominates
# the matrix for any T; the last is about the precision to which fp32 gradients know their inner products.
_RIDGES = (1e4, 1e2, 10.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
# Systems solved from v = 1; 4 are typical, 12 are many. Following the path from alpha = 1 may take more.
_ROUNDS, _PATH_ROUNDS = 25, 100
# Largest change of log v + alpha log s asked of a step on that path; 2 to 5 do equally well.
_STRIDE = 2.0


def fair_point(gram: Array, alpha: float, start: Array | None = None) -> tuple[Array, float, int]:
    r"""Solves G w = w^(-1/alpha), elementwise, for positive w: alpha = 1 is the Nash bargaining solution.

    With E_t = ||g_t||^(-2 alpha/(1 + alpha)) and w = E v the equation reads M v = q v^(-1/alpha), where M = E G E and
    q is M's diagonal: v = 1 for orthogonal gradients, whatever their norms. It is the stationarity of a convex
    function; Newton's method treats v and s = (Mv)/q as two unknowns tied by log v + alpha log s = 0, as an
    interior-point method does, which takes few steps for any alpha. Sources: Nash-MTL (`Navon et al. 2022
    <https://arxiv.org/abs/2202.01017>`_, Claim 3.1), FairGrad (`Ban & Ji 2024 <https://arxiv.org/abs/2402.15638>`_,
    Eq. 4).

    There is no solution where zero lies inside the convex hull of the gradients, for instance for two opposite ones.
    M + ridge diag(q) then takes the place of M, with a ridge lowered to 1e-8 or as far as that works: finite weights
    whose update w'Gw is small, as it should be at a Pareto-stationary point. A residual above 1e-4 tells of it. The
    same happens where alpha is far from 1 and 2 and the norms span twelve orders of magnitude.

    Args:
        gram: [T, T] inner products of finite gradients, fp64; not checked.
        alpha: Fairness, positive.
        start: Weights [T] of a similar problem.

    Returns:
        The weights [T], zero for a task whose gradient is zero; the residual max_t |w_t^(1/alpha) (Gw)_t - 1| over the
        others, at most 1e-10 or what rounding leaves of (Gw)_t; and the number of linear systems solved.

    Raises:
        ValueError: if alpha is not positive and finite.

    Example:
        >>> weights, residual, _ = fair_point(np.array([[4.0, 1.0], [1.0, 1.0]]), alpha=1.0)
        >>> weights.round(4), residual < 1e-10
        (array([0.4082, 0.8165]), True)
    """
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha={alpha}, expected a positive finite number")
    squares = gram.diagonal()
    if min(squares.tolist()) <= 0:
        return _without_zeros(gram, alpha, start)
    with np.errstate(all="ignore"):
        sizes = squares ** (-alpha / (1.0 + alpha))
        scaled = gram * (sizes * sizes[:, None])
        v, iterations = _solution(scaled, alpha, None if start is None else start / sizes)
        residual = _residual(scaled, v, alpha)
    return v * sizes, residual, iterations


def _without_zeros(gram: Array, alpha: float, start: Array | None) -> tuple[Array, float, int]:
    used = gram.diagonal() > 0
    weights = np.zeros(len(gram))
    if not used.any():
        return weights, 0.0, 0
    begin = start[used] if start is not None and len(start) == len(gram) else None
    weights[used], residual, iterations = fair_point(gram[np.ix_(used, used)], alpha, begin)
    return weights, residual, iterations


def _solution(scaled: Array, alpha: float, start: Array | None) -> tuple[Array, int]:
    q = scaled.diagonal().copy()
    ones = np.ones(len(q))
    warm = (
        start is not None and start.shape == ones.shape and min(start.tolist()) > 0 and max(start.tolist()) < math.inf
    )
    begins = [start, ones] if warm and start is not None else [ones]
    total = 0
    for begin in begins:
        v, rounds = _newton(scaled, q, _stretched(scaled, q, begin, alpha), alpha)
        total += rounds
        if v is not None:
            return v, total
    if alpha != 1.0:  # norms that span many orders: follow the path from the Nash solution, which does not mind
        norms = np.sqrt(q)
        nash, rounds = _newton(scaled / norms / norms[:, None], ones, ones, 1.0)
        total += rounds
        if nash is not None:
            v, rounds = _newton(scaled, q, nash / norms, alpha, rounds=_PATH_ROUNDS, stride=_STRIDE)
            total += rounds
            if v is not None:
                return v, total
    best = ones
    for ridge in _RIDGES:
        matrix = scaled + np.diag(ridge * q)
        v, rounds = _descent(matrix, q, _stretched(matrix, q, best, alpha), alpha)
        total += rounds
        if v is None:
            break
        best = v
    return best, total


def _stretched(matrix: Array, q: Array, v: Array, alpha: float) -> Array:
    """The best multiple of v: the convex function's minimum on that ray."""
    curvature, pull = float(v @ matrix @ v), float(q @ v ** (1.0 - 1.0 / alpha))
    if curvature <= 1e-12 * pull:
        return v
    return np.asarray(v * (pull / curvature) ** (alpha / (1.0 + alpha)))


def _newton(
    matrix: Array, q: Array, v: Array, alpha: float, *, rounds: int = _ROUNDS, stride: float = math.inf
) -> tuple[Array | None, int]:
    """Solves M v = q v^(-1/alpha); ``None`` where that fails."""
    p = matrix @ v / q
    s = np.maximum(p, 0.1 * v ** (-1.0 / alpha))  # positive also where v is far from feasible
    for iteration in range(rounds + 1):
        residual = max(np.abs(p * v ** (1.0 / alpha) - 1.0).tolist())
        if residual <= _EXACT or (iteration > 5 and residual <= _rounding(matrix, q, v, p)):
            return v, iteration
        c = np.log(v) + alpha * np.log(s)
        if iteration == rounds or not math.isfinite(sum(c.tolist())):
            break
        if stride < math.inf:
            c = c.clip(-stride, stride)
        qs = q * s
        hessian = matrix.copy()
        hessian.reshape(-1)[:: len(q) + 1] += qs / (alpha * v)
        _, dv, failed = dposv(hessian, qs * (1.0 - c / alpha) - q * p, lower=1, overwrite_a=1, overwrite_b=1)
        if failed:
            break
        dv /= v
        v, s = _moved(v, dv), _moved(s, (c + dv) / -alpha)
        p = matrix @ v / q
        s = np.where(p > 0.1 * s, p, s)
    return None, iteration


def _descent(matrix: Array, q: Array, v: Array, alpha: float) -> tuple[Array | None, int]:
    """The same by damped Newton steps on the convex function: more of them, but they cannot run away."""
    for iteration in range(_PATH_ROUNDS):
        slopes = matrix @ v - q * v ** (-1.0 / alpha)
        if float(np.abs(slopes / q * v ** (1.0 / alpha)).max()) <= _NEAR:
            return v, iteration
        hessian = matrix + np.diag(q * v ** (-1.0 / alpha - 1.0) / alpha)
        _, dv, failed = dposv(hessian, -slopes, lower=1)
        step = min(1.0, 0.95 / max(1e-300, float((-dv / v).max())))
        # On the segment the function is convex: the slope at the far end tells whether the step went too far.
        while not failed and step > 1e-8:
            far = v + step * dv
            if float(dv @ (matrix @ far - q * far ** (-1.0 / alpha))) <= 0.5 * abs(float(dv @ slopes)):
                break
            step *= 0.5
        if failed or not step > 1e-8:
            break
        v = far
    return None, iteration


def _moved(x: Array, share: Array) -> Array:
    """A step that keeps x positive: Newton's own where x grows, the exponential of equal slope where it shrinks."""
    return np.asarray(x * np.where(share < 0, np.exp(np.minimum(share, 0.0)), 1.0 + share))


def _rounding(matrix: Array, q: Array, v: Array, p: Array) -> float:
    share = _ROUNDING * float((np.abs(matrix) @ v / (q * np.maximum(p, 1e-300))).max())
    return share if share <= _LARGEST_ROUNDING else 0.0


def _residual(scaled: Array, v: Array, alpha: float) -> float:
    return float(np.abs(v ** (1.0 / alpha) * (scaled @ v) / scaled.diagonal() - 1.0).max())
