"""The LightningModule for any MultiTaskModel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import Tensor

from counterpoint.balancing import Weighting
from counterpoint.balancing.ranks import WORLD, Ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.balancing import FanOut
    from counterpoint.models import MultiTaskModel
    from counterpoint.tasks import Task

SCORE = "validation/score"


class MultiTaskModule(lightning.LightningModule):
    """Sums the losses, lets the model's FanOut balance them, and counts metrics.

    A batch is ``(inputs, {task: targets})``; tasks without targets in a batch take no part in it. Weightings that learn
    are trained along: their parameters are among the module's, they hear the ends of epochs, and those that look at the
    losses again after the optimizer's step (FAMO) get them. With several devices the FanOut balances over all of them.

    Logged are ``train/loss/TASK``, ``train/weight/TASK``, ``validation/loss/TASK``, ``validation/METRIC/TASK``, the
    same for ``test``, and ``validation/score``: the mean over tasks of the metric, negated where less is better.

    Args:
        model: The network.
        tasks: One task for each head.
        lr: Learning rate of Adam.

    Attributes:
        losses: Losses of the last training step by task, detached.
        attached_losses: The same with their graph, from ``training_step`` to the end of backward, then empty.
        results: Loss and metric by task of the last pass over each split.

    Raises:
        ValueError: if the tasks are not those of the model.

    Example:
        >>> from torch import nn
        >>> from counterpoint import FanOut, MGDA, MultiTaskModel, Task
        >>> heads = {"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)}
        >>> model = MultiTaskModel(nn.Linear(4, 3), heads, FanOut(MGDA(), ["a", "b"]))
        >>> module = MultiTaskModule(model, [Task.classification("a", 2), Task.classification("b", 2)])
        >>> labels = torch.zeros(8, dtype=torch.long)
        >>> module.training_step((torch.randn(8, 4), {"a": labels, "b": labels}), 0).backward()
        >>> round(float(model.fan_out.last.weights.sum()), 6)
        1.0
    """

    def __init__(self, model: MultiTaskModel, tasks: Sequence[Task], lr: float = 1e-3) -> None:
        super().__init__()
        names = [task.name for task in tasks]
        if sorted(names) != sorted(model.tasks):
            raise ValueError(f"tasks are {sorted(names)}, expected those of the model's heads, {sorted(model.tasks)}")
        self.model = model
        self.tasks = {task.name: task for task in tasks}
        self.lr = lr
        self.losses: dict[str, Tensor] = {}
        self.attached_losses: dict[str, Tensor] = {}
        # Their gradients come from all ranks' losses already; DDP would wait for hooks that run inside backward.
        self._ddp_params_and_buffers_to_ignore = [
            f"model.fan_out.{name}" for name, _ in model.fan_out.named_parameters()
        ]
        self.results: dict[str, dict[str, dict[str, float]]] = {}
        # Lists, not ModuleDicts: task names may hold dots. Not in the state_dict: metrics start anew in each pass.
        self._metrics = {split: [task.metric.clone() for task in tasks] for split in ("validation", "test")}
        self._loss_sums: dict[str, Tensor] = {}
        self._rows: dict[str, int] = {}

    def _losses(self, batch: tuple[Tensor, dict[str, Tensor]]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        inputs, targets = batch
        if unknown := [name for name in targets if name not in self.tasks]:
            raise ValueError(
                f"a batch has targets for {unknown[0]!r}, expected tasks among {list(self.tasks)}; drop the others, "
                "for example with Split.only"
            )
        present = [name for name in self.tasks if name in targets]
        outputs = self.model(inputs, present)
        return outputs, {name: self.tasks[name].loss(outputs[name], targets[name]) for name in present}

    def __getstate__(self) -> dict[str, Any]:
        """Without the graph of a step: it can be neither copied nor saved."""
        return super().__getstate__() | {"attached_losses": {}}

    def losses_of(self, batch: tuple[Tensor, dict[str, Tensor]]) -> dict[str, Tensor]:
        """The loss of each task that has targets in the batch."""
        return self._losses(batch)[1]

    def shared_parameters(self) -> list[Tensor]:
        """What lies before the FanOut: the encoder's parameters, and others that are neither the heads' nor its own."""
        encoder = {id(p) for p in self.model.encoder.parameters()}
        apart = (*self.model.heads.values(), self._fan)
        own = {id(p) for part in apart for p in part.parameters()} - encoder
        return [p for p in self.model.parameters() if id(p) not in own]

    def training_step(self, batch: tuple[Tensor, dict[str, Tensor]], batch_idx: int) -> Tensor | None:  # noqa: ARG002
        """The plain sum of the losses; the FanOut's backward does the rest. A batch without labels is passed over."""
        if not batch[1] and not self._fan.ranks.active:
            return None
        _, losses = self._losses(batch)
        self.losses = {name: loss.detach() for name, loss in losses.items()}
        self.attached_losses = losses
        return self._fan.sum(losses)

    @property
    def _fan(self) -> FanOut:
        return self.model.fan_out

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Balances over all ranks, unless the FanOut was given a process group of its own."""
        if self.trainer.world_size > 1 and self._fan.ranks.group is None:
            self._fan.ranks = Ranks(WORLD)

    def on_train_batch_end(self, outputs: object, batch: tuple[Tensor, dict[str, Tensor]], batch_idx: int) -> None:  # noqa: ARG002
        """Weightings that need it see the losses of the same batch after the step."""
        weighting = self._fan.weighting
        if isinstance(weighting, Weighting) and weighting.needs_reevaluation:
            with torch.no_grad():
                losses = {name: loss.detach() for name, loss in self._losses(batch)[1].items()}
            weighting.reevaluated(self._fan.ranks.mean_by_task(losses, self._fan.tasks))

    def on_train_epoch_end(self) -> None:
        """Weightings that count epochs hear of it."""
        if isinstance(self._fan.weighting, Weighting):
            self._fan.weighting.epoch_ended()

    def on_after_backward(self) -> None:
        """Keeps a skipped task's non-finite gradient out of its own head, too."""
        self.attached_losses = {}
        record = self.model.fan_out.last
        for name in record.skipped if record is not None else ():
            self.model.heads[name].zero_grad()

    def _start(self) -> None:
        self._loss_sums, self._rows = {}, {}

    def on_validation_epoch_start(self) -> None:
        """Starts counting."""
        self._start()

    def on_test_epoch_start(self) -> None:
        """Starts counting."""
        self._start()

    def _count(self, batch: tuple[Tensor, dict[str, Tensor]], split: str) -> None:
        if not batch[1]:
            return
        outputs, losses = self._losses(batch)
        for name, metric in zip(self.tasks, self._metrics[split], strict=True):
            if name not in losses:
                continue
            targets = batch[1][name]
            metric.to(targets.device).update(outputs[name].detach(), targets)
            self._loss_sums[name] = self._loss_sums.get(name, torch.zeros(())).to(targets.device) + losses[
                name
            ].detach() * len(targets)
            self._rows[name] = self._rows.get(name, 0) + len(targets)

    def validation_step(self, batch: tuple[Tensor, dict[str, Tensor]], batch_idx: int) -> None:  # noqa: ARG002
        """Counts losses and metrics."""
        self._count(batch, "validation")

    def test_step(self, batch: tuple[Tensor, dict[str, Tensor]], batch_idx: int) -> None:  # noqa: ARG002
        """Counts losses and metrics."""
        self._count(batch, "test")

    def _finish(self, split: str) -> None:
        self.results[split] = {}
        for (name, task), metric in zip(self.tasks.items(), self._metrics[split], strict=True):
            if name not in self._rows:
                continue
            loss, value = float(self._loss_sums[name]) / self._rows[name], float(metric.compute())
            metric.reset()
            self.results[split][name] = {"loss": loss, "metric": value}
            self.log(f"{split}/loss/{name}", loss)
            self.log(f"{split}/{task.metric_name}/{name}", value)
        scores = [self.tasks[name].sign * result["metric"] for name, result in self.results[split].items()]
        if scores:
            self.log(f"{split}/score", sum(scores) / len(scores))

    def on_validation_epoch_end(self) -> None:
        """Logs losses, metrics and the score."""
        self._finish("validation")

    def on_test_epoch_end(self) -> None:
        """Logs losses, metrics and the score."""
        self._finish("test")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on every parameter."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)
