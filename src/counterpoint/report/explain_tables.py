"""The tables of an explain study: a row a task and method, and each factor's values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.estimate import Estimate
from counterpoint.report.explain_sentences import loss_text, step_text
from counterpoint.report.explain_units import Unit, change_parts, metric_unit, ratio_parts, side
from counterpoint.report.tables import OUTCOME_WORDS, Cell, Row
from counterpoint.report.verdict import judge
from counterpoint.report.wording import NO_BREAK, NOTHING, decimals_for, number, plural
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.report.methods import Method
    from counterpoint.study.explain.comparison import FactorCurves, TaskComparison
    from counterpoint.study.explain.factors import Factor
    from counterpoint.study.explain.findings import Findings
    from counterpoint.study.explain.results import ExplainResults
    from counterpoint.trajectory.gap import Gap

_HIGHER = {1: "higher", -1: "lower", 0: "no difference found"}


@dataclass(frozen=True)
class TaskRows:
    """One task: its metric, its single-task end value, and a row of cells for each method."""

    name: str
    metric: str
    alone: Cell
    rows: list[tuple[Method, list[Cell]]]


def columns(unit: Unit) -> list[tuple[str, str]]:
    """The columns behind the task's own, with what they show.

    Example:
        >>> columns(Unit(100.0, "points", 1))[0]
        ('Gap', 'points, mean over comparable training loss')
    """
    points = f"{unit.name}, " if unit.name else ""
    return [
        ("Gap", f"{points}mean over comparable training loss"),
        ("Last gap", "at the lowest common training loss"),
        ("Clear from", "training loss; step shared, alone"),
        ("Deficit", "training loss at equal steps, mean"),
        ("End of training", f"{points}change of the test metric"),
    ]


def task_table(results: ExplainResults, found: Findings, methods: Sequence[Method]) -> list[TaskRows]:
    """A row a task and method, in the study's order.

    Args:
        results: An explain study.
        found: Its findings.
        methods: The ways of sharing.
    """
    unit = metric_unit(results)
    table = []
    for task, facts in results.tasks.items():
        ends = [results.trajectory(BASELINE, task, seed, "test_metric").values[-1] for seed in results.seeds]
        end = Estimate.of([unit.scale * float(value) for value in ends])
        digits = decimals_for([end.mean])
        alone = Cell(number(end.mean, digits), f"± {number(end.spread, digits)}")
        arrow = "↓" if facts["direction"] == "minimize" else "↑"
        rows = [(method, _cells(found.comparisons[method.key][task], unit)) for method in methods]
        table.append(TaskRows(task, f"{facts['metric']}{NO_BREAK}{arrow}", alone, rows))
    return table


def _cells(comparison: TaskComparison, unit: Unit) -> list[Cell]:
    deficit = comparison.deficit.estimate
    gap = comparison.gap
    gaps = [Cell(NOTHING, note="no common range"), Cell(NOTHING), Cell(NOTHING)]
    if gap is not None:
        gaps = [_judged(gap.estimate, unit), _judged(gap.last, unit), _onset(gap)]
    return [*gaps, Cell(*change_parts(deficit), _HIGHER[side(deficit)]), _judged(comparison.outcome, unit)]


def _judged(estimate: Estimate, unit: Unit) -> Cell:
    return Cell(*change_parts(estimate, unit), OUTCOME_WORDS[judge(estimate)])


def _onset(gap: Gap) -> Cell:
    onset = gap.onset
    if onset is None:
        return Cell(NOTHING)
    steps = f"step {step_text(onset.multi_step)}, alone {step_text(onset.single_step)}"
    return Cell(loss_text(onset.loss), steps, "better" if onset.better else "worse")


def factor_table(
    factor: Factor, found: Findings, methods: Sequence[Method], tasks: Sequence[str]
) -> tuple[list[str], list[Row]]:
    """A factor's values for each task: heads of the columns, and rows.

    Args:
        factor: The factor.
        found: The findings.
        methods: The ways of sharing.
        tasks: Names of the tasks.
    """
    heads = [f"{method.label}, equal {place}" for method in methods for place in ("training loss", "steps")]
    rows = []
    for task in tasks:
        comparisons = [found.comparisons[method.key][task] for method in methods]
        along = [places.get(factor.key) for c in comparisons for places in (c.at_loss, c.at_step)]
        rows.append(Row(task, "", [_factor(curves) for curves in along]))
    return heads, rows


def _factor(found: FactorCurves | None) -> Cell:
    if found is None:
        return Cell(NOTHING, note="not measured")
    estimate, factor = found.curves.estimate, found.factor
    if factor.shared_only:
        mean, ends = change_parts(estimate)
        return Cell(mean, ends) if factor.key == "cosine" else Cell(mean.replace("+", ""), ends.replace("+", ""))
    words = _HIGHER[side(estimate)]
    if factor.ratio:
        mean, ends = ratio_parts(estimate)
        return Cell(f"\N{MULTIPLICATION SIGN}{NO_BREAK}{mean}", ends, words)
    return Cell(*change_parts(estimate), words)


def remarks(results: ExplainResults, comparisons: Mapping[str, Mapping[str, TaskComparison]]) -> list[str]:
    """What a reader of the gaps should know: which could not be computed, and on what the others rest.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.explain.comparison import TaskComparison
        >>> from counterpoint.study.explain.results import ExplainResults
        >>> apart = TaskComparison("u", "left", "single", "maximize", None, None, "no common range", None, None, {}, {})
        >>> study = ExplainResults(pd.DataFrame(), pd.DataFrame(), {"methods": {"u": "Uniform"}})
        >>> remarks(study, {"u": {"left": apart}})
        ['left (Uniform): no common range.']
    """
    said: dict[str, list[str]] = {}
    for method, by_task in comparisons.items():
        for task, comparison in by_task.items():
            notes = (comparison.problem,) if comparison.gap is None else comparison.gap.notes
            for note in notes:
                said.setdefault(note, []).append(f"{task} ({results.methods[method]})")
    return [f"{', '.join(names)}: {note}." for note, names in said.items()]


def explain_overview(results: ExplainResults) -> str:
    """What the study consists of, in one line.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.explain.results import ExplainResults
        >>> about = {"methods": {"u": "Uniform"}, "tasks": {"left": {}, "right": {}}}
        >>> explain_overview(ExplainResults(pd.DataFrame(), pd.DataFrame({"seed": [0, 1, 1]}), about))
        '2 tasks, 1 way of sharing, 2 seeds and 3 trainings'
    """
    counted = [(len(results.tasks), "task"), (len(results.methods), "way of sharing"), (len(results.seeds), "seed")]
    words = [plural(count, noun) for count, noun in counted]
    words[1] = words[1].replace("way of sharings", "ways of sharing")
    return f"{words[0]}, {words[1]}, {words[2]} and {plural(len(results.runs), 'training')}"
