"""Column generation by local search: quick, and good, but without proof."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.grouping.pricing import climb
from counterpoint.grouping.selection import extend, improve, select

if TYPE_CHECKING:
    from counterpoint.grouping.master import Prices
    from counterpoint.grouping.problem import Array, Mask, Problem
    from counterpoint.grouping.relaxation import Relaxed
    from counterpoint.grouping.state import Search

_RANDOM_STARTS = 32


def slack_of(search: Search) -> float:
    """A set has to be worth this much more than the toll to count: less does not move the bound."""
    return 0.1 * search.problem.tolerance / search.problem.networks


def generate(
    search: Search,
    rng: np.random.Generator | None,
    center: Relaxed | None = None,
    share: float = 0.0,
    *,
    rounds: float = math.inf,
) -> Prices | None:
    """Adds columns until local search finds none that is missing.

    Args:
        search: Whose columns are added to.
        rng: Draws some of the starts; ``None`` for no local search.
        center: Where prices should be. The linear program's own lie in a corner, and where many are optimal they jump
            from one corner to another; of all that prove the same, those closest to the center are taken.
            ``None`` for the linear program's own.
        share: How far what the prices prove may be above the linear program's value, as a share of what lies between
            this value and the center's bound.
        rounds: Linear programs, at most.

    Returns:
        The prices at which none was found, ``None`` if time or rounds ran out before.
    """
    last = search.rounds + rounds
    while not search.expired() and search.rounds < last:
        prices = search.columns.prices(search.remaining())
        if prices is None:
            return None
        search.rounds += 1
        _round_off(search, prices)
        search.report(search, "columns")
        if center is not None:
            goal = prices.value + share * max(0.0, center.bound - prices.value) + 0.05 * search.problem.tolerance
            near = search.columns.central(center.prices, goal, search.remaining())
            if near is None:
                return None
            # All that is left goes into the toll: the higher it is, the fewer sets are worth more.
            most = (goal - float(near.of_tasks.sum())) / search.problem.networks
            prices = replace(near, weights=prices.weights, of_networks=max(near.of_networks, most))
        if rng is None or not _climb_and_add(search, prices, rng):
            return prices
    return None


def _climb_and_add(search: Search, prices: Prices, rng: np.random.Generator) -> int:
    """Adds the sets that local search finds worth more than the toll at these prices; how many were new."""
    problem = search.problem
    found = climb(problem, _starts(search, prices, rng), prices.of_tasks, search.expired)
    toll = prices.of_networks + problem.cost + slack_of(search)
    return search.add(found[problem.worth(found, prices.of_tasks) > toll], prices.of_tasks)


def start(search: Search) -> None:
    """A first good selection: sets grown from pairs, taken greedily, then improved together."""
    problem = search.problem
    search.consider(improve(problem, search.best, search.expired))
    nothing = np.zeros(len(problem.serve))
    pool = climb(problem, _pairs(problem, nothing), nothing, search.expired)
    search.consider(improve(problem, extend(problem, search.best, pool), search.expired))


def _pairs(problem: Problem, prices: Array) -> Mask:
    """[T, T] every task with the one with which it is worth most."""
    gains = np.zeros((problem.size, problem.size))  # what each task of a pair scores above its price
    gains[:, problem.serve] = np.maximum(problem.values[:, problem.serve] - prices, 0.0)
    both = gains + gains.T
    both[problem.apart] = -np.inf
    np.fill_diagonal(both, -np.inf)
    pairs = np.eye(problem.size, dtype=bool)
    if problem.size > 1:
        pairs[np.arange(problem.size), both.argmax(axis=1)] = True
    return pairs


def _starts(search: Search, prices: Prices, rng: np.random.Generator) -> Mask:
    """The columns in use, a promising pair for every task, and some drawn ones."""
    size = search.problem.size
    pairs = _pairs(search.problem, prices.of_tasks)
    drawn = rng.random((_RANDOM_STARTS, size)) < rng.uniform(0.05, 0.4, (_RANDOM_STARTS, 1))
    used = search.columns.members[: len(prices.weights)][prices.weights > 1e-9]
    return np.unique(np.concatenate((pairs, used, drawn)), axis=0)


def _round_off(search: Search, prices: Prices) -> None:
    """A selection from the linear program: the best where its solution is integral."""
    members = search.columns.members[: len(prices.weights)]
    order = np.argsort(-prices.weights, kind="stable")[: search.problem.networks]
    selection = select(search.problem, members[order])
    if selection is not None and selection.value > search.best.value:
        search.consider(improve(search.problem, selection, search.expired))
