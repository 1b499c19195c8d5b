"""Gradients so small that the numbers they are made of have lost their digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[np.float64]]

_FLOAT32 = torch.finfo(torch.float32)
# Numbers below tiny, 1.2e-38, lose digits one after the other and then become zero. In a gradient of N numbers and
# norm n that is an error of up to tiny sqrt(N), or tiny sqrt(N)/n of its length: at n = tiny/eps a unit of rounding
# in each number. That is about 1e-31, whose inverse 1e31 float32 holds with room for what it is multiplied by.
FAINTEST = _FLOAT32.tiny / _FLOAT32.eps
# ... so that no weight has to be larger, whatever the weighting.
LARGEST_WEIGHT = 1.0 / FAINTEST


def is_faint(length: float) -> bool:
    """Whether a gradient of this norm has no direction that float32 can tell, like one that is exactly zero."""
    return not length > FAINTEST


def without_faint(matrix: Array) -> Array:
    """The Gram matrix [T, T] with faint gradients set to zero; the same object if there are none.

    Example:
        >>> without_faint(np.array([[1.0, 1e-36], [1e-36, 1e-70]])).tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    if not is_faint(float(np.sqrt(max(0.0, min(matrix.diagonal().tolist()))))):
        return matrix
    return kept(matrix, np.sqrt(np.maximum(matrix.diagonal(), 0.0)) > FAINTEST)


def kept(matrix: Array, these: np.ndarray[Any, np.dtype[np.bool_]]) -> Array:
    """The Gram matrix with the gradients of the other tasks set to zero."""
    return np.asarray(np.where(these & these[:, None], matrix, 0.0))
