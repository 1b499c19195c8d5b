"""Balanced gradients where gradients are compared at the encoder's output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.balancing.combine import Balance, Told, combine
from counterpoint.balancing.task_gradients import FeatureGradients, add_to_grad, backward_through_heads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.balancing.combine import Row
    from counterpoint.balancing.step_record import StepRecord


def at_features(
    losses: Mapping[str, Tensor], features: Sequence[Tensor], balance: Balance, told: Told, *, weighted: bool
) -> StepRecord:
    """One pass through each head, then one through the encoder."""
    balance.ranks.meet()
    gradients = FeatureGradients(losses, features)
    rows: dict[str, Row] = {}
    own: dict[str, Row] = {}
    for task in losses:
        rows[task], own[task] = gradients.row(task)
    combined, record = combine(rows, balance, told)
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
