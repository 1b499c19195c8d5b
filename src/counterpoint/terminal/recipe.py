"""A recipe in the terminal: its trainings while they run, and how the methods compare."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from counterpoint.estimate import Estimate
from counterpoint.report.methods import UNIFORM, methods_of
from counterpoint.report.recipe_changes import Changes, changes_against, estimate
from counterpoint.report.recipe_reference import references
from counterpoint.report.recipe_scores import Column, columns_of, mean_over_tasks, seconds_of
from counterpoint.report.wording import decimals_for
from counterpoint.study.summary import BASELINE
from counterpoint.terminal.runs import RunProgress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from counterpoint.study.recipes.results import RecipeResults

# A value each of more tasks than this does not fit into 100 columns.
_MAX_TASKS = 3
_SHORT = {BASELINE: "alone", UNIFORM: "sum"}


class RecipeProgress(RunProgress):
    """A bar for each stage of trainings, with the ones that run. Use it as a context manager.

    It is a :class:`~counterpoint.study.watcher.Watcher`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._runs: Sequence[str] = ()

    def stage(self, title: str, runs: Sequence[str]) -> None:
        """A new bar."""
        self._runs = runs
        super().stage(title, runs)

    def progress(self, index: int, share: float) -> None:
        """Moves the bar, and tells what runs."""
        super().progress(index, share)
        running = [self._runs[place] for place, part in sorted(self._shares.items()) if part < 1]
        self._progress.update(self._bar, description=escape("; ".join(running)))


def recipe_table(results: RecipeResults) -> Table:
    """One line a method: changes against the reference and against the plain sum, time, and main metrics.

    With more than three tasks these are one mean over tasks, if all tasks have the same main metric.

    Args:
        results: A finished recipe.
    """
    against = references(results)
    caption = f"test rows; Δm: mean relative change against {against[0].words}, 95 % interval"
    caption += f", and against {against[1].words} (* if its interval excludes zero)" if len(against) > 1 else ""
    caption = escape(f"{caption}; positive is better; time of all networks of one seed")
    if results.about.get("tiny"):
        caption = f"A rehearsal on generated images: these numbers mean nothing.\n{caption}"
    table = Table(box=SIMPLE_HEAD, padding=0, caption=caption, caption_justify="left")
    table.add_column("method", overflow="ellipsis", no_wrap=True, max_width=18)
    for title in (*(f"Δm, {_SHORT.get(reference.key, 'other')}" for reference in against), "time"):
        table.add_column(title, justify="right", no_wrap=True, min_width=9 if title.startswith("Δm") else None)
    shown = _shown(columns_of(results.scores))
    for title, column in shown:
        heading = f"{escape(title)}\n{escape(column.metric)} {column.arrow}"
        table.add_column(heading, justify="right", overflow="ellipsis", no_wrap=True, max_width=13)
    first, *others = (changes_against(results.scores, reference.key) for reference in against)
    seconds = seconds_of(results.scores)
    for method in methods_of(results.scores):
        changes = [_interval(first, method.key), *(_mean(other, method.key) for other in others)]
        values = [_value(column, method.key) for _, column in shown]
        table.add_row(escape(method.label), *changes, _time(seconds[method.key].values()), *values)
    return table


def _shown(columns: list[Column]) -> list[tuple[str, Column]]:
    main = [column for column in columns if column.main]
    if len(main) <= _MAX_TASKS:
        return [(column.task, column) for column in main]
    first = main[0]
    if any((column.metric, column.direction) != (first.metric, first.direction) for column in main):
        return []
    mean = Column("", first.metric, first.direction, True, mean_over_tasks(main))
    return [(f"{len(main)} tasks", mean)]


def _interval(changes: Changes, key: str) -> str:
    found = estimate(changes.mean(key).values())
    if found is None or not math.isfinite(found.mean) or found.seeds < 2:
        return _mean(changes, key)
    return escape(f"{found.mean:+.1f}% [{found.low:+.1f}, {found.high:+.1f}]")


def _mean(changes: Changes, key: str) -> str:
    if key == changes.reference:
        return "0"
    found = estimate(changes.mean(key).values())
    if found is None:
        return ""
    return f"{found.mean:+.1f}%{'*' * found.excludes_zero}" if math.isfinite(found.mean) else "undefined"


def _value(column: Column, key: str) -> str:
    means = {method: found.mean for method in column.values if (found := estimate(column.values[method].values()))}
    if key not in means:
        return ""
    return f"{means[key]:.{decimals_for([*means.values()])}f}" if math.isfinite(means[key]) else "undefined"


def _time(seconds: Iterable[float]) -> str:
    mean = Estimate.of([*seconds]).mean
    if not math.isfinite(mean):
        return ""
    return f"{mean:.0f} s" if mean < 100 else f"{mean / 60:.1f} min" if mean < 6000 else f"{mean / 3600:.1f} h"
