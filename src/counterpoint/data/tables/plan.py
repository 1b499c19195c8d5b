"""What is decided before anything is fitted: targets, features, and the split of every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.data.tables.errors import TableError
from counterpoint.data.tables.inference import target_of, with_statistics
from counterpoint.data.tables.row_splits import Labels, refuse_unlearnable, split_rows
from counterpoint.data.tables.schema import ColumnSummary, Dropped
from counterpoint.data.tables.survey import ColumnFacts, Survey
from counterpoint.data.tables.values import as_numbers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from counterpoint.data.tables.features import Kind
    from counterpoint.data.tables.opening import TableSource
    from counterpoint.data.tables.options import TableOptions
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
    labels = Labels(source.label, targets, _compared(source, targets, held))
    split, description = split_rows(labels, options, held)
    notes = (*refuse_unlearnable(labels, split), *_mistaken(surveys))
    finished = {
        name: with_statistics(target, held[name], split == 0, source=source.label) for name, target in targets.items()
    }
    dropped = [*dropped, *useless]
    return TablePlan(
        kinds=kinds,
        columns=columns,
        dropped=tuple(dropped),
        targets=tuple(finished.values()),
        inferred=inferred,
        labels=_encoded(source, finished, held),
        split=split,
        description=description,
        notes=notes,
    )


def _mistaken(facts: list[ColumnFacts]) -> list[str]:
    return [
        f"Column {column.name!r} holds text such as {column.mistaken!r}, which is taken for categories: if numbers are "
        "meant, write them with a point and without other signs."
        for column in facts
        if column.mistaken is not None
    ]


def _compared(
    source: TableSource, targets: dict[str, Target], held: dict[str, pa.ChunkedArray]
) -> dict[str, np.ndarray]:
    """Labels to split rows by. Not standardized yet, large numbers would be the same in single precision."""
    return {
        name: as_numbers(name, held[name], source=source.label)
        if target.kind == "regression"
        else target.encode(held[name], source=source.label)
        for name, target in targets.items()
    }


def _encoded(
    source: TableSource, targets: dict[str, Target], held: dict[str, pa.ChunkedArray]
) -> dict[str, np.ndarray]:
    return {name: target.encode(held[name], source=source.label) for name, target in targets.items()}


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
