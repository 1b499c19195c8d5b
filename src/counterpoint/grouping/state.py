"""Where the search stands: the best grouping, the best bound, the columns, the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from counterpoint.grouping.master import Columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterpoint.grouping.problem import Array, Mask, Problem
    from counterpoint.grouping.selection import Selection

Stage = Literal["start", "columns", "pricing", "integer", "done"]


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

    def add(self, members: Mask, prices: Array) -> int:
        """Sets with the tasks they serve above their prices, as columns; how many were new."""
        if not len(members):
            return 0
        members = np.unique(members, axis=0)
        return self.columns.add(members, self.problem.scores(members) > prices)


def clock(time_limit: float) -> tuple[Callable[[], float], Callable[[], float], Callable[[], bool]]:
    """Seconds passed, seconds left, and whether none are left."""
    start = time.perf_counter()

    def passed() -> float:
        return time.perf_counter() - start

    return passed, lambda: time_limit - passed(), lambda: passed() >= time_limit
