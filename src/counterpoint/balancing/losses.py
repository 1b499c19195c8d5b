"""What is accepted as losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.balancing.layout import within_transform
from counterpoint.names import known

if TYPE_CHECKING:
    from collections.abc import Sequence


def checked_losses(losses: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
    """The losses, in the order of the tasks.

    Raises:
        TypeError: if they are not a mapping, or one is not a tensor, or complex, or within a transform of torch.func.
        ValueError: for an unknown task, a loss that is not a scalar, does not require gradients, or lives on another
            device than the others.
    """
    if not isinstance(losses, Mapping):
        kind = type(losses).__name__
        raise TypeError(f"losses are a {kind}, expected a mapping such as {{'a': loss_a, 'b': loss_b}}")
    device = None
    for name, loss in losses.items():
        known(name, tasks)
        if not isinstance(loss, Tensor):
            raise TypeError(f"loss of task {name!r} is a {type(loss).__name__}, expected a scalar tensor")
        if loss.numel() != 1:
            raise ValueError(
                f"loss of task {name!r} has shape {list(loss.shape)}, expected a scalar: reduce it, as .mean() does"
            )
        if loss.is_complex():
            raise TypeError(f"loss of task {name!r} is {loss.dtype}, expected a real number: take .real or .abs()")
        if not loss.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"loss of task {name!r} does not require grad, expected one computed from the network: leave out a "
                "task without labels, and look for .detach() or torch.no_grad()"
            )
        device = device or loss.device
        if loss.device != device:
            raise ValueError(
                f"loss of task {name!r} is on {loss.device}, expected {device} as the others: move it there"
            )
    if within_transform(list(losses.values())):
        raise TypeError(
            "losses are computed within a transform of torch.func (grad, vmap, jvp), expected ones of an ordinary "
            "forward pass: call this outside of the transform"
        )
    return {task: losses[task] for task in tasks if task in losses}
