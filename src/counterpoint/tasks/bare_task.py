"""What every task has, whatever its labels are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

from torch import Tensor

from counterpoint.tasks.missing import known

if TYPE_CHECKING:
    from torchmetrics import Metric

Direction = Literal["maximize", "minimize"]
Loss = Callable[[Tensor, Tensor], Tensor]
Likelihood = Literal["categorical", "bernoulli", "gaussian"]


@dataclass(frozen=True, eq=False)
class BareTask:
    """A task without makers: see :class:`Task`, which has them for the usual ones."""

    name: str
    loss: Loss
    metric: Metric
    metric_name: str
    direction: Direction | None = None
    likelihood: Likelihood | None = None
    partial: bool = False
    unit: float = 1.0
    others: Mapping[str, Metric] = field(default_factory=dict)
    dense: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a task's name is empty, expected a name such as 'left'")
        positive(self.name, "unit", self.unit)
        if self.direction is None:
            object.__setattr__(
                self,
                "direction",
                _direction(self.name, self.metric, "; pass direction='maximize' or direction='minimize'"),
            )
        elif self.direction not in {"maximize", "minimize"}:
            raise ValueError(f"task {self.name!r}: direction={self.direction!r}, expected 'maximize' or 'minimize'")
        for other, metric in self.others.items():
            if other in {"loss", "metric", self.metric_name}:
                raise ValueError(f"task {self.name!r}: another metric is called {other!r}, expected a name of its own")
            _direction(self.name, metric, ", expected one whose higher_is_better is True or False")

    @property
    def sign(self) -> float:
        """1 if more of the metric is better, else -1."""
        return 1.0 if self.direction == "maximize" else -1.0

    @property
    def directions(self) -> dict[str, Direction]:
        """Whether to maximize or minimize each metric, by its name: the task's own, then the others."""
        own = {self.metric_name: self.direction or "maximize"}
        return own | {name: _direction(self.name, metric, "") for name, metric in self.others.items()}

    def labelled(self, targets: Tensor) -> Tensor | None:
        """Which rows have a label.

        Args:
            targets: Targets [B, ...]; a row of several has a label if any of them is one.

        Returns:
            A mask [B] of bool, or ``None`` where the task is not ``partial``: all rows have one.

        Example:
            >>> import torch
            >>> from counterpoint import Task
            >>> Task.regression("price", partial=True).labelled(torch.tensor([0.5, float("nan")]))
            tensor([ True, False])
        """
        if not self.partial:
            return None
        labels = known(targets)
        return labels if labels.dim() == 1 else labels.flatten(1).any(1)

    def labels(self, targets: Tensor) -> Tensor | int:
        """Over how many labels the loss of labelled rows is a mean: numbers at pixels if it is ``dense``, else rows.

        Example:
            >>> import torch
            >>> from counterpoint import Task
            >>> int(Task.depth("depth").labels(torch.tensor([[[[0.5, float("nan")]]], [[[1.0, 2.0]]]])))
            3
        """
        return known(targets).sum() if self.dense else len(targets)

    def rescaled(self, factor: float = 1.0, power: float = 1.0) -> Self:
        """The same task with the loss factor * L**power: does a weighting depend on how a loss is written?

        The metrics stay. It is no likelihood any more. Below a power of 1 the gradient is infinite where the loss is 0.

        Args:
            factor: What the loss is multiplied by, 1000 for one in millimetres instead of metres.
            power: What it is raised to.

        Raises:
            ValueError: unless both are positive.

        Example:
            >>> import torch
            >>> from counterpoint import Task
            >>> task = Task.regression("price").rescaled(factor=10.0, power=2.0)
            >>> float(task.loss(torch.tensor([2.0]), torch.tensor([0.0])))  # (2 ** 2 / 2) ** 2 * 10
            40.0
        """
        positive(self.name, "factor", factor)
        positive(self.name, "power", power)
        return replace(self, loss=Rescaled(self.loss, factor, power), likelihood=None)


@dataclass(frozen=True)
class Rescaled:
    """A loss times a factor, of a power; a class, since functions inside functions do not cross to other processes."""

    loss: Loss
    factor: float
    power: float

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        loss = self.loss(outputs, targets)
        return self.factor * (loss if self.power == 1.0 else loss**self.power)


def positive(task: str, name: str, number: float) -> None:
    """Raises ValueError for what is no positive number."""
    if not 0 < number < math.inf:
        raise ValueError(f"task {task!r}: {name}={number!r}, expected a positive number")


def several(task: str, classes: int) -> None:
    """Raises ValueError for fewer than two classes."""
    if classes < 2:
        raise ValueError(f"task {task!r}: classes={classes!r}, expected at least 2")


def _direction(task: str, metric: Metric, what: str) -> Direction:
    higher = metric.higher_is_better
    if higher is None:
        raise ValueError(f"task {task!r}: {type(metric).__name__} does not say whether more is better{what}")
    return "maximize" if higher else "minimize"
