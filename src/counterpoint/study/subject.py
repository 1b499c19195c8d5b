"""What a study is about, whatever the data are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from counterpoint.serving import Bundle
    from counterpoint.study.runs.store import RunStore
    from counterpoint.study.source import Source
    from counterpoint.study.study_results import StudyResults


class Subject(Protocol):
    """What a study is about."""

    @property
    def source(self) -> Source:
        """Data and networks."""

    def facts(self) -> dict[str, Any]:
        """What the report says about the data, beyond their name."""

    def bundle(self, results: StudyResults, store: RunStore) -> Bundle | None:
        """The chosen networks, ready to serve; ``None`` if they cannot be written without code of the user's."""
