"""Which figures a study's history allows, grouped as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.report import figures
from counterpoint.report.curves import both_ways, curve, pair_cosines, weight_shares
from counterpoint.report.methods import methods_of, tasks_of
from counterpoint.report.verdict import compare
from counterpoint.study.summary import BASELINE, delta_m

if TYPE_CHECKING:
    import pandas as pd

    from counterpoint.report.curves import Curve
    from counterpoint.report.figures import Plot
    from counterpoint.report.methods import Method
    from counterpoint.study.results import Results

# With more tasks than this the pairs are too many for a panel each: six at 4 tasks, ten at 5.
MAX_TASKS_WITH_PAIRS = 4

Curves = list[tuple["Method", "Curve"]]


@dataclass(frozen=True)
class Group:
    """Plots that belong together, with one caption."""

    title: str
    caption: str
    plots: list[Plot]
    methods: list[Method]
    wide: bool = False


def change_group(results: Results) -> Group | None:
    """Delta-m of every method against single-task training, or None without that baseline."""
    comparisons = [compare(results.scores, method) for method in methods_of(results.scores) if method.key != BASELINE]
    comparisons = [comparison for comparison in comparisons if comparison.estimate is not None]
    if not comparisons:
        return None
    per_seed = {c.method.key: list(delta_m(results.scores, c.method.key).values()) for c in comparisons}
    caption = (
        "Right of zero is better than single-task training: diamonds are means, circles single seeds, and "
        "a bar that crosses zero means that no difference was found."
    )
    if all(c.estimate is not None and c.estimate.seeds < 2 for c in comparisons):
        caption = "Right of zero is better than single-task training, but one seed gives no interval to judge by."
    return Group("", caption, [figures.changes(comparisons, per_seed)], [])


def curve_groups(results: Results) -> list[Group]:
    """Training loss, validation loss and validation metric, one group a task."""
    methods = methods_of(results.scores)
    groups = []
    for task in tasks_of(results.scores):
        rows = results.history[results.history["task"].astype(str) == task]
        facts = results.scores[results.scores["task"].astype(str) == task].iloc[0]
        metric, direction = str(facts["metric"]), "higher" if facts["direction"] == "maximize" else "lower"
        training = _by_method(_select(rows, "loss", "train"), methods)
        validation = _by_method(_select(rows, "loss", "validation"), methods)
        scores = _by_method(_select(rows, "metric", "validation"), methods)
        losses = figures.span([data for _, data in training + validation])
        metrics = figures.span([data for _, data in scores])
        plots = []
        if training:
            plots.append(figures.lines("Training loss", training, "loss", losses))
        if validation:
            plots.append(figures.lines("Validation loss", validation, "loss", losses))
        if scores:
            plots.append(figures.lines(f"Validation {metric}", scores, metric, metrics))
        if plots:
            drawn = _drawn([training, validation, scores], methods)
            groups.append(Group(task, _curve_caption(scores, metric, direction), plots, drawn))
    return groups


def _curve_caption(scores: Curves, metric: str, direction: str) -> str:
    if not scores:
        return "Lower is better; validation loss that rises while training loss falls is overfitting."
    ends = ", ".join(f"{data.mean[-1]:.3g} with {method.label}" for method, data in scores)
    return f"Validation {metric} ended at {ends} ({direction} is better)."


def weight_group(results: Results) -> Group | None:
    """Each task's share of the total weight over time, or None where no weights were recorded."""
    shares = weight_shares(results.history)
    methods = methods_of(results.scores)
    by_task = _panels(shares, tasks_of(results.scores), methods)
    if not by_task:
        return None
    y_range = figures.span([data for _, curves in by_task for _, data in curves], landmarks=[0.0])
    equal = 1 / shares["task"].nunique()
    caption = (
        f"A line above {equal:.2g}, the equal share, means that the method gave this task more than its "
        "equal part of the shared update's weights."
    )
    plots = [figures.lines(task, curves, "share of weight", y_range) for task, curves in by_task]
    return Group("", caption, plots, _drawn([curves for _, curves in by_task], methods))


def cosine_groups(results: Results) -> list[Group]:
    """Cosines between gradients: a panel a pair, or for many tasks a panel a task and a map a method."""
    tasks, methods = tasks_of(results.scores), methods_of(results.scores)
    pairs = pair_cosines(results.history)
    if pairs.empty:
        return []
    if len(tasks) <= MAX_TASKS_WITH_PAIRS:
        named = pairs.assign(task=pairs["task"] + " and " + pairs["other"])
        caption = "Below zero the two tasks pull the shared network in opposing directions, above zero they agree."
        return [_cosine_lines(named, list(named["task"].drop_duplicates()), methods, "cosine", caption)]
    doubled = both_ways(pairs)
    caption = "Below zero a task conflicts, on average, with the other tasks; above zero it agrees with them."
    over_time = _cosine_lines(doubled, tasks, methods, "mean cosine with others", caption)
    means = doubled.groupby(["method", "task", "other"])["value"].mean()
    limit = max(float(means.abs().max()), 0.05)
    maps = []
    for method in methods:
        if method.key in means.index.get_level_values("method"):
            known = means[method.key].to_dict()
            values = [[None if a == b else _hundredths(known.get((a, b))) for b in tasks] for a in tasks]
            maps.append(figures.heatmap(method.label, tasks, values, limit))
    caption = "Brown pairs conflict and teal pairs agree, averaged over all training steps and seeds."
    return [over_time, Group("Which pairs agree", caption, maps, [], wide=True)]


def _cosine_lines(rows: pd.DataFrame, names: list[str], methods: list[Method], y_title: str, caption: str) -> Group:
    panels = _panels(rows, names, methods)
    y_range = figures.span([data for _, curves in panels for _, data in curves], landmarks=[0.0])
    plots = [figures.lines(name, curves, y_title, y_range, zero_line=True) for name, curves in panels]
    return Group("", caption, plots, _drawn([curves for _, curves in panels], methods))


def _drawn(panels: list[Curves], methods: list[Method]) -> list[Method]:
    keys = {method.key for curves in panels for method, _ in curves}
    return [method for method in methods if method.key in keys]


def _panels(rows: pd.DataFrame, names: list[str], methods: list[Method]) -> list[tuple[str, Curves]]:
    panels = [(name, _by_method(rows[rows["task"].astype(str) == name], methods)) for name in names]
    return [(name, curves) for name, curves in panels if curves]


def _select(rows: pd.DataFrame, quantity: str, split: str) -> pd.DataFrame:
    return rows[(rows["quantity"] == quantity) & (rows["split"] == split)]


def _by_method(rows: pd.DataFrame, methods: list[Method]) -> Curves:
    found = [(method, curve(rows[rows["method"] == method.key])) for method in methods]
    return [(method, data) for method, data in found if data is not None]


def _hundredths(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
