"""From trajectories and comparisons to curves a page can show."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.report.curves import Curve, rounded
from counterpoint.trajectory.paired_curves import PairedCurves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from counterpoint.study.explain.results import ExplainResults

    Array = NDArray[np.float64]

# A panel is some 300 pixels wide.
_LEVELS = 40
# Without a logarithm the first tenth of a training would hide what happens in it.
_LONG = 20.0
# A picture holds no ratio that is larger than two to the power of this, nor does a float.
_HIGHEST = 1000.0


def trajectory_curve(results: ExplainResults, method: str, task: str, scale: float = 1.0) -> Curve | None:
    """The test metric along the training loss, read off where all seeds of a method have been.

    Args:
        results: The study.
        method: Key of the method, or ``"single"``.
        task: Name of the task.
        scale: What the metric is multiplied by.

    Returns:
        Mean, lowest and highest seed, from high to low training losses; None where the seeds have no training loss in
        common.
    """
    runs = [results.trajectory(method, task, seed, "test_metric") for seed in results.seeds]
    high, low = min(run.highest for run in runs), max(run.lowest for run in runs)
    if not low < high:
        return None
    levels = np.geomspace(high, low, _LEVELS) if low > 0 else np.linspace(high, low, _LEVELS)
    return spread(levels, np.stack([run.at(levels.clip(low, high)) for run in runs]) * scale)


def spread(x: Array, values: Array) -> Curve:
    """The mean over seeds with the lowest and the highest seed.

    Args:
        x: Where, [n].
        values: One row a seed, [S, n].

    Example:
        >>> spread(np.array([0.0, 10.0]), np.array([[1.0, 2.0], [3.0, 2.0]]))
        Curve(steps=[0.0, 10.0], mean=[2.0, 2.0], low=[1.0, 2.0], high=[3.0, 2.0], seeds=2)
    """
    mean, low, high = values.mean(axis=0), values.min(axis=0), values.max(axis=0)
    return Curve(rounded(x), rounded(mean), rounded(low), rounded(high), len(values))


def band(x: Array, curves: PairedCurves, scale: float = 1.0) -> Curve:
    """The mean difference with its 95 % interval at each place.

    Example:
        >>> same = PairedCurves(single=np.zeros((2, 2)), multi=np.ones((2, 2)))
        >>> band(np.array([2.0, 1.0]), same)
        Curve(steps=[2.0, 1.0], mean=[1.0, 1.0], low=[1.0, 1.0], high=[1.0, 1.0], seeds=2)
    """
    low, high = curves.band
    return Curve(rounded(x), rounded(scale * curves.curve), rounded(scale * low), rounded(scale * high), curves.seeds)


def as_ratio(data: Curve) -> Curve:
    """Base-2 logarithms of ratios, as ratios.

    Example:
        >>> as_ratio(Curve([1.0], [1.0], [0.0], [2.0], 3))
        Curve(steps=[1.0], mean=[2.0], low=[1.0], high=[4.0], seeds=3)
    """
    ends = (data.mean, data.low, data.high)
    mean, low, high = (rounded(2.0 ** min(value, _HIGHEST) for value in values) for values in ends)
    return replace(data, mean=mean, low=low, high=high)


def over_tasks(parts: Sequence[tuple[Array, PairedCurves]]) -> tuple[Array, PairedCurves] | None:
    """The mean over tasks at the places that all of them have, seed by seed.

    Args:
        parts: Places [n] and curves of each task.

    Returns:
        Places and curves; None without a task, or where tasks have no place in common.

    Example:
        >>> one = PairedCurves(single=np.zeros((2, 2)), multi=np.ones((2, 2)))
        >>> two = PairedCurves(single=np.zeros((2, 3)), multi=3 * np.ones((2, 3)))
        >>> x, mean = over_tasks([(np.array([0.0, 5.0]), one), (np.array([0.0, 2.0, 5.0]), two)])
        >>> x.tolist(), mean.curve.tolist()
        ([0.0, 5.0], [2.0, 2.0])
    """
    if not parts:
        return None
    common: Array = reduce(np.intersect1d, [x for x, _ in parts])
    if not len(common):
        return None
    single, multi = (
        np.mean([getattr(curves, side)[:, np.isin(x, common)] for x, curves in parts], axis=0)
        for side in ("single", "multi")
    )
    return common, PairedCurves(single=single, multi=multi, sign=parts[0][1].sign)


def without_start(curves: Sequence[Curve]) -> tuple[list[Curve], bool]:
    """Curves over steps, and whether their axis is logarithmic: then step 0 has no place on it and is left out.

    Example:
        >>> long = Curve([0.0, 1.0, 200.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 2)
        >>> without_start([long])[0][0].steps
        [1.0, 200.0]
    """
    positive = [step for data in curves for step in data.steps if step > 0]
    if not positive or max(positive) <= _LONG * min(positive):
        return list(curves), False
    kept = []
    for data in curves:
        places = [place for place, step in enumerate(data.steps) if step > 0]
        steps, mean, low, high = (
            [column[place] for place in places] for column in (data.steps, data.mean, data.low, data.high)
        )
        kept.append(Curve(steps, mean, low, high, data.seeds))
    return kept, True
