"""Gradients of each task's loss with respect to the shared parameters, over all ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from counterpoint.balancing.task_gradients import not_connected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from counterpoint.balancing.ranks import Ranks

Row = list[Tensor | None]


class SharedGradients:
    """One task's gradient at a time, at the parameters' present values; the graph stays, ``.grad`` is left alone.

    Args:
        losses: The losses of this rank.
        shared: The shared parameters.
        ranks: The processes that train together.
        counts: For each task that has a loss on any rank, on how many.
    """

    def __init__(
        self, losses: Mapping[str, Tensor], shared: Sequence[Tensor], ranks: Ranks, counts: Mapping[str, int]
    ) -> None:
        self.losses = losses
        self.shared = shared
        self.ranks = ranks
        self.counts = counts

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that have a loss on any rank."""
        return tuple(self.counts)

    def row(self, task: str) -> Row:
        """The gradient with respect to each shared parameter; ``None`` where the loss does not depend on it.

        Over ranks it is the mean over those that have the task: the gradient of the joined batch's loss.

        Raises:
            ValueError: if the loss does not depend on anything shared.
        """
        own: Row = [None] * len(self.shared)
        if task in self.losses:
            found = torch.autograd.grad(self.losses[task], self.shared, retain_graph=True, allow_unused=True)
            own = [g.to_dense() if g is not None and g.is_sparse else g for g in found]
            if all(gradient is None for gradient in own):
                raise not_connected(task)
        if not self.ranks.active:
            return own
        factor = self.ranks.size / self.counts[task]
        return [part * factor for part in self.ranks.mean(own, self.shared)]

    def rows(self) -> list[Row]:
        """Those of all tasks."""
        return [self.row(task) for task in self.tasks]


def checked_shared(shared: nn.Module | Iterable[Tensor] | None) -> list[Tensor]:
    """The parameters that require gradients, each once.

    Raises:
        ValueError: if there are none, or one is no leaf.
        TypeError: if something is not a tensor.
    """
    if shared is None:
        raise ValueError("shared is missing, expected the shared parameters or the module that holds them")
    given = shared.parameters() if isinstance(shared, nn.Module) else shared
    tensors: dict[int, Tensor] = {}
    for tensor in given if not isinstance(given, Tensor) else (given,):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"shared holds a {type(tensor).__name__}, expected parameters (tensors) or one nn.Module")
        if tensor.requires_grad:
            tensors[id(tensor)] = tensor
    if not tensors:
        raise ValueError(
            "shared holds no parameter that requires grad, expected at least one; a generator such as "
            "module.parameters() is used up after one pass, so hand over the module or a list"
        )
    if any(not tensor.is_leaf for tensor in tensors.values()):
        raise ValueError("shared holds the result of a computation, expected parameters (leaves of the graph)")
    return list(tensors.values())
