"""Inner products of task gradients, and of the steps made of them, in as much memory as there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from counterpoint.affinity.displacement import Diagonal
from counterpoint.balancing.gram import SMALLEST_SAFE_SQUARE, TaskGradients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.affinity.displacement import Displacement
    from counterpoint.affinity.gradients import Row, SharedGradients
    from counterpoint.affinity.sketch import CountSketch

# Of P tasks, [P, P], fp64 on the CPU: the Gram matrix, and by how much each row's step lowers each column's loss.
Products = tuple[Tensor, Tensor]


def products(
    gradients: SharedGradients, rule: Displacement, *, max_bytes: int | None = None, sketch: CountSketch | None = None
) -> Products:
    """G[i, j] = <g_i, g_j> and A[i, j] = -<theta_i - theta, g_j>, the first-order fall of L_j when i steps.

    Args:
        gradients: Of the tasks.
        rule: How a step is made of a gradient.
        max_bytes: The most that gradients may take together; all are held at once where ``None``.
        sketch: Holds a few numbers a task instead, and only one gradient at a time.

    Raises:
        ValueError: if two gradients do not fit in ``max_bytes``.
    """
    if sketch is not None:
        return _sketched(gradients, rule, sketch)
    one = sum(parameter.numel() * parameter.element_size() for parameter in gradients.shared)
    tasks = len(gradients.tasks)
    if max_bytes is None or max_bytes >= one * tasks:
        return _stacked(gradients, rule) or _at_once(gradients.rows(), gradients.shared, rule)
    if max_bytes < 2 * one:
        raise ValueError(
            f"max_bytes={max_bytes}, expected at least {2 * one}, the size of two task gradients; sketch= holds one"
        )
    return _in_blocks(gradients, rule, max_bytes // one - 1)


def _stacked(gradients: SharedGradients, rule: Displacement) -> Products | None:
    """From gradients that come stacked, as they are; ``None`` if they do not."""
    columns = gradients.columns() if isinstance(rule, Diagonal) else None
    if columns is None or not isinstance(rule, Diagonal):
        return None
    gram = _gram(columns)
    if gram is None or rule.everywhere is not None:
        return None if gram is None else (gram, gram * float(rule.everywhere or 0.0))
    fall = _gram(rule.halved(columns))
    return None if fall is None else (gram, fall)


def _gram(columns: Sequence[Tensor | None]) -> Tensor | None:
    """Inner products, ``None`` where their squares may lack digits."""
    total: Tensor | None = None
    for column in columns:
        if column is None:
            continue
        matrix = column.reshape(len(column), -1)
        matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
        block = matrix @ matrix.T
        total = block if total is None else total + block.to(total)
    if total is None:
        return None
    gram = total.to("cpu", torch.float64)
    squares = gram.diagonal()
    if not bool(((squares > SMALLEST_SAFE_SQUARE) & (squares < torch.inf)).all()):
        return None
    return (gram + gram.T).mul_(0.5)


def _at_once(rows: Sequence[Row], shared: Sequence[Tensor], rule: Displacement) -> Products:
    matrix = TaskGradients(rows)
    gram = matrix.gram_on_host()
    if isinstance(rule, Diagonal):
        if rule.everywhere is not None:
            return gram, gram * rule.everywhere
        return gram, TaskGradients([rule.halved(row) for row in rows]).gram_on_host()
    return gram, torch.stack([matrix.products_with(_fall(row, shared, rule)) for row in rows])


def _in_blocks(gradients: SharedGradients, rule: Displacement, block: int) -> Products:
    """A block of gradients is kept while those of all others pass by, one at a time, computed anew."""
    tasks, shared = gradients.tasks, gradients.shared
    gram = torch.zeros(len(tasks), len(tasks), dtype=torch.float64)
    fall = torch.zeros_like(gram)
    for start in range(0, len(tasks), block):
        stop = min(start + block, len(tasks))
        rows = [gradients.row(task) for task in tasks[start:stop]]
        here = slice(start, stop)
        gram[here, here], fall[here, here] = _at_once(rows, shared, rule)
        kept = TaskGradients(rows)
        for other in range(len(tasks)):
            if start <= other < stop or (other < start and isinstance(rule, Diagonal)):
                continue
            row = gradients.row(tasks[other])
            if other >= stop:
                gram[other, here] = gram[here, other] = kept.products_with(row)
            if isinstance(rule, Diagonal):
                fall[other, here] = fall[here, other] = kept.products_with(_scaled(row, rule))
            else:
                fall[other, here] = kept.products_with(_fall(row, shared, rule))
        del rows, kept
    return gram, fall


def _sketched(gradients: SharedGradients, rule: Displacement, sketch: CountSketch) -> Products:
    tasks, shared = gradients.tasks, gradients.shared
    rows: list[Tensor] = []
    steps: list[Tensor] = []
    squares: list[float] = []
    lowered: list[float] = []
    for task in tasks:
        row = gradients.row(task)
        step = _scaled(row, rule) if isinstance(rule, Diagonal) else _fall(row, shared, rule)
        rows.append(sketch(row, shared))
        steps.append(sketch(step, shared))
        one = TaskGradients([row])  # both gradients are at hand: no need to estimate these
        squares.append(float(one.gram_on_host()))
        lowered.append(float(one.products_with(step)))
    matrix = torch.stack(rows)
    gram, fall = matrix @ matrix.T, torch.stack(steps) @ matrix.T
    gram.diagonal().copy_(torch.tensor(squares, dtype=torch.float64))
    fall.diagonal().copy_(torch.tensor(lowered, dtype=torch.float64))
    return gram, fall


def _scaled(row: Row, rule: Diagonal) -> Row:
    return [None if g is None else factor * g for g, factor in zip(row, rule.factors, strict=True)]


def _fall(row: Row, shared: Sequence[Tensor], rule: Displacement) -> Row:
    """How far down the step goes: theta - theta_i."""
    return [before.detach() - after for before, after in zip(shared, rule.moved(row), strict=True)]
