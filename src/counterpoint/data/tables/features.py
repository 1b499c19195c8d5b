"""One feature column: what of it goes into a network, learned from training rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from counterpoint.data.tables.columns import as_text
from counterpoint.data.tables.values import as_booleans, as_numbers, as_times, days

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

Kind = Literal["numeric", "boolean", "datetime", "category"]
# A column of its own for each of so many categories; more are codes, for the network to embed.
ONE_HOT_AT_MOST = 16
# An embedding of a category seen less often is noise: such ones share code 0 with unknown ones.
RARE_BELOW = 5
_PARTS = ("year", "month", "day of week", "hour")


@dataclass(frozen=True)
class Feature:
    """A column and how it becomes numbers.

    Attributes:
        name: The column.
        kind: ``"numeric"``, ``"boolean"``, ``"datetime"`` or ``"category"``.
        missing: Whether training rows lack values: then a missing value is an input of its own.
        parts: What is taken of a time besides ``"elapsed"`` days: what varies of year, month, day of week, hour.
        categories: Categories in the order of their codes.
        coded: Whether categories are codes for an embedding (0: unknown, rare or missing), else one-hot.

    Example:
        >>> import pyarrow as pa
        >>> size = Feature.learned("size", "category", pa.chunked_array([["S", "L", "S"]]))
        >>> size.categories, size.numbers(pa.chunked_array([["S", "XXL"]])).ravel().tolist()
        (('L', 'S'), [1.0, -1.0])
    """

    name: str
    kind: Kind
    missing: bool = False
    parts: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    coded: bool = False

    @classmethod
    def learned(cls, name: str, kind: Kind, array: pa.ChunkedArray) -> Feature:
        """What a plain column of training rows teaches.

        Args:
            name: The column's name.
            kind: Its kind.
            array: Its values in training rows, N >= 1.
        """
        missing = array.null_count > 0
        if kind == "datetime":
            times = as_times(name, array)
            varying = [part for part in _PARTS if len(np.unique(_present(_part(times, part)))) > 1]
            return cls(name, kind, missing, parts=("elapsed", *varying))
        if kind == "category":
            # By name, not by frequency: the order must not depend on ties. Code points, as everywhere in Python.
            counts = {entry["values"]: entry["counts"] for entry in as_text(array).value_counts().to_pylist()}
            counts.pop(None, None)
            coded = len(counts) > ONE_HOT_AT_MOST
            kept = tuple(sorted(name for name, count in counts.items() if not coded or count >= RARE_BELOW))
            return cls(name, kind, missing, categories=kept, coded=coded)
        return cls(name, kind, missing)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of :meth:`numbers`."""
        return tuple(f"{self.name}: {part}" for part in self.parts) if self.parts else (self.name,)

    @property
    def codes(self) -> int:
        """Codes of a category: of a coded one with 0, of a one-hot one with that of missing values if there are any."""
        return len(self.categories) + (1 if self.coded or self.missing else 0)

    def numbers(self, array: pa.ChunkedArray, *, source: str = "the table", first_row: int = 0) -> np.ndarray:
        """The column in float64 [N, k]: values, parts of times, or codes of categories.

        Missing values are NaN, except for categories, where they are code 0 if coded, the last code if one-hot (and
        training rows had any). An unknown category is code 0 if coded, else -1.

        Raises:
            TableError: for values of another kind, with the column and the row.
        """
        where = {"source": source, "first_row": first_row}
        if self.kind == "numeric":
            return _column(as_numbers(self.name, array, **where))  # type: ignore[arg-type]
        if self.kind == "boolean":
            return _column(as_booleans(self.name, array, **where))  # type: ignore[arg-type]
        if self.kind == "datetime":
            times = as_times(self.name, array, **where)  # type: ignore[arg-type]
            return np.stack([_part(times, part) for part in self.parts], axis=1)
        index, missing = self._index(array)
        if self.coded:
            return _column(np.nan_to_num(index + 1, nan=0.0))
        index = np.nan_to_num(index, nan=-1.0)
        if self.missing:
            index[missing] = len(self.categories)
        return _column(index)

    def unknown(self, array: pa.ChunkedArray) -> int:
        """How many values of a category column are none of :attr:`categories`."""
        index, missing = self._index(array)
        return int((np.isnan(index) & ~missing).sum())

    def _index(self, array: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        text = as_text(array)
        index = pc.index_in(text, value_set=pa.array(self.categories, text.type), skip_nulls=True)
        return index.cast(pa.float64()).to_numpy(), text.is_null().to_numpy()

    def to_json(self) -> dict[str, Any]:
        """Plain values that :meth:`from_json` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Feature:
        """The feature that :meth:`to_json` described."""
        known = {**values, "parts": tuple(values["parts"]), "categories": tuple(values["categories"])}
        return cls(**{name: known[name] for name in cls.__dataclass_fields__})


def _part(times: pa.ChunkedArray, part: str) -> np.ndarray:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if part == "elapsed":
        return days(times)
    found: np.ndarray = getattr(pc, part.replace(" ", "_"))(times).cast(pa.float64()).to_numpy()
    return found


def _column(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1)


def _present(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = values[~np.isnan(values)]
    return found
