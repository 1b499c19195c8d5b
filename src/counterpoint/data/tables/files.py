"""Files that hold tables: which ones are read, and what a Parquet file says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.data.tables.errors import TableError, nearest

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

BATCH = 131_072  # rows
_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".parquet", ".pq")


def checked_file(path: Path) -> Path:
    """A file that there is, of a kind that is read.

    Raises:
        TableError: if not.
    """
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


def is_parquet(path: Path) -> bool:
    """Whether it is read as Parquet; other tables are CSV."""
    return path.suffix.lower() in {".parquet", ".pq"}


def parquet_facts(path: Path) -> tuple[pa.Schema, int]:
    """A Parquet file's schema and how many rows it has.

    Raises:
        TableError: for an empty or a broken one.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    if not path.stat().st_size:
        raise TableError(f"{path} is empty, expected a Parquet file")
    try:
        with pq.ParquetFile(path) as file:
            return file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> TableError:
    """What is said when Arrow stumbles over a Parquet file."""
    first = str(error).splitlines()[0].rstrip(".")
    return TableError(f"{path} cannot be read as Parquet ({first}), expected a complete Parquet file: write it again")
