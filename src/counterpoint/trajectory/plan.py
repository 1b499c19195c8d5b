"""How a loss is evaluated: at once or in chunks, keeping graphs or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from counterpoint.trajectory.derivatives import gradient
from counterpoint.trajectory.memory import measured
from counterpoint.trajectory.parameters import add
from counterpoint.trajectory.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterpoint.trajectory.derivatives import Order, Parts
    from counterpoint.trajectory.evaluation import Evaluation
    from counterpoint.trajectory.memory import Need
    from counterpoint.trajectory.parameters import Vector

Loss = Any  # a closure, a Probe, or a scalar tensor with its graph


@dataclass(frozen=True)
class Plan:
    """The mean over rows, chunk by chunk.

    Attributes:
        closures: One a chunk.
        shares: Of each chunk in the mean; they sum to 1.
        keep: Whether graphs are kept for more than one pass.
    """

    closures: tuple[Callable[[], Any], ...]
    shares: tuple[float, ...]
    keep: bool

    def gradients(self, evaluation: Evaluation, order: Order) -> list[tuple[float, Parts | None]]:
        """Those of all chunks, each with its share.

        Raises:
            ValueError: if the loss depends on none of the parameters.
        """
        found = [self.gradient(evaluation, index, order)[1:] for index in range(len(self.closures))]
        if all(parts is None for _, parts in found):
            raise evaluation.unconnected()
        return found

    def gradient(self, evaluation: Evaluation, index: int, order: Order) -> tuple[float, float, Parts | None]:
        """Loss, share and gradient of one chunk."""
        loss = evaluation.loss(self.closures[index], rewind=index == 0)
        parts = gradient(loss, evaluation.parameters.tensors, order=order, keep=self.keep)
        return float(loss.detach()), self.shares[index], parts

    def mean_gradient(self, evaluation: Evaluation) -> tuple[float, Vector]:
        """The loss and its gradient.

        Raises:
            ValueError: if the loss depends on none of the parameters.
        """
        total, mean, connected = 0.0, evaluation.parameters.zeros(), False
        for index in range(len(self.closures)):
            loss, share, parts = self.gradient(evaluation, index, 1)
            total += share * loss
            if parts is not None:
                connected = True
                add(mean, parts, share)
        if not connected:
            raise evaluation.unconnected()
        return total, mean

    def value(self, evaluation: Evaluation) -> float:
        """The loss, without a graph."""
        losses = (
            evaluation.loss(closure, rewind=index == 0, graph=False) for index, closure in enumerate(self.closures)
        )
        return sum(share * float(loss) for share, loss in zip(self.shares, losses, strict=True))


def planned(loss: Loss, evaluation: Evaluation) -> Plan:
    """How to evaluate what the user gave.

    Args:
        loss: A closure, a probe, or a scalar tensor with its graph.
        evaluation: Which is under way.

    Raises:
        TypeError: if it is none of these.
    """
    evaluation.look_again()
    order = evaluation.order
    if isinstance(loss, Tensor):
        return Plan((lambda: loss,), (1.0,), keep=True)
    if not isinstance(loss, Probe):
        if not callable(loss):
            raise TypeError(
                f"{evaluation.blame} is a {type(loss).__name__}, expected a closure that returns a scalar tensor, "
                "a Probe, or a scalar tensor with its graph"
            )
        return Plan((loss,), (1.0,), keep=order > 1)

    if order == 1:
        return _chunked(loss, rows_at_once(loss, evaluation), keep=False)
    need = _need(loss, evaluation)
    most = need.rows(loss.memory) if loss.fixed_rows is None else loss.fixed_rows
    graphs = -(-loss.rows // most)
    return _chunked(loss, most, keep=need.of(loss.rows, graphs) <= loss.memory)


def rows_at_once(probe: Probe, evaluation: Evaluation) -> int:
    """How many rows of a loss may be in a chunk."""
    return probe.fixed_rows or _need(probe, evaluation).rows(probe.memory)


def _need(probe: Probe, evaluation: Evaluation) -> Need:
    def run(part: Probe) -> object:
        loss = evaluation.loss(part, rewind=True)
        twice = evaluation.order > 1
        return loss, gradient(loss, evaluation.parameters.tensors, order=2, keep=True) if twice else None

    return measured(probe, run, lambda: evaluation.known)


def _chunked(probe: Probe, most: int, *, keep: bool) -> Plan:
    parts = probe.chunks(most)
    return Plan(tuple(parts), tuple(part.rows / probe.rows for part in parts), keep)
