"""Gradients of every task on every minibatch: what conflict and coherence are made of, in one go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from counterpoint.balancing.combine import full_precision
from counterpoint.names import known
from counterpoint.trajectory.coherence import Coherence
from counterpoint.trajectory.derivatives import gradient
from counterpoint.trajectory.parameters import Parameters, wide

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from counterpoint.parameters import Given

    Array = NDArray[np.float64]

_MEMORY = 2**30


@dataclass(frozen=True, eq=False)
class GradientProducts:
    """Inner products of gradients.

    Attributes:
        tasks: The tasks, T.
        gram: Inner products of the tasks' mean gradients, [T, T].
        minibatches: Inner products of each task's gradients of m minibatches, {task: [m, m]}.
    """

    tasks: tuple[str, ...]
    gram: Array
    minibatches: Mapping[str, Array]

    def norm(self, task: str) -> float:
        """Length of the task's mean gradient."""
        index = self.tasks.index(known(task, self.tasks))
        return math.sqrt(max(float(self.gram[index, index]), 0.0))

    def coherence(self, task: str) -> Coherence:
        """Agreement of the task's minibatches, as of :func:`gradient_coherence`."""
        products = self.minibatches[known(task, self.tasks)]
        count, squares = len(products), np.diagonal(products)
        norms = np.sqrt(squares[squares > 0])
        directed = products[np.ix_(squares > 0, squares > 0)] / np.outer(norms, norms)
        pairs = len(norms) * (len(norms) - 1)
        return Coherence(
            ratio=min(1.0, float(products.mean() / squares.mean())) if squares.any() else math.nan,
            cosine=float(np.clip((directed.sum() - len(norms)) / pairs, -1.0, 1.0)) if pairs else math.nan,
            norm=self.norm(task),
            minibatches=count,
            gradient_evaluations=count,
        )


def task_gradients(
    minibatches: Sequence[Mapping[str, Tensor]], params: Given, *, memory: int = _MEMORY
) -> GradientProducts:
    """Gradients of each task's loss on each minibatch, as inner products.

    The graphs of all minibatches are there; the gradients, more than a gradient a task and minibatch, are formed in
    blocks of parameters that fit into ``memory``. ``.grad`` is left alone and the graphs are kept.

    Cost: a backward pass for each task, minibatch and block: T gradient evaluations over all rows with one block.

    Args:
        minibatches: For each minibatch the loss of each task that has labels in it, with its graph and past no FanOut
            in train mode.
        params: A module, parameters, param groups, or one parameter: those that require gradients.
        memory: Bytes that gradients may take.

    Raises:
        ValueError: if there is no loss, one does not depend on the parameters, or a gradient is not finite.

    Example:
        >>> w = torch.nn.Parameter(torch.zeros(2))
        >>> losses = [{"a": 3 * w[0], "b": 2 * w[1]}, {"a": 4 * w[1], "b": 2 * w[1]}]
        >>> found = task_gradients(losses, w)
        >>> found.gram.tolist(), found.coherence("a").ratio, found.coherence("b").ratio
        ([[6.25, 4.0], [4.0, 4.0]], 0.5, 1.0)
    """
    tasks = tuple(dict.fromkeys(task for losses in minibatches for task in losses))
    if not tasks:
        raise ValueError("no minibatch has a loss, expected {task: loss} with at least one task")
    own = {task: [losses[task] for losses in minibatches if task in losses] for task in tasks}
    gram = np.zeros((len(tasks), len(tasks)))
    products = {task: np.zeros((len(losses), len(losses))) for task, losses in own.items()}
    connected: set[str] = set()
    for block in _blocks(Parameters(params).tensors, len(tasks) + len(minibatches), memory):
        means = []
        for task, losses in own.items():
            rows = torch.stack([_flat(loss, block, task, connected) for loss in losses])
            products[task] += _inner(rows)
            means.append(rows.mean(dim=0))
        gram += _inner(torch.stack(means))
    if missing := [task for task in tasks if task not in connected]:
        raise ValueError(
            f"the loss of task {missing[0]!r} does not depend on any of the parameters, expected one computed from "
            "them: look for .detach(), or leave the task out"
        )
    if not np.isfinite(gram).all():
        worst = tasks[int(np.argmin(np.isfinite(np.diagonal(gram))))]
        raise ValueError(f"the gradient of task {worst!r} is NaN or infinite, expected finite ones")
    return GradientProducts(tasks, gram, products)


def _blocks(tensors: Sequence[Tensor], vectors: int, memory: int) -> Iterator[list[Tensor]]:
    """Parameters in blocks whose gradients, so many of them, fit; never less than one parameter."""
    block: list[Tensor] = []
    size = 0
    for tensor in tensors:
        need = tensor.numel() * vectors * torch.empty(0, dtype=wide(tensor.dtype)).element_size()
        if block and size + need > memory:
            yield block
            block, size = [], 0
        block.append(tensor)
        size += need
    yield block


def _flat(loss: Tensor, block: Sequence[Tensor], task: str, connected: set[str]) -> Tensor:
    """The gradient with respect to a block, [P]."""
    parts = gradient(loss, block, order=1, keep=True)
    if parts is None:
        parts = [None] * len(block)
    else:
        connected.add(task)
    flat = [
        (torch.zeros_like(tensor) if part is None else part).reshape(-1).to(block[0].device, wide(tensor.dtype))
        for tensor, part in zip(block, parts, strict=True)
    ]
    return torch.cat(flat)


def _inner(rows: Tensor) -> Array:
    """Products of rows, [n, P] -> [n, n]: in the rows' precision, also where autocast is on."""
    with full_precision(rows.device.type):
        found: Array = (rows @ rows.T).to("cpu", torch.float64).numpy()
    return found
