"""The results of an explain study in, one self-contained HTML page out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from counterpoint.report.document import ReportError, document, write
from counterpoint.report.explain_answers import answers_table
from counterpoint.report.explain_associations import associations_sentences
from counterpoint.report.explain_factors import correlation_group, factor_sections
from counterpoint.report.explain_limits import limits
from counterpoint.report.explain_sections import descent_grid, descent_group, trajectory_grid
from counterpoint.report.explain_tables import columns, explain_overview, remarks, task_table
from counterpoint.report.explain_units import metric_unit
from counterpoint.report.explain_verdict import explain_verdict
from counterpoint.report.methods import Method, methods_of
from counterpoint.study.explain.findings import findings
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from pathlib import Path

    from counterpoint.study.explain.findings import Findings
    from counterpoint.study.explain.results import ExplainResults

_QUESTION = "Did sharing a network help, when does it show, and what went along with it?"


def render_explanation(results: ExplainResults, found: Findings | None = None) -> str:
    """Renders an explain study as one HTML page that needs no network and no other file.

    Args:
        results: An explain study of at least two seeds.
        found: Its findings, where they are known already; computed by default.

    Returns:
        The page, about 5 MB, most of it plotly.js.

    Raises:
        ReportError: if the study holds one seed or no shared network, or if a run has recorded too little.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.explain.results import POINTS, RUNS, ExplainResults
        >>> rows = [(method, seed, task, step, quantity, value)
        ...     for method in ("single", "uniform") for seed in (0, 1) for task in ("<a>", "b")
        ...     for step, loss in ((0, 2.0), (5, 1.0), (9, 0.5))
        ...     for quantity, value in (("train_loss", loss), ("test_loss", loss), ("test_metric", 0.8 - loss / 4))]
        >>> runs = [("uniform", seed, "<a>,b", 9, 1.0, 0.1, 0.0, 100) for seed in (0, 1)]
        >>> about = {"methods": {"single": "Single-task", "uniform": "Uniform"},
        ...     "tasks": dict.fromkeys(("<a>", "b"), {"metric": "accuracy", "direction": "maximize"})}
        >>> study = ExplainResults(pd.DataFrame(rows, columns=POINTS), pd.DataFrame(runs, columns=RUNS), about)
        >>> page = render_explanation(study)
        >>> "&lt;a&gt;" in page, "<a>" in page
        (True, False)
    """
    if not results.methods:
        raise ReportError("the results hold no shared network; explain at least one weighting")
    try:
        found = findings(results) if found is None else found
    except ValueError as error:
        raise ReportError(str(error)) from None
    methods = explained_methods(results)
    sharing = [method for method in methods if method.key != BASELINE]
    factors, not_measured = factor_sections(results, found, sharing)
    return document(
        "explain.html.j2",
        {"question": _QUESTION} | results.about,
        title="Did sharing help?",
        overview=explain_overview(results),
        verdict=explain_verdict(results, found),
        methods=methods,
        sharing=sharing,
        unit=metric_unit(results),
        columns=columns(metric_unit(results)),
        table=task_table(results, found, sharing),
        remarks=remarks(results, found.comparisons),
        trajectories=trajectory_grid(results, found, methods),
        descent=descent_group(results, found, methods),
        descents=descent_grid(results, found, methods),
        factors=factors,
        not_measured=not_measured,
        correlations=correlation_group(results, found, sharing),
        associations=associations_sentences(results, found),
        answers=answers_table(results, found),
        limits=limits(results, found),
    )


def write_explanation(results: ExplainResults, path: str | Path, found: Findings | None = None) -> Path:
    """Renders an explain study and writes the page, completely or not at all.

    Args:
        results: An explain study of at least two seeds.
        path: The file to write; its folder is made where needed.
        found: Its findings, where they are known already; computed by default.

    Returns:
        The path written.

    Raises:
        ReportError: if the page cannot be made (see :func:`render_explanation`), or the file cannot be written.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> from counterpoint.study.explain.results import POINTS, RUNS, ExplainResults
        >>> study = ExplainResults(pd.DataFrame(columns=POINTS), pd.DataFrame(columns=RUNS), {"methods": {}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_explanation(study, folder + "/report.html")
        Traceback (most recent call last):
        counterpoint.report.document.ReportError: the results hold no shared network; explain at least one weighting
    """
    return write(render_explanation(results, found), path)


def explained_methods(results: ExplainResults) -> list[Method]:
    """Single-task training and the ways of sharing, each with its looks.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.explain.results import POINTS, RUNS, ExplainResults
        >>> about = {"methods": {"mgda": "MGDA-UB", "uniform": "Uniform"}}
        >>> study = ExplainResults(pd.DataFrame(columns=POINTS), pd.DataFrame(columns=RUNS), about)
        >>> [method.label for method in explained_methods(study)]
        ['Single-task', 'Uniform', 'MGDA-UB']
    """
    labels = {BASELINE: results.about["methods"].get(BASELINE, "Single-task"), **results.methods}
    return methods_of(pd.DataFrame({"method": list(labels), "label": list(labels.values())}))
