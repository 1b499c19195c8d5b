"""What is decided before anything is fitted: targets, features, and the split of every row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.tables.errors import TableError, named
from counterpoint.data.tables.inference import target_of
from counterpoint.data.tables.schema import ColumnSummary, Dropped
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
from counterpoint.data.tables.survey import ColumnFacts, Survey
from counterpoint.data.tables.values import as_numbers, as_times, days

if TYPE_CHECKING:
    import pyarrow as pa

    from counterpoint.data.tables.features import Kind
    from counterpoint.data.tables.options import TableOptions
    from counterpoint.data.tables.reading import TableSource
    from counterpoint.data.tables.target import Target


@dataclass(frozen=True, eq=False)
class TablePlan:
    """What a first pass over a table decides.

    Attributes:
        kinds: The features with their kinds.
        columns: The features in words.
        dropped: Columns that are not used.
        targets: The targets, with statistics of training rows.
        inferred: How the kind of each was found.
        labels: Encoded labels of all rows by target.
        split: The split of each row: 0, 1, 2; -1 for rows without any label.
        description: In words how rows were split.
        notes: What else people should know.
    """

    kinds: dict[str, Kind]
    columns: tuple[ColumnSummary, ...]
    dropped: tuple[Dropped, ...]
    targets: tuple[Target, ...]
    inferred: dict[str, str]
    labels: dict[str, np.ndarray]
    split: np.ndarray
    description: str
    notes: tuple[str, ...]


def plan_table(source: TableSource, options: TableOptions) -> TablePlan:
    """Looks at every row once and decides.

    Raises:
        TableError: for whatever is wrong with the table or does not fit the options.
    """
    held, surveys, dropped = _first_pass(source, options)
    kinds, columns, useless = _chosen(surveys, options)
    if not kinds:
        reasons = "; ".join(f"{one.column!r} {one.reason}" for one in (*dropped, *useless)[:5])
        raise TableError(f"{source.label}: no feature column is left ({reasons or 'there are only targets'})")
    targets, inferred = {}, {}
    for name in options.targets:
        target, inferred[name] = target_of(name, held[name], options.overrides.get(name), source=source.label)
        targets[name] = target
    plain = {name: target.encode(held[name], source=source.label) for name, target in targets.items()}
    labelled = np.any([_present(labels) for labels in plain.values()], axis=0)
    split = np.full(source.rows, -1, dtype=np.int8)
    split[labelled], description = _split(source, options, held, targets, plain, labelled)
    missing_classes = _refuse_unlearnable(source, targets, plain, split)
    finished, labels = {}, {}
    for name, target in targets.items():
        finished[name] = _with_statistics(target, held[name], split == 0, source.label)
        labels[name] = finished[name].encode(held[name], source=source.label)
    return TablePlan(
        kinds,
        columns,
        (*dropped, *useless),
        tuple(finished.values()),
        inferred,
        labels,
        split,
        description,
        missing_classes,
    )


def _first_pass(
    source: TableSource, options: TableOptions
) -> tuple[dict[str, pa.ChunkedArray], list[ColumnFacts], list[Dropped]]:
    import pyarrow as pa  # noqa: PLC0415

    source.require(options.targets, "a target")
    source.require(options.features, "a feature")
    by = [name for name in (options.group_by, options.time_by) if name is not None]
    source.require(by, "the split")
    unknown = [name for name in options.drop if name not in source.names]
    if unknown:
        source.require(unknown, "dropping")
    dropped = [Dropped(name, source.unusable[name]) for name in source.unusable if name not in options.drop]
    dropped += [Dropped(name, "is not to be used") for name in options.drop]
    if options.group_by:
        dropped.append(Dropped(options.group_by, "groups the rows"))
    if options.time_by:
        dropped.append(Dropped(options.time_by, "is the time of the rows"))
    out = {*options.targets, *(one.column for one in dropped)}
    surveyed = [name for name in options.features or source.names if name not in out]
    surveys = {name: Survey(name, source.label) for name in surveyed}
    pieces: dict[str, list[pa.ChunkedArray]] = {name: [] for name in (*options.targets, *by)}
    for batch in source.batches([*pieces, *surveyed]):
        for name, kept in pieces.items():
            kept.append(batch[name])
        for name, survey in surveys.items():
            survey.add(batch[name])
    held = {
        name: pa.chunked_array([chunk for piece in kept for chunk in piece.chunks], kept[0].type)
        for name, kept in pieces.items()
    }
    return held, [survey.facts() for survey in surveys.values()], dropped


def _chosen(
    facts: list[ColumnFacts], options: TableOptions
) -> tuple[dict[str, Kind], tuple[ColumnSummary, ...], list[Dropped]]:
    useless, kept = [], []
    for column in facts:
        # Who asks for a column by name may know that it is no id; what is constant is of no use to anybody.
        reason = column.useless or (None if options.features else column.id)
        if reason is None:
            kept.append(column)
        else:
            useless.append(Dropped(column.name, reason))
    kinds = {column.name: column.kind for column in kept}
    columns = tuple(
        ColumnSummary(
            column.name,
            column.kind,
            column.missing / column.rows,
            column.distinct if column.kind == "category" else None,
        )
        for column in kept
    )
    return kinds, columns, useless


def _present(labels: np.ndarray) -> np.ndarray:
    found: np.ndarray = labels >= 0 if labels.dtype == np.int64 else ~np.isnan(labels)
    return found


def _split(
    source: TableSource,
    options: TableOptions,
    held: dict[str, pa.ChunkedArray],
    targets: dict[str, Target],
    labels: dict[str, np.ndarray],
    labelled: np.ndarray,
) -> tuple[np.ndarray, str]:
    count = int(labelled.sum())
    if count < FEWEST_ROWS:
        raise TableError(
            f"{source.label} has {count} rows with a label, expected at least {FEWEST_ROWS} for training, validation "
            "and test rows"
        )
    share, seed = shares(options.validation, options.test), options.seed
    fractions = f"{share[0]:.0%} train, {share[1]:.0%} validation, {share[2]:.0%} test"
    classes = {name: labels[name][labelled] for name, target in targets.items() if target.classes}
    if options.group_by is not None:
        groups = _groups(source, held[options.group_by], options.group_by)[labelled]
        _, groups = np.unique(groups, return_inverse=True)
        found = split_by_group(groups, share, seed, column=options.group_by)
        return found, f"by group: rows with the same {options.group_by!r} stay together; {fractions} (seed {seed})"
    if options.time_by is not None:
        times = _times(source, held[options.time_by], options.time_by)[labelled]
        found = split_by_time(times, share, column=options.time_by)
        return found, f"by time: the oldest rows by {options.time_by!r} train, the newest test; {fractions}"
    if options.split == "random" or (options.split == "auto" and not classes):
        strata = _label_presence(targets, labels, labelled)
        found = split_stratified(strata, share, seed) if strata else split_randomly(count, share, seed)
        return ensure_training_classes(found, classes), f"at random: {fractions} (seed {seed})"
    if not classes:
        raise TableError("split is 'stratified', but no target has classes: expected the split 'random'")
    strata = [np.where(values >= 0, values, -1) for values in classes.values()]
    found = split_stratified([*strata, *_label_presence(targets, labels, labelled)], share, seed)
    return ensure_training_classes(found, classes), f"stratified by {named(classes)}: {fractions} (seed {seed})"


def _label_presence(
    targets: dict[str, Target], labels: dict[str, np.ndarray], labelled: np.ndarray
) -> list[np.ndarray]:
    """A class "has a label" for each target that lacks some, so that labels are in every split."""
    partial = [name for name, target in targets.items() if target.partial and not target.classes]
    return [np.where(_present(labels[name][labelled]), 0, -1) for name in partial]


def _groups(source: TableSource, array: pa.ChunkedArray, column: str) -> np.ndarray:
    import pyarrow.compute as pc  # noqa: PLC0415

    _refuse_missing(source, array, column, "group")
    encoded = pc.dictionary_encode(array).combine_chunks()
    if hasattr(encoded, "chunks"):  # several dictionaries were unified into one
        encoded = encoded.chunk(0)
    found: np.ndarray = encoded.indices.to_numpy().astype(np.int64)
    return found


def _times(source: TableSource, array: pa.ChunkedArray, column: str) -> np.ndarray:
    import pyarrow as pa  # noqa: PLC0415

    _refuse_missing(source, array, column, "time")
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return as_numbers(column, array, source=source.label)
    return days(as_times(column, array, source=source.label))


def _refuse_missing(source: TableSource, array: pa.ChunkedArray, column: str, what: str) -> None:
    missing = np.flatnonzero(array.is_null().to_numpy())
    if len(missing):
        raise TableError(
            f"{source.label}: column {column!r} has no value in data row {missing[0] + 1}, expected a {what} for every "
            "row: fill it in, or remove the row"
        )


def _refuse_unlearnable(
    source: TableSource, targets: dict[str, Target], labels: dict[str, np.ndarray], split: np.ndarray
) -> tuple[str, ...]:
    notes = []
    for name, target in targets.items():
        present = _present(labels[name])
        for place, which in enumerate(SPLITS):
            if not (present & (split == place)).any():
                raise TableError(
                    f"{source.label}: target {name!r} has no label in the {which} rows ({int(present.sum())} labels in "
                    "all), expected some in each split: label more rows, or split them in another way"
                )
        trained = labels[name][present & (split == 0)]
        distinct = np.unique(trained)
        if len(distinct) == 1:
            only = target.classes[int(distinct[0])] if target.classes else float(distinct[0])
            what = "one class" if target.classes else "one value"
            raise TableError(
                f"{source.label}: target {name!r} has {what} in the training rows ({only!r}), expected at least two: "
                "split the rows in another way, or label more of them"
            )
        if target.classes and len(distinct) < len(target.classes):
            absent = [str(target.classes[code]) for code in range(len(target.classes)) if code not in distinct]
            notes.append(f"No training row of target {name!r} is {named(absent)}: it cannot be learned.")
    return tuple(notes)


def _with_statistics(target: Target, array: pa.ChunkedArray, train: np.ndarray, source: str) -> Target:
    if target.classes:
        return target
    values = as_numbers(target.name, array, source=source)
    values = values[train & ~np.isnan(values)]
    if target.kind == "regression":
        values = target.transformed(values)
        scale = float(values.std())
        return replace(target, mean=float(values.mean()), scale=scale, baseline=scale)
    # Poisson deviance of predicting the mean m: 2 (y log(y / m) - y + m), whose last terms cancel on average.
    mean, positive = values.mean(), values[values > 0]
    return replace(target, baseline=float(2 * (positive * np.log(positive / mean)).sum() / len(values)))
