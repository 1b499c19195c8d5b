"""Means over the steps of a training of unknown length, and over its thirds, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

PHASES = ("beginning", "middle", "end")

# Even, so that bins merge in pairs. A third's border is then off by at most half a bin: 1/48 of the training.
CAPACITY = 48


@dataclass
class Moments:
    """Count, mean and sum of squared deviations of each entry of [T, T] matrices.

    Deviations rather than squares: those of a small spread around a large mean lose no digits.
    """

    counts: Matrix
    means: Matrix
    deviations: Matrix

    @classmethod
    def none(cls, size: int) -> Moments:
        """Of no matrix at all."""
        return cls(*(np.zeros((size, size)) for _ in range(3)))

    def __add__(self, other: Moments) -> Moments:
        """Of all matrices of both (Chan et al. 1983)."""
        counts = self.counts + other.counts
        share = other.counts / np.maximum(counts, 1.0)
        distance = other.means - self.means
        means = self.means + distance * share
        deviations = self.deviations + other.deviations + distance**2 * self.counts * share
        return Moments(counts, means, deviations)

    @classmethod
    def of(cls, matrix: Matrix) -> Moments:
        """Of one matrix; entries that are not finite do not count."""
        known = np.isfinite(matrix)
        return cls(known.astype(np.float64), np.where(known, matrix, 0.0), np.zeros_like(matrix))

    @property
    def mean(self) -> Matrix:
        """NaN where nothing was counted."""
        return np.where(self.counts > 0, self.means, np.nan)

    @property
    def standard_error(self) -> Matrix:
        """Of the mean, if the matrices are independent draws; NaN for fewer than two."""
        enough = np.maximum(self.counts, 2.0)
        return np.where(self.counts > 1, np.sqrt(self.deviations / (enough - 1) / enough), np.nan)


class PhasedMoments:
    """Moments of a sequence, kept in at most 48 bins of equally many steps.

    When all bins are full, neighbours merge and each holds twice as many steps. So the thirds of a sequence of unknown
    length are known at any time: exactly (to the nearest step) up to 48 steps, and to within half a bin beyond.

    Args:
        size: T.

    Attributes:
        steps: Number of matrices added.

    Example:
        >>> moments = PhasedMoments(1)
        >>> for value in (1.0, 2.0, 6.0):
        ...     moments.add(np.full((1, 1), value))
        >>> moments.total().mean.item(), [moments.phases()[name][0].mean.item() for name in PHASES]
        (3.0, [1.0, 2.0, 6.0])
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.steps = 0
        self._width = 1  # steps a bin
        self._bins: list[Moments] = []
        self._in_last = 0

    def add(self, matrix: Matrix) -> None:
        """Adds one step's matrix [T, T]; entries that are not finite do not count."""
        if self._bins and self._in_last < self._width:
            self._bins[-1] += Moments.of(matrix)
            self._in_last += 1
        else:
            if len(self._bins) == CAPACITY:
                self._bins = [a + b for a, b in zip(self._bins[::2], self._bins[1::2], strict=True)]
                self._width *= 2
            self._bins.append(Moments.of(matrix))
            self._in_last = 1
        self.steps += 1

    def total(self) -> Moments:
        """Of all steps."""
        return sum(self._bins, Moments.none(self.size))

    def phases(self) -> dict[str, tuple[Moments, int]]:
        """Moments and number of steps of each third; a bin belongs to the third in which its middle lies."""
        parts = {name: (Moments.none(self.size), 0) for name in PHASES}
        for index, bin_ in enumerate(self._bins):
            held = self._in_last if index == len(self._bins) - 1 else self._width
            middle = (index * self._width + held / 2) / self.steps
            name = PHASES[min(2, int(3 * middle))]
            moments, steps = parts[name]
            parts[name] = moments + bin_, steps + held
        return parts

    def state_dict(self) -> dict[str, Any]:
        """Everything, as numbers and one array [bins, 3, T, T]."""
        bins = [[each.counts, each.means, each.deviations] for each in self._bins]
        shape = (len(bins), 3, self.size, self.size)
        return {
            "steps": self.steps,
            "width": self._width,
            "in_last": self._in_last,
            "bins": np.array(bins, dtype=np.float64).reshape(shape),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undoes :meth:`state_dict`."""
        self.steps, self._width, self._in_last = state["steps"], state["width"], state["in_last"]
        self._bins = [Moments(*(matrix.copy() for matrix in part)) for part in state["bins"]]
