"""A recipe's numbers without the library: from its table of scores, with pandas and scipy alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .by_hand import interval, side

__all__ = ["change", "interval", "side", "values"]


@lru_cache(maxsize=4)
def _samples(results):
    return {
        key: rows.set_index("seed")["value"].sort_index()
        for key, rows in results.scores.groupby(["method", "task", "metric"])
    }


@lru_cache(maxsize=4)
def _directions(results):
    scores = results.scores.drop_duplicates(["task", "metric"])
    return {task: dict(zip(rows["metric"], rows["direction"], strict=True)) for task, rows in scores.groupby("task")}


def values(results, method, task, metric):
    """A metric of a task by seed."""
    return _samples(results)[method, task, metric]


def change(results, method, against, task=None):
    """Percent per seed by which a method is better: mean over a task's metrics, then over tasks."""
    directions = _directions(results)
    over_tasks = []
    for name in directions if task is None else [task]:
        over_metrics = []
        for metric, direction in directions[name].items():
            one, two = (values(results, key, name, metric).to_numpy() for key in (method, against))
            better = one - two if direction == "maximize" else two - one
            over_metrics.append(100 * better / np.abs(two))
        over_tasks.append(np.mean(over_metrics, axis=0))
    return np.mean(over_tasks, axis=0)
