"""At which steps of a training something is looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Steps to look at: densely at the start, where things happen, then at the ends of epochs, and at the very end.

    Attributes:
        early: Whether to look at 0, 1, 2, 5, 10, 20, 50 and so on: 1, 2 and 5 times every power of ten.
        every_epochs: Epochs from one look at an epoch's end to the next; 0 for none.
        steps: More steps.

    Raises:
        ValueError: for negative numbers.

    Example:
        >>> Schedule().planned(200, steps_per_epoch=80)
        (0, 1, 2, 5, 10, 20, 50, 80, 100, 160, 200)
        >>> Schedule(early=False, every_epochs=0, steps=(0, 10)).planned(200)
        (0, 10, 200)
    """

    early: bool = True
    every_epochs: int = 1
    steps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.every_epochs < 0:
            raise ValueError(f"every_epochs is {self.every_epochs}, expected 0 or more")
        if any(step < 0 for step in self.steps):
            raise ValueError(f"steps are {list(self.steps)}, expected 0 or more each")

    def listed(self, step: int) -> bool:
        """Whether it looks at this step wherever epochs end."""
        return step in self.steps or (self.early and _early(step))

    def crossed(self, before: int, step: int) -> bool:
        """Whether it looks at this step, or at one that was passed over since ``before``."""
        return any(self.listed(passed) for passed in range(before + 1, step + 1))

    def ends(self, epochs: int) -> bool:
        """Whether it looks at the end of an epoch, given the number of epochs done."""
        return self.every_epochs > 0 and epochs % self.every_epochs == 0

    def planned(self, total: int, steps_per_epoch: int | None = None) -> tuple[int, ...]:
        """All steps to be looked at in a training of so many steps."""
        steps = {step for step in self.steps if step <= total} | {total}
        if self.early:
            powers = range(len(str(total)))
            steps |= {0} | {step for p in powers for n in (1, 2, 5) if (step := n * 10**p) <= total}
        if steps_per_epoch and self.every_epochs:
            steps |= set(range(steps_per_epoch * self.every_epochs, total + 1, steps_per_epoch * self.every_epochs))
        return tuple(sorted(steps))


def _early(step: int) -> bool:
    while step and step % 10 == 0:
        step //= 10
    return step in {0, 1, 2, 5}
