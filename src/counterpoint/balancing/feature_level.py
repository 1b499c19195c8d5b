"""Balanced gradients where gradients are compared at the encoder's output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from counterpoint.balancing.blockwise import BlockwiseGram
from counterpoint.balancing.combine import Balance, StepContext, combine, measure, weigh
from counterpoint.balancing.task_gradients import FeatureGradients, add_to_grad, backward_through_heads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from counterpoint.balancing.blockwise import Plan
    from counterpoint.balancing.combine import Row
    from counterpoint.balancing.step_record import StepRecord

# What is to go down to the encoder, the record, and the heads' gradients.
_Done = tuple["Sequence[Tensor | None]", "StepRecord", "dict[str, Row]"]


def at_features(
    gradients: FeatureGradients, balance: Balance, context: StepContext, *, weighted: bool, plan: Plan
) -> StepRecord:
    """One pass through each head, or more with less memory, then one through the encoder."""
    balance.ranks.meet()
    losses, features = gradients.losses, gradients.features
    if plan.memory == "store":
        combined, record, own = _stored(gradients, balance, context)
    else:
        combined, record, own = _recomputed(gradients, balance, context, plan.max_bytes)
    weights = dict(zip(record.tasks, record.weights.tolist(), strict=True))
    factors = {task: weights[task] if weighted else 1.0 for task in losses if task not in record.skipped}
    seeds = [
        torch.zeros_like(feature) if part is None else part
        # A rank without any labels has nothing to combine, and goes backward with zeros.
        for feature, part in zip(features, combined or [None] * len(features), strict=True)
    ]
    if balance.ranks.active:  # the heads get a pass of their own, for DDP's hooks
        backward_through_heads(losses, gradients.own, factors)
    else:
        for task, factor in factors.items():
            add_to_grad(gradients.own[task], own[task], factor)
    torch.autograd.backward(list(features), seeds)
    return record


def _stored(gradients: FeatureGradients, balance: Balance, context: StepContext) -> _Done:
    rows: dict[str, Row] = {}
    own: dict[str, Row] = {}
    for task in gradients.losses:
        rows[task], own[task] = gradients.row(task)
    return *combine(rows, balance, context), own


def _recomputed(gradients: FeatureGradients, balance: Balance, context: StepContext, max_bytes: int | None) -> _Done:
    """The same from a few gradients at a time and one weighted pass through the heads."""
    own: dict[str, Row] = {}

    def row_of(task: str) -> Row:
        row, heads = gradients.row(task, with_own=task not in own)
        own.setdefault(task, heads)
        return row

    tasks = tuple(gradients.losses)
    products = BlockwiseGram(row_of, tasks, gradients.features, max_bytes)
    measured = measure(tasks, products if tasks else None, balance, context)
    _, record = weigh({}, None, measured, balance, 0)  # no rows: the gradients themselves are gone
    weights = dict(zip(record.tasks, record.weights.tolist(), strict=True))
    combined = gradients.weighted({task: weights[task] for task in tasks if task not in record.skipped})
    return combined, record, own
