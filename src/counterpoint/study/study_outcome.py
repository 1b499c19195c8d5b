"""From the runs of a study to its results and its decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from counterpoint.study.decision import decide
from counterpoint.study.results_folder import ResultsError
from counterpoint.study.study_results import RUN_HISTORY, StudyResults, scores_of
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.study.comparison import Comparison
    from counterpoint.study.investigation import Investigation
    from counterpoint.study.methods import Method


def outcome_of(investigation: Investigation, methods: Sequence[Method], comparison: Comparison) -> StudyResults:
    """Results without the facts that the report says beside them.

    Args:
        investigation: What has trained everything.
        methods: Those that have results.
        comparison: What was asked for.

    Raises:
        ResultsError: if no way of sharing could be trained, or no task alone.
    """
    tally = investigation.tally
    served = tally.served(methods)
    if not any(method.shares for method in methods):
        raise ResultsError(f"no way of sharing could be trained, the first failure: {_first(investigation)}")
    if BASELINE not in served:
        raise ResultsError(f"each task alone could not be trained, the first failure: {_first(investigation)}")
    table = tally.table
    validation, test = (scores_of(table, tuple(methods), served, split) for split in ("validation", "test"))
    costs = {method.key: tally.cost(method, investigation.led_to(method)) for method in methods}
    runs = sorted({run for seeds in served.values() for names in seeds.values() for run in names})
    parts = [pd.read_parquet(tally.store.place(run) / "history.parquet") for run in runs]
    return StudyResults(
        table,
        pd.concat(parts, ignore_index=True)[RUN_HISTORY],
        tuple(methods),
        served,
        decide(methods, validation, test, costs, networks=comparison.networks),
        investigation.affinity,
        investigation.plan(),
    )


def _first(investigation: Investigation) -> str:
    crashed = investigation.crashed
    return f"{crashed[0]['title']}: {crashed[0]['error']}" if crashed else "there is none on record"
