"""Every set at once: exact pricing for few tasks, one pass over a table of scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterpoint.grouping.problem import Array, Mask, Problem

_ROWS = 1 << 14  # of the table in one go: they fit into the cache


@dataclass(frozen=True, eq=False)
class Found:
    """Sets worth more than a threshold.

    Attributes:
        members: [N, T], those worth most first.
        ceiling: No set is worth more than this, the threshold or a set found included.
        complete: Whether these are all.
    """

    members: Mask
    ceiling: float
    complete: bool


class Oracle(Protocol):
    """Answers what column generation asks: which sets are worth more than a threshold?"""

    effort: int
    """Sets, or sets of sets, looked at for the last answer."""

    def above(self, prices: Array, threshold: float, at_most: int, expired: Callable[[], bool]) -> Found:
        """Sets [N, T] with ``problem.worth(set, prices) > threshold``."""
        ...


class Enumeration:
    """A table of the scores of all allowed sets.

    Args:
        problem: With at most 20 tasks or so: the table has 2^T rows.
    """

    def __init__(self, problem: Problem) -> None:
        codes = np.arange(1, 1 << problem.size, dtype=np.int64)
        tables, members = [], []
        for start in range(0, len(codes), _ROWS):
            sets = (codes[start : start + _ROWS, None] >> np.arange(problem.size) & 1).astype(bool)
            sets = sets[problem.allowed(sets) & sets[:, problem.serve].any(axis=1)]
            members.append(sets)
            tables.append(problem.scores(sets))
        self._members = np.concatenate(members)
        self._scores = np.concatenate(tables)
        self._problem = problem
        self.effort = len(self._scores)

    def above(self, prices: Array, threshold: float, at_most: int, expired: Callable[[], bool]) -> Found:
        """One pass over the table, which is quick enough to need no look at the clock."""
        del expired
        worth = np.empty(len(self._scores))
        for start in range(0, len(worth), _ROWS):
            rows = self._scores[start : start + _ROWS] - prices
            np.maximum(rows, 0.0, out=rows)
            worth[start : start + _ROWS] = rows.sum(axis=1)
        chosen = np.flatnonzero(worth > threshold)
        complete = len(chosen) <= at_most
        if not complete:
            chosen = chosen[np.argpartition(-worth[chosen], at_most)[:at_most]]
        chosen = chosen[np.argsort(-worth[chosen], kind="stable")]
        return Found(self._members[chosen], float(worth.max(initial=0.0)), complete)
