"""When to look at something in a training, and how."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import lightning

    from counterpoint.training.budget import Budget
    from counterpoint.training.clock import Clock
    from counterpoint.training.probing import Found
    from counterpoint.training.schedule import Schedule

    Module = lightning.LightningModule


class Looks:
    """When to look at something, and how.

    Args:
        name: Of what is looked at.
        schedule: At which steps.
        budget: How much time it may take.
        measure: What does it.

    Attributes:
        at: The step of the last look, -1 before the first.
        asked: The last step at which the budget was asked.
        passed: The last step that the schedule was asked about.
    """

    def __init__(
        self,
        name: str,
        schedule: Schedule,
        budget: Budget,
        measure: Callable[[lightning.Trainer, Module], list[Found]],
    ) -> None:
        self.name, self.schedule, self.budget, self.measure = name, schedule, budget, measure
        self.at = -1
        self.asked = -1
        self.passed = 0
        self._planned: tuple[object, tuple[int, ...]] = (None, ())

    def wanted(self, step: int, clock: Clock, projected: float, *, last: bool) -> bool:
        """Whether to look now; if so, this is the step of the last look.

        Args:
            step: The step.
            clock: The training's.
            projected: Seconds that the whole training takes, without looks.
            last: Whether nothing is left after this.
        """
        # A step may end an epoch, and the training, too; what was refused is asked once more when nothing is left.
        if self.at == step or (self.asked == step and not last):
            return False
        if self.asked == step:
            self.budget.thinned -= 1  # the answer from now counts
        self.asked = step
        if not self.budget.allows(left=1 if last else self._left(step, clock), projected=projected):
            return False
        self.at = step
        return True

    def _left(self, step: int, clock: Clock) -> int:
        """Looks that are left, with the one at this step."""
        if clock.length is None:
            return 1
        if self._planned[0] != clock.length:
            self._planned = clock.length, self.schedule.planned(clock.length.steps, clock.length.steps_per_epoch)
        steps = self._planned[1]
        return max(1, len(steps) - bisect_left(steps, step))
