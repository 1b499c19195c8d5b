"""What a training asks of the rows it is given, before it reads them."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from counterpoint.data import Rows, Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from counterpoint.tasks import Task

_SAMPLED = 1_000  # rows
_SAMPLED_BYTES = 2**24
_LOOKED_AT = 2**20  # labels


def check_labels(tasks: Mapping[str, Task], splits: Mapping[str, Rows | Any]) -> None:
    """Refuses splits in memory that lack labels; others would have to be decoded.

    A loss passes over -100 in silence, a metric counts it as wrong; without any label no epoch is the best.

    Raises:
        ValueError: for a task that is not partial and lacks labels of rows, or rows without any label.
    """
    for name, rows in splits.items():
        if not isinstance(rows, Split):
            continue
        own = [tasks[task] for task in rows.targets if task in tasks]
        for task in own:
            if task.partial or task.likelihood is None:
                continue
            missing = len(rows) - _labelled_rows(task, rows.targets[task.name])
            if missing:
                raise ValueError(
                    f"task {task.name!r} lacks labels (NaN or -100) in {missing} of {len(rows)} {name} rows, expected "
                    "all, or a task with partial=True"
                )
        # One label is enough: dense targets are not walked through to the end.
        if not any(_labelled_rows(task, part) for task in own for part in _parts(rows.targets[task.name])):
            raise ValueError(
                f"no task has a label in the {name} rows, expected some: label rows, or split in another way"
            )


def _labelled_rows(task: Task, targets: Tensor) -> int:
    known = replace(task, partial=True).labelled(targets)
    return len(targets) if known is None else int(known.sum())


def _parts(targets: Tensor) -> Iterable[Tensor]:
    """A few rows after the other, about a million labels each."""
    rows = max(1, _LOOKED_AT * len(targets) // max(1, targets.numel()))
    return (targets[start : start + rows] for start in range(0, len(targets), rows))


def identity_of(rows: Rows) -> list[int | str]:
    """How many rows there are, and what tells them from others: their own word for it, or some of those in memory."""
    if not isinstance(rows, Split):
        return [len(rows), str(getattr(rows, "identity", ""))]
    found: list[int | str] = [len(rows)]
    for tensor in (rows.inputs, *rows.targets.values()):
        bytes_a_row = max(1, tensor.numel() * tensor.element_size() // len(rows))
        sampled = min(_SAMPLED, max(1, _SAMPLED_BYTES // bytes_a_row))
        some = tensor[:: max(1, len(rows) // sampled)].detach().cpu().contiguous()
        found.append(zlib.crc32(some.view(torch.uint8).numpy().tobytes()))
    return found


def may_lack_labels(tasks: Mapping[str, Task], train: Rows | Any) -> bool:
    """Whether a step may leave a task out, and its head without a gradient."""
    whole = isinstance(train, Rows) and set(train.rows(slice(0, 1))[1]) == set(tasks)
    return not whole or any(task.partial for task in tasks.values())
