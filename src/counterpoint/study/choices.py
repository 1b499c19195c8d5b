"""What a budget decided, on disk: a study that is taken up again goes the way that it went. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from counterpoint.atomic import write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Choices:
    """Choices that depended on the clock, which runs another way the second time.

    Attributes:
        path: The file.
        study: Identifies the study; another study's choices are not taken.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     choices = Choices(pathlib.Path(folder) / "choices.json", "abc")
        ...     choices.made("seeds", lambda: 3), choices.made("seeds", lambda: 5)
        (3, 3)
    """

    path: Path
    study: str

    def made(self, name: str, make: Callable[[], Choice]) -> Choice:
        """A choice of plain values that was made before, or else is made and kept now.

        Of two processes that come to it at once the first one chooses.
        """
        from filelock import FileLock  # noqa: PLC0415

        with FileLock(self.path.with_suffix(".lock")):
            studies = self._read()
            known = studies.setdefault(self.study, {})
            if name not in known:
                known[name] = make()
                write_json(self.path, studies)
        chosen: Choice = known[name]
        return chosen

    def _read(self) -> dict[str, dict[str, Any]]:
        """By study: another one of the same folder, perhaps of this moment, keeps its own."""
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
            return {study: dict(choices) for study, choices in values.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
