"""Gram matrices of gradients that do not all fit in memory: some are kept, the others computed again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from counterpoint.balancing.combine import full_precision
from counterpoint.balancing.gram import TaskGradients

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from counterpoint.balancing.combine import Row

Memory = Literal["store", "recompute"]


@dataclass(frozen=True)
class Plan:
    """How much of T task gradients lives at once.

    Attributes:
        memory: ``"store"`` all, or ``"recompute"`` them in blocks.
        max_bytes: The most that blocks may take; two task gradients by default.
    """

    memory: Memory = "store"
    max_bytes: int | None = None


class BlockwiseGram:
    """Inner products block by block: a block is kept, and the later tasks pass by one by one.

    With room for m + 1 gradients each of T tasks is computed once for every m tasks up to its own: about T^2 / (2 m)
    passes.

    Args:
        row_of: Computes a task's gradient with respect to each of the tensors.
        tasks: Names of the T tasks.
        tensors: What the gradients are taken with respect to.
        max_bytes: See :class:`Plan`.

    Raises:
        ValueError: if two gradients do not fit.
    """

    def __init__(
        self,
        row_of: Callable[[str], Row],
        tasks: Sequence[str],
        tensors: Sequence[Tensor],
        max_bytes: int | None = None,
    ) -> None:
        one = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        budget = 2 * one if max_bytes is None else max_bytes
        if budget < 2 * one:
            raise ValueError(f"max_bytes={max_bytes}, expected at least {2 * one}, the size of two task gradients")
        self._row_of = row_of
        self._tasks = tasks
        self._block = min(len(tasks), max(1, budget // one - 1)) if one else max(1, len(tasks))

    def gram_on_host(self) -> Tensor:
        """[T, T] in fp64 on the CPU."""
        tasks = self._tasks
        gram = torch.zeros(len(tasks), len(tasks), dtype=torch.float64)
        for start in range(0, len(tasks), self._block):
            stop = min(start + self._block, len(tasks))
            kept = TaskGradients([self._row_of(task) for task in tasks[start:stop]])
            with full_precision(kept.device.type):
                gram[start:stop, start:stop] = kept.gram_on_host()
            for later in range(stop, len(tasks)):
                gram[start:stop, later] = gram[later, start:stop] = kept.products_with(self._row_of(tasks[later]))
            del kept
        return gram
