"""The processes that train one network together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Group = Any  # dist.ProcessGroup, which a torch built without distributed lacks
WORLD = "world"

_companions: WeakKeyDictionary[Group, Group] = WeakKeyDictionary()  # for each group, the one for its Gram matrices
# For each group, names of tasks that its ranks have compared: backward() is a function and remembers nothing itself.
_compared: WeakKeyDictionary[Group, set[tuple[str, ...]]] = WeakKeyDictionary()


class Ranks:
    """Sums of small and of large tensors over a process group.

    Gram matrices travel over a group of their own, made of the same ranks: DDP reduces its buckets while backward still
    runs, and where ranks lack labels of different tasks it does so in a different order relative to ours. Two groups
    need no common order. It is a gloo group, because the weights are computed on the host anyway.

    Args:
        group: A process group; ``"world"`` for all processes, looked up when training starts; ``None`` for this one
            alone.

    Raises:
        TypeError: for anything else.
    """

    def __init__(self, group: Group | Literal["world"] | None) -> None:
        known = group is None or group == WORLD or (dist.is_available() and isinstance(group, dist.ProcessGroup))
        if not known:
            raise TypeError(f"process_group={group!r}, expected a torch.distributed.ProcessGroup, 'world' or None")
        self.group = group
        self._met: tuple[str, ...] | None = None

    @property
    def active(self) -> bool:
        """Whether there is anyone to talk to."""
        return self.size > 1

    @property
    def size(self) -> int:
        """Number of processes."""
        if self.group is None or not dist.is_available() or not dist.is_initialized():
            return 1
        return dist.get_world_size(self._given)

    @property
    def _given(self) -> Group:
        return dist.group.WORLD if self.group == WORLD else self.group

    def meet(self) -> None:
        """Makes the group for Gram matrices, on first use. Every rank has to come here."""
        if self.active and self._given not in _companions:
            members = dist.get_process_group_ranks(self._given)
            _companions[self._given] = dist.new_group(members, backend="gloo", use_local_synchronization=True)

    def compare(self, tasks: tuple[str, ...], *, once: bool = False) -> None:
        """Compares the names of the tasks, on first use: rows of Gram matrices are added by position.

        Args:
            tasks: This rank's names. Every rank has to come here with its own.
            once: Compare the same names once in a process, whoever asks; otherwise once for this object.

        Raises:
            ValueError: on all ranks, if theirs differ.
        """
        if not self.active or self._met == tasks or (once and tasks in _compared.get(self._given, ())):
            return
        self.meet()
        everywhere: list[tuple[str, ...]] = [()] * self.size
        dist.all_gather_object(everywhere, tasks, group=_companions[self._given])
        other = next((rank for rank, names in enumerate(everywhere) if names != everywhere[0]), None)
        if other is not None:
            raise ValueError(
                f"tasks are {list(everywhere[0])} on rank 0 and {list(everywhere[other])} on rank {other}, expected "
                "the same names in the same order on all: sort them"
            )
        self._met = tasks
        _compared.setdefault(self._given, set()).add(tasks)

    def sum(self, numbers: Tensor) -> Tensor:
        """Sum over the ranks of a few numbers on the CPU, in place."""
        self.meet()
        dist.all_reduce(numbers, group=_companions[self._given])
        return numbers

    def agree(self, weights: Tensor) -> Tensor:
        """The first rank's weights: some weightings draw random numbers, and hosts may round differently."""
        if not self.active:
            return weights
        first = dist.get_rank(self._given) == 0
        return self.sum(weights.to("cpu", torch.float64) if first else torch.zeros(len(weights), dtype=torch.float64))

    def mean_by_task(self, values: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
        """Means of scalars over the ranks that have one, fp64 on the CPU; tasks that no rank has are left out."""
        numbers = torch.zeros(2, len(tasks), dtype=torch.float64)
        for task, value in values.items():
            at = tasks.index(task)
            numbers[0, at], numbers[1, at] = float(value), 1.0
        if self.active:
            self.sum(numbers)
        sums, counts = numbers
        return {task: sums[at] / counts[at] for at, task in enumerate(tasks) if counts[at]}

    def mean(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
        """Mean over the ranks of tensors shaped like those of ``like``; ``None`` counts as zero."""
        vector = torch.cat(
            [
                (other.new_zeros(other.shape) if own is None else own).reshape(-1)
                for own, other in zip(tensors, like, strict=True)
            ]
        )
        dist.all_reduce(vector, group=self._given)
        parts = torch.split(vector / self.size, [tensor.numel() for tensor in like])
        return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]

    def __deepcopy__(self, memo: dict[int, object]) -> Ranks:
        """A copy talks to the same processes: groups cannot be copied."""
        return Ranks(self.group)

    def __getstate__(self) -> dict[str, object]:
        return {"group": self.group}
