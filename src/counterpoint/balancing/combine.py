"""From task gradients to one update: measure, weigh, sum, record."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from counterpoint.balancing.gram import TaskGradients
from counterpoint.balancing.ranks import Ranks
from counterpoint.balancing.reuse import Reuse
from counterpoint.balancing.step import Step
from counterpoint.balancing.step_record import NonFiniteGradientError, StepRecord
from counterpoint.balancing.weigh import weights_of
from counterpoint.balancing.weightings.weighting import Weighting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

OnNonfinite = Literal["raise", "skip", "propagate"]
Row = tuple[Tensor | None, ...]


@dataclass
class Balance:
    """How task gradients are combined: what stays the same from step to step.

    Attributes:
        weighting: Gram matrix in, weights out.
        tasks: Names of all T tasks.
        on_nonfinite: See :class:`~counterpoint.FanOut`.
        ranks: The processes whose Gram matrices are added.
        reuse: When to compute new weights.
    """

    weighting: Weighting | Callable[[Tensor], Tensor]
    tasks: tuple[str, ...]
    on_nonfinite: OnNonfinite = "raise"
    ranks: Ranks = field(default_factory=lambda: Ranks(None))
    reuse: Reuse = field(default_factory=lambda: Reuse(1))


@dataclass
class Told:
    """What is known of a step besides its gradients.

    Attributes:
        losses: Value of the loss of each task that took part, on this rank.
        scale: What the losses were multiplied by before backward; it is taken out of the Gram matrix.
    """

    losses: Mapping[str, Tensor] | None = None
    scale: float | Tensor = 1.0


class Measurable(Protocol):
    """What inner products are taken of."""

    def gram_on_host(self) -> Tensor:
        """[T, T] in fp64 on the CPU, not finite where a gradient is not."""


def combine(
    rows: Mapping[str, Row], balance: Balance, told: Told, dtypes: Sequence[torch.dtype] | None = None
) -> tuple[list[Tensor | None], StepRecord]:
    """Weighs task gradients and sums them.

    Args:
        rows: For each task its gradient with respect to each of n tensors; ``None`` where it was not computed. A task
            with nothing but ``None`` took no part and is left out.
        balance: How.
        told: Losses and loss scale of this step.
        dtypes: Of the n sums; by default those of the gradients.

    Returns:
        The weighted sum for each of the n tensors (``None`` where no task has a gradient), and the record.

    Raises:
        NonFiniteGradientError: if ``on_nonfinite`` is ``"raise"`` and a gradient is not finite.
        ValueError: if the weighting does not return one finite number a task, or needs losses that nobody told.
    """
    width = len(next(iter(rows.values()))) if rows else 0
    rows = {task: row for task, row in rows.items() if any(gradient is not None for gradient in row)}
    if not rows and not balance.ranks.active:  # every head stopped its gradient
        nothing = torch.zeros(0, dtype=torch.float64)
        return [None] * width, record(balance.tasks, (), nothing, nothing.reshape(0, 0), ())
    gradients = TaskGradients(list(rows.values()), dtypes) if rows else None
    with torch.no_grad(), full_precision(gradients.device.type if gradients else "cpu"):
        if gradients and _is_blind(balance):
            # Nobody looks at the Gram matrix: it stays on its device, nothing waits.
            gram = gradients.gram() / told.scale / told.scale
            step = Step(balance.tasks, tuple(rows), gram)
            return _weighted(rows, gradients, step, weights_of(balance.weighting, step), [None] * width)
        step = measure(rows, gradients, balance, told)
        return weigh(rows, gradients, step, balance, width)


def measure(rows: Mapping[str, Row], gradients: Measurable | None, balance: Balance, told: Told) -> Step:
    """Gram matrix and losses of the tasks that took part on any rank."""
    gram = gradients.gram_on_host() if gradients else torch.zeros(0, 0, dtype=torch.float64)
    losses = None
    if told.losses is not None and all(task in told.losses for task in rows):
        on_device = [told.losses[task].reshape(()).to(torch.float64) for task in rows]
        losses = torch.stack(on_device).to("cpu") if on_device else torch.zeros(0, dtype=torch.float64)
    scale = float(told.scale)
    present = tuple(rows)
    if balance.ranks.active:
        present, gram, losses = _over_ranks(present, gram, losses, balance)
    if scale not in {1.0, 0.0}:
        gram = gram / scale**2
    return Step(balance.tasks, present, gram, losses, scale)


def _over_ranks(
    present: tuple[str, ...], gram: Tensor, losses: Tensor | None, balance: Balance
) -> tuple[tuple[str, ...], Tensor, Tensor | None]:
    """What a single process with the joined batch would see, in one exchange.

    DDP averages gradients, as if the joined batch's loss were the mean of the ranks' losses; the gradient with respect
    to the joined features is then made of the ranks' gradients over their number.
    """
    T, size = len(balance.tasks), balance.ranks.size
    at = torch.tensor([balance.tasks.index(task) for task in present], dtype=torch.long)
    numbers = torch.zeros(T * T + 3 * T, dtype=torch.float64)
    products, sums, flags, known = torch.split(numbers, [T * T, T, T, T])
    products.view(T, T)[at[:, None], at] = gram
    flags[at] = 1.0
    if losses is not None:
        sums[at] = losses
        known[at] = 1.0
    balance.ranks.sum(numbers)
    everywhere = [index for index, count in enumerate(flags.tolist()) if count]
    total = products.view(T, T)[everywhere][:, everywhere] / size**2
    values = sums[everywhere] / known[everywhere] if bool((known == flags).all()) and everywhere else None
    return tuple(balance.tasks[index] for index in everywhere), total, values


def weigh(
    rows: Mapping[str, Row], gradients: TaskGradients | None, step: Step, balance: Balance, width: int
) -> tuple[list[Tensor | None], StepRecord]:
    """Refuses, skips or passes on what is not finite, and weighs the rest."""
    finite = [math.isfinite(square) for square in step.gram.diagonal().tolist()]
    skipped: tuple[str, ...] = ()
    nothing: list[Tensor | None] = [None] * width
    if not all(finite):
        broken = tuple(task for task, good in zip(step.present, finite, strict=True) if not good)
        if balance.on_nonfinite == "raise":
            raise NonFiniteGradientError(broken)
        if balance.on_nonfinite == "propagate":  # the NaN it promises; the weighting and its state never see it
            nan = step.gram.new_full((len(step.present),), torch.nan)
            return _weighted(rows, gradients, step, nan, nothing)
        skipped = broken
        step = _without(step, finite)
        if rows:  # where all are skipped, the encoder receives zeros
            nothing = [_zero(column) for column in zip(*rows.values(), strict=True)]
        rows = {task: row for task, row in rows.items() if task not in broken}
        gradients = TaskGradients(list(rows.values()), gradients.dtypes) if rows and gradients else None
    if not step.present:
        return nothing, record(step.tasks, (), step.gram.new_zeros(0), step.gram, skipped)
    if gradients and getattr(balance.weighting, "needs_rows", False):
        return _row_by_row(gradients, step, balance, skipped)
    return _weighted(rows, gradients, step, _reused_or_new(balance, step), nothing, skipped=skipped)


def _reused_or_new(balance: Balance, step: Step) -> Tensor:
    held = balance.reuse.held(step.present)
    if held is not None:
        weights = torch.tensor(held, dtype=step.gram.dtype)
    else:
        weights = balance.ranks.agree(weights_of(balance.weighting, step))
        balance.reuse.keep(step.present, weights)
    balance.reuse.step()
    return weights


def _weighted(
    rows: Mapping[str, Row],
    gradients: TaskGradients | None,
    step: Step,
    weights: Tensor,
    nothing: list[Tensor | None],
    *,
    skipped: tuple[str, ...] = (),
) -> tuple[list[Tensor | None], StepRecord]:
    """The weighted sum of this rank's gradients; ``nothing`` where it has none."""
    own = weights
    if len(rows) < len(step.present):  # some tasks have labels on other ranks only
        own = weights[[step.present.index(task) for task in rows]]
    combined = gradients.weighted_sum(own) if gradients else nothing
    return combined, record(step.tasks, step.present, weights, step.gram, skipped)


