"""Results on disk: tables as Parquet and facts as JSON in one folder, the same for every kind of study.

Imports no torch.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from counterpoint.atomic import write_atomically, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Made = TypeVar("Made")
Tables = dict[str, pd.DataFrame]
_FACTS = "study.json"
# What facts that were written by something else raise when they are read.
_MISFITS = (OSError, ValueError, KeyError, TypeError, AttributeError)  # JSON's and Arrow's are ValueErrors


class ResultsError(ValueError):
    """A results folder that cannot be read or written."""


@dataclass(frozen=True)
class ResultsFormat:
    """How one kind of study leaves its results in a folder: ``study.json`` and a Parquet file for each table.

    Attributes:
        kind: What ``study.json`` calls itself; ``None`` for the demo, whose files have never said.
        version: Of the schema; what another version wrote is refused.
        tables: The columns that each table has to have.
        name: What the folder holds, for people.
        again: What is to be run for them.

    Example:
        >>> places = ResultsFormat("places", 1, {"towns": ["name"]}, "places")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     places.save(folder, {"towns": pd.DataFrame({"name": ["Ulm"]})}, {"title": "a list"})
        ...     places.load(folder, lambda tables, facts: (list(tables["towns"]["name"]), facts))
        (['Ulm'], {'title': 'a list'})
    """

    kind: str | None
    version: int
    tables: Mapping[str, Sequence[str]]
    name: str
    again: str = "study"

    def save(self, folder: str | Path, tables: Mapping[str, pd.DataFrame], facts: Mapping[str, Any]) -> None:
        """Writes the tables and, once they are there, the facts, each completely or not at all.

        Raises:
            ResultsError: if the folder cannot be written.
        """
        folder = Path(folder)
        said = {} if self.kind is None else {"kind": self.kind}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, table in tables.items():
                write_atomically(folder / f"{name}.parquet", lambda p, table=table: table.to_parquet(p, index=False))  # type: ignore[misc]
            write_json(folder / _FACTS, {**said, "schema_version": self.version, **facts})
        except OSError as error:
            raise ResultsError(f"cannot write results to '{folder}': {error.strerror}; choose another folder") from None

    def load(self, folder: str | Path, make: Callable[[Tables, dict[str, Any]], Made]) -> Made:
        """Reads what :meth:`save` wrote.

        Args:
            folder: Where.
            make: Makes the results of tables and facts; may raise what reading raises.

        Raises:
            ResultsError: if the folder holds nothing of this kind and version, or only a part of it.
        """
        folder = Path(folder)
        try:
            facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            self._check_schema(folder, facts)
            own = {name: value for name, value in facts.items() if name not in {"kind", "schema_version"}}
            tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in self.tables}
            self._check_columns(folder, tables)
            return make(tables, own)
        except ResultsError:
            raise
        except _MISFITS as error:
            missing = isinstance(error, FileNotFoundError) and error.filename
            why = f"no {Path(missing).name} in it" if missing else error
            raise ResultsError(
                f"'{folder}' holds no finished {self.name} ({why}); run the {self.again} into it first"
            ) from None

    def _check_schema(self, folder: Path, facts: object) -> None:
        said = (facts.get("kind"), facts.get("schema_version")) if isinstance(facts, dict) else None
        if said != (self.kind, self.version):
            raise ResultsError(f"'{folder}' holds no {self.name} of schema {self.version}; run the {self.again} again")

    def _check_columns(self, folder: Path, tables: Tables) -> None:
        for name, table in tables.items():
            if missing := [column for column in self.tables[name] if column not in table]:
                file = f"'{folder}/{name}.parquet'"
                raise ResultsError(f"{file} has no column {missing[0]!r}; run the {self.again} again")


def kind_of(folder: str | Path) -> str | None:
    """What kind of study a folder holds, of whatever version; ``None`` for none and for the demo, which has no kind."""
    try:
        facts = json.loads((Path(folder) / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts.get("kind") if isinstance(facts, dict) else None


def start_over(folder: str | Path, runs: Iterable[Path]) -> None:
    """Removes an earlier study's facts, so that there are no results until this one is done, and its runs.

    Args:
        folder: The study's folder.
        runs: Folders of runs to remove. What else lies there belongs to somebody else.
    """
    (Path(folder) / _FACTS).unlink(missing_ok=True)
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
