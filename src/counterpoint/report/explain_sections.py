"""Which figures an explain study allows, grouped and captioned as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.report import explain_figures as figures
from counterpoint.report.explain_curves import band, over_tasks, spread, trajectory_curve
from counterpoint.report.explain_sentences import deficit_sentence, gap_sentence
from counterpoint.report.explain_units import metric_unit, side
from counterpoint.report.sections import Group
from counterpoint.report.wording import plural
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.report.curves import Curve
    from counterpoint.report.methods import Method
    from counterpoint.study.explain.comparison import TaskComparison
    from counterpoint.study.explain.findings import Findings
    from counterpoint.study.explain.results import ExplainResults
    from counterpoint.trajectory.deficit import AtEqualSteps

    Curves = list[tuple[Method, Curve]]

# More small figures than this are folded away, so that what follows stays in reach.
MAX_SHOWN = 6


@dataclass(frozen=True)
class Grid:
    """Small figures, a task each: those in sight, those folded away, and what these are."""

    shown: list[Group]
    folded: list[Group]
    summary: str


def trajectory_grid(results: ExplainResults, found: Findings, methods: Sequence[Method]) -> Grid:
    """The trajectories of each task and the gaps between them; tasks with a difference come first.

    Args:
        results: An explain study.
        found: Its findings.
        methods: All methods, single-task training first.
    """
    tasks = sorted(results.tasks, key=lambda task: not _differs([by[task] for by in found.comparisons.values()]))
    groups = [_trajectories(results, found, methods, task) for task in tasks]
    summary = plural(len(tasks[MAX_SHOWN:]), "more task")
    if not any(_differs([by[task] for by in found.comparisons.values()]) for task in tasks[MAX_SHOWN:]):
        summary += ", for which no difference was found"
    return Grid(groups[:MAX_SHOWN], groups[MAX_SHOWN:], summary)


def _differs(comparisons: Sequence[TaskComparison]) -> bool:
    return any(c.gap is not None and side(c.gap.estimate) != 0 for c in comparisons)


def _trajectories(results: ExplainResults, found: Findings, methods: Sequence[Method], task: str) -> Group:
    unit = metric_unit(results)
    comparisons = {key: by_task[task] for key, by_task in found.comparisons.items()}
    read = [(method, trajectory_curve(results, method.key, task, unit.scale)) for method in methods]
    paths = [(method, curve) for method, curve in read if curve is not None]
    gaps: Curves = []
    for method in _sharing(methods):
        gap = comparisons[method.key].gap
        if gap is not None:
            gaps.append((method, band(gap.losses, gap, unit.scale)))
    sentence = gap_sentence(comparisons, results.methods, unit)
    metric = str(results.tasks[task]["metric"]) + (" \N{MULTIPLICATION SIGN} 100" if unit.scale == 100 else "")
    alt = f"Test {metric} along the training loss for {task}, and the gap. {sentence}"
    plots = (
        [figures.trajectories(alt, paths, gaps, metric, f"gap ({unit.name})" if unit.name else "gap")] if paths else []
    )
    return Group(task, sentence, plots, [])


def descent_group(results: ExplainResults, found: Findings, methods: Sequence[Method]) -> Group | None:
    """Training loss and deficit over steps, mean over tasks; None where tasks have no step in common.

    Args:
        results: An explain study.
        found: Its findings.
        methods: All methods, single-task training first.
    """
    means = {}
    for method in _sharing(methods):
        parts = [c.deficit for c in found.comparisons[method.key].values()]
        mean = over_tasks([(part.steps, part) for part in parts])
        if mean is not None:
            means[method.key] = mean
    estimates = [(results.methods[key], e) for key in found.comparisons if (e := found.deficit(key)) is not None]
    if not means:
        return None
    sentence = deficit_sentence(estimates)
    alone = next(iter(means.values()))
    losses: Curves = [(method, spread(alone[0], alone[1].single)) for method in methods if method.key == BASELINE]
    losses += [(m, spread(means[m.key][0], means[m.key][1].multi)) for m in methods if m.key in means]
    deficits = [(m, band(*means[m.key])) for m in methods if m.key in means]
    return Group("", sentence, [figures.descents(f"Mean over tasks. {sentence}", losses, deficits)], [])


def descent_grid(results: ExplainResults, found: Findings, methods: Sequence[Method]) -> list[Group]:
    """Training loss and deficit over steps, a figure a task.

    Args:
        results: An explain study.
        found: Its findings.
        methods: All methods, single-task training first.
    """
    groups = []
    for task in results.tasks:
        parts = {method.key: found.comparisons[method.key][task].deficit for method in _sharing(methods)}
        sentence = deficit_sentence([(results.methods[key], part.estimate) for key, part in parts.items()])
        losses, deficits = _descents(parts, methods)
        groups.append(Group(task, sentence, [figures.descents(f"{task}. {sentence}", losses, deficits)], []))
    return groups


def _descents(parts: dict[str, AtEqualSteps], methods: Sequence[Method]) -> tuple[Curves, Curves]:
    longest = max(parts.values(), key=lambda part: len(part.steps))
    losses: Curves = [(method, spread(longest.steps, longest.single)) for method in methods if method.key == BASELINE]
    losses += [(m, spread(parts[m.key].steps, parts[m.key].multi)) for m in methods if m.key in parts]
    return losses, [(m, band(parts[m.key].steps, parts[m.key])) for m in methods if m.key in parts]


def _sharing(methods: Sequence[Method]) -> list[Method]:
    return [method for method in methods if method.key != BASELINE]
