"""The linear program over the columns generated so far, and the integer program over sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csc_array, csr_array, hstack, vstack

from counterpoint.grouping.selection import Selection, select

if TYPE_CHECKING:
    from counterpoint.grouping.problem import Array, Mask, Problem

# HiGHS stops at an absolute gap of 1e-6, which scipy hands on no option for: values are made larger instead.
_LARGER = 1e4


@dataclass(frozen=True, eq=False)
class Prices:
    """Dual solution of the linear program.

    Attributes:
        of_tasks: [n] what serving each task is worth.
        of_networks: What one more network would be worth.
        weights: [N] how much of each column is chosen.
        value: Of the linear program.
    """

    of_tasks: Array
    of_networks: float
    weights: Array
    value: float


class Columns:
    """Columns (a set, the tasks it serves) and their value; each once."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._seen: set[bytes] = set()
        self.members = np.empty((0, problem.size), dtype=bool)
        self.served = np.empty((0, len(problem.serve)), dtype=bool)
        self.values = np.empty(0)

    def add(self, members: Mask, served: Mask) -> int:
        """Adds sets [N, T] with what they serve [N, n]; how many were new."""
        keys = [row.tobytes() for row in np.packbits(np.hstack((members, served)), axis=1)]
        fresh = [i for i, key in enumerate(keys) if key not in self._seen and not self._seen.add(key)]  # type: ignore[func-returns-value]
        members, served = members[fresh], served[fresh]
        scores = np.where(served, self._problem.scores(members), 0.0)
        self.members = np.concatenate((self.members, members))
        self.served = np.concatenate((self.served, served))
        self.values = np.concatenate((self.values, scores.sum(axis=1) - self._problem.cost))
        return len(fresh)

    def prices(self, seconds: float) -> Prices | None:
        """Solves the linear program; ``None`` if time runs out."""
        problem, count = self._problem, len(self.values)
        n = len(problem.serve)
        # A task may be served twice if its best conceivable score is paid back: no better than a smaller column.
        serves = hstack((csr_array(self.served.T.astype(float)), csr_array(-np.eye(n))))
        result = linprog(
            -np.concatenate((self.values, -problem.most())),
            A_eq=csc_array(serves),
            b_eq=np.ones(n),
            A_ub=csc_array(np.concatenate((np.ones(count), np.zeros(n)))[None]),
            b_ub=[problem.networks],
            method="highs",
            options={"time_limit": max(seconds, 0.01), "dual_feasibility_tolerance": 1e-10},
        )
        if result.x is None or result.status != 0:
            return None
        return Prices(
            -result.eqlin.marginals, max(0.0, float(-result.ineqlin.marginals[0])), result.x[:count], -float(result.fun)
        )

    def central(self, center: Array, value: float, seconds: float) -> Prices | None:
        """Of all prices that prove ``value``, those closest to ``center`` [n] in absolute terms."""
        n, count = len(center), len(self.values)
        # Variables: what the prices are above the center, what they are below it, what a network is worth.
        served = csr_array(self.served.astype(float))
        enough = hstack((-served, served, csr_array(-np.ones((count, 1)))))
        total = np.concatenate((np.ones(n), -np.ones(n), [self._problem.networks]))[None]
        result = linprog(
            np.append(np.ones(2 * n), 0.0),
            A_ub=vstack((enough, csr_array(total))).tocsc(),
            b_ub=np.append(served @ center - self.values, value - center.sum()),
            method="highs",
            options={"time_limit": max(seconds, 0.01), "primal_feasibility_tolerance": 1e-10},
        )
        if result.x is None or result.status != 0:
            return None
        prices = center + result.x[:n] - result.x[n : 2 * n]
        return Prices(prices, max(0.0, float(result.x[-1])), np.zeros(count), value)


def best_of(
    problem: Problem, members: Mask, seconds: float, usable: Mask | None = None
) -> tuple[Selection | None, float]:
    """The best selection among sets [N, T] and a bound on all of these.

    Args:
        problem: The problem.
        members: The sets.
        seconds: Time limit.
        usable: [N, n] which set may serve which task; all that it contains by default.

    Returns:
        The selection, ``None`` if none was found, and the bound, infinite if there is none.
    """
    scores = problem.scores(members)
    fits = np.isfinite(scores) if usable is None else usable & np.isfinite(scores)
    sets, tasks = np.nonzero(fits)
    count, pairs, n = len(members), len(sets), len(problem.serve)
    if not fits.any(axis=0).all():
        return None, -np.inf
    ones, row = np.ones(pairs), np.arange(pairs)
    serves_once = csr_array((ones, (tasks, count + row)), shape=(n, count + pairs))
    opens = csr_array((-ones, (row, sets)), shape=(pairs, count))
    opened = hstack((opens, csr_array((ones, (row, row)), shape=(pairs, pairs))))
    few = csr_array((np.ones(count), (np.zeros(count, int), np.arange(count))), shape=(1, count + pairs))
    values = np.concatenate((np.full(count, -problem.cost), scores[sets, tasks]))
    result = milp(
        -_LARGER * values,
        constraints=[
            LinearConstraint(serves_once, 1, 1),
            LinearConstraint(vstack((opened, few)).tocsr(), -np.inf, np.append(np.zeros(pairs), problem.networks)),
        ],
        integrality=np.append(np.ones(count), np.zeros(pairs)),
        bounds=Bounds(0, 1),
        options={"time_limit": max(seconds, 0.01), "mip_rel_gap": 0.0},
    )
    if result.status == 2:
        return None, -np.inf
    bound = np.inf if result.mip_dual_bound is None else -float(result.mip_dual_bound) / _LARGER
    if result.x is None:
        return None, bound
    return select(problem, members[result.x[:count] > 0.5]), bound
