"""From task gradients to one update: measure, weigh, sum, record."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from counterpoint.balancing.first_steps import FirstSteps
from counterpoint.balancing.gram import TaskGradients
from counterpoint.balancing.ranks import Ranks
from counterpoint.balancing.reuse import Reuse
from counterpoint.balancing.step import Step
from counterpoint.balancing.step_record import NonFiniteGradientError, StepRecord
from counterpoint.balancing.weigh import length_factor, stretched, weights_of
from counterpoint.balancing.weightings.weighting import Length, Weighting, one_line

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
        length: See :class:`~counterpoint.FanOut`.
        scaled: Whether a GradScaler looks for non-finite gradients and skips such a step.
        checks: What is looked at in the first steps.
    """

    weighting: Weighting | Callable[[Tensor], Tensor]
    tasks: tuple[str, ...]
    on_nonfinite: OnNonfinite = "raise"
    ranks: Ranks = field(default_factory=lambda: Ranks(None))
    reuse: Reuse = field(default_factory=lambda: Reuse(1))
    length: Length | None = None
    scaled: bool = False
    checks: FirstSteps = field(default_factory=FirstSteps)

    @property
    def on_nonfinite_gradient(self) -> OnNonfinite:
        """A GradScaler that is on looks for non-finite gradients, so they go down to where it looks."""
        return "propagate" if self.scaled and self.on_nonfinite == "raise" else self.on_nonfinite


@dataclass
class StepContext:
    """What is known of a step besides its gradients.

    Attributes:
        losses: Value of the loss of each task that has one, on this rank; ``None`` where nobody said.
        scale: What the losses were multiplied by before backward; it is taken out of the Gram matrix.
        withheld: Tasks whose loss is not finite and whose gradient was therefore not computed.
    """

    losses: Mapping[str, Tensor] | None = None
    scale: float | Tensor = 1.0
    withheld: tuple[str, ...] = ()


class Measurable(Protocol):
    """What inner products are taken of."""

    def gram_on_host(self) -> Tensor:
        """[T, T] in fp64 on the CPU, not finite where a gradient is not."""


class Measured(NamedTuple):
    """Inner products of a step, and what is wrong with it.

    Attributes:
        step: The tasks that took part on any rank, their Gram matrix, and their losses if all are known.
        absent: Tasks without a loss whose gradient arrived as zeros, which stand for no gradient at all.
        losses: What is known of the losses of the step's tasks.
        withheld: See :class:`StepContext`.
    """

    step: Step
    absent: tuple[str, ...]
    losses: Mapping[str, float] | None
    withheld: tuple[str, ...]


def combine(
    rows: Mapping[str, Row], balance: Balance, context: StepContext, dtypes: Sequence[torch.dtype] | None = None
) -> tuple[list[Tensor | None], StepRecord]:
    """Weighs task gradients and sums them.

    Args:
        rows: For each task its gradient with respect to each of n tensors; ``None`` where it was not computed. A task
            with nothing but ``None`` took no part and is left out.
        balance: How.
        context: Losses and loss scale of this step.
        dtypes: Of the n sums; by default those of the gradients.

    Returns:
        The weighted sum for each of the n tensors (``None`` where no task has a gradient), and the record.

    Raises:
        NonFiniteGradientError: if ``on_nonfinite`` is ``"raise"`` and a loss or a gradient is not finite.
        ValueError: if the weighting does not return one finite number a task, or needs losses that nobody told.
    """
    width = len(next(iter(rows.values()))) if rows else 0
    rows = {task: row for task, row in rows.items() if any(gradient is not None for gradient in row)}
    if not rows and not balance.ranks.active:  # every head stopped its gradient
        nothing = torch.zeros(0, dtype=torch.float64)
        return [None] * width, record(balance.tasks, (), nothing, nothing.reshape(0, 0), context.withheld)
    gradients = TaskGradients(list(rows.values()), dtypes) if rows else None
    with torch.no_grad(), full_precision(gradients.device.type if gradients else "cpu"):
        if gradients and _is_blind(balance, rows, context):
            # Nobody looks at the Gram matrix: it stays on its device, nothing waits.
            gram = gradients.gram() / context.scale / context.scale
            step = Step(balance.tasks, tuple(rows), gram)
            weights = stretched(weights_of(balance.weighting, step), gram, balance.length)
            return _weighted(rows, gradients, step, weights, [None] * width)
        measured = measure(tuple(rows), gradients, balance, context)
        if measured.absent and gradients:
            present = [task not in measured.absent for task in rows]
            rows = {task: row for task, row in rows.items() if task not in measured.absent}
            gradients = gradients.only(present) if rows else None
        return weigh(rows, gradients, measured, balance, width)


