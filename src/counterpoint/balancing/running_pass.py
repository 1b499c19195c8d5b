"""What is known of the backward pass that is running through a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from counterpoint.balancing.combine import StepContext

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from weakref import ref

    from torch import Tensor


class RunningPass:
    """The losses that sums have told since a backward pass began, and what they were multiplied by.

    A plain object beside the layer: a module looks closely at everything that is assigned to it.

    Attributes:
        first_copies: Of the latest use of the layer, by which its node is found.
        said: What has been warned of.
    """

    def __init__(self) -> None:
        self._context = StepContext()
        self._told_in = -1
        self._clears = True
        self._number = 0
        self.first_copies: list[ref[Tensor]] = []
        self.said: set[str] = set()

    def tell(self, context: StepContext, clear: Callable[[], None]) -> None:
        """Takes note of one sum of losses; those of one backward pass are merged.

        Args:
            context: What the sum tells.
            clear: Called when the backward pass ends: another one may be of a plain sum of losses.

        Raises:
            ValueError: for two sums in one backward pass that were multiplied by different numbers.
        """
        now = running()
        if self._context.losses is not None and self._told_in == now:
            self._context = _merged(self._context, context)
            return
        self._context, self._told_in = context, now
        self._number += 1
        try:
            torch.autograd.Variable._execution_engine.queue_callback(clear)  # noqa: SLF001
            self._clears = True
        except RuntimeError:  # compiled autograd runs outside of the engine
            self._clears = False

    def known(self, scale: Callable[[], float] | None) -> tuple[StepContext, Hashable]:
        """What was told, and which backward pass this is.

        Args:
            scale: What losses are multiplied by where no sum told it.
        """
        now = running()
        if self._context.losses is not None and (self._clears or self._told_in == now):
            # It may come from outside the running pass: a reentrant checkpoint runs one of its own inside.
            return self._context, ("told", self._number)
        self._context = StepContext()
        return (self._context if scale is None else StepContext(scale=scale())), now

    def clear(self) -> StepContext:
        """Forgets what was told, and returns it."""
        context = self._context
        if context.losses is not None:
            self._context = StepContext()
        return context

    def __getstate__(self) -> dict[str, object]:
        """Without what belongs to a backward pass that has not run."""
        return self.__dict__ | {"_context": StepContext(), "first_copies": []}


def running() -> int:
    """The number of the backward pass that is running; -1 outside."""
    return torch._C._current_graph_task_id()  # noqa: SLF001


def _merged(before: StepContext, context: StepContext) -> StepContext:
    """Two sums as one."""
    if float(before.scale) != float(context.scale):
        raise ValueError(
            f"two sums of losses in one backward pass, times {float(before.scale)} and {float(context.scale)}, "
            "expected the same factor for both: add the losses of each task and call fan.sum once"
        )
    losses: dict[str, Tensor] = dict(before.losses or {})
    told: Mapping[str, Tensor] = context.losses or {}
    for task, loss in told.items():
        losses[task] = losses[task] + loss if task in losses else loss
    return StepContext(losses, before.scale, tuple(dict.fromkeys((*before.withheld, *context.withheld))))
