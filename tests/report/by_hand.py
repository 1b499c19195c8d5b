"""A study's numbers without the library: from its table of runs, with pandas and scipy alone."""

from __future__ import annotations

import numpy as np
from scipy import stats


def values(results, method, task, split="test"):
    """The metric of a task by seed, from the network that serves it."""
    (network,) = (n for n, each in enumerate(results.method(method).networks) if task in each.serves)
    runs = results.runs.set_index(["run", "task"])[f"{split}_value"]
    return {seed: float(runs[names[network], task]) for seed, names in results.served[method].items()}


def change(results, method, against, task=None, split="test"):
    """Percent per seed by which a method is better, of one task or on average over all."""
    tasks = [task] if task is not None else list(dict.fromkeys(results.runs["task"]))
    direction = results.runs.drop_duplicates("task").set_index("task")["direction"]
    rows = []
    for name in tasks:
        one, two = (values(results, key, name, split) for key in (method, against))
        sign = 1 if direction[name] == "maximize" else -1
        rows.append([100 * sign * (one[seed] - two[seed]) / abs(two[seed]) for seed in sorted({*one} & {*two})])
    return np.mean(rows, axis=0)


def interval(sample):
    """Mean and 95 % interval of Student's t."""
    if np.ptp(sample) == 0:
        return (float(sample[0]),) * 3
    low, high = stats.t.interval(0.95, len(sample) - 1, np.mean(sample), stats.sem(sample))
    return float(np.mean(sample)), float(low), float(high)


def side(sample):
    """1 or -1 where the interval lies above or below zero, else 0."""
    if len(sample) < 2:
        return 0
    if np.ptp(sample) == 0:
        return int(np.sign(sample[0]))
    _, low, high = interval(sample)
    return int(low > 0) - int(high < 0)
