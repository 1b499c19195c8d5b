"""Many tasks of a recipe in few columns: the mean over tasks, their quartiles, and how many gained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.report.methods import methods_of
from counterpoint.report.recipe_changes import changes_against
from counterpoint.report.recipe_reference import references
from counterpoint.report.recipe_scores import Column, columns_of, mean_over_tasks
from counterpoint.report.recipe_tables import values_row
from counterpoint.report.tables import Cell, Row
from counterpoint.report.verdict import Outcome, judge
from counterpoint.report.wording import NOTHING, decimals_for, number

if TYPE_CHECKING:
    from counterpoint.report.methods import Method
    from counterpoint.report.recipe_changes import Changes
    from counterpoint.study.recipes.results import RecipeResults

_COLUMNS = (
    ("Method", ""),
    ("Mean over tasks", "± half of the 95 % interval"),
    ("Lowest task", ""),
    ("Lower quartile", ""),
    ("Median task", ""),
    ("Upper quartile", ""),
    ("Highest task", ""),
)


@dataclass(frozen=True)
class Summary:
    """One metric that several tasks have.

    Attributes:
        metric: Its name.
        arrow: Which direction is better.
        tasks: How many tasks have it.
        rows: A row a method; the cells follow :func:`summary_columns`.
    """

    metric: str
    arrow: str
    tasks: int
    rows: list[Row]


def summary_columns(results: RecipeResults) -> list[tuple[str, str]]:
    """The columns of the summaries with their units.

    Args:
        results: A finished recipe.
    """
    short = references(results)[0].short
    return [*_COLUMNS, (f"Better than {short}", "tasks"), (f"Worse than {short}", "tasks")]


def summaries(results: RecipeResults) -> list[Summary]:
    """A table for each metric, over the tasks that have it.

    Args:
        results: A finished recipe.
    """
    by_metric: dict[tuple[str, str], list[Column]] = {}
    for column in columns_of(results.scores):
        by_metric.setdefault((column.metric, column.arrow), []).append(column)
    methods, reference = methods_of(results.scores), references(results)[0].key
    made = []
    for (metric, arrow), columns in by_metric.items():
        scores = results.scores
        changes = changes_against(scores[scores["metric"].astype(str) == metric], reference)
        made.append(Summary(metric, arrow, len(columns), _rows(columns, methods, changes)))
    return made


def _rows(columns: list[Column], methods: list[Method], changes: Changes) -> list[Row]:
    over = Column("", columns[0].metric, columns[0].direction, columns[0].main, mean_over_tasks(columns))
    means = values_row(over, methods)
    points = [_quartiles(columns, method.key) for method in methods]
    decimals = decimals_for([point for row in points for point in row])
    tasks = [column.task for column in columns]
    rows = []
    for method, mean, row in zip(methods, means, points, strict=True):
        quartiles = [Cell(number(point, decimals), raw={"value": point}) for point in row] or [Cell(NOTHING)] * 5
        rows.append(Row(method.label, "", [mean, *quartiles, *_counts(changes, method.key, tasks)]))
    return rows


def _quartiles(columns: list[Column], key: str) -> list[float]:
    by_task = [float(np.mean([*column.values[key].values()])) for column in columns if key in column.values]
    if len(by_task) < len(columns) or not np.isfinite(by_task).all():
        return []
    return [float(point) for point in np.quantile(by_task, [0, 0.25, 0.5, 0.75, 1])]


def _counts(changes: Changes, key: str, tasks: list[str]) -> list[Cell]:
    found = [judge(change) for task in tasks if (change := changes.of_task(key, task)) is not None]
    if key == changes.reference or not found or all(outcome is Outcome.ONE_SEED for outcome in found):
        return [Cell(NOTHING)] * 2
    counts = [found.count(outcome) for outcome in (Outcome.BETTER, Outcome.WORSE)]
    return [Cell(f"{count}", raw={"value": count}) for count in counts]
