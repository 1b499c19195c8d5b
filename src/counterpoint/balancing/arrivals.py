"""What is made of a task's gradient when it arrives at a FanOut, so that T of them need not wait for one another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.balancing.combine import combine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.balancing.combine import Balance, Row, StepContext
    from counterpoint.balancing.step_record import StepRecord


class Arrivals(ABC):
    """The tasks' gradients of one use of the layer, in the backward pass that is running.

    Args:
        like: The features' shapes, strides and dtypes: tensors without values.
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        self.like = like
        self.ties: list[Tensor] = []
        self._pass = -1

    def receive(self, task: str, row: Row, balance: Balance) -> None:
        """Takes one task's gradient with respect to each feature."""
        running = torch._C._current_graph_task_id()  # noqa: SLF001
        if running != self._pass:  # what an earlier backward pass left when it raised
            self._pass = running
            self.forget()
        arrived = [gradient for gradient in row if gradient is not None]
        if not arrived:
            return
        if torch.is_grad_enabled():  # create_graph=True: a thread by which the result hangs on this gradient
            self.ties += [gradient.flatten()[:0].sum() for gradient in arrived]
        with torch.no_grad():
            self.keep(task, row, balance)

    def close(self, balance: Balance, context: StepContext) -> tuple[list[Tensor | None], StepRecord]:
        """The balanced gradient of each feature and the record, once all have arrived."""
        if torch._C._current_graph_task_id() != self._pass:  # noqa: SLF001  (nothing arrived in this one)
            self.forget()
        try:
            return self.combined(balance, context)
        finally:
            self.forget()

    def forget(self) -> None:
        """Lets go of everything."""
        self.ties = []

    @abstractmethod
    def keep(self, task: str, row: Row, balance: Balance) -> None:
        """Keeps of the gradient what is needed."""

    @abstractmethod
    def combined(self, balance: Balance, context: StepContext) -> tuple[list[Tensor | None], StepRecord]:
        """As :meth:`close`."""


class Rounded(Arrivals):
    """Gradients wait in bfloat16: half the memory of fp32, the same exponents, 8 bits of precision instead of 24.

    Rounding moves a gradient by at most 2^-8 of its norm, hence inner products by 0.8 % of the norms' product, and the
    balanced gradient by at most 2^-8 times the sum of w_t ||g_t||. Sums are taken in fp32 and rounded to the features'
    dtype alone. Gradients of 16 bits are kept as they are.
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        super().__init__(like)
        self._rows: dict[str, Row] = {}

    def forget(self) -> None:
        """Lets go of everything."""
        super().forget()
        self._rows = {}

    def keep(self, task: str, row: Row, balance: Balance) -> None:  # noqa: ARG002
        """Rounds it."""
        self._rows[task] = tuple(None if gradient is None else _rounded(gradient) for gradient in row)

    def combined(self, balance: Balance, context: StepContext) -> tuple[list[Tensor | None], StepRecord]:
        """As without rounding, from what was kept."""
        rows = {task: self._rows[task] for task in balance.tasks if task in self._rows}
        combined, record = combine(rows, balance, context, dtypes=[feature.dtype for feature in self.like])
        sums = zip(combined or [None] * len(self.like), self.like, strict=True)
        return [None if own is None else own.to(like.dtype) for own, like in sums], record


def _rounded(gradient: Tensor) -> Tensor:
    return gradient if gradient.element_size() <= 2 else gradient.to(torch.bfloat16)
