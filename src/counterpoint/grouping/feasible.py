"""Is there any grouping at all? A first one, or the reason why not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.grouping.problem import Ints, Mask, Problem


def first_grouping(problem: Problem, tasks: Sequence[str], seconds: float) -> Mask:
    """Some networks [n, T] that serve every task, n at most ``problem.networks``.

    A partition of the served tasks into networks without pairs kept apart is a coloring with bounded color classes.

    Raises:
        ValueError: if there is none, with the reason.
        TimeoutError: if the question could not be settled in time (many pairs apart, few networks).
    """
    serve, apart = problem.serve, problem.apart
    pairs_needed = not np.isfinite(problem.alone)
    if pairs_needed:
        _check_partners(problem, tasks)
    least = math.ceil(len(serve) / problem.largest)
    if least > problem.networks:
        raise ValueError(
            f"largest={problem.largest} with networks={problem.networks} leaves room for "
            f"{problem.largest * problem.networks} of {len(serve)} tasks: expected networks >= {least} or "
            f"largest >= {math.ceil(len(serve) / problem.networks)}"
        )
    clique = _clique(apart, serve)
    if len(clique) > problem.networks:
        raise ValueError(
            f"tasks {[tasks[t] for t in clique]} are all kept apart from each other and need {len(clique)} networks, "
            f"expected networks >= {len(clique)} or fewer pairs in apart"
        )
    classes = _greedy(problem) or _exact(problem, seconds)
    members = np.zeros((len(classes), problem.size), dtype=bool)
    for row, tasks_of in zip(members, classes, strict=True):
        row[tasks_of] = True
        if pairs_needed and len(tasks_of) == 1:
            row[_partners(problem, tasks_of[0])[0]] = True
    return members


def _partners(problem: Problem, task: int) -> Ints:
    free = ~problem.apart[task]
    free[task] = False
    return np.flatnonzero(free)


def _check_partners(problem: Problem, tasks: Sequence[str]) -> None:
    if problem.size == 1:
        raise ValueError(
            f"there is only task {tasks[0]!r} and singletons='forbid', expected two tasks or singletons='neutral'"
        )
    if problem.largest == 1:
        raise ValueError("largest=1 and singletons='forbid' exclude each other, expected largest >= 2 or 'neutral'")
    for task in problem.serve:
        if not len(_partners(problem, task)):
            raise ValueError(
                f"task {tasks[task]!r} is kept apart from all others and singletons='forbid', expected fewer pairs in "
                "apart or singletons='neutral'"
            )


def _clique(apart: Mask, serve: Ints) -> list[int]:
    """Tasks that are pairwise apart, many of them: greedily from every task."""
    best: list[int] = [int(serve[0])]
    graph = apart[np.ix_(serve, serve)]
    degrees = graph.sum(axis=1)
    for start in range(len(serve)):
        clique, rest = [start], graph[start].copy()
        while rest.any():
            inside = np.where(rest, graph[:, rest].sum(axis=1) * len(serve) + degrees, -1)
            chosen = int(inside.argmax())
            clique.append(chosen)
            rest &= graph[chosen]
        if len(clique) > len(best):
            best = sorted(int(serve[t]) for t in clique)
    return best


def _greedy(problem: Problem) -> list[list[int]] | None:
    """DSATUR (Brelaz 1979): the task with the fewest networks left goes first, into the first of them."""
    serve = [int(task) for task in problem.serve]
    classes: list[list[int]] = []
    left = set(serve)
    degree = problem.apart.sum(axis=1)
    if not degree.any():
        return [serve[i : i + problem.largest] for i in range(0, len(serve), problem.largest)]
    while left:
        task = max(left, key=lambda t: (sum(problem.apart[t, c].any() for c in classes), int(degree[t]), -t))
        left.remove(task)
        fits = (c for c in classes if len(c) < problem.largest and not problem.apart[task, c].any())
        home = next(fits, None)
        if home is not None:
            home.append(task)
        elif len(classes) == problem.networks:
            return None
        else:
            classes.append([task])
    return [sorted(c) for c in classes]


def _exact(problem: Problem, seconds: float) -> list[list[int]]:
    serve, count = problem.serve, problem.networks
    size = len(serve)
    graph = problem.apart[np.ix_(serve, serve)]
    rows: list[LinearConstraint] = [
        LinearConstraint(np.tile(np.eye(size), count), 1, 1),
        LinearConstraint(np.kron(np.eye(count), np.ones(size)), 0, problem.largest),
    ]
    first, second = np.nonzero(np.triu(graph))
    if len(first):
        edges = np.zeros((len(first), size))
        edges[np.arange(len(first)), first] = edges[np.arange(len(first)), second] = 1
        rows.append(LinearConstraint(np.kron(np.eye(count), edges), 0, 1))
    upper = np.ones((count, size))
    clique = [int(np.flatnonzero(serve == t)[0]) for t in _clique(problem.apart, serve)]
    for network, task in enumerate(clique):  # networks have no names: give them some
        upper[np.arange(count) != network, task] = 0
    result = milp(
        np.zeros(count * size),
        constraints=rows,
        integrality=np.ones(count * size),
        bounds=Bounds(0, upper.ravel()),
        options={"time_limit": max(seconds, 0.1)},
    )
    if result.status == 2:
        raise ValueError(
            f"apart and largest={problem.largest} leave no way to serve {size} tasks with networks={count}, expected "
            "more networks, a larger largest, or fewer pairs in apart"
        )
    if result.x is None:
        raise TimeoutError(
            f"no grouping into networks={count} that respects apart was found within the time limit, nor was it proven "
            "that there is none: allow more networks or more time"
        )
    chosen = result.x.reshape(count, size) > 0.5
    return [[int(t) for t in serve[row]] for row in chosen if row.any()]
