"""Lookahead: a step on one task alone, every loss again on the same batch, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.balancing.graph import Leaves
from counterpoint.undisturbed import Undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from counterpoint.affinity.displacement import Displacement
    from counterpoint.affinity.gradients import Row, SharedGradients


def look_ahead(
    gradients: SharedGradients,
    rule: Displacement,
    reevaluate: Callable[[], Mapping[str, Tensor]],
    *,
    baseline: bool,
    models: Sequence[nn.Module] = (),
    see: Callable[[Row], None] = lambda _: None,
) -> Tensor:
    """Losses before, and after a step on each of P tasks, on this rank.

    Args:
        gradients: Of the tasks.
        rule: How a step is made of a gradient.
        reevaluate: Returns this batch's losses.
        baseline: Whether to evaluate the losses before the step, too; else they are the given ones.
        models: Modules to keep as they are beyond those that are called.
        see: Called with each task's gradient.

    Returns:
        [P + 1, P], fp64 on the CPU; NaN in the columns of tasks without a loss on this rank.

    Raises:
        ValueError: if the closure returns other tasks than were given, or changes parameters.
        TypeError: if it does not return scalar tensors by task.
    """
    leaves = Leaves(gradients.shared)
    others = {id(leaf): leaf for loss in gradients.losses.values() for leaf in leaves.of(loss)}
    with Undisturbed(gradients.shared, others.values(), models) as place:
        before = dict(gradients.losses)
        if baseline:
            before = _checked(place.evaluate(reevaluate), gradients.losses)
            if any(before[task] is loss for task, loss in gradients.losses.items()):
                raise ValueError(
                    "reevaluate returns the losses that were given, expected a closure that computes them anew: the "
                    "shared parameters are elsewhere when it is called"
                )
        table = [_on_host(before, gradients.tasks)]
        for task in gradients.tasks:
            row = gradients.row(task)
            see(row)
            place.place(rule.moved(row))
            table.append(_on_host(_checked(place.evaluate(reevaluate), gradients.losses), gradients.tasks))
            place.place(None)
    return torch.stack(table)


def _checked(found: object, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not hasattr(found, "items"):
        raise TypeError(f"reevaluate returns a {type(found).__name__}, expected {{task: loss}} for {list(given)}")
    losses: dict[str, Tensor] = dict(found.items())
    if set(losses) != set(given):
        raise ValueError(f"reevaluate returns losses of {list(losses)}, expected those of {list(given)} as given")
    for task, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            what = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else f"type {type(loss).__name__}"
            raise TypeError(f"reevaluate returns a loss of task {task!r} of {what}, expected a scalar tensor")
    return losses


def _on_host(losses: Mapping[str, Tensor], tasks: Sequence[str]) -> Tensor:
    numbers = torch.full((len(tasks),), torch.nan, dtype=torch.float64)
    here = [index for index, task in enumerate(tasks) if task in losses]
    if here:
        values = [losses[tasks[index]].detach().reshape(()).to(torch.float64) for index in here]
        numbers[here] = torch.stack(values).to("cpu")
    return numbers
