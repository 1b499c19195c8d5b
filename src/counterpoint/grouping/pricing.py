"""Sets worth much at given prices, found by local search: quick, without proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from counterpoint.grouping.problem import Array, Mask, Problem

_ENTRIES = 100_000  # numbers in a work array: it fits into the cache


def climb(problem: Problem, starts: Mask, prices: Array, expired: Callable[[], bool]) -> Mask:
    """Steepest ascent of ``problem.worth`` from sets [N, T] at once: one task enters or leaves at a time."""
    members = starts[problem.allowed(starts)].copy()
    worth = problem.worth(members, prices)
    active = np.arange(len(members))
    while len(active) and not expired():
        task = _best_toggle(problem, members[active], prices)
        changed = members[active]
        changed[np.arange(len(active)), task] ^= True
        after = np.where(problem.allowed(changed), problem.worth(changed, prices), -np.inf)
        better = after > worth[active] + 1e-10
        active = active[better]
        members[active], worth[active] = changed[better], after[better]
    return members


def _best_toggle(problem: Problem, members: Mask, prices: Array) -> NDArray[np.intp]:
    """[N] the task whose entering or leaving is best for each of the sets, to single precision."""
    size, serve = problem.size, problem.serve
    values = problem.values[:, serve].astype(np.float32)
    single_prices = prices.astype(np.float32)
    batch = max(1, _ENTRIES // (size * len(serve)))
    best = np.empty(len(members), dtype=np.intp)
    for start in range(0, len(members), batch):
        rows = members[start : start + batch]
        sign = np.where(rows, np.float32(-1), np.float32(1))
        sums = rows.astype(np.float32) @ values  # [N, n]
        sizes = np.count_nonzero(rows, axis=1)[:, None] + sign  # [N, T]
        after = sign[:, :, None] * values  # [N, T, n]
        after += sums[:, None, :]
        after *= (1.0 / np.maximum(sizes - 1.0, 1.0)).astype(np.float32)[:, :, None]
        if np.isfinite(problem.alone):
            after[sizes == 1.0] = problem.alone
        after -= single_prices
        np.maximum(after, np.float32(0), out=after)
        own = after[:, serve, np.arange(len(serve))].copy()  # what the task that enters or leaves scores itself
        worth = np.matmul(after, rows[:, serve].astype(np.float32)[:, :, None])[:, :, 0]
        worth[:, serve] += own * sign[:, serve]
        least = 1.0 if np.isfinite(problem.alone) else 2.0
        worth[(sizes < least) | (sizes > problem.largest)] = -np.inf
        if problem.apart.any():
            worth[~rows & (rows @ problem.apart)] = -np.inf
        best[start : start + batch] = worth.argmax(axis=1)
    return best
