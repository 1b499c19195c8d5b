"""Affinity in, networks out."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from counterpoint.grouping.affinities import read_affinity
from counterpoint.grouping.branching import Branching
from counterpoint.grouping.enumeration import Enumeration
from counterpoint.grouping.feasible import first_grouping
from counterpoint.grouping.options import checked_limit, checked_problem
from counterpoint.grouping.problem import TOLERANCE
from counterpoint.grouping.result import Grouping, Network, Progress
from counterpoint.grouping.selection import select
from counterpoint.grouping.solve import solve
from counterpoint.grouping.state import Search, clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from counterpoint.grouping.problem import Array, Ints, Problem
    from counterpoint.grouping.state import Stage

# Up to so many tasks a table of all sets is made: 2^20 rows of 20 numbers take 170 MB.
_ENUMERATED = 20


def group_tasks(
    affinity: Any,
    networks: int | None = 3,
    *,
    tasks: Sequence[str] | None = None,
    serve: Sequence[str] | None = None,
    singletons: Literal["neutral", "forbid"] = "neutral",
    largest: int | None = None,
    apart: Iterable[tuple[str, str]] = (),
    cost: float | None = None,
    time_limit: float = 60.0,
    progress: Callable[[Progress], object] | None = None,
) -> Grouping:
    r"""Chooses networks, and the tasks each of them trains on, so that every task is served as well as possible.

    Network S gives task t the score mean over j in S without t of Z[j, t]. Every task in ``serve`` is served by
    exactly one of at most ``networks`` chosen sets that contains it; a set may contain tasks that it does not serve.
    The mean score over the served tasks is maximized, less ``cost`` for every network. The question is that of
    Fifty et al. 2021 (TAG, NeurIPS: `Efficiently Identifying Task Groupings for Multi-Task Learning
    <https://arxiv.org/abs/2109.04617>`_), who compare all combinations of sets; here it is a p-median problem whose
    facilities are sets, solved by column generation with a proof (``docs/grouping.md``).

    Among equally good groupings, one with fewer networks and fewer helpers is preferred; the answer is the same on
    every call unless time runs out.

    Args:
        affinity: Z, [T, T], row = the task that steps, column = the task that is affected: an ``Affinity``, a pandas
            DataFrame (same labels in index and columns, in any order), or an array with ``tasks``. The diagonal does
            not count and may be NaN.
        networks: At most so many; ``None`` for no limit, with ``cost``.
        tasks: Names of the rows and columns of an array.
        serve: The tasks that need a network; all by default. The others may help.
        singletons: A network of one task scores 0 ("neutral") or is not allowed ("forbid").
        largest: At most so many tasks in a network.
        apart: Pairs of tasks that must not share a network.
        cost: What each network costs, in units of the affinity.
        time_limit: Seconds, after which the best grouping found is returned with its bound.
        progress: Called with :class:`Progress` after every round. What it raises ends the search.

    Returns:
        The grouping, with ``bound``: no other has a higher ``objective``. ``status`` is "optimal" if the two differ by
        at most 1e-9 of the largest affinity in size.

    Raises:
        ValueError: for affinities that are not square or not finite, unknown or repeated tasks, numbers out of range,
            and where no grouping meets all conditions.
        TypeError: for options of the wrong type.
        TimeoutError: if time ran out before any grouping that meets all conditions was found.

    Example:
        >>> import numpy as np
        >>> Z = np.array([[0.0, 0.4, -0.2], [0.3, 0.0, -0.1], [0.1, 0.2, 0.0]])
        >>> grouping = group_tasks(Z, 2, tasks=["edges", "depth", "labels"])
        >>> print(grouping)
        2 networks, mean score 0.233333 (optimal)
          1: edges, depth
          2: labels
        >>> grouping.of("depth").tasks
        ('edges', 'depth')
        >>> group_tasks(Z, 1, tasks=["edges", "depth", "labels"]).score.__round__(4)
        0.1167
    """
    passed, remaining, expired = clock(checked_limit(time_limit))
    values, names = read_affinity(affinity, tasks)
    problem = checked_problem(
        values,
        names,
        networks=networks,
        serve=serve,
        singletons=singletons,
        largest=largest,
        apart=apart,
        cost=cost,
    )
    first = select(problem, first_grouping(problem, names, remaining()))
    if first is None:  # cannot happen: every task is in one of the sets
        raise RuntimeError("the first grouping does not serve every task")
    teller = _Teller(problem, passed, progress)
    search = Search(problem, first, expired, remaining, teller.tell)
    few = problem.size <= _ENUMERATED
    solve(search, Enumeration(problem) if few else Branching(problem), easy=few)
    return _result(search, names, values, cost or 0.0, passed())


class _Teller:
    """Turns the search's state into :class:`Progress`."""

    def __init__(
        self, problem: Problem, passed: Callable[[], float], progress: Callable[[Progress], object] | None
    ) -> None:
        self._passed, self._progress = passed, progress
        self._scale, self._offset = problem.scale, float(problem.shift[problem.serve].sum())
        self._count = len(problem.serve)

    def tell(self, search: Search, stage: Stage) -> None:
        if self._progress is None:
            return
        objective, bound = (
            (value * self._scale + self._offset) / self._count for value in (search.best.value, search.bound)
        )
        self._progress(
            Progress(self._passed(), objective, max(bound, objective), stage, search.rounds, search.exact_rounds)
        )


def _result(search: Search, names: tuple[str, ...], values: Array, cost: float, seconds: float) -> Grouping:
    """Scores are computed anew, from the affinities as they were given."""
    problem, best = search.problem, search.best
    networks, scores = [], {}
    for number, row in enumerate(best.members):
        inside = np.flatnonzero(row)
        serves = problem.serve[best.home == number]
        for task in serves:
            others = inside[inside != task]
            scores[int(task)] = math.fsum(values[others, task]) / len(others) if len(others) else 0.0
        networks.append((int(serves[0]), Network(_named(names, inside), _named(names, serves))))
    networks.sort(key=itemgetter(0))
    count = len(problem.serve)
    score = math.fsum(scores.values()) / count
    objective = score - cost * len(networks)
    bound = (search.bound * problem.scale + float(problem.shift[problem.serve].sum())) / count
    bound = max(bound, objective)
    largest = float(np.abs(values).max(initial=0.0))
    return Grouping(
        networks=tuple(network for _, network in networks),
        score=score,
        bound=bound,
        status="optimal" if bound - objective <= TOLERANCE * largest else "feasible",
        seconds=seconds,
        scores={names[task]: scores[task] for task in sorted(scores)},
        cost=cost,
    )


def _named(names: tuple[str, ...], indices: Ints) -> tuple[str, ...]:
    return tuple(names[i] for i in indices)
