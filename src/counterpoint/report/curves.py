"""From a study's history to curves a page can show: mean over seeds, range over seeds, few points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

# A panel is at most some 500 pixels wide; more points than this cost bytes and cannot be told apart.
MAX_POINTS = 120


@dataclass(frozen=True)
class Curve:
    """A quantity over training steps, or over something else that moves as training goes on.

    Attributes:
        steps: Training steps, or training losses, in the order of training.
        mean: Mean over seeds at each step.
        low: Smallest value over seeds, or the lower end of the interval.
        high: Largest value over seeds, or the upper end of the interval.
        seeds: Number of seeds.
    """

    steps: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    seeds: int


def curve(rows: pd.DataFrame, max_points: int = MAX_POINTS) -> Curve | None:
    """Summarizes history rows of one method, task and quantity over seeds.

    Where there are more than ``max_points`` steps, neighbouring steps are averaged within each seed first, so
    that the range shows differences between seeds and not the noise of single steps.

    Args:
        rows: Rows of ``Results.history`` with ``seed``, ``step`` and ``value``.
        max_points: The most points to return.

    Returns:
        The curve, or None where nothing finite was recorded.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"seed": [0, 1, 0, 1], "step": [1, 1, 9, 9], "value": [1.0, 3.0, 2.0, 2.0]})
        >>> curve(rows)
        Curve(steps=[1.0, 9.0], mean=[2.0, 2.0], low=[1.0, 2.0], high=[3.0, 2.0], seeds=2)
    """
    # A page has hundreds of curves: pandas' own pivoting would take most of its time.
    value, step = rows["value"].to_numpy(dtype=float), rows["step"].to_numpy(dtype=float)
    known = np.isfinite(value) & np.isfinite(step)
    if not known.any():
        return None
    steps, at = np.unique(step[known], return_inverse=True)
    seeds, of = np.unique(rows["seed"].to_numpy()[known], return_inverse=True)
    by_seed = _means(value[known], at * len(seeds) + of, len(steps) * len(seeds)).reshape(len(steps), len(seeds))
    if len(steps) > max_points:
        bins = np.arange(len(steps)) * max_points // len(steps)
        by_seed = np.column_stack([_means(column, bins, max_points) for column in by_seed.T])
        steps = _means(steps, bins, max_points)
    return Curve(
        steps=[float(step) for step in np.round(steps, 1)],
        mean=rounded(np.nanmean(by_seed, axis=1)),
        low=rounded(np.nanmin(by_seed, axis=1)),
        high=rounded(np.nanmax(by_seed, axis=1)),
        seeds=len(seeds),
    )


def _means(values: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """Mean of the finite values at each of ``count`` places, NaN where there are none."""
    finite = np.isfinite(values)
    total = np.bincount(places[finite], weights=values[finite], minlength=count)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.bincount(places[finite], minlength=count))


def weight_shares(history: pd.DataFrame) -> pd.DataFrame:
    """The recorded weights, each as a share of the sum over tasks at its step.

    Methods scale their weights differently (MGDA's sum to 1, uniform weights are 1 each); shares compare.

    Example:
        >>> import pandas as pd
        >>> columns = ["run", "step", "task", "quantity", "value"]
        >>> rows = [("u", 0, "left", "weight", 1.0), ("u", 0, "right", "weight", 3.0)]
        >>> list(weight_shares(pd.DataFrame(rows, columns=columns))["value"])
        [0.25, 0.75]
    """
    weights = history[history["quantity"] == "weight"]
    total = weights["value"].abs().groupby([weights["run"], weights["step"]]).transform("sum")
    return weights.assign(value=weights["value"] / total.where(total > 0))


def pair_cosines(history: pd.DataFrame) -> pd.DataFrame:
    """The recorded cosines, once a pair: (right, left) counts as (left, right), a task with itself not.

    Example:
        >>> import pandas as pd
        >>> columns = ["task", "other", "quantity", "value"]
        >>> rows = [("b", "a", "cosine", 0.5), ("a", "a", "cosine", 1.0), ("a", None, "loss", 2.0)]
        >>> pair_cosines(pd.DataFrame(rows, columns=columns))[["task", "other"]].to_numpy().tolist()
        [['a', 'b']]
    """
    cosines = history[(history["quantity"] == "cosine") & (history["task"] != history["other"])]
    task, other = cosines["task"].astype(str), cosines["other"].astype(str)
    return cosines.assign(task=task.where(task < other, other), other=other.where(task < other, task))


def both_ways(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs listed under each of their two tasks, to average a task's cosines with all others."""
    return pd.concat([pairs, pairs.assign(task=pairs["other"], other=pairs["task"])], ignore_index=True)


def rounded(values: Iterable[float]) -> list[float]:
    """Four digits: more cost bytes and cannot be seen.

    Example:
        >>> rounded([0.123456, 1234.56])
        [0.1235, 1235.0]
    """
    return [float(f"{value:.4g}") for value in values]
