"""From task gradients to one update: measure, weigh, sum, record."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from counterpoint.balancing.gram import TaskGradients
from counterpoint.balancing.step_record import NonFiniteGradientError, StepRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from counterpoint.balancing.weightings.weighting import Weighting

OnNonfinite = Literal["raise", "skip", "propagate"]
Row = tuple[Tensor | None, ...]


def combine(
    rows: Mapping[str, Row],
    weighting: Weighting | Callable[[Tensor], Tensor],
    tasks: Sequence[str],
    on_nonfinite: OnNonfinite,
) -> tuple[list[Tensor | None], StepRecord]:
    """Weighs task gradients and sums them.

    Args:
        rows: For each task its gradient with respect to each of n tensors; ``None`` where it was not computed. A task
            with nothing but ``None`` took no part and is left out.
        weighting: Gram matrix in, weights out.
        tasks: All T tasks, for the record.
        on_nonfinite: See :class:`~counterpoint.FanOut`.

    Returns:
        The weighted sum for each of the n tensors (``None`` where no task has a gradient), and the record.

    Raises:
        NonFiniteGradientError: if ``on_nonfinite`` is ``"raise"`` and a gradient is not finite.
        ValueError: if the weighting does not return one finite number a task.
    """
    width = len(next(iter(rows.values())))
    rows = {task: row for task, row in rows.items() if any(gradient is not None for gradient in row)}
    if not rows:  # every head stopped its gradient
        nothing = torch.zeros(0, dtype=torch.float64)
        return [None] * width, _record(tuple(tasks), (), nothing, nothing.reshape(0, 0), ())
    columns = list(zip(*rows.values(), strict=True))
    gradients = TaskGradients(list(rows.values()))
    skipped: tuple[str, ...] = ()
    device = next(gradient.device.type for column in columns for gradient in column if gradient is not None)
    with torch.no_grad(), _full_precision(device):
        if on_nonfinite == "propagate" and not getattr(weighting, "needs_gram", True):
            gram = gradients.gram()  # nobody looks at it: it stays on its device, nothing waits
            weights = _weights(weighting, gram)
        else:
            gram = gradients.gram_on_host()
            finite = [math.isfinite(square) for square in gram.diagonal().tolist()]
            if not all(finite):
                broken = tuple(task for task, good in zip(rows, finite, strict=True) if not good)
                if on_nonfinite == "raise":
                    raise NonFiniteGradientError(broken)
                if on_nonfinite == "skip":
                    skipped = broken
                    rows = {task: row for task, row in rows.items() if task not in broken}
                    gram = gram[finite][:, finite]
                    gradients = TaskGradients(list(rows.values())) if rows else gradients
            if rows and (skipped or all(finite)):
                weights = _weights(weighting, gram)
            else:  # nothing to weigh, or the NaN that "propagate" promises
                weights = gram.new_full((len(rows),), torch.nan)
        combined = gradients.weighted_sum(weights) if rows else [_zero(column) for column in columns]
        return combined, _record(tuple(tasks), tuple(rows), weights, gram, skipped)


@contextlib.contextmanager
def _full_precision(device: str) -> Iterator[None]:
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


def _weights(weighting: Weighting | Callable[[Tensor], Tensor], gram: Tensor) -> Tensor:
    weights = torch.as_tensor(weighting(gram)).detach().to(gram.dtype)
    if weights.shape != gram.shape[:1]:
        raise ValueError(
            f"weighting {weighting!r} returned shape {list(weights.shape)}, expected [{len(gram)}], one weight for "
            "each task that took part in this backward pass"
        )
    if weights.device.type == "cpu" and not all(map(math.isfinite, weights.tolist())):
        raise ValueError(f"weighting {weighting!r} returned {weights.tolist()}, expected finite weights")
    return weights


def _zero(column: Sequence[Tensor | None]) -> Tensor | None:
    return next((torch.zeros_like(gradient) for gradient in column if gradient is not None), None)


def _record(
    tasks: tuple[str, ...], used: tuple[str, ...], weights: Tensor, gram: Tensor, skipped: tuple[str, ...]
) -> StepRecord:
    if used == tasks:
        return StepRecord(tasks, weights, gram, skipped)
    positions = torch.tensor([tasks.index(task) for task in used], dtype=torch.long)
    all_weights = weights.new_zeros(len(tasks))
    all_weights[positions] = weights
    full = gram.new_full((len(tasks), len(tasks)), torch.nan)
    full[positions[:, None], positions] = gram
    absent = tuple(task for task in tasks if task not in used and task not in skipped)
    return StepRecord(tasks, all_weights, full, skipped, absent)
