"""The results of a recipe in tables: what each method amounts to and costs, and every metric on test rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.estimate import Estimate
from counterpoint.report.methods import UNIFORM, methods_of
from counterpoint.report.recipe_changes import Changes, changes_against, estimate
from counterpoint.report.recipe_reference import references
from counterpoint.report.recipe_scores import Column, best, columns_of, seconds_of
from counterpoint.report.study_tables import change_cell
from counterpoint.report.tables import OUTCOME_WORDS, Cell, Row
from counterpoint.report.verdict import Outcome, judge
from counterpoint.report.wording import NO_BREAK, NOTHING, decimals_for, duration, number, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.report.methods import Method
    from counterpoint.report.recipe_reference import Reference
    from counterpoint.study.recipes.results import RecipeResults

# More columns than this are not read side by side: then tasks are summarized, and listed in rows.
MAX_COLUMNS = 12


def method_columns(results: RecipeResults) -> list[tuple[str, str]]:
    """The columns of :func:`recipe_methods_table` with their units.

    Args:
        results: A finished recipe.
    """
    changes = [(f"Against {reference.words}", "Δm, 95 % interval") for reference in references(results)]
    costs = [("Training time", "all networks of one seed"), ("Seeds", ""), ("Trainings", "search included")]
    return [("Method", ""), *changes, *costs]


def recipe_methods_table(results: RecipeResults) -> list[Row]:
    """A row a method: its mean changes, its time and its trainings; the cells follow :func:`method_columns`.

    Args:
        results: A finished recipe.
    """
    against = [(reference, changes_against(results.scores, reference.key)) for reference in references(results)]
    methods, seconds = methods_of(results.scores), seconds_of(results.scores)
    trainings = {str(facts.get("key")): facts.get("trainings") for facts in results.about.get("methods", [])}
    rows = []
    for method in methods:
        seeds, count = len(seconds[method.key]), trainings.get(method.key)
        cells = [_change(reference, changes, method.key) for reference, changes in against]
        cells += [_time(seconds, method.key), Cell(f"{seeds}", raw={"value": seeds})]
        cells.append(Cell(NOTHING) if count is None else Cell(f"{count:,}", raw={"value": count}))
        rows.append(Row(method.label, "", cells))
    return rows


def _change(reference: Reference, changes: Changes, key: str) -> Cell:
    if key == reference.key:
        return Cell("0", note="the reference")
    if not reference.trained:
        return Cell(NOTHING, note="not trained")
    return change_cell(estimate(changes.mean(key).values()))


def _time(seconds: Mapping[str, Mapping[int, float]], key: str) -> Cell:
    own, theirs = seconds[key], seconds.get(UNIFORM, {})
    mean = float(Estimate.of(list(own.values())).mean)
    ratio = estimate([own[seed] / theirs[seed] for seed in own if theirs.get(seed)])
    if ratio is None or key == UNIFORM or not math.isfinite(ratio.mean):
        return Cell(duration(mean), raw={"value": mean})
    times = f"{number(ratio.mean, 2)}{NO_BREAK}times the plain sum"
    return Cell(duration(mean), note=times, raw={"value": mean, "ratio": ratio.mean})


@dataclass(frozen=True)
class MetricsTable:
    """Every metric on test rows, a row a method.

    Attributes:
        groups: Tasks, each with the number of its columns.
        columns: Metrics with the direction that is better.
        rows: A row a method.
    """

    groups: list[tuple[str, int]]
    columns: list[tuple[str, str]]
    rows: list[Row]


def metrics_table(results: RecipeResults, columns: Sequence[Column]) -> MetricsTable:
    """A row a method and a column a metric of each task.

    Args:
        results: A finished recipe.
        columns: As :func:`columns_of` found.
    """
    methods = methods_of(results.scores)
    cells = [values_row(column, methods) for column in columns]
    groups: dict[str, int] = {}
    for column in columns:
        groups[column.task] = groups.get(column.task, 0) + 1
    rows = [Row(method.label, "", [column[place] for column in cells]) for place, method in enumerate(methods)]
    return MetricsTable(list(groups.items()), [(column.metric, column.arrow) for column in columns], rows)


def detail_table(results: RecipeResults) -> list[Row]:
    """A row a task and metric, a column a method: for more tasks than fit side by side.

    Args:
        results: A finished recipe.
    """
    scores, methods = results.scores, methods_of(results.scores)
    reference = references(results)[0].key
    metrics = scores["metric"].astype(str)
    against = {metric: changes_against(scores[metrics == metric], reference) for metric in metrics.unique()}
    rows = []
    for column in columns_of(scores):
        changes = [against[column.metric].of_task(method.key, column.task) for method in methods]
        cells = [_with(cell, found) for cell, found in zip(values_row(column, methods), changes, strict=True)]
        rows.append(Row(column.task, f"{column.metric}{NO_BREAK}{column.arrow}", cells))
    return rows


def _with(cell: Cell, found: Estimate | None) -> Cell:
    if found is None or judge(found) is Outcome.UNDEFINED:
        return cell
    word = OUTCOME_WORDS[judge(found)] if found.excludes_zero else ""
    said = f"{percent(found.mean)} {word}".strip()
    note = f"{cell.note}; {said}" if cell.note else said
    return Cell(cell.value, cell.spread, note, {**cell.raw, "change": found.mean})


def values_row(column: Column, methods: Sequence[Method]) -> list[Cell]:
    r"""A metric of each method: mean over seeds ± half of the 95 % interval, and which one is best beyond doubt.

    Args:
        column: The metric with its values.
        methods: Of which to show it, in this order.

    Example:
        >>> from counterpoint.report.methods import Method
        >>> column = Column("depth", "error", "minimize", True, {"m": {0: 0.25, 1: 0.27, 2: 0.26}})
        >>> (cell,) = values_row(column, [Method("m", "MGDA-UB", "#c84e00", "solid")])
        >>> cell.value, cell.spread.replace("\N{NO-BREAK SPACE}", " ")
        ('0.2600', '± 0.0248')
    """
    estimates = {key: estimate(seeds.values()) for key, seeds in column.values.items()}
    decimals = decimals_for([found.mean for found in estimates.values() if found])
    winner = best(column)
    return [_value(estimates.get(method.key), decimals, best=method.key == winner) for method in methods]


def _value(found: Estimate | None, decimals: int, *, best: bool) -> Cell:
    if found is None:
        return Cell(NOTHING, note="not trained")
    half = (found.high - found.low) / 2
    spread = f"±{NO_BREAK}{number(half, decimals)}" if math.isfinite(half) else ""
    raw = {"value": found.mean} | ({"half": half} if math.isfinite(half) else {})
    return Cell(number(found.mean, decimals), spread, "best" if best else "", raw)
