"""Balanced gradients where gradients are compared at the encoder's output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.balancing.combine import Balance, Told, combine
from counterpoint.balancing.task_gradients import Differentiator, Row, add_to_grad

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.balancing.step_record import StepRecord


def at_features(
    losses: Mapping[str, Tensor], features: Sequence[Tensor], balance: Balance, told: Told, *, weighted: bool
) -> StepRecord:
    """One pass through each head, then one through the encoder."""
    balance.ranks.meet()
    differentiator = Differentiator.of(losses, features, stops=features)
    rows: dict[str, Row] = {}
    own: dict[str, Row] = {}
    for task in losses:
        # Under DDP the heads get a pass of their own below, with hooks.
        rows[task], own[task] = differentiator.row(task, with_own=not balance.ranks.active)
    combined, record = combine(rows, balance, told)
    weights = dict(zip(record.tasks, record.weights.tolist(), strict=True))
    factors = {task: weights[task] if weighted else 1.0 for task in losses if task not in record.skipped}
    if balance.ranks.active:
        differentiator.backward_through_heads(factors)
    else:
        for task, factor in factors.items():
            add_to_grad(differentiator.own[task], own[task], factor)
    seeds = [
        torch.zeros_like(z) if own_part is None else own_part
        for z, own_part in zip(features, _padded(combined, features), strict=True)
    ]
    torch.autograd.backward(list(features), seeds)
    return record


def _padded(combined: list[Tensor | None], features: Sequence[Tensor]) -> list[Tensor | None]:
    """A rank without any labels has nothing to combine, and goes backward with zeros."""
    return combined or [None] * len(features)
