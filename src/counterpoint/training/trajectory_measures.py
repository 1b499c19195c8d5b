"""What a look at a trajectory measures, and on which rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy

from counterpoint.training.fixed_rows import moved
from counterpoint.training.module import MultiTaskModule
from counterpoint.training.probing import Curvature, Found, Losses, Mode, Probing, first_rows
from counterpoint.training.whereabouts import Shared, missing, shared_of
from counterpoint.trajectory.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    import lightning

    Module = lightning.LightningModule

_SHARDED = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)


@dataclass(eq=False)
class Measures:
    """The same measures at every look: see the arguments of :class:`~counterpoint.training.TrajectoryCallback`.

    Attributes:
        callback: Whose they are, for errors.
        train: Training rows.
        test: Test rows, or ``None``.
        gradient_rows: Training rows whose gradients are looked at.
        curvature_rows: Training rows whose losses' curvature is looked at.
        minibatches: Parts that coherence compares.
        mode: How modules compute on training rows.
        loss: Losses by task, of the module and a batch.
        shared: Where the shared parameters are.
        metric: Metrics by task, of the module and all test rows.
        options: How curvature is measured.

    Raises:
        ValueError: for options that make no sense.
    """

    callback: str
    train: Any
    test: Any
    gradient_rows: int
    curvature_rows: int
    minibatches: int
    mode: Mode
    loss: Losses | None
    shared: Shared | None
    metric: Callable[[Module, Any], dict[str, float]] | None
    options: Curvature | None

    def __post_init__(self) -> None:
        if self.mode not in {"eval", "train"}:
            raise ValueError(f"mode is {self.mode!r}, expected 'eval' or 'train'")
        if self.minibatches < 2:
            raise ValueError(f"minibatches is {self.minibatches}, expected at least 2: coherence compares them")
        if self.curvature_rows < 1:
            raise ValueError(f"curvature_rows is {self.curvature_rows}, expected at least 1")

    def losses_and_metric(self, trainer: lightning.Trainer, module: Module) -> list[Found]:
        """Losses on training and test rows, and the metric on test rows."""
        probing = self.probing_of(trainer, module)
        found = probing.loss_values(moved(trainer, module, self.train), "train")
        if self.test is not None:
            test = moved(trainer, module, self.test)
            if self.loss is None:
                found += probing.loss_and_metric(test, "test")
            else:
                found += probing.loss_values(test, "test", "eval")
                if self.metric is not None:
                    found += probing.values(test, "test_metric", self.metric)
        return found

    def gradients(self, trainer: lightning.Trainer, module: Module) -> list[Found]:
        """Norm and coherence of gradients, and their conflict."""
        batch = first_rows(moved(trainer, module, self.train), self.gradient_rows)
        return self.probing_of(trainer, module).gradients(batch, self.minibatches)

    def curvature(self, trainer: lightning.Trainer, module: Module) -> list[Found]:
        """Curvature of each task's loss."""
        assert self.options is not None  # noqa: S101  (else nobody looks)
        probing = self.probing_of(trainer, module)
        batch = first_rows(moved(trainer, module, self.train), self.curvature_rows)
        tasks = [task for task, _, _ in probing.loss_values(batch, "train")]
        return [row for task in tasks for row in probing.curvature(batch, task, self.options)]

    def probing_of(self, trainer: lightning.Trainer, module: Module) -> Probing:
        """The module as it is now, to be measured.

        Raises:
            ValueError: if it cannot be, or does not say how.
        """
        if isinstance(trainer.strategy, _SHARDED):
            raise ValueError(  # noqa: TRY004  (an option, not an argument's type)
                f"{type(trainer.strategy).__name__} shards the parameters, expected a strategy that keeps them whole, "
                "such as DDP"
            )
        if self.mode == "train" and any(_waits(part) for part in module.modules()):
            raise ValueError(
                "SyncBatchNorm in train mode waits for the other processes, and only the first looks, expected "
                "mode='eval'"
            )
        if self.loss is None and not isinstance(module, MultiTaskModule):
            raise missing(
                self.callback, "losses", module, "a function of the module and a batch that returns {task: loss}"
            )
        shared = Parameters(shared_of(self.callback, module, self.shared)).tensors
        return Probing(module, shared, self.loss, mode=self.mode)


def _waits(module: torch.nn.Module) -> bool:
    """Whether it would wait for other processes."""
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return several and isinstance(module, torch.nn.SyncBatchNorm) and torch.distributed.get_world_size() > 1
