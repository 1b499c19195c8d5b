"""Gradients that are added up as they arrive, with the weights of the backward pass before."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.balancing.arrivals import Arrivals
from counterpoint.balancing.combine import measure, record, weigh
from counterpoint.balancing.gram import flat
from counterpoint.balancing.sign_sketch import SignSketch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.balancing.combine import Balance, Row, StepContext
    from counterpoint.balancing.step_record import StepRecord


class Carried:
    """What goes from one use of a layer to the next.

    Attributes:
        sketch: The same for all: its signs are made once.
    """

    def __init__(self) -> None:
        self.sketch = SignSketch()
        self._pass = -1
        self._before: dict[str, float] = {}

    def weights(self, balance: Balance) -> dict[str, float]:
        """The last weights when the running backward pass began, however many uses of the layer it has ended since."""
        running = torch._C._current_graph_task_id()  # noqa: SLF001
        if running != self._pass:
            self._pass, self._before = running, dict(balance.reuse.last)
        return self._before

    def __getstate__(self) -> dict[str, object]:
        """Without the backward pass: another process counts anew."""
        return self.__dict__ | {"_pass": -1}


class Streamed(Arrivals):
    """Nothing waits: each gradient is sketched, added to one sum with the weight its task had last, and dropped.

    The sketches give the Gram matrix, and that the weights of the next backward pass. In the first one all tasks weigh
    the same, namely the mean of the weights that it finds, so that the scale of the update is right. A task that comes
    later has the mean of the known weights, one that was away keeps its own.

    Args:
        like: See :class:`Arrivals`.
        carried: Serves all uses of the layer.
    """

    def __init__(self, like: Sequence[Tensor], carried: Carried) -> None:
        super().__init__(like)
        self._carried = carried
        self.forget()

    def forget(self) -> None:
        """Lets go of everything."""
        super().forget()
        self._sketches: dict[str, Tensor] = {}
        self._sums: list[Tensor | None] = [None] * len(self.like)

    def keep(self, task: str, row: Row, balance: Balance) -> None:
        """Sketches it and adds it up."""
        vectors = [None if g is None else flat(g, [like]) for g, like in zip(row, self.like, strict=True)]
        sketched = self._carried.sketch(vectors, [feature.numel() for feature in self.like])
        self._sketches[task] = sketched
        if balance.on_nonfinite == "skip" and not bool(sketched.isfinite().all()):
            self._sums = [
                total if total is not None or gradient is None else _wide_zeros(gradient)
                for total, gradient in zip(self._sums, row, strict=True)
            ]
            return
        weight = _weight_of(task, self._carried.weights(balance))
        for position, gradient in enumerate(row):
            total = self._sums[position]
            if gradient is None:
                continue
            if total is None:
                self._sums[position] = gradient.to(torch.promote_types(gradient.dtype, torch.float32)) * weight
            else:
                total.add_(gradient, alpha=weight)

    def combined(self, balance: Balance, context: StepContext) -> tuple[list[Tensor | None], StepRecord]:
        """The sum that was taken, and what the sketches say for the next pass."""
        present = [task for task in balance.tasks if task in self._sketches]
        if not present and not balance.ranks.active:
            nothing = torch.zeros(0, dtype=torch.float64)
            return [None] * len(self.like), record(balance.tasks, (), nothing, nothing.reshape(0, 0), ())
        sketches = Sketches([self._sketches[task] for task in present]) if present else None
        with torch.no_grad():
            before = self._carried.weights(balance)
            measured = measure(tuple(present), sketches, balance, context)
            _, found = weigh({}, None, measured, balance, 0)  # no rows: the gradients themselves are gone
            taken, factor = _taken(found, balance, before)
            return [_narrow(total, factor, like) for total, like in zip(self._sums, self.like, strict=True)], taken


class Sketches:
    """Stands for the gradients where inner products are asked for.

    Args:
        sketches: [d] a task.
    """

    def __init__(self, sketches: Sequence[Tensor]) -> None:
        self._sketches = sketches

    def gram_on_host(self) -> Tensor:
        """Estimated inner products [T, T], fp64 on the CPU; not finite where a gradient is not."""
        matrix = torch.stack([sketch.to(self._sketches[0]) for sketch in self._sketches]).to("cpu", torch.float64)
        gram = matrix @ matrix.T
        return (gram + gram.T).mul_(0.5)


def _taken(found: StepRecord, balance: Balance, before: Mapping[str, float]) -> tuple[StepRecord, float]:
    """The record of this step, and what its sum is still to be multiplied by; keeps the weights for the next."""
    weights = dict(zip(found.tasks, found.weights.tolist(), strict=True))
    new = {task: weights[task] for task in found.present if math.isfinite(weights[task])}
    if not any(square > 0 for square in found.gram.diagonal().tolist()):
        new = {}  # no rows, or nothing left to learn from them: weights of zeros say nothing of the next batch
    balance.reuse.last = {**balance.reuse.last, **new}
    factor = 1.0 if before or not new else math.fsum(new.values()) / len(new)
    used = [_weight_of(task, before) * factor if task in found.present else 0.0 for task in found.tasks]
    return replace(found, weights=found.weights.new_tensor(used)), factor


def _weight_of(task: str, weights: Mapping[str, float]) -> float:
    """Its last weight; of a task without one the others' mean, and 1 where there are none."""
    if task in weights or not weights:
        return weights.get(task, 1.0)
    return math.fsum(weights.values()) / len(weights)


def _wide_zeros(gradient: Tensor) -> Tensor:
    return torch.zeros_like(gradient, dtype=torch.promote_types(gradient.dtype, torch.float32))


def _narrow(total: Tensor | None, factor: float, like: Tensor) -> Tensor | None:
    if total is None:
        return None
    if factor != 1.0:
        total.mul_(factor)
    return total.to(like.dtype)
