"""The results of a study in, one self-contained HTML page out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.document import ReportError, document, write
from counterpoint.report.methods import methods_of
from counterpoint.report.pictures import pictures
from counterpoint.report.sections import change_group, cosine_groups, curve_groups, weight_group
from counterpoint.report.tables import overview, results_table
from counterpoint.report.verdict import verdict

if TYPE_CHECKING:
    from pathlib import Path

    from counterpoint.study.results import Results


def render(results: Results) -> str:
    """Renders a study as one HTML page that needs no network and no other file.

    Args:
        results: A finished study.

    Returns:
        The page, about 5 MB, most of it plotly.js.

    Raises:
        ReportError: if the study holds no scores.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.results import EXAMPLES, HISTORY, SCORES, Results
        >>> row = ("u0", "uniform", "Uniform", 0, "<left>", "accuracy", "maximize", 0.9, 0.3, 5.0, 99)
        >>> scores = pd.DataFrame([row], columns=SCORES)
        >>> page = render(Results(scores, pd.DataFrame(columns=HISTORY), pd.DataFrame(columns=EXAMPLES)))
        >>> "&lt;left&gt;" in page, "<left>" in page
        (True, False)
    """
    if results.scores.empty:
        raise ReportError("the results hold no scores; run a study first")
    shown, examples = pictures(results)
    return document(
        "report.html.j2",
        results.about,
        title="Counterpoint study",
        overview=overview(results.scores),
        verdict=verdict(results.scores),
        seeds=int(results.scores["seed"].nunique()),
        methods=methods_of(results.scores),
        table=results_table(results.scores),
        changes=change_group(results),
        curves=curve_groups(results),
        weights=weight_group(results),
        cosines=cosine_groups(results),
        pictures=examples,
        picture_methods=shown,
    )


def write_report(results: Results, path: str | Path) -> Path:
    """Renders a study and writes the page, completely or not at all.

    Args:
        results: A finished study.
        path: The file to write; its folder is made where needed.

    Returns:
        The path written.

    Raises:
        ReportError: if the study holds no scores, or the file cannot be written.

    Example:
        >>> import pandas as pd, tempfile
        >>> from counterpoint.study.results import EXAMPLES, HISTORY, SCORES, Results
        >>> row = ("u0", "uniform", "Uniform", 0, "left", "accuracy", "maximize", 0.9, 0.3, 5.0, 99)
        >>> scores = pd.DataFrame([row], columns=SCORES)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(Results(scores, pd.DataFrame(columns=HISTORY), pd.DataFrame(columns=EXAMPLES)),
        ...                  folder + "/report.html").name
        'report.html'
    """
    return write(render(results), path)
