"""From a table and a few options to tensors on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.tables.errors import TableError
from counterpoint.data.tables.features import RARE_BELOW, Feature
from counterpoint.data.tables.leaks import Leak, find_leaks
from counterpoint.data.tables.opening import TableSource, open_table
from counterpoint.data.tables.plan import TablePlan, plan_table
from counterpoint.data.tables.preprocessing import Preprocessing
from counterpoint.data.tables.reading import content_hash
from counterpoint.data.tables.row_splits import is_label
from counterpoint.data.tables.schema import FORMAT, Dropped, TableSchema
from counterpoint.data.tables.splitting import SPLITS
from counterpoint.data.tables.store import PreparedTable, SplitWriter, building, save_facts, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    import pyarrow as pa

    from counterpoint.data.tables.options import TableOptions

# Medians, deviations and categories are those of so many training rows at most, drawn by the seed: of 200,000, a median
# is off by a few thousandths of a standard deviation. The same rows, whether the table fits into memory or not.
FIT_ROWS = 200_000
_LEAK_ROWS = 20_000
_ORIGINAL = "source.parquet"


def prepare(
    table: Path | str | pd.DataFrame,
    options: TableOptions,
    folder: Path | str,
    on_progress: Callable[[str], None] | None = None,
) -> PreparedTable:
    """Prepares a table for training: splits it, fits the preprocessing on training rows, writes tensors to a folder.

    What is there already is used. The folder appears complete or not at all; two processes may prepare the same one.
    Parquet files are read in batches and may be larger than memory.

    Args:
        table: A .csv, .csv.gz or .parquet file, or a DataFrame (a copy of which is kept in the folder).
        options: Targets, features, split.
        folder: Where to put it. An older prepared table there is replaced.
        on_progress: Is told in words what is going on.

    Raises:
        TableError: for whatever is wrong with the table or does not fit the options.
        OSError: if a file cannot be read or written.

    Example:
        >>> import pandas as pd, tempfile
        >>> from counterpoint.data.tables import TableOptions, prepare
        >>> table = pd.DataFrame({"x": [i % 9 / 4 for i in range(40)], "y": ["no", "yes"] * 20})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     prepare(table, TableOptions(("y",)), folder + "/prepared").splits()["train"].targets["y"].dtype
        torch.int64
    """
    folder, say = Path(folder), on_progress or (lambda _: None)
    content = content_hash(table)
    identity = json.dumps({"format": FORMAT, "content": content, "options": options.to_json()})
    digest = hashlib.sha256(identity.encode()).hexdigest()
    ready = stored(folder, digest)
    if ready is not None:
        return ready
    say("reading the table")
    source = open_table(table, options.drop)
    say(f"looking at {source.rows:,} rows of {len(source.names)} columns")
    plan = plan_table(source, options)
    say("fitting the preprocessing on training rows")
    fitted = _fit(source, plan, options.seed)
    with building(folder, digest) as temporary:
        _write(source, plan, fitted.preprocessing, temporary, say)
        origin: Path | str = _ORIGINAL
        if source.path is None:
            source.save(temporary / _ORIGINAL)
            content = content_hash(temporary / _ORIGINAL)
        else:
            origin = source.path.resolve()
        save_facts(temporary, _schema(source, plan, fitted, options, digest), origin, content)
    return PreparedTable(folder, digest)


@dataclass(frozen=True)
class _Fitted:
    preprocessing: Preprocessing
    leaks: tuple[Leak, ...]
    dropped: tuple[Dropped, ...]


def _fit(source: TableSource, plan: TablePlan, seed: int) -> _Fitted:
    train = np.flatnonzero(plan.split == 0)
    rng = np.random.default_rng((seed, 1))
    rows = np.sort(rng.choice(train, FIT_ROWS, replace=False)) if len(train) > FIT_ROWS else train
    sample = _rows(source, list(plan.kinds), rows)
    preprocessing = Preprocessing.fit(sample, plan.kinds)
    useless = {f.name: reason for f in preprocessing.features if (reason := _useless(f, sample[f.name]))}
    if useless:
        kinds = {name: kind for name, kind in plan.kinds.items() if name not in useless}
        preprocessing = Preprocessing.fit(sample, kinds)
    if not preprocessing.features:
        reasons = "; ".join(f"{name!r} {reason}" for name, reason in [*useless.items()][:5])
        raise TableError(f"{source.label}: no feature column is left ({reasons})")
    few = rng.permutation(len(rows))[:_LEAK_ROWS]
    columns = {
        feature.name: feature.numbers(sample[feature.name].take(few))[:, 0] for feature in preprocessing.features
    }
    targets = {target: plan.labels[target.name][rows[few]] for target in plan.targets}
    dropped = tuple(Dropped(name, reason) for name, reason in useless.items())
    categories = [feature.name for feature in preprocessing.features if feature.kind == "category"]
    return _Fitted(preprocessing, find_leaks(columns, targets, categories), dropped)


def _useless(feature: Feature, array: pa.ChunkedArray) -> str | None:
    """Why nothing can be learned from a column of training rows, though it may vary in others."""
    if feature.kind == "category":
        rare = not feature.codes > feature.coded
        return f"has no text that occurs {RARE_BELOW} times in training rows" if rare else None
    if array.null_count == len(array):
        return "has no values in training rows"
    first = feature.numbers(array)[:, 0]
    return "is constant in training rows" if not array.null_count and first.min() == first.max() else None


def _rows(source: TableSource, columns: list[str], rows: np.ndarray) -> pa.Table:
    """Some rows, by ascending numbers."""
    import pyarrow as pa  # noqa: PLC0415

    pieces, start = [], 0
    for batch in source.batches(columns):
        first, last = np.searchsorted(rows, [start, start + len(batch)])
        pieces.append(batch.take(pa.array(rows[first:last] - start)))
        start += len(batch)
    return pa.concat_tables(pieces)


def _write(
    source: TableSource, plan: TablePlan, preprocessing: Preprocessing, folder: Path, say: Callable[[str], None]
) -> None:
    width = len(preprocessing.feature_names)
    for place, split in enumerate(SPLITS):
        rows = np.flatnonzero(plan.split == place)
        np.save(folder / f"rows-{split}.npy", rows)
        for number, target in enumerate(plan.targets):
            np.save(folder / f"target-{number}-{split}.npy", plan.labels[target.name][rows])
    sizes = [int((plan.split == place).sum()) for place in range(len(SPLITS))]
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(SplitWriter(folder / f"inputs-{split}.npy", (size, width), np.float32))
            for split, size in zip(SPLITS, sizes, strict=True)
        ]
        start = 0
        for batch in source.batches(list(preprocessing.columns)):
            inputs = preprocessing.transform(batch, source=source.label, first_row=start)
            places = plan.split[start : start + len(batch)]
            for place, writer in enumerate(writers):
                writer.append(inputs[places == place])
            start += len(batch)
            say(f"writing inputs: {start / source.rows:.0%}")


def _schema(source: TableSource, plan: TablePlan, fitted: _Fitted, options: TableOptions, digest: str) -> TableSchema:
    used = fitted.preprocessing.columns
    missing = {
        target.name: {
            split: int(((plan.split == place) & ~is_label(plan.labels[target.name])).sum())
            for place, split in enumerate(SPLITS)
        }
        for target in plan.targets
    }
    return TableSchema(
        source=source.label,
        digest=digest,
        options=options,
        rows={split: int((plan.split == place).sum()) for place, split in enumerate(SPLITS)},
        unlabelled=int((plan.split < 0).sum()),
        targets=tuple(replace(target, partial=any(missing[target.name].values())) for target in plan.targets),
        inferred=plan.inferred,
        preprocessing=fitted.preprocessing,
        columns=tuple(column for column in plan.columns if column.name in used),
        dropped=(*plan.dropped, *fitted.dropped),
        leaks=fitted.leaks,
        missing_labels=missing,
        split=plan.description,
        notes=plan.notes,
    )
