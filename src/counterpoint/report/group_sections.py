"""Which figures a grouping study allows, grouped and captioned as the page shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.report import group_figures
from counterpoint.report.group_figures import Predicted
from counterpoint.report.group_methods import TAG, TOGETHER, looks
from counterpoint.report.sections import Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.report.group_methods import GroupMethod
    from counterpoint.study.group_results import Candidate, GroupResults

MEASURES = ("delta", "reduction")


def size_group(results: GroupResults, methods: Sequence[GroupMethod]) -> Group | None:
    """Predicted score and measured changes against the number of networks, or None without scored groupings."""
    predicted = _predicted(results.candidates)
    tags = [method for method in methods if method.family == TAG]
    plots = [group_figures.predicted_scores(predicted)] if predicted else []
    measured = [measure for measure in MEASURES if any(getattr(method, measure) for method in tags)]
    plots += [group_figures.measured_changes(methods, measure) for measure in measured]
    if not plots:
        return None
    captions = []
    if predicted:
        proven = all(row.proven for row in predicted)
        captions.append(
            "All predicted scores are proven to be the best of their size."
            if proven
            else "Filled points are proven to be the best of their size; no grouping lies above the dashed line."
        )
    if len(plots) > 1:
        captions.append(f"Above zero is better than each task alone.{_bars(tags)}")
    return Group("", " ".join(captions), plots, [], wide=len(plots) < 3)


def cost_group(methods: Sequence[GroupMethod]) -> Group | None:
    """Quality against training time, or None where nothing can be compared with each task alone."""
    plots = [plot for measure in MEASURES if (plot := group_figures.cost_and_quality(methods, measure)) is not None]
    if not plots:
        return None
    families = list({method.family: method for method in methods})
    numbered = " The number in a point is its number of networks." if set(families) - {"single", TOGETHER} else ""
    draws = " Small dots are single random draws." if any(method.draws for method in methods) else ""
    caption = f"Up is better, left is cheaper.{numbered}{draws}{_bars(methods)}"
    return Group("", caption, plots, [looks(family) for family in families])


def _bars(methods: Sequence[GroupMethod]) -> str:
    estimates = [e for method in methods for e in (method.delta, method.reduction) if e is not None]
    if not any(estimate.seeds > 1 for estimate in estimates):
        return " One seed gives no interval to judge by."
    cut = any(
        estimate.seeds > 1 and (estimate.low < span[0] or estimate.high > span[1])
        for measure in MEASURES
        for span in [group_figures.span_of(methods, measure)]
        for estimate in [getattr(method, measure) for method in methods]
        if estimate is not None
    )
    more = "; bars that leave the picture go on" if cut else ""
    return f" Bars are 95 % intervals over seeds, and one that crosses zero means that no difference was found{more}."


def _predicted(candidates: Sequence[Candidate]) -> list[Predicted]:
    by_size: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.family == TAG and candidate.score is not None:
            by_size.setdefault(candidate.size, []).append(candidate)
    rows = []
    for size, same in sorted(by_size.items()):
        scores = [candidate.score for candidate in same if candidate.score is not None]
        bounds = [candidate.bound for candidate in same if candidate.bound is not None]
        bound = float(np.mean(bounds)) if len(bounds) == len(same) else None
        proven = all(candidate.status == "optimal" for candidate in same)
        rows.append(Predicted(size, float(np.mean(scores)), bound, proven))
    return rows
