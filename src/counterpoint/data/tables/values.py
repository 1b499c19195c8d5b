"""Numbers, times and truth values of a plain column, whatever type a file happened to give it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.tables.errors import TableError

if TYPE_CHECKING:
    import pyarrow as pa

# How text spells a number.
NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_MEANT = r"^\s*[-+]?[$€£]?\s*(\d+([.,]\d+)?|\d{1,3}([,.' ]\d{3})+([.,]\d+)?)\s*[%€$£]?\s*$"
_TIME_OF_DAY = r"^\d\d:\d\d(:\d\d(\.\d{1,6})?)?$"
# Squares of larger ones are no floating-point numbers, and a deviation is made of squares.
_LARGEST = 1e100
_SECONDS_A_DAY = 86_400.0


def as_numbers(name: str, array: pa.ChunkedArray, *, source: str = "the table", first_row: int = 0) -> np.ndarray:
    """A plain column as float64 [N], missing values as NaN. Text that spells numbers is read.

    Raises:
        TableError: for text, times and infinite values, with the column and the row.

    Example:
        >>> import pyarrow as pa
        >>> as_numbers("x", pa.chunked_array([["1.5", None, "2"]])).tolist()
        [1.5, nan, 2.0]
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_timestamp(array.type):
        raise TableError(f"{source}: column {name!r} holds dates, expected numbers")
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        row = first_text_row(array)
        read = pc.utf8_trim_whitespace(array) if row is None else _as_arrow_reads(array)
        if read is None:
            value = array[row].as_py()
            raise TableError(
                f"{source}: column {name!r} holds {value!r} in data row {first_row + (row or 0) + 1}, expected a "
                "number: correct it, or spell it NA if it is missing"
            )
        array = read
    numbers: np.ndarray = array.cast(pa.float64(), safe=False).to_numpy()
    too_large = np.flatnonzero(np.abs(numbers) > _LARGEST)
    if len(too_large):
        row = int(too_large[0])
        raise TableError(
            f"{source}: column {name!r} holds {numbers[row]} in data row {first_row + row + 1}, expected finite "
            f"numbers up to {_LARGEST:.0e}: correct it, or spell it NA if it is missing"
        )
    return numbers


def _as_arrow_reads(array: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """What else Arrow takes for numbers when it reads a CSV file, if all of it is: 0x1F, and times of day as seconds.

    A network that was trained on such a file has to understand the same text in another one.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    try:
        if pc.all(pc.match_substring_regex(array, _TIME_OF_DAY)).as_py():
            times = pc.binary_join_element_wise("1970-01-01", array.cast(pa.string()), " ").cast(pa.timestamp("us"))
            return pc.divide(times.cast(pa.int64()).cast(pa.float64()), 1e6)
        return array.cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def first_text_row(array: pa.ChunkedArray) -> int | None:
    """The first row (from 0) of a text column that does not spell a number; ``None`` if all do."""
    import pyarrow.compute as pc  # noqa: PLC0415

    spelled = pc.fill_null(pc.match_substring_regex(array, NUMBER), True)
    row = pc.index(spelled, False).as_py()
    return None if row < 0 else int(row)


def looks_like_numbers(distinct: pa.Array | pa.ChunkedArray) -> bool:
    """Whether all text is what people may mean by a number: 1,5 and 12,000 and 7% and $3.

    Example:
        >>> import pyarrow as pa
        >>> [looks_like_numbers(pa.array(text)) for text in (["1,5", "2"], ["1.2.3"], ["1/2"])]
        [True, False, False]
    """
    import pyarrow.compute as pc  # noqa: PLC0415

    return all(pc.all(pc.match_substring_regex(some, _MEANT)).as_py() for some in (distinct[:8], distinct))


def spells_fractions(distinct: pa.Array | pa.ChunkedArray) -> bool | None:
    """Whether text is numbers with fractions, whatever its type says; whole numbers may be names, such as zip codes.

    Args:
        distinct: Text, missing values left out.

    Returns:
        ``True`` or ``False`` if all of it spells numbers, and some or none have fractions; ``None`` if it does not.
    """
    import pyarrow.compute as pc  # noqa: PLC0415

    for some in (distinct[:8], distinct):  # the first few decide for nearly all columns
        if not pc.all(pc.match_substring_regex(some, NUMBER)).as_py():
            return None
    return bool(pc.any(pc.match_substring_regex(distinct, r"[.eE]")).as_py())


def as_booleans(name: str, array: pa.ChunkedArray, *, source: str = "the table", first_row: int = 0) -> np.ndarray:
    """A column of truth values as float64 [N] of 0 and 1, missing values as NaN.

    Raises:
        TableError: for anything but True, False, 1 and 0.

    Example:
        >>> import pyarrow as pa
        >>> as_booleans("x", pa.chunked_array([["true", None, "0"]])).tolist()
        [1.0, nan, 0.0]
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_boolean(array.type):
        numbers: np.ndarray = array.cast(pa.float64()).to_numpy()
        return numbers
    text = pc.utf8_lower(array.cast(pa.string()))
    yes, no = (pc.is_in(text, value_set=pa.array(words)) for words in (("true", "1", "1.0"), ("false", "0", "0.0")))
    known = pc.or_(pc.or_(yes, no), pc.is_null(text))
    row = pc.index(known, False).as_py()
    if row >= 0:
        raise TableError(
            f"{source}: column {name!r} holds {array[row].as_py()!r} in data row {first_row + row + 1}, expected True "
            "or False"
        )
    found: np.ndarray = pc.if_else(pc.is_null(text), pa.scalar(None, pa.float64()), yes.cast(pa.float64())).to_numpy()
    return found


def as_times(name: str, array: pa.ChunkedArray, *, source: str = "the table", first_row: int = 0) -> pa.ChunkedArray:
    """A column of dates and times as Arrow timestamps. Text is read if it is ISO 8601.

    Raises:
        TableError: for other values, with the column and the row.
    """
    import pyarrow as pa  # noqa: PLC0415

    if pa.types.is_timestamp(array.type):
        return array
    times = iso_times(array)
    if times is not None:
        return times
    for row, value in enumerate(array):
        if iso_times(pa.chunked_array([[value.as_py()]], array.type)) is None:
            raise TableError(
                f"{source}: column {name!r} holds {value.as_py()!r} in data row {first_row + row + 1}, expected a date "
                "or time such as 2024-01-31 or 2024-01-31T18:30:00"
            )
    raise TableError(f"{source}: column {name!r} mixes times with and without a zone, expected one or the other")


def iso_times(array: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Text as timestamps (in UTC where a zone is given), ``None`` if any of it is not ISO 8601."""
    import pyarrow as pa  # noqa: PLC0415

    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        return array.cast(pa.timestamp("us")) if array.null_count == len(array) else None
    for unit, zone in (("us", None), ("us", "UTC"), ("ns", None), ("ns", "UTC")):  # ns: of nine decimals
        try:
            return array.cast(pa.timestamp(unit, zone)).cast(pa.timestamp("us"), safe=False)
        except pa.ArrowInvalid:
            continue
    return None


def days(times: pa.ChunkedArray) -> np.ndarray:
    """Days since 1970 as float64 [N], missing values as NaN.

    Example:
        >>> import pyarrow as pa
        >>> import datetime as dt
        >>> days(pa.chunked_array([[dt.datetime(1970, 1, 2, 12), None]])).tolist()
        [1.5, nan]
    """
    import pyarrow as pa  # noqa: PLC0415

    microseconds: np.ndarray = times.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy()
    found: np.ndarray = microseconds / 1e6 / _SECONDS_A_DAY
    return found
