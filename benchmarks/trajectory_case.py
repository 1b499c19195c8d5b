"""The networks that `trajectory.py` measures: a data source's after some training, and a small one in double precision.

Every measure and every peer sees the same thing: the network of one task in eval mode, of which the shared encoder's
parameters require gradients, and the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint import MultiTaskModel, Probe
from counterpoint.study.source import SOURCES
from counterpoint.tasks import Task
from counterpoint.training import MultiTaskModule

if TYPE_CHECKING:
    from counterpoint.tasks.task import Likelihood

ROWS = 64  # the TrajectoryCallback's gradient_rows and curvature_rows


class OneTask(nn.Module):
    """Rows to one task's outputs."""

    def __init__(self, model: MultiTaskModel, task: str) -> None:
        super().__init__()
        self.model = model
        self.task = task

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [B, ...]."""
        outputs: Tensor = self.model(x, [self.task])[self.task]
        return outputs


@dataclass(frozen=True, eq=False)
class Case:
    """A network with rows.

    Attributes:
        name: For tables.
        module: The network of all tasks, in eval mode.
        batch: Rows of all tasks.
        task: The one whose loss is measured.
    """

    name: str
    module: MultiTaskModule
    batch: tuple[Tensor, dict[str, Tensor]]
    task: Task

    @property
    def network(self) -> OneTask:
        """One task's."""
        return OneTask(self.module.model, self.task.name).eval()

    @property
    def encoder(self) -> nn.Module:
        """Whose parameters the measures are about."""
        return self.module.model.encoder

    @property
    def shared(self) -> list[Tensor]:
        """Its parameters."""
        return list(self.encoder.parameters())

    @property
    def x(self) -> Tensor:
        """Inputs."""
        return self.batch[0]

    @property
    def y(self) -> Tensor:
        """Targets."""
        return self.batch[1][self.task.name]

    @property
    def likelihood(self) -> Likelihood:
        """Whose negative logarithm the loss is."""
        assert self.task.likelihood is not None
        return self.task.likelihood

    def loss(self, batch: Any = None) -> Tensor:
        """The task's loss."""
        x, y = (self.x, self.y) if batch is None else (batch[0], batch[1][self.task.name])
        return self.module.losses_of((x, {self.task.name: y}))[self.task.name]

    def probe(self) -> Probe:
        """The task's loss, as the TrajectoryCallback hands it over."""
        return Probe(self.loss, (self.x, {self.task.name: self.y}))

    def outputs(self) -> Probe:
        """The task's outputs, the same way."""
        return Probe(self.network, self.x)

    def double(self) -> Case:
        """A copy in double precision."""
        module = MultiTaskModule(MultiTaskModel(*_copied(self.module.model)), list(self.module.tasks.values()))
        return Case(self.name, module.double().eval(), (self.x.double(), self.batch[1]), self.task)


def trained(name: str, epochs: int) -> Case:
    """A source's network after so many epochs, and the first rows of its training split as it is shuffled."""
    source = SOURCES[name]
    train = source.splits(source.tasks)["train"]
    module = source.build(source.tasks, "uniform", 0)
    optimizer = torch.optim.Adam(module.parameters(), lr=source.lr)
    module.train()
    for _ in range(epochs):
        for batch in train.batches(source.fit.batch_size, shuffle_seed=0):
            optimizer.zero_grad()
            module.model.fan_out.sum(module.losses_of(batch)).backward()
            optimizer.step()
    optimizer.zero_grad()
    return _frozen(Case(name, module, train.drawn(ROWS).rows(slice(None)), module.tasks[source.tasks[0]]))


def small() -> Case:
    """A convolution and a linear layer, 191 parameters in double precision, whose matrices can be formed."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 4 * 4, 3), nn.Tanh())
    heads = {"a": nn.Linear(3, 4)}
    task = Task.classification("a", 4)
    module = MultiTaskModule(MultiTaskModel(encoder, heads), [task]).double()
    batch = torch.randn(16, 1, 6, 6).double(), {"a": torch.randint(0, 4, (16,))}
    return _frozen(Case("small, fp64", module, batch, task))


def log_likelihood(case: Case, outputs: Tensor, y: Tensor) -> Tensor:
    """Of each row's label, [B]."""
    if case.likelihood == "categorical":
        return outputs.log_softmax(1).gather(1, y.long()[:, None])[:, 0]
    return -functional.binary_cross_entropy_with_logits(outputs[:, 0], y.to(outputs.dtype), reduction="none")


def labels(case: Case) -> list[Tensor]:
    """Every label that a row may have, for all rows: [B] each."""
    count = case.network(case.x[:1]).shape[1] if case.likelihood == "categorical" else 2
    return [torch.full_like(case.y, label) for label in range(count)]


def _frozen(case: Case) -> Case:
    case.module.eval()
    for head in case.module.model.heads.values():
        head.requires_grad_(requires_grad=False)
    return case


def _copied(model: MultiTaskModel) -> tuple[nn.Module, dict[str, nn.Module]]:
    from copy import deepcopy  # noqa: PLC0415

    return deepcopy(model.encoder), {name: deepcopy(head) for name, head in model.heads.items()}
