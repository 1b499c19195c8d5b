"""Column generation, and the proof that no grouping is better."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from counterpoint.grouping.master import Columns, best_of
from counterpoint.grouping.pricing import climb
from counterpoint.grouping.selection import Selection, improve, select, tidy

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterpoint.grouping.enumeration import Oracle
    from counterpoint.grouping.master import Prices
    from counterpoint.grouping.problem import Array, Mask, Problem

Stage = Literal["start", "columns", "pricing", "integer", "done"]

# Sets taken from one exact search while columns are generated ...
_AT_ONCE = 200
# ... and at most, once all that a better grouping could contain are asked for.
_AT_MOST = 30_000
_RANDOM_STARTS = 32


@dataclass(eq=False)
class Search:
    """State of a solution: the best selection, the best bound, and the columns.

    Attributes:
        problem: What is solved.
        best: The best selection so far.
        expired: Whether time has run out.
        remaining: Seconds left.
        report: Called with the stage after each round.
        bound: No selection is worth more.
        rounds: Linear programs solved.
        exact_rounds: Searches through all sets.
    """

    problem: Problem
    best: Selection
    expired: Callable[[], bool]
    remaining: Callable[[], float]
    report: Callable[[Search, Stage], None]
    bound: float = np.inf
    rounds: int = 0
    exact_rounds: int = 0
    columns: Columns = field(init=False)

    def __post_init__(self) -> None:
        self.columns = Columns(self.problem)
        self.consider(self.best)

    @property
    def proven(self) -> bool:
        """Whether no selection is better than the best by more than the tolerance."""
        return self.bound - self.best.value <= 0.5 * self.problem.tolerance

    def consider(self, selection: Selection | None) -> None:
        """Keeps it if it is better, and its networks as columns."""
        if selection is None:
            return
        served = selection.home == np.arange(len(selection.members))[:, None]
        self.columns.add(selection.members, served)
        if selection.value > self.best.value:
            self.best = selection

    def limit(self, bound: float) -> None:
        """Keeps the bound if it is tighter."""
        self.bound = min(self.bound, bound)


def solve(search: Search, oracle: Oracle) -> None:
    """Improves ``search.best`` and ``search.bound`` until they meet or time runs out."""
    problem = search.problem
    search.report(search, "start")
    search.consider(improve(problem, search.best, search.expired))
    prices = _generate(search, oracle)
    if prices is not None and not search.proven and not search.expired():
        _complete(search, oracle, prices)
    search.consider(tidy(problem, search.best))
    search.report(search, "done")


def _generate(search: Search, oracle: Oracle) -> Prices | None:
    """Adds columns until none is missing; the final prices, or ``None`` if time ran out before."""
    problem = search.problem
    rng = np.random.default_rng(0)  # the same answer on every call
    slack = 0.1 * problem.tolerance / problem.networks
    while not search.expired():
        prices = search.columns.prices(search.remaining())
        if prices is None:
            return None
        search.rounds += 1
        _round_off(search, prices)
        search.report(search, "columns")
        toll = prices.of_networks + problem.cost
        starts = _starts(search, prices, rng)
        found = climb(problem, starts, prices.of_tasks, search.expired)
        found = found[problem.worth(found, prices.of_tasks) > toll + slack]
        if _add(search, found, prices.of_tasks):
            continue
        exact = oracle.above(prices.of_tasks, toll + slack, _AT_ONCE, search.expired)
        search.exact_rounds += 1
        excess = max(0.0, exact.ceiling - problem.cost)
        search.limit(float(prices.of_tasks.sum()) + problem.networks * excess)
        search.report(search, "pricing")
        if not _add(search, exact.members, prices.of_tasks):
            return prices if exact.complete else None
        if search.proven:
            return prices
    return None


def _starts(search: Search, prices: Prices, rng: np.random.Generator) -> Mask:
    problem = search.problem
    size = problem.size
    gains = np.full((size, size), -np.inf)  # of a pair: what each scores in it above its price
    above = problem.values[:, problem.serve] - prices.of_tasks
    gains[:, problem.serve] = np.maximum(above, 0.0)
    both = np.maximum(gains, 0.0) + np.maximum(gains, 0.0).T
    both[problem.apart] = -np.inf
    np.fill_diagonal(both, -np.inf)
    pairs = np.eye(size, dtype=bool)
    if size > 1:
        pairs[np.arange(size), both.argmax(axis=1)] = True
    drawn = rng.random((_RANDOM_STARTS, size)) < rng.uniform(0.05, 0.4, (_RANDOM_STARTS, 1))
    used = search.columns.members[: len(prices.weights)][prices.weights > 1e-9]
    return np.unique(np.concatenate((pairs, used, drawn)), axis=0)


def _add(search: Search, members: Mask, prices: Array) -> int:
    if not len(members):
        return 0
    members = np.unique(members, axis=0)
    return search.columns.add(members, search.problem.scores(members) > prices)


def _round_off(search: Search, prices: Prices) -> None:
    """A selection from the linear program: exact where its solution is integral."""
    members = search.columns.members[: len(prices.weights)]
    order = np.argsort(-prices.weights, kind="stable")[: search.problem.networks]
    selection = select(search.problem, members[order])
    if selection is not None and selection.value > search.best.value:
        search.consider(improve(search.problem, selection, search.expired))


def _complete(search: Search, oracle: Oracle, prices: Prices) -> None:
    """The integer program over all sets that a better selection could contain.

    A selection that beats the best by more than the tolerance contains no set whose reduced cost exceeds what is left
    between the linear program's value and the best.
    """
    problem = search.problem
    search.consider(best_of(problem, np.unique(search.columns.members, axis=0), search.remaining())[0])
    search.report(search, "integer")
    if search.proven or search.expired():
        return
    toll = prices.of_networks + problem.cost
    upper = float(prices.of_tasks.sum()) + problem.networks * prices.of_networks
    room = upper - search.best.value + problem.networks * 1e-9
    exact = oracle.above(prices.of_tasks, toll - room, _AT_MOST, search.expired)
    search.exact_rounds += 1
    members = np.unique(np.concatenate((exact.members, search.columns.members)), axis=0)
    selection, bound = best_of(problem, members, search.remaining())
    search.consider(selection)
    if exact.complete:
        search.limit(max(bound, search.best.value))


def clock(time_limit: float) -> tuple[Callable[[], float], Callable[[], float], Callable[[], bool]]:
    """Seconds passed, seconds left, and whether none are left."""
    start = time.perf_counter()

    def passed() -> float:
        return time.perf_counter() - start

    return passed, lambda: time_limit - passed(), lambda: passed() >= time_limit
