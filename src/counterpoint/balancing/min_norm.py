"""The min-norm point of the convex hull of T vectors, exact, from their Gram matrix, with a certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from counterpoint.balancing.checked_gram import NEGATIVE, NOT_FINITE, NOT_PSD, checked_gram
from counterpoint.balancing.interior_point import interior_point
from counterpoint.balancing.pivoting import Array, Mask, exchange

W = TypeVar("W", Array, Tensor)

# A gap below this share of the optimum is accepted as it is (1e-9 is promised) ...
_EXACT = 1e-10
# ... and below this many units of rounding it cannot be told from zero.
_ROUNDING = 8 * np.finfo(np.float64).eps
# Added to the unit diagonal so that rank-deficient systems have one solution, the one of least norm: large
# enough for rounding not to choose among the solutions, small enough for refinement to remove its effect. Nearly
# parallel vectors need the finer one.
_RIDGE = 1e-11
_FINE_RIDGE = 1e-13
_FINEST_RIDGE = 1e-15
_LARGEST_RIDGE = 1e-2
# Slack of a task outside the support that rounding may have put there.
_CLOSE = 1e-9
# Squared norms outside this range are scaled first; below this share of the largest a vector is zero.
_SMALL, _LARGE, _VANISHED = 1e-100, 1e100, 1e-200


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
        start: Weights [T] of a similar problem, on any device; their support is tried first.

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
    matrix = checked_gram(gram)
    begin = start.detach().to("cpu").numpy() if isinstance(start, Tensor) else start
    if begin is not None and np.shape(begin) != (len(matrix),):
        raise ValueError(f"start has shape {list(np.shape(begin))}, expected [{len(matrix)}], one weight a task")
    weights, iterations = solve(matrix, begin)
    point = _certified(matrix, weights, iterations)
    if isinstance(gram, Tensor):
        return MinNormPoint(torch.from_numpy(weights).to(gram.device), point.norm_squared, point.gap, point.iterations)
    return point


def solve(gram: Array, start: Array | None = None) -> tuple[Array, int]:
    """:func:`min_norm_point` for a Gram matrix that needs no checks: weights [T] and the number of linear systems."""
    # Lists and few array operations: between two passes through a network every first call of one is a cache miss.
    squares = gram.diagonal().tolist()
    shortest, longest = min(squares), max(squares)
    if not (shortest > _SMALL and longest < _LARGE):
        if not all(0 <= square < math.inf for square in squares):
            raise ValueError(NOT_PSD if shortest < 0 else NOT_FINITE)
        zero = np.array([square <= _VANISHED * longest for square in squares])
        if zero.any():
            return zero / np.count_nonzero(zero), 0
        gram, shortest = gram / longest, shortest / longest
    if len(gram) == 2:
        return _closed_form(gram), 0
    if len(gram) == 1:
        return np.ones(1), 0
    # In v_t = w_t ||g_t|| the problem min w'Gw, sum w = 1 reads min v'Cv, b'v = 1 with unit diagonal C. On that plane
    # adding (b'v)^2 changes nothing, but makes v'(C + bb')v positive where zero lies in the hull, so that the
    # constraint can be dropped: up to a factor, v minimizes v'(C + bb')v / 2 - b'v over v >= 0.
    b = math.sqrt(shortest) / np.sqrt(gram.diagonal())
    scaled = gram * (1.0 / shortest)  # C = G / (norms norms') = (G / shortest) * bb'
    scaled += 1.0
    scaled *= b * b[:, None]
    support = None
    if start is not None and len(start) == len(gram) and 0 < np.count_nonzero(start) < len(gram):
        support = start > 0
    ridge = _RIDGE
    while ridge < _LARGEST_RIDGE:
        try:
            point = _search(gram, scaled, b, ridge, support)
        except np.linalg.LinAlgError:  # G is indefinite by the rounding of low-precision inner products
            ridge *= 100.0
        else:
            return point.weights, point.iterations
    raise ValueError(NOT_PSD)


def _search(gram: Array, scaled: Array, b: Array, ridge: float, support: Mask | None) -> MinNormPoint[Array]:
    found = exchange(scaled, b, ridge, support)
    point = _certified(gram, found.v * b, found.rounds)
    if point.gap <= _EXACT * point.norm_squared:  # in training, nearly always
        return point
    candidates, rounds = [point], found.rounds

    def consider(v: Array) -> bool:
        candidates.append(_certified(gram, v * b, rounds))
        return _is_certain(gram, candidates[-1])

    certain = False
    if found.settled:
        v = found.refined()
        certain, support = consider(v), _touching(scaled, b, v)
    else:
        v, r, iterations = interior_point(scaled + ridge * np.eye(len(b)), b)
        rounds += iterations
        consider(v)
        support = v > np.minimum(r, v.max() / 2)
    for polish in (ridge, min(ridge, _FINE_RIDGE * len(b))):
        if certain:
            break
        try:
            found = exchange(scaled, b, polish, support)
        except np.linalg.LinAlgError:  # G is indefinite by rounding: the coarser answer stands
            break
        rounds += found.rounds
        v = found.refined()
        certain, support = consider(v), _touching(scaled, b, v)
    if not certain:  # a tenth of a percent where zero lies on the hull's border: give up the solution of least norm
        v, _, iterations = interior_point(scaled + _FINEST_RIDGE * np.eye(len(b)), b)
        rounds += iterations
        consider(v)
    best = min(candidates, key=lambda candidate: candidate.gap)
    return MinNormPoint(best.weights, best.norm_squared, best.gap, rounds)


def _touching(scaled: Array, b: Array, v: Array) -> Mask:
    """Indices inside, or so close to the border that rounding put them outside."""
    return (v > 0) | (scaled @ v - b < _CLOSE)


def _closed_form(gram: Array) -> Array:
    (first, cross), (_, second) = gram.tolist()
    if cross >= first and cross >= second:  # identical vectors, or two of zero
        return np.array([0.5, 0.5])
    if cross >= first:
        return np.array([1.0, 0.0])
    if cross >= second:
        return np.array([0.0, 1.0])
    length = first + second - 2.0 * cross
    return np.array([(second - cross) / length, (first - cross) / length])


def _certified(gram: Array, weights: Array, iterations: int) -> MinNormPoint[Array]:
    weights = weights / sum(weights.tolist())
    slopes = gram @ weights
    norm_squared = float(weights @ slopes)
    if norm_squared < -NEGATIVE * float(gram.diagonal().max()):
        raise ValueError(NOT_PSD)
    gap = max(0.0, norm_squared - min(slopes.tolist()))
    return MinNormPoint(weights, max(0.0, norm_squared), gap, iterations)


def _is_certain(gram: Array, point: MinNormPoint[Array]) -> bool:
    if point.gap <= _EXACT * point.norm_squared:
        return True
    norms = np.sqrt(gram.diagonal())
    rounding = _ROUNDING * float(norms.max()) * float(point.weights @ norms)
    return bool(point.gap <= rounding)
