"""Exact pricing for many tasks: branch and bound on the tasks of a set, for one size of set at a time.

Tasks are decided in a fixed order, so that the undecided ones are always a suffix of it, and the sums of the r largest
contributions from every suffix to every task are tables made once. Nodes are worked on in large batches, depth first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.grouping.enumeration import Found
from counterpoint.grouping.relaxation import FORBIDDEN, balance, ceilings, contributions, symmetric

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from counterpoint.grouping.problem import Array, Ints, Mask, Problem

    Singles = NDArray[np.float32]
    # Decided tasks, members [N, T], sums of contributions where served and where not [N, T], members missing [N].
    Nodes = tuple[int, Mask, Singles, Singles, Ints]

_ENTRIES = 200_000  # numbers in an array of a batch: they fit into the cache
_SHARED_ROUNDS = 100
# Beyond so many nodes it pays to improve the multipliers for a size of its own; those serve the next size, too.
_FEW_NODES = 20_000
_OWN_ROUNDS = 40


class Branching:
    """Searches all sets, however many, without listing them."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.effort = 0

    def above(self, prices: Array, threshold: float, at_most: int, expired: Callable[[], bool]) -> Found:
        """Sets worth more than the threshold; the ceiling is valid when time runs out, too."""
        problem = self._problem
        multipliers = balance(problem, prices, symmetric(problem, prices), threshold, rounds=_SHARED_ROUNDS)
        roots = ceilings(problem, prices, multipliers).by_size
        self.effort = 0
        found, complete = [self._alone(prices, threshold)], True
        ceiling = threshold
        for size in np.argsort(roots, kind="stable"):  # the easy ones first: often they have what is looked for
            if size < 2 or roots[size] <= threshold:
                continue
            if not complete or expired():
                complete, ceiling = False, max(ceiling, float(roots[size]))
                continue
            root = float(roots[size])
            missing = at_most - sum(map(len, found))
            search = _OneSize(problem, prices, multipliers, int(size), threshold)
            sets, left = search.run(missing, expired, _FEW_NODES)
            if left > threshold and len(sets) <= missing and not expired():
                self.effort += search.nodes
                multipliers = balance(problem, prices, multipliers, threshold, rounds=_OWN_ROUNDS, size=int(size))
                root = min(root, float(ceilings(problem, prices, multipliers, int(size)).by_size[size]))
                if root <= threshold:
                    continue
                search = _OneSize(problem, prices, multipliers, int(size), threshold)
                sets, left = search.run(missing, expired, np.inf)
            self.effort += search.nodes
            found.append(sets)
            if left > threshold:
                complete, ceiling = False, max(ceiling, min(left, root))
        members = np.concatenate(found)
        worth = problem.worth(members, prices)
        order = np.argsort(-worth, kind="stable")
        return Found(members[order], max(ceiling, float(worth.max(initial=0.0))), complete)

    def _alone(self, prices: Array, threshold: float) -> Mask:
        members = np.zeros((len(prices), self._problem.size), dtype=bool)
        members[np.arange(len(prices)), self._problem.serve] = True
        return members[self._problem.allowed(members) & (self._problem.worth(members, prices) > threshold)]


