"""The proof: no column is missing, and no choice among the columns is better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.grouping.generation import generate, slack_of
from counterpoint.grouping.master import best_of

if TYPE_CHECKING:
    from counterpoint.grouping.enumeration import Oracle
    from counterpoint.grouping.master import Prices
    from counterpoint.grouping.relaxation import Relaxed
    from counterpoint.grouping.state import Search

# Where so few sets are looked at, local search takes longer.
_QUICK = 5000
# Sets taken from one exact search while columns are generated ...
_AT_ONCE = 200
# ... and at most, once all that a better grouping could contain are asked for.
_AT_MOST = 30_000


def no_column_missing(
    search: Search, oracle: Oracle, rng: np.random.Generator, center: Relaxed | None = None, share: float = 0.0
) -> Prices | None:
    """Proves that no set is worth more than the toll at the prices of :func:`generate`, whose arguments these are.

    Returns:
        The prices, ``None`` if time ran out before.
    """
    problem = search.problem
    while not search.expired():
        prices = generate(search, rng if oracle.effort > _QUICK else None, center, share)
        if prices is None:
            return None
        toll = prices.of_networks + problem.cost
        exact = oracle.above(prices.of_tasks, toll + slack_of(search), _AT_ONCE, search.expired)
        search.exact_rounds += 1
        excess = max(0.0, exact.ceiling - problem.cost)
        search.limit(float(prices.of_tasks.sum()) + problem.networks * excess)
        search.report(search, "pricing")
        if not search.add(exact.members, prices.of_tasks):
            return prices if exact.complete else None
        if search.proven:
            return prices
    return None


def no_choice_better(search: Search, oracle: Oracle, prices: Prices) -> None:
    """The integer program over all sets that a better selection could contain.

    No set is worth more than the toll at these prices, so a selection is worth less than their bound by at least the
    sum of what its sets lack. One that beats the best contains no set that lacks more than what lies between.
    """
    problem = search.problem
    toll = prices.of_networks + problem.cost
    slack = slack_of(search)
    bound = float(prices.of_tasks.sum()) + problem.networks * (prices.of_networks + slack)
    room = bound - search.best.value
    exact = oracle.above(prices.of_tasks, toll - room - slack, _AT_MOST, search.expired)
    search.exact_rounds += 1
    search.report(search, "integer")
    members = exact.members
    scores = problem.scores(members)
    lacks = toll - problem.worth(members, prices.of_tasks)
    usable = lacks[:, None] + np.maximum(prices.of_tasks - scores, 0.0) <= room + 2 * slack
    selection, most = best_of(problem, members, search.remaining(), usable)
    search.consider(selection)
    if exact.complete:
        search.limit(max(most, search.best.value))
    search.report(search, "integer")
