"""Whole files as DataFrames, or piece by piece; their names and their content's digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.data.tables.csv_files import csv_batches, csv_names, read_csv
from counterpoint.data.tables.errors import TableError, nearest
from counterpoint.data.tables.files import BATCH, checked_file, is_parquet, parquet_facts, unreadable
from counterpoint.data.tables.opening import open_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd


def read_table(table: Path | str | pd.DataFrame, columns: Sequence[str] | None = None) -> pd.DataFrame:
    r"""A whole file as a DataFrame; a DataFrame as it is.

    Args:
        table: A .csv, .csv.gz or .parquet file, or a DataFrame.
        columns: The columns to read; all by default.

    Raises:
        TableError: for what is no table, or lacks a column.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "tiny.csv")
        ...     _ = file.write_text("x,size\n1.5,S\nNA,L\n")
        ...     read_table(file).to_dict("list")
        {'x': [1.5, nan], 'size': ['S', 'L']}
    """
    if not isinstance(table, str | Path):
        _refuse_unknown("the table", [*table.columns], columns)
        return table if columns is None else table[list(columns)]
    path = checked_file(Path(table))
    if columns is not None:
        _refuse_unknown(str(path), _names_in(path), columns)
    if is_parquet(path):
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        try:
            # With the metadata that pandas leaves, columns of the file would turn into an index.
            frame = pq.read_table(path, columns=columns).to_pandas(ignore_metadata=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise unreadable(path, error) from None
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
    path = checked_file(Path(path))
    if columns is not None:
        _refuse_unknown(str(path), _names_in(path), columns)
    if not is_parquet(path):
        for piece in csv_batches(path, columns):
            yield piece.to_pandas()
        return
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH, columns=columns):
                yield batch.to_pandas(ignore_metadata=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(path, error) from None


def table_names(path: Path | str) -> list[str]:
    """The column names of a file.

    Raises:
        TableError: for what is no table.
    """
    path = checked_file(Path(path))
    return list(open_parquet(path).names) if is_parquet(path) else csv_names(path)


def content_hash(table: Path | str | pd.DataFrame) -> str:
    """SHA-256 of a file's bytes, or of a DataFrame's names, types and values.

    Raises:
        TableError: for what is no table.
    """
    if isinstance(table, str | Path):
        with checked_file(Path(table)).open("rb") as file:
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


def _names_in(path: Path) -> list[str]:
    return list(parquet_facts(path)[0].names) if is_parquet(path) else csv_names(path)


def _refuse_unknown(label: str, names: Sequence[object], columns: Sequence[str] | None) -> None:
    for name in columns or ():
        if name not in names:
            raise TableError(f"{label} has no column {name!r}: {nearest(name, map(str, names))}")
