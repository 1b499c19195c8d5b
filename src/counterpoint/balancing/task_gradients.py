"""Gradients of each task with respect to what is shared, and to its own leaves."""

from __future__ import annotations

import contextlib
import warnings
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.balancing.graph import Leaves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from counterpoint.balancing.combine import Row

# With two tasks one pass for both, batched by vmap, beats two passes; with more the batch no longer fits in the caches
# (measured by benchmarks/step_cost.py).
_BATCHED = 2


class FeatureGradients:
    """Gradients at the point where the network forks.

    What reaches the encoder by another way than the features (a tied decoder, a skip connection, a feature computed
    from another one) is not the features' gradient: each feature stops what arrives at it, is credited with it, and
    lets the rest go its own way.

    Args:
        losses: The loss of each task, scaled as it is to be differentiated.
        features: What the heads compute with.
    """

    def __init__(self, losses: Mapping[str, Tensor], features: Sequence[Tensor]) -> None:
        self.losses = losses
        self.features = features
        leaves = Leaves((), features)
        self.own = {task: leaves.of(loss) for task, loss in losses.items()}

    def row(self, task: str) -> tuple[Row, Row]:
        """One task's gradients with respect to the features, and to the leaves it reaches past them.

        Raises:
            ValueError: if the loss does not depend on the features.
        """
        arrived: list[Tensor | None] = [None] * len(self.features)

        def stop(position: int, gradient: Tensor) -> Tensor:
            arrived[position] = gradient
            return torch.zeros_like(gradient)

        hooks = [
            feature.register_hook(partial(stop, position))  # type: ignore[no-untyped-call]
            for position, feature in enumerate(self.features)
        ]
        try:
            inputs = [*self.features, *self.own[task]]
            gradients = torch.autograd.grad(self.losses[task], inputs, retain_graph=True, allow_unused=True)
        finally:
            for hook in hooks:
                hook.remove()
        if all(gradient is None for gradient in arrived):
            raise not_connected(task)
        return tuple(arrived), _dense(gradients[len(self.features) :])


