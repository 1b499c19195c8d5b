"""The split of every row of a table, as somebody asked for it, and whether targets can be learned from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.tables.errors import TableError, named
from counterpoint.data.tables.splitting import (
    FEWEST_ROWS,
    SPLITS,
    ensure_training_classes,
    shares,
    split_by_group,
    split_by_time,
    split_randomly,
    split_stratified,
)
from counterpoint.data.tables.values import as_numbers, as_times, days

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from counterpoint.data.tables.options import TableOptions
    from counterpoint.data.tables.target import Target

# With fewer rows of the rarer kind, one row more or less moves a score by a tenth.
_FEW_EVENTS = 10


@dataclass(frozen=True, eq=False)
class Labels:
    """Encoded labels of all rows.

    Attributes:
        source: What the table is called in messages.
        targets: The targets by name.
        numbers: Their labels, [N] each: class numbers with -100, or floating-point numbers with NaN, for no label.
    """

    source: str
    targets: dict[str, Target]
    numbers: dict[str, np.ndarray]

    def present(self, name: str) -> np.ndarray:
        """Which rows have a label, [N]."""
        return is_label(self.numbers[name])


def is_label(numbers: np.ndarray) -> np.ndarray:
    """Which encoded labels are some, [N]: -100 and NaN are none.

    Example:
        >>> is_label(np.array([0, -100])).tolist(), is_label(np.array([0.5, np.nan])).tolist()
        ([True, False], [True, False])
    """
    found: np.ndarray = numbers >= 0 if np.issubdtype(numbers.dtype, np.integer) else ~np.isnan(numbers)
    return found


def split_rows(labels: Labels, options: TableOptions, by: Mapping[str, pa.ChunkedArray]) -> tuple[np.ndarray, str]:
    """Splits the rows that have a label of some target.

    Args:
        labels: Labels of all rows.
        options: How to split.
        by: The columns that rows are grouped by or ordered by, if they are.

    Returns:
        The split of each row, [N] of 0, 1, 2 and -1 for rows without any label; and in words how they were split.

    Raises:
        TableError: for too few rows, groups or times.
    """
    labelled = np.any([labels.present(name) for name in labels.targets], axis=0)
    count = int(labelled.sum())
    if count < FEWEST_ROWS:
        raise TableError(
            f"{labels.source} has {count} rows with a label, expected at least {FEWEST_ROWS} for training, validation "
            "and test rows: label more"
        )
    share, seed = shares(options.validation, options.test), options.seed
    if options.group_by is not None:
        groups = _groups(labels.source, by[options.group_by], options.group_by)[labelled]
        found = split_by_group(np.unique(groups, return_inverse=True)[1], share, seed, column=options.group_by)
        how = f"by group, rows with the same {options.group_by!r} together"
    elif options.time_by is not None:
        times = _times(labels.source, by[options.time_by], options.time_by)[labelled]
        found = split_by_time(times, share, column=options.time_by)
        how = f"by time, the oldest rows by {options.time_by!r} train, the newest test"
    else:
        found, how = _by_label(labels, labelled, options, share)
    split = np.full(len(labelled), -1, dtype=np.int8)
    split[labelled] = found
    drawn = "" if options.time_by else f"; seed {seed}"
    return split, f"{how}: {share[0]:.0%} train, {share[1]:.0%} validation, {share[2]:.0%} test{drawn}"


def _by_label(labels: Labels, labelled: np.ndarray, options: TableOptions, share: np.ndarray) -> tuple[np.ndarray, str]:
    classes = {name: labels.numbers[name][labelled] for name, target in labels.targets.items() if target.classes}
    # "Has a label" is a class, too, of targets that lack some: each split is to have labels.
    strata = [
        np.where(labels.present(name)[labelled], 0, -1)
        for name, target in labels.targets.items()
        if target.partial and not target.classes
    ]
    how = "at random"
    counts = _events(labels, labelled)
    if options.split == "stratified" or (options.split == "auto" and (classes or counts)):
        if not classes and not counts:
            raise TableError("split is 'stratified', but no target has classes: expected the split 'random'")
        strata = [*classes.values(), *counts.values(), *strata]
        how = f"stratified by {named([*classes, *counts])}"
    if strata:
        found = split_stratified(strata, share, options.seed)
    else:
        found = split_randomly(int(labelled.sum()), share, options.seed)
    return ensure_training_classes(found, classes), how


def _events(labels: Labels, labelled: np.ndarray) -> dict[str, np.ndarray]:
    """Whether a count is above zero, as a class: a split without any event of a rare kind says nothing about it."""
    found = {}
    for name, target in labels.targets.items():
        if target.kind == "count":
            numbers = labels.numbers[name][labelled]
            events = np.where(is_label(numbers), numbers > 0, -1)
            if {0, 1} <= set(events.tolist()):
                found[name] = events
    return found


def refuse_unlearnable(labels: Labels, split: np.ndarray) -> tuple[str, ...]:
    """Refuses splits from which a target cannot be learned or judged; returns what is only worth a note.

    Raises:
        TableError: for a split without labels of a target, with one class of two or a count that is always zero, and
            training rows with one value.
    """
    notes = []
    for name, target in labels.targets.items():
        present, numbers = labels.present(name), labels.numbers[name]
        for place, which in enumerate(SPLITS):
            if not (present & (split == place)).any():
                raise TableError(
                    f"{labels.source}: target {name!r} has no label in the {which} rows ({int(present.sum())} labels "
                    "in all), expected some in each split: label more rows, or split them in another way"
                )
        distinct = np.unique(numbers[present & (split == 0)])
        if len(distinct) == 1:
            only = target.classes[int(distinct[0])] if target.classes else float(distinct[0])
            raise TableError(
                f"{labels.source}: target {name!r} has one {'class' if target.classes else 'value'} in the training "
                f"rows ({only!r}), expected at least two: split the rows in another way, or label more of them"
            )
        for place, which in enumerate(SPLITS):
            if target.kind == "binary" and len(np.unique(numbers[present & (split == place)])) == 1:
                raise TableError(
                    f"{labels.source}: target {name!r} has one class in the {which} rows, expected both to be told "
                    "apart there: split the rows in another way, or label more of them"
                )
            if target.kind == "count" and not (numbers[present & (split == place)] > 0).any():
                # The deviance of predicting nothing is next to nothing: changes relative to it would decide for all.
                raise TableError(
                    f"{labels.source}: target {name!r} is zero in all {which} rows ({int((numbers > 0).sum())} rows "
                    "above zero in all), expected some above zero in each split: leave it out, or label more rows"
                )
        if len(distinct) < len(target.classes):
            absent = [str(target.classes[code]) for code in range(len(target.classes)) if code not in distinct]
            notes.append(f"No training row of target {name!r} is {named(absent)}: it cannot be learned.")
        notes += _rare(name, target, numbers, split)
    return tuple(notes)


def _rare(name: str, target: Target, numbers: np.ndarray, split: np.ndarray) -> list[str]:
    """A note if so few rows of a split are of the rarer kind that scores there hang on a handful of them."""
    if target.kind not in {"binary", "count"}:
        return []
    said = []
    for place, which in enumerate(SPLITS):
        own = numbers[(split == place) & is_label(numbers)]
        rare = min(int((own > 0).sum()), int((own == 0).sum())) if target.classes else int((own > 0).sum())
        if place and rare < _FEW_EVENTS:
            said.append(f"{rare} of {len(own):,} {which} rows")
    what = "of the rarer class" if target.classes else "above zero"
    return [f"Target {name!r} is {what} in only {' and '.join(said)}: scores there say little."] if said else []


def _groups(source: str, array: pa.ChunkedArray, column: str) -> np.ndarray:
    import pyarrow.compute as pc  # noqa: PLC0415

    _refuse_missing(source, array, column, "group")
    # In the order of first occurrence: which row is in which group must not depend on how a file is cut into pieces.
    found: np.ndarray = pc.index_in(array, value_set=pc.unique(array)).to_numpy()
    return found


def _times(source: str, array: pa.ChunkedArray, column: str) -> np.ndarray:
    import pyarrow as pa  # noqa: PLC0415

    _refuse_missing(source, array, column, "time")
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return as_numbers(column, array, source=source)
    return days(as_times(column, array, source=source))


def _refuse_missing(source: str, array: pa.ChunkedArray, column: str, what: str) -> None:
    missing = np.flatnonzero(array.is_null().to_numpy())
    if len(missing):
        raise TableError(
            f"{source}: column {column!r} has no value in data row {missing[0] + 1}, expected a {what} for every row: "
            "fill it in, or remove the row"
        )
