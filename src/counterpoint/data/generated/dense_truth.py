"""Targets that follow from which surface each pixel shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.generated.shading import FIRST_THING

if TYPE_CHECKING:
    from numpy.typing import NDArray


def offsets(surface: NDArray[np.int8]) -> NDArray[np.float32]:
    """Where each pixel of a thing lies, seen from the mean of the thing's visible pixels.

    Args:
        surface: [H, W], as in :class:`~counterpoint.data.generated.rendering.Rendered`.

    Returns:
        float32 [2, H, W], (dy, dx) in pixels; NaN off the things.

    Example:
        >>> offsets(np.array([[1, 4, 4]], dtype=np.int8))[1].tolist()
        [[nan, -0.5, 0.5]]
    """
    rows, columns = surface.shape
    flat = surface.ravel()
    count = np.maximum(np.bincount(flat), 1)
    found = np.full((2, rows, columns), np.nan, dtype=np.float32)
    thing = surface >= FIRST_THING
    for axis, at in enumerate(np.mgrid[:rows, :columns]):
        centres = np.bincount(flat, at.ravel()) / count
        np.copyto(found[axis], at - centres[surface], where=thing, casting="same_kind")
    return found


def edges(surface: NDArray[np.int8]) -> NDArray[np.float32]:
    """Where one surface ends and another begins.

    1 where the pixel above, below, to the left or to the right shows another surface; 0.5 on other pixels that have
    such a one above, below, to the left or to the right; 0 elsewhere. The image's border is no edge.

    Args:
        surface: [H, W], numbers of surfaces.

    Returns:
        float32 [1, H, W].

    Example:
        >>> edges(np.array([[1, 1, 1, 1, 4, 4]], dtype=np.int8)).tolist()
        [[[0.0, 0.0, 0.5, 1.0, 1.0, 0.5]]]
    """
    hard = np.zeros(surface.shape, dtype=bool)
    down, across = surface[1:] != surface[:-1], surface[:, 1:] != surface[:, :-1]
    hard[1:] |= down
    hard[:-1] |= down
    hard[:, 1:] |= across
    hard[:, :-1] |= across
    near = hard.copy()
    near[1:] |= hard[:-1]
    near[:-1] |= hard[1:]
    near[:, 1:] |= hard[:, :-1]
    near[:, :-1] |= hard[:, 1:]
    return (hard.astype(np.float32) + near.astype(np.float32))[None] / np.float32(2)
