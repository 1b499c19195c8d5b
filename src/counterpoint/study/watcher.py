"""Who hears how a study gets on. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.study.comparison import Forecast
    from counterpoint.study.group_results import Candidate


class Watcher(Protocol):
    """Whoever wants to know how trainings get on."""

    def stage(self, title: str, runs: Sequence[str]) -> None:
        """Trainings with these titles are about to start."""

    def progress(self, index: int, share: float) -> None:
        """A training of this stage has done a share of its work."""

    def done(self, index: int, seconds: float) -> None:
        """A training of this stage is finished; NaN seconds if it failed."""


class GroupWatcher(Watcher, Protocol):
    """Whoever wants to know how a grouping study gets on."""

    def grouped(self, candidate: Candidate) -> None:
        """A grouping was found."""


class StudyWatcher(Watcher, Protocol):
    """Whoever wants to know how a study gets on."""

    def planned(self, forecast: Forecast) -> None:
        """What is about to be done, before it starts."""

    def failed(self, title: str, error: str) -> None:
        """A training crashed; the others go on."""

    def dropped(self, what: str, why: str) -> None:
        """Something is left out for want of time."""


class Silent:
    """A :class:`StudyWatcher` that wants to know nothing.

    Example:
        >>> Silent().stage("Training", ["a"])
    """

    def stage(self, title: str, runs: Sequence[str]) -> None:
        """Nothing."""

    def progress(self, index: int, share: float) -> None:
        """Nothing."""

    def done(self, index: int, seconds: float) -> None:
        """Nothing."""

    def planned(self, forecast: Forecast) -> None:
        """Nothing."""

    def failed(self, title: str, error: str) -> None:
        """Nothing."""

    def dropped(self, what: str, why: str) -> None:
        """Nothing."""
