"""FanOut's nodes in the autograd graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from counterpoint.balancing import compiled
from counterpoint.balancing.combine import Balance, StepContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.balancing.arrivals import Arrivals
    from counterpoint.balancing.graph import Node
    from counterpoint.balancing.step_record import StepRecord
    from counterpoint.balancing.weighted_heads import HeadStandIns

# Before every node of a head: autograd takes what is ready in the order of these numbers, the highest first.
_AT_ONCE = 2**63 - 1


@dataclass(eq=False)
class Use:
    """One use of a layer in a forward pass.

    Attributes:
        names: The tasks that got copies.
        width: Number of feature tensors that each got.
        stand_ins: What heads compute with whose gradients wait for the weights.
        arrivals: What receives the tasks' gradients, if the layer's node does not.
        layout: Shape, dtype and device of each feature tensor.
    """

    names: tuple[str, ...]
    width: int
    stand_ins: HeadStandIns | None = None
    arrivals: Arrivals | None = None
    layout: list[tuple[torch.Size, torch.dtype, torch.device]] = field(default_factory=list)

    @property
    def outputs(self) -> int:
        """Number of copies that the layer's node makes, task by task."""
        return self.width if self.arrivals is not None else self.width * len(self.names)

    def task_of(self, output: int) -> str:
        """The task that a copy belongs to."""
        return self.names[output // self.width]


class Layer(Protocol):
    """What the nodes need of a layer."""

    tasks: tuple[str, ...]
    handle: int  # what compiled code knows it by

    def balance(self) -> Balance:
        """How gradients are combined."""

    def combine(
        self, node: object, use: Use, gradients: Sequence[Tensor | None]
    ) -> tuple[list[Tensor | None], StepRecord]:
        """The balanced gradient of each feature tensor, and the record, which the layer keeps.

        Args:
            node: The node that backward has come to.
            use: What it stands for.
            gradients: Of the copies, task by task; none where others receive them.
        """

    def set_context(self, context: StepContext, *, withhold: bool = True) -> StepContext:
        """Takes note of the losses for the backward pass that is running; several sums are merged.

        Args:
            context: Of one sum of losses.
            withhold: Whether a gradient can still be left out.

        Returns:
            The same, with the tasks whose gradients are to be left out.
        """


class FanOutFunction(torch.autograd.Function):
    """T copies of n feature tensors forward; one balanced gradient for each feature tensor backward.

    After the features come weight tokens, one for each task whose head's gradients are to be weighted: their gradients
    are the weights (see :mod:`counterpoint.balancing.weighted_heads`). After the copies comes an anchor, a zero by
    which backward gets here on a rank without labels, where the others wait for it. With ``use.arrivals`` there is one
    copy instead of T: the tasks' gradients are received by nodes of their own (see :class:`TaskBranch`).
    """

    transparent = True  # its inputs and outputs can be told apart

    @staticmethod
    def forward(ctx: Any, layer: Layer, use: Use, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Copies, task by task, and the anchor."""
        features = inputs[: use.width]
        ctx.layer, ctx.use = layer, use
        use.layout = [(feature.shape, feature.dtype, feature.device) for feature in features]
        ctx.tokens = [(token.dtype, token.device) for token in inputs[use.width :]]
        # An unused copy must come back as None: a gradient of zeros would drag the min-norm point to zero.
        ctx.set_materialize_grads(False)
        anchor = features[0].new_zeros((), dtype=torch.float32)
        copies = len(use.names) if use.arrivals is None else 1
        return *(feature.view_as(feature) for _ in range(copies) for feature in features), anchor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The balanced gradient of each feature tensor, then the weight of each task with a token."""
        layer, use = ctx.layer, ctx.use
        if torch.compiler.is_compiling():  # compiled autograd; the anchor is no task's
            return (
                None,
                None,
                *compiled.combined(layer.handle, positions(layer, use.names), use.width, gradients[: use.outputs]),
            )
        given = [gradient for gradient in gradients if gradient is not None]
        ties = given if use.arrivals is None else use.arrivals.ties
        combined, record = layer.combine(ctx, use, gradients[: use.outputs])
        weights = use.stand_ins.token_gradients(record, ctx.tokens) if use.stand_ins is not None else []
        if torch.is_grad_enabled():  # create_graph=True: whoever differentiates the result again must hear of it
            combined = [None if c is None else _Once.apply(c, *ties) for c in combined]  # type: ignore[no-untyped-call]
        return None, None, *combined, *weights


class TaskBranch(torch.autograd.Function):
    """One task's copies of the features; backward hands their gradients over, and sends nothing further down.

    The layer's own node still runs after the last of them: it waits for them, not for what they send.
    """

    transparent = True

    @staticmethod
    def forward(ctx: Any, layer: Layer, use: Use, arrivals: Arrivals, *features: Tensor) -> tuple[Tensor, ...]:
        """Copies, which share memory with the features."""
        ctx.layer, ctx.use, ctx.arrivals = layer, use, arrivals
        ctx.set_materialize_grads(False)
        return tuple(feature.view_as(feature) for feature in features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, ...]:
        """Nothing."""
        (task,) = ctx.use.names
        ctx.arrivals.receive(task, gradients, ctx.layer.balance())
        return (None,) * (3 + len(gradients))


def is_fan_out(node: Node) -> bool:
    """Whether a node of a graph is where a FanOut makes its copies; the one that sums losses is not."""
    return getattr(node, "_forward_cls", None) is FanOutFunction


def positions(layer: Layer, names: Sequence[str]) -> tuple[int, ...]:
    """Where tasks stand among the layer's."""
    return tuple(layer.tasks.index(name) for name in names)


def branch(layer: Layer, use: Use, features: Sequence[Tensor]) -> list[Tensor]:
    """Copies of the features, task by task, whose gradients are dealt with as soon as each task's head is done."""
    copies: list[Tensor] = []
    for name in use.names:
        own = TaskBranch.apply(layer, Use((name,), use.width), use.arrivals, *features)  # type: ignore[no-untyped-call]
        # The node is older than all heads, so that autograd would go through every head before it. A torch without
        # this setting does: results are the same, and T gradients wait.
        hurry = getattr(own[0].grad_fn, "_set_sequence_nr", None)
        if hurry is not None:
            hurry(_AT_ONCE)
        copies += own
    return copies


class LossSum(torch.autograd.Function):
    """The sum of the losses; backward first tells the layer their values and what the sum was multiplied by."""

    @staticmethod
    def forward(ctx: Any, layer: Layer, names: tuple[str, ...], *values: Tensor) -> Tensor:
        """The sum of the losses, which come first, and of the anchors."""
        ctx.layer, ctx.names = layer, names
        ctx.save_for_backward(*values[: len(names)])
        ctx.layout = [(value.dtype, value.device, value.shape) for value in values]
        return torch.stack([value.reshape(()).to(values[0].device) for value in values]).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The incoming gradient for each loss, none for one that is withheld, zero for each anchor."""
        losses = ctx.saved_tensors
        if torch.compiler.is_compiling():
            own = compiled.context_set(ctx.layer.handle, positions(ctx.layer, ctx.names), losses, gradient)
            return None, None, *own, *(None for _ in ctx.layout[len(losses) :])
        known = dict(zip(ctx.names, (loss.detach() for loss in losses), strict=True))
        context = ctx.layer.set_context(StepContext(known, gradient.detach()))
        seeds = [
            None if name in context.withheld else _seed(gradient, dtype, device, shape)
            for name, (dtype, device, shape) in zip(ctx.names, ctx.layout, strict=False)
        ]
        anchors = [torch.zeros(shape, dtype=dtype, device=device) for dtype, device, shape in ctx.layout[len(losses) :]]
        return None, None, *seeds, *anchors


def _seed(gradient: Tensor, dtype: torch.dtype, device: torch.device, shape: torch.Size) -> Tensor:
    """A loss's own copy of the gradient of the sum, shaped like the loss."""
    own = gradient.to(device, dtype, copy=True)
    return own.view(shape) if shape else own


class _Once(torch.autograd.Function):
    """Identity on its first argument that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, combined: Tensor, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        return combined.view_as(combined)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ARG004
        raise RuntimeError(
            "double backward through FanOut is not defined, expected first derivatives only: its weights are constants "
            "of the step; for second derivatives put the FanOut in eval mode, which hands the features on"
        )
