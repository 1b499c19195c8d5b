"""The results of a study of a table in, one self-contained HTML page out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.document import ReportError, document, write
from counterpoint.report.methods import methods_of
from counterpoint.report.study_curves import curves_section
from counterpoint.report.study_data import data_section, study_overview
from counterpoint.report.study_figures import change_group
from counterpoint.report.study_groups import groups_section
from counterpoint.report.study_plan import METHOD_COLUMNS as PLAN_COLUMNS
from counterpoint.report.study_plan import plan_section
from counterpoint.report.study_remarks import remarks
from counterpoint.report.study_tables import METHOD_COLUMNS, methods_table, tasks_table
from counterpoint.report.study_verdict import headline
from counterpoint.report.tables import moment
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from pathlib import Path

    from counterpoint.study.study_results import StudyResults

_QUESTION = "Which tasks should be trained together, with which weighting, and what does it gain?"


def render_study(results: StudyResults) -> str:
    """Renders a study as one HTML page that needs no network and no other file.

    Args:
        results: A finished study.

    Returns:
        The page, about 5 MB, most of it plotly.js.

    Raises:
        ReportError: if the study holds no runs.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.decision import Cost, Decision
        >>> from counterpoint.study.methods import Method
        >>> from counterpoint.study.study_results import RUN_HISTORY, RUNS, StudyResults
        >>> row = ("r0", 0, "<a>", "AUROC", "maximize", 1.0, 0.8, 0.4, 0.8, 0.4, 9.0, 90, 80, 5, 4)
        >>> decision = Decision("single", "single", "undecided", costs={"single": Cost(1, 90, 80, 9.0)})
        >>> study = StudyResults(pd.DataFrame([row], columns=RUNS), pd.DataFrame(columns=RUN_HISTORY),
        ...                      (Method.alone(["<a>"]),), {"single": {0: ("r0",)}}, decision)
        >>> page = render_study(study)
        >>> "Train &lt;a&gt; in a network of its own." in page, "<a>" in page
        (True, False)
    """
    if results.runs.empty or not results.methods:
        raise ReportError("the results hold no runs; run a study first")
    # The reference, what was chosen, then the others.
    order = sorted(
        methods_of(results.scores("test")), key=lambda m: (m.key != BASELINE, m.key != results.decision.chosen)
    )
    about = {"question": _QUESTION, "bundle": ""} | {
        key: value for key, value in results.about.items() if value is not None
    }
    return document(
        "study.html.j2",
        about,
        title="Counterpoint study",
        overview=study_overview(results),
        verdict=headline(results),
        remarks=remarks(results),
        data=data_section(results),
        seeds=max(len(seeds) for seeds in results.served.values()),
        methods=order,
        changes=change_group(results, [method for method in order if method.key != BASELINE]),
        method_columns=METHOD_COLUMNS,
        method_rows=methods_table(results),
        task_rows=tasks_table(results, order),
        plan=plan_section(results),
        plan_columns=PLAN_COLUMNS,
        groups=groups_section(results),
        training=curves_section(results),
        chosen=results.method(results.decision.chosen).label,
        commands=list(dict.fromkeys(filter(None, [about.get("command"), *about.get("reproduce", [])]))),
        run=_run(results),
    )


def _run(results: StudyResults) -> list[tuple[str, str]]:
    """Where and when it ran, with which seeds."""
    about = results.about
    seeds = sorted({seed for seeds in results.served.values() for seed in seeds})
    facts = [("machine", str(about["machine"]))] if about.get("machine") else []
    facts += [("date", moment(str(about["started"])))] if about.get("started") else []
    return [*facts, ("seeds", ", ".join(map(str, seeds)))]


def write_study_report(results: StudyResults, path: str | Path) -> Path:
    """Renders a study and writes the page, completely or not at all.

    Args:
        results: A finished study.
        path: The file to write; its folder is made where needed.

    Returns:
        The path written.

    Raises:
        ReportError: if the study holds no runs, or the file cannot be written.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.decision import Decision
        >>> from counterpoint.study.study_results import RUN_HISTORY, RUNS, StudyResults
        >>> empty = StudyResults(pd.DataFrame(columns=RUNS), pd.DataFrame(columns=RUN_HISTORY), (), {},
        ...                      Decision("single", "single", "undecided"))
        >>> write_study_report(empty, "report.html")
        Traceback (most recent call last):
        counterpoint.report.document.ReportError: the results hold no runs; run a study first
    """
    return write(render_study(results), path)
