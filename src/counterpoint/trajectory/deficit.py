"""Optimization deficits: how much higher the training loss is at the same step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.trajectory.curve import Trajectory, paired
from counterpoint.trajectory.paired_curves import PairedCurves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class AtEqualSteps(PairedCurves):
    """Differences at the steps that all trajectories have.

    Attributes:
        steps: The steps, [n].
    """

    steps: Array


def optimization_deficit(
    single: Trajectory | Sequence[Trajectory], multi: Trajectory | Sequence[Trajectory]
) -> AtEqualSteps:
    """The training loss of multi-task minus that of single-task training at equal steps; positive is a deficit.

    Args:
        single: The single-task run, or those of several seeds.
        multi: The multi-task run for the same task; the same seeds in the same order.

    Raises:
        ValueError: if the trajectories share no step, or the seeds cannot be paired.
        TypeError: if something is no :class:`Trajectory`.

    Source:
        Mueller, Dredze and Andrews (TMLR 2024), who compare training losses along the two trajectories.

    Example:
        >>> from counterpoint import Trajectory, optimization_deficit
        >>> single = Trajectory([2.0, 1.0, 0.5], values=[0.1, 0.5, 0.7])
        >>> multi = Trajectory([2.0, 1.4, 0.9], values=[0.1, 0.4, 0.6])
        >>> [round(value, 10) for value in optimization_deficit(single, multi).curve.tolist()]
        [0.0, 0.4, 0.4]
    """
    ours, theirs = paired(single, multi)
    steps = common_steps([*ours, *theirs])
    return AtEqualSteps(single=_losses(ours, steps), multi=_losses(theirs, steps), steps=steps)


def common_steps(runs: Sequence[Trajectory]) -> Array:
    """The steps at which all trajectories have a point.

    Raises:
        ValueError: if there is none.
    """
    steps = runs[0].steps
    for run in runs[1:]:
        steps = np.intersect1d(steps, run.steps)
    if not len(steps):
        raise ValueError("the trajectories have no step in common, expected the same schedule of probes")
    return steps


def _losses(runs: Sequence[Trajectory], steps: Array) -> Array:
    return np.stack([run.losses[np.isin(run.steps, steps)] for run in runs])