class _OneSize:
    def __init__(self, problem: Problem, prices: Array, multipliers: Array, size: int, threshold: float) -> None:
        served, idle = (matrix / (size - 1) for matrix in contributions(problem, prices, multipliers))
        rows = np.maximum(_largest(served, size - 1), _largest(idle, size - 1))
        self._order = np.argsort(-rows, kind="stable")  # the promising first: leaving one out then lowers the bound
        self._problem, self._prices, self._size, self._threshold = problem, prices, size, threshold
        both = [matrix[np.ix_(self._order, self._order)] for matrix in (served, idle)]
        # Rounding in single precision, at worst: `size` sums of `size - 1` contributions each, and their sum. What lies
        # within is looked at.
        sizes = [np.where(matrix > FORBIDDEN / size, np.abs(matrix), 0.0) for matrix in both]
        margin = np.finfo(np.float32).eps * size**2 * max(_largest(matrix, size - 1).max() for matrix in sizes)
        self._enough = np.float32(threshold - margin)
        self._served, self._idle = (_without_diagonal(matrix).astype(np.float32) for matrix in both)
        self._most_served, self._most_idle = (_suffix_sums(matrix, size) for matrix in both)
        self._margin = float(margin)
        self.nodes = 0

    def run(self, at_most: int, expired: Callable[[], bool], most_nodes: float) -> tuple[Mask, float]:
        """Sets above the threshold, and a bound on those not looked at (-inf: none)."""
        tasks = self._problem.size
        nothing = np.zeros((1, tasks), np.float32)
        stack: list[Nodes] = [(0, np.zeros((1, tasks), bool), nothing, nothing, np.array([self._size]))]
        found: list[Mask] = [np.zeros((0, tasks), dtype=bool)]
        count = 0
        batch = max(64, _ENTRIES // tasks)
        while stack and count <= at_most and self.nodes <= most_nodes and not expired():
            depth, members, served, idle, missing = stack.pop()
            if len(members) > batch:
                stack.append((depth, members[batch:], served[batch:], idle[batch:], missing[batch:]))
                members, served, idle, missing = members[:batch], served[:batch], idle[:batch], missing[:batch]
            self.nodes += len(members)
            nodes, full = self._children((depth, members, served, idle, missing))
            if len(full):
                good = full[self._problem.worth(full, self._prices) > self._threshold]
                good = good[self._problem.allowed(good)]
                found.append(good)
                count += len(good)
            if len(nodes[1]):
                keep = self._bound(nodes) > self._enough
                if keep.any():
                    stack.append((nodes[0], *(part[keep] for part in nodes[1:])))  # type: ignore[arg-type]
        left = max((float(self._bound(nodes).max()) + self._margin for nodes in stack), default=-np.inf)
        return np.concatenate(found), left

    def _children(self, nodes: Nodes) -> tuple[Nodes, Mask]:
        """The next task in and out; sets that are full, in the problem's order of tasks."""
        depth, members, served, idle, missing = nodes
        stays = missing <= self._problem.size - depth - 1
        entered = members.copy()
        entered[:, depth] = True
        members = np.concatenate((entered, members[stays]))
        served = np.concatenate((served + self._served[depth], served[stays]))
        idle = np.concatenate((idle + self._idle[depth], idle[stays]))
        missing = np.concatenate((missing - 1, missing[stays]))
        done = missing == 0
        full = np.zeros((np.count_nonzero(done), self._problem.size), dtype=bool)
        full[:, self._order] = members[done]
        going = ~done
        return (depth + 1, members[going], served[going], idle[going], missing[going]), full

    def _bound(self, nodes: Nodes) -> Singles:
        depth, members, served, idle, missing = nodes
        most_served, most_idle = self._most_served[depth], self._most_idle[depth]
        inside = np.maximum(
            served[:, :depth] + most_served[missing, :depth], idle[:, :depth] + most_idle[missing, :depth]
        )
        total: Singles = np.einsum("it,it->i", inside, members[:, :depth])
        fewer = missing - 1
        outside = np.maximum(served[:, depth:] + most_served[fewer, depth:], idle[:, depth:] + most_idle[fewer, depth:])
        outside.sort(axis=1)
        sums = np.cumsum(outside[:, ::-1], axis=1)
        total += sums[np.arange(len(sums)), fewer]
        return total


def _largest(matrix: Array, count: int) -> Array:
    """[T] sum of the so many largest of every column."""
    sums: Array = -np.sort(-matrix, axis=0)[:count].sum(axis=0)
    return sums


def _without_diagonal(matrix: Array) -> Array:
    matrix = matrix.copy()
    np.fill_diagonal(matrix, 0.0)
    return matrix


def _suffix_sums(matrix: Array, size: int) -> Singles:
    """[T + 1, size + 1, T]: sum of the r largest contributions to each task from tasks d and after."""
    tasks = len(matrix)
    sums = np.full((tasks + 1, size + 1, tasks), FORBIDDEN, dtype=np.float32)
    for depth in range(tasks + 1):
        sums[depth, 0] = 0.0
        rows = min(size, tasks - depth)
        sums[depth, 1 : rows + 1] = np.cumsum(-np.sort(-matrix[depth:], axis=0)[:rows], axis=0)
    return sums
