"""Tasks as people name them: a column, or a column and what it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS = "binary|multiclass|regression|count"
_KIND = re.compile(rf"(?P<name>.+?):(?P<kind>({_KINDS})(:(?!({_KINDS})$)\w+)?)")


def named_tasks(tasks: Sequence[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of columns, and those of them with what they are.

    Raises:
        ValueError: for what is no name.

    Example:
        >>> named_tasks(["price:regression:log", "cut"])
        (('price', 'cut'), ('price:regression:log',))
    """
    if isinstance(tasks, str):
        tasks = [tasks]
    names, overrides = [], []
    for task in tasks:
        if not isinstance(task, str):
            raise ValueError(f"task {task!r} is no name, expected names of columns")  # noqa: TRY004
        match = _KIND.fullmatch(task)
        names.append(match["name"] if match else task)
        overrides += [task] if match else []
    return tuple(names), tuple(overrides)
