"""Which rows of a batch have labels, and what a mean over labels is where several processes share the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from counterpoint.balancing.ranks import Ranks
    from counterpoint.tasks import Task


@dataclass(frozen=True)
class Labelled:
    """The labelled rows of a batch.

    Attributes:
        masks: For each task with a label, the mask [B] of its labelled rows; ``None`` where that is all rows.
        rows: For each of these tasks, the number of labelled rows.

    Example:
        >>> from counterpoint import Task
        >>> Labelled.of({"a": Task.classification("a", 2)}, {"a": torch.tensor([0, 1])})
        Labelled(masks={'a': None}, rows={'a': 2})
    """

    masks: Mapping[str, Tensor | None]
    rows: Mapping[str, int]

    @classmethod
    def of(cls, tasks: Mapping[str, Task], targets: Mapping[str, Tensor]) -> Labelled:
        """Looks at targets; only tasks that may lack labels cost anything."""
        masks: dict[str, Tensor | None] = {}
        rows: dict[str, int] = {}
        for name, task in tasks.items():
            if name not in targets:
                continue
            mask, total = task.labelled(targets[name]), len(targets[name])
            count = total if mask is None else int(mask.sum())
            if count or mask is None:
                masks[name] = None if count == total else mask
                rows[name] = count
        return cls(masks, rows)

    def take(self, name: str, values: Tensor) -> Tensor:
        """The labelled rows of a task's outputs or targets."""
        mask = self.masks[name]
        return values if mask is None else values[mask]

    def labels(self, tasks: Mapping[str, Task], targets: Mapping[str, Tensor]) -> dict[str, int]:
        """Over how many labels each of these tasks' losses is a mean: labelled rows, or what their pixels hold."""
        return {
            name: int(tasks[name].labels(targets[name])) if tasks[name].dense else rows
            for name, rows in self.rows.items()
        }


def labels_everywhere(labels: Mapping[str, int], tasks: Mapping[str, Task], ranks: Ranks) -> dict[str, int]:
    """Labels by task, summed over the processes that share a batch; tasks without any are left out."""
    counts = torch.tensor([labels.get(name, 0) for name in tasks], dtype=torch.float64)
    return {name: int(count) for name, count in zip(tasks, ranks.sum(counts).tolist(), strict=True) if count}
