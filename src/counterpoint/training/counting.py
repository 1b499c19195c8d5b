"""Losses and metrics by task, counted over a pass through some rows."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from torchmetrics import Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from counterpoint.tasks import Task

Results = dict[str, dict[str, float]]


class Counts:
    """Counts batches of one pass after the other.

    Args:
        tasks: What is counted. Each keeps its metric; copies count.
        alone: Whether every process sees all rows, so that none has to wait for the others.

    Example:
        >>> import torch
        >>> from counterpoint import Task
        >>> counts = Counts([Task.classification("a", 2)])
        >>> counts.start()
        >>> outputs, labels = {"a": torch.tensor([[1.0, 0.0], [1.0, 0.0]])}, {"a": torch.tensor([0, 1])}
        >>> counts.add(outputs, labels, {"a": torch.tensor(0.5)})
        >>> counts.results()
        {'a': {'loss': 0.5, 'metric': 0.5}}
    """

    def __init__(self, tasks: Iterable[Task], *, alone: bool = False) -> None:
        self._metrics = {task.name: counter(task.metric, alone=alone) for task in tasks}
        self._losses: dict[str, Tensor] = {}
        self._rows: dict[str, int] = {}

    def start(self) -> None:
        """Forgets the last pass, also one that broke off."""
        self._losses, self._rows = {}, {}
        for metric in self._metrics.values():
            metric.reset()

    def add(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], losses: Mapping[str, Tensor]) -> None:
        """Counts a batch.

        Args:
            outputs: Of each task with a loss, for its labelled rows.
            targets: Their labels.
            losses: Their mean loss.
        """
        for name, loss in losses.items():
            rows, metric = len(targets[name]), self._metrics[name]
            if metric.device != loss.device:
                metric.to(loss.device)
            metric.update(outputs[name].detach(), targets[name])
            total = loss.detach() * rows
            self._losses[name] = self._losses[name] + total if name in self._losses else total
            self._rows[name] = self._rows.get(name, 0) + rows

    def results(self) -> Results:
        """Mean loss and metric of each task that had labels."""
        return {
            name: {"loss": float(self._losses[name]) / self._rows[name], "metric": float(metric.compute())}
            for name, metric in self._metrics.items()
            if name in self._rows
        }


class Score:
    """One number for a pass: the mean over tasks of the metric in the task's unit, negated where less is better.

    A metric that is NaN while the loss is finite is undefined on these labels, such as an AUROC where all labels are of
    one class: that task is left out, with one warning. Where a loss is not finite, or a metric infinite, the training
    has diverged: the score is NaN, which is never the best.

    Args:
        tasks: The tasks.
        warn: Whether to warn.
    """

    def __init__(self, tasks: Iterable[Task], *, warn: bool = True) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._warned: set[str] = set() if warn else set(self._tasks)

    def of(self, results: Mapping[str, Mapping[str, float]]) -> float:
        """The score, NaN where there is none."""
        if any(not math.isfinite(own["loss"]) or math.isinf(own["metric"]) for own in results.values()):
            return math.nan
        undefined = [name for name, own in results.items() if math.isnan(own["metric"])]
        self._warn([name for name in undefined if name not in self._warned])
        parts = [
            self._tasks[name].sign * own["metric"] / self._tasks[name].unit
            for name, own in results.items()
            if name not in undefined
        ]
        return sum(parts) / len(parts) if parts else math.nan

    def _warn(self, undefined: Sequence[str]) -> None:
        self._warned.update(undefined)
        for name in undefined:
            warnings.warn(
                f"task {name!r}: {self._tasks[name].metric_name} is not defined on the rows it is counted on, so the "
                "validation score leaves this task out; its labels there may all be the same",
                stacklevel=4,
            )


def counter(metric: Metric, *, alone: bool) -> Metric:
    """A fresh copy of a metric; alone, it counts in this process and waits for no other."""
    copy = metric.clone()
    for part in copy.modules():
        if isinstance(part, Metric):
            if alone:
                part.distributed_available_fn = _nobody
            part.reset()
    return copy


def _nobody() -> bool:
    return False