def _row_by_row(
    gradients: TaskGradients, step: Step, balance: Balance, skipped: tuple[str, ...]
) -> tuple[list[Tensor | None], StepRecord]:
    """For weightings that look at the gradients themselves, coordinate by coordinate."""
    assert isinstance(balance.weighting, Weighting)  # noqa: S101  (plain callables never need rows)
    vector, weights = balance.weighting.combine_rows(gradients.stacked(), step)
    if weights is None:
        weights = step.gram.new_full((len(step.present),), torch.nan)
    return gradients.split(vector), record(step.tasks, step.present, weights.to(step.gram), step.gram, skipped)


def _is_blind(balance: Balance) -> bool:
    """Whether nothing needs to be known on the host."""
    weighting = balance.weighting
    return (
        not balance.ranks.active  # they have to agree on who took part and, where weights are drawn, on the weights
        and balance.on_nonfinite == "propagate"
        and balance.reuse.every == 1
        and not getattr(weighting, "needs_gram", True)
        and not getattr(weighting, "needs_losses", False)
        and not getattr(weighting, "needs_rows", False)
    )


@contextlib.contextmanager
def full_precision(device: str) -> Iterator[None]:
    """Inner products in fp32 at least.

    Autocast is still on where backward() is called inside its context; TensorFloat-32 on CUDA keeps 10 bits.
    """
    with contextlib.ExitStack() as stack:
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            stack.enter_context(torch.autocast(device, enabled=False))
        precision = torch.get_float32_matmul_precision() if device == "cuda" else "highest"
        if precision != "highest":
            torch.set_float32_matmul_precision("highest")
            stack.callback(torch.set_float32_matmul_precision, precision)
        yield


def _without(step: Step, kept: list[bool]) -> Step:
    present = tuple(task for task, good in zip(step.present, kept, strict=True) if good)
    losses = None if step.losses is None else step.losses[kept]
    return Step(step.tasks, present, step.gram[kept][:, kept], losses, step.scale)


def _zero(column: tuple[Tensor | None, ...]) -> Tensor | None:
    return next((torch.zeros_like(gradient) for gradient in column if gradient is not None), None)


def record(
    tasks: tuple[str, ...], used: tuple[str, ...], weights: Tensor, gram: Tensor, skipped: tuple[str, ...]
) -> StepRecord:
    """The record of a step in which the tasks ``used`` took part."""
    if used == tasks:
        return StepRecord(tasks, weights, gram, skipped)
    positions = torch.tensor([tasks.index(task) for task in used], dtype=torch.long)
    all_weights = weights.new_zeros(len(tasks))
    all_weights[positions] = weights
    full = gram.new_full((len(tasks), len(tasks)), torch.nan)
    full[positions[:, None], positions] = gram
    absent = tuple(task for task in tasks if task not in used and task not in skipped)
    return StepRecord(tasks, all_weights, full, skipped, absent)
