"""What was found out about a table and decided: columns, targets, splits, leaks. Plain values, kept as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from counterpoint.data.tables.leaks import Leak
from counterpoint.data.tables.options import TableOptions
from counterpoint.data.tables.preprocessing import Preprocessing
from counterpoint.data.tables.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of the prepared folder. Prepared data of another version are prepared again.
FORMAT = 1


@dataclass(frozen=True)
class Dropped:
    """A column that is not used, and why in words that follow its name ("is constant: 3")."""

    column: str
    reason: str


@dataclass(frozen=True)
class ColumnSummary:
    """A feature in words and numbers.

    Attributes:
        name: The column.
        kind: ``"numeric"``, ``"boolean"``, ``"datetime"`` or ``"category"``.
        missing: Share of all rows without a value, 0 to 1.
        categories: Different values of a category column in all rows, else ``None``.
    """

    name: str
    kind: str
    missing: float
    categories: int | None = None


@dataclass(frozen=True)
class TableSchema:
    """A prepared table, described.

    Attributes:
        source: The file's name, or "the table".
        digest: Of the content and the options.
        options: What was asked for.
        rows: Rows of each split.
        unlabelled: Rows without a label of any target; they are in no split.
        targets: The targets, with statistics of training rows.
        inferred: For each target in words how its kind was found.
        preprocessing: From columns to inputs.
        columns: The features.
        dropped: Columns that are not used.
        leaks: Columns that determine a target almost exactly. They are used: only people know what they are.
        missing_labels: For each target and split, rows without a label.
        split: In words how rows were split.
        notes: What else people should know.

    Example:
        >>> import pandas as pd, tempfile
        >>> from counterpoint.data.tables import TableOptions, prepare
        >>> table = pd.DataFrame({"x": range(40), "y": [i % 7 / 3 for i in range(40)], "site": ["a", "b"] * 20})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     schema = prepare(table, TableOptions(("y",)), folder + "/prepared").schema
        >>> schema.rows, [(one.column, one.reason) for one in schema.dropped]
        ({'train': 28, 'validation': 6, 'test': 6}, [('x', 'numbers the rows')])
    """

    source: str
    digest: str
    options: TableOptions
    rows: dict[str, int]
    unlabelled: int
    targets: tuple[Target, ...]
    inferred: dict[str, str]
    preprocessing: Preprocessing
    columns: tuple[ColumnSummary, ...]
    dropped: tuple[Dropped, ...]
    leaks: tuple[Leak, ...]
    missing_labels: dict[str, dict[str, int]]
    split: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values that :meth:`from_json` reads; floats keep every bit."""
        parts = {
            "options": self.options.to_json(),
            "targets": [target.to_json() for target in self.targets],
            "preprocessing": self.preprocessing.to_json(),
            "columns": [asdict(column) for column in self.columns],
            "dropped": [asdict(dropped) for dropped in self.dropped],
            "leaks": [leak.to_json() for leak in self.leaks],
            "notes": list(self.notes),
        }
        return {"format": FORMAT, **{name: getattr(self, name) for name in self.__dataclass_fields__}, **parts}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TableSchema:
        """The schema that :meth:`to_json` described."""
        parts: dict[str, Any] = {
            "options": TableOptions.from_json(values["options"]),
            "targets": tuple(Target.from_json(target) for target in values["targets"]),
            "preprocessing": Preprocessing.from_json(values["preprocessing"]),
            "columns": tuple(ColumnSummary(**column) for column in values["columns"]),
            "dropped": tuple(Dropped(**dropped) for dropped in values["dropped"]),
            "leaks": tuple(Leak(**leak) for leak in values["leaks"]),
            "notes": tuple(values["notes"]),
        }
        return cls(**{name: parts.get(name, values[name]) for name in cls.__dataclass_fields__})
