"""The decision of a study in tables: what each method amounts to and costs, and how it does on every task."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.estimate import Estimate
from counterpoint.report.explain_units import change_parts
from counterpoint.report.study_words import PERCENT
from counterpoint.report.tables import OUTCOME_WORDS, Cell, Row
from counterpoint.report.verdict import Outcome, judge
from counterpoint.report.wording import NO_BREAK, NOTHING, decimals_for, duration, number, percent
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from counterpoint.report.methods import Method
    from counterpoint.study.study_results import StudyResults

METHOD_COLUMNS = (
    ("Method", ""),
    ("Δm on test rows", "95 % interval"),
    ("Δm on validation rows", "95 % interval"),
    ("Networks", "to serve"),
    ("Multiply-adds", "a row"),
    ("Parameters", "to serve"),
    ("Training time", "one seed"),
    ("Search time", "one seed"),
)


def methods_table(results: StudyResults) -> list[Row]:
    """A row a method, the recommended one first; the cells follow ``METHOD_COLUMNS``.

    Args:
        results: A finished study.
    """
    order = sorted(results.methods, key=lambda method: (method.key != results.decision.chosen, method.key != BASELINE))
    return [Row(method.label, standing(results, method.key), _amounts(results, method.key)) for method in order]


def standing(results: StudyResults, key: str) -> str:
    """What the decision says about a method, in a few words."""
    decision = results.decision
    # What was chosen on validation rows is not taken back because of test rows, but it is not recommended either.
    contradicted = decision.verdict == "separate" and results.method(decision.chosen).shares
    contradicted = contradicted and BASELINE not in decision.ruled_out
    recommended = decision.verdict != "undecided" and not contradicted
    said = ["recommended" if recommended else "chosen on validation rows"] * (key == decision.chosen)
    said += ["recommended: test rows contradict the choice"] * (key == BASELINE and contradicted)
    said += ["highest mean on validation rows"] * (key == decision.leader != decision.chosen)
    said += [f"ruled out: {decision.ruled_out[key]}"] if key in decision.ruled_out else []
    return "; ".join(said)


def _amounts(results: StudyResults, key: str) -> list[Cell]:
    found = results.decision.contrast(key, BASELINE)
    cells = [
        Cell("0", note="the reference")
        if key == BASELINE
        else change_cell(getattr(found, split) if found is not None else None)
        for split in ("test", "validation")
    ]
    cost = results.decision.costs.get(key)
    if cost is None:
        return cells + [Cell(NOTHING)] * 5
    return [
        *cells,
        Cell(f"{cost.networks:,}", raw={"value": cost.networks}),
        Cell(number(cost.multiply_adds, 0), raw={"value": cost.multiply_adds}),
        Cell(number(cost.parameters, 0), raw={"value": cost.parameters}),
        Cell(duration(cost.seconds), raw={"value": cost.seconds}),
        Cell(duration(cost.search_seconds) if cost.search_seconds else NOTHING, raw={"value": cost.search_seconds}),
    ]


def change_cell(estimate: Estimate | None) -> Cell:
    r"""A change in percent with its interval and what that says.

    Example:
        >>> cell = change_cell(Estimate(1.25, 0.5, 2.0, 0.3, 3))
        >>> cell.value.replace("\N{NO-BREAK SPACE}", " "), cell.spread, cell.note
        ('+1.2 %', '+0.5 to +2.0', 'better')
    """
    if estimate is None:
        return Cell(NOTHING, note=OUTCOME_WORDS[Outcome.UNPAIRED])
    raw = {"value": estimate.mean, "low": estimate.low, "high": estimate.high}
    outcome = judge(estimate)
    words = OUTCOME_WORDS[outcome]
    if outcome is Outcome.UNDEFINED:
        return Cell(NOTHING, note=words, raw=raw)
    if outcome is Outcome.ONE_SEED:
        return Cell(percent(estimate.mean), note=words, raw=raw)
    mean, ends = change_parts(estimate, PERCENT)
    return Cell(f"{mean}{NO_BREAK}%", ends, words, raw)


def tasks_table(results: StudyResults, methods: Sequence[Method]) -> list[Row]:
    """A row a task with its test metric from each method, and by how much that is better than alone.

    Args:
        results: A finished study.
        methods: The columns.
    """
    by_task = dict(list(results.scores("test").groupby("task", sort=False)))
    return [_task_row(results, by_task[task], str(task), methods) for task in results.tasks]


def _task_row(results: StudyResults, rows: pd.DataFrame, task: str, methods: Sequence[Method]) -> Row:
    values: dict[str, list[float]] = {}
    for key, value in zip(rows["method"], rows["value"], strict=True):
        values.setdefault(key, []).append(float(value))
    with np.errstate(invalid="ignore"):  # the spread of values that are not finite is none
        estimates = {key: Estimate.of(own) for key, own in values.items()}
    decimals = decimals_for([estimate.mean for estimate in estimates.values()])
    cells = []
    for method in methods:
        estimate = estimates.get(method.key)
        if estimate is None:
            cells.append(Cell(NOTHING, note="not trained"))
            continue
        several = estimate.seeds > 1 and math.isfinite(estimate.spread)
        spread = f"±{NO_BREAK}{number(estimate.spread, decimals)}" if several else ""
        note, raw = _task_change(results, method.key, task)
        raw = {"value": estimate.mean, "spread": estimate.spread} | raw
        cells.append(Cell(number(estimate.mean, decimals), spread, note, raw))
    arrow = "↑" if rows["direction"].iloc[0] == "maximize" else "↓"
    return Row(task, f"{rows['metric'].iloc[0]}{NO_BREAK}{arrow}", cells)


def _task_change(results: StudyResults, key: str, task: str) -> tuple[str, dict[str, float]]:
    found = results.decision.contrast(key, BASELINE)
    if found is None or task not in found.tasks:
        return "", {}
    estimate = found.tasks[task]
    cell = change_cell(estimate)
    raw = {"change": estimate.mean, "low": estimate.low, "high": estimate.high}
    if judge(estimate) is Outcome.UNDEFINED:
        return "change against alone is undefined", raw
    ends = f" ({cell.spread})" if cell.spread else ""
    verdict = f" {cell.note}" if judge(estimate) in {Outcome.BETTER, Outcome.WORSE} else ""
    return f"{cell.value}{ends}{verdict}", raw
