"""Generalization gaps: what multi-task training does to the test metric at comparable training loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from counterpoint.trajectory.curve import Trajectory, paired, unknown_points
from counterpoint.trajectory.paired_curves import PairedCurves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Onset:
    """Where a gap becomes significant, and stays so down to the lowest training loss that all reach.

    Attributes:
        loss: Training loss.
        single_step: Step at which single-task runs had come down to it, mean over seeds.
        multi_step: The same of the multi-task runs.
        better: Whether multi-task training is better there.
    """

    loss: float
    single_step: float
    multi_step: float
    better: bool


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Gap(PairedCurves):
    """Gaps between multi-task and single-task trajectories at the same training losses; positive is better.

    Attributes:
        losses: The training losses, from high to low, [n].
        single_steps: Steps at which each single-task run first came down to them, [S, n].
        multi_steps: The same of the multi-task runs, [S, n].
    """

    losses: Array
    single_steps: Array
    multi_steps: Array

    @property
    def onset(self) -> Onset | None:
        """From where on the gap is significant, ``None`` where it is not in the end.

        Raises:
            ValueError: with one seed.
        """
        place = self.significant_from
        if place is None:
            return None
        steps = float(self.single_steps[:, place].mean()), float(self.multi_steps[:, place].mean())
        return Onset(float(self.losses[place]), *steps, better=bool(self.curve[place] > 0))


def generalization_gap(
    single: Trajectory | Sequence[Trajectory],
    multi: Trajectory | Sequence[Trajectory],
    *,
    direction: Literal["maximize", "minimize"] = "maximize",
    levels: int = 25,
) -> Gap:
    """The difference in the test metric between multi-task and single-task training at comparable training loss.

    Both are read off at the same training losses, spaced evenly over the range that all trajectories reach, at the
    first arrival there (see :class:`Trajectory`). Comparing at equal steps instead would mix two things: that
    multi-task training fits a task more slowly, and that what it learns generalizes differently (Mueller, Dredze and
    Andrews, TMLR 2024, section 3). Costs no gradient evaluation.

    Args:
        single: The single-task run's training losses and test metrics, or those of several seeds.
        multi: The multi-task run's, for the same task; the same seeds in the same order.
        direction: ``"minimize"`` if less of the metric is better.
        levels: Number of training losses to compare at, n.

    Returns:
        Gaps [S, n], positive where multi-task training is better, their mean, interval, band and onset; ``notes`` says
        how many points were left out, and why.

    Raises:
        ValueError: if the trajectories have no range of training losses in common, or the seeds cannot be paired.
        TypeError: if something is no :class:`Trajectory`.

    Example:
        A multi-task run that is twice as slow and, at the same training loss, 0.05 better:

        >>> import numpy as np
        >>> from counterpoint import Trajectory, generalization_gap
        >>> losses = np.linspace(2.0, 0.5, 16)
        >>> single = Trajectory(losses, 1 - losses / 4, steps=np.arange(16))
        >>> multi = Trajectory(losses, 1.05 - losses / 4, steps=2 * np.arange(16))
        >>> gap = generalization_gap([single, single], [multi, multi])
        >>> round(gap.estimate.mean, 10), gap.losses[[0, -1]].tolist(), round(gap.onset.multi_step, 10) + 0
        (0.05, [2.0, 0.5], 0.0)
    """
    ours, theirs = paired(single, multi)
    if direction not in {"maximize", "minimize"}:
        raise ValueError(f"direction is {direction!r}, expected 'maximize' or 'minimize'")
    if levels < 2:
        raise ValueError(f"levels is {levels}, expected at least 2")
    runs = [*ours, *theirs]
    high, low = min(run.highest for run in runs), max(run.lowest for run in runs)
    if not low < high:
        raise ValueError(
            f"the trajectories have no common range of training losses: single-task from {_span(ours)}, multi-task "
            f"from {_span(theirs)}; record earlier steps, or train longer"
        )
    losses = np.linspace(high, low, levels)
    return Gap(
        single=np.stack([run.at(losses) for run in ours]),
        multi=np.stack([run.at(losses) for run in theirs]),
        sign=1.0 if direction == "maximize" else -1.0,
        losses=losses,
        single_steps=np.stack([run.step_at(losses) for run in ours]),
        multi_steps=np.stack([run.step_at(losses) for run in theirs]),
        notes=(
            *unknown_points(ours, theirs),
            *_rises("single-task", ours),
            *_rises("multi-task", theirs),
            *_beyond(runs, high, low),
        ),
    )


def _span(runs: Sequence[Trajectory]) -> str:
    return f"{min(run.highest for run in runs):.4g} to {max(run.lowest for run in runs):.4g}"


def _rises(name: str, runs: Sequence[Trajectory]) -> list[str]:
    unused, points = sum(run.unused for run in runs), sum(len(run.losses) for run in runs)
    if not unused:
        return []
    return [f"{unused} of {points} {name} points, where the training loss was no lower than before, are not used"]


def _beyond(runs: Sequence[Trajectory], high: float, low: float) -> list[str]:
    """The share of the trajectories that has nothing to be compared with."""
    whole = max(run.highest for run in runs) - min(run.lowest for run in runs)
    share = (high - low) / whole
    if share > 0.5:
        return []
    return [f"only {100 * share:.0f} % of the range of training losses is reached by all trajectories"]
