"""Trajectories, recorded in any training by Lightning."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any

import lightning
import torch

from counterpoint.training.budget import Budget, checked_share
from counterpoint.training.clock import Clock
from counterpoint.training.fixed_rows import fixed_rows
from counterpoint.training.looks import Looks
from counterpoint.training.schedule import Schedule
from counterpoint.training.trajectory_measures import Measures
from counterpoint.training.whereabouts import Shared, reusable

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from counterpoint.data import Rows
    from counterpoint.training.probing import Curvature, Losses, Mode

    Module = lightning.LightningModule

_logger = logging.getLogger("counterpoint")
Row = dict[str, Any]


class TrajectoryCallback(lightning.Callback):
    """Records, at chosen steps and on fixed rows, each task's losses, metric, and what may go with generalization.

    At each look: losses on training and test rows, the metric on test rows; gradient norm, coherence over minibatches
    and conflict with the other tasks, at the shared parameters; and where ``curvature`` is wanted, on a schedule of its
    own, the largest eigenvalue of the Hessian, its trace, SAM sharpness and Fisher information. The training is not
    changed: gradients, buffers, modes and random numbers are put back. Quantities are those of
    :data:`~counterpoint.study.explain.factors.FACTORS`.

    With a :class:`MultiTaskModule` nothing else is needed. With another LightningModule say how losses are computed and
    what is shared. A look that fails is logged once and left out; it never ends a training. With several devices the
    first process looks, at its own copy of the model, so ``losses`` and ``metric`` must not wait for the others;
    sharded models are left alone. Rows take the way of training batches (hooks such as ``on_after_batch_transfer``),
    with the same random numbers in each look; autocast is off. A training that starts at step 0 is recorded anew, one
    that is resumed goes on.

    Args:
        train: Training rows: a :class:`Split` or others, or one batch, which is looked at whole.
        test: Rows to test on, the same; without them only training losses are recorded.
        rows: Rows of each split that are looked at, drawn once; ``None`` for all.
        schedule: When to look.
        gradients: Whether to look at gradients, too.
        curvature: How to look at curvature; ``None`` for not at all.
        curvature_schedule: When to look at curvature: by default at 0, 10, 100, 1000 and so on, and at the end.
        budget: Share of the training time that losses, metrics and gradients may take, half of it for the gradients;
            looks are thinned to keep to it, by the clock, of the training's projected length or, where that is not
            known, of the time so far. ``None`` for no limit, and the same looks in every run.
        curvature_budget: The same for curvature.
        gradient_rows: Training rows whose gradients are looked at, in ``minibatches`` parts.
        curvature_rows: Training rows whose losses' curvature is looked at.
        minibatches: Parts that coherence compares.
        mode: ``"eval"``, or ``"train"`` to look at training rows with dropout and BatchNorm as in training; at test
            rows it looks in evaluation mode.
        losses: Called with the module and a batch of rows: ``{task: loss}``.
        shared: The module that holds the shared parameters, or a function of the LightningModule to it or to them.
        metric: Called with the module and all test rows, in evaluation mode, for modules that are no
            ``MultiTaskModule``: ``{task: value}``.

    Attributes:
        rows: One dictionary a measurement: ``step``, ``epoch``, ``task``, ``quantity``, ``value``.
        probes: Looks at losses and metrics: seconds ``spent``, looks ``taken`` and ``thinned``.
        gradient_probes: The same of gradients.
        curvature_probes: The same of curvature.

    Raises:
        ValueError: for options that make no sense.

    Source:
        Mueller, Dredze and Andrews (TMLR 2024), sections 3 and 4.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from counterpoint import MultiTaskModel, Task
        >>> from counterpoint.training import MultiTaskModule, TrajectoryCallback
        >>> heads = {"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)}
        >>> tasks = [Task.classification(name, 2) for name in heads]
        >>> module = MultiTaskModule(MultiTaskModel(nn.Linear(4, 3), heads), tasks)
        >>> x, y = torch.randn(8, 4), torch.arange(8) % 2
        >>> rows = (x, {"a": y, "b": 1 - y})
        >>> callback = TrajectoryCallback(rows, rows, budget=None)
        >>> trainer = lightning.Trainer(
        ...     max_steps=3, accelerator="cpu", logger=False, callbacks=[callback],
        ...     enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
        >>> trainer.fit(module, torch.utils.data.DataLoader([rows] * 3, batch_size=None))
        >>> sorted({row["step"] for row in callback.rows})
        [0, 1, 2, 3]
        >>> sorted({row["quantity"] for row in callback.rows})[:3]
        ['coherence', 'coherence_cosine', 'cosine']
    """

    def __init__(
        self,
        train: Rows | Any,
        test: Rows | Any = None,
        *,
        rows: int | None = 256,
        schedule: Schedule | None = None,
        gradients: bool = True,
        curvature: Curvature | None = None,
        curvature_schedule: Schedule | None = None,
        budget: float | None = 0.1,
        curvature_budget: float | None = 1.0,
        gradient_rows: int = 64,
        curvature_rows: int = 64,
        minibatches: int = 4,
        mode: Mode = "eval",
        losses: Losses | None = None,
        shared: Shared | None = None,
        metric: Callable[[Module, Any], dict[str, float]] | None = None,
    ) -> None:
        for name, limit in {"gradient_rows": gradient_rows, "rows": rows}.items():
            if limit is not None and limit < minibatches:
                raise ValueError(f"{name} is {limit}, expected at least one row a minibatch, {minibatches}")
        checked_share("budget", budget)
        checked_share("curvature_budget", curvature_budget)
        self.schedule = schedule or Schedule()
        self.curvature_schedule = curvature_schedule or Schedule(
            early=False, every_epochs=0, steps=(0, *(10**power for power in range(1, 9)))
        )
        self.mode: Mode = mode
        self.measures = Measures(
            type(self).__name__,
            fixed_rows(train, rows),
            None if test is None else fixed_rows(test, rows),
            gradient_rows,
            curvature_rows,
            minibatches,
            mode,
            losses,
            reusable(shared),
            metric,
            curvature,
        )
        self.rows: list[Row] = []
        each = budget / 2 if budget is not None and gradients else budget
        self.probes, self.gradient_probes, self.curvature_probes = Budget(each), Budget(each), Budget(curvature_budget)
        how = self.measures
        self._looks = [Looks("losses", self.schedule, self.probes, how.losses_and_metric)]
        if gradients:
            self._looks.append(Looks("gradients", self.schedule, self.gradient_probes, how.gradients))
        if curvature is not None:
            self._looks.append(Looks("curvature", self.curvature_schedule, self.curvature_probes, how.curvature))
        self._clock = Clock()
        self._epoch = 0
        self._complained: dict[str, str] = {}
        self._fitting = True

    @property
    def state_key(self) -> str:
        """Callbacks of both modes may be there at once."""
        return self._generate_state_key(mode=self.mode)

    @property
    def share(self) -> float:
        """Time of looks at losses, metrics and gradients over the time of the training without any looks."""
        spent = self.probes.spent + self.gradient_probes.spent
        return spent / self.training_seconds if self.training_seconds else 0.0

    @property
    def curvature_share(self) -> float:
        """The same of curvature."""
        return self.curvature_probes.spent / self.training_seconds if self.training_seconds else 0.0

    @property
    def training_seconds(self) -> float:
        """Time of the training so far without looks."""
        looks = (self.probes, self.gradient_probes, self.curvature_probes)
        return max(0.0, self._clock.running - sum(probes.spent for probes in looks))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why looks were left out, each reason once."""
        return tuple(self._complained.values())

    def to_frame(self) -> pd.DataFrame:
        """All rows as a table: ``step``, ``epoch``, ``task``, ``quantity``, ``value``."""
        import pandas as pd  # noqa: PLC0415  (a second to load; only needed here)

        return pd.DataFrame(self.rows, columns=["step", "epoch", "task", "quantity", "value"])

    def setup(self, trainer: lightning.Trainer, pl_module: Module, stage: str) -> None:  # noqa: ARG002
        """Notes whether this is a training."""
        self._fitting = stage == "fit"

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Module) -> None:
        """The first look, before any step."""
        if trainer.global_step == 0:
            self._start_anew()
        self._epoch = trainer.current_epoch
        self._clock.start(trainer)
        for looks in self._looks:
            looks.passed = trainer.global_step
            if trainer.global_step == 0 and looks.schedule.listed(0):
                self._look(trainer, pl_module, looks)

    def _start_anew(self) -> None:
        """What was recorded is of another training."""
        self.rows, self._complained, self._clock = [], {}, Clock()
        for looks in self._looks:
            looks.at = looks.asked = -1
            looks.budget.reset()

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: Module,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Times the step."""
        self._epoch = trainer.current_epoch
        self._clock.batch_starts()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Module,
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Looks if it is time to."""
        self._clock.batch_ends(trainer)
        for looks in self._looks:
            if looks.schedule.crossed(looks.passed, trainer.global_step):
                self._look(trainer, pl_module, looks)
            looks.passed = trainer.global_step

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Module) -> None:
        """Looks if it is time to."""
        for looks in self._looks:
            if looks.schedule.ends(trainer.current_epoch + 1):
                self._look(trainer, pl_module, looks)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Module) -> None:
        """The last look."""
        for looks in self._looks:
            self._look(trainer, pl_module, looks, last=True)
        self._clock.stop()

    def on_exception(self, trainer: lightning.Trainer, pl_module: Module, exception: BaseException) -> None:  # noqa: ARG002
        """The training is over."""
        self._clock.stop()

    def _look(self, trainer: lightning.Trainer, module: Module, looks: Looks, *, last: bool = False) -> None:
        step = trainer.global_step
        projected = self.training_seconds if self._clock.length is None else self._clock.projected
        if trainer.global_rank != 0 or not looks.wanted(step, self._clock, projected, last=last):
            return
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)  # the step's own work is not the look's
        started = time.perf_counter()
        try:
            found = looks.measure(trainer, module)
        except Exception as error:  # noqa: BLE001  (whatever it is, the training is worth more)
            self._complain(error)
        else:
            place = {"step": step, "epoch": self._epoch}
            self.rows += [{**place, "task": task, "quantity": name, "value": value} for task, name, value in found]
        looks.budget.spend(time.perf_counter() - started)

    def _complain(self, error: Exception) -> None:
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"
        reason = re.sub(r"(?<![\w-])\d+", "", line)  # the same with other numbers, such as bytes; task-1 is a name
        if reason not in self._complained:
            self._complained[reason] = line
            _logger.warning("a look at the trajectory was left out, the training goes on: %s", line)

    def state_dict(self) -> dict[str, Any]:
        """What was recorded."""
        looks = {looks.name: {"at": looks.at, **looks.budget.state()} for looks in self._looks}
        return {"rows": list(self.rows), "looks": looks, "running": self._clock.running}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on recording. Lightning restores callbacks for a test, too: that takes nothing back."""
        if not self._fitting:
            return
        self.rows = list(state_dict["rows"])
        self._clock.running_before = float(state_dict["running"])
        for looks in self._looks:
            if (state := state_dict["looks"].get(looks.name)) is not None:
                looks.at = looks.asked = int(state["at"])
                looks.budget.load(state)
