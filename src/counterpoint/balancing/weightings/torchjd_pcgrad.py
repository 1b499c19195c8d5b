"""PCGrad with the rows of all tasks advanced together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from counterpoint.balancing.weightings.torchjd_methods import TorchJDMethod

if TYPE_CHECKING:
    from torch import nn

Array = np.ndarray[Any, np.dtype[Any]]

# Positions between two products of matrices: more of them make fewer products and more entries to pick one by one.
_BLOCK = 64


class PCGradMethod(TorchJDMethod):
    """PCGrad: each task's gradient is projected in turn where it conflicts with another's, in random order.

    TorchJD's weights, from the same random numbers; its own loop takes a step of Python for each pair of tasks. Source:
    Algorithm 1 of `Gradient Surgery for Multi-Task Learning <https://arxiv.org/abs/2001.06782>`_, Yu et al., NeurIPS
    2020.
    """

    def _of(self, method: nn.Module, matrix: Tensor) -> Tensor:  # noqa: ARG002
        return torch.from_numpy(_projected(matrix.detach().cpu().numpy()))


def _projected(gram: Array) -> Array:
    """Weights [T] of the sum of the projected gradients."""
    T = len(gram)
    if T == 1:
        return np.ones(1)
    order = np.stack([torch.randperm(T).numpy() for _ in range(T)])  # as TorchJD draws them
    order = order[order != np.arange(T)[:, None]].reshape(T, T - 1).T.copy()  # [T - 1, T]: one column a task
    squares = np.where(gram.diagonal() > 0, gram.diagonal(), 1.0)
    entries, rows, weights = gram.ravel(), np.arange(T), np.eye(T)
    for start in range(0, T - 1, _BLOCK):
        others = order[start : start + _BLOCK]
        products = (weights @ gram if start else gram)[rows, others]  # with the gradients that come next, [block, T]
        at = others * T
        for position, other in enumerate(others):
            steps = np.minimum(products[position], 0.0) / -squares[other]
            weights[rows, other] = steps
            products[position + 1 :] += steps * entries.take(at[position] + others[position + 1 :])
    return np.asarray(weights.sum(axis=0))
