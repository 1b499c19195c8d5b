"""Gram matrices and weighted sums of task gradients, in bounded extra memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

# Elements gathered at once. 4 MiB of fp32 stay in a core's cache: for 3 tasks of 4M features this is a third faster
# than one big stack; 40 tasks of 16k features still fit in a single block.
_BLOCK_ELEMENTS = 1 << 20

# Below this, squares of fp32 gradients lose digits to underflow (the smallest normal fp32 number is 1.2e-38).
SMALLEST_SAFE_SQUARE = 1e-30


class TaskGradients:
    """The gradients of T tasks with respect to n tensors.

    Args:
        rows: For each task its gradient with respect to each tensor ([B, ...] of any shape, the same for all tasks);
            ``None`` stands for a gradient of zero. Every task has at least one.
        dtypes: Of the n sums of gradients; by default those of the gradients.

    Example:
        >>> gradients = TaskGradients([[torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 0.0])]])
        >>> gradients.gram()
        tensor([[5., 3.],
                [3., 9.]])
        >>> gradients.weighted_sum(torch.tensor([0.5, 2.0]))
        [tensor([6.5000, 1.0000])]
    """

    def __init__(self, rows: Sequence[Sequence[Tensor | None]], dtypes: Sequence[torch.dtype] | None = None) -> None:
        self._rows = rows
        self._columns = list(zip(*rows, strict=True))
        self._first = next(gradient for gradient in rows[0] if gradient is not None)
        self._stacked: list[Tensor | None] = [None] * len(self._columns)
        self.dtypes = dtypes

    def only(self, kept: Sequence[bool]) -> TaskGradients:
        """The gradients of some tasks alone.

        Args:
            kept: [T], at least one of them true.
        """
        return TaskGradients([row for row, keep in zip(self._rows, kept, strict=True) if keep], self.dtypes)

    @property
    def device(self) -> torch.device:
        """Where the first gradient lives."""
        return self._first.device

    def stacked(self) -> Tensor:
        """All gradients as a matrix, in at least fp32; ``None`` becomes zeros.

        Returns:
            [T, N], on the device of the first gradient.
        """
        matrices = []
        for column in self._columns:
            first = next((gradient for gradient in column if gradient is not None), None)
            if first is None:
                continue
            zero = first.new_zeros(()).expand(first.numel())
            vectors = [zero if gradient is None else flat(gradient, column) for gradient in column]
            matrices.append(torch.stack(vectors).to(self.device, torch.promote_types(first.dtype, torch.float32)))
        return torch.cat(matrices, dim=1)

    def split(self, vector: Tensor) -> list[Tensor | None]:
        """Undoes :meth:`stacked` for one vector [N]: one tensor for each column, in its dtype."""
        tensors: list[Tensor | None] = []
        start = 0
        for column, dtype in zip(self._columns, self._sum_dtypes(), strict=True):
            first = next((gradient for gradient in column if gradient is not None), None)
            if first is None:
                tensors.append(None)
                continue
            part = vector[start : start + first.numel()].to(first.device, dtype or first.dtype)
            tensors.append(_shaped(part, first))
            start += first.numel()
        return tensors

    def gram(self, dtype: torch.dtype | None = None) -> Tensor:
        """Inner products of the task gradients, summed over the tensors.

        Args:
            dtype: Accumulation type; by default at least fp32, fp64 if any gradient is fp64.

        Returns:
            [T, T], on the device of the first gradient.
        """
        if dtype is None:
            dtypes = {gradient.dtype for row in self._rows for gradient in row if gradient is not None}
            dtype = torch.float64 if torch.float64 in dtypes else torch.float32
        gram: Tensor | None = None
        room = _BLOCK_ELEMENTS  # for stacks that serve the weighted sum as well
        for position, column in enumerate(self._columns):
            users = [task for task, gradient in enumerate(column) if gradient is not None]
            vectors = [flat(gradient, column) for gradient in column if gradient is not None]
            if not vectors or vectors[0].numel() == 0:
                continue
            block, stacked = _products(vectors, dtype)
            if len(users) < len(self._rows):
                index = torch.tensor(users, device=block.device)
                block = block.new_zeros(len(column), len(column)).index_put_((index[:, None], index), block)
            elif stacked is not None and stacked.numel() <= room:
                self._stacked[position], room = stacked, room - stacked.numel()
            gram = block if gram is None else gram.add_(block.to(gram.device))
        if gram is None:  # an empty batch
            gram = torch.zeros(len(self._rows), len(self._rows), dtype=dtype, device=self._first.device)
        return gram

    def gram_on_host(self) -> Tensor:
        """Gram matrix in fp64 on the CPU, right also where squares overflow or vanish in fp32.

        Returns:
            [T, T]; a NaN or infinite diagonal entry means that this task's gradient is not finite.
        """
        gram = self.gram()
        host = gram.to("cpu").to(torch.float64)
        squares = host.diagonal().tolist()
        doubtful = [task for task, square in enumerate(squares) if not SMALLEST_SAFE_SQUARE < square < math.inf]
        if gram.dtype == torch.float32 and any(_is_finite_and_nonzero(self._rows[task]) for task in doubtful):
            on_host = [[None if g is None else g.to("cpu") for g in row] for row in self._rows]  # MPS has no fp64
            host = TaskGradients(on_host).gram(torch.float64)
        # Matrix products round the two triangles differently; a solver that sees both would stumble over it.
        return (host + host.T).mul_(0.5)

    def products_with(self, row: Sequence[Tensor | None]) -> Tensor:
        """Inner products with the gradients of one more task, [T], in fp64 on the CPU.

        Args:
            row: Its gradient with respect to each tensor.
        """
        total = torch.zeros(len(self._rows), dtype=torch.float64)
        for column, other in zip(self._columns, row, strict=True):
            users = [task for task, gradient in enumerate(column) if gradient is not None]
            if other is None or not users:
                continue
            vectors = [flat(gradient, column) for gradient in column if gradient is not None]
            vector = flat(other, column)
            width = max(1, _BLOCK_ELEMENTS // (len(vectors) + 1))
            for start in range(0, vector.numel(), width):
                block = torch.stack([own[start : start + width] for own in vectors]).to("cpu", torch.float64)
                total[users] += block @ vector[start : start + width].to("cpu", torch.float64)
        return total

    def weighted_sum(self, weights: Tensor) -> list[Tensor | None]:
        """Weighted sum of the task gradients for each tensor, accumulated in at least fp32 and rounded once.

        Args:
            weights: [T]; on the CPU, or on the gradients' device (then nothing waits for the device).

        Returns:
            One [B, ...] for each tensor, in its dtype; ``None`` where no task has a gradient.
        """
        return [
            _in_place_sum(column, weights, dtype) if stacked is None else _product(column, stacked, weights, dtype)
            for column, stacked, dtype in zip(self._columns, self._stacked, self._sum_dtypes(), strict=True)
        ]

    def _sum_dtypes(self) -> Sequence[torch.dtype | None]:
        return [None] * len(self._columns) if self.dtypes is None else self.dtypes


def _products(vectors: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Inner products [T, T], and the stacked vectors [T, N] if they fit in one block."""
    size = vectors[0].numel()
    if size * len(vectors) <= _BLOCK_ELEMENTS:
        stacked = torch.stack(vectors).to(dtype)
        return stacked @ stacked.T, stacked
    width = max(1, _BLOCK_ELEMENTS // len(vectors))
    total = torch.zeros(len(vectors), len(vectors), dtype=dtype, device=vectors[0].device)
    for start in range(0, size, width):
        block = torch.stack([vector[start : start + width] for vector in vectors]).to(dtype)
        total.addmm_(block, block.T)
    return total, None


def _is_finite_and_nonzero(row: Sequence[Tensor | None]) -> bool:
    gradients = [gradient for gradient in row if gradient is not None]
    return all(bool(torch.isfinite(g).all()) for g in gradients) and any(bool(g.any()) for g in gradients)


def _product(
    column: Sequence[Tensor | None], stacked: Tensor, weights: Tensor, dtype: torch.dtype | None
) -> Tensor | None:
    """The sum as one matrix product, where the stacked gradients are at hand."""
    first = column[0]
    if first is None:
        return None
    return _shaped((weights.to(stacked.device, stacked.dtype) @ stacked).to(dtype or first.dtype), first)


def _shaped(vector: Tensor, like: Tensor) -> Tensor:
    """Undoes :func:`flat`."""
    if _is_channels_last(like):
        samples, channels, height, width = like.shape
        return vector.view(samples, height, width, channels).permute(0, 3, 1, 2)
    return vector.view(like.shape)


def flat(gradient: Tensor, column: Sequence[Tensor | None]) -> Tensor:
    """The gradient as a vector, in the memory order of the column's first one, so that usually nothing is copied."""
    first = next(other for other in column if other is not None)
    if _is_channels_last(first):
        return gradient.permute(0, 2, 3, 1).reshape(-1)
    return gradient.reshape(-1)


def _is_channels_last(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


def _in_place_sum(column: Sequence[Tensor | None], weights: Tensor, dtype: torch.dtype | None) -> Tensor | None:
    """The sum task by task: two tensors live at once."""
    on_host = weights.device.type == "cpu"
    factors = weights.tolist() if on_host else weights.unbind()
    total: Tensor | None = None
    for gradient, factor in zip(column, factors, strict=True):
        if gradient is None:
            continue
        if total is None:
            dtype = dtype or gradient.dtype
            total = gradient.to(torch.promote_types(gradient.dtype, torch.float32)) * factor
        elif on_host:
            total.add_(gradient, alpha=factor)
        else:
            total += gradient * factor
    return None if total is None else total.to(dtype)
