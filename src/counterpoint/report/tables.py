"""The page's tables: results per task and method, and the study's facts."""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from counterpoint.estimate import Estimate
from counterpoint.report.methods import Method, methods_of, tasks_of
from counterpoint.report.verdict import LEVEL, Outcome, compare, interval
from counterpoint.report.wording import (
    NO_BREAK,
    NOTHING,
    decimals_for,
    duration,
    listing,
    number,
    percent,
    plural,
)
from counterpoint.study.summary import BASELINE, task_delta

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

OUTCOME_WORDS = {
    Outcome.BETTER: "better",
    Outcome.WORSE: "worse",
    Outcome.NO_DIFFERENCE: "no difference found",
    Outcome.ONE_SEED: "one seed cannot tell",
    Outcome.UNPAIRED: "no seed in common",
    Outcome.UNDEFINED: "undefined",
}


@dataclass(frozen=True)
class Cell:
    """One cell: its value, and what stands smaller behind and below it; ``raw`` numbers become data attributes."""

    value: str
    spread: str = ""
    note: str = ""
    raw: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Row:
    """One row: what it measures, in which unit or direction, and a cell for each method."""

    name: str
    unit: str
    cells: list[Cell]


@dataclass(frozen=True)
class ResultsTable:
    """Test results: a row a task, then what they amount to and what they cost."""

    methods: list[Method]
    tasks: list[Row]
    delta: Row | None
    costs: list[Row]


def results_table(scores: pd.DataFrame, methods: list[Method] | None = None) -> ResultsTable:
    """The results table: a row a task, a column a method, and rows for Delta-m and costs.

    Args:
        scores: ``Results.scores``.
        methods: The methods to show, in this order; all by default.

    Example:
        >>> import pandas as pd
        >>> rows = [("r0", "uniform", "Uniform", 0, "a", "accuracy", "maximize", 0.8, 9.0, 100),
        ...         ("r1", "uniform", "Uniform", 1, "a", "accuracy", "maximize", 0.9, 11.0, 100)]
        >>> columns = "run method label seed task metric direction value seconds parameters".split()
        >>> results_table(pd.DataFrame(rows, columns=columns)).tasks[0].cells[0]
        Cell(value='0.8500', spread='± 0.0707', note='')
    """
    methods = methods_of(scores) if methods is None else methods
    others = [method for method in methods if method.key != BASELINE]
    compared = len(methods) > len(others) > 0
    return ResultsTable(
        methods=methods,
        tasks=[_task_row(scores, task, methods) for task in tasks_of(scores)],
        delta=_delta_row(scores, methods) if compared else None,
        costs=_cost_rows(scores, methods),
    )


def _task_row(scores: pd.DataFrame, task: str, methods: list[Method]) -> Row:
    rows = scores[scores["task"].astype(str) == task]
    estimates = []
    for method in methods:
        values = rows.loc[rows["method"] == method.key, "value"].astype(float)
        estimates.append(Estimate.of(list(values)) if len(values) else None)
    decimals = decimals_for([estimate.mean for estimate in estimates if estimate])
    cells = []
    for method, estimate in zip(methods, estimates, strict=True):
        if estimate is None:
            cells.append(Cell(NOTHING, note="not trained"))
            continue
        spread = f"± {number(estimate.spread, decimals)}" if estimate.seeds > 1 else ""
        cells.append(Cell(number(estimate.mean, decimals), spread, _task_change(rows, method, task)))
    arrow = "↑" if rows["direction"].iloc[0] == "maximize" else "↓"
    return Row(task, f"{rows['metric'].iloc[0]}{NO_BREAK}{arrow}", cells)


def _task_change(rows: pd.DataFrame, method: Method, task: str) -> str:
    if method.key == BASELINE:
        return ""
    changes = list(task_delta(rows, method.key, rows["task"].iloc[0]).values())
    if any(math.isnan(change) for change in changes):
        return f"no relative change: {task} scored 0 alone"
    return percent(Estimate.of(changes).mean) if changes else ""


def _delta_row(scores: pd.DataFrame, methods: list[Method]) -> Row:
    cells = []
    for method in methods:
        if method.key == BASELINE:
            cells.append(Cell("0", note="the reference"))
            continue
        comparison = compare(scores, method)
        words, estimate = OUTCOME_WORDS[comparison.outcome], comparison.estimate
        if estimate is None:
            cells.append(Cell(NOTHING, note=words))
        elif math.isinf(estimate.low):
            cells.append(Cell(percent(estimate.mean), note=words))
        else:
            cells.append(Cell(percent(estimate.mean), f"{interval(estimate)}", words))
    return Row("Δm", f"mean relative change, {LEVEL}", cells)


def _cost_rows(scores: pd.DataFrame, methods: list[Method]) -> list[Row]:
    runs = scores.drop_duplicates(["method", "run"])  # methods may share a run: groupings share networks
    seconds, networks, parameters = [], [], []
    for method in methods:
        by_seed = runs[runs["method"] == method.key].groupby("seed")
        estimate = Estimate.of(list(by_seed["seconds"].sum().astype(float)))
        seconds.append(Cell(duration(estimate.mean), f"± {duration(estimate.spread)}" if estimate.seeds > 1 else ""))
        networks.append(Cell(_range(by_seed["run"].count())))
        parameters.append(Cell(_range(by_seed["parameters"].sum())))
    return [
        Row("Training time", "all networks of one seed", seconds),
        Row("Networks", "to train and serve", networks),
        Row("Parameters", "of all networks", parameters),
    ]


def _range(counts: pd.Series[int]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def overview(scores: pd.DataFrame) -> str:
    """What the study consists of, in one line.

    Example:
        >>> import pandas as pd
        >>> overview(pd.DataFrame({"task": ["a"], "method": ["mgda"], "seed": [0], "run": ["mgda-seed0"]}))
        '1 task, 1 method, 1 seed and 1 run'
    """
    counted = [("task", "task"), ("method", "method"), ("seed", "seed"), ("run", "run")]
    return listing([plural(scores[column].nunique(), noun) for column, noun in counted])


def facts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings or versions as pairs of text, whatever their types.

    Example:
        >>> facts({"epochs": 6, "weightings": ["uniform", "mgda"], "resumed": None})
        [('epochs', '6'), ('weightings', 'uniform, mgda'), ('resumed', 'none')]
    """
    return [(str(key), _plain(value)) for key, value in values.items()]


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def moment(started: str) -> str:
    """An ISO time stamp as people write it; anything else is returned as it is.

    Example:
        >>> moment("2026-03-01T14:05:09.123456+00:00"), moment("last week")
        ('1 March 2026, 14:05 UTC', 'last week')
    """
    try:
        time = dt.datetime.fromisoformat(started)
    except ValueError:
        return started
    return f"{time.day} {time:%B %Y, %H:%M} {time.tzname() or ''}".rstrip()
