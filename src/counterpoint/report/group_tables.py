"""The tables of a grouping study: its methods with their costs, and its overview in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.tables import OUTCOME_WORDS, Cell, Row
from counterpoint.report.verdict import Outcome, interval, judge
from counterpoint.report.wording import NOTHING, decimals_for, duration, listing, number, percent, plural, signed
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from counterpoint.estimate import Estimate
    from counterpoint.report.group_methods import GroupMethod
    from counterpoint.study.group_results import GroupResults

COLUMNS = (
    ("Networks", ""),
    ("Test metric", "mean over tasks"),
    ("Δm", "against alone, 95 % interval"),
    ("Test loss", "mean over tasks"),
    ("Loss reduction", "against alone, 95 % interval"),
    ("Training time", "one seed, with search"),
    ("Search", "part of it"),
    ("Parameters", "to serve"),
)


def methods_table(methods: Sequence[GroupMethod]) -> list[list[tuple[GroupMethod, Row]]]:
    """One row a method, in one list a family; the cells follow ``COLUMNS``.

    Example:
        >>> from counterpoint.report.group_methods import GroupMethod
        >>> from counterpoint.estimate import Estimate
        >>> loss, time = Estimate.of([0.5, 0.7]), Estimate.of([9.0, 11.0])
        >>> alone = GroupMethod("single", 2, ("single",), (2, 2), None, loss, None, None, None, time, 0.0, (80, 80))
        >>> [cell.value for cell in methods_table([alone])[0][0][1].cells][2:6]
        ['0', '0.6000', '0', '10 s']
    """
    metrics = decimals_for([method.metric.mean for method in methods if method.metric])
    losses = decimals_for([method.loss.mean for method in methods])
    families: dict[str, list[tuple[GroupMethod, Row]]] = {}
    for method in methods:
        spreads = _draws(method, "delta"), _draws(method, "reduction")
        cells = [
            Cell(_range(method.networks)),
            _mean(method.metric, metrics),
            _change(method, method.delta, spreads[0]),
            _mean(method.loss, losses),
            _change(method, method.reduction, spreads[1]),
            Cell(duration(method.seconds.mean)),
            Cell(duration(method.search) if method.search else NOTHING),
            Cell(_range(method.parameters)),
        ]
        families.setdefault(method.family, []).append((method, Row(method.label, _drawn(method), cells)))
    return list(families.values())


def group_overview(results: GroupResults, scores: pd.DataFrame) -> str:
    """What the study consists of, in one line."""
    tasks = plural(len(results.affinity.tasks), "task")
    if scores.empty:
        return f"{tasks}, {plural(len(results.candidates), 'grouping')}, nothing trained"
    counted = [
        tasks,
        plural(len(results.candidates), "grouping"),
        plural(int(scores["seed"].nunique()), "seed"),
        plural(int(results.networks["run"].nunique()), "trained network"),
    ]
    return listing(counted)


def _mean(estimate: Estimate | None, decimals: int) -> Cell:
    if estimate is None:
        return Cell(NOTHING, note="tasks have different metrics")
    return Cell(number(estimate.mean, decimals), f"± {number(estimate.spread, decimals)}" if estimate.seeds > 1 else "")


def _change(method: GroupMethod, estimate: Estimate | None, note: str) -> Cell:
    if method.family == BASELINE:
        return Cell("0", note="the reference")
    if estimate is None:
        return Cell(NOTHING, note=OUTCOME_WORDS[Outcome.UNDEFINED])
    words = OUTCOME_WORDS[judge(estimate)] + (f"; {note}" if note else "")
    return Cell(percent(estimate.mean), interval(estimate) if estimate.seeds > 1 else "", words)


def _drawn(method: GroupMethod) -> str:
    if not method.follows_rules:
        return "breaks the rules: for comparison only"
    return f"mean of {plural(len(method.draws), 'draw')}" if method.draws else ""


def _draws(method: GroupMethod, measure: str) -> str:
    values = [getattr(draw, measure) for draw in method.draws]
    return f"draws {signed(min(values))} to {signed(max(values))}" if len(values) > 1 else ""


def _range(counts: tuple[int, int]) -> str:
    low, high = counts
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
