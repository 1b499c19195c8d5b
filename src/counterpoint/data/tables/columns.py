"""Columns of any source as Arrow arrays of five types: bool, int64, double, string and timestamp without a zone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from counterpoint.data.tables.errors import TableError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# How a missing value may be spelled. "None" is not among them: it is a category of many tables.
MISSING = ("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NAN", "NULL", "null")


class UnusableColumnError(TableError):
    """A column of values that no network input can be made of, such as lists."""


def plain(name: str, values: pd.Series[Any] | pa.ChunkedArray, *, source: str = "the table") -> pa.ChunkedArray:
    """A column as Arrow: bool, int64, double, string or timestamp[us]; missing values of any spelling are null.

    What was declared a category (pandas' ``category``, Arrow's dictionary) becomes text, whatever its values are.

    Args:
        name: The column's name, for errors.
        values: The values.
        source: Where they come from, for errors.

    Raises:
        UnusableColumnError: for lists, bytes, objects.
        TableError: for a pandas column that mixes numbers and text.

    Example:
        >>> import pandas as pd
        >>> plain("size", pd.Series(["S", "NA", "L"])).to_pylist()
        ['S', None, 'L']
    """
    import pandas as pd  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    array = _arrow(name, values, source) if isinstance(values, pd.Series) else values
    if pa.types.is_dictionary(array.type):
        array = as_text(array.cast(array.type.value_type))
    return _plain_type(array)


def _arrow(name: str, values: pd.Series[Any], source: str) -> pa.ChunkedArray:
    import pandas as pd  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    if isinstance(values.dtype, pd.SparseDtype):
        values = pd.Series(values.to_numpy())
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        _refuse_mixture(name, values, source)
        present = values.dropna()
        kind = f"{type(present.iloc[0]).__name__} objects" if len(present) else f"values of type {values.dtype}"
        raise UnusableColumnError(f"holds {kind}") from None
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _refuse_mixture(name: str, values: pd.Series[Any], source: str) -> None:
    """Numbers and text in one column: says which row is the odd one out."""
    present = values.notna().to_numpy()
    text = np.array([isinstance(value, str) for value in values], dtype=bool)
    number = np.array([isinstance(value, int | float | np.number) for value in values], dtype=bool)
    if not (text.any() and number.any() and (text | number)[present].all()):
        return
    rarer = text if text.sum() <= number.sum() else number
    row = int(np.flatnonzero(rarer)[0])
    raise mixture(name, source, row, repr(values.iloc[row]), "text" if rarer is not text else "numbers")


def mixture(name: str, source: str, row: int, value: str, rest: str) -> TableError:
    """The error for a column of numbers and text; ``row`` counts from 0."""
    todo = "correct it, spell it NA if it is missing, or drop the column"
    return TableError(f"{source}: column {name!r} holds {value} in data row {row + 1}, expected {rest}: {todo}")


def _plain_type(array: pa.ChunkedArray) -> pa.ChunkedArray:  # noqa: PLR0911  (a table of types)
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    is_, kind = pa.types, array.type
    if is_.is_null(kind):
        return array.cast(pa.float64())
    if is_.is_boolean(kind):
        return array
    if is_.is_integer(kind) and kind != pa.uint64():
        return array.cast(pa.int64())
    if is_.is_integer(kind) or is_.is_floating(kind) or is_.is_decimal(kind):
        array = array.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        array = array.cast(pa.string()) if not is_.is_large_string(kind) else array
        missing = pc.is_in(array, value_set=pa.array(MISSING, array.type))
        return pc.if_else(missing, pa.scalar(None, array.type), array) if pc.any(missing).as_py() else array
    if is_.is_date(kind) or is_.is_timestamp(kind):
        return array.cast(pa.timestamp("us"), safe=False)
    if is_.is_duration(kind) or is_.is_time(kind):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        whole = pa.int32() if kind.bit_width == 32 else pa.int64()
        return pc.divide(array.cast(whole).cast(pa.float64(), safe=False), float(per_second))
    raise UnusableColumnError(f"holds values of type {kind}")


def as_text(array: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as category names: whole numbers without a point, whatever type they have.

    Example:
        >>> import pyarrow as pa
        >>> as_text(pa.chunked_array([[1.0, None, 2.5]])).to_pylist()
        ['1', None, '2.5']
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    is_, kind = pa.types, array.type
    if is_.is_string(kind) or is_.is_large_string(kind):
        return array
    if is_.is_floating(kind):
        whole = pc.fill_null(pc.and_(pc.equal(array, pc.round(array)), pc.less(pc.abs(array), 2.0**53)), True)
        if pc.all(whole).as_py():
            return array.cast(pa.int64()).cast(pa.string())
        values = [None if x is None else str(int(x)) if float(x).is_integer() else repr(x) for x in array.to_pylist()]
        return pa.chunked_array([pa.array(values, pa.string())])
    if is_.is_boolean(kind):
        return pc.if_else(array, pa.scalar("True"), pa.scalar("False"))
    return array.cast(pa.string())
