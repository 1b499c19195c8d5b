"""What a target is: from its values, unless somebody said so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.tables.columns import as_text
from counterpoint.data.tables.errors import TableError
from counterpoint.data.tables.target import Label, Target, TargetKind, Transform
from counterpoint.data.tables.values import as_numbers, first_text_row, looks_like_numbers, spells_fractions

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_CLASSES = 1_000
# Whole numbers with no more different values than this may be the numbers of classes.
_FEW = 20
_NEGATIVE = ("no", "false", "0", "n", "f", "negative", "neg", "absent", "-1")


def target_of(
    name: str,
    array: pa.ChunkedArray,
    override: tuple[TargetKind, Transform] | None = None,
    *,
    source: str = "the table",
) -> tuple[Target, str]:
    """The target, without statistics of training rows yet, and in words how its kind was found.

    - Truth values, and any column of two values: binary.
    - Text: multiclass.
    - Numbers with fractions, or below zero: regression.
    - Whole numbers from 0 of which 0 is the most frequent and that are skewed to the right: count.
    - Up to 20 whole numbers without a gap from 0 or 1, five rows or more each on average: multiclass (class numbers).
    - Other whole numbers: regression.

    Args:
        name: The column.
        array: Its plain values in all rows.
        override: The kind and the transform that somebody said.
        source: Where it comes from, for errors.

    Raises:
        TableError: for no labels, a constant, too many classes, or values that are not of the kind.

    Example:
        >>> import pyarrow as pa
        >>> target_of("sick", pa.chunked_array([["no", "yes", "no"]]))[0].classes
        ('no', 'yes')
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    present = array.drop_null()
    if not len(present):
        raise TableError(f"{source}: target {name!r} has no labels, expected some: every row is missing")
    counts = pc.value_counts(present)
    distinct = len(counts)
    if distinct == 1:
        only = _plain_label(present[0].as_py())
        raise TableError(f"{source}: target {name!r} is constant ({only!r}), expected at least two different labels")
    text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    if text and spells_fractions(counts.field("values")):
        numbers = pa.array(as_numbers(name, array, source=source), from_pandas=True)  # NaN is null again
        return target_of(name, pa.chunked_array([numbers]), override, source=source)
    number = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
    if number:
        as_numbers(name, array, source=source)  # refuses infinite labels, with the row
    if pa.types.is_timestamp(array.type):
        raise TableError(f"{source}: target {name!r} holds dates, expected numbers or classes: make it a number first")
    if override is not None:
        kind, transform, reason = *override, "as given"
    else:
        (kind, reason), transform = _kind(present, distinct, number=number), "none"
        if text and distinct > _FEW and looks_like_numbers(counts.field("values")):
            _refuse_mistaken(name, counts.field("values"), source)
    partial = bool(array.null_count)
    if kind in {"binary", "multiclass"}:
        values, rows = counts.field("values"), counts.field("counts").to_numpy()
        classes = _classes(name, kind, values, rows, source)
        return Target(name, kind, classes=classes, partial=partial), reason
    target = Target(name, kind, transform, partial=partial)
    target.encode(array, source=source)  # refuses text, negative counts, logarithms of what has none
    return target, reason


def _refuse_mistaken(name: str, distinct: pa.Array, source: str) -> None:
    row = first_text_row(distinct)
    if row is not None:
        raise TableError(
            f"{source}: target {name!r} holds text such as {distinct[row].as_py()!r}, expected numbers with a point "
            f"and without other signs: correct it, or say --task {name}:multiclass if these are names"
        )


def with_statistics(
    target: Target, array: pa.ChunkedArray, train: np.ndarray | None = None, *, source: str = "the table"
) -> Target:
    """The target with mean, deviation and baseline of its labels in training rows.

    Args:
        target: The target.
        array: Its plain values in all rows.
        train: Which rows train, [N] of bool; all by default.
        source: Where the values come from, for errors.

    Raises:
        TableError: if a regression target is constant there.
    """
    if target.classes:
        return target
    values = as_numbers(target.name, array, source=source)
    values = values[~np.isnan(values) if train is None else train & ~np.isnan(values)]
    if target.kind == "regression":
        values = target.transformed(values)
        scale = float(values.std())
        if not scale > 0 or values.min() == values.max():  # of equal fractions, the deviation may be 1e-17
            raise TableError(f"{source}: target {target.name!r} is constant in the training rows, expected it to vary")
        return replace(target, mean=float(values.mean()), scale=scale, baseline=scale)
    # Poisson deviance of predicting the mean m: 2 (y log(y / m) - y + m), whose last terms cancel on average.
    mean, positive = values.mean(), values[values > 0]
    return replace(target, baseline=float(2 * (positive * np.log(positive / mean)).sum() / len(values)))


def _kind(  # noqa: PLR0911  (a list of rules)
    present: pa.ChunkedArray, distinct: int, *, number: bool
) -> tuple[TargetKind, str]:
    import pyarrow as pa  # noqa: PLC0415

    if pa.types.is_boolean(present.type):
        return "binary", "truth values"
    if distinct == 2:
        return "binary", "two different values"
    if not number:
        return "multiclass", f"text with {distinct} different values"
    values = present.to_numpy().astype(np.float64)
    if (values != np.floor(values)).any():
        return "regression", "numbers with fractions"
    least, most = values.min(), values.max()
    if least < 0:
        return "regression", "whole numbers, some below zero"
    if least == 0:
        zeros, centered = (values == 0).sum(), values - values.mean()
        ones = max(int((values == value).sum()) for value in (1, 2, 3))
        skewness = (centered**3).mean() / (centered**2).mean() ** 1.5
        # Of a Poisson distribution 1 / sqrt(mean); three class numbers are easily skewed a little.
        if zeros >= max(ones, len(values) / distinct) and skewness > (1.5 if distinct == 3 else 0.75):
            return "count", "whole numbers from 0, zero most often, skewed to the right"
    if distinct <= _FEW and least <= 1 and most - least == distinct - 1 and len(values) >= 5 * distinct:
        return "multiclass", f"the whole numbers {int(least)} to {int(most)}, taken for class numbers"
    return "regression", f"{distinct:,} different whole numbers"


def _classes(name: str, kind: TargetKind, values: pa.Array, rows: np.ndarray, source: str) -> tuple[Label, ...]:
    count = len(values)
    advice = f"is it an id or a number? say --task {name}:regression, or leave it out"
    if kind == "binary" and count != 2:
        raise TableError(
            f"{source}: target {name!r} has {count:,} different labels, expected 2 for binary: say --task "
            f"{name}:multiclass"
        )
    if count > _MOST_CLASSES:
        raise TableError(
            f"{source}: target {name!r} has {count:,} classes, expected at most {_MOST_CLASSES:,}: {advice}"
        )
    if count > _FEW and (rows == 1).sum() > count / 2:
        raise TableError(f"{source}: most of the {count:,} classes of target {name!r} have a single row: {advice}")
    return _ordered([_plain_label(value) for value in values.to_pylist()], as_text(values).to_pylist())


def _plain_label(value: Label) -> Label:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _ordered(labels: list[Label], texts: list[str]) -> tuple[Label, ...]:
    """Numbers by size, text by alphabet; of two the one that says no first."""
    if all(isinstance(label, int | float) for label in labels):
        return tuple(sorted(labels))
    paired = sorted(zip(texts, labels, strict=True), key=lambda pair: pair[0])
    if len(paired) == 2 and paired[1][0].strip().lower() in _NEGATIVE:
        paired.reverse()
    return tuple(label for _, label in paired)
