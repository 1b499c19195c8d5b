"""Whether a graph has the derivatives that are wanted, where autograd would not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.autograd.function import once_differentiable

from counterpoint.balancing.fan_node import is_fan_out

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from counterpoint.balancing.graph import Node
    from counterpoint.trajectory.derivatives import Order


# Whose second derivatives torch gets wrong without a word: it takes the norms for constants.
_WRONG = "WeightNormInterfaceBackward0"
# Every function that it decorates runs this code.
_ONCE = once_differentiable(lambda _: None).__code__


def check_graph(output: Tensor, leaves: Iterable[Tensor], order: Order, blame: str) -> None:
    """Looks at the nodes between an output and leaves.

    Raises:
        ValueError: if one is a FanOut that balances (a graph made before the measure, or a ``forward`` called past its
            hooks), or, for second derivatives, weight_norm, or a function marked as once differentiable: where the
            gradient that it receives is constant, autograd takes its own for constant, too.
    """
    for node in _between(output, leaves):
        if is_fan_out(node):
            raise ValueError(
                f"{blame} went through a FanOut in train mode, expected a closure that computes it anew (measures then "
                "let the FanOut hand features on), or a FanOut in eval mode"
            )
        if order > 1 and node.name() == _WRONG:
            raise ValueError(
                f"{blame} cannot be differentiated twice, expected a weight_norm with dim=None, or one written out "
                "(g * v / v.norm()): torch's own with dim has wrong second derivatives"
            )
        backward = getattr(getattr(node, "_forward_cls", None), "backward", None)
        if order > 1 and getattr(backward, "__code__", None) is _ONCE:
            raise ValueError(
                f"{blame} cannot be differentiated twice, expected operations that have second derivatives: "
                f"{node.name()} is marked with @once_differentiable"
            )


def _between(output: Tensor, leaves: Iterable[Tensor]) -> list[Node]:
    """The nodes on the way from an output to leaves."""
    wanted = {id(leaf) for leaf in leaves}
    parents: dict[Node, list[Node]] = {} if output.grad_fn is None else {output.grad_fn: []}
    stack, ends = list(parents), []
    while stack:
        node = stack.pop()
        if id(getattr(node, "variable", None)) in wanted:
            ends.append(node)
        for child, _ in node.next_functions:
            if child is None:
                continue
            if child not in parents:
                parents[child] = []
                stack.append(child)
            parents[child].append(node)
    found, stack = set(ends), ends
    while stack:
        for parent in parents[stack.pop()]:
            if parent not in found:
                found.add(parent)
                stack.append(parent)
    return list(found)
