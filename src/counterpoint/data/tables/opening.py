"""A table that can be read several times, in batches of plain columns."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.data.tables.columns import UnusableColumnError, plain
from counterpoint.data.tables.csv_files import csv_names, read_csv
from counterpoint.data.tables.errors import TableError, distinct, nearest
from counterpoint.data.tables.files import BATCH, checked_file, is_parquet, parquet_facts, unreadable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pandas as pd
    import pyarrow as pa

# What pandas calls an index without a name in a Parquet file.
_ROW_LABELS = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True, eq=False)
class TableSource:
    """A table that can be read several times, batch by batch: a Parquet file is never in memory as a whole.

    Attributes:
        label: What it is called in messages: the file's name, or "the table".
        names: Its columns.
        rows: The number of its rows.
        path: The file, ``None`` for a DataFrame.
        unusable: Columns that cannot be read, with the reason.
    """

    label: str
    names: tuple[str, ...]
    rows: int
    path: Path | None = None
    unusable: dict[str, str] = field(default_factory=dict)
    _table: pa.Table | None = None

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Plain columns of all rows in order, some 130,000 rows at a time."""
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        if self._table is not None:
            chosen = self._table.select(list(columns))
            for start in range(0, self.rows, BATCH):
                yield chosen.slice(start, BATCH)
            return
        assert self.path is not None  # noqa: S101  (a source has one or the other)
        try:
            with pq.ParquetFile(self.path, pre_buffer=False) as file:
                for batch in file.iter_batches(BATCH, columns=list(columns)):
                    yield _plain_table(self.label, pa.Table.from_batches([batch]).select(list(columns)))
        except (pa.ArrowInvalid, OSError) as error:
            raise unreadable(self.path, error) from None

    def save(self, path: Path) -> None:
        """Writes a DataFrame's plain columns as Parquet, zstd-compressed."""
        import pyarrow.parquet as pq  # noqa: PLC0415

        pq.write_table(self._table, path, compression="zstd")

    def require(self, names: Sequence[str], what: str) -> None:
        """Refuses names that are not columns.

        Raises:
            TableError: with the nearest names.
        """
        for name in names:
            if name not in self.names:
                raise TableError(f"{self.label} has no column {name!r} for {what}: {nearest(name, self.names)}")
            if name in self.unusable:
                raise TableError(f"{self.label}: column {name!r} {self.unusable[name]}, expected numbers or text")


def open_table(table: Path | str | pd.DataFrame, unused: Collection[str] = ()) -> TableSource:
    """Opens a file by its suffix, or a DataFrame.

    Args:
        table: The file or the DataFrame.
        unused: Columns that nobody will ask for: whatever is wrong with their values is passed over.

    Raises:
        TableError: for what is no table, or one without rows.
    """
    if not isinstance(table, str | Path):
        return _open_frame(table, unused)
    path = checked_file(Path(table))
    if is_parquet(path):
        return open_parquet(path)
    names = tuple(csv_names(path))
    read = read_csv(path, [name for name in names if name not in unused] if unused else None)
    _refuse_no_rows(str(path), read.num_rows)
    return TableSource(path.name, names, read.num_rows, path, _table=read)


def open_parquet(path: Path) -> TableSource:
    """Opens a Parquet file.

    Raises:
        TableError: for one that is broken, or has no rows or a name twice.
    """
    schema, rows = parquet_facts(path)
    names = distinct(str(path), schema.names)
    _refuse_no_rows(str(path), rows)
    row_labels = {name: "holds the row labels of a DataFrame" for name in names if _ROW_LABELS.fullmatch(name)}
    return TableSource(path.name, names, rows, path, row_labels | _unusable(schema.empty_table()))


def _open_frame(frame: pd.DataFrame, unused: Collection[str]) -> TableSource:
    import pyarrow as pa  # noqa: PLC0415

    label = "the table"
    names = distinct(label, [str(name) for name in frame.columns])
    _refuse_no_rows(label, len(frame))
    arrays, unusable = [], {}
    for place, name in enumerate(names):
        try:
            values = frame.iloc[:0, place] if name in unused else frame.iloc[:, place]
            array = plain(name, values, source=label)
            arrays.append(array if len(array) else pa.chunked_array([pa.nulls(len(frame), array.type)]))
        except UnusableColumnError as error:
            unusable[name] = str(error)
            arrays.append(pa.chunked_array([pa.nulls(len(frame), pa.float64())]))
    return TableSource(label, names, len(frame), None, unusable, pa.table(arrays, names=list(names)))


def _plain_table(label: str, table: pa.Table) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415

    names = table.column_names
    return pa.table([plain(name, table[name], source=label) for name in names], names=names)


def _unusable(empty: pa.Table) -> dict[str, str]:
    found = {}
    for name in empty.column_names:
        try:
            plain(name, empty[name])
        except UnusableColumnError as error:
            found[name] = str(error)
    return found


def _refuse_no_rows(label: str, rows: int) -> None:
    if not rows:
        raise TableError(f"{label} has a header and no rows, expected rows below it")
