"""Finished runs on disk: written completely or not at all, by whoever gets there first. Imports no torch."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterpoint.affinity.affinity import Affinity
from counterpoint.atomic import write_atomically, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pandas as pd

_FILES = ("history.parquet", "predictions.parquet", "weights.safetensors")


@dataclass(frozen=True, eq=False)
class RunRecord:
    """What a run left, without what is large.

    Attributes:
        run: Its identity.
        rows: One row a task, with the columns of ``StudyResults.runs``.
        seconds: Training and validation.
        affinity: Measured affinities, where they were wanted.
        reused: Whether it was found finished.
    """

    run: str
    rows: list[dict[str, Any]]
    seconds: float
    affinity: Affinity | None = None
    reused: bool = False


@dataclass(frozen=True)
class RunStore:
    """A folder with a folder for each run.

    A run's ``result.json`` comes last: with it the run is finished, without it the run is to be done (again).

    Attributes:
        folder: Where; made when something is written.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     RunStore(pathlib.Path(folder)).finished("0123456789abcdef") is None
        True
    """

    folder: Path

    def place(self, run: str) -> Path:
        """The folder of a run."""
        return self.folder / run

    def lock(self, run: str) -> AbstractContextManager[Any]:
        """Whoever holds it does the run; the system lets go of it when a process ends, however it ends."""
        from filelock import FileLock  # noqa: PLC0415

        self.place(run).mkdir(parents=True, exist_ok=True)
        return FileLock(self.place(run) / "lock", poll_interval=0.2)

    def finished(self, run: str) -> RunRecord | None:
        """What a finished run left, ``None`` if it is not finished or its files cannot be read."""
        place = self.place(run)
        try:
            values = json.loads((place / "result.json").read_text(encoding="utf-8"))
            if values["run"] != run or not all((place / name).is_file() for name in _FILES):
                return None
            affinity = Affinity.load(place / "affinity.json") if values["measured"] else None
            return RunRecord(run, list(values["rows"]), float(values["seconds"]), affinity, reused=True)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(
        self,
        record: RunRecord,
        content: Mapping[str, Any],
        tables: Mapping[str, pd.DataFrame],
        write_weights: Callable[[Path], object],
    ) -> None:
        """Writes a run's files, its result last, and removes what it needed on the way.

        Args:
            record: The run.
            content: What identifies it, for people.
            tables: ``"history"`` and ``"predictions"``.
            write_weights: Writes the network's weights into a file.
        """
        place = self.place(record.run)
        place.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            write_atomically(place / f"{name}.parquet", lambda path, table=table: table.to_parquet(path, index=False))  # type: ignore[misc]
        write_atomically(place / "weights.safetensors", write_weights)
        if record.affinity is not None:
            write_atomically(place / "affinity.json", record.affinity.save)
        write_json(place / "run.json", dict(content))
        result = {
            "run": record.run,
            "rows": record.rows,
            "seconds": record.seconds,
            "measured": record.affinity is not None,
        }
        write_json(place / "result.json", result)
        (place / "error.json").unlink(missing_ok=True)
        shutil.rmtree(place / "training", ignore_errors=True)

    def crashed(self, run: str, title: str, error: str, trace: str) -> None:
        """Records why a run is not finished."""
        self.place(run).mkdir(parents=True, exist_ok=True)
        write_json(self.place(run) / "error.json", {"run": run, "title": title, "error": error, "trace": trace})
