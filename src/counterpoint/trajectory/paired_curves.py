"""Differences between paired trajectories along an axis, one row a seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from counterpoint.estimate import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PairedCurves:
    """Single-task and multi-task values at the same places, paired by seed.

    Attributes:
        single: Values of the single-task runs, [S, n].
        multi: Values of the multi-task runs, [S, n].
        sign: What the difference is multiplied by: -1 makes less better.
        notes: What a reader of the numbers should know, in sentences: points that were left out, for example.
    """

    single: Array
    multi: Array
    sign: float = 1.0
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        low, high = self.estimate.low, self.estimate.high
        seeds = f"{self.seeds} {'seed' if self.seeds == 1 else 'seeds'}"
        places = self.single.shape[1]
        mean = self.estimate.mean
        notes = "".join(f"; {note}" for note in self.notes)
        return f"{type(self).__name__}({mean:+.4g} [{low:+.4g}, {high:+.4g}], {seeds}, {places} places{notes})"

    @property
    def seeds(self) -> int:
        """S."""
        return len(self.single)

    @cached_property
    def differences(self) -> Array:
        """Multi-task minus single-task, times the sign, [S, n]."""
        return self.sign * (self.multi - self.single)

    @property
    def curve(self) -> Array:
        """The mean difference over seeds, [n]."""
        mean: Array = self.differences.mean(axis=0)
        return mean

    @property
    def by_seed(self) -> Array:
        """The mean difference over all places, [S]."""
        mean: Array = self.differences.mean(axis=1)
        return mean

    @property
    def estimate(self) -> Estimate:
        """The mean difference over all places and seeds; its interval covers the differences between seeds."""
        return Estimate.of(self.by_seed.tolist())

    @property
    def last(self) -> Estimate:
        """The difference at the last place."""
        return Estimate.of(self.differences[:, -1].tolist())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of :attr:`estimate`.

        Raises:
            ValueError: with one seed.
        """
        self._check_seeds()
        return self.estimate.low, self.estimate.high

    @cached_property
    def band(self) -> tuple[Array, Array]:
        """The 95 % interval at each place by itself, [n] and [n] (Student's t).

        Raises:
            ValueError: with one seed.
        """
        self._check_seeds()
        spread = self.differences.std(axis=0, ddof=1)
        half = float(stats.t.ppf(0.975, self.seeds - 1)) * spread / np.sqrt(self.seeds)
        return self.curve - half, self.curve + half

    @property
    def significant_from(self) -> int | None:
        """The first place from which on all intervals, to the last, lie on the same side of zero; ``None`` for none.

        Many places are looked at, and a single interval that excludes zero says little. Since the last one has to, a
        place is found by chance no more often than any one interval misses zero: in 5 % of cases.

        Raises:
            ValueError: with one seed.
        """
        low, high = self.band
        side = np.where(low > 0, 1, np.where(high < 0, -1, 0))
        others = np.flatnonzero(side != side[-1])
        if side[-1] == 0:
            return None
        return int(others[-1]) + 1 if len(others) else 0

    def _check_seeds(self) -> None:
        if self.seeds < 2:
            raise ValueError("one seed gives no interval, expected trajectories of at least 2 seeds")
