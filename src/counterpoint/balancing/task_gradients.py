"""Gradients of each task with respect to what is shared, and to its own leaves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.balancing.graph import Leaves, check_reachable, is_reentrant, one_task_alone
from counterpoint.balancing.single_task import single_task

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from counterpoint.balancing.combine import Row


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

    def row(self, task: str, *, with_own: bool = True) -> tuple[Row, Row]:
        """One task's gradients with respect to the features, and to the leaves it reaches past them.

        Raises:
            ValueError: if the loss does not depend on the features.
        """
        arrived, own = self._stopped([self.losses[task]], None, self.own[task] if with_own else ())
        if all(gradient is None for gradient in arrived):
            raise not_connected(task)
        return arrived, own

    def weighted(self, weights: Mapping[str, float]) -> Row:
        """Gradients of the weighted sum of the losses with respect to the features, in one pass."""
        if not weights:
            return (None,) * len(self.features)
        outputs, seeds = seeded(self.losses, weights)
        return self._stopped(outputs, seeds, ())[0]

    def _stopped(
        self, outputs: Sequence[Tensor], seeds: Sequence[Tensor] | None, leaves: Sequence[Tensor]
    ) -> tuple[Row, Row]:
        """Gradients with respect to the features, each of which lets nothing pass, and to leaves."""
        arrived: list[Tensor | None] = [None] * len(self.features)

        def stop(position: int, gradient: Tensor) -> Tensor:
            arrived[position] = gradient
            return torch.zeros_like(gradient)

        hooks = [
            feature.register_hook(partial(stop, position))  # type: ignore[no-untyped-call]
            for position, feature in enumerate(self.features)
        ]
        try:
            inputs = [*self.features, *leaves]
            gradients = _grad(outputs, inputs, seeds, keep=True)
        finally:
            for hook in hooks:
                hook.remove()
        return tuple(arrived), gradients[len(self.features) :]


class ParameterGradients:
    """Gradients with respect to shared parameters.

    Args:
        losses: The loss of each task, scaled as it is to be differentiated.
        shared: The shared parameters.
    """

    def __init__(self, losses: Mapping[str, Tensor], shared: Sequence[Tensor]) -> None:
        self.losses = losses
        self.shared = shared
        self._leaves = Leaves(shared)
        self.own = {task: self._leaves.of(loss) for task, loss in losses.items()}
        self._sparse: dict[str, dict[int, Tensor | None]] = {}  # entries by task and parameter, None for all of them

    def row(self, task: str, *, with_own: bool = True, last: bool = False) -> tuple[Row, Row]:
        """One task's gradients with respect to the shared parameters, and to its own leaves.

        Raises:
            ValueError: if the loss does not depend on anything shared, or a reentrant checkpoint hides some of it.
        """
        inputs = [*self.shared, *(self.own[task] if with_own else ())]
        gradients = _grad([self.losses[task]], inputs, None, keep=not last)
        if all(gradient is None for gradient in gradients[: len(self.shared)]):
            raise not_connected(task)
        shared = gradients[: len(self.shared)]
        if any(map(is_reentrant, self._leaves.functions)):
            check_reachable(self.shared, shared, f"the loss of task {task!r}")
        self._sparse[task] = _entries(shared)
        return _dense(shared), gradients[len(self.shared) :]

    def rows(self, *, keep_graph: bool) -> tuple[dict[str, Row], dict[str, Row]]:
        """All tasks' gradients, {task: shared} and {task: own}, in a pass for each.

        One pass for all, batched by vmap, was never faster, not even with two tasks (docs/design-notes.md).
        """
        tasks = list(self.losses)
        pairs = {task: self.row(task, last=task == tasks[-1] and not keep_graph) for task in tasks}
        return {task: shared for task, (shared, _) in pairs.items()}, {task: own for task, (_, own) in pairs.items()}

    def own_row(self, task: str) -> Row:
        """One task's gradients with respect to its own leaves."""
        leaves = self.own[task]
        if not leaves:
            return ()
        return _grad([self.losses[task]], leaves, None, keep=True)

    def weighted(self, weights: Mapping[str, float], *, last: bool = True) -> Row:
        """Gradients of the weighted sum of the losses with respect to the shared parameters, in one pass."""
        if not weights:
            return (None,) * len(self.shared)
        outputs, seeds = seeded(self.losses, weights)
        gradients = _grad(outputs, self.shared, seeds, keep=not last)
        self._sparse = {"": _entries(gradients)}  # theirs together
        return _dense(gradients)

    def as_arrived(self, combined: Sequence[Tensor | None], used: Collection[str]) -> Row:
        """A sum of gradients, sparse where every gradient in it was: SparseAdam takes no other.

        Args:
            combined: With respect to the shared parameters, dense.
            used: The tasks in it.
        """
        parts = [entries for task, entries in self._sparse.items() if not task or task in used]
        found = []
        for position, total in enumerate(combined):
            held = [entries[position] for entries in parts if position in entries]
            known = [indices for indices in held if indices is not None]
            sparse = total is not None and known and len(known) == len(held)
            found.append(_only(total, torch.cat(known, dim=1)) if total is not None and sparse else total)
        return tuple(found)


