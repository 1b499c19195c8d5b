"""Groupings as rows of Booleans: their value, and making them better by small changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterpoint.grouping.problem import Array, Ints, Mask, Problem


# Below every score: what a task in no network counts for while sets are exchanged.
_UNSERVED = 1e4


@dataclass(frozen=True, eq=False)
class Selection:
    """Chosen networks.

    Attributes:
        members: [k, T].
        home: [n] the network that serves each task to serve.
        value: Sum of scores less the networks' cost, in the problem's units.
    """

    members: Mask
    home: Ints
    value: float


def select(problem: Problem, members: Mask) -> Selection | None:
    """Every task is served by the network that scores it highest; ``None`` if a task is in none."""
    if not len(members):
        return None
    scores = problem.scores(members)
    home = scores.argmax(axis=0)
    best = scores[home, np.arange(len(home))]
    if not np.isfinite(best).all():
        return None
    used = np.unique(home)  # networks that serve nobody are left out
    return Selection(members[used], np.searchsorted(used, home), float(best.sum() - problem.cost * len(used)))


def extend(problem: Problem, start: Selection, pool: Mask) -> Selection:
    """Adds the set of the pool [N, T] that helps most, again and again, while that helps and networks are left."""
    best = start
    scores = problem.scores(pool)
    while len(best.members) < problem.networks and len(pool):
        now = problem.scores(best.members).max(axis=0)
        added = int(np.maximum(scores, now).sum(axis=1).argmax())
        found = select(problem, np.concatenate((best.members, pool[added : added + 1])))
        if found is None or found.value <= best.value:
            break
        best = found
    return best


def exchange(scores: Array, chosen: Ints, expired: Callable[[], bool]) -> tuple[Ints, float]:
    """Exchanges one chosen set for one of the pool while that helps (Teitz and Bart 1968, for the p-median problem).

    Args:
        scores: [N, n] of the pool.
        chosen: [k] indices of the sets to start from.
        expired: Whether time has run out.

    Returns:
        The indices chosen in the end and the sum of scores; far below zero if a task is in none of them.
    """
    finite = np.maximum(scores, -_UNSERVED)
    value = float(finite[chosen].max(axis=0).sum())
    while not expired():
        best = (value + 1e-10, -1, -1)
        for position in range(len(chosen)):
            others = finite[np.delete(chosen, position)].max(axis=0, initial=-_UNSERVED)
            totals = np.maximum(finite, others).sum(axis=1)
            entering = int(totals.argmax())
            best = max(best, (float(totals[entering]), position, entering))
        if best[1] < 0:
            break
        chosen = chosen.copy()
        value, chosen[best[1]] = best[0], best[2]
    return chosen, value


def improve(problem: Problem, start: Selection, expired: Callable[[], bool]) -> Selection:
    """Steepest ascent: put one task into a network, take one out, or drop or add a network."""
    best = start
    members = start.members.copy()
    while not expired():
        step = _best_toggle(problem, members)
        found = None if step is None else select(problem, step)
        if found is None or found.value <= best.value + 1e-12 * len(problem.serve):
            break
        best, members = found, found.members
    return best


def _best_toggle(problem: Problem, members: Mask) -> Mask | None:
    count, size = members.shape
    changed = np.repeat(members[:, None, :], size, axis=1)  # [k, T, T]: network, task that enters or leaves
    diagonal = np.arange(size)
    changed[:, diagonal, diagonal] ^= True
    flat = changed.reshape(count * size, size)
    scores = problem.scores(members)
    new = problem.scores(flat).reshape(count, size, -1)
    if count > 1:
        order = np.sort(scores, axis=0)
        others = np.where(scores.argmax(axis=0) == np.arange(count)[:, None], order[-2], order[-1])
        new = np.maximum(new, others[:, None, :])
    totals = new.sum(axis=2)
    totals[~problem.allowed(flat).reshape(count, size)] = -np.inf
    network, task = np.unravel_index(totals.argmax(), totals.shape)
    if not np.isfinite(totals[network, task]):
        return None
    after = members.copy()
    after[network] = changed[network, task]
    return after


def tidy(problem: Problem, selection: Selection) -> Selection:
    """Leaves out what does not help: networks whose tasks fare as well elsewhere, then helpers."""
    slack = 1e-13 * len(problem.serve)
    best = selection
    for network in reversed(range(len(selection.members))):
        found = select(problem, np.delete(best.members, network, axis=0)) if network < len(best.members) else None
        if found is not None and found.value >= best.value - slack:
            best = found
    for task in range(problem.size):
        for network in range(len(best.members)):
            if not best.members[network, task]:
                continue
            members = best.members.copy()
            members[network, task] = False
            found = select(problem, members) if problem.allowed(members[network : network + 1])[0] else None
            if found is not None and found.value >= best.value - slack and len(found.members) == len(members):
                best = found
    return best
