"""Affinity, measured in any training by Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning

from counterpoint.balancing import FanOut
from counterpoint.balancing.ranks import WORLD, Ranks
from counterpoint.parameters import trainable_parameters
from counterpoint.training.module import MultiTaskModule
from counterpoint.training.whereabouts import Shared, missing, reusable, shared_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from torch import Tensor
    from torch.optim import Optimizer

    from counterpoint.affinity import AffinityMeter

    Module = lightning.LightningModule
    Losses = Mapping[str, Tensor]


class AffinityCallback(lightning.Callback):
    """Feeds an :class:`AffinityMeter` in every training step, and keeps what it measured in checkpoints.

    With a :class:`MultiTaskModule` nothing else is needed: shared is what lies before the FanOut. With another
    LightningModule say where things are. The optimizer, and its learning rate, is the one that trains the shared
    parameters; for ``"features"`` the trainer's first one. With several devices the meter measures over all of them,
    unless it was given a process group. Several callbacks need meters that differ in method, rule or unit.

    Args:
        meter: The meter, with any method.
        losses: Called with the module: this step's ``{task: loss}``, with their graph for ``"first-order"`` and
            ``"lookahead"``. ``training_step`` has to keep them on the module; let go of them in ``on_after_backward``.
        shared: The shared parameters, the module that holds them, or a function of the LightningModule to either.
        reevaluate: For ``"lookahead"``. Called with the module and the batch: the losses again.

    Raises:
        ValueError: in the first step, if something is missing that this module does not tell.

    Example:
        >>> import lightning, torch
        >>> from torch import nn
        >>> from counterpoint import MultiTaskModel, Task
        >>> from counterpoint.affinity import AffinityMeter
        >>> from counterpoint.training import AffinityCallback, MultiTaskModule
        >>> heads = {"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)}
        >>> tasks = [Task.classification(name, 2) for name in heads]
        >>> module = MultiTaskModule(MultiTaskModel(nn.Linear(4, 3), heads), tasks)
        >>> meter = AffinityMeter(["a", "b"], every=1)
        >>> trainer = lightning.Trainer(
        ...     max_steps=3, accelerator="cpu", logger=False, callbacks=[AffinityCallback(meter)],
        ...     enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
        >>> labels = torch.zeros(8, dtype=torch.long)
        >>> batches = [(torch.randn(8, 4), {"a": labels, "b": labels})] * 3
        >>> trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
        >>> meter.compute().steps
        3
    """

    def __init__(
        self,
        meter: AffinityMeter,
        losses: Callable[[Module], Losses] | None = None,
        shared: Shared | None = None,
        reevaluate: Callable[[Module, Any], Losses] | None = None,
    ) -> None:
        self.meter = meter
        self.losses = losses
        self.shared = reusable(shared)
        self.reevaluate = reevaluate
        self._batch: Any = None
        self._fitting = True

    @property
    def state_key(self) -> str:
        """Callbacks with meters of different methods or rules keep their states apart."""
        options = self.meter.options
        return self._generate_state_key(method=options.method, rule=options.rule, per_lr=options.per_lr)

    def setup(self, trainer: lightning.Trainer, pl_module: Module, stage: str) -> None:  # noqa: ARG002
        """Measures over all ranks, unless the meter was given a process group of its own."""
        self._fitting = stage == "fit"
        if trainer.world_size > 1 and self.meter.ranks.group is None:
            self.meter.ranks = Ranks(WORLD)

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: Module, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Holds on to the batch, for lookahead."""
        self._batch = batch if self.meter.method == "lookahead" else None

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: Module,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Lets go of it: with manual optimization a batch may see several backward passes."""
        self._batch = None

    def on_before_backward(self, trainer: lightning.Trainer, pl_module: Module, loss: Tensor) -> None:  # noqa: ARG002
        """Measures while the graph is there."""
        if self.meter.method == "features":
            return
        if not self.meter.due:
            self.meter.step({})
            return
        losses = self._losses(pl_module, attached=True)
        shared = trainable_parameters("shared", shared_of(type(self).__name__, pl_module, self.shared))
        lookahead = self.meter.method == "lookahead"
        self.meter.step(
            losses,
            shared=shared,
            optimizer=_trains(trainer, shared),
            reevaluate=self._closure(trainer, pl_module) if lookahead else None,
            model=pl_module if lookahead else None,
        )

    def on_after_backward(self, trainer: lightning.Trainer, pl_module: Module) -> None:
        """Measures what the FanOut compared."""
        if self.meter.method != "features":
            return
        if not self.meter.due:
            self.meter.step({})
            return
        if isinstance(pl_module, MultiTaskModule) and pl_module.level == "parameters":
            raise ValueError(
                "method='features' with level='parameters': the FanOut compares nothing, expected method='first-order'"
            )
        losses = self._losses(pl_module, attached=False)
        self.meter.step(losses, record=_fan(pl_module).last, lr=_first(trainer).param_groups[0]["lr"])

    def _losses(self, module: Module, *, attached: bool) -> Losses:
        if self.losses is not None:
            return self.losses(module)
        if isinstance(module, MultiTaskModule):
            return module.attached_losses if attached else module.losses
        raise missing(
            type(self).__name__, "losses", module, "a function of the module that returns {task: loss} of this step"
        )

    def _closure(self, trainer: lightning.Trainer, module: Module) -> Callable[[], Losses]:
        again = self.reevaluate
        if again is None and isinstance(module, MultiTaskModule):
            again = _again
        if again is None:
            raise missing(
                type(self).__name__,
                "reevaluate",
                module,
                "a function of the module and the batch that returns {task: loss}",
            )
        batch = self._batch

        def evaluate() -> Losses:
            with trainer.precision_plugin.train_step_context():
                return again(module, batch)

        return evaluate

    def state_dict(self) -> dict[str, Any]:
        """What the meter measured."""
        return self.meter.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on measuring. Lightning restores callbacks for a test, too: that takes nothing back."""
        if not self._fitting:
            return
        self.meter.load_state_dict(state_dict)


def _again(module: Module, batch: Any) -> Losses:
    assert isinstance(module, MultiTaskModule)  # noqa: S101  (checked where it is chosen)
    return module.losses_of(batch)


def _first(trainer: lightning.Trainer) -> Optimizer:
    if not trainer.optimizers:
        raise ValueError("the trainer has no optimizer, expected configure_optimizers to return one")
    return trainer.optimizers[0]


def _trains(trainer: lightning.Trainer, shared: Iterable[Tensor]) -> Optimizer:
    """The optimizer that holds one of the shared parameters; the meter says if it lacks others."""
    ours = {id(parameter) for parameter in shared}
    for optimizer in trainer.optimizers:
        if any(id(parameter) in ours for group in optimizer.param_groups for parameter in group["params"]):
            return optimizer
    return _first(trainer)


def _fan(module: Module) -> FanOut:
    fans = [part for part in module.modules() if isinstance(part, FanOut)]
    if len(fans) != 1:
        raise ValueError(
            f"{type(module).__name__} holds {len(fans)} FanOut layers, expected one with method='features': use "
            "method='first-order'"
        )
    return fans[0]
