"""One objective with a name, a loss and a metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from torchmetrics import Metric

Direction = Literal["maximize", "minimize"]
Loss = Callable[[Tensor, Tensor], Tensor]
Likelihood = Literal["categorical", "bernoulli", "gaussian"]


@dataclass(frozen=True, eq=False)
class Task:
    """One objective.

    Attributes:
        name: How the task is called everywhere.
        loss: Maps a head's output [B, ...] and the targets [B, ...] to a scalar.
        metric: A torchmetrics metric; copies of it do the counting, this one stays empty.
        metric_name: How the metric is called in tables.
        direction: ``"maximize"`` or ``"minimize"`` the metric; by default what the metric itself says.
        likelihood: The distribution of targets given outputs whose negative logarithm the loss is, for the Fisher
            information; ``None`` if it is none of them.

    Raises:
        ValueError: if the name is empty, or the direction is neither given nor known to the metric.

    Example:
        >>> task = Task.classification("left", classes=10)
        >>> task.metric_name, task.direction
        ('accuracy', 'maximize')
    """

    name: str
    loss: Loss
    metric: Metric
    metric_name: str
    direction: Direction | None = None
    likelihood: Likelihood | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a task's name is empty, expected a name such as 'left'")
        if self.direction is None:
            higher = self.metric.higher_is_better
            if higher is None:
                raise ValueError(
                    f"task {self.name!r}: {type(self.metric).__name__} does not say whether more is better; "
                    "pass direction='maximize' or direction='minimize'"
                )
            object.__setattr__(self, "direction", "maximize" if higher else "minimize")
        elif self.direction not in {"maximize", "minimize"}:
            raise ValueError(f"task {self.name!r}: direction={self.direction!r}, expected 'maximize' or 'minimize'")

    @property
    def sign(self) -> float:
        """1 if more of the metric is better, else -1."""
        return 1.0 if self.direction == "maximize" else -1.0

    @classmethod
    def classification(cls, name: str, classes: int) -> Task:
        """Cross-entropy and accuracy: outputs [B, classes], targets [B] of class indices."""
        # Imported here: torchmetrics belongs to the extra [study] and takes a second to load.
        from torchmetrics.classification import MulticlassAccuracy  # noqa: PLC0415

        return cls(
            name,
            functional.cross_entropy,
            MulticlassAccuracy(classes, average="micro"),
            "accuracy",
            likelihood="categorical",
        )

    @classmethod
    def binary(cls, name: str) -> Task:
        """Binary cross-entropy and area under the ROC curve: outputs [B] or [B, 1] of logits, targets [B] of 0 and 1.

        The area depends neither on a threshold nor on how rare the positive class is.

        Example:
            >>> import torch
            >>> task = Task.binary("smiling")
            >>> float(task.loss(torch.zeros(4, 1), torch.tensor([0, 1, 1, 0])))
            0.6931471824645996
        """
        from torchmetrics.classification import BinaryAUROC  # noqa: PLC0415

        return cls(name, _binary_cross_entropy, BinaryAUROC(), "AUROC", likelihood="bernoulli")


def _binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.reshape(targets.shape), targets.to(logits.dtype))
