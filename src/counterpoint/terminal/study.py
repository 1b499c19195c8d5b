"""The demo study in the terminal: progress, and the table at its end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from counterpoint.estimate import Estimate
from counterpoint.study.summary import BASELINE, delta_m, task_delta
from counterpoint.terminal.console import console

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import pandas as pd

    from counterpoint.study.plan import Run


class StudyProgress:
    """One line that tells what runs and how much is left, and one line for each run that is done.

    Use it as a context manager; ``update`` and ``done`` take a run's index.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs
        self._shares: dict[int, float] = {}
        self._finished = 0
        self._progress = Progress(
            TextColumn("[bold]{task.completed:.1f} of {task.total} runs"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
        )
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task("starting", total=len(self._runs))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, index: int, share: float) -> None:
        """A run has done a share of its work."""
        # Reports travel through a queue: one may arrive after its run is done.
        self._shares[index] = max(share, self._shares.get(index, 0.0))
        running = [self._runs[place].title for place, part in sorted(self._shares.items()) if part < 1]
        completed = sum(self._shares.values())
        self._progress.update(self._task, completed=completed, description=escape("; ".join(running)))

    def done(self, index: int, scores: pd.DataFrame) -> None:
        """A run is finished."""
        self.update(index, 1.0)
        self._finished += 1
        values = ", ".join(f"{row.task} {row.value:.4f}" for row in scores.itertuples())
        seconds = float(scores["seconds"].iloc[0])
        place = f"{self._finished}/{len(self._runs)}"
        console.print(f"{place}  {escape(self._runs[index].title):<26} {seconds:4.0f} s  {escape(values)}")


def results_table(scores: pd.DataFrame) -> Table:
    """Mean and spread over seeds per task and method, and the relative change against single-task training.

    Args:
        scores: ``Results.scores``.
    """
    caption = "test results: mean ± standard deviation, change against single-task"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    table.add_column("method")
    tasks = list(dict.fromkeys(scores["task"]))
    for task in tasks:
        first = scores[scores["task"] == task].iloc[0]
        arrow = "↑" if first["direction"] == "maximize" else "↓"
        table.add_column(f"{escape(str(task))} {escape(str(first['metric']))} {arrow}", justify="right")
    table.add_column("Δm, 95 % interval", justify="right")
    for method, rows in scores.groupby("method", sort=False):
        cells = [escape(str(rows["label"].iloc[0]))]
        for task in tasks:
            estimate = Estimate.of(rows.loc[rows["task"] == task, "value"].tolist())
            spread = f" ±{estimate.spread:.3f}" if estimate.seeds > 1 else ""
            change = task_delta(scores, str(method), task) if method != BASELINE else {}
            percent = f"{Estimate.of(list(change.values())).mean:+.1f}%" if change else ""
            cells.append(f"{estimate.mean:.4f}{spread} {percent:>5}")
        deltas = list(delta_m(scores, str(method)).values()) if method != BASELINE else []
        cells.append(_delta(Estimate.of(deltas)) if deltas else "")
        table.add_row(*cells)
    return table


def _delta(estimate: Estimate) -> str:
    if not math.isfinite(estimate.mean):
        return "undefined"
    if estimate.seeds < 2:
        return f"{estimate.mean:+.1f}%, one seed"
    return escape(f"{estimate.mean:+.1f}% [{estimate.low:+.1f}, {estimate.high:+.1f}]")
