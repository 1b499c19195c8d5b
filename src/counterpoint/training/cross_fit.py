"""What a training is worth on rows that did not choose its best epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from counterpoint.training.counting import Score, counter
from counterpoint.training.module import MultiTaskModule

if TYPE_CHECKING:
    from collections.abc import Mapping

_HALVES = (0, 1)


class CrossFit(lightning.Callback):
    """Outputs for every validation row, of the epoch that the other half of the rows finds best.

    The best of many epochs looks better on the rows that found it than it is, the more so the more freely it is chosen:
    an epoch for each of T networks of one task flatters more than one epoch for a network of T. Rows are told apart by
    whether their number is even; each half chooses an epoch by the validation score, and the other half is judged
    there. The network itself goes back to the epoch that all rows find best.

    Example:
        >>> import tempfile, torch
        >>> from counterpoint import MultiTaskModel, Task
        >>> from counterpoint.data import Split
        >>> from counterpoint.training import CrossFit, FitSettings, MultiTaskModule, fit
        >>> x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
        >>> splits = dict.fromkeys(("train", "validation", "test"), Split(x, {"a": (x[:, 0] > 0).long()}))
        >>> module = MultiTaskModule(MultiTaskModel(torch.nn.Linear(2, 4), {"a": torch.nn.Linear(4, 2)}),
        ...                          [Task.classification("a", 2)])
        >>> cross, settings = CrossFit(), FitSettings(epochs=2, progress_bar=False, logs=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = fit(module, splits, settings, folder, callbacks=[cross])
        >>> cross.outputs()["a"].shape
        torch.Size([40, 2])
    """

    def __init__(self) -> None:
        self._best = [-math.inf, -math.inf]
        self._kept: list[dict[str, Tensor]] = [{}, {}]
        self._even: dict[str, Tensor] = {}
        self._parts: list[tuple[int, Mapping[str, Tensor], Mapping[str, Tensor], Mapping[str, Tensor]]] = []
        self._fitting = True

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Hears what for."""
        self._fitting = stage == TrainerFn.FITTING

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Forgets a pass that broke off."""
        self._parts = []

    def on_validation_batch_end(  # noqa: PLR0917  (Lightning's own)
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Keeps outputs and labels of the batch."""
        if trainer.state.fn != TrainerFn.FITTING or not isinstance(pl_module, MultiTaskModule):
            return
        made, labels = outputs["outputs"], outputs["targets"]
        masks = {}
        for name in made:
            target = batch[1][name]
            mask = pl_module.tasks[name].labelled(target)
            masks[name] = (torch.ones(len(target), dtype=torch.bool) if mask is None else mask).cpu()
        kept, answers = ({name: own.detach().cpu() for name, own in each.items()} for each in (made, labels))
        self._parts.append((len(batch[0]), kept, answers, masks))

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Each half says whether this epoch is its best."""
        if trainer.state.fn != TrainerFn.FITTING or not isinstance(pl_module, MultiTaskModule) or not self._parts:
            return
        outputs, targets = ({n: torch.cat(own) for n, own in self._of(place).items()} for place in (1, 2))
        self._even = self._parity()
        self._parts = []
        score = Score(pl_module.tasks.values(), warn=False)
        for half in _HALVES:
            results = {}
            for name, task in pl_module.tasks.items():
                rows = self._even[name] == (half == 0) if name in outputs else torch.zeros(0, dtype=torch.bool)
                if rows.any():
                    own, labels = outputs[name][rows], targets[name][rows]
                    metric = counter(task.metric, alone=True)
                    metric.update(own, labels)
                    results[name] = {"loss": float(task.loss(own, labels)), "metric": float(metric.compute())}
            value = score.of(results)
            other = 1 - half
            if value > self._best[half] or not self._kept[other]:
                self._best[half] = value if math.isfinite(value) else -math.inf
                self._kept[other] = {name: own[self._even[name] == (other == 0)] for name, own in outputs.items()}

    def outputs(self) -> dict[str, Tensor]:
        """For each task [N, ...], on the CPU: a row of outputs for each validation row that has a label, in order.

        Raises:
            RuntimeError: before the first epoch has ended.
        """
        if not self._even:
            raise RuntimeError("no epoch has ended yet, expected outputs to be asked for after a training")
        found = {}
        for name, even in self._even.items():
            first, second = (self._kept[half][name] for half in _HALVES)
            whole = torch.empty((len(even), *first.shape[1:]), dtype=first.dtype)
            whole[even], whole[~even] = first, second
            found[name] = whole
        return found

    def _of(self, place: int) -> dict[str, list[Tensor]]:
        found: dict[str, list[Tensor]] = {}
        for part in self._parts:
            for name, own in part[place].items():  # type: ignore[union-attr]
                found.setdefault(name, []).append(own)
        return found

    def _parity(self) -> dict[str, Tensor]:
        """Of each task's labelled rows, whether their number is even."""
        found: dict[str, list[Tensor]] = {}
        start = 0
        for rows, _, _, masks in self._parts:
            even = torch.arange(start, start + rows) % 2 == 0
            for name, mask in masks.items():
                found.setdefault(name, []).append(even[mask])
            start += rows
        return {name: torch.cat(own) for name, own in found.items()}

    def state_dict(self) -> dict[str, Any]:
        """Best scores and what was kept there."""
        return {"best": list(self._best), "kept": [dict(kept) for kept in self._kept], "even": dict(self._even)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on. Lightning restores callbacks for a test, too: that takes nothing back."""
        if self._fitting:
            self._best, self._kept = list(state_dict["best"]), [dict(kept) for kept in state_dict["kept"]]
            self._even = dict(state_dict["even"])
