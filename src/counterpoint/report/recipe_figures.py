"""The changes of a recipe in pictures: on average over tasks, and task by task."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from counterpoint.report.figures import Plot, blank, covering, literal, short
from counterpoint.report.group_figures import figures_of
from counterpoint.report.methods import methods_of, tasks_of
from counterpoint.report.recipe_changes import changes_against, estimate
from counterpoint.report.recipe_reference import references
from counterpoint.report.recipe_verdict import task_sentence
from counterpoint.report.sections import Group
from counterpoint.report.verdict import Comparison, Outcome, judge
from counterpoint.report.wording import percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.report.methods import Method
    from counterpoint.report.recipe_changes import Changes
    from counterpoint.report.recipe_reference import Reference
    from counterpoint.study.recipes.results import RecipeResults

# With more tasks than this a panel each is not read side by side.
MAX_PANELS = 6
# How far apart the dots of one task lie, in rows, so that equal ones do not hide each other.
_DODGE = 0.5


def improvement_group(results: RecipeResults) -> Group | None:
    """The mean relative change of every method against the reference; None where that was not trained.

    Args:
        results: A finished recipe.
    """
    changes, reference = _changes_of(results)
    drawn = [_comparison(method, changes.mean(method.key)) for method in _others(results, changes)]
    drawn = [comparison for comparison in drawn if comparison.estimate is not None]
    if not drawn:
        return None
    seeds = {comparison.method.key: changes.mean(comparison.method.key) for comparison in drawn}
    caption = (
        f"Right of zero is better than {reference.words}. Diamonds are means over seeds, circles single seeds, bars "
        "95 % intervals: one that crosses zero means that no difference was found, one that leaves the picture goes on."
    )
    if all(comparison.outcome is Outcome.ONE_SEED for comparison in drawn):
        caption = f"Right of zero is better than {reference.words}, but one seed gives no interval to judge by."
    return Group("", caption, [_plot("on average over tasks", reference, drawn, seeds)], [])


def task_groups(results: RecipeResults) -> list[Group]:
    """For a few tasks a picture each: the change of every method against the reference.

    Args:
        results: A finished recipe.
    """
    (changes, reference), tasks = _changes_of(results), tasks_of(results.scores)
    if len(tasks) > MAX_PANELS:
        return []
    groups = []
    for task in tasks:
        found = {m: changes.by_method.get(m.key, {}).get(task, {}) for m in _others(results, changes)}
        compared = [_comparison(method, seeds) for method, seeds in found.items()]
        drawn = [comparison for comparison in compared if comparison.estimate is not None]
        if drawn:
            seeds = {method.key: values for method, values in found.items()}
            said = task_sentence(compared, reference.short)
            groups.append(Group(task, said, [_plot(task, reference, drawn, seeds)], []))
    return groups


def _plot(
    what: str, reference: Reference, drawn: Sequence[Comparison], seeds: Mapping[str, Mapping[int, float]]
) -> Plot:
    """A row a method: mean, interval and seeds."""
    figure = blank()
    points, ends = [0.0], []
    for row, comparison in enumerate(drawn):
        method, found, own = comparison.method, comparison.estimate, list(seeds[comparison.method.key].values())
        if found is None:
            continue
        points += own
        if math.isfinite(found.low):
            ends += [found.low, found.high]
            line = {"color": method.tint(0.35), "width": 7}
            bar = {"x": [found.low, found.high], "y": [row, row], "mode": "lines", "hoverinfo": "skip"}
            figure.add_scatter(line=line, **bar)
        # Beside the bar rather than on it, where the diamond would cover them.
        ring = {"color": "white", "size": 6, "line": {"color": method.color, "width": 1.3}}
        said = "seed %{customdata}: %{x:+.2f} %<extra></extra>"
        dots = {"x": own, "y": [row + 0.3] * len(own), "customdata": list(seeds[method.key])}
        figure.add_scatter(mode="markers", marker=ring, hovertemplate=said, **dots)
        diamond = {"symbol": "diamond", "color": method.color, "size": 11}
        said = f"{literal(method.label)}: {figures_of(found)}<extra></extra>"
        figure.add_scatter(x=[found.mean], y=[row], mode="markers", marker=diamond, hovertemplate=said)
    # What it is against stands above the pictures: there is no room for it where three stand side by side on paper.
    figure.update_xaxes(title_text="change (%)", range=covering(points, ends), zeroline=True)
    names = [literal(short(comparison.method.label, 22)) for comparison in drawn]
    figure.update_yaxes(tickvals=list(range(len(drawn))), ticktext=names, range=[len(drawn) - 0.4, -0.5])
    figure.update_yaxes(showgrid=False, automargin=True)
    figure.update_layout(hovermode="closest")
    means = "; ".join(f"{c.method.label} {figures_of(c.estimate)}" for c in drawn if c.estimate)
    alt = f"Relative change against {reference.words}, {what}: {means}."
    return Plot("", alt, figure.to_json(), 74 + 36 * len(drawn))


def dots_group(results: RecipeResults) -> Group | None:
    """For many tasks one picture: a row a task, a dot a method, by how much it is better than the reference.

    Args:
        results: A finished recipe.
    """
    (changes, reference), tasks = _changes_of(results), tasks_of(results.scores)
    methods = _others(results, changes)
    if len(tasks) <= MAX_PANELS or not methods:
        return None
    means: dict[str, list[float]] = {}
    for task in tasks:
        found = [changes.of_task(method.key, task) for method in methods]
        means[task] = [change.mean if change is not None else math.nan for change in found]
    drawn = {task: row for task, row in means.items() if any(map(math.isfinite, row))}
    if not drawn:
        return None
    caption = (
        f"Each dot is the change of one task with one method, mean over seeds; right of zero is better than "
        f"{reference.short}. Tasks are in the order of their mean over methods."
    )
    return Group("", caption, [_dots(drawn, methods, reference)], methods)


def _dots(means: dict[str, list[float]], methods: Sequence[Method], reference: Reference) -> Plot:
    figure = blank()

    def over_methods(task: str) -> float:
        known = [value for value in means[task] if math.isfinite(value)]
        return sum(known) / len(known)

    order = sorted(means, key=over_methods, reverse=True)
    rows = list(range(len(order)))
    values = [value for row in means.values() for value in row if math.isfinite(value)]
    for place, method in enumerate(methods):
        figure.add_scatter(
            x=[means[task][place] if math.isfinite(means[task][place]) else None for task in order],
            y=[row + _DODGE * (place - (len(methods) - 1) / 2) / len(methods) for row in rows],
            mode="markers",
            marker={"color": method.tint(0.75), "size": 8, "line": {"color": "white", "width": 0.7}},
            customdata=[literal(task) for task in order],
            hovertemplate=f"%{{customdata}}, {literal(method.label)}: %{{x:+.2f}} %<extra></extra>",
        )
    figure.update_xaxes(
        title_text=literal(f"change against {short(reference.short)} (%)"), range=covering([0.0, *values], [])
    )
    figure.update_xaxes(zeroline=True, side="top", automargin=True)
    ticks = [literal(short(task, 24)) for task in order]
    figure.update_yaxes(tickvals=rows, ticktext=ticks, range=[len(rows) - 0.3, -0.7])
    figure.update_yaxes(tickfont={"size": 11}, automargin=True)
    figure.update_layout(hovermode="closest", margin={"t": 44, "b": 8})
    ends = f"From {percent(min(values))} to {percent(max(values))}; most gained {order[0]}, least {order[-1]}"
    alt = f"Change of each of {len(order)} tasks against {reference.words}, by method. {ends}."
    return Plot("", alt, figure.to_json(), 70 + 20 * len(order))


def _changes_of(results: RecipeResults) -> tuple[Changes, Reference]:
    reference = references(results)[0]
    return changes_against(results.scores, reference.key), reference


def _others(results: RecipeResults, changes: Changes) -> list[Method]:
    return [method for method in methods_of(results.scores) if method.key in changes.by_method]


def _comparison(method: Method, seeds: Mapping[int, float]) -> Comparison:
    found = estimate(seeds.values())
    if found is None:
        return Comparison(method, Outcome.UNPAIRED, None, 0)
    outcome = judge(found)
    return Comparison(method, outcome, None if outcome is Outcome.UNDEFINED else found, 1)
