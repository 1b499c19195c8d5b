"""The min-norm point of the convex hull of T vectors, exact, from their Gram matrix, with a certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, overload

import numpy as np
import torch
from scipy.linalg.lapack import dpotrf, dpotrs
from torch import Tensor

from counterpoint.balancing.interior_point import interior_point

Array = np.ndarray[Any, np.dtype[np.float64]]
W = TypeVar("W", Array, Tensor)

# A gap below this share of the optimum is exact for every purpose ...
_EXACT = 1e-9
# ... and below this many units of rounding it cannot be told from zero.
_ROUNDING = 8 * np.finfo(np.float64).eps
# Added to the unit diagonal, per task, so that rank-deficient systems have one solution, the one of least norm: large
# enough for rounding not to choose among the solutions, small enough for refinement to remove its effect. Nearly
# parallel vectors need the finer one.
_RIDGE = 1e-11
_FINE_RIDGE = 1e-13
_LARGEST_RIDGE = 1e-2
# Exchanges in a row that may fail to reduce the number of violations (Kim & Park 2011 use 3).
_PATIENCE = 3
_SIGN_TOLERANCE = 1e-13
# Inner products of half-precision gradients may be this far from positive semidefinite, relative to the largest norm.
_NEGATIVE = 1e-3
_NOT_PSD = "gram is not positive semidefinite, expected inner products of one set of vectors"


@dataclass(frozen=True, eq=False)
class MinNormPoint(Generic[W]):
    """A point of the simplex with a proof of how good it is.

    Attributes:
        weights: [T], non-negative with sum 1.
        norm_squared: w'Gw, the squared norm of the weighted sum of the vectors.
        gap: w'Gw - min_t (Gw)_t, the duality gap: no point of the hull has a squared norm below
            ``norm_squared - 2 * gap``, and the weighted sum makes an inner product of at least
            ``norm_squared - gap`` with every vector.
        iterations: Linear systems solved; 0 for a closed form.
    """

    weights: W
    norm_squared: float
    gap: float
    iterations: int


@overload
def min_norm_point(gram: Tensor, *, start: Tensor | Array | None = None) -> MinNormPoint[Tensor]: ...
@overload
def min_norm_point(gram: Array, *, start: Tensor | Array | None = None) -> MinNormPoint[Array]: ...
def min_norm_point(
    gram: Tensor | Array, *, start: Tensor | Array | None = None
) -> MinNormPoint[Tensor] | MinNormPoint[Array]:
    r"""Minimizes w'Gw over the simplex.

    T = 2 in closed form (Sener & Koltun 2018, Algorithm 1). T > 2 by block principal pivoting on variables scaled by
    the vectors' norms; where that does not settle (rank-deficient G, zero on the border of the hull), by an
    interior-point method whose active set is then polished. ``gap`` is the certificate: at most 1e-9 of the optimum,
    or, where the optimum is smaller than that (zero lies in the hull), the rounding error of fp64.

    Where several w are optimal (duplicate vectors, zero inside the hull), the one with the least sum of
    w_t^2 G_tt is returned, so that the answer does not depend on the order of the tasks or on ``start``. With zero
    vectors among the given ones these share the weight equally.

    Args:
        gram: [T, T] symmetric positive semidefinite, tensor or array.
        start: Weights [T] of a similar problem; their support is tried first.

    Returns:
        The point; ``weights`` is fp64, a tensor if ``gram`` is one.

    Raises:
        ValueError: if ``gram`` is not square, finite, symmetric and positive semidefinite beyond rounding.

    Example:
        >>> point = min_norm_point(np.diag([1.0, 2.0, 4.0]))
        >>> point.weights.round(4)
        array([0.5714, 0.2857, 0.1429])
        >>> point.gap <= 1e-9 * point.norm_squared
        True
    """
    matrix = _checked(gram)
    support = None if start is None else np.asarray(start) > 0
    point = _solve(matrix, support)
    if isinstance(gram, Tensor):
        weights = torch.from_numpy(point.weights).to(gram.device)
        return MinNormPoint(weights, point.norm_squared, point.gap, point.iterations)
    return point


def _checked(gram: Tensor | Array) -> Array:
    matrix = gram.detach().to("cpu", torch.float64).numpy() if isinstance(gram, Tensor) else np.asarray(gram, float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) == 0:
        raise ValueError(f"gram has shape {list(matrix.shape)}, expected a square matrix [T, T] with T >= 1")
    diagonal = matrix.diagonal()
    largest = float(np.abs(matrix).max())
    if not math.isfinite(largest):
        raise ValueError("gram holds NaN or infinity, expected inner products of finite gradients")
    if diagonal.min() < 0 or largest > diagonal.max() * (1 + _NEGATIVE):
        raise ValueError(_NOT_PSD)
    if float(np.abs(matrix - matrix.T).max()) > 1e-3 * largest:
        raise ValueError("gram is not symmetric, expected inner products of one set of vectors")
    return cast("Array", 0.5 * (matrix + matrix.T))


def _solve(gram: Array, support: np.ndarray[Any, np.dtype[np.bool_]] | None) -> MinNormPoint[Array]:
    zero = gram.diagonal() == 0
    if zero.any():
        return MinNormPoint(zero / np.count_nonzero(zero), 0.0, 0.0, 0)
    if len(gram) == 1:
        return MinNormPoint(np.ones(1), float(gram[0, 0]), 0.0, 0)
    if len(gram) == 2:
        return _certified(gram, _closed_form(gram), 0)
    norms = np.sqrt(gram.diagonal())
    # In v_t = w_t ||g_t|| the problem min w'Gw, sum w = 1 reads min v'Cv, b'v = 1 with unit diagonal C. On that plane
    # adding (b'v)^2 changes nothing, but makes v'(C + bb')v positive where zero lies in the hull, so that the
    # constraint can be dropped: up to a factor, v minimizes v'(C + bb')v / 2 - b'v over v >= 0.
    b = norms.min() / norms
    scaled = gram / norms / norms[:, None] + b * b[:, None]
    if support is None or len(support) != len(gram) or not support.any():
        support = np.ones(len(gram), dtype=bool)
    ridge = _RIDGE * len(gram)
    while ridge < _LARGEST_RIDGE:
        try:
            return _search(gram, scaled, b, ridge, support)
        except np.linalg.LinAlgError:  # G is indefinite by the rounding of low-precision inner products
            ridge *= 100.0
    raise ValueError(_NOT_PSD)


def _search(
    gram: Array, scaled: Array, b: Array, ridge: float, support: np.ndarray[Any, np.dtype[np.bool_]]
) -> MinNormPoint[Array]:
    fine = min(ridge, _FINE_RIDGE * len(b))
    v, rounds, settled = _exchange(scaled, b, ridge, support)
    point = _certified(gram, v * b, rounds)
    if _is_certain(gram, point):
        return point
    best = [point]
    if not settled:
        v, r, iterations = interior_point(scaled + ridge * np.eye(len(b)), b)
        rounds += iterations
        best.append(_certified(gram, v * b, rounds))
        v = np.where(v > r, v, 0.0)
    for polish in (ridge, fine) if not settled else (fine,):
        try:
            v, more, _ = _exchange(scaled, b, polish, v > 0)
        except np.linalg.LinAlgError:  # G is indefinite by rounding: the coarser answer stands
            break
        rounds += more
        best.append(_certified(gram, v * b, rounds))
        if _is_certain(gram, best[-1]):
            break
    chosen = min(best, key=lambda candidate: candidate.gap)
    return MinNormPoint(chosen.weights, chosen.norm_squared, chosen.gap, rounds)


def _exchange(
    scaled: Array, b: Array, ridge: float, support: np.ndarray[Any, np.dtype[np.bool_]]
) -> tuple[Array, int, bool]:
    """Block principal pivoting (Júdice & Pires 1994): all indices that violate a sign change sides at once.

    Returns v >= 0, the number of exchanges, and whether no violation was left.
    """
    fewest, patience, rounds = len(b) + 1, _PATIENCE, 0
    v = np.zeros(len(b))
    while True:
        rounds += 1
        inside = np.flatnonzero(support)
        system = scaled[inside[:, None], inside]
        system.ravel()[:: len(inside) + 1] += ridge
        factor, failed = dpotrf(system, lower=0, overwrite_a=0, clean=0)
        if failed:
            raise np.linalg.LinAlgError
        target = b[inside]
        x = dpotrs(factor, target)[0]
        v[:] = 0.0
        v[inside] = x
        slack = scaled @ v - b + ridge * v
        wrong = np.where(support, v, slack) < -_SIGN_TOLERANCE
        count = int(np.count_nonzero(wrong))
        if count < fewest:
            fewest, patience = count, _PATIENCE
        else:
            patience -= 1
        support = support ^ wrong
        if count == 0 or patience < 0 or not support.any():
            break
    system.ravel()[:: len(inside) + 1] -= ridge
    v[inside] = np.maximum(_refined(system, factor, target, x), 0.0)
    return v, rounds, count == 0


def _refined(system: Array, factor: Array, target: Array, x: Array) -> Array:
    """Iterative refinement; also takes out the ridge, as steps of the proximal-point method do."""
    residual = target - system @ x
    size = float(np.abs(residual).max())
    for _ in range(3):
        candidate = x + dpotrs(factor, residual)[0]
        residual = target - system @ candidate
        smaller = float(np.abs(residual).max())
        if smaller >= size:
            break
        x, size = candidate, smaller
    return x


def _closed_form(gram: Array) -> Array:
    (first, cross), (_, second) = gram.tolist()
    if cross >= first and cross >= second:  # identical vectors
        return np.array([0.5, 0.5])
    if cross >= first:
        return np.array([1.0, 0.0])
    if cross >= second:
        return np.array([0.0, 1.0])
    length = first + second - 2.0 * cross
    return np.array([(second - cross) / length, (first - cross) / length])


def _certified(gram: Array, weights: Array, iterations: int) -> MinNormPoint[Array]:
    weights = weights / weights.sum()
    slopes = gram @ weights
    norm_squared = float(weights @ slopes)
    if norm_squared < -_NEGATIVE * float(gram.diagonal().max()):
        raise ValueError(_NOT_PSD)
    gap = max(0.0, norm_squared - float(slopes.min()))
    return MinNormPoint(weights, max(0.0, norm_squared), gap, iterations)


def _is_certain(gram: Array, point: MinNormPoint[Array]) -> bool:
    norms = np.sqrt(gram.diagonal())
    rounding = _ROUNDING * float(norms.max()) * float(point.weights @ norms)
    return point.gap <= max(_EXACT * point.norm_squared, rounding)
