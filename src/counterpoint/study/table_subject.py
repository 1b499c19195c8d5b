"""A table as what a study is about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from counterpoint.data.tables import TableOptions, prepare
from counterpoint.models import TableNetwork
from counterpoint.study.bundling import bundle_of
from counterpoint.study.named_tasks import named_tasks
from counterpoint.study.table_source import table_fit, table_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterpoint.data.tables import PreparedTable
    from counterpoint.serving import Bundle
    from counterpoint.study.runs.store import RunStore
    from counterpoint.study.source import Source
    from counterpoint.study.study import Study
    from counterpoint.study.study_results import StudyResults


@dataclass(frozen=True)
class TableSubject:
    """A prepared table with the network that learns it: what a study is about.

    Attributes:
        source: The table as a source.
        prepared: The table.
        network: What is trained.
    """

    source: Source
    prepared: PreparedTable
    network: TableNetwork

    def facts(self) -> dict[str, Any]:
        """What the report says about the table."""
        schema = self.prepared.schema
        kinds = Counter(column.kind for column in schema.columns)
        tasks = [
            {
                "name": target.name,
                "kind": target.kind,
                "transform": target.transform,
                "how": schema.inferred.get(target.name, ""),
                "classes": len(target.classes) or None,
                "missing": schema.missing_labels.get(target.name, {}),
            }
            for target in schema.targets
        ]
        return {
            "features": dict(kinds),
            "inputs": schema.preprocessing.inputs + len(schema.preprocessing.cardinalities),
            "tasks": tasks,
            "dropped": [{"column": each.column, "reason": each.reason} for each in schema.dropped],
            "leaks": [
                {
                    "column": leak.column,
                    "target": leak.target,
                    "strength": leak.strength,
                    "sentence": leak.sentence,
                }
                for leak in schema.leaks
            ],
            "notes": list(schema.notes),
            "split": schema.split,
        }

    def bundle(self, results: StudyResults, store: RunStore) -> Bundle:
        """The chosen networks, with the table's preprocessing."""
        schema = self.prepared.schema
        return bundle_of(
            results,
            self.source,
            store,
            network=self.network,
            targets=schema.targets,
            preprocessing=schema.preprocessing,
        )


def table_subject(study: Study, folder: Path, on_progress: Callable[[str], None] | None = None) -> TableSubject:
    """Reads and prepares the table, or finds it prepared.

    Args:
        study: What was asked for.
        folder: Where it is kept.
        on_progress: Hears in words what is being done.

    Raises:
        ValueError: for a table that cannot be studied.
    """
    targets, overrides = named_tasks(study.tasks)
    options = TableOptions(
        targets,
        overrides,
        tuple(study.features),
        tuple(study.drop),
        study.split,
        study.group_by,
        study.time_by,
        study.validation,
        study.test,
        study.split_seed,
    )
    if len(targets) < 2:
        raise ValueError(f"{targets[0]!r} is the only target, expected at least two: a study compares sharing")
    prepared = prepare(study.data, options, folder, on_progress)
    cooked = prepared.schema.preprocessing
    network = TableNetwork(
        study.architecture, cooked.inputs, tuple(cooked.cardinalities), tuple(int(width) for width in study.hidden)
    )
    fit = table_fit(prepared.schema.rows["train"], study.epochs, study.batch_size)
    fit = replace(fit, devices=study.devices, nodes=study.nodes)
    name = "a DataFrame" if isinstance(study.data, pd.DataFrame) else Path(study.data).name
    return TableSubject(table_source(name, prepared, network, fit, study.lr), prepared, network)
