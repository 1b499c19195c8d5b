"""The tasks of somebody's Datasets: as given, or from the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from counterpoint.data import Split
from counterpoint.study.collected import PARTS
from counterpoint.study.named_tasks import named_tasks
from counterpoint.study.table_source import task_of
from counterpoint.tasks import Task
from counterpoint.tasks.task import MISSING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from counterpoint.data.tables import Target


def dataset_tasks(
    asked: Sequence[Any], splits: dict[str, Split]
) -> tuple[dict[str, Task], tuple[Target, ...], dict[str, Split]]:
    """Tasks as given, or from the labels of targets with one number a row.

    Args:
        asked: Names, or tasks; all of the data's if empty.
        splits: The rows.

    Returns:
        The tasks; those of them that were inferred, as columns; the rows, with their labels as the tasks take them.

    Raises:
        ValueError: for a task without targets, or fewer than two.
    """
    known = list(splits["train"].targets)
    asked = list(asked) or known
    said: dict[str, str] = {}
    names = []
    for text in (task for task in asked if not isinstance(task, Task)):
        (name,), overrides = named_tasks([text])
        names.append(name)
        said |= dict.fromkeys([name], *overrides) if overrides else {}
    tasks: dict[str, Task] = {}
    targets, encoded = [], {}
    order = iter(names)
    for task in asked:
        name = task.name if isinstance(task, Task) else next(order)
        for part in PARTS:
            if name not in splits[part].targets:
                raise ValueError(f"task {name!r} is not among the {part} targets, {', '.join(splits[part].targets)}")
        if isinstance(task, Task):
            tasks[name] = task
            continue
        target, columns = _inferred(name, said.get(name), splits)
        targets.append(target)
        tasks[name] = task_of(target)
        encoded[name] = columns
    if len(tasks) < 2:
        raise ValueError(f"{next(iter(tasks))!r} is the only task, expected at least two: a study compares sharing")
    made_splits = {
        part: Split(split.inputs, {name: encoded.get(name, {}).get(part, split.targets[name]) for name in tasks})
        for part, split in splits.items()
    }
    return tasks, tuple(targets), made_splits


def check_labels(tasks: Mapping[str, Task], targets: Sequence[Target], splits: Mapping[str, Split]) -> None:
    """Refuses splits in which a task has no label, or one class: every run would end in an error, after its training.

    Raises:
        ValueError: for the first such task.
    """
    binary = {target.name for target in targets if target.kind == "binary"}
    for name, task in tasks.items():
        for part in PARTS:
            values = splits[part].targets[name]
            mask = task.labelled(values)
            known = values if mask is None else values[mask]
            if not len(known) or (name in binary and bool((known == known[0]).all())):
                found, expected = ("one class", "both") if len(known) else ("no label", "some")
                raise ValueError(
                    f"task {name!r} has {found} in the {part} rows, expected {expected}: label more rows, or "
                    "split them in another way"
                )


def _inferred(name: str, said: str | None, splits: Mapping[str, Split]) -> tuple[Target, dict[str, Tensor]]:
    import pyarrow as pa  # noqa: PLC0415

    from counterpoint.data.tables import TableOptions, target_of, with_statistics  # noqa: PLC0415

    columns = {part: splits[part].targets[name] for part in PARTS}
    if columns["train"].ndim != 1:
        raise ValueError(
            f"task {name!r} has targets of shape {list(columns['train'].shape[1:])} a row, expected one number: "
            "give a Task with its loss and metric instead of a name"
        )
    arrays = {part: _array(values) for part, values in columns.items()}
    override = TableOptions((name,), (said,)).overrides[name] if said else None
    target, _ = target_of(name, pa.chunked_array(list(arrays.values())), override, source="the data")
    target = with_statistics(target, pa.chunked_array([arrays["train"]]))
    return target, {part: torch.tensor(target.encode(pa.chunked_array([array]))) for part, array in arrays.items()}


def _array(values: Tensor) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    numbers = values.numpy()
    missing = np.isnan(numbers) if values.is_floating_point() else numbers == MISSING
    return pa.array(numbers, mask=missing)
