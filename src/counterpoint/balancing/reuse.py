"""Weights that are kept for a few steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class Reuse:
    """Counts steps, and holds weights for a few of them.

    Weights belong to the set of tasks they were computed for: those of two solutions are not mixed.

    Attributes:
        last: The weight that each task had last, for a layer that adds gradients up before it has seen all.

    Args:
        every: New weights for the same tasks every n-th step; 1 for each.

    Raises:
        ValueError: if ``every`` is not a positive integer.
    """

    def __init__(self, every: int) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every={every!r}, expected a positive integer: new weights every n-th step")
        self.every = every
        self.last: dict[str, float] = {}
        self._steps = 0
        self._held: dict[tuple[str, ...], tuple[int, list[float]]] = {}

    def held(self, present: Sequence[str]) -> list[float] | None:
        """The weights to use again, or ``None`` if it is time for new ones."""
        made, weights = self._held.get(tuple(present), (-self.every, []))
        return weights if self._steps - made < self.every else None

    def keep(self, present: Sequence[str], weights: Tensor) -> None:
        """Holds new weights. Call :meth:`step` at the end of each step."""
        if self.every > 1:
            self._held = {tasks: kept for tasks, kept in self._held.items() if self._steps - kept[0] < self.every}
            self._held[tuple(present)] = self._steps, weights.tolist()

    def step(self) -> None:
        """Counts a step."""
        self._steps += 1

    def state(self) -> dict[str, object]:
        """What a checkpoint keeps."""
        held = [(list(tasks), *kept) for tasks, kept in self._held.items()]
        return {"steps": self._steps, "held": held, "last": dict(self.last)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on."""
        self._steps = state["steps"]
        self.last = dict(state.get("last", {}))
        self._held = {tuple(tasks): (made, list(weights)) for tasks, made, weights in state["held"]}
