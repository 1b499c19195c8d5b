"""The results of a recipe in, one self-contained HTML page out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.document import ReportError, document, write
from counterpoint.report.methods import methods_of, tasks_of
from counterpoint.report.recipe_curves import epochs_groups
from counterpoint.report.recipe_figures import dots_group, improvement_group, task_groups
from counterpoint.report.recipe_made import made
from counterpoint.report.recipe_many import summaries, summary_columns
from counterpoint.report.recipe_pictures import recipe_pictures
from counterpoint.report.recipe_reference import references
from counterpoint.report.recipe_scores import columns_of
from counterpoint.report.recipe_tables import (
    MAX_COLUMNS,
    detail_table,
    method_columns,
    metrics_table,
    recipe_methods_table,
)
from counterpoint.report.recipe_verdict import recipe_verdict
from counterpoint.report.tables import overview

if TYPE_CHECKING:
    from pathlib import Path

    from counterpoint.study.recipes.results import RecipeResults


def render_recipe(results: RecipeResults) -> str:
    """Renders a recipe as one HTML page that needs no network and no other file.

    Args:
        results: A finished recipe.

    Returns:
        The page, about 5 MB, most of it plotly.js.

    Raises:
        ReportError: if the results hold no scores.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.recipes.results import HISTORY, PICTURES, SCORES, RecipeResults
        >>> row = ("single", "Each alone", 0, "<depth>", "error", "minimize", True, 0.3, 0.3, 0.2, 9.0, "r0")
        >>> scores = pd.DataFrame([row], columns=SCORES)
        >>> page = render_recipe(RecipeResults(scores, pd.DataFrame(columns=HISTORY), pd.DataFrame(columns=PICTURES)))
        >>> "&lt;depth&gt;" in page, "<depth>" in page
        (True, False)
    """
    if results.scores.empty:
        failed = results.about.get("failed") or []
        why = f": every training failed, the first with {failed[0].get('error')}" if failed else ""
        raise ReportError(f"the results hold no scores{why}; run a recipe first")
    columns = columns_of(results.scores)
    few = len(columns) <= MAX_COLUMNS
    predicting, examples = recipe_pictures(results)
    return document(
        "recipe.html.j2",
        {key: value for key, value in results.about.items() if value is not None},
        title=f"Recipe: {results.about.get('recipe') or 'images'}",
        overview=overview(results.scores),
        verdict=recipe_verdict(results),
        rehearsal=bool(results.about.get("tiny")),
        changed=str(results.about.get("changes") or ""),
        seeds=int(results.scores["seed"].nunique()),
        tasks=len(tasks_of(results.scores)),
        methods=methods_of(results.scores),
        against=references(results)[0],
        improvement=improvement_group(results),
        method_columns=method_columns(results),
        method_rows=recipe_methods_table(results),
        metrics=metrics_table(results, columns) if few else None,
        summary_columns=summary_columns(results),
        summaries=[] if few else summaries(results),
        details=[] if few else detail_table(results),
        by_task=task_groups(results),
        dots=dots_group(results),
        curves=epochs_groups(results),
        pictures=examples,
        picture_methods=predicting,
        made=made(results),
    )


def write_recipe_report(results: RecipeResults, path: str | Path) -> Path:
    """Renders a recipe and writes the page, completely or not at all.

    Args:
        results: A finished recipe.
        path: The file to write; its folder is made where needed.

    Returns:
        The path written.

    Raises:
        ReportError: if the results hold no scores, or the file cannot be written.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.recipes.results import HISTORY, PICTURES, SCORES, RecipeResults
        >>> empty = RecipeResults(*(pd.DataFrame(columns=columns) for columns in (SCORES, HISTORY, PICTURES)))
        >>> write_recipe_report(empty, "report.html")
        Traceback (most recent call last):
        counterpoint.report.document.ReportError: the results hold no scores; run a recipe first
    """
    return write(render_recipe(results), path)
