"""Labelled rows, in memory or not, and batches of them without a Python loop over rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from counterpoint.names import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Batch = tuple[Tensor, dict[str, Tensor]]


class Passes(Protocol):
    """What rows are read in: each iteration is one pass over them, in batches. :class:`Batches` is one."""

    def __len__(self) -> int:
        """Batches of a pass."""

    def __iter__(self) -> Iterator[Batch]:
        """The next pass."""

    def start_at(self, passes: int) -> None:
        """Lets the next pass be pass n, counted from 0, as after n passes."""


@runtime_checkable
class Rows(Protocol):
    """Labelled rows, wherever they are: a :class:`Split` in memory, or images that are decoded when they are asked for.

    Rows that are not in memory should have a string ``identity``, another one for other rows: a training that was
    interrupted goes on with the same rows only.
    """

    def __len__(self) -> int:
        """How many there are."""

    def only(self, tasks: Sequence[str]) -> Rows:
        """The same rows with the targets of some tasks."""

    def rows(self, index: Tensor | slice) -> Batch:
        """Inputs in floating point, and targets by task, of some rows."""

    def batches(self, size: int, *, shuffle_seed: int | None = None, rank: int = 0, ranks: int = 1) -> Passes:
        """Batches as those of :class:`Batches`."""


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
        """The same rows with the targets of some tasks.

        Raises:
            ValueError: for an unknown task.
        """
        there = tuple(self.targets)
        return Split(self.inputs, {known(task, there): self.targets[task] for task in tasks})

    def drawn(self, count: int) -> Split:
        """So many of the rows in random order, the same in every call; all if there are no more.

        Splits may be sorted: the first rows of what is drawn are a sample, too.
        """
        chosen = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:count]
        return Split(self.inputs[chosen], {task: target[chosen] for task, target in self.targets.items()})

    def rows(self, index: Tensor | slice) -> Batch:
        """Inputs in floating point and targets of some rows."""
        inputs = _rows(self.inputs, index)
        if inputs.dtype == torch.uint8:
            inputs = inputs.float().div_(255)
        return inputs, {task: _rows(target, index) for task, target in self.targets.items()}

    def batches(self, size: int, *, shuffle_seed: int | None = None, rank: int = 0, ranks: int = 1) -> Batches:
        """Batches of ``size`` rows, in a new order in each pass if a seed is given; see :class:`Batches`."""
        return Batches(self, size, shuffle_seed, rank, ranks)


class Batches:
    """Passes over rows. The order of pass n depends on the seed and n only.

    Args:
        split: A :class:`Split`, or other rows.
        size: Rows a batch; the last one may be smaller.
        shuffle_seed: Seed of the order; the rows' own order if ``None``.
        rank: Which of the processes that share each batch this is.
        ranks: Processes that share each batch: each gets every ``ranks``-th row of it. A last batch with fewer rows
            than processes is left out.

    Raises:
        ValueError: for a size below the number of processes, or a process that is none of them.

    Example:
        >>> batches = Split(torch.arange(5.0), {}).batches(2, shuffle_seed=0)
        >>> len(batches), sorted(torch.cat([inputs for inputs, _ in batches]).tolist())
        (3, [0.0, 1.0, 2.0, 3.0, 4.0])
    """

    def __init__(self, split: Rows, size: int, shuffle_seed: int | None = None, rank: int = 0, ranks: int = 1) -> None:
        if size < 1:
            raise ValueError(f"batch size is {size}, expected at least 1")
        if not 0 <= rank < ranks <= size:
            raise ValueError(
                f"process {rank} of {ranks} shares batches of {size} rows, expected 0 <= process < processes <= rows"
            )
        self.split, self.size = split, size
        self._seed = shuffle_seed
        self._rank, self._ranks = rank, ranks
        self._next = 0
        self._drawn, self._generator = 0, torch.Generator()

    def start_at(self, passes: int) -> None:
        """Lets the next pass be pass n, counted from 0, as after n passes."""
        self._next = passes

    def __len__(self) -> int:
        whole, left = divmod(len(self.split), self.size)
        return whole + (left >= self._ranks)

    def __iter__(self) -> Iterator[Batch]:
        order = None if self._seed is None else self._order(self._next)
        self._next += 1
        for start in range(0, len(self) * self.size, self.size):
            own = slice(start + self._rank, start + self.size, self._ranks)
            yield self.split.rows(own if order is None else order[own])

    def _order(self, number: int) -> Tensor:
        """The order of a pass: one generator draws those of all passes, one after the other."""
        if self._drawn == 0 or self._drawn > number:
            self._generator.manual_seed(self._seed or 0)
            self._drawn = 0
        while True:
            order = torch.randperm(len(self.split), generator=self._generator)
            self._drawn += 1
            if self._drawn > number:
                return order


def _rows(tensor: Tensor, index: Tensor | slice) -> Tensor:
    """Some rows; where they are given by number, ``index_select`` takes half the time that indexing does."""
    if isinstance(index, slice) or index.dtype != torch.int64 or index.dim() != 1:
        return tensor[index]
    return tensor.index_select(0, index.to(tensor.device))
