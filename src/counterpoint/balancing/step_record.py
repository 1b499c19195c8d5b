"""What happened in one balanced backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class NonFiniteGradientError(ArithmeticError):
    """A task's loss or gradient is NaN or infinite.

    Attributes:
        tasks: Names of the tasks concerned.
        losses: Those of their losses that are known and not finite, by task.
    """

    def __init__(self, tasks: tuple[str, ...], losses: Mapping[str, float] | None = None) -> None:
        self.tasks = tasks
        self.losses = dict(losses or {})
        by_gradient = ", ".join(repr(task) for task in tasks if task not in self.losses)
        by_loss = ", ".join(f"{task!r} ({loss})" for task, loss in self.losses.items())
        if by_loss:
            message = (
                f"non-finite loss of task {by_loss}, expected finite numbers: a mean over no labels is NaN (all "
                "ignored or masked, or no rows), so leave a task without labels out of the losses of that batch; "
                "on_nonfinite='skip' leaves it out of the step"
            )
        else:
            message = (
                f"non-finite gradient of task {by_gradient} with respect to what is shared, expected finite numbers: "
                "check its loss and its labels, or pass on_nonfinite='skip' to leave such a task out of the step, or "
                "'propagate' under a GradScaler"
            )
        super().__init__(message)

    def __reduce__(self) -> tuple[type[NonFiniteGradientError], tuple[tuple[str, ...], dict[str, float]]]:
        return type(self), (self.tasks, self.losses)


@dataclass(frozen=True, eq=False)
class StepRecord:
    """Weights and Gram matrix of one backward pass.

    Attributes:
        tasks: Names of the T tasks, in the order of the rows below.
        weights: [T]; 0 for a task that took no part in this backward pass.
        gram: [T, T] inner products of the task gradients; NaN in rows and columns of tasks that took no part, because
            a gradient that was not computed is unknown rather than zero.
        skipped: Tasks left out because their loss or gradient was not finite (``on_nonfinite="skip"``).
        absent: Tasks whose features were not used, or that have no loss in this step and a gradient of zeros.

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
