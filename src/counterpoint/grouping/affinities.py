"""What users hand over as affinity: our own object, a DataFrame, or an array with names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from counterpoint.names import checked_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.grouping.problem import Array

_ACCEPTED = "an Affinity, a pandas DataFrame, or a [T, T] array with tasks="


def read_affinity(affinity: Any, tasks: Sequence[str] | None) -> tuple[Array, tuple[str, ...]]:
    """Affinities [T, T] in double precision and the names of the tasks.

    Raises:
        TypeError: for what is none of the three, or names that are no strings.
        ValueError: for a matrix that is not square, names that do not fit, NaN or infinity off the diagonal.
    """
    if hasattr(affinity, "index") and hasattr(affinity, "columns"):
        values, names = _from_frame(affinity)
    elif hasattr(affinity, "values") and hasattr(affinity, "tasks"):
        values, names = affinity.values, tuple(affinity.tasks)
    else:
        if tasks is None:
            raise ValueError(f"affinity is a {type(affinity).__name__} without names, expected {_ACCEPTED}")
        values, names = affinity, checked_names(tasks)
        tasks = None
    names = checked_names(names)
    if tasks is not None and checked_names(tasks) != names:
        raise ValueError(f"tasks={list(tasks)} differ from the affinity's own {list(names)}, leave tasks out")
    return _checked(values, names), names


def _from_frame(frame: Any) -> tuple[object, tuple[str, ...]]:
    rows, columns = list(frame.index), list(frame.columns)
    if len(set(rows)) < len(rows) or sorted(map(str, rows)) != sorted(map(str, columns)):
        only = [str(name) for name in (*rows, *columns) if (name in rows) != (name in columns)]
        found = f"{only} are only among one of them" if only else "a name is given twice"
        raise ValueError(f"the DataFrame's index and columns differ: {found}, expected each task once in both")
    return frame.loc[rows, rows].to_numpy(), tuple(rows)


def _checked(values: object, names: tuple[str, ...]) -> Array:
    try:
        matrix = np.array(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"affinity holds something that is no number ({error}), expected {_ACCEPTED}") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"affinity has shape {list(matrix.shape)}, expected a square matrix [T, T]")
    if len(matrix) != len(names):
        raise ValueError(f"affinity has shape {list(matrix.shape)} but there are {len(names)} tasks, expected one each")
    np.fill_diagonal(matrix, 0.0)  # may be anything: a task's effect on itself does not count
    if not np.isfinite(matrix).all():
        step, affected = (int(index) for index in np.argwhere(~np.isfinite(matrix))[0])
        raise ValueError(
            f"affinity of {names[step]!r} onto {names[affected]!r} is {matrix[step, affected]}, expected a finite "
            "number: measure the pair, or leave the task out"
        )
    return cast("Array", matrix)
