"""One measured step: affinities and cosines of all pairs of tasks, from losses and gradients."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from counterpoint.affinity.first_order import products
from counterpoint.affinity.lookahead import look_ahead
from counterpoint.balancing.combine import full_precision
from counterpoint.balancing.gram import TaskGradients
from counterpoint.undisturbed import Recomputed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from counterpoint.affinity.displacement import Displacement
    from counterpoint.affinity.gradients import Row, SharedGradients
    from counterpoint.affinity.sketch import CountSketch
    from counterpoint.balancing import StepRecord
    from counterpoint.balancing.ranks import Ranks

    Matrix = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# What lookahead may hold of task gradients for the sake of cosines, if nobody says.
_SPARE_BYTES = 256 << 20


@dataclass
class Measured:
    """One step.

    Attributes:
        tasks: The P tasks that have a loss, on any rank.
        affinities: [P, P]; not finite where a loss or gradient is not, a loss to divide by is zero, or the gradient of
            the task that steps is.
        cosines: [P, P]; NaN where a gradient is zero or was not kept.
    """

    tasks: tuple[str, ...]
    affinities: Matrix
    cosines: Matrix

    def spread(self, tasks: Sequence[str]) -> tuple[Matrix, Matrix, NDArray[np.bool_]]:
        """Affinities and cosines [T, T] of all tasks, NaN for those without a loss, and which pairs have both."""
        at = np.ix_(*[[tasks.index(task) for task in self.tasks]] * 2)
        affinities, cosines = (np.full((len(tasks),) * 2, np.nan) for _ in range(2))
        affinities[at], cosines[at] = self.affinities, self.cosines
        known = np.zeros_like(affinities, dtype=bool)
        known[at] = True
        return affinities, cosines, known


def check_names(tasks: Sequence[str], ranks: Ranks) -> None:
    """Raises ValueError if another rank has other tasks, or another order: numbers are summed by position."""
    if not ranks.active:
        return
    digest = float(int.from_bytes(hashlib.sha256("\0".join(tasks).encode()).digest()[:4], "big"))
    if float(ranks.sum(torch.tensor([digest], dtype=torch.float64))) != ranks.size * digest:
        raise ValueError(
            f"tasks are {list(tasks)} here and others, or in another order, on another rank, expected the same list on "
            "all: a set has an order of its own in each process"
        )


def joined(losses: Mapping[str, Tensor], tasks: Sequence[str], ranks: Ranks) -> tuple[dict[str, int], Matrix]:
    """On how many ranks each task has a loss, and the mean of it over those, [P]; tasks that none has are left out."""
    sums, counts = np.zeros((2, len(tasks)))
    if losses:
        with torch.no_grad():
            values = torch.stack([loss.reshape(()) for loss in losses.values()]).tolist()
        for task, value in zip(losses, values, strict=True):
            sums[tasks.index(task)], counts[tasks.index(task)] = value, 1.0
    if ranks.active:
        sums, counts = ranks.sum(torch.from_numpy(np.stack([sums, counts]))).numpy()
    by_task = {task: int(n) for task, n in zip(tasks, counts.tolist(), strict=True) if n}
    return by_task, sums[counts > 0] / counts[counts > 0]


def first_order(
    gradients: SharedGradients,
    values: Matrix,
    rule: Displacement,
    *,
    max_bytes: int | None,
    sketch: CountSketch | None,
) -> Measured:
    """-<theta_i - theta, g_j> / L_j."""
    with _gradients_only(gradients):
        gram, fall = products(gradients, rule, max_bytes=max_bytes, sketch=sketch)
    known = np.isfinite(values)
    moving = gram.diagonal().numpy() != 0.0
    with np.errstate(all="ignore"):
        # What has no gradient says nothing: to first order nobody's step moves it.
        return Measured(gradients.tasks, *_known(fall.numpy() / values, cosines(gram), known & moving, known & moving))


def lookahead(
    gradients: SharedGradients,
    rule: Displacement,
    reevaluate: Callable[[], Mapping[str, Tensor]],
    *,
    baseline: bool,
    models: Sequence[nn.Module],
    max_bytes: int | None,
    sketch: CountSketch | None,
) -> Measured:
    """1 - L_j(theta_i) / L_j(theta)."""
    tasks, ranks = gradients.tasks, gradients.ranks
    rows: list[Row] = []
    moving: list[bool] = []
    one = sum(parameter.numel() * parameter.element_size() for parameter in gradients.shared)
    room = one * (len(tasks) + 1) <= (_SPARE_BYTES if max_bytes is None else max_bytes)

    def see(row: Row) -> None:
        moving.append(any(part is not None and bool(part.any()) for part in row))
        if sketch is not None:
            rows.append([sketch(row, gradients.shared)])
        elif room:
            rows.append(row)

    with gradients.unbalanced():
        table = look_ahead(gradients, rule, reevaluate, baseline=baseline, models=models, see=see)
    if ranks.active:
        absent = [task not in gradients.losses for task in tasks]
        table[:, absent] = 0.0
        table = ranks.sum(table) / torch.tensor(list(gradients.counts.values()), dtype=torch.float64)
    losses = table.numpy()
    gram = torch.full((len(tasks),) * 2, torch.nan, dtype=torch.float64)
    if rows:
        with full_precision(gradients.shared[0].device.type):
            gram = TaskGradients(rows).gram_on_host()
    stays = getattr(rule, "everywhere", None) == 0.0  # a learning rate of zero
    if any(moving) and not stays and bool((table[1:] == table[0]).all()):
        warnings.warn(
            "lookahead found the same losses after every task's step, to the last bit, expected reevaluate() to "
            "compute them with the shared parameters as they are then: it may use another model or kept outputs, or "
            "the learning rate is too small to move anything",
            stacklevel=4,  # whoever called the meter
        )
    known = np.isfinite(losses[0])
    with np.errstate(all="ignore"):
        return Measured(tasks, *_known(1.0 - losses[1:] / losses[0], cosines(gram), known & moving, known))


def features(counts: Mapping[str, int], values: Matrix, record: StepRecord, lr: float) -> Measured:
    """First order, lr <g_i, g_j> / L_j, with gradients with respect to the features."""
    at = [record.tasks.index(task) for task in counts]
    gram = record.gram.detach().to("cpu", torch.float64)[at][:, at]
    with np.errstate(all="ignore"):
        known = np.isfinite(values) & (gram.diagonal().numpy() != 0.0)
        return Measured(tuple(counts), *_known(lr * gram.numpy() / values, cosines(gram), known, known))


def _known(affinities: Matrix, angles: Matrix, steps: Mask, affected: Mask) -> tuple[Matrix, Matrix]:
    """Affinities and cosines, NaN for tasks that are there in name only.

    Compiled models, reentrant checkpoints and stacked heads give a task without labels a gradient of zeros, and the
    loss of no rows is NaN with the same gradient: a step on it would count as one that helps and harms nobody.

    Args:
        affinities: [P, P].
        angles: Their cosines, [P, P].
        steps: [P], the tasks whose steps are known.
        affected: [P], the tasks on which effects are known.
    """
    both = steps & affected
    return (
        np.where(steps[:, None] & affected, affinities, np.nan),
        np.where(both[:, None] & both, angles, np.nan),
    )


def cosines(gram: Tensor) -> Matrix:
    """Cosines of the angles between vectors with these inner products, NaN beside a zero one."""
    products_ = gram.numpy()
    norms = np.sqrt(np.maximum(products_.diagonal(), 0.0))
    with np.errstate(all="ignore"):
        matrix: Matrix = np.clip(products_ / norms[:, None] / norms[None, :], -1.0, 1.0)
    return matrix


@contextlib.contextmanager
def _gradients_only(gradients: SharedGradients) -> Iterator[None]:
    with gradients.unbalanced(), full_precision(gradients.shared[0].device.type), Recomputed():
        yield
