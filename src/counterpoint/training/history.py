"""What happened during a training, as rows."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import lightning
from lightning.pytorch.trainer.states import TrainerFn

from counterpoint.training.module import MultiTaskModule

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]


class History(lightning.Callback):
    """Records losses and metrics by task, task weights and gradient cosines over steps.

    Args:
        every: Training steps between two records.
        on_epoch: Called with the share of the training that is done, after each training epoch.

    Attributes:
        rows: One dictionary a measurement: ``epoch``, ``step``, ``split`` (``"train"`` or ``"validation"``), ``task``,
            ``other`` (the second task of a cosine), ``quantity`` (``"loss"``, ``"metric"``, ``"weight"``, ``"cosine"``)
            and ``value``. Losses of several processes are means over them.
    """

    def __init__(self, every: int = 5, on_epoch: Callable[[float], None] | None = None) -> None:
        self.every = every
        self.on_epoch = on_epoch
        self.rows: list[Row] = []
        self._fitting = True

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Notes whether this is a training."""
        self._fitting = stage == "fit"

    def _add(
        self,
        trainer: lightning.Trainer,
        split: str,
        quantity: str,
        task: str,
        value: float,
        *,
        other: str | None = None,
    ) -> None:
        if math.isfinite(value):
            place = {"epoch": trainer.current_epoch, "step": trainer.global_step, "split": split}
            self.rows.append({**place, "task": task, "other": other, "quantity": quantity, "value": value})

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Records the first step and every few steps from there."""
        due = trainer.global_step == 1 or trainer.global_step % self.every == 0  # in step with Lightning's loggers
        if not isinstance(pl_module, MultiTaskModule) or not due:
            return
        logged: dict[str, float] = {}
        fan = pl_module.model.fan_out
        losses = fan.ranks.mean_by_task(pl_module.losses, fan.tasks) if fan.ranks.active else pl_module.losses
        for task, loss in losses.items():
            logged[f"train/loss/{task}"] = float(loss)
            self._add(trainer, "train", "loss", task, float(loss))
        record = fan.last
        if losses and record is not None and len(record.tasks) > 1:  # else it is that of an earlier step
            for task, weight in zip(record.tasks, record.weights.tolist(), strict=True):
                logged[f"train/weight/{task}"] = weight
                self._add(trainer, "train", "weight", task, weight)
            cosines = record.cosines.tolist()
            for (i, task), (j, other) in combinations(enumerate(record.tasks), 2):
                self._add(trainer, "train", "cosine", task, cosines[i][j], other=other)
        if trainer.loggers:  # takes as long as a step of a small network
            pl_module.log_dict(logged)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Records losses and metrics of the pass."""
        if (
            not isinstance(pl_module, MultiTaskModule)
            or trainer.sanity_checking
            or trainer.state.fn != TrainerFn.FITTING
        ):
            return  # a look at the best checkpoint after training is no part of the history
        for task, result in pl_module.results["validation"].items():
            self._add(trainer, "validation", "loss", task, result["loss"])
            self._add(trainer, "validation", "metric", task, result["metric"])

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Tells how much of the training is done."""
        if self.on_epoch is not None and trainer.max_epochs:
            self.on_epoch((trainer.current_epoch + 1) / trainer.max_epochs)

    def state_dict(self) -> dict[str, Any]:
        """What was recorded."""
        return {"rows": list(self.rows)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on recording. Lightning restores callbacks for a test, too: that takes nothing back."""
        if self._fitting:
            self.rows = list(state_dict["rows"])
