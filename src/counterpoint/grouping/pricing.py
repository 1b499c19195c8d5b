"""Sets worth much at given prices, found by local search: quick, without proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterpoint.grouping.problem import Array, Mask, Problem


def climb(problem: Problem, starts: Mask, prices: Array, expired: Callable[[], bool]) -> Mask:
    """Steepest ascent of ``problem.worth`` from sets [N, T] at once: one task enters or leaves at a time."""
    members = starts[problem.allowed(starts)].copy()
    worth = problem.worth(members, prices)
    active = np.arange(len(members))
    while len(active) and not expired():
        gains = toggled(problem, members[active], prices)
        task = gains.argmax(axis=1)
        best = gains[np.arange(len(active)), task]
        better = best > worth[active] + 1e-12
        active, task, best = active[better], task[better], best[better]
        members[active, task] ^= True
        worth[active] = best
    return members


def toggled(problem: Problem, members: Mask, prices: Array) -> Array:
    """Worth [N, T] of each of the sets [N, T] after task t has entered or left; -inf if that is not allowed."""
    size = members.shape[1]
    serve = problem.serve
    sign = np.where(members, -1.0, 1.0)
    sums = members.astype(float) @ problem.values[:, serve]  # [N, n]
    sizes = np.count_nonzero(members, axis=1)[:, None] + sign  # [N, T]
    after = sums[:, None, :] + sign[:, :, None] * problem.values[:, serve]  # [N, T, n]
    after /= np.maximum(sizes - 1.0, 1.0)[:, :, None]
    if np.isfinite(problem.alone):
        after[sizes == 1.0] = problem.alone
    after -= prices
    np.maximum(after, 0.0, out=after)
    inside = np.repeat(members[:, None, serve], size, axis=1)
    inside[:, serve, np.arange(len(serve))] ^= True
    worth: Array = np.einsum("itn,itn->it", after, inside)
    least = 1.0 if np.isfinite(problem.alone) else 2.0
    worth[(sizes < least) | (sizes > problem.largest)] = -np.inf
    if problem.apart.any():
        worth[~members & (members @ problem.apart)] = -np.inf
    return worth
