"""What can be measured of a LightningModule between two training steps, without leaving a trace."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import lightning
import numpy as np
from torch import Tensor

from counterpoint.training.counting import Counts
from counterpoint.training.labelled import Labelled
from counterpoint.training.module import MultiTaskModule
from counterpoint.trajectory import Probe, conflict, fisher_trace, hessian_trace, sam_sharpness, top_eigenvalues
from counterpoint.trajectory.evaluation import hand_on
from counterpoint.trajectory.task_gradients import task_gradients
from counterpoint.undisturbed import Undisturbed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from counterpoint.tasks import Task
    from counterpoint.trajectory.conflicts import Conflict

Losses = Callable[[lightning.LightningModule, Any], Mapping[str, Tensor]]
Mode = Literal["eval", "train"]
_OF_GRADIENTS = ("gradient_norm", "coherence", "coherence_cosine")
# Task, quantity, value.
Found = tuple[str, str, float]


@dataclass(frozen=True)
class Curvature:
    """What is measured of a loss's curvature, and how closely.

    Attributes:
        draws: Random vectors of a trace.
        products: Hessian-vector products for the largest eigenvalue; 6 found it to 0.1 % on a LeNet in training.
        rho: Length of the step of the SAM sharpness.

    Raises:
        ValueError: for numbers that make no sense.

    Example:
        >>> Curvature(draws=16).products
        6
    """

    draws: int = 4
    products: int = 6
    rho: float = 0.05

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise ValueError(f"draws is {self.draws}, expected at least 2: a trace's standard error is their spread")
        if self.products < 1:
            raise ValueError(f"products is {self.products}, expected at least 1")
        if not 0 < self.rho < math.inf:
            raise ValueError(f"rho is {self.rho}, expected a positive number")


class Probing:
    """Measures a module's losses as they are now: any number of times, and nothing is changed.

    Args:
        module: The module.
        shared: Its shared parameters.
        losses: Called with the module and a batch: ``{task: loss}``, means over the rows that have labels. ``None`` for
            those of a :class:`MultiTaskModule`.
        mode: Whether modules compute as in evaluation, or in the modes that they are in; FanOuts hand features on in
            both. Test rows are looked at in evaluation.
        chunk: Rows that are evaluated at once.
    """

    def __init__(
        self,
        module: lightning.LightningModule,
        shared: Sequence[Tensor],
        losses: Losses | None = None,
        *,
        mode: Mode = "eval",
        chunk: int = 1024,
    ) -> None:
        self.module = module
        self.shared = shared
        self.losses = losses
        self.mode = mode
        self.chunk = chunk

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[Undisturbed]:
        with Undisturbed(self.shared, models=[self.module], blame="losses", prepare=hand_on) as place:
            yield place

    def _set_mode(self, mode: Mode) -> None:
        if mode == "eval":
            self.module.eval()  # in training some may be frozen: they stay as they are

    def loss_values(self, batch: Any, name: str, mode: Mode | None = None) -> list[Found]:
        """The loss of each task, over all rows (of chunks that have it)."""
        sums: dict[str, float] = {}
        labels: dict[str, int] = {}
        with self._undisturbed() as place:
            for index, part in enumerate(self._chunks(batch)):
                found = place.evaluate(partial(self._now, part.inputs[0], mode), rewind=index == 0)
                known = self._known_labels(part)
                for task, loss in found.items():
                    sums[task] = sums.get(task, 0.0) + float(loss) * known.get(task, part.rows)
                    labels[task] = labels.get(task, 0) + known.get(task, part.rows)
        return [(task, f"{name}_loss", total / labels[task]) for task, total in sums.items() if labels[task]]

    def loss_and_metric(self, batch: tuple[Tensor, dict[str, Tensor]], name: str) -> list[Found]:
        """Loss and metric of each task of a :class:`MultiTaskModule`, in evaluation."""
        counts = Counts(self._own.tasks.values(), alone=True)
        with self._undisturbed() as place:
            for index, part in enumerate(self._chunks(batch)):
                compute = partial(self._outputs_and_losses, part.inputs[0])
                counts.add(*place.evaluate(compute, rewind=index == 0))
            results = counts.results()
        found: list[Found] = [(task, f"{name}_loss", result["loss"]) for task, result in results.items()]
        return found + [(task, f"{name}_metric", result["metric"]) for task, result in results.items()]

    def values(
        self, batch: Any, name: str, of: Callable[[lightning.LightningModule, Any], dict[str, float]]
    ) -> list[Found]:
        """What a function of the module and the batch returns for each task, in evaluation."""

        def compute() -> dict[str, float]:
            self._set_mode("eval")
            return of(self.module, batch)

        with self._undisturbed() as place:
            return [(task, name, float(value)) for task, value in place.evaluate(compute).items()]

    def _chunks(self, batch: Any) -> list[Probe]:
        return Probe(lambda part: part, batch).chunks(self.chunk)

    @property
    def _own(self) -> MultiTaskModule:
        assert isinstance(self.module, MultiTaskModule)  # noqa: S101  (who gives no losses has one)
        return self.module

    def _now(self, batch: Any, mode: Mode | None = None) -> Mapping[str, Tensor]:
        self._set_mode(mode or self.mode)
        return self._own.losses_of(batch) if self.losses is None else self.losses(self.module, batch)

    def _outputs(self, batch: tuple[Tensor, dict[str, Tensor]], mode: Mode | None = None) -> dict[str, Tensor]:
        self._set_mode(mode or self.mode)
        outputs: dict[str, Tensor] = self._own.model(batch[0], list(batch[1]))
        return outputs

    def _outputs_and_losses(
        self, batch: tuple[Tensor, dict[str, Tensor]]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Of labelled rows: outputs, targets, losses."""
        self._set_mode("eval")
        outputs, targets, losses = self._own.outputs_and_losses(batch)
        if type(self._own).losses_of is not MultiTaskModule.losses_of:  # a subclass has others, as on training rows
            losses = dict(self._own.losses_of(batch))
        return outputs, targets, losses

    def _known_labels(self, part: Probe) -> Mapping[str, int]:
        """Labels by task, where the module's own losses are means over them."""
        if self.losses is not None:
            return {}
        tasks, targets = self._own.tasks, part.inputs[0][1]
        return Labelled.of(tasks, targets).labels(tasks, targets)

    def gradients(self, batch: Any, minibatches: int) -> list[Found]:
        """Norm and coherence of each task's gradient, and its conflict with the others where there are several.

        Minibatches in which a task's loss is not finite, as that of ignored labels alone is, have no gradient of it
        (autograd says zero); a task without any has NaN.
        """
        with self._undisturbed() as place:
            parts = Probe(lambda part: part, batch).split(minibatches)
            losses = [
                place.evaluate(partial(self._now, part.inputs[0]), graph=True, rewind=index == 0)
                for index, part in enumerate(parts)
            ]
            known = [
                {task: loss for task, loss in part.items() if math.isfinite(float(loss.detach()))} for part in losses
            ]
            absent = {task: None for part in losses for task in part if not any(task in other for other in known)}
            found: list[Found] = [(task, name, math.nan) for task in absent for name in _OF_GRADIENTS]
            if not any(known):
                return found
            measured = task_gradients(known, self.shared)
        for task in measured.tasks:
            coherence = measured.coherence(task)
            values = coherence.norm, coherence.ratio, coherence.cosine
            found += [(task, name, value) for name, value in zip(_OF_GRADIENTS, values, strict=True)]
        if len(measured.tasks) > 1:
            found += _conflicts(measured.tasks, conflict(measured.gram, measured.tasks))
        return found

    def curvature(self, batch: Any, task: str, options: Curvature) -> list[Found]:
        """Curvature of a task's loss in the shared parameters."""

        def of_rows(part: Any) -> Tensor:
            return self._now(part)[task]

        given = batch if self.losses is not None else self._labelled_rows(batch, task)
        loss = Probe(of_rows, given)
        with self._as_it_was():
            top = top_eigenvalues(loss, self.shared, max_products=options.products)
            trace = hessian_trace(loss, self.shared, options.draws)
            found = [
                (task, "sharpness", float(top.values[0])),
                (task, "hessian_trace", trace.value),
                (task, "hessian_trace_error", trace.standard_error),
                (task, "sam_sharpness", sam_sharpness(loss, self.shared, options.rho)),
            ]
            if self.losses is None:
                found += self._fisher(given, self._own.tasks[task], options)
        return found

    def _labelled_rows(self, batch: tuple[Tensor, dict[str, Tensor]], task: str) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch for one task alone: means over chunks then weigh each row alike (but not each pixel)."""
        mask = self._own.tasks[task].labelled(batch[1][task])
        if mask is None:
            return batch[0], {task: batch[1][task]}
        return batch[0][mask], {task: batch[1][task][mask]}

    def _fisher(self, batch: tuple[Tensor, dict[str, Tensor]], task: Task, options: Curvature) -> list[Found]:
        """Of tasks whose loss is a likelihood."""
        if task.likelihood is None:
            return []
        outputs = Probe(lambda inputs: self._outputs((inputs, {task.name: inputs}))[task.name], batch[0])
        drawn = fisher_trace(outputs, self.shared, task.likelihood, draws=options.draws)
        given = fisher_trace(outputs, self.shared, task.likelihood, targets=batch[1][task.name], draws=options.draws)
        return [
            (task.name, "fisher_trace", drawn.value),
            (task.name, "fisher_trace_error", drawn.standard_error),
            (task.name, "empirical_fisher_trace", given.value),
            (task.name, "empirical_fisher_trace_error", given.standard_error),
        ]

    @contextlib.contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """Modes, for measures that find modules as they are when they are called first."""
        modes = [(module, module.training) for module in self.module.modules()]
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training


def first_rows(batch: Any, rows: int) -> Any:
    """The first rows of a batch, or all if there are no more."""
    probe = Probe(lambda part: part, batch)
    return probe.part(0, min(rows, probe.rows)).inputs[0]


def _conflicts(tasks: Sequence[str], found: Conflict) -> list[Found]:
    """Means over the other tasks; those whose gradient is zero have no direction."""
    rows: list[Found] = []
    for index, task in enumerate(tasks):
        others = [other for other in range(len(tasks)) if other != index]
        cosines, similarities = found.cosines[index][others], found.magnitude_similarity[index][others]
        for name, values, known in (
            ("cosine", cosines, cosines),
            ("negative_share", cosines < 0, cosines),
            ("magnitude_similarity", similarities, similarities),
        ):
            kept = values[~np.isnan(known)]
            rows.append((task, name, float(kept.mean()) if len(kept) else math.nan))
    return rows
