"""The options of ``group_tasks``, checked, as a problem."""

from __future__ import annotations

import math
from operator import index
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.grouping.problem import build
from counterpoint.names import checked_names, known, one_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from counterpoint.grouping.problem import Array, Problem


def checked_limit(time_limit: float) -> float:
    """Seconds.

    Raises:
        ValueError: unless positive.
    """
    if isinstance(time_limit, bool) or not isinstance(time_limit, (int, float)) or not time_limit > 0:
        raise ValueError(f"time_limit={time_limit!r}, expected seconds > 0")
    return float(time_limit)


def checked_problem(
    values: Array,
    names: tuple[str, ...],
    *,
    networks: int | None,
    serve: Sequence[str] | None,
    singletons: str,
    largest: int | None,
    apart: Iterable[tuple[str, str]],
    cost: float | None,
) -> Problem:
    """The problem that the options of :func:`group_tasks` describe.

    Raises:
        ValueError: for options out of range, and tasks that do not exist.
        TypeError: for options of the wrong type.
    """
    size = len(names)
    one_of("singletons", singletons, ("neutral", "forbid"))
    if cost is not None and not (math.isfinite(cost) and cost >= 0):
        raise ValueError(f"cost={cost!r}, expected a finite number >= 0 in units of the affinity, or None")
    if networks is None and cost is None:
        raise ValueError("networks=None without cost, expected a number of networks, a cost for each, or both")
    if networks is not None and not 1 <= _whole(networks, "networks") <= size:
        raise ValueError(f"networks={networks} for {size} tasks, expected a number from 1 to {size}")
    if largest is not None and _whole(largest, "largest") < 1:
        raise ValueError(f"largest={largest}, expected at least 1 task in a network, or None for no limit")
    served = names if serve is None else checked_names(serve, "serve")
    together = np.zeros((size, size), dtype=bool)
    for first, second in _pairs(apart, names):
        together[first, second] = together[second, first] = True
    return build(
        values,
        np.array(sorted(names.index(known(name, names, "serve")) for name in served), dtype=np.intp),
        networks=size if networks is None else int(networks),
        cost=cost or 0.0,
        alone=singletons == "neutral",
        largest=size if largest is None else int(largest),
        apart=together,
    )


def _whole(number: object, option: str) -> int:
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise TypeError(f"{option}={number!r}, expected a whole number")
    return index(number)


def _pairs(apart: Iterable[tuple[str, str]], names: tuple[str, ...]) -> Iterable[tuple[int, int]]:
    for pair in apart:
        if isinstance(pair, str) or len(tuple(pair)) != 2:
            raise ValueError(f"apart holds {pair!r}, expected pairs of task names")
        first, second = (names.index(known(name, names, "apart")) for name in pair)
        if first == second:
            raise ValueError(f"apart holds {tuple(pair)!r}, expected two different tasks")
        yield first, second