def measure(present: tuple[str, ...], gradients: Measurable | None, balance: Balance, context: StepContext) -> Measured:
    """Gram matrix and losses of the tasks that took part on any rank.

    Args:
        present: The tasks whose gradients these are.
        gradients: Theirs, in that order; ``None`` on a rank without any.
        balance: How they are combined.
        context: What is known besides.
    """
    gram = gradients.gram_on_host() if gradients else torch.zeros(0, 0, dtype=torch.float64)
    losses: dict[str, float] | None = None
    absent: tuple[str, ...] = ()
    values: Tensor | None = None
    if context.losses is not None:
        values, losses = on_host(context.losses)
        if losses.keys() != set(present):
            # A compiled model, a reentrant checkpoint, heads stacked into one fill in zeros where there is no gradient.
            squares = zip(present, gram.diagonal().tolist(), strict=True)
            absent = tuple(task for task, square in squares if square == 0.0 and task not in losses)
            if absent:
                kept = [task not in absent for task in present]
                present, gram = tuple(task for task in present if task not in absent), gram[kept][:, kept]
            losses = {task: losses[task] for task in present if task in losses}
            values = None
    scale = float(context.scale)
    if balance.ranks.active:
        present, gram, losses = _over_ranks(present, gram, losses, context.withheld, balance)
        values = None
    if scale not in {1.0, 0.0}:
        gram = gram / scale**2
    if losses is not None and len(losses) == len(present) and (values is None or tuple(losses) != present):
        values = torch.tensor([losses[task] for task in present], dtype=torch.float64)
    return Measured(Step(balance.tasks, present, gram, values, scale), absent, losses, context.withheld)


