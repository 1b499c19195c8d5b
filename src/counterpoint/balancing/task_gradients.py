"""Gradients of each task with respect to shared tensors and to its own leaves."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.balancing.graph import Leaves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

Row = tuple[Tensor | None, ...]

# With two tasks one pass for both, batched by vmap, beats two passes; with more the batch no longer fits in the caches
# (measured by benchmarks/step_cost.py).
_BATCHED = 2


@dataclass
class Differentiator:
    """Takes gradients of losses, one task at a time or all at once.

    Attributes:
        losses: The loss of each task, scaled as it is to be differentiated.
        shared: What the rows of the Gram matrix are gradients of: features or shared parameters.
        own: For each task the other leaves that its loss depends on.
        features: Where the network forks, if that is known and not the same as ``shared``.
    """

    losses: Mapping[str, Tensor]
    shared: Sequence[Tensor]
    own: Mapping[str, Sequence[Tensor]]
    features: Sequence[Tensor] = ()

    @classmethod
    def of(
        cls,
        losses: Mapping[str, Tensor],
        shared: Sequence[Tensor],
        features: Sequence[Tensor] = (),
        stops: Sequence[Tensor] = (),
    ) -> Differentiator:
        """Finds each task's own leaves."""
        leaves = Leaves(shared, stops)
        return cls(losses, shared, {task: leaves.of(loss) for task, loss in losses.items()}, features)

    def row(self, task: str, *, with_own: bool = True) -> tuple[Row, Row]:
        """One task's gradients with respect to the shared tensors, and to its own leaves.

        Raises:
            ValueError: if the loss does not depend on anything shared.
        """
        own = self.own[task] if with_own else ()
        gradients = torch.autograd.grad(self.losses[task], [*self.shared, *own], retain_graph=True, allow_unused=True)
        shared = gradients[: len(self.shared)]
        if all(gradient is None for gradient in shared):
            raise not_connected(task)
        return shared, gradients[len(self.shared) :]

    def rows(self) -> tuple[dict[str, Row], dict[str, Row]]:
        """All tasks' gradients, by the faster plan: {task: shared}, {task: own}."""
        if len(self.losses) == _BATCHED and all(tensor.is_leaf for tensor in self.shared):
            with contextlib.suppress(RuntimeError, NotImplementedError):  # a node that vmap does not know
                return self._batched()
        pairs = {task: self.row(task) for task in self.losses}
        return {task: shared for task, (shared, _) in pairs.items()}, {task: own for task, (_, own) in pairs.items()}

    def _batched(self) -> tuple[dict[str, Row], dict[str, Row]]:
        """One pass for all tasks: through the encoder only, if the features are known, else through everything."""
        tasks = list(self.losses)
        own: dict[str, Row]
        if self.features:
            outputs: list[Tensor] = list(self.features)
            forks = Differentiator(self.losses, outputs, self.own)
            pairs = {task: forks.row(task) for task in tasks}
            own = {task: gradients for task, (_, gradients) in pairs.items()}
            columns = zip(*(row for row, _ in pairs.values()), strict=True)
            seeds = [
                torch.stack([torch.zeros_like(output) if g is None else g for g in column])
                for output, column in zip(outputs, columns, strict=True)
            ]
            inputs, positions = list(self.shared), {}
        else:
            outputs = list(self.losses.values())
            eye = torch.eye(len(tasks), dtype=outputs[0].dtype, device=outputs[0].device)
            seeds = [column.reshape(-1, *output.shape) for column, output in zip(eye, outputs, strict=True)]
            distinct = {id(leaf): leaf for leaves in self.own.values() for leaf in leaves}
            inputs = [*self.shared, *distinct.values()]
            positions = {key: len(self.shared) + index for index, key in enumerate(distinct)}
        with _quiet():
            batch = torch.autograd.grad(
                outputs, inputs, seeds, retain_graph=True, allow_unused=True, is_grads_batched=True
            )
        rows: dict[str, Row] = {
            task: tuple(_at(column, index) for column in batch[: len(self.shared)]) for index, task in enumerate(tasks)
        }
        for task, row in rows.items():
            if not any(gradient is not None and bool(gradient.any()) for gradient in row) and not self._reaches(task):
                raise not_connected(task)
        if not self.features:
            own = {
                task: tuple(_at(batch[positions[id(leaf)]], index) for leaf in self.own[task])
                for index, task in enumerate(tasks)
            }
        return rows, own

    def _reaches(self, task: str) -> bool:
        """Whether the loss depends on anything shared: a batched pass gives zeros where it does not."""
        everything = {id(leaf) for leaf in Leaves(()).of(self.losses[task])}
        return any(id(tensor) in everything for tensor in self.shared)

    def weighted(self, tensors: Sequence[Tensor], weights: Mapping[str, float]) -> Row:
        """Gradients of the weighted sum of the losses, in one pass."""
        outputs = [self.losses[task] for task in weights]
        seeds = [torch.full_like(loss, weight) for loss, weight in zip(outputs, weights.values(), strict=True)]
        return torch.autograd.grad(outputs, tensors, seeds, retain_graph=True, allow_unused=True)


    def backward_through_heads(self, factors: Mapping[str, float]) -> None:
        """An ordinary backward pass through the heads, once: DDP waits for each parameter's gradient, and for one only."""
        leaves = {id(leaf): leaf for task in factors for leaf in self.own[task]}
        if leaves:
            outputs = [self.losses[task] for task in factors if self.own[task]]
            seeds = [torch.full_like(self.losses[task], factors[task]) for task in factors if self.own[task]]
            torch.autograd.backward(outputs, seeds, retain_graph=True, inputs=list(leaves.values()))


def add_to_grad(tensors: Collection[Tensor], gradients: Sequence[Tensor | None], factor: float = 1.0) -> None:
    """Adds gradients to ``.grad``, as a backward pass does."""
    for tensor, gradient in zip(tensors, gradients, strict=True):
        if gradient is None:
            continue
        if tensor.grad is None:
            tensor.grad = (gradient.detach() * factor if factor != 1.0 else gradient.detach().clone()).to(tensor.dtype)
        else:
            tensor.grad.add_(gradient.detach().to(tensor.grad.dtype), alpha=factor)


def not_connected(task: str) -> ValueError:
    """What a loss gets that has nothing to do with what is shared."""
    return ValueError(
        f"loss of task {task!r} is not connected to the features or shared parameters, expected one computed from "
        "them: look for .detach(), or leave the task out"
    )


def _at(column: Tensor | None, index: int) -> Tensor | None:
    return None if column is None else column[index]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Vmap warns where it falls back to a loop; a user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*vmap.*")
        yield
