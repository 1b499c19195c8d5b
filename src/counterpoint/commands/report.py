"""counterpoint report."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (the command line reads the annotation)


def report(folder: Path) -> None:
    """Write the report of finished results again.

    Args:
        folder: where a study left its results, for example runs/demo.
    """
    from counterpoint import report as pages  # noqa: PLC0415
    from counterpoint.study import group_results, results, study_results  # noqa: PLC0415
    from counterpoint.study.explain import results as explain_results  # noqa: PLC0415
    from counterpoint.study.recipes import results as recipe_results  # noqa: PLC0415
    from counterpoint.study.results_folder import kind_of  # noqa: PLC0415

    page, kind = folder / "report.html", kind_of(folder)
    if kind == study_results.FORMAT.kind:
        written = pages.write_study_report(study_results.StudyResults.load(folder), page)
    elif kind == group_results.FORMAT.kind:
        written = pages.write_group_report(group_results.GroupResults.load(folder), page)
    elif kind == explain_results.FORMAT.kind:
        written = pages.write_explanation(explain_results.ExplainResults.load(folder), page)
    elif kind == recipe_results.FORMAT.kind:
        written = pages.write_recipe_report(recipe_results.RecipeResults.load(folder), page)
    else:
        written = pages.write_report(results.Results.load(folder), page)
    print(written)  # noqa: T201
