"""A study in the terminal: what it is about to do, how far it is, what it leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.terminal.console import console
from counterpoint.terminal.runs import RunProgress

if TYPE_CHECKING:
    from counterpoint.study.comparison import Forecast


class InvestigationProgress(RunProgress):
    """A bar for each stage of trainings, and a line for each thing that is worth one.

    It is a :class:`~counterpoint.study.watcher.StudyWatcher`. Use it as a context manager.
    """

    def planned(self, forecast: Forecast) -> None:
        """The plan, before it starts."""
        reused = f", {forecast.reused} of them finished before" if forecast.reused else ""
        budget = "" if forecast.budget is None else f"; budget {_minutes(forecast.budget)}"
        workers = f"{forecast.workers} side by side" if forecast.workers > 1 else "one after the other"
        console.print(
            f"Plan: up to {forecast.runs} trainings{reused}, {workers}, about {_minutes(forecast.seconds)}{budget}",
            markup=False,
            soft_wrap=True,
        )

    def failed(self, title: str, error: str) -> None:
        """A training crashed."""
        console.print(f"Failed: {title}: {error}; the others go on", markup=False, soft_wrap=True)

    def dropped(self, what: str, why: str) -> None:
        """Something is left out."""
        console.print(f"Left out: {what}: {why}", markup=False, soft_wrap=True)


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.1f} min" if seconds < 600 else f"{round(seconds / 60)} min"
