"""The eight things that vary in an attribute image, and how a row's come about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.generated.streams import row_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# Each runs from 0 to 1, evenly spread and independent of the others.
FACTORS = ("hue", "aspect", "angle", "period", "albedo", "light", "size", "nearness")
# The first of these is seen only mixed with the second: a bright disc is pale or well lit, a wide one big or near.
ENTANGLED = (("albedo", "light"), ("size", "nearness"))

PER_FACTOR = 5
# Four cuts, and a union of two intervals: a fifth question that no threshold answers. No further apart than what an
# image leaves open, so that each of five has about as much in common with one of them as with another.
_CUTS = (0.41, 0.47, 0.53, 0.59)
_UNION = ((0.25, 0.35), (0.5, 1.0))

_SOURCE = 2


@dataclass(frozen=True, eq=False)
class Draws:
    """Random numbers of N rows.

    Attributes:
        factors: [N, 8], as in ``FACTORS``.
        nuisances: [N, 12], standard normal: what no attribute asks for. Four of the scene, then one for each factor.
        flips: bool [N, 40], where a label says the opposite.
        noise: [N, 3, size, size], standard normal.
    """

    factors: Floats
    nuisances: Floats
    flips: NDArray[np.bool_]
    noise: Floats


def draw_rows(seed: int, split: str, rows: range, size: int, flipped: float) -> Draws:
    """The random numbers of some rows, each from a stream of its own.

    Args:
        seed: Of the data set.
        split: Name of the split.
        rows: Numbers of the rows.
        size: Side of the images.
        flipped: Share of labels that say the opposite.
    """
    factors = np.empty((len(rows), len(FACTORS)), dtype=np.float32)
    nuisances = np.empty((len(rows), 12), dtype=np.float32)
    flips = np.empty((len(rows), len(FACTORS) * PER_FACTOR), dtype=bool)
    noise = np.empty((len(rows), 3, size, size), dtype=np.float32)
    for place, row in enumerate(rows):
        rng = row_stream(seed, _SOURCE, split, row)
        factors[place] = rng.uniform(size=len(FACTORS))
        nuisances[place] = rng.standard_normal(12)
        flips[place] = rng.uniform(size=flips.shape[1]) < flipped
        noise[place] = rng.standard_normal(noise.shape[1:], dtype=np.float32)
    return Draws(factors, nuisances, flips, noise)


def answers(factors: Floats) -> NDArray[np.bool_]:
    """What the forty attributes are before labels are flipped.

    Of a factor's five, the first and the third say "above the cut", the second and the fourth "below the cut"; the
    fifth asks for one of two intervals.

    Args:
        factors: [N, 8] from 0 to 1.

    Returns:
        [N, 40], five for each factor in order.

    Example:
        >>> answers(np.full((1, 8), 0.45))[0, :5].tolist()
        [True, True, False, True, False]
    """
    each = [factors > _CUTS[0], factors < _CUTS[1], factors > _CUTS[2], factors < _CUTS[3]]
    union = np.zeros(factors.shape, dtype=bool)
    for low, high in _UNION:
        union |= (factors > low) & (factors <= high)
    return np.stack([*each, union], axis=2).reshape(len(factors), -1)
