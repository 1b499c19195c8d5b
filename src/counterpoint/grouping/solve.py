"""The order of things: a start, columns, a good choice among them, and the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.grouping.certify import no_choice_better, no_column_missing
from counterpoint.grouping.generation import generate, start
from counterpoint.grouping.master import best_of
from counterpoint.grouping.relaxation import relax
from counterpoint.grouping.selection import exchange, improve, select, tidy

if TYPE_CHECKING:
    from counterpoint.grouping.enumeration import Oracle
    from counterpoint.grouping.master import Prices
    from counterpoint.grouping.problem import Ints
    from counterpoint.grouping.state import Search

# Bounds are proven one after the other, as shares of the way from the linear program's value to the relaxation's, each
# harder than the one before: those before the last cost little and leave a bound if time runs out.
_GENERATED = (0.3, 0.1, 0.03, 0.0)
# Linear programs for each of these: with 100 tasks without groups there is no end to columns that help a little.
_ROUNDS = 50
_FIRST_SHARE = 0.7
_LAST_SHARE = 0.02
# The next share as a factor of the last, by the nodes that took; a long step where they have stopped growing.
_STEPS = ((5_000, 0.25), (300_000, 0.75), (3_000_000, 0.85), (np.inf, 0.92))
_LONG_STEP = 0.25
_RELAX_ROUNDS = 1000
# Share of the time left that goes into choosing among the columns before the proof.
_SHARE_OF_TIME = 0.1
# Selections drawn, and how many of them are improved task by task.
_DRAWN, _IMPROVED = 60, 10
# With more sets the integer program finds less in the same time.
_CHOICES = 300


def solve(search: Search, oracle: Oracle, *, easy: bool) -> None:
    """Improves ``search.best`` and ``search.bound`` until they meet or time runs out.

    Args:
        search: Where to start from.
        oracle: The exact search through all sets.
        easy: Whether the exact search is quick at any prices.
    """
    rng = np.random.default_rng(0)  # the same answer on every call
    search.limit(float(search.problem.most().sum()) - search.problem.cost)
    search.report(search, "start")
    start(search)
    if easy:
        prices = no_column_missing(search, oracle, rng)
        if prices is not None and not search.proven:
            _choose(search, rng)
    else:
        prices = _by_steps(search, oracle, rng)
    if prices is not None and not search.proven and not search.expired():
        no_choice_better(search, oracle, prices)
    search.best = tidy(search.problem, search.best)
    search.report(search, "done")


def _choose(search: Search, rng: np.random.Generator) -> None:
    """A good choice among the columns so far: of those that could be part of a better one, the most promising."""
    problem = search.problem
    prices = search.columns.prices(search.remaining())
    if prices is None:
        return
    _exchange(search, prices, rng)
    members = np.unique(search.columns.members, axis=0)
    lacks = prices.of_networks + problem.cost - problem.worth(members, prices.of_tasks)
    chosen = np.argsort(lacks, kind="stable")[:_CHOICES]
    members, lacks = members[chosen], lacks[chosen]
    room = prices.value - search.best.value + problem.tolerance
    usable = lacks[:, None] + np.maximum(prices.of_tasks - problem.scores(members), 0.0) <= room
    selection = best_of(problem, members, _SHARE_OF_TIME * search.remaining(), usable)[0]
    if selection is not None:
        search.consider(improve(problem, selection, search.expired))
    search.report(search, "integer")


def _exchange(search: Search, prices: Prices, rng: np.random.Generator) -> None:
    """Selections drawn by the linear program's weights, improved by exchanging sets, the best then task by task."""
    problem = search.problem
    pool = search.columns.members
    scores = problem.scores(pool)
    weights = prices.weights[: len(pool)].clip(1e-6)
    count = min(problem.networks, len(pool))
    found: dict[bytes, tuple[float, Ints]] = {}
    for _ in range(_DRAWN):
        drawn = rng.choice(len(pool), count, replace=False, p=weights / weights.sum())
        chosen, value = exchange(scores, drawn, search.expired)
        found[np.sort(chosen).tobytes()] = (value, chosen)
    for _, chosen in sorted(found.values(), key=lambda one: -one[0])[:_IMPROVED]:
        selection = select(problem, pool[chosen])
        if selection is not None:
            search.consider(improve(problem, selection, search.expired))
    search.report(search, "integer")


def _by_steps(search: Search, oracle: Oracle, rng: np.random.Generator) -> Prices | None:
    n = len(search.problem.serve)
    start_at = np.full(n, search.best.value / n / 2)
    center = relax(search.problem, start_at, search.best.value, _RELAX_ROUNDS, search.expired)
    search.limit(center.bound)
    search.report(search, "pricing")
    for share in _GENERATED:
        generate(search, rng, center, share, rounds=_ROUNDS)
    if not search.proven and not search.expired():
        _choose(search, rng)
    share, before = _FIRST_SHARE, 0
    while True:
        prices = no_column_missing(search, oracle, rng, center, share)
        if prices is None or share == 0 or search.proven or search.expired():
            return prices
        step = next(factor for nodes, factor in _STEPS if oracle.effort <= nodes)
        share *= _LONG_STEP if oracle.effort <= before else step
        before = oracle.effort
        share = 0.0 if share < _LAST_SHARE else share
