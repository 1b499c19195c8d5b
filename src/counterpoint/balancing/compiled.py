"""The layer in compiled graphs: balancing as registered operators, which a compiler neither looks into nor breaks at.

Compiled code knows a layer by a number, its handle. When the operators run, they call the layer as its eager nodes do,
so that ``fan.last``, weightings that learn, and everything else are alike. What is filled in by a compiler and stands
for no gradient at all, zeros, is told apart by the losses that ``fan.sum`` knows.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.balancing.fan_node import Layer

_layers: WeakValueDictionary[int, Any] = WeakValueDictionary()
_handles = itertools.count()


def register(layer: Layer) -> int:
    """Makes a layer known and returns its handle; a copy of a layer needs one of its own."""
    handle = next(_handles)
    _layers[handle] = layer
    return handle


@torch.library.custom_op(
    "counterpoint::combine",
    mutates_args=(),
    schema="(Tensor?[] gradients, int handle, int[] tasks, int width) -> Tensor[]",
)
def _combine(gradients: Sequence[Tensor | None], handle: int, tasks: Sequence[int], width: int) -> list[Tensor]:
    """The balanced gradient of each feature tensor that has one."""
    from counterpoint.balancing.fan_node import Use  # noqa: PLC0415  (whose nodes call this module)

    layer = _layers[handle]
    use = Use(tuple(layer.tasks[task] for task in tasks), width)
    # An operator runs below autograd, and weightings that learn differentiate.
    with torch._C._SetExcludeDispatchKeyGuard(torch._C.DispatchKey.AutogradFunctionality, False):  # noqa: SLF001
        balanced, _ = layer.combine(None, use, gradients)
    found = []
    for own, like in zip(balanced, _firsts(gradients, width), strict=True):
        if like is not None:
            found.append(torch.zeros_like(like) if own is None else own.clone(memory_format=torch.preserve_format))
    return found


@_combine.register_fake
def _(gradients: Sequence[Tensor | None], handle: int, tasks: Sequence[int], width: int) -> list[Tensor]:  # noqa: ARG001
    return [torch.empty_like(like) for like in _firsts(gradients, width) if like is not None]


@torch.library.custom_op(
    "counterpoint::set_context",
    mutates_args=(),
    schema="(Tensor[] losses, Tensor gradient, int handle, int[] tasks) -> Tensor[]",
)
def _set_context(losses: Sequence[Tensor], gradient: Tensor, handle: int, tasks: Sequence[int]) -> list[Tensor]:
    """Tells the layer the losses; returns the gradients to start from, so that it runs before them."""
    from counterpoint.balancing.combine import StepContext  # noqa: PLC0415  (whose layer calls this module)

    layer = _layers[handle]
    known = {layer.tasks[task]: loss.detach() for task, loss in zip(tasks, losses, strict=True)}
    layer.set_context(StepContext(known, gradient.detach()), withhold=False)
    return [gradient.to(loss.device, loss.dtype, copy=True).view(loss.shape) for loss in losses]


@_set_context.register_fake
def _(losses: Sequence[Tensor], gradient: Tensor, handle: int, tasks: Sequence[int]) -> list[Tensor]:  # noqa: ARG001
    return [torch.empty_like(loss) for loss in losses]


def combined(handle: int, tasks: Sequence[int], width: int, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Calls the operator in backward code that is being traced.

    Args:
        handle: Of the layer.
        tasks: Positions of the tasks that got copies among the layer's.
        width: Number of feature tensors.
        gradients: Of the copies, task by task.

    Returns:
        One for each feature tensor; ``None`` where no task has a gradient.
    """
    live = [like is not None for like in _firsts(gradients, width)]
    if not any(live):
        return [None] * width
    found = iter(torch.ops.counterpoint.combine(list(gradients), handle, list(tasks), width))
    return [next(found) if alive else None for alive in live]


def context_set(handle: int, tasks: Sequence[int], losses: Sequence[Tensor], gradient: Tensor) -> list[Tensor]:
    """Calls the operator in backward code that is being traced; see :class:`~.fan_node.LossSum`."""
    return list(torch.ops.counterpoint.set_context(list(losses), gradient, handle, list(tasks))) if tasks else []


def _firsts(gradients: Sequence[Tensor | None], width: int) -> list[Tensor | None]:
    """For each feature tensor the gradient of the first task that has one."""
    found: list[Tensor | None] = [None] * width
    for at, gradient in enumerate(gradients):
        if gradient is not None and found[at % width] is None:
            found[at % width] = gradient
    return found


class CompiledFanOut(torch.autograd.Function):
    """What :class:`~counterpoint.balancing.fan_node.FanOutFunction` is in a graph that is being compiled."""

    @staticmethod
    def forward(ctx: Any, handle: int, tasks: tuple[int, ...], width: int, *features: Tensor) -> tuple[Tensor, ...]:
        """Copies, task by task."""
        ctx.handle, ctx.tasks, ctx.width = handle, tasks, width
        ctx.set_materialize_grads(False)
        return tuple(feature.view_as(feature) for _ in tasks for feature in features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The balanced gradients."""
        return None, None, None, *combined(ctx.handle, ctx.tasks, ctx.width, gradients)


class CompiledLossSum(torch.autograd.Function):
    """What :class:`~counterpoint.balancing.fan_node.LossSum` is in a graph that is being compiled."""

    @staticmethod
    def forward(ctx: Any, handle: int, tasks: tuple[int, ...], *losses: Tensor) -> Tensor:
        """The sum."""
        ctx.handle, ctx.tasks = handle, tasks
        ctx.save_for_backward(*losses)
        return torch.stack([loss.reshape(()).to(losses[0].device) for loss in losses]).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The incoming gradient for each loss."""
        return None, None, *context_set(ctx.handle, ctx.tasks, ctx.saved_tensors, gradient)
