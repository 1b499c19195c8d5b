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

_MAIN = "metric"
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
        self._tasks = {task.name: task for task in tasks}
        self._metrics = {
            name: {other: counter(each, alone=alone) for other, each in {_MAIN: task.metric, **task.others}.items()}
            for name, task in self._tasks.items()
        }
        self._losses: dict[str, Tensor] = {}
        self._labels: dict[str, Tensor | int] = {}

    def start(self) -> None:
        """Forgets the last pass, also one that broke off."""
        self._losses, self._labels = {}, {}
        for metrics in self._metrics.values():
            for metric in metrics.values():
                metric.reset()

    def add(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], losses: Mapping[str, Tensor]) -> None:
        """Counts a batch.

        Args:
            outputs: Of each task with a loss, for its labelled rows.
            targets: Their labels.
            losses: Their mean loss.
        """
        for name, loss in losses.items():
            for metric in self._metrics[name].values():
                if metric.device != loss.device:
                    metric.to(loss.device)
                metric.update(outputs[name].detach(), targets[name])
            labels = self._tasks[name].labels(targets[name])
            total = loss.detach() * labels
            self._losses[name] = self._losses[name] + total if name in self._losses else total
            self._labels[name] = self._labels.get(name, 0) + labels

    def results(self) -> Results:
        """Mean loss and metrics of each task that had labels: ``"loss"``, ``"metric"``, and others by their names."""
        return {
            name: {"loss": float(self._losses[name]) / int(labels)}
            | {which: float(metric.compute()) for which, metric in self._metrics[name].items()}
            for name, labels in ((name, self._labels[name]) for name in self._metrics if name in self._labels)
            if labels
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
