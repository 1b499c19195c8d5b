"""A trajectory in the plane of training loss and something else, and reading it off at a given training loss."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import PchipInterpolator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, init=False)
class Trajectory:
    """What a quantity was while the training loss fell, in the order of the steps.

    Training losses rise now and then. Read off is the first arrival: points that set a new lowest training loss count,
    the others do not; between those that count a monotone cubic runs (PCHIP; Fritsch and Butland 1984), which never
    leaves the range of its two neighbours.

    Args:
        losses: Training losses, [N].
        values: The quantity at the same steps, [N], for example the test metric. Points where it, or the training loss,
            is not finite are left out and counted in ``unknown``.
        steps: The steps, [N], rising; 0, 1, 2, ... by default.

    Attributes:
        losses: Training losses of the points that are finite, [n].
        values: The quantity there, [n].
        steps: The steps there, [n].
        unknown: Number of points that are left out because the quantity or the training loss is not finite.

    Raises:
        ValueError: for lengths that differ, steps that do not rise, or fewer than two points that count.

    Example:
        >>> from counterpoint import Trajectory
        >>> trajectory = Trajectory(losses=[2.0, 1.0, 1.5, 0.5], values=[0.1, 0.5, 0.4, 0.7], steps=[0, 10, 20, 30])
        >>> trajectory.at([1.0, 0.5]).tolist(), trajectory.step_at([1.0, 0.5]).tolist(), trajectory.unused
        ([0.5, 0.7], [10.0, 30.0], 1)
    """

    losses: Array
    values: Array
    steps: Array
    unknown: int

    def __init__(self, losses: ArrayLike, values: ArrayLike, steps: ArrayLike | None = None) -> None:
        x, y = np.asarray(losses, dtype=float), np.asarray(values, dtype=float)
        at = np.arange(x.size, dtype=float) if steps is None else np.asarray(steps, dtype=float)
        if x.ndim != 1 or not x.shape == y.shape == at.shape:
            raise ValueError(
                f"losses, values and steps have shapes {x.shape}, {y.shape} and {at.shape}, expected three of [N]"
            )
        known = np.isfinite(x) & np.isfinite(y)
        if not (np.diff(at) > 0).all():  # NaN do not rise
            raise ValueError("steps do not rise, expected the trajectory's points in the order of training")
        for name, array in (("losses", x), ("values", y), ("steps", at)):
            object.__setattr__(self, name, array[known])
        object.__setattr__(self, "unknown", int((~known).sum()))
        if len(self._record) < 2:
            lost = f" ({self.unknown} are not finite)" if self.unknown else ""
            raise ValueError(
                f"{len(self._record)} of {len(x)} points{lost} set a new lowest training loss, expected at least 2: "
                "the training loss never fell, or was recorded too seldom"
            )

    @cached_property
    def _record(self) -> NDArray[np.intp]:
        """Where the training loss is lower than ever before."""
        before = np.concatenate(([np.inf], np.minimum.accumulate(self.losses)[:-1]))
        return np.flatnonzero(self.losses < before)

    @property
    def unused(self) -> int:
        """Number of points at which the training loss was no lower than before."""
        return len(self.losses) - len(self._record)

    @property
    def highest(self) -> float:
        """The training loss at the start."""
        return float(self.losses[self._record[0]])

    @property
    def lowest(self) -> float:
        """The lowest training loss reached."""
        return float(self.losses[self._record[-1]])

    def at(self, losses: ArrayLike) -> Array:
        """The quantity when the training loss first was as low as this; NaN outside the range reached, [n]."""
        return self._read(self.values, losses)

    def step_at(self, losses: ArrayLike) -> Array:
        """The step at which the training loss first was as low as this; NaN outside the range reached, [n]."""
        return self._read(self.steps, losses)

    def _read(self, column: Array, losses: ArrayLike) -> Array:
        record = self._record[::-1]  # interpolation wants rising losses
        found: Array = PchipInterpolator(self.losses[record], column[record], extrapolate=False)(np.asarray(losses))
        return found


def as_trajectories(name: str, given: Any) -> list[Trajectory]:
    """One trajectory, or a sequence of them, one a seed.

    Raises:
        ValueError: if there is none.
        TypeError: if something is no trajectory.
    """
    if isinstance(given, Trajectory):
        return [given]
    runs: list[Any] = list(given)
    if not runs:
        raise ValueError(f"{name} holds no trajectory, expected one a seed")
    for run in runs:
        if not isinstance(run, Trajectory):
            raise TypeError(
                f"{name} holds a {type(run).__name__}, expected Trajectory(losses, values, steps), one a seed"
            )
    return runs


def paired(single: Any, multi: Any) -> tuple[list[Trajectory], list[Trajectory]]:
    """The trajectories of both, paired by position.

    Raises:
        ValueError: if one has more than the other, or none.
        TypeError: if something is no trajectory.
    """
    ours, theirs = as_trajectories("single", single), as_trajectories("multi", multi)
    if len(ours) != len(theirs):
        raise ValueError(
            f"single has {len(ours)} trajectories and multi {len(theirs)}, expected the same seeds in the same order"
        )
    return ours, theirs


def unknown_points(single: Sequence[Trajectory], multi: Sequence[Trajectory]) -> list[str]:
    """How many points of either were left out because they are not finite, in a sentence each; none where none were."""
    notes = []
    for name, runs in (("single-task", single), ("multi-task", multi)):
        unknown = sum(run.unknown for run in runs)
        if unknown:
            points = unknown + sum(len(run.losses) for run in runs)
            seeds = [str(seed) for seed, run in enumerate(runs, 1) if run.unknown]
            where = f" (runs {', '.join(seeds)} of {len(runs)})" if len(runs) > 1 else ""
            notes.append(
                f"{unknown} of {points} {name} points are left out, where the value or the training loss is NaN or "
                f"infinite{where}: the curve runs straight past them"
            )
    return notes