class ParameterGradients:
    """Gradients with respect to shared parameters.

    Args:
        losses: The loss of each task, scaled as it is to be differentiated.
        shared: The shared parameters.
        features: Where the network forks, if that is known.
    """

    def __init__(self, losses: Mapping[str, Tensor], shared: Sequence[Tensor], features: Sequence[Tensor] = ()) -> None:
        self.losses = losses
        self.shared = shared
        leaves = Leaves(shared)
        self.own = {task: leaves.of(loss) for task, loss in losses.items()}
        self.forks = FeatureGradients(losses, features) if features and self._cut(features) else None

    def _cut(self, features: Sequence[Tensor]) -> bool:
        """Whether everything shared, and nothing else, lies beyond the features."""
        leaves = Leaves((), features)
        return all({*map(id, leaves.of(loss))} == {*map(id, self.own[task])} for task, loss in self.losses.items())

    def row(self, task: str, *, with_own: bool = True, last: bool = False) -> tuple[Row, Row]:
        """One task's gradients with respect to the shared parameters, and to its own leaves.

        Raises:
            ValueError: if the loss does not depend on anything shared.
        """
        inputs = [*self.shared, *(self.own[task] if with_own else ())]
        gradients = torch.autograd.grad(self.losses[task], inputs, retain_graph=not last, allow_unused=True)
        if all(gradient is None for gradient in gradients[: len(self.shared)]):
            raise not_connected(task)
        return _dense(gradients[: len(self.shared)]), _dense(gradients[len(self.shared) :])

    def rows(self, *, keep_graph: bool) -> tuple[dict[str, Row], dict[str, Row]]:
        """All tasks' gradients, by the faster plan: {task: shared}, {task: own}."""
        if len(self.losses) == _BATCHED:
            with contextlib.suppress(RuntimeError, NotImplementedError):  # a node that vmap does not know
                return self._batched()
        tasks = list(self.losses)
        pairs = {task: self.row(task, last=task == tasks[-1] and not keep_graph) for task in tasks}
        return {task: shared for task, (shared, _) in pairs.items()}, {task: own for task, (_, own) in pairs.items()}

    def _batched(self) -> tuple[dict[str, Row], dict[str, Row]]:
        """One pass for all tasks: through the encoder only, if the fork is known, else through everything."""
        tasks, own = list(self.losses), {}
        distinct: dict[int, Tensor] = {}
        if self.forks is not None:
            outputs = list(self.forks.features)
            rows = {}
            for task in tasks:
                rows[task], past = self.forks.row(task)
                by_leaf = dict(zip(map(id, self.forks.own[task]), past, strict=True))
                own[task] = tuple(by_leaf[id(leaf)] for leaf in self.own[task])
            seeds = [
                torch.stack([torch.zeros_like(output) if gradient is None else gradient for gradient in column])
                for output, column in zip(outputs, zip(*rows.values(), strict=True), strict=True)
            ]
        else:
            outputs = list(self.losses.values())
            eye = torch.eye(len(tasks), dtype=outputs[0].dtype, device=outputs[0].device)
            seeds = [column.reshape(-1, *output.shape) for column, output in zip(eye, outputs, strict=True)]
            distinct = {id(leaf): leaf for leaves in self.own.values() for leaf in leaves}
        inputs = [*self.shared, *distinct.values()]
        with _quiet():
            batch = _dense(
                torch.autograd.grad(outputs, inputs, seeds, retain_graph=True, allow_unused=True, is_grads_batched=True)
            )
        found: dict[str, Row] = {
            task: tuple(_at(column, index) for column in batch[: len(self.shared)]) for index, task in enumerate(tasks)
        }
        for task, row in found.items():
            if not any(gradient is not None and bool(gradient.any()) for gradient in row) and not self._reaches(task):
                raise not_connected(task)
        if self.forks is None:
            column_of = {key: len(self.shared) + index for index, key in enumerate(distinct)}
            for index, task in enumerate(tasks):
                own[task] = tuple(_at(batch[column_of[id(leaf)]], index) for leaf in self.own[task])
        return found, own

    def _reaches(self, task: str) -> bool:
        """Whether the loss depends on anything shared: a batched pass gives zeros where it does not."""
        everything = {id(leaf) for leaf in Leaves(()).of(self.losses[task])}
        return any(id(tensor) in everything for tensor in self.shared)

    def own_row(self, task: str) -> Row:
        """One task's gradients with respect to its own leaves."""
        leaves = self.own[task]
        if not leaves:
            return ()
        return _dense(torch.autograd.grad(self.losses[task], leaves, retain_graph=True, allow_unused=True))

    def weighted(self, weights: Mapping[str, float], *, last: bool = True) -> Row:
        """Gradients of the weighted sum of the losses with respect to the shared parameters, in one pass."""
        outputs = [self.losses[task] for task in weights]
        if not outputs:
            return (None,) * len(self.shared)
        seeds = [torch.full_like(loss, weight) for loss, weight in zip(outputs, weights.values(), strict=True)]
        return _dense(torch.autograd.grad(outputs, self.shared, seeds, retain_graph=not last, allow_unused=True))


def backward_through_heads(
    losses: Mapping[str, Tensor], own: Mapping[str, Sequence[Tensor]], factors: Mapping[str, float]
) -> None:
    """An ordinary backward pass through the heads, once: DDP waits for each parameter's gradient, and for one only."""
    leaves = {id(leaf): leaf for task in factors for leaf in own[task]}
    outputs = [losses[task] for task in factors if own[task]]
    if leaves:
        seeds = [torch.full_like(losses[task], factors[task]) for task in factors if own[task]]
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


def _dense(gradients: Sequence[Tensor | None]) -> Row:
    """Sparse gradients, which embeddings may have, as ordinary ones."""
    return tuple(g.to_dense() if g is not None and g.is_sparse else g for g in gradients)


def _at(column: Tensor | None, index: int) -> Tensor | None:
    return None if column is None else column[index]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Vmap warns where it falls back to a loop; a user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*vmap.*")
        yield
