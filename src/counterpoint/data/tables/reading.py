"""Tables from CSV, Parquet or pandas, in batches of plain columns."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.data.tables.columns import UnusableColumnError, plain
from counterpoint.data.tables.csv_files import csv_batches, csv_names, read_csv
from counterpoint.data.tables.errors import TableError, named, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pandas as pd
    import pyarrow as pa

_BATCH = 131_072
# What pandas calls an index without a name in a Parquet file.
_ROW_LABELS = re.compile(r"__index_level_\d+__")
_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".parquet", ".pq")


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
            for start in range(0, self.rows, _BATCH):
                yield chosen.slice(start, _BATCH)
            return
        assert self.path is not None  # noqa: S101  (a source has one or the other)
        try:
            with pq.ParquetFile(self.path, pre_buffer=False) as file:
                for batch in file.iter_batches(_BATCH, columns=list(columns)):
                    yield _plain_table(self.label, pa.Table.from_batches([batch]).select(list(columns)))
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable(self.path, error) from None

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
    path = _checked(Path(table))
    if _is_parquet(path):
        return _open_parquet(path)
    names = tuple(csv_names(path))
    read = read_csv(path, [name for name in names if name not in unused] if unused else None)
    _refuse_no_rows(str(path), read.num_rows)
    return TableSource(path.name, names, read.num_rows, path, _table=read)


def read_table(table: Path | str | pd.DataFrame, columns: Sequence[str] | None = None) -> pd.DataFrame:
    r"""A whole file as a DataFrame; a DataFrame as it is.

    Args:
        table: A .csv, .csv.gz or .parquet file, or a DataFrame.
        columns: The columns to read; all by default.

    Raises:
        TableError: for what is no table.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "tiny.csv")
        ...     _ = file.write_text("x,size\n1.5,S\nNA,L\n")
        ...     read_table(file).to_dict("list")
        {'x': [1.5, nan], 'size': ['S', 'L']}
    """
    if not isinstance(table, str | Path):
        return table if columns is None else table[list(columns)]
    path = _checked(Path(table))
    _refuse_unknown(path, columns)
    if _is_parquet(path):
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        try:
            # With the metadata that pandas leaves, columns of the file would turn into an index.
            frame = pq.read_table(path, columns=columns).to_pandas(ignore_metadata=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable(path, error) from None
    else:
        frame = read_csv(path, columns).to_pandas()
    return frame  # type: ignore[no-any-return]


def read_batches(path: Path | str, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """A file piece by piece, for tables larger than memory. Columns of a CSV file come as text.

    Args:
        path: A .csv, .csv.gz or .parquet file.
        columns: The columns to read; all by default.

    Raises:
        TableError: for what is no table.
    """
    path = _checked(Path(path))
    _refuse_unknown(path, columns)
    if not _is_parquet(path):
        for piece in csv_batches(path, columns):
            yield piece.to_pandas()
        return
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH, columns=columns):
                yield batch.to_pandas(ignore_metadata=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from None


def table_names(path: Path | str) -> list[str]:
    """The column names of a file.

    Raises:
        TableError: for what is no table.
    """
    path = _checked(Path(path))
    return list(_open_parquet(path).names) if _is_parquet(path) else csv_names(path)


def content_hash(table: Path | str | pd.DataFrame) -> str:
    """SHA-256 of a file's bytes, or of a DataFrame's names, types and values.

    Raises:
        TableError: for what is no table.
    """
    if isinstance(table, str | Path):
        with _checked(Path(table)).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    import pandas as pd  # noqa: PLC0415

    digest = hashlib.sha256(repr([(str(n), str(t)) for n, t in zip(table.columns, table.dtypes, strict=True)]).encode())
    for place in range(table.shape[1]):
        values = table.iloc[:, place]
        try:
            hashed = pd.util.hash_pandas_object(values, index=False).to_numpy()
        except TypeError:  # lists and the like; text of any mixture
            hashed = pd.util.hash_pandas_object(values.map(repr), index=False).to_numpy()
        digest.update(hashed.tobytes())
    return digest.hexdigest()


def _refuse_unknown(path: Path, columns: Sequence[str] | None) -> None:
    if columns is None:
        return
    names = _parquet_facts(path)[0].names if _is_parquet(path) else csv_names(path)
    for name in columns:
        if name not in names:
            raise TableError(f"{path} has no column {name!r}: {nearest(name, names)}")


def _checked(path: Path) -> Path:
    if path.is_dir():
        raise TableError(f"{path} is a folder, expected a file: a .csv, .csv.gz or .parquet table")
    if not path.exists():
        near = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        tables = [name for name in near if name.lower().endswith(_SUFFIXES)]
        hint = f": {nearest(path.name, tables).replace('the columns are', 'there is')}" if tables else ""
        raise TableError(f"there is no file {path}{hint}")
    if not path.name.lower().endswith(_SUFFIXES):
        raise TableError(f"{path} has the suffix {path.suffix!r}, expected a .csv, .csv.gz or .parquet table")
    return path


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in {".parquet", ".pq"}


def _parquet_facts(path: Path) -> tuple[pa.Schema, int]:
    """A Parquet file's schema and how many rows it has."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    if not path.stat().st_size:
        raise TableError(f"{path} is empty, expected a Parquet file")
    try:
        with pq.ParquetFile(path) as file:
            return file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from None


def _open_parquet(path: Path) -> TableSource:
    schema, rows = _parquet_facts(path)
    names = _distinct(str(path), schema.names)
    _refuse_no_rows(str(path), rows)
    row_labels = {name: "holds the row labels of a DataFrame" for name in names if _ROW_LABELS.fullmatch(name)}
    return TableSource(path.name, names, rows, path, row_labels | _unusable(schema.empty_table()))


def _open_frame(frame: pd.DataFrame, unused: Collection[str]) -> TableSource:
    import pyarrow as pa  # noqa: PLC0415

    label = "the table"
    names = _distinct(label, [str(name) for name in frame.columns])
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


def _distinct(label: str, names: Sequence[str]) -> tuple[str, ...]:
    for place, name in enumerate(names):
        if name in names[:place]:
            where = f"{names.index(name) + 1} and {place + 1}"
            raise TableError(f"{label}: columns {where} are both called {name!r}, expected different names: rename one")
    if not names:
        raise TableError(f"{label} has no columns, expected {named(['a header'])} and rows")
    return tuple(names)


def _refuse_no_rows(label: str, rows: int) -> None:
    if not rows:
        raise TableError(f"{label} has a header and no rows, expected rows below it")


def _unreadable(path: Path, error: Exception) -> TableError:
    first = str(error).splitlines()[0].rstrip(".")
    return TableError(f"{path} cannot be read as Parquet ({first}), expected a complete Parquet file: write it again")
