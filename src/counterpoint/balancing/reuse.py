"""Weights that are kept: for a few backward passes, or for all uses of a layer in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class Reuse:
    """Counts backward passes, and holds weights for a few of them.

    Weights belong to the set of tasks they were computed for: those of two solutions are not mixed.

    Attributes:
        last: The weight that each task had last, for a layer that adds gradients up before it has seen all.

    Args:
        every: New weights for the same tasks every n-th backward pass; 1 for each.

    Raises:
        ValueError: if ``every`` is not a positive integer.
    """

    def __init__(self, every: int) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every={every!r}, expected a positive integer: new weights every n-th step")
        self.every = every
        self.last: dict[str, float] = {}
        self._passes = -1  # the number of the running one
        self._running: object = None
        self._once = False
        self._held: dict[tuple[str, ...], tuple[int, list[float]]] = {}
        self._of_this_pass: dict[str, float] = {}

    def begin(self, running: object = None, *, once: bool = False) -> None:
        """Counts a backward pass; several uses of a layer in one count once.

        Args:
            running: Which backward pass this is; ``None`` for one of its own.
            once: Whether a weighting is asked once a pass, because it learns when it is asked.
        """
        if running is None or running != self._running:
            self._passes += 1
            self._of_this_pass = {}
        self._running, self._once = running, once

    def held(self, present: Sequence[str]) -> list[float] | None:
        """The weights to use again, or ``None`` if it is time for new ones."""
        if self._once and present and all(task in self._of_this_pass for task in present):
            return [self._of_this_pass[task] for task in present]
        made, weights = self._held.get(tuple(present), (-self.every, []))
        return weights if self._passes - made < self.every and self.every > 1 else None

    def keep(self, present: Sequence[str], weights: Tensor) -> None:
        """Holds new weights."""
        if self._once:
            self._of_this_pass.update(zip(present, weights.tolist(), strict=True))
        if self.every > 1:
            self._held = {tasks: kept for tasks, kept in self._held.items() if self._passes - kept[0] < self.every}
            self._held[tuple(present)] = self._passes, weights.tolist()

    def state(self) -> dict[str, object]:
        """What a checkpoint keeps."""
        held = [(list(tasks), *kept) for tasks, kept in self._held.items()]
        return {"steps": self._passes + 1, "held": held, "last": dict(self.last)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on."""
        self._passes = state["steps"] - 1
        self.last = dict(state.get("last", {}))
        self._held = {tuple(tasks): (made, list(weights)) for tasks, made, weights in state["held"]}

    def __getstate__(self) -> dict[str, Any]:
        """Without the backward pass that is running."""
        return self.__dict__ | {"_running": None, "_of_this_pass": {}}