def on_host(losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Losses [P] in fp64 on the CPU, and as numbers, in one transfer from their device."""
    if not losses:
        return torch.zeros(0, dtype=torch.float64), {}
    values = torch.stack([loss.detach().reshape(()).to(torch.float64) for loss in losses.values()]).to("cpu")
    return values, dict(zip(losses, values.tolist(), strict=True))


def _over_ranks(
    present: tuple[str, ...],
    gram: Tensor,
    losses: Mapping[str, float] | None,
    withheld: Sequence[str],
    balance: Balance,
) -> tuple[tuple[str, ...], Tensor, dict[str, float] | None]:
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
    for task in withheld:  # it is to be skipped on all ranks
        index = balance.tasks.index(task)
        flags[index], products.view(T, T)[index, index] = 1.0, math.nan
    for task, loss in (losses or {}).items():
        index = balance.tasks.index(task)
        sums[index], known[index] = loss, 1.0
    balance.ranks.sum(numbers)
    everywhere = [index for index, count in enumerate(flags.tolist()) if count]
    total = products.view(T, T)[everywhere][:, everywhere] / size**2
    told = {balance.tasks[i]: float(sums[i] / known[i]) for i in everywhere if known[i] == flags[i]}
    return tuple(balance.tasks[index] for index in everywhere), total, told


def weigh(
    rows: Mapping[str, Row], gradients: TaskGradients | None, measured: Measured, balance: Balance, width: int
) -> tuple[list[Tensor | None], StepRecord]:
    """Refuses, skips or passes on what is not finite, and weighs the rest."""
    step, skipped = measured.step, measured.withheld
    nothing: list[Tensor | None] = [None] * width
    squares = dict(zip(step.present, step.gram.diagonal().tolist(), strict=True))
    bad_losses = {task: loss for task, loss in (measured.losses or {}).items() if not math.isfinite(loss)}
    broken = tuple(task for task, square in squares.items() if task in bad_losses or not math.isfinite(square))
    if broken:
        # No smaller loss scale mends a loss of NaN whose gradient is zero: it is a mean over nothing.
        hopeless = any(math.isnan(loss) and squares[task] == 0.0 for task, loss in bad_losses.items())
        if balance.on_nonfinite_gradient == "raise" or (balance.on_nonfinite == "raise" and hopeless):
            raise NonFiniteGradientError(broken, bad_losses)
        if balance.on_nonfinite_gradient == "propagate":  # the NaN it promises; the weighting's state never sees it
            nan = step.gram.new_full((len(step.present),), torch.nan)
            return _weighted(rows, gradients, step, nan, nothing)
        skipped = tuple(task for task in step.tasks if task in broken or task in skipped)
        step = _without(step, [task not in broken for task in step.present])
        if rows:  # where all are skipped, the encoder receives zeros
            nothing = [_zero(column) for column in zip(*rows.values(), strict=True)]
        kept = [task not in broken for task in rows]
        rows = {task: row for task, row in rows.items() if task not in broken}
        gradients = gradients.only(kept) if rows and gradients else None
    if not step.present:
        return nothing, record(step.tasks, (), step.gram.new_zeros(0), step.gram, skipped)
    _check_told(step, measured, balance)
    if gradients and getattr(balance.weighting, "needs_rows", False):
        return _row_by_row(gradients, step, balance, skipped)
    weights = _reused_or_new(balance, step)
    zeros = [task for task in step.present if squares[task] == 0.0]
    if 0 < len(zeros) < len(step.present) and float(weights @ step.gram @ weights) <= 0.0:
        balance.checks.stands_still(one_line(balance.weighting), zeros, told=measured.losses is not None)
    return _weighted(rows, gradients, step, weights, nothing, skipped=skipped)


def _check_told(step: Step, measured: Measured, balance: Balance) -> None:
    """Says whose loss a weighting lacks, where others' are known."""
    if step.losses is None and measured.losses and getattr(balance.weighting, "needs_losses", False):
        missing = [task for task in step.present if task not in measured.losses]
        raise ValueError(
            f"{one_line(balance.weighting)} needs the losses and a gradient of task {missing[0]!r} arrived whose loss "
            f"was not among those summed, expected fan.sum(losses) with the loss of every task that z is used for"
        )


def _reused_or_new(balance: Balance, step: Step) -> Tensor:
    held = balance.reuse.held(step.present)
    if held is not None:
        return torch.tensor(held, dtype=step.gram.dtype)
    weights = stretched(weights_of(balance.weighting, step), step.gram, balance.length)
    weights = balance.ranks.agree(weights)
    balance.reuse.keep(step.present, weights)
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
    weights = step.gram.new_full((len(step.present),), torch.nan) if weights is None else weights.to(step.gram)
    if balance.length is not None:
        own = vector.double().square().sum() / (step.scale or 1.0) ** 2
        factor = length_factor(own.to(step.gram), step.gram, step.gram.new_zeros(()))
        vector, weights = vector * factor.to(vector), weights * factor
    return gradients.split(vector), record(step.tasks, step.present, weights, step.gram, skipped)


def _is_blind(balance: Balance, rows: Mapping[str, Row], context: StepContext) -> bool:
    """Whether nothing needs to be known on the host."""
    weighting = balance.weighting
    return (
        not balance.ranks.active  # they have to agree on who took part and, where weights are drawn, on the weights
        and balance.on_nonfinite_gradient == "propagate"
        and balance.reuse.every == 1
        and not getattr(weighting, "needs_gram", True)
        and not getattr(weighting, "needs_losses", False)
        and not getattr(weighting, "needs_rows", False)
        # A gradient whose loss nobody told may be zeros that stand for none.
        and (context.losses is None or all(task in context.losses for task in rows))
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
