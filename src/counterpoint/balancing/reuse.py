"""Weights that are kept for a few steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Reuse:
    """Counts steps, and holds the weights of the last step that computed them, by task.

    Args:
        every: New weights every n-th step; 1 for each.

    Raises:
        ValueError: if ``every`` is not a positive integer.
    """

    def __init__(self, every: int) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every={every!r}, expected a positive integer: new weights every n-th step")
        self.every = every
        self._taken = 0
        self._held: dict[str, float] = {}

    def held(self, present: Sequence[str]) -> list[float] | None:
        """The weights to use again, or ``None`` if it is time for new ones or a task has none yet."""
        if self._taken % self.every == 0 or not all(task in self._held for task in present):
            return None
        return [self._held[task] for task in present]

    def keep(self, present: Sequence[str], weights: Tensor) -> None:
        """Holds new weights. Call :meth:`step` at the end of each step."""
        if self.every > 1:
            self._taken = 0
            self._held = dict(zip(present, weights.tolist(), strict=True))

    def step(self) -> None:
        """Counts a step."""
        self._taken += 1
