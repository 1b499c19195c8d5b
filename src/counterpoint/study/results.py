"""The results store: what a study measured, as tables in one folder. Imports no torch."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from counterpoint.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SCHEMA_VERSION = 1

SCORES = [
    "run",
    "method",
    "label",
    "seed",
    "task",
    "metric",
    "direction",
    "value",
    "loss",
    "seconds",
    "parameters",
]
HISTORY = ["run", "method", "label", "seed", "epoch", "step", "split", "task", "other", "quantity", "value"]
EXAMPLES = ["example", "image", "task", "method", "label", "target", "prediction"]
_COLUMNS = {"scores": SCORES, "history": HISTORY, "examples": EXAMPLES}


class ResultsError(ValueError):
    """A results folder that cannot be read or written."""


@dataclass(frozen=True, eq=False)
class Results:
    """Everything a finished study measured.

    Attributes:
        scores: One row per run and task: ``run``, ``method`` (key), ``label`` (for people), ``seed``, ``task``,
            ``metric``, ``direction`` (``"maximize"`` or ``"minimize"``), test ``value`` and test ``loss`` at the
            checkpoint with the best validation score, ``seconds`` and ``parameters`` of the run.
        history: One row per measurement: ``split`` is ``"train"`` or ``"validation"``; ``quantity`` is ``"loss"``,
            ``"metric"``, ``"weight"`` or ``"cosine"`` (between ``task`` and ``other``).
        examples: A few test inputs (PNG bytes) with each method's prediction per task.
        about: The study's facts: title, data, settings, command, versions, machine, start, seconds.

    Example:
        >>> import pandas as pd, tempfile
        >>> empty = Results(pd.DataFrame(columns=SCORES), pd.DataFrame(columns=HISTORY),
        ...                 pd.DataFrame(columns=EXAMPLES), {"title": "nothing yet"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     empty.save(folder)
        ...     Results.load(folder).about["title"]
        'nothing yet'
    """

    scores: pd.DataFrame
    history: pd.DataFrame
    examples: pd.DataFrame
    about: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: str | Path) -> None:
        """Writes the tables as Parquet and the facts as JSON, each completely or not at all.

        Raises:
            ResultsError: if the folder cannot be written.
        """
        tables = {"scores": self.scores, "history": self.history, "examples": self.examples}
        save_study(folder, tables, {"schema_version": SCHEMA_VERSION, **self.about})

    @classmethod
    def load(cls, folder: str | Path) -> Results:
        """Reads what :meth:`save` wrote.

        Raises:
            ResultsError: if the folder holds no results, or results of another schema.
        """
        folder = Path(folder)
        try:
            about = json.loads((folder / "study.json").read_text(encoding="utf-8"))
            tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in _COLUMNS} if _fits(about) else {}
        except (OSError, ValueError) as error:  # JSON and Arrow errors are ValueErrors
            raise ResultsError(f"'{folder}' holds no finished results ({error}); run a study into it first") from None
        if not tables:
            raise ResultsError(f"'{folder}' holds no results of schema {SCHEMA_VERSION}; run the study again")
        check_columns(folder, tables, _COLUMNS)
        return cls(**tables, about=about)


def _fits(about: object) -> bool:
    return isinstance(about, dict) and about.get("schema_version") == SCHEMA_VERSION


def save_study(folder: str | Path, tables: Mapping[str, pd.DataFrame], about: Mapping[str, Any]) -> None:
    """Writes tables as Parquet and, once they are there, the facts as ``study.json``, each completely or not at all.

    Raises:
        ResultsError: if the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            write_atomically(folder / f"{name}.parquet", lambda p, table=table: table.to_parquet(p, index=False))  # type: ignore[misc]
        text = json.dumps(about, indent=1, ensure_ascii=False)
        write_atomically(folder / "study.json", lambda p: p.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"cannot write results to '{folder}': {error.strerror}; choose another folder") from None


def check_columns(
    folder: Path, tables: Mapping[str, pd.DataFrame], columns: Mapping[str, Sequence[str]], what: str = "study"
) -> None:
    """Refuses tables that lack a column, by name.

    Args:
        folder: Where they were read.
        tables: The tables.
        columns: What each has to have.
        what: What is to be run again.

    Raises:
        ResultsError: for the first column that is missing.
    """
    for name, table in tables.items():
        if missing := [column for column in columns[name] if column not in table]:
            raise ResultsError(f"'{folder}/{name}.parquet' has no column {missing[0]!r}; run the {what} again")


def kind_of(folder: str | Path) -> str | None:
    """What kind of study a folder holds, ``None`` for none and for those that have no kind."""
    try:
        about = json.loads((Path(folder) / "study.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about.get("kind") if isinstance(about, dict) else None


def start_over(folder: str | Path, runs: Iterable[Path]) -> None:
    """Removes an earlier study's facts, so that there are no results until this one is done, and its runs.

    Args:
        folder: The study's folder.
        runs: Folders of runs to remove. What else lies there belongs to somebody else.
    """
    (Path(folder) / "study.json").unlink(missing_ok=True)
    for run in runs:
        shutil.rmtree(run, ignore_errors=True)


def check_writable(folder: str | Path) -> None:
    """Makes the folder and tries to write into it, before hours of work depend on it.

    Raises:
        ResultsError: if that fails.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultsError(
            f"cannot write to out folder '{folder}': {error.strerror}; choose a folder that you may write to"
        ) from None
