"""Vectors that have given inner products."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from counterpoint.balancing.faint import FAINTEST

if TYPE_CHECKING:
    from torch import Tensor

# Inner products of fp32 gradients are right to about 1e-7 of the product of the two norms. Among unit vectors, a
# direction whose squared length is smaller than T times that cannot be told from rounding.
_ROUNDING = torch.finfo(torch.float32).eps


class GramRoot(NamedTuple):
    """T vectors in r dimensions with a given Gram matrix.

    A method that is equivariant to rotations and combines the vectors linearly does the same to them as to the T
    gradients, which may have millions of entries.

    Attributes:
        vectors: [T, r].
        inverse: [T, r]; the weights with which the vectors combine to c are ``inverse @ c``.

    Example:
        >>> root = gram_root(torch.tensor([[4.0, 0.0], [0.0, 9.0]]))
        >>> root.vectors @ root.vectors.T
        tensor([[4., 0.],
                [0., 9.]], dtype=torch.float64)
    """

    vectors: Tensor
    inverse: Tensor


def gram_root(gram: Tensor) -> GramRoot:
    """Finds vectors with these inner products; directions that are rounding noise are left out.

    The Gram matrix is scaled to unit diagonal first, so that a task with a tiny gradient counts like the others when
    noise is told from signal. One that float32 cannot tell from zero, or from zero beside the largest, counts as zero:
    methods that combine unit vectors to a length of all the norms would give it a weight that float32 does not hold.

    Args:
        gram: [T, T].

    Returns:
        fp64, on the Gram matrix's device; r = 0 if all gradients are zero.
    """
    matrix = gram.to(torch.float64)
    norms = matrix.diagonal().clamp(min=0.0).sqrt()
    told = norms > FAINTEST * norms.max().clamp(min=1.0)
    units = torch.where(told, norms, 1.0)
    scaled = torch.where(told & told[:, None], matrix / units / units[:, None], 0.0)
    values, directions = torch.linalg.eigh(scaled)
    kept = values > len(matrix) * _ROUNDING
    values, directions = values[kept].sqrt(), directions[:, kept]
    return GramRoot(units[:, None] * directions * values, directions / values / units[:, None])


def without_noise(gram: Tensor) -> Tensor:
    """The Gram matrix in fp64, with directions that are rounding noise set to zero; unchanged if there are none."""
    vectors = gram_root(gram).vectors
    return gram.to(torch.float64) if vectors.shape[1] == len(gram) else vectors @ vectors.T
