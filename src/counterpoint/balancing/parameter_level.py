"""Balanced gradients where gradients are compared at the shared parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from counterpoint.balancing.blockwise import BlockwiseGram
from counterpoint.balancing.combine import Balance, StepContext, combine, measure, record, weigh
from counterpoint.balancing.ranks import Ranks
from counterpoint.balancing.step_record import StepRecord
from counterpoint.balancing.task_gradients import ParameterGradients, add_to_grad, backward_through_heads, seeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from counterpoint.balancing.blockwise import Plan
    from counterpoint.balancing.combine import Row


def at_parameters(
    gradients: ParameterGradients, balance: Balance, context: StepContext, *, weighted: bool, plan: Plan
) -> StepRecord:
    """T passes through the encoder, or more with less memory; one, where weights are used again."""
    present, context = _over_ranks(gradients, balance, context)
    done = _reused(gradients, present, balance)
    if done is None:
        # Rows are averaged over the ranks before they are combined: nothing is left to be summed.
        here = replace(balance, ranks=Ranks(None))
        if plan.memory == "store":
            done = _stored(gradients, present, balance.ranks, here, context)
        else:
            done = _recomputed(gradients, present, balance.ranks, here, context, max_bytes=plan.max_bytes)
    taken, combined, own = done
    if balance.ranks.active:
        taken = replace(taken, weights=balance.ranks.agree(taken.weights))
        _backward_with_hooks(gradients, taken, weighted=weighted)
        return taken
    weights = _usable(taken, gradients)
    heads = {task: own[task] if task in own else gradients.own_row(task) for task in weights}
    if combined is None:
        combined = gradients.weighted(weights)
    combined = gradients.as_arrived(combined, weights)
    add_to_grad(gradients.shared, combined, fresh=bool(own) and plan.memory == "store")
    for task, weight in weights.items():
        add_to_grad(gradients.own[task], heads[task], weight if weighted else 1.0)
    return taken


# The record, the combined gradient where it is known already, and the gradients of the heads that are.
_Done = tuple[StepRecord, "Sequence[Tensor | None] | None", "dict[str, Row]"]


def _reused(gradients: ParameterGradients, present: tuple[str, ...], balance: Balance) -> _Done | None:
    """The weights of an earlier call, if they are to be used again and nothing non-finite comes of it."""
    held = balance.reuse.held(present)
    if held is None:
        return None
    weights = dict(zip(present, held, strict=True))
    combined: Row | None = None
    finite = True
    if balance.ranks.active:
        losses = torch.tensor([float(not loss.isfinite()) for loss in gradients.losses.values()], dtype=torch.float64)
        finite = float(balance.ranks.sum(losses.sum().reshape(1))) == 0
    else:
        combined = gradients.weighted({task: weights[task] for task in gradients.losses}, last=False)
        finite = all(bool(part.isfinite().all()) for part in combined if part is not None)
    if not finite and balance.on_nonfinite != "propagate":
        return None  # somebody has to find out which task it is
    values = torch.tensor(held, dtype=torch.float64)
    unknown = values.new_full((len(held), len(held)), torch.nan)
    return record(balance.tasks, present, values, unknown, ()), combined, {}


def _stored(
    gradients: ParameterGradients, present: tuple[str, ...], ranks: Ranks, here: Balance, context: StepContext
) -> _Done:
    rows, own = gradients.rows(keep_graph=ranks.active) if gradients.losses else ({}, {})
    if ranks.active:
        shared = gradients.shared
        rows = {task: tuple(ranks.mean(rows.get(task, [None] * len(shared)), shared)) for task in present}
    combined, taken = combine(rows, here, context)
    if not taken.present:  # nothing took part: parameters without a gradient stay without
        combined = [None] * len(gradients.shared)
    return taken, combined, own


def _recomputed(
    gradients: ParameterGradients,
    present: tuple[str, ...],
    ranks: Ranks,
    here: Balance,
    context: StepContext,
    *,
    max_bytes: int | None,
) -> _Done:
    """The Gram matrix from a few task gradients at a time, and the heads' gradients."""
    shared = gradients.shared
    own: dict[str, Row] = {}

    def row_of(task: str) -> Row:
        if task not in gradients.losses:  # labels on other ranks only
            return tuple(ranks.mean([None] * len(shared), shared))
        row, heads = gradients.row(task, with_own=task not in own)
        own.setdefault(task, heads)
        return tuple(ranks.mean(row, shared)) if ranks.active else row

    products = BlockwiseGram(row_of, present, shared, max_bytes) if present else None
    _, taken = weigh({}, None, measure(present, products, here, context), here, 0)
    return taken, None, own


def _usable(taken: StepRecord, gradients: ParameterGradients) -> dict[str, float]:
    weights = dict(zip(taken.tasks, taken.weights.tolist(), strict=True))
    return {task: weights[task] for task in gradients.losses if task not in taken.skipped}


def _over_ranks(
    gradients: ParameterGradients, balance: Balance, context: StepContext
) -> tuple[tuple[str, ...], StepContext]:
    """The tasks that have labels on any rank, and their losses, averaged."""
    if not balance.ranks.active:
        return tuple(gradients.losses), context
    means = balance.ranks.mean_by_task(context.losses or {}, balance.tasks)
    return tuple(means), StepContext(means, context.scale)


def _backward_with_hooks(gradients: ParameterGradients, taken: StepRecord, *, weighted: bool) -> None:
    """An ordinary backward pass with the weights of all ranks: DDP averages what it leaves in ``.grad``."""
    weights = _usable(taken, gradients)
    factors = {task: weight if weighted else 1.0 for task, weight in weights.items()}
    backward_through_heads(gradients.losses, gradients.own, factors)
    outputs, seeds = seeded(gradients.losses, weights)
    # Shared parameters that no task of this rank uses get zeros: the other ranks wait for them.
    zeros = [(tensor * 0.0).sum() for tensor in gradients.shared]
    torch.autograd.backward(
        [*outputs, *zeros], [*seeds, *(torch.ones_like(zero) for zero in zeros)], inputs=list(gradients.shared)
    )
