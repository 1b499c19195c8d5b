"""Gradients of each task's loss with respect to the shared parameters, over all ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.affinity.fork import Fork
from counterpoint.balancing.graph import check_reachable, is_reentrant, nodes_of, one_task_alone
from counterpoint.balancing.single_task import single_task
from counterpoint.balancing.task_gradients import not_connected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from counterpoint.balancing.ranks import Ranks

Row = list[Tensor | None]

# Older releases do not take graph edges as the start of a backward pass.
_EDGES = tuple(int(number) for number in torch.__version__.split(".")[:2]) >= (2, 6)


class SharedGradients:
    """One task's gradient at a time, at the parameters' present values; the graph stays, ``.grad`` is left alone.

    Args:
        losses: The losses of this rank.
        shared: The shared parameters.
        ranks: The processes that train together.
        counts: For each task that has a loss on any rank, on how many.
        together: Whether the gradients of all tasks where their graphs come together (the features) may be held at
            once: T passes through the heads then become one.
    """

    def __init__(
        self,
        losses: Mapping[str, Tensor],
        shared: Sequence[Tensor],
        ranks: Ranks,
        counts: Mapping[str, int],
        *,
        together: bool = True,
    ) -> None:
        self.losses = losses
        self.shared = shared
        self.ranks = ranks
        self.counts = counts
        self._fork: Fork | None = None
        if together and _EDGES and len(losses) > 1 and all(loss.grad_fn is not None for loss in losses.values()):
            fork = Fork(list(losses.values()), shared)
            self._fork = fork if fork.exists else None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that have a loss on any rank."""
        return tuple(self.counts)

    def row(self, task: str) -> Row:
        """The gradient with respect to each shared parameter; ``None`` where the loss does not depend on it.

        Over ranks it is the mean over those that have the task: the gradient of the joined batch's loss.

        Raises:
            ValueError: if the loss does not depend on anything shared, or what is shared is hidden in a reentrant
                checkpoint.
        """
        own: Row = [None] * len(self.shared)
        if task in self.losses:
            fork = self._fork
            with one_task_alone():
                own = fork.row(list(self.losses).index(task)) if fork is not None else self._alone(task)
        return self._over_ranks(task, own)

    def unbalanced(self) -> AbstractContextManager[None]:
        """Within it, gradients pass FanOut layers as they are. Rows are to be asked for in there."""
        return single_task("passed")

    def rows(self) -> list[Row]:
        """Those of all tasks."""
        columns = self.columns()
        if columns is None:
            return [self.row(task) for task in self.tasks]
        parts = [[None] * len(self.tasks) if column is None else column.unbind() for column in columns]
        return [list(row) for row in zip(*parts, strict=True)]

    def columns(self) -> list[Tensor | None] | None:
        """Those of all tasks with respect to each parameter, [P, ...]; ``None`` where they come one by one."""
        with one_task_alone():
            columns = None if self._fork is None or self.ranks.active else self._fork.columns()
        if columns is not None and all(column is None for column in columns):
            raise not_connected(self.tasks[0])
        return columns

    def _alone(self, task: str) -> Row:
        return list(torch.autograd.grad(self.losses[task], self.shared, retain_graph=True, allow_unused=True))

    def _over_ranks(self, task: str, own: Row) -> Row:
        if task in self.losses and any(gradient is None for gradient in own):
            if any(map(is_reentrant, nodes_of([self.losses[task]]))):
                check_reachable(self.shared, own, f"the loss of task {task!r}")
            if all(gradient is None for gradient in own):
                raise not_connected(task)
        own = [gradient.to_dense() if gradient is not None and gradient.is_sparse else gradient for gradient in own]
        if not self.ranks.active:
            return own
        factor = self.ranks.size / self.counts[task]
        return [part * factor for part in self.ranks.mean(own, self.shared)]
