"""The scores of a recipe, arranged for its tables: by task and metric, by method and seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.report.recipe_changes import estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


@dataclass(frozen=True)
class Column:
    """One metric of one task.

    Attributes:
        task: The task's name.
        metric: The metric's name.
        direction: ``"maximize"`` or ``"minimize"``.
        main: Whether epochs were chosen by it.
        values: By method and seed.
    """

    task: str
    metric: str
    direction: str
    main: bool
    values: Mapping[str, Mapping[int, float]]

    @property
    def arrow(self) -> str:
        """Which direction is better."""
        return "↑" if self.direction == "maximize" else "↓"


def columns_of(scores: pd.DataFrame) -> list[Column]:
    """Every metric of every task in the recipe's order, the main one of a task first.

    Args:
        scores: ``RecipeResults.scores``.

    Example:
        >>> import pandas as pd
        >>> rows = [("m", 0, "a", "loss", "minimize", False, 0.3), ("m", 0, "a", "accuracy", "maximize", True, 0.9)]
        >>> frame = pd.DataFrame(rows, columns=["method", "seed", "task", "metric", "direction", "main", "value"])
        >>> [(column.metric, column.values) for column in columns_of(frame)]
        [('accuracy', {'m': {0: 0.9}}), ('loss', {'m': {0: 0.3}})]
    """
    names = ("task", "metric", "direction", "main", "method", "seed", "value")
    found: dict[tuple[str, str, str, bool], dict[str, dict[int, float]]] = {}
    for task, metric, direction, main, method, seed, value in zip(*(scores[n].tolist() for n in names), strict=True):
        key = (str(task), str(metric), str(direction), bool(main))
        found.setdefault(key, {}).setdefault(str(method), {})[int(seed)] = float(value)
    tasks = list(dict.fromkeys(key[0] for key in found))
    order = sorted(found, key=lambda key: (tasks.index(key[0]), not key[3]))
    return [Column(*key, values=found[key]) for key in order]


def best(column: Column) -> str | None:
    """The method that is better than every other one, seed by seed, beyond the 95 % interval of the difference.

    Args:
        column: A metric with its values.

    Returns:
        Its key; None where no method is, or where fewer than two seeds can be compared.

    Example:
        >>> values = {"a": {0: 0.9, 1: 0.8}, "b": {0: 0.7, 1: 0.61}}
        >>> best(Column("t", "accuracy", "maximize", True, values))
        'a'
        >>> best(Column("t", "accuracy", "maximize", True, values | {"c": {0: 0.6, 1: 0.9}})) is None
        True
    """
    sign = 1.0 if column.direction == "maximize" else -1.0
    found = {key: estimate(seeds.values()) for key, seeds in column.values.items()}
    means = {key: sign * value.mean if value else math.nan for key, value in found.items()}
    if len(means) < 2 or not all(map(math.isfinite, means.values())):
        return None
    leader = max(means, key=means.__getitem__)
    own = column.values[leader]
    for key, theirs in column.values.items():
        if key != leader:
            difference = estimate(sign * (own[seed] - theirs[seed]) for seed in own if seed in theirs)
            if difference is None or not difference.low > 0:
                return None
    return leader


def mean_over_tasks(columns: list[Column]) -> dict[str, dict[int, float]]:
    """The mean over tasks of one metric, by method and by the seeds that have all tasks.

    Args:
        columns: The metric in each task.

    Example:
        >>> columns = [Column(task, "error", "minimize", True, {"m": seeds})
        ...            for task, seeds in (("a", {0: 0.1, 1: 0.2}), ("b", {0: 0.3}))]
        >>> mean_over_tasks(columns)
        {'m': {0: 0.2}}
    """
    methods = dict.fromkeys(key for column in columns for key in column.values)
    means = {}
    for key in methods:
        tasks = [column.values.get(key, {}) for column in columns]
        complete = [seed for seed in tasks[0] if all(seed in task for task in tasks)]
        if complete:
            means[key] = {seed: float(np.mean([task[seed] for task in tasks])) for seed in complete}
    return means


def seconds_of(scores: pd.DataFrame) -> dict[str, dict[int, float]]:
    """Training time of all networks of one seed, by method and seed.

    Args:
        scores: ``RecipeResults.scores``.

    Example:
        >>> import pandas as pd
        >>> rows = [("single", 0, "r0", 5.0), ("single", 0, "r0", 5.0), ("single", 0, "r1", 7.0)]
        >>> seconds_of(pd.DataFrame(rows, columns=["method", "seed", "run", "seconds"]))
        {'single': {0: 12.0}}
    """
    runs = scores.drop_duplicates(["method", "seed", "run"])
    found: dict[str, dict[int, float]] = {}
    for method, seed, seconds in zip(*(runs[name].tolist() for name in ("method", "seed", "seconds")), strict=True):
        seeds = found.setdefault(str(method), {})
        seeds[int(seed)] = seeds.get(int(seed), 0.0) + float(seconds)
    return found
