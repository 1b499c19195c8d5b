"""A mean over seeds with its 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval (Student's t; infinite with a single seed).

    Attributes:
        mean: Mean over seeds.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        spread: Standard deviation over seeds, 0 with a single seed.
        seeds: Number of seeds.
    """

    mean: float
    low: float
    high: float
    spread: float
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Estimates the mean of ``values``, one value a seed.

        Example:
            >>> Estimate.of([1.0, 2.0, 3.0]).mean
            2.0
        """
        n = len(values)
        mean = float(np.mean(values))
        if n < 2:
            return cls(mean, -math.inf, math.inf, 0.0, n)
        spread = float(np.std(values, ddof=1))
        half = float(stats.t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
        return cls(mean, mean - half, mean + half, spread, n)

    @property
    def excludes_zero(self) -> bool:
        """Whether the 95 % interval lies on one side of zero."""
        return self.low > 0 or self.high < 0
