"""The decision of a study in the terminal: what each method gains and costs, and which one was chosen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from counterpoint.estimate import Estimate
    from counterpoint.study.study_results import StudyResults


def decision_table(results: StudyResults) -> Table:
    """One line a method: networks, change against each task alone on test and validation rows, and cost.

    Args:
        results: A finished study.
    """
    decision = results.decision
    caption = "* chosen on validation rows" + (", - ruled out" if decision.ruled_out else "")
    caption += "; Δm: change against each task alone, 95 % interval, positive is better; time of one seed with search"
    table = Table(box=SIMPLE_HEAD, padding=0, caption=caption, caption_justify="left")
    table.add_column("", no_wrap=True)
    table.add_column("method", overflow="ellipsis", no_wrap=True, max_width=18)
    for title in ("nets", "Δm test", "validation", "parameters", "time"):
        table.add_column(title, justify="right", no_wrap=True)
    for method in results.methods:
        found, cost = decision.contrast(method.key, BASELINE), decision.costs.get(method.key)
        mark = "*" if method.key == decision.chosen else "-" if method.key in decision.ruled_out else ""
        changes = ("0", "0") if method.key == BASELINE else ("", "")
        if found is not None:
            changes = _change(found.test), _mean(found.validation)
        costs = ("", "") if cost is None else (_count(cost.parameters), _time(cost.seconds + cost.search_seconds))
        table.add_row(mark, escape(method.label), str(len(method.networks)), *changes, *costs)
    return table


def _change(estimate: Estimate) -> str:
    if not math.isfinite(estimate.mean) or estimate.seeds < 2:
        return _mean(estimate)
    return escape(f"{estimate.mean:+.1f}% [{estimate.low:+.1f}, {estimate.high:+.1f}]")


def _mean(estimate: Estimate) -> str:
    return f"{estimate.mean:+.1f}%" if math.isfinite(estimate.mean) else "undefined"


def _count(count: float) -> str:
    if not math.isfinite(count):
        return ""
    return f"{count:,.0f}" if count < 1e5 else f"{count / 1e3:,.0f}k" if count < 1e8 else f"{count / 1e6:,.0f}M"


def _time(seconds: float) -> str:
    if not math.isfinite(seconds):
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
