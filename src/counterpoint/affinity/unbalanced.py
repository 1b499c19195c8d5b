"""FanOut layers that let gradients through as they are, while affinity is measured."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from counterpoint.balancing import Uniform
from counterpoint.balancing.combine import Balance, StepContext, combine
from counterpoint.balancing.fan_node import FanOutFunction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from counterpoint.balancing import FanOut, StepRecord
    from counterpoint.balancing.fan_node import Use
    from counterpoint.balancing.graph import Node


class _PlainSum:
    """What a FanOut's node calls in backward: the plain sum, nothing remembered, no other rank waited for.

    A single task's gradient must reach the parameters unweighted, and neither ``fan.last`` nor a weighting that learns
    may take it for a training step.
    """

    def __init__(self, fan: FanOut) -> None:
        self.tasks = fan.tasks
        self.handle = fan.handle

    def balance(self) -> Balance:
        """The plain sum, of gradients as they are."""
        return Balance(Uniform(), self.tasks, "propagate")

    def combine(
        self,
        node: object,  # noqa: ARG002
        use: Use,
        gradients: Sequence[Tensor | None],
    ) -> tuple[list[Tensor | None], StepRecord]:
        """Sums the gradients."""
        if use.arrivals is not None:
            return use.arrivals.close(self.balance(), StepContext())
        rows = {name: tuple(gradients[at * use.width : (at + 1) * use.width]) for at, name in enumerate(use.names)}
        combined, record = combine(rows, self.balance(), StepContext())
        return combined or [None] * use.width, record

    def set_context(self, context: StepContext, *, withhold: bool = True) -> StepContext:  # noqa: ARG002
        """Nothing is to be known."""
        return context


@contextlib.contextmanager
def unbalanced(nodes: Iterable[Node]) -> Iterator[None]:
    """Within it, backward passes go through FanOut layers among these nodes as through an identity."""
    nodes = [node for node in nodes if is_fan(node)]
    layers = [node.layer for node in nodes]
    for node, layer in zip(nodes, layers, strict=True):
        node.layer = _PlainSum(layer)
    try:
        yield
    finally:
        for node, layer in zip(nodes, layers, strict=True):
            node.layer = layer


def is_fan(node: Node) -> bool:
    """Whether a node of a graph is where a FanOut makes its copies; the one that sums losses is not."""
    return getattr(node, "_forward_cls", None) is FanOutFunction


def nodes_of(losses: Iterable[Tensor]) -> set[Node]:
    """All nodes of the losses' graphs."""
    seen: set[Node] = set()
    stack = [loss.grad_fn for loss in losses if loss.grad_fn is not None]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        stack.extend(child for child, _ in node.next_functions if child is not None)
    return seen
