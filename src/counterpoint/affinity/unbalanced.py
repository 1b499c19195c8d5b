"""FanOut layers that let gradients through as they are, while affinity is measured."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from counterpoint.balancing import FanOut, Uniform
from counterpoint.balancing.combine import Balance, Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from counterpoint.balancing.graph import Node


class _PassingFan:
    """What a FanOut's node asks for in backward: the plain sum, nothing remembered, no other rank waited for.

    A single task's gradient must reach the parameters unweighted, and neither ``fan.last`` nor a weighting that learns
    may take it for a training step.
    """

    def __init__(self, fan: FanOut) -> None:
        self.tasks = fan.tasks
        self.last: object = None
        self.skipped: Counter[str] = Counter()
        self._balance = Balance(Uniform(), fan.tasks, "propagate")

    def _reached(self, *_: object) -> None:
        """Nothing ends."""

    def _told(self) -> Told:
        """Nothing is known."""
        return Told()

    def _forget(self) -> None:
        """Nothing to forget."""


@contextlib.contextmanager
def unbalanced(nodes: Iterable[Node]) -> Iterator[None]:
    """Within it, backward passes go through FanOut layers among these nodes as through an identity."""
    nodes = [node for node in nodes if is_fan(node)]
    layers = [node.fan for node in nodes]
    for node, layer in zip(nodes, layers, strict=True):
        node.fan = _PassingFan(layer)
    try:
        yield
    finally:
        for node, layer in zip(nodes, layers, strict=True):
            node.fan = layer


def is_fan(node: Node) -> bool:
    """Whether a node of a graph is where a FanOut makes its copies; the one that sums losses is not."""
    return isinstance(getattr(node, "fan", None), (FanOut, _PassingFan)) and hasattr(node, "features")