def _grad(outputs: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Sequence[Tensor] | None, *, keep: bool) -> Row:
    """Gradients, ``None`` for what was not used."""
    with one_task_alone(), single_task("refused"):
        return torch.autograd.grad(outputs, inputs, seeds, retain_graph=keep, allow_unused=True)


def seeded(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> tuple[list[Tensor], list[Tensor]]:
    """Losses and the gradients to start from, for one backward pass of their weighted sum."""
    outputs = [losses[task] for task in weights]
    return outputs, [torch.full_like(loss, weight) for loss, weight in zip(outputs, weights.values(), strict=True)]


def backward_through_heads(
    losses: Mapping[str, Tensor], own: Mapping[str, Sequence[Tensor]], factors: Mapping[str, float]
) -> None:
    """An ordinary backward pass through the heads, once: DDP waits for each parameter's gradient, and for one only."""
    leaves = {id(leaf): leaf for task in factors for leaf in own[task]}
    if leaves:
        outputs, seeds = seeded(losses, {task: factor for task, factor in factors.items() if own[task]})
        torch.autograd.backward(outputs, seeds, retain_graph=True, inputs=list(leaves.values()))


def add_to_grad(
    tensors: Collection[Tensor], gradients: Sequence[Tensor | None], factor: float = 1.0, *, fresh: bool = False
) -> None:
    """Adds gradients to ``.grad``, as a backward pass does.

    Args:
        tensors: Leaves.
        gradients: A gradient for each.
        factor: What to multiply the gradients by.
        fresh: Whether nobody else holds the gradients, nor parts of them, so that they need no copy.
    """
    for tensor, gradient in zip(tensors, gradients, strict=True):
        if gradient is None:
            continue
        own = gradient.detach()
        if tensor.grad is not None and tensor.grad.is_sparse and not own.is_sparse:
            tensor.grad = own.to(tensor.grad.dtype) * factor + tensor.grad  # in place it cannot become dense
        elif tensor.grad is not None:
            tensor.grad.add_(own.to(tensor.grad.dtype), alpha=factor)
        elif factor != 1.0 or fresh:
            tensor.grad = (own * factor if factor != 1.0 else own).to(tensor.dtype)
        else:
            tensor.grad = own.to(tensor.dtype, copy=True)


def not_connected(task: str) -> ValueError:
    """What a loss gets that has nothing to do with what is shared."""
    return ValueError(
        f"loss of task {task!r} is not connected to the features or shared parameters, expected one computed from "
        "them: look for .detach(), or leave the task out"
    )


def _dense(gradients: Sequence[Tensor | None]) -> Row:
    """Sparse gradients, which embeddings may have, as ordinary ones."""
    return tuple(g.to_dense() if g is not None and g.is_sparse else g for g in gradients)


def _entries(gradients: Sequence[Tensor | None]) -> dict[int, Tensor | None]:
    """Of each gradient that there is: the indices of its entries, [D, n], or ``None`` if it is dense."""
    return {
        position: gradient._indices() if gradient.is_sparse else None  # noqa: SLF001  (need not be coalesced)
        for position, gradient in enumerate(gradients)
        if gradient is not None
    }


def _only(gradient: Tensor, indices: Tensor) -> Tensor:
    """A dense gradient as a sparse one with these entries."""
    entries = torch.unique(indices, dim=1)
    values = gradient[tuple(entries)]
    return torch.sparse_coo_tensor(entries, values, gradient.shape, is_coalesced=True, check_invariants=False)
