"""What is accepted as a Gram matrix."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[np.float64]]

# Inner products of half-precision gradients may be this far from positive semidefinite, relative to the largest norm.
NEGATIVE = 1e-3
NOT_FINITE = "gram holds NaN or infinity, expected inner products of finite gradients"
NOT_PSD = "gram is not positive semidefinite, expected inner products of one set of vectors"


def checked_gram(gram: Tensor | Array) -> Array:
    """The matrix [T, T] in fp64 on the CPU, exactly symmetric.

    Raises:
        ValueError: if it is not square, finite and symmetric, or an inner product exceeds what the norms allow, beyond
            rounding. Whether it is positive semidefinite costs more: see :func:`check_semidefinite`.
    """
    matrix = gram.detach().to("cpu", torch.float64).numpy() if isinstance(gram, Tensor) else np.asarray(gram, float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) == 0:
        raise ValueError(f"gram has shape {list(matrix.shape)}, expected a square matrix [T, T] with T >= 1")
    largest = float(np.abs(matrix).max())
    if not math.isfinite(largest):
        raise ValueError(NOT_FINITE)
    if float(np.abs(matrix - matrix.T).max()) > NEGATIVE * largest:
        raise ValueError("gram is not symmetric, expected inner products of one set of vectors")
    if largest > float(matrix.diagonal().max()) * (1 + NEGATIVE):
        raise ValueError(NOT_PSD)
    return cast("Array", 0.5 * (matrix + matrix.T))


def check_semidefinite(matrix: Array) -> None:
    """Raises ValueError for a symmetric matrix with a negative eigenvalue beyond rounding."""
    largest = float(matrix.diagonal().max()) or 1.0
    if float(np.linalg.eigvalsh(matrix / largest)[0]) < -NEGATIVE:
        raise ValueError(NOT_PSD)
