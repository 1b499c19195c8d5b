"""What a study's numbers say: means, spreads, and relative change against single-task training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "single"


def delta_m(scores: pd.DataFrame, method: str, baseline: str = BASELINE) -> dict[int, float]:
    r"""Relative change against single-task training, in percent, per seed; positive is better.

    The multi-task literature's :math:`\Delta_m = \frac{100}{T} \sum_t s_t (M_t - B_t) / |B_t|` with :math:`s_t` = 1 for
    metrics to maximize and -1 for metrics to minimize (Maninis et al., CVPR 2019, Eq. 1). Runs are paired by seed.

    Args:
        scores: ``Results.scores``.
        method: Key of the method to judge.
        baseline: Key of the method to compare with.

    Returns:
        Percent per seed that both methods have; NaN where a task scored 0 with the baseline.

    Example:
        >>> import pandas as pd
        >>> rows = [("single", 0, "a", "maximize", 0.8), ("uniform", 0, "a", "maximize", 0.88),
        ...         ("single", 0, "b", "minimize", 2.0), ("uniform", 0, "b", "minimize", 1.0)]
        >>> frame = pd.DataFrame(rows, columns=["method", "seed", "task", "direction", "value"])
        >>> round(delta_m(frame, "uniform")[0], 6)  # (10 % + 50 %) / 2
        30.0
    """
    changes = _changes(scores, method, baseline)
    comparable = {task for by_task in changes.values() for task in by_task}
    # A seed that lacks a task would be the mean of something else.
    return {
        seed: float(np.mean(list(by_task.values())))
        for seed, by_task in changes.items()
        if len(by_task) == len(comparable)
    }


def task_delta(scores: pd.DataFrame, method: str, task: str, baseline: str = BASELINE) -> dict[int, float]:
    """Relative change of one task against the baseline, in percent, per seed; positive is better."""
    changes = _changes(scores, method, baseline)
    return {seed: by_task[task] for seed, by_task in changes.items() if task in by_task}


def _changes(scores: pd.DataFrame, method: str, baseline: str) -> dict[int, dict[str, float]]:
    columns = (scores[name].tolist() for name in ("method", "seed", "task", "value"))
    values = {(method, int(seed), task): float(value) for method, seed, task, value in zip(*columns, strict=True)}
    directions = dict(zip(scores["task"].tolist(), scores["direction"].tolist(), strict=True))
    changes: dict[int, dict[str, float]] = {}
    for (name, seed, task), value in values.items():
        base = values.get((baseline, seed, task))
        if name != method or base is None:
            continue
        sign = 1.0 if directions[task] == "maximize" else -1.0
        changes.setdefault(seed, {})[task] = 100.0 * sign * (value - base) / abs(base) if base else math.nan
    return changes
