"""Which leaves a loss depends on, and graphs that do not bear gradients of one task alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

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

    Attributes:
        functions: Nodes written in Python that were passed on the way.
    """

    def __init__(self, shared: Collection[Tensor], stops: Sequence[Tensor] = ()) -> None:
        self._excluded = {id(tensor) for tensor in (*shared, *stops)}
        self._stops: set[Edge] = {(stop.grad_fn, stop.output_nr) for stop in stops if stop.grad_fn is not None}
        self._barren: dict[Node, bool] = {}
        self.functions: list[Node] = []

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
            if hasattr(type(node), "_forward_cls"):
                self.functions.append(node)
            leaf = getattr(node, "variable", None)
            if leaf is not None and not edges:
                self._barren[node] = id(leaf) in self._excluded
                if not self._barren[node]:
                    found[id(leaf)] = leaf
                continue
            stack.append((node, True))
            stack.extend((child, False) for child in children)
        return list(found.values())


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


def is_reentrant(node: Node) -> bool:
    """Whether a node is a reentrant checkpoint: parameters within it are not in the graph, and seem to be unused."""
    return type(node).__name__ == "CheckpointFunctionBackward"


def check_reachable(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], whose: str) -> None:
    """Raises ValueError for a parameter without a gradient, where the graph holds a reentrant checkpoint."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            raise ValueError(
                f"a shared parameter of shape {list(parameter.shape)} is out of reach of {whose}, whose graph holds a "
                "reentrant checkpoint, expected checkpoint(..., use_reentrant=False)"
            )


def expected_of(error: RuntimeError) -> str:
    """What to do about a graph that bears one ordinary backward pass alone; empty for other errors."""
    said = str(error)
    if "use_reentrant" in said:
        return "expected checkpoint(..., use_reentrant=False)"
    if "donated buffers" in said:
        return (
            "expected the module that was compiled, or torch._functorch.config.donated_buffer = False before the first "
            "call of the compiled one"
        )
    if "does not require grad" in said:
        return "expected one computed with its graph: look for torch.no_grad() and inference_mode()"
    return ""


@contextlib.contextmanager
def one_task_alone() -> Iterator[None]:
    """Turns what autograd says of such graphs into one line.

    Raises:
        ValueError: where it does.
    """
    try:
        yield
    except RuntimeError as error:
        expected = expected_of(error)
        if not expected:
            raise
        said = str(error).splitlines()[0].split(". ")[0]
        raise ValueError(f"no gradient of a single loss, {expected}; autograd says: {said}") from error
