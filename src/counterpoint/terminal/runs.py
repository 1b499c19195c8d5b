"""Trainings in the terminal while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from counterpoint.terminal.console import console

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


class RunProgress:
    """A bar for each stage of trainings. Use it as a context manager.

    It is a :class:`~counterpoint.study.watcher.Watcher`.
    """

    def __init__(self) -> None:
        self._shares: dict[int, float] = {}
        self._progress = Progress(
            TextColumn("  {task.completed:g} of {task.total} trainings"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
        )
        self._bar = TaskID(0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, title: str, runs: Sequence[str]) -> None:
        """A new bar."""
        self._shares = {}
        console.print(title, markup=False)
        self._bar = self._progress.add_task("", total=len(runs))

    def progress(self, index: int, share: float) -> None:
        """Moves the bar."""
        # Reports travel through a queue: one may arrive after its training is done.
        self._shares[index] = max(share, self._shares.get(index, 0.0))
        self._progress.update(self._bar, completed=round(sum(self._shares.values()), 1))

    def done(self, index: int, seconds: float) -> None:  # noqa: ARG002  (a line each would be too many)
        """Moves the bar."""
        self.progress(index, 1.0)
