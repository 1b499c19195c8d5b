"""The problem in numbers: what may be chosen, and what it scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.intp]
Mask = NDArray[np.bool_]

# "optimal" means: within this share of the largest affinity.
TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Problem:
    """Sets of tasks as rows of Booleans; scores summed over served tasks, in units of ``scale``.

    Attributes:
        values: [T, T], row = the task that steps, column = the task that is affected; diagonal 0, largest size 1.
        alone: Score of a network of one task in these units, -inf where that is forbidden.
        serve: [n] indices of the tasks to serve, ascending.
        networks: At most so many.
        cost: Of a network, in these units and on the scale of the sum over tasks.
        largest: Tasks in a network, at most.
        apart: [T, T] symmetric, true for pairs that must not share a network.
        scale: One unit here in units of the affinity.
        shift: [T] what was subtracted from the scores of each task, in units of the affinity.
        tolerance: A sum of scores this close to the bound is optimal.
    """

    values: Array
    alone: float
    serve: Ints
    networks: int
    cost: float
    largest: int
    apart: Mask
    scale: float
    shift: Array
    tolerance: float

    @property
    def size(self) -> int:
        """T."""
        return len(self.values)

    def scores(self, members: Mask) -> Array:
        """What sets [N, T] give the tasks to serve, [N, n]; -inf for tasks that they do not contain."""
        sizes = np.count_nonzero(members, axis=1)
        sums = members.astype(float) @ self.values[:, self.serve]
        sums /= np.maximum(sizes - 1, 1)[:, None]
        sums[sizes == 1] = self.alone
        sums[~members[:, self.serve]] = -np.inf
        return sums

    def allowed(self, members: Mask) -> Mask:
        """Which of the sets [N, T] may be networks."""
        sizes = np.count_nonzero(members, axis=1)
        fine = (sizes >= (1 if np.isfinite(self.alone) else 2)) & (sizes <= self.largest)
        if self.apart.any():
            numbers = members.astype(float)
            fine &= ((numbers @ self.apart) * numbers).sum(axis=1) == 0
        return cast("Mask", fine)

    def most(self) -> Array:
        """[n] No network gives the tasks to serve higher scores than these."""
        partners = np.where(self.apart, -np.inf, self.values)
        np.fill_diagonal(partners, self.alone)
        most: Array = partners[:, self.serve].max(axis=0)
        return most

    def worth(self, members: Mask, prices: Array) -> Array:
        """sum_t max(0, score_t - price_t) of sets [N, T] for prices [n]: what column generation maximizes."""
        worth: Array = np.maximum(self.scores(members) - prices, 0.0).sum(axis=1)
        return worth


def build(
    values: Array,
    serve: Ints,
    *,
    networks: int,
    cost: float,
    alone: bool,
    largest: int,
    apart: Mask,
) -> Problem:
    """Scales the affinities so that tolerances mean the same at 1e-9 and at 1e9."""
    matrix = values.copy()
    np.fill_diagonal(matrix, 0.0)
    size = len(matrix)
    greatest = float(np.abs(matrix).max(initial=0.0))
    greatest = greatest if greatest > 0 else 1.0
    matrix /= greatest
    shift = np.zeros(size)
    if not alone and size > 1:
        # Every score is then a mean of affinities, and a constant taken from all of them comes off the score.
        shift = matrix.sum(axis=0) / (size - 1)
        matrix -= shift
        np.fill_diagonal(matrix, 0.0)
    spread = float(np.abs(matrix).max(initial=0.0))
    spread = spread if spread > 1e-15 * size else 1.0
    return Problem(
        values=matrix / spread,
        alone=0.0 if alone else -np.inf,
        serve=serve,
        networks=min(networks, len(serve)),
        cost=cost / greatest / spread * len(serve),
        largest=min(largest, size),
        apart=apart,
        scale=greatest * spread,
        shift=shift * greatest,
        tolerance=TOLERANCE / spread * len(serve),
    )
