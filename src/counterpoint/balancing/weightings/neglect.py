"""Saying once that nobody calls what a weighting needs to learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from counterpoint.balancing.notice import notice
from counterpoint.balancing.weightings.weighting import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from counterpoint.balancing.weightings.weighting import Weighting

# More micro-batches than anybody gathers for one step of an optimizer; and an epoch is longer than a step.
_STEPS, _STEPS_OF_EPOCH = 64, 100


class Neglect:
    """Counts training steps until a sign that somebody looks after a weighting, or warns once that nobody does.

    A step costs an addition; the values of learned parameters are compared once.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._over = False
        self._start: list[Tensor] = []

    def heard(self) -> None:
        """Somebody called: there is nothing to watch any more."""
        self._over = True

    def step(self, weighting: Weighting, learned: Sequence[Tensor]) -> None:
        """Counts a step, before its weights are computed.

        Args:
            weighting: Who is watched, in training mode.
            learned: Its parameters that an optimizer is to train.
        """
        calls = weighting.needs_reevaluation or weighting.needs_epoch_ended
        if self._over or weighting.looked_after or not (learned or calls):
            return
        if not self._steps:
            # Values, not version counters: some optimizers write through .data, which those do not see.
            self._start = [parameter.detach().clone() for parameter in learned]
        self._steps += 1
        if self._steps > (_STEPS_OF_EPOCH - 1 if weighting.needs_epoch_ended else _STEPS):
            self._over = True
            if calls or self._unmoved(learned):
                notice(f"{one_line(weighting)} {self._advice(weighting)}")
            self._start = []

    def _unmoved(self, learned: Sequence[Tensor]) -> bool:
        return len(learned) == len(self._start) and all(
            torch.equal(now, before.to(now)) for now, before in zip(learned, self._start, strict=True)
        )

    def _advice(self, weighting: Weighting) -> str:
        if weighting.needs_reevaluation:
            return (
                f"has not heard how losses change in {_STEPS} steps and learns nothing, expected a call of "
                "fan.weighting.reevaluated(losses) after each optimizer step, {task: loss} of the same batch once more"
            )
        if weighting.needs_epoch_ended:
            return (
                f"has not heard of the end of an epoch in {_STEPS_OF_EPOCH} steps, expected a call of "
                "fan.weighting.epoch_ended() after each epoch: until the second one all tasks weigh alike. If your "
                "first epoch is longer and you call it, all is well"
            )
        return (
            f"has parameters that have not moved in {_STEPS} steps, so it learns nothing, expected them in the "
            "optimizer: [*model.parameters(), *fan.weighting.parameters()]; fan.weighting.requires_grad_(False) "
            "freezes them without this warning"
        )
