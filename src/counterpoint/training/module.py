"""The LightningModule for any MultiTaskModel."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import Tensor

from counterpoint.balancing import Weighting
from counterpoint.balancing.ranks import WORLD, Ranks
from counterpoint.training.balance_state import balance_state, load_balance
from counterpoint.training.counting import Counts, Score
from counterpoint.training.labelled import Labelled, labels_everywhere
from counterpoint.training.optimization import LR, Optimization, one_optimization
from counterpoint.training.parameter_level import Level, ParameterLevel, checked_level, handed_on

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.balancing import FanOut
    from counterpoint.models import MultiTaskModel
    from counterpoint.tasks import Task

SCORE = "validation/score"
Batch = tuple[Tensor, dict[str, Tensor]]


class MultiTaskModule(lightning.LightningModule):
    """Sums the losses, lets the model's FanOut balance them, and counts metrics.

    A batch is ``(inputs, {task: targets})``; tasks without labels in a batch take no part in it, and of partial tasks
    only labelled rows do. Weightings that learn
    are trained along: their parameters are among the module's, they hear the ends of epochs, and those that look at the
    losses again after the optimizer's step (FAMO) get them. With several devices the FanOut balances over all of them.

    Logged are ``train/loss/TASK``, ``train/weight/TASK``, ``validation/loss/TASK``, ``validation/METRIC/TASK`` for each
    of a task's metrics, the same for ``test``, and ``validation/score``: the mean over tasks of the (first) metric in
    units of ``task.unit``, negated where less is better.

    At level ``"parameters"`` the FanOut hands features on, and Lightning's backward is :func:`backward` with the
    FanOut's weighting and options: T passes through the encoder, in one process.

    Args:
        model: The network.
        tasks: One task for each head.
        lr: Learning rate of Adam.
        optimization: Another optimizer, or a learning rate that goes down; it then says the learning rate, too.
        level: Where the tasks' gradients are compared: at the ``"features"`` or at the shared ``"parameters"``.

    Attributes:
        losses: Losses of the last training step by task, detached.
        attached_losses: The same with their graph, from ``training_step`` to the end of backward, then empty.
        results: Loss and metrics by task of the last pass over each split: ``"loss"``, ``"metric"``, and the task's
            other metrics by their names.
        shares_batches: Whether processes train on shares of one batch and evaluate all rows each, as :func:`fit` lets
            them. Losses are then means over the labelled rows of all shares. Otherwise a batch is a process's own, and
            losses count as the mean over processes.

    Raises:
        ValueError: if the tasks are not those of the model, for two learning rates, or a weighting that makes no sense
            at the level.

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

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: Sequence[Task],
        lr: float = LR,
        *,
        optimization: Optimization | None = None,
        level: Level = "features",
    ) -> None:
        super().__init__()
        names = [task.name for task in tasks]
        if sorted(names) != sorted(model.tasks):
            raise ValueError(f"tasks are {sorted(names)}, expected those of the model's heads, {sorted(model.tasks)}")
        self.model = model
        self.tasks = {task.name: task for task in tasks}
        self.optimization = one_optimization(lr, optimization)
        self.level = level
        self._parameter_level = ParameterLevel(model.fan_out) if checked_level(level) == "parameters" else None
        self.losses: dict[str, Tensor] = {}
        self.attached_losses: dict[str, Tensor] = {}
        # Their gradients come from all ranks' losses already; DDP would wait for hooks that run inside backward.
        self._ddp_params_and_buffers_to_ignore = [
            f"model.fan_out.{name}" for name, _ in model.fan_out.named_parameters()
        ]
        self.results: dict[str, dict[str, dict[str, float]]] = {}
        self.shares_batches = False
        self._shared_batch: tuple[Tensor, dict[str, float]] | None = None
        # No modules: task names may hold dots. Not in the state_dict: metrics start anew in each pass.
        self._counts: dict[str, tuple[Counts, bool]] = {}
        self._score = Score(tasks)

    def outputs_and_losses(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Outputs, targets and loss of each task that has labels in the batch, for its labelled rows alone."""
        inputs, targets = batch
        if unknown := [name for name in targets if name not in self.tasks]:
            raise ValueError(
                f"a batch has targets for {unknown[0]!r}, expected tasks among {list(self.tasks)}; drop the others, "
                "for example with Split.only"
            )
        labelled = Labelled.of(self.tasks, targets)
        factors = self._factors(inputs)
        everywhere = labelled.rows if factors is None else factors
        if not everywhere and not self._fan.ranks.active:
            return {}, {}, {}
        outputs = self.model(inputs, list(everywhere))
        losses, kept = {}, {}
        for name in everywhere:
            if name not in labelled.rows:  # other processes have labels: here it is a zero that depends on the features
                losses[name] = outputs.pop(name).sum() * 0.0
                continue
            outputs[name] = labelled.take(name, outputs[name])
            kept[name] = labelled.take(name, targets[name])
            losses[name] = self.tasks[name].loss(outputs[name], kept[name])
            if factors is not None:
                losses[name] = losses[name] * factors[name]
        return outputs, kept, losses

    def _factors(self, inputs: Tensor) -> Mapping[str, float] | None:
        """What losses are multiplied by, where this is a training step's batch that all processes share."""
        shared = self._shared_batch
        return None if shared is None or shared[0] is not inputs else shared[1]

    def __setattr__(self, name: str, value: Any) -> None:
        """Lightning writes the name of the hook that runs some 60 times a step; a module looks closely at each."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Without the graph of a step: it can be neither copied nor saved."""
        return super().__getstate__() | {"attached_losses": {}}

    def losses_of(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of each task that has targets in the batch."""
        return self.outputs_and_losses(batch)[2]

    def shared_parameters(self) -> list[Tensor]:
        """What lies before the FanOut: the encoder's parameters, and others that are neither the heads' nor its own."""
        encoder = {id(p) for p in self.model.encoder.parameters()}
        apart = (*self.model.heads.values(), self._fan)
        own = {id(p) for part in apart for p in part.parameters()} - encoder
        return [p for p in self.model.parameters() if id(p) not in own]

    def balance_state(self) -> dict[str, Any]:
        """What the FanOut and its weighting know and a state_dict does not hold."""
        return balance_state(self._fan)

    def load_balance(self, state: Mapping[str, Any]) -> None:
        """Goes on with :meth:`balance_state`."""
        load_balance(self._fan, state)

    @property
    def lr(self) -> float:
        """The learning rate of the first epoch; those that search for one set it."""
        return self.optimization.lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self.optimization = replace(self.optimization, lr=lr)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:  # noqa: ARG002
        """The plain sum of the losses; the FanOut's backward does the rest. A batch without labels is passed over."""
        ranks = self._fan.ranks
        if self.shares_batches and ranks.active:
            labels = Labelled.of(self.tasks, batch[1]).labels(self.tasks, batch[1])
            everywhere = labels_everywhere(labels, self.tasks, ranks)
            # DDP takes the mean over processes, whoever has labels.
            factors = {name: ranks.size * labels.get(name, 0) / total for name, total in everywhere.items()}
            self._shared_batch = batch[0], factors
        with handed_on(self._fan) if self._parameter_level is not None else nullcontext():
            losses = self.outputs_and_losses(batch)[2]
        self.losses = {name: loss.detach() for name, loss in losses.items()}
        if not losses and not ranks.active:
            return None
        self.attached_losses = losses
        return self._fan.sum(losses)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Of the sum of the losses, whose gradients the FanOut balances; or balanced at the shared parameters."""
        if self._parameter_level is None:
            super().backward(loss, *args, **kwargs)
        else:
            self._parameter_level.backward(self.attached_losses, self.shared_parameters(), self.trainer)

    @property
    def _fan(self) -> FanOut:
        return self.model.fan_out

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Balances over all ranks, unless the FanOut was given a process group of its own."""
        if self._parameter_level is not None:
            self._parameter_level.check(self.trainer)
        if self.trainer.world_size > 1 and self._fan.ranks.group is None:
            self._fan.ranks = Ranks(WORLD)

    def on_fit_start(self) -> None:
        """Weightings need not warn that nobody calls them: this module does."""
        for part in self._fan.modules():
            if isinstance(part, Weighting):
                part.looked_after = True

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Weightings that need it see the losses of the same batch after the step."""
        weighting = self._fan.weighting
        if isinstance(weighting, Weighting) and weighting.needs_reevaluation:
            with torch.no_grad():
                losses = {name: loss.detach() for name, loss in self.outputs_and_losses(batch)[2].items()}
            weighting.reevaluated(self._fan.ranks.mean_by_task(losses, self._fan.tasks))
        self._shared_batch = None

    def on_train_epoch_start(self) -> None:
        """Each epoch has its learning rate."""
        if self.optimization.decay_every is None:
            return
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.optimization.lr_at(self.current_epoch)

    def on_train_epoch_end(self) -> None:
        """Weightings that count epochs hear of it."""
        if isinstance(self._fan.weighting, Weighting):
            self._fan.weighting.epoch_ended()

    def on_after_backward(self) -> None:
        """Lets go of the graph."""
        self.attached_losses = {}

    def _start(self, split: str) -> None:
        if split not in self._counts or self._counts[split][1] != self.shares_batches:
            self._counts[split] = Counts(self.tasks.values(), alone=self.shares_batches), self.shares_batches
        self._counts[split][0].start()

    def on_validation_epoch_start(self) -> None:
        """Starts counting."""
        self._start("validation")

    def on_test_epoch_start(self) -> None:
        """Starts counting."""
        self._start("test")

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, dict[str, Tensor]]:  # noqa: ARG002
        """Counts losses and metrics; callbacks hear outputs and targets of the labelled rows."""
        outputs, targets, losses = self.outputs_and_losses(batch)
        self._counts["validation"][0].add(outputs, targets, losses)
        return {"outputs": outputs, "targets": targets}

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Counts losses and metrics."""
        self._counts["test"][0].add(*self.outputs_and_losses(batch))

    def _finish(self, split: str) -> None:
        self.results[split] = self._counts[split][0].results()
        if self.trainer.loggers:  # a call takes a millisecond
            for name, result in self.results[split].items():
                for quantity, value in result.items():
                    called = self.tasks[name].metric_name if quantity == "metric" else quantity
                    self.log(f"{split}/{called}/{name}", value)
        self.log(f"{split}/score", self._score.of(self.results[split]))

    def on_validation_epoch_end(self) -> None:
        """Logs losses, metrics and the score."""
        self._finish("validation")

    def on_test_epoch_end(self) -> None:
        """Logs losses, metrics and the score."""
        self._finish("test")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """A batch that is there already stays as it is: looking through it costs a tenth of a small network's step."""
        if isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[1], dict):
            tensors = (batch[0], *batch[1].values())
            if all(isinstance(own, Tensor) and own.device == device for own in tensors):
                return batch
        moved: Batch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimizer of every parameter; the learning rate is set when an epoch starts."""
        return self.optimization.optimizer(self.parameters())
