"""What happened in one balanced backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class NonFiniteGradientError(ArithmeticError):
    """A task's gradient holds NaN or infinity.

    Attributes:
        tasks: Names of the tasks concerned.
    """

    def __init__(self, tasks: tuple[str, ...]) -> None:
        names = ", ".join(repr(task) for task in tasks)
        super().__init__(
            f"non-finite gradient of task {names} with respect to what is shared, expected finite numbers: check its "
            "loss and its labels, or pass on_nonfinite='skip' to leave such a task out of the step, or 'propagate' "
            "under a GradScaler"
        )
        self.tasks = tasks

    def __reduce__(self) -> tuple[type[NonFiniteGradientError], tuple[tuple[str, ...]]]:
        return type(self), (self.tasks,)


@dataclass(frozen=True, eq=False)
class StepRecord:
    """Weights and Gram matrix of one backward pass.

    Attributes:
        tasks: Names of the T tasks, in the order of the rows below.
        weights: [T]; 0 for a task that took no part in this backward pass.
        gram: [T, T] inner products of the task gradients; NaN in rows and columns of tasks that took no part, because
            a gradient that was not computed is unknown rather than zero.
        skipped: Tasks left out because their gradient was not finite (``on_nonfinite="skip"``).
        absent: Tasks whose features were not used.

    Example:
        >>> import torch
        >>> record = StepRecord(("a", "b"), torch.tensor([0.5, 0.5]), torch.tensor([[4.0, -2.0], [-2.0, 4.0]]))
        >>> record.cosines
        tensor([[ 1.0000, -0.5000],
                [-0.5000,  1.0000]])
        >>> record.present
        ('a', 'b')
    """

    tasks: tuple[str, ...]
    weights: Tensor
    gram: Tensor
    skipped: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def cosines(self) -> Tensor:
        """Cosine similarities between task gradients, [T, T]; NaN where a gradient is zero or unknown."""
        norms = self.gram.diagonal().sqrt()
        return (self.gram / norms[:, None] / norms[None, :]).clamp(-1.0, 1.0)

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the tasks that took part in the step."""
        return tuple(task for task in self.tasks if task not in self.skipped and task not in self.absent)
