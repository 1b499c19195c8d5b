"""Optimization deficits: how much higher the training loss is at the same step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Literal

import numpy as np

from counterpoint.trajectory.curve import Trajectory, paired, unknown_points
from counterpoint.trajectory.paired_curves import PairedCurves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
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
    return at_equal_steps(single, multi, "losses")


def at_equal_steps(
    single: Trajectory | Sequence[Trajectory],
    multi: Trajectory | Sequence[Trajectory],
    column: Literal["losses", "values"] = "values",
) -> AtEqualSteps:
    """Training losses, or what goes with them, at the steps at which all trajectories have a point.

    Args:
        single: The single-task run, or those of several seeds.
        multi: The multi-task run for the same task; the same seeds in the same order.
        column: Which of the two.

    Raises:
        ValueError: if the trajectories share no step, or the seeds cannot be paired.
        TypeError: if something is no :class:`Trajectory`.
    """
    ours, theirs = paired(single, multi)
    steps = reduce(np.intersect1d, [run.steps for run in (*ours, *theirs)])
    if not len(steps):
        raise ValueError("the trajectories have no step in common, expected the same schedule of probes")
    rows = [np.stack([getattr(run, column)[np.isin(run.steps, steps)] for run in runs]) for runs in (ours, theirs)]
    return AtEqualSteps(single=rows[0], multi=rows[1], steps=steps, notes=tuple(unknown_points(ours, theirs)))
