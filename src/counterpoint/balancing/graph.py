"""Which leaves a loss depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor

Node = Any  # torch.autograd.graph.Node; nodes written in C++ are no instances of it
Edge = tuple[Node, int]  # one of a node's outputs: chunk() makes several tensors with one node


class Leaves:
    """Finds the leaves of losses, apart from those that are shared.

    Edges below which there is nothing but shared leaves are remembered, so that the graph of the encoder is walked
    through once rather than once a task.

    Args:
        shared: Leaves to leave out.
        stops: Tensors beyond which nothing is looked for: the features.
    """

    def __init__(self, shared: Collection[Tensor], stops: Sequence[Tensor] = ()) -> None:
        self._excluded = {id(tensor) for tensor in (*shared, *stops)}
        self._stops: set[Edge] = {(stop.grad_fn, stop.output_nr) for stop in stops if stop.grad_fn is not None}
        self._barren: dict[Node, bool] = {}

    def of(self, loss: Tensor) -> list[Tensor]:
        """The leaves that require gradients and that ``loss`` depends on, in a fixed order."""
        if loss.grad_fn is None or (loss.grad_fn, loss.output_nr) in self._stops:
            return []
        found: dict[int, Tensor] = {}
        seen: set[Node] = set()
        stack: list[tuple[Node, bool]] = [(loss.grad_fn, False)]
        while stack:
            node, done = stack.pop()
            edges = [edge for edge in node.next_functions if edge[0] is not None]
            children = [child for child, output in edges if (child, output) not in self._stops]
            if done:
                self._barren[node] = all(self._barren.get(child, False) for child in children)
                continue
            if node in seen or self._barren.get(node, False):
                continue
            seen.add(node)
            leaf = getattr(node, "variable", None)
            if leaf is not None and not edges:
                self._barren[node] = id(leaf) in self._excluded
                if not self._barren[node]:
                    found[id(leaf)] = leaf
                continue
            stack.append((node, True))
            stack.extend((child, False) for child in children)
        return list(found.values())
