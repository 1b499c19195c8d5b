"""Labelled rows in memory, and batches of them without a Python loop over rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Batch = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs with targets for every task.

    Attributes:
        inputs: [N, ...]; uint8 images are scaled to [0, 1] batch by batch, which keeps memory a quarter of fp32's.
        targets: One [N, ...] tensor a task.

    Raises:
        ValueError: if a task has another number of rows than the inputs.

    Example:
        >>> split = Split(torch.zeros(6, 2), {"a": torch.arange(6)})
        >>> [batch[1]["a"].tolist() for batch in split.batches(4)]
        [[0, 1, 2, 3], [4, 5]]
    """

    inputs: Tensor
    targets: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        for task, target in self.targets.items():
            if len(target) != len(self.inputs):
                raise ValueError(f"task {task!r} has {len(target)} targets, expected {len(self.inputs)}, one a row")

    def __len__(self) -> int:
        return len(self.inputs)

    def only(self, tasks: Sequence[str]) -> Split:
        """The same rows with the targets of some tasks."""
        return Split(self.inputs, {task: self.targets[task] for task in tasks})

    def drawn(self, count: int) -> Split:
        """So many of the rows in random order, the same in every call; all if there are no more.

        Splits may be sorted: the first rows of what is drawn are a sample, too.
        """
        chosen = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:count]
        return Split(self.inputs[chosen], {task: target[chosen] for task, target in self.targets.items()})

    def rows(self, index: Tensor | slice) -> Batch:
        """Inputs in floating point and targets of some rows."""
        inputs = self.inputs[index]
        if inputs.dtype == torch.uint8:
            inputs = inputs.float().div_(255)
        return inputs, {task: target[index] for task, target in self.targets.items()}

    def batches(self, size: int, *, shuffle_seed: int | None = None) -> Batches:
        """Batches of ``size`` rows, in a new order in each pass if a seed is given."""
        return Batches(self, size, shuffle_seed)


class Batches:
    """Passes over a split. The order of pass n depends on the seed and n only.

    Args:
        split: The rows.
        size: Rows a batch; the last one may be smaller.
        shuffle_seed: Seed of the order; the rows' own order if ``None``.

    Raises:
        ValueError: for a size below 1.

    Example:
        >>> batches = Split(torch.arange(5.0), {}).batches(2, shuffle_seed=0)
        >>> len(batches), sorted(torch.cat([inputs for inputs, _ in batches]).tolist())
        (3, [0.0, 1.0, 2.0, 3.0, 4.0])
    """

    def __init__(self, split: Split, size: int, shuffle_seed: int | None) -> None:
        if size < 1:
            raise ValueError(f"batch size is {size}, expected at least 1")
        self.split, self.size = split, size
        self._order = None if shuffle_seed is None else torch.Generator().manual_seed(shuffle_seed)

    def __len__(self) -> int:
        return math.ceil(len(self.split) / self.size)

    def __iter__(self) -> Iterator[Batch]:
        rows = len(self.split)
        if self._order is None:
            for start in range(0, rows, self.size):
                yield self.split.rows(slice(start, start + self.size))
        else:
            for index in torch.randperm(rows, generator=self._order).split(self.size):  # type: ignore[no-untyped-call]
                yield self.split.rows(index)
