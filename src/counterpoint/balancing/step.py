"""What a weighting may know of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Step:
    """One backward pass, as a weighting sees it: P of T tasks took part.

    Attributes:
        tasks: Names of all T tasks, in the order of the layer's tasks.
        present: Names of the P tasks that took part, in that order.
        gram: [P, P] inner products of their gradients, fp64 on the CPU; loss scales of mixed precision are taken out.
        losses: [P] values of their losses, fp64 on the CPU; ``None`` where nobody told them.
        scale: What the loss was multiplied by before ``backward()``: the loss scale of a GradScaler, 1/n under
            gradient accumulation. Gradients for learned parameters are multiplied by it.

    Example:
        >>> import torch
        >>> step = Step(("a", "b", "c"), ("a", "c"), torch.eye(2))
        >>> step.positions
        (0, 2)
    """

    tasks: tuple[str, ...]
    present: tuple[str, ...]
    gram: Tensor
    losses: Tensor | None = None
    scale: float = 1.0

    @property
    def positions(self) -> tuple[int, ...]:
        """Where the tasks that took part stand among all tasks."""
        if self.present == self.tasks:
            return tuple(range(len(self.tasks)))
        return tuple(self.tasks.index(task) for task in self.present)
