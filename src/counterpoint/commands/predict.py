"""counterpoint predict."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (the command line reads the annotation)
from typing import TYPE_CHECKING

from counterpoint.commands.lists import names

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from counterpoint.serving import Bundle

_SHOWN = 10


def predict(bundle: Path, table: Path, out: Path | None = None, tasks: str = "", probabilities: bool = False) -> None:
    """Predict the rows of a table with the bundle that a study wrote.

    The table needs the columns that the study used as features; others are ignored, targets need not be there. Rows
    keep their order. NAME:probability is that of the predicted class; of two classes, that of the second in order, such
    as yes of no and yes. Without --out, the first rows are shown.

    Args:
        bundle: the folder of the bundle, for example runs/study/bundle.
        table: a .csv, .csv.gz or .parquet file.
        out: where predictions go: a .csv or .parquet file.
        tasks: what to predict, separated by commas; all by default.
        probabilities: whether to give the probability of every class.
    """
    from counterpoint.serving import load_bundle, predict_file  # noqa: PLC0415
    from counterpoint.terminal import console  # noqa: PLC0415

    loaded = load_bundle(bundle)
    wanted = names(tasks) or None
    if out is None:
        _show(loaded, table, wanted, probabilities)
        return
    done = predict_file(loaded, table, out, wanted, probabilities=probabilities)
    _say_unknown(done.unknown, done.rows)
    console.print(f"{done.rows:,} rows: {out}", markup=False, soft_wrap=True)


def _show(bundle: Bundle, path: Path, tasks: tuple[str, ...] | None, probabilities: bool) -> None:
    from counterpoint.serving.files import predict_pieces  # noqa: PLC0415
    from counterpoint.terminal import console  # noqa: PLC0415

    predictions, unknown = next(predict_pieces(bundle, path, tasks, probabilities=probabilities))
    _say_unknown(unknown, len(predictions))
    console.print(_table(predictions.head(_SHOWN)))
    if len(predictions) > _SHOWN:
        console.print(f"The first {_SHOWN} rows; for all of them: --out predictions.parquet", markup=False)


def _table(predictions: pd.DataFrame) -> Table:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("row", justify="right")
    for name in predictions:
        table.add_column(escape(str(name)), justify="right", overflow="fold")
    for number, values in enumerate(predictions.itertuples(index=False), start=1):
        table.add_row(str(number), *(escape(_shown(value)) for value in values))
    return table


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3e}"


def _say_unknown(unknown: dict[str, int], rows: int) -> None:
    """On stderr: predictions may be piped on."""
    import sys  # noqa: PLC0415

    for column, count in unknown.items():
        print(  # noqa: T201
            f"column {column!r}: {count:,} of {rows:,} rows hold a value that training rows did not have, or too few "
            "of; they are predicted as unknown",
            file=sys.stderr,
        )
