"""A bound on what any set can be worth, without looking at sets.

With R[j, t] = Z[j, t] - price_t, a set S of m tasks is worth

    1 / (m - 1) * sum over t in S of max(0, sum over j in S without t of R[j, t]).

For any antisymmetric c, adding c[t, j] to what j contributes to t changes nothing, since it comes off what t
contributes to j:

    sum over t in S of max(sum_j R[j, t] + c[t, j], sum_j c[t, j]).

Let every task choose its own m - 1 best partners, and take the m best tasks: no set of m tasks is worth more. The sum
of prices and tolls with this bound in place of the exact worth is convex in prices and c together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterpoint.grouping.problem import Array, Problem

# Stands for "must not be": above every sum of contributions, small enough for single precision.
FORBIDDEN = -1e6
# Each step keeps so much of the direction of the one before (Camerini, Fratta and Maffioli 1975): plain subgradients
# zigzag and stop two to three times as far from the least bound.
_DEFLECTION = 0.9
_PATIENCE = 20
_SHRINK = 0.7


def contributions(problem: Problem, prices: Array, multipliers: Array) -> tuple[Array, Array]:
    """What j gives t where t is served, and where it is not: both [T, T], pairs apart and the diagonal forbidden."""
    idle = multipliers.T.copy()
    served = idle.copy()
    served[:, problem.serve] += problem.values[:, problem.serve] - prices
    for matrix in (served, idle):
        matrix[problem.apart] = FORBIDDEN
        np.fill_diagonal(matrix, FORBIDDEN)
    return served, idle


def symmetric(problem: Problem, prices: Array) -> Array:
    """The multipliers that make contributions symmetric, a good start."""
    gains = np.zeros((problem.size, problem.size))
    gains[:, problem.serve] = problem.values[:, problem.serve] - prices
    np.fill_diagonal(gains, 0.0)
    return (gains - gains.T) / 2


@dataclass(frozen=True, eq=False)
class Ceilings:
    """Bounds on what sets are worth, by size.

    Attributes:
        by_size: [T + 1], -inf for sizes that are not allowed.
        size: The size with the highest.
        slope_prices: [n] subgradient of the highest by prices.
        slope_multipliers: [T, T] subgradient of the highest by multipliers.
    """

    by_size: Array
    size: int
    slope_prices: Array
    slope_multipliers: Array


def ceilings(problem: Problem, prices: Array, multipliers: Array, only: int = 0) -> Ceilings:
    """The bound for every size (or ``only`` one) from one sort."""
    size, largest = problem.size, problem.largest
    served, idle = contributions(problem, prices, multipliers)
    order_served, order_idle = np.argsort(-served, axis=0, kind="stable"), np.argsort(-idle, axis=0, kind="stable")
    sums_served = np.cumsum(np.take_along_axis(served, order_served, 0), axis=0)
    sums_idle = np.cumsum(np.take_along_axis(idle, order_idle, 0), axis=0)
    best = np.maximum(sums_served, sums_idle)  # [T, T]: row i = with i + 1 partners
    totals = np.cumsum(-np.sort(-best, axis=1), axis=1)
    by_size = np.full(size + 1, -np.inf)
    sizes = np.array([only]) if only else np.arange(2, largest + 1)
    by_size[sizes] = np.maximum(totals[sizes - 2, sizes - 1] / (sizes - 1), 0.0)
    slope_prices, slope = np.zeros(len(problem.serve)), np.zeros((size, size))
    if np.isfinite(problem.alone) and not only:
        by_size[1] = max(0.0, float((problem.alone - prices).max()))
    top = int(by_size.argmax())
    if top == 1:
        slope_prices[int(prices.argmin())] = -1.0
    elif by_size[top] > 0:
        chosen = np.argsort(-best[top - 2], kind="stable")[:top]
        is_served = sums_served[top - 2] >= sums_idle[top - 2]
        taken = np.zeros((size, size))
        for task in chosen:
            partners = (order_served if is_served[task] else order_idle)[: top - 1, task]
            taken[partners, task] = 1.0 / (top - 1)
        slope = taken.T - taken
        slope_prices = -(is_served & np.isin(np.arange(size), chosen)).astype(float)[problem.serve]
    return Ceilings(by_size, top, slope_prices, slope)


@dataclass(frozen=True, eq=False)
class Relaxed:
    """Prices and multipliers with a low bound, and the bound: no selection has a higher value."""

    prices: Array
    multipliers: Array
    bound: float


def relax(problem: Problem, prices: Array, goal: float, rounds: int, expired: Callable[[], bool]) -> Relaxed:
    """Lowers the bound by deflected subgradient steps in prices and multipliers, Polyak's length towards ``goal``."""
    multipliers = symmetric(problem, prices)
    best = Relaxed(prices, multipliers, np.inf)
    length, failures = 1.0, 0
    along, turned = np.zeros_like(prices), np.zeros_like(multipliers)
    for _ in range(rounds):
        at = ceilings(problem, prices, multipliers)
        excess = max(0.0, float(at.by_size[at.size]) - problem.cost)
        bound = float(prices.sum()) + problem.networks * excess
        if bound < best.bound - 1e-5 * abs(bound - goal):
            best, failures = Relaxed(prices, multipliers, bound), 0
        else:
            failures += 1
            if failures >= _PATIENCE:
                length, failures = length * _SHRINK, 0
        pull = problem.networks if excess > 0 else 0
        along = 1.0 + pull * at.slope_prices + _DEFLECTION * along
        turned = pull * at.slope_multipliers + _DEFLECTION * turned
        steepness = float((along**2).sum() + (turned**2).sum() / 2)
        if bound <= goal or steepness == 0.0 or expired():
            break
        step = length * (bound - goal) / steepness
        prices = prices - step * along
        multipliers = multipliers - step / 2 * turned
    return best


def balance(problem: Problem, prices: Array, multipliers: Array, goal: float, *, rounds: int, size: int = 0) -> Array:
    """Multipliers for which the bound on one size (0: on the worst) is low, at fixed prices."""
    best, least = multipliers, np.inf
    length, failures = 1.0, 0
    turned = np.zeros_like(multipliers)
    for _ in range(rounds):
        at = ceilings(problem, prices, multipliers, size)
        top = float(at.by_size[at.size])
        if top < least - 1e-9:
            best, least, failures = multipliers, top, 0
        else:
            failures += 1
            if failures >= _PATIENCE // 2:
                length, failures = length * _SHRINK, 0
        turned = at.slope_multipliers + _DEFLECTION * turned
        steepness = float((turned**2).sum() / 2)
        if top <= goal or steepness == 0.0:
            break
        multipliers = multipliers - length * (top - goal) / steepness / 2 * turned
    return best
