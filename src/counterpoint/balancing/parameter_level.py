"""Balanced gradients where gradients are compared at the shared parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from counterpoint.balancing.combine import Balance, Told, combine, record, weigh
from counterpoint.balancing.gram import TaskGradients
from counterpoint.balancing.ranks import Ranks
from counterpoint.balancing.step import Step
from counterpoint.balancing.task_gradients import Differentiator, Row, add_to_grad

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.balancing.step_record import StepRecord

Memory = Literal["store", "recompute"]


def at_parameters(
    losses: Mapping[str, Tensor],
    shared: Sequence[Tensor],
    features: Sequence[Tensor],
    balance: Balance,
    told: Told,
    *,
    weighted: bool,
    plan: tuple[Memory, int | None],
) -> StepRecord:
    """T passes through the encoder, or more with less memory; one, where weights are used again."""
    differentiator = Differentiator.of(losses, shared, features)
    present, told = _over_ranks(losses, balance, told)
    alone = Balance(balance.weighting, balance.tasks, balance.on_nonfinite, Ranks(None), balance.reuse)
    held = balance.reuse.held(present)
    combined: list[Tensor | None] | None = None
    own: dict[str, Row] = {}
    if held is not None:
        balance.reuse.step()
        weights = torch.tensor(held, dtype=torch.float64)
        unknown = weights.new_full((len(held), len(held)), torch.nan)
        taken = record(balance.tasks, present, weights, unknown, ())
    elif plan[0] == "store":
        rows, own = differentiator.rows() if losses else ({}, {})
        if balance.ranks.active:
            rows = {task: tuple(balance.ranks.mean(rows.get(task, [None] * len(shared)), shared)) for task in present}
        combined, taken = combine(rows, alone, told)
        rows.clear()
    else:
        gram, own = _gathered(differentiator, present, balance.ranks, plan[1])
        scale = float(told.scale)
        values = None
        if told.losses is not None and present:
            values = torch.stack([told.losses[task].reshape(()).to("cpu", torch.float64) for task in present])
        step = Step(balance.tasks, present, gram / scale**2, values, scale)
        _, taken = weigh({}, None, step, alone, 0)
    if balance.ranks.active:
        taken = _agreed(taken, balance.ranks)
        _backward_with_hooks(differentiator, taken, weighted=weighted)
        return taken
    weights_by_task = _usable(taken, losses)
    if combined is None:
        combined = list(differentiator.weighted(shared, weights_by_task)) if weights_by_task else [None] * len(shared)
    add_to_grad(shared, combined)
    for task, weight in weights_by_task.items():
        gradients = own[task] if task in own else _own(differentiator, task)
        add_to_grad(differentiator.own[task], gradients, weight if weighted else 1.0)
    return taken


def _usable(taken: StepRecord, losses: Mapping[str, Tensor]) -> dict[str, float]:
    weights = dict(zip(taken.tasks, taken.weights.tolist(), strict=True))
    return {task: weights[task] for task in losses if task not in taken.skipped}


def _own(differentiator: Differentiator, task: str) -> Row:
    leaves = differentiator.own[task]
    if not leaves:
        return ()
    return torch.autograd.grad(differentiator.losses[task], leaves, retain_graph=True, allow_unused=True)


def _gathered(
    differentiator: Differentiator, present: Sequence[str], ranks: Ranks, max_bytes: int | None
) -> tuple[Tensor, dict[str, Row]]:
    """The Gram matrix from a few task gradients at a time: a block is kept, and the later tasks pass by one by one."""
    shared = differentiator.shared
    one = sum(tensor.numel() * tensor.element_size() for tensor in shared)
    budget = 2 * one if max_bytes is None else max_bytes
    if budget < 2 * one:
        raise ValueError(f"max_bytes={max_bytes}, expected at least {2 * one}, the size of two task gradients")
    block = min(len(present), max(1, budget // one - 1))
    own: dict[str, Row] = {}

    def row_of(task: str) -> Row:
        if task not in differentiator.losses:  # labels on other ranks only
            return tuple(ranks.mean([None] * len(shared), shared))
        row, gradients = differentiator.row(task, with_own=task not in own)
        own.setdefault(task, gradients)
        return tuple(ranks.mean(row, shared)) if ranks.active else row

    gram = torch.zeros(len(present), len(present), dtype=torch.float64)
    for start in range(0, len(present), block):
        stop = min(start + block, len(present))
        kept = TaskGradients([row_of(task) for task in present[start:stop]])
        gram[start:stop, start:stop] = kept.gram_on_host()
        for later in range(stop, len(present)):
            gram[start:stop, later] = gram[later, start:stop] = kept.products_with(row_of(present[later]))
        del kept
    return gram, own


def _over_ranks(losses: Mapping[str, Tensor], balance: Balance, told: Told) -> tuple[tuple[str, ...], Told]:
    """The tasks that have labels on any rank, and their losses, averaged."""
    if not balance.ranks.active:
        return tuple(losses), told
    means = balance.ranks.mean_by_task(told.losses or {}, balance.tasks)
    return tuple(means), Told(means, told.scale)


def _agreed(taken: StepRecord, ranks: Ranks) -> StepRecord:
    return replace(taken, weights=ranks.agree(taken.weights))


def _backward_with_hooks(differentiator: Differentiator, taken: StepRecord, *, weighted: bool) -> None:
    """An ordinary backward pass with the weights of all ranks: DDP averages what it leaves in ``.grad``."""
    weights = _usable(taken, differentiator.losses)
    differentiator.backward_through_heads({task: weight if weighted else 1.0 for task, weight in weights.items()})
    outputs = [differentiator.losses[task] for task in weights]
    seeds = [torch.full_like(loss, weight) for loss, weight in zip(outputs, weights.values(), strict=True)]
    # Shared parameters that no task of this rank uses get zeros: the other ranks wait for them.
    zeros = [(tensor * 0.0).sum() for tensor in differentiator.shared]
    torch.autograd.backward(
        [*outputs, *zeros], [*seeds, *(torch.ones_like(zero) for zero in zeros)], inputs=list(differentiator.shared)
    )
