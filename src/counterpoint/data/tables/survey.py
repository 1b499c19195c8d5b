"""One look at every value: what kind each column is, and which columns say nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.tables.values import (
    as_numbers,
    first_text_row,
    iso_times,
    looks_like_numbers,
    spells_fractions,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from counterpoint.data.tables.features import Kind

_ID_NAME = re.compile(r"(^|[^a-z])(id|ids|uuid|guid|index|idx|key|rownames|rowid|row)$|(?<=[a-z])I[dD]$")


@dataclass(frozen=True)
class ColumnFacts:
    """What all rows of a column show.

    Attributes:
        name: The column.
        kind: Its kind.
        rows: How many there are.
        missing: How many lack a value.
        distinct: How many different values there are; ``None`` for numbers, where only one or more is known.
        useless: Why it cannot help to predict anything ("is constant: 'x'"), ``None`` if it may.
        id: Why it is taken for the name of a row, ``None`` if it is not.
        mistaken: Text that looks like a number and is none ("1,5"), if all of it does, else ``None``.
    """

    name: str
    kind: Kind
    rows: int
    missing: int
    distinct: int | None
    useless: str | None
    id: str | None
    mistaken: str | None = None


class Survey:
    """Collects a column's facts batch by batch.

    Args:
        name: The column.
        source: Where it comes from, for errors.

    Example:
        >>> import pyarrow as pa
        >>> survey = Survey("rownames")
        >>> survey.add(pa.chunked_array([[1, 2, 3]]))
        >>> survey.facts().id
        'numbers the rows'
    """

    def __init__(self, name: str, source: str = "the table") -> None:
        self.name, self.source = name, source
        self._rows = self._missing = 0
        self._text = self._times = self._booleans = False
        self._iso = self._numbers = self._meant = True
        self._odd: str | None = None
        self._fractions = False
        self._least: object = None
        self._most: object = None
        self._rising = True
        # Distinct text as 64-bit hashes; whole numbers only as long as none occurred twice: ids are few.
        self._hashes = np.empty(0, dtype=np.uint64)
        self._whole: list[np.ndarray] | None = []

    def add(self, array: pa.ChunkedArray) -> None:
        """Takes the next rows of a plain column.

        Raises:
            TableError: for infinite values.
        """
        import pyarrow as pa  # noqa: PLC0415

        is_ = pa.types
        if is_.is_floating(array.type):
            as_numbers(self.name, array, source=self.source, first_row=self._rows)  # refuses infinite ones
        if is_.is_string(array.type) or is_.is_large_string(array.type):
            self._text = True
            self._add_text(array)
        elif is_.is_boolean(array.type):
            self._booleans = True
        elif is_.is_timestamp(array.type):
            self._times = True
        if is_.is_integer(array.type):
            self._add_whole(array)
        else:
            self._whole = None if array.null_count < len(array) else self._whole
        self._extremes(array)
        self._rows += len(array)
        self._missing += array.null_count

    def facts(self) -> ColumnFacts:
        """What the rows so far show."""
        kind: Kind = "numeric"
        if self._text:
            if self._numbers and self._fractions:
                kind = "numeric"
            else:
                kind = "datetime" if self._iso and self._missing < self._rows else "category"
        elif self._booleans:
            kind = "boolean"
        elif self._times:
            kind = "datetime"
        distinct = len(self._hashes) if self._text else None
        useless = None
        if self._missing == self._rows:
            useless = "has no values"
        elif self._least == self._most and not self._missing:
            only = np.datetime64(self._least, "us").astype("M8[s]") if self._times else self._least  # type: ignore[call-overload]
            useless = f"is constant: {_short(only)}"
        mistaken = self._odd if kind == "category" and self._meant else None
        return ColumnFacts(self.name, kind, self._rows, self._missing, distinct, useless, self._id(kind), mistaken)

    def _add_text(self, array: pa.ChunkedArray) -> None:
        import pandas as pd  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        distinct = pc.unique(array).drop_null()
        if self._iso:  # the first few decide for nearly all columns
            self._iso = iso_times(distinct[:8]) is not None and iso_times(distinct) is not None
        if self._numbers and len(distinct):
            fractions = spells_fractions(distinct)
            self._numbers, self._fractions = fractions is not None, self._fractions or bool(fractions)
        self._meant = self._meant and looks_like_numbers(distinct)
        if self._meant and self._odd is None and (row := first_text_row(distinct)) is not None:
            self._odd = distinct[row].as_py()
        hashes = pd.util.hash_array(distinct.to_numpy(zero_copy_only=False).astype(object), categorize=False)
        self._hashes = np.union1d(self._hashes, hashes)

    def _add_whole(self, array: pa.ChunkedArray) -> None:
        import pyarrow.compute as pc  # noqa: PLC0415

        if self._whole is None or array.null_count or not len(array):
            self._whole = None if array.null_count else self._whole
            return
        values = array.to_numpy()
        if pc.count_distinct(array).as_py() < len(values):
            self._whole = None
            return
        if self._whole and self._whole[-1][-1] >= values[0]:
            self._rising = False
        self._rising = self._rising and bool((np.diff(values) > 0).all())
        self._whole.append(values)

    def _extremes(self, array: pa.ChunkedArray) -> None:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        # Times as numbers: Python's calendar ends with the year 9999.
        found = pc.min_max(array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array).as_py()
        if found["min"] is None:
            return
        self._least = found["min"] if self._least is None else min(self._least, found["min"])
        self._most = found["max"] if self._most is None else max(self._most, found["max"])

    def _id(self, kind: Kind) -> str | None:
        """A measured whole number may be different in every row: an id also counts, only rises, or is called so."""
        present = self._rows - self._missing
        if present < 3:
            return None
        if kind == "category" and len(self._hashes) == present:
            return "has another text in every row"
        if kind != "numeric" or not self._whole:
            return None
        return self._id_of_numbers(np.concatenate(self._whole))

    def _id_of_numbers(self, values: np.ndarray) -> str | None:
        if len(np.unique(values)) < len(values):
            return None
        if int(values.max()) - int(values.min()) == len(values) - 1:
            return "numbers the rows"
        if self._rising:
            return "rises from row to row"
        return "has another number in every row" if _ID_NAME.search(self.name.strip()) else None


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
