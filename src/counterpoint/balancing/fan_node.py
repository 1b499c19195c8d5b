"""FanOut's nodes in the autograd graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from counterpoint.balancing.combine import Told, combine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.balancing.arrivals import Arrivals
    from counterpoint.balancing.fanout import FanOut
    from counterpoint.balancing.weighted_heads import Loan

# Before every node of a head: autograd takes what is ready in the order of these numbers, the highest first.
_AT_ONCE = 2**63 - 1


class Fan(torch.autograd.Function):
    """T copies of n feature tensors forward; one balanced gradient for each feature tensor backward.

    After the features come tokens, one for each task whose head's gradients are to be weighted: their gradients are the
    weights (see :mod:`counterpoint.balancing.weighted_heads`). After the copies comes an anchor, a zero by which
    backward gets here on a rank without labels, where the others wait for it. With ``arrivals`` there is one copy
    instead of T: the tasks' gradients are received by nodes of their own (see :class:`Branch`).
    """

    @staticmethod
    def forward(
        ctx: Any, fan: FanOut, names: tuple[str, ...], loan: Loan | None, arrivals: Arrivals | None, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        """Copies, task by task, and the anchor."""
        ctx.arrivals = arrivals
        features = inputs[: len(inputs) - (len(loan.tokens) if loan is not None else 0)]
        ctx.fan, ctx.names, ctx.features, ctx.loan = fan, names, len(features), loan
        ctx.shapes = [(feature.shape, feature.dtype, feature.device) for feature in features]
        ctx.tokens = [(token.dtype, token.device) for token in inputs[len(features) :]]
        # An unused copy must come back as None: a gradient of zeros would drag the min-norm point to zero.
        ctx.set_materialize_grads(False)
        anchor = features[0].new_zeros((), dtype=torch.float32)
        copies = len(names) if arrivals is None else 1
        return *(feature.view_as(feature) for _ in range(copies) for feature in features), anchor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The balanced gradient of each feature tensor, then the weight of each task with a token."""
        fan, names, width = ctx.fan, ctx.names, ctx.features
        balance = fan._balance
        fan._reached(ctx, ctx.loan)
        inputs = [gradient for gradient in gradients if gradient is not None]
        try:
            if ctx.arrivals is not None:
                inputs = ctx.arrivals.ties
                combined, record = ctx.arrivals.close(balance, fan._told())
            else:
                by_name = {name: gradients[task * width : (task + 1) * width] for task, name in enumerate(names)}
                # In the layer's order, whatever the order of the call: weights may depend on a task's position.
                rows = {name: by_name[name] for name in fan.tasks if name in by_name}
                combined, record = combine(rows, balance, fan._told())
        except BaseException:
            fan._forget()  # the callback that does it otherwise will not run
            raise
        fan.last = record
        fan.skipped.update(record.skipped)
        if balance.ranks.active:  # DDP waits for every parameter, on a rank without labels too
            combined = [
                torch.zeros(shape, dtype=dtype, device=device) if own is None else own
                for own, (shape, dtype, device) in zip(combined or [None] * width, ctx.shapes, strict=True)
            ]
        weights = []
        if ctx.tokens:
            by_task = dict(zip(record.tasks, record.weights.unbind(), strict=True))
            for name, (dtype, device) in zip(names, ctx.tokens, strict=True):
                unknown = name in record.absent  # the head did not look at these features: its gradients stay
                weights.append(None if unknown else by_task[name].to(device, dtype))
        if torch.is_grad_enabled():  # create_graph=True: whoever differentiates the result again must hear of it
            combined = [None if c is None else _Once.apply(c, *inputs) for c in combined]  # type: ignore[no-untyped-call]
        return None, None, None, None, *combined, *weights


class Branch(torch.autograd.Function):
    """One task's copies of the features; backward hands their gradients over, and sends nothing further down.

    The layer's own node still runs after the last of them: it waits for them, not for what they send.
    """

    @staticmethod
    def forward(ctx: Any, fan: FanOut, arrivals: Arrivals, task: str, *features: Tensor) -> tuple[Tensor, ...]:
        """Copies, which share memory with the features."""
        ctx.fan, ctx.arrivals, ctx.task = fan, arrivals, task
        ctx.set_materialize_grads(False)
        return tuple(feature.view_as(feature) for feature in features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, ...]:
        """Nothing."""
        ctx.arrivals.receive(ctx.task, gradients, ctx.fan._balance)
        return (None,) * (3 + len(gradients))


def branch(fan: FanOut, arrivals: Arrivals, names: Sequence[str], features: Sequence[Tensor]) -> list[Tensor]:
    """Copies of the features, task by task, whose gradients are dealt with as soon as each task's head is done."""
    copies: list[Tensor] = []
    for name in names:
        own = Branch.apply(fan, arrivals, name, *features)  # type: ignore[no-untyped-call]
        # The node is older than all heads, so that autograd would go through every head before it. A torch without
        # this setting does: results are the same, and T gradients wait.
        hurry = getattr(own[0].grad_fn, "_set_sequence_nr", None)
        if hurry is not None:
            hurry(_AT_ONCE)
        copies += own
    return copies


class Tell(torch.autograd.Function):
    """The sum of the losses; backward first tells the layer their values and what the sum was multiplied by."""

    @staticmethod
    def forward(ctx: Any, fan: FanOut, names: tuple[str, ...], *values: Tensor) -> Tensor:
        """The sum."""
        ctx.fan = fan
        ctx.losses = {name: value.detach() for name, value in zip(names, values, strict=False)}
        ctx.layout = [(value.dtype, value.device) for value in values]
        return torch.stack([value.reshape(()).to(values[0].device) for value in values]).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The incoming gradient for each loss, zero for each anchor."""
        ctx.fan._hear(Told(ctx.losses, gradient.detach()))
        # What was told holds for this backward pass; another one may be of a plain sum of losses.
        torch.autograd.Variable._execution_engine.queue_callback(ctx.fan._forget)
        told = [gradient.to(device, dtype) for dtype, device in ctx.layout[: len(ctx.losses)]]
        anchors = [torch.zeros((), dtype=dtype, device=device) for dtype, device in ctx.layout[len(ctx.losses) :]]
        return None, None, *(value.clone() for value in told), *anchors


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
