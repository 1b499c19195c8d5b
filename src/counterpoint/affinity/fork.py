"""Where the graphs of the tasks' losses come together: one pass through the heads serves all tasks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from counterpoint.balancing.fan_node import is_fan_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.balancing.graph import Edge, Node

_SEVERAL = -1

# Backward passes through these are matrix products and pointwise arithmetic, for all tasks at once as cheap as for a
# few. Through convolutions vmap was never faster than one pass for each task.
_BATCHED = (
    *("AccumulateGrad", "AddmmBackward0", "MmBackward0", "LinearBackward0", "TBackward0", "AddBackward0"),
    *("MulBackward0", "ViewBackward0", "ReshapeAliasBackward0", "ReluBackward0", "TanhBackward0", "SigmoidBackward0"),
    *("GeluBackward0", "SiluBackward0", "EluBackward0", "LeakyReluBackward0", "NativeDropoutBackward0"),
    *("NativeLayerNormBackward0", "SoftplusBackward0", "ToCopyBackward0", "CatBackward0"),
)

# Elements of all tasks' gradients beyond which one pass at a time is as fast and takes less memory.
_BATCHED_ELEMENTS = 1 << 22


class Fork:
    """Gradients of all tasks at the points from which on their graphs are common.

    One backward pass of the sum of the losses runs through all heads; what enters the common part is caught on the
    way, task by task. So T tasks cost one pass through the heads and T through the encoder, instead of T through both.
    Through a FanOut the gradients pass as they are.

    Args:
        losses: One a task.
        shared: The shared parameters.
    """

    def __init__(self, losses: Sequence[Tensor], shared: Sequence[Tensor]) -> None:
        self._losses = losses
        self._shared = shared
        self._positions = {id(parameter): index for index, parameter in enumerate(shared)}
        self._owner: dict[Node, int] = {}
        for task, loss in enumerate(losses):
            self._own(loss.grad_fn, task)
        self._useful: dict[Node, bool] = {}
        self._caught: list[dict[Edge, Tensor]] | None = None

    def _own(self, root: Node, task: int) -> None:
        """Marks what only this task's loss depends on, and what several do."""
        stack = [root]
        while stack:
            node = stack.pop()
            was = self._owner.get(node)
            if was in {task, _SEVERAL}:
                continue
            alone = was is None and id(getattr(node, "variable", None)) not in self._positions
            self._owner[node] = task if alone else _SEVERAL
            stack.extend(child for child, _ in node.next_functions if child is not None)

    @property
    def exists(self) -> bool:
        """Whether each loss has a part of its own."""
        return all(self._owner[loss.grad_fn] == task for task, loss in enumerate(self._losses))

    def _leads_to_shared(self, root: Node) -> bool:
        stack = [(root, False)]
        while stack:
            node, done = stack.pop()
            children = [child for child, _ in node.next_functions if child is not None]
            if done:
                self._useful[node] = any(self._useful[child] for child in children)
            elif node not in self._useful:
                if not children:
                    self._useful[node] = id(getattr(node, "variable", None)) in self._positions
                    continue
                stack.append((node, True))
                stack.extend((child, False) for child in children)
        return self._useful[root]

    @property
    def caught(self) -> list[dict[Edge, Tensor]]:
        """For each task its gradient at each edge into the common part; runs through the heads on first use."""
        if self._caught is None:
            self._caught = [{} for _ in self._losses]
            self._catch()
        return self._caught

    def _catch(self) -> None:
        targets: dict[Edge, None] = {}
        hooks = []
        try:
            for node, task in self._owner.items():
                if task == _SEVERAL:
                    continue
                entries = [
                    (index, edge)
                    for index, edge in enumerate(node.next_functions)
                    if edge[0] is not None and self._owner[edge[0]] == _SEVERAL and self._leads_to_shared(edge[0])
                ]
                if entries:
                    targets.update(dict.fromkeys(edge for _, edge in entries))
                    hooks.append(node.register_hook(partial(self._take, task, entries)))
            if targets:
                edges = [GradientEdge(*edge) for edge in targets]
                torch.autograd.grad(self._losses, edges, retain_graph=True, allow_unused=True)
        finally:
            for hook in hooks:
                hook.remove()

    def _take(
        self, task: int, entries: list[tuple[int, Edge]], gradients: tuple[Tensor | None, ...], _: object
    ) -> None:
        for index, edge in entries:
            gradient = gradients[index]
            if gradient is None:
                continue
            place = _past_fan(edge)
            known = self.caught[task].get(place)
            self.caught[task][place] = gradient if known is None else known + gradient

    def row(self, task: int) -> list[Tensor | None]:
        """One task's gradient with respect to each shared parameter."""
        found: list[Tensor | None] = [None] * len(self._shared)
        edges = []
        for edge, gradient in self.caught[task].items():
            variable = getattr(edge[0], "variable", None)
            if variable is not None:
                found[self._positions[id(variable)]] = gradient
            else:
                edges.append((GradientEdge(*edge), gradient))
        if edges:
            outputs, gradients = zip(*edges, strict=True)
            through = torch.autograd.grad(outputs, self._shared, gradients, retain_graph=True, allow_unused=True)
            for index, gradient in enumerate(through):
                own = found[index]
                found[index] = gradient if own is None else own if gradient is None else own + gradient
        return found

    def columns(self) -> list[Tensor | None] | None:
        """All tasks' gradients with respect to each parameter, [T, ...], in one batched pass.

        Returns:
            ``None`` where that would not pay.
        """
        edges = list(self.caught[0])
        alike = all(list(caught) == edges for caught in self.caught)
        size = len(self._losses) * (
            sum(gradient.numel() for gradient in self.caught[0].values()) + sum(p.numel() for p in self._shared)
        )
        if not alike or not edges or size > _BATCHED_ELEMENTS or len(self._losses) < 3:
            return None
        if any(hasattr(edge[0], "variable") for edge in edges) or not self._is_batched(edges):
            return None
        outputs = [GradientEdge(*edge) for edge in edges]
        stacked = [torch.stack([caught[edge] for caught in self.caught]) for edge in edges]
        try:
            found = torch.autograd.grad(
                outputs, self._shared, stacked, retain_graph=True, allow_unused=True, is_grads_batched=True
            )
        except RuntimeError:  # a hook of the user's on some tensor may not bear it
            return None
        return list(found)

    def _is_batched(self, edges: Sequence[Edge]) -> bool:
        seen: set[Node] = set()
        stack = [node for node, _ in edges]
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.name().rsplit("::", 1)[-1] not in _BATCHED:
                return False
            stack.extend(child for child, _ in node.next_functions if child is not None)
        return True


def _past_fan(edge: Edge) -> Edge:
    """The features that a FanOut's copy is of, for a copy; the edge itself otherwise."""
    node, output = edge
    if not is_fan_out(node):
        return edge
    place: Edge = node.next_functions[output % node.use.width]
    return _past_fan(place)
