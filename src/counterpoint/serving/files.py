"""Predictions for a file, piece by piece, so that neither the file nor its predictions have to fit into memory."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.atomic import write_atomically
from counterpoint.serving.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from counterpoint.data.tables import Preprocessing
    from counterpoint.serving.bundle import Bundle

SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class Predicted:
    """What became of a file.

    Attributes:
        rows: Its rows.
        unknown: Values of each category column that training rows did not have (or too few of), by column.
    """

    rows: int
    unknown: dict[str, int]


def input_pieces(preprocessing: Preprocessing, path: Path) -> Iterator[tuple[np.ndarray, dict[str, int]]]:
    """What networks take for some 100,000 rows of a file at a time, and how many values of each column were unknown.

    A file without rows gives one piece without rows.

    Raises:
        ValueError: for a file that is no table, or lacks columns (all are named), or holds values that are not of a
            column's kind (column and row are named).
    """
    import numpy as np  # noqa: PLC0415

    from counterpoint.data.tables import read_batches  # noqa: PLC0415  (needs an extra)

    names, columns = _names(path), list(preprocessing.columns)
    if missing := [name for name in columns if name not in names]:
        few = "column" if len(missing) == 1 else f"{len(missing)} columns"
        raise BundleError(
            f"{path} lacks the {few} {', '.join(map(repr, missing))}, which the network was trained on: add them, "
            "empty where values are missing"
        )
    rows = 0
    for frame in read_batches(path, columns):
        yield preprocessing.transform(frame, source=str(path), first_row=rows), preprocessing.unknown(frame)
        rows += len(frame)
    if not rows:
        yield np.empty((0, len(preprocessing.feature_names)), np.float32), {}


def _names(path: Path) -> list[str]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from counterpoint.data.tables import table_names  # noqa: PLC0415  (needs an extra)

    if path.suffix.lower() in {".parquet", ".pq"} and path.is_file():  # a table without rows is none to train on
        with contextlib.suppress(pa.ArrowInvalid):
            return list(pq.read_schema(path).names)
    return table_names(path)


def predict_pieces(
    bundle: Bundle, path: Path, tasks: Sequence[str] | None = None, *, probabilities: bool = False
) -> Iterator[tuple[pd.DataFrame, dict[str, int]]]:
    """Predictions for some 100,000 rows of a file at a time, and how many values of each column were unknown.

    Rows are numbered from 0.

    Raises:
        ValueError: as :func:`input_pieces`, and for an unknown task.
    """
    if bundle.preprocessing is None:
        raise BundleError("this bundle's networks take tensors, not tables: use load_bundle(...).predict(tensor)")
    bundle.wanted(tasks)
    rows = 0
    for inputs, unknown in input_pieces(bundle.preprocessing, path):
        index = range(rows, rows + len(inputs))
        yield bundle.predict_inputs(inputs, index, tasks, probabilities=probabilities), unknown
        rows += len(inputs)


def predict_file(
    bundle: Bundle, path: Path, out: Path, tasks: Sequence[str] | None = None, *, probabilities: bool = False
) -> Predicted:
    """Writes predictions for a file, completely or not at all.

    Args:
        bundle: What predicts.
        path: A .csv, .csv.gz or .parquet file.
        out: A .csv or .parquet file; one that is there is replaced.
        tasks: The tasks wanted, all by default.
        probabilities: Whether to give the probabilities of all classes.

    Raises:
        ValueError: as :func:`predict_pieces`, and for an ``out`` that is no .csv or .parquet, a folder, or the table
            itself.
        OSError: if it cannot be written.
    """
    _check_out(path, out)
    unknown: Counter[str] = Counter()
    rows = 0

    def counted() -> Iterator[pd.DataFrame]:
        nonlocal rows
        for predictions, found in predict_pieces(bundle, path, tasks, probabilities=probabilities):
            unknown.update(found)
            rows += len(predictions)
            yield predictions

    write = _write_parquet if out.suffix.lower() == ".parquet" else _write_csv
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, lambda temporary: write(temporary, counted()))
    return Predicted(rows, dict(unknown))


def _check_out(path: Path, out: Path) -> None:
    if out.suffix.lower() not in SUFFIXES:
        raise BundleError(f"cannot write '{out}': its suffix is '{out.suffix}', expected .csv or .parquet")
    if out.is_dir():
        raise BundleError(f"cannot write '{out}': it is a folder, expected a file to write to, such as {out}/new.csv")
    if out.exists() and path.exists() and out.samefile(path):
        raise BundleError(f"cannot write '{out}': it is the table to predict; choose another file")


def _write_parquet(path: Path, pieces: Iterable[pd.DataFrame]) -> None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    writer = None
    try:
        for piece in pieces:
            table = pa.Table.from_pandas(piece, preserve_index=False)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()


def _write_csv(path: Path, pieces: Iterable[pd.DataFrame]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, piece in enumerate(pieces):
            piece.to_csv(file, index=False, header=number == 0)
