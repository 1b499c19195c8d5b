"""A source of a few rows, in a module that worker processes can import."""

from dataclasses import dataclass

import torch

from counterpoint.data import Split
from counterpoint.models import MLPEncoder
from counterpoint.study.source import Source
from counterpoint.tasks import Task
from counterpoint.training import FitSettings

TASKS = ("left", "right", "both")


@dataclass(frozen=True)
class Quadrants:
    """Whether a point is right, above, or both."""

    rows: int = 96

    def splits(self):
        x = torch.randn(3 * self.rows, 2, generator=torch.Generator().manual_seed(0))
        right, above = x[:, 0] > 0, x[:, 1] > 0
        targets = {"left": (~right).long(), "right": right.long(), "both": (right & above).long()}
        parts = [slice(n * self.rows, (n + 1) * self.rows) for n in range(3)]
        names = ("train", "validation", "test")
        return {
            name: Split(x[part], {task: y[part] for task, y in targets.items()})
            for name, part in zip(names, parts, strict=True)
        }

    def with_seed(self, _):
        return self


def encoder(_):
    return MLPEncoder(2, (8, 4))


def head(_):
    return torch.nn.Linear(4, 1)


SOURCE = Source(
    name="quadrants",
    description="Points of the plane.",
    tasks=TASKS,
    data=Quadrants(),
    task=Task.binary,
    encoder=encoder,
    head=head,
    fit=FitSettings(epochs=3, batch_size=16),
    lr=0.02,
)
