"""Gram matrices and weighted sums of task gradients, without stacking them all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

# Elements gathered at once. 4 MiB of fp32 stay in a core's cache: for 3 tasks of 4M features this halves the time of
# one big stack; 40 tasks of 16k features still fit in a single block.
_BLOCK_ELEMENTS = 1 << 20

# Below this, squares of fp32 gradients lose digits to underflow (the smallest normal fp32 number is 1.2e-38).
_SMALLEST_SAFE_SQUARE = 1e-30


def gram_matrix(rows: Sequence[Sequence[Tensor | None]], dtype: torch.dtype | None = None) -> Tensor:
    """Inner products of task gradients, summed over feature tensors.

    Args:
        rows: For each of T tasks its gradient with respect to each feature tensor ([B, ...] of any shape, the same
            for all tasks); ``None`` stands for a gradient of zero.
        dtype: Accumulation type; by default at least fp32, fp64 if any gradient is fp64.

    Returns:
        [T, T], on the device of the first gradient.

    Example:
        >>> gram_matrix([[torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 0.0])]])
        tensor([[5., 3.],
                [3., 9.]])
    """
    present = [gradient for row in rows for gradient in row if gradient is not None]
    if dtype is None:
        dtype = torch.float32
        for gradient in present:
            dtype = torch.promote_types(dtype, gradient.dtype)
    gram = torch.zeros(len(rows), len(rows), dtype=dtype, device=present[0].device)
    for column in zip(*rows, strict=True):
        users = [task for task, gradient in enumerate(column) if gradient is not None]
        vectors = [gradient.reshape(-1) for gradient in column if gradient is not None]
        if not vectors or vectors[0].numel() == 0:
            continue
        block = _products(vectors, dtype).to(gram.device)
        if len(users) == len(rows):
            gram += block
        else:
            gram[torch.tensor(users)[:, None], torch.tensor(users)] += block
    return gram


def _products(vectors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    width = max(1, _BLOCK_ELEMENTS // len(vectors))
    total: Tensor | None = None
    for start in range(0, vectors[0].numel(), width):
        block = torch.stack([vector[start : start + width] for vector in vectors]).to(dtype)
        total = block @ block.T if total is None else total.addmm_(block, block.T)
    assert total is not None  # noqa: S101  (the caller passes non-empty vectors)
    return total


def gram_on_host(rows: Sequence[Sequence[Tensor | None]]) -> Tensor:
    """Gram matrix in fp64 on the CPU, right also where squares overflow or vanish in fp32.

    Returns:
        [T, T]; a NaN or infinite diagonal entry means that this task's gradient is not finite.
    """
    gram = gram_matrix(rows)
    host = gram.to("cpu").to(torch.float64)
    diagonal = host.diagonal()
    doubtful = ~torch.isfinite(diagonal) | (diagonal < _SMALLEST_SAFE_SQUARE)
    if gram.dtype == torch.float32 and any(
        _is_finite_and_nonzero(rows[task]) for task in doubtful.nonzero().flatten().tolist()
    ):
        host = gram_matrix(rows, torch.float64).to("cpu")
    return host


def _is_finite_and_nonzero(row: Sequence[Tensor | None]) -> bool:
    gradients = [gradient for gradient in row if gradient is not None]
    return all(bool(torch.isfinite(g).all()) for g in gradients) and any(bool(g.any()) for g in gradients)


def weighted_sum(gradients: Sequence[Tensor | None], weights: Tensor) -> Tensor | None:
    """Weighted sum of one feature tensor's task gradients, in place after the first: two tensors live at once.

    Sums of half-precision gradients are accumulated in fp32 and rounded once.

    Args:
        gradients: One [B, ...] tensor a task, or ``None`` for zero.
        weights: [T]; on the CPU, or on the gradients' device (then nothing waits for the device).

    Returns:
        [B, ...] in the gradients' dtype; ``None`` if every gradient is.

    Example:
        >>> gradients = [torch.tensor([1.0, 2.0]), None, torch.tensor([3.0, 0.0])]
        >>> weighted_sum(gradients, torch.tensor([0.5, 9.0, 2.0]))
        tensor([6.5000, 1.0000])
    """
    on_host = weights.device.type == "cpu"
    factors = weights.tolist() if on_host else weights.unbind()
    total: Tensor | None = None
    dtype: torch.dtype | None = None
    for gradient, factor in zip(gradients, factors, strict=True):
        if gradient is None:
            continue
        if total is None:
            dtype = gradient.dtype
            total = gradient.to(torch.promote_types(dtype, torch.float32)) * factor
        elif on_host:
            total.add_(gradient, alpha=factor)
        else:
            total += gradient * factor
    return None if total is None else total.to(dtype)
