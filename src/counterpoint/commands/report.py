"""counterpoint report."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (the command line reads the annotation)


def report(folder: Path) -> None:
    """Write the report of finished results again.

    Args:
        folder: where a study left its results, for example runs/demo.
    """
    from counterpoint import report as pages  # noqa: PLC0415
    from counterpoint.study.explain.results import ExplainResults, is_explanation  # noqa: PLC0415
    from counterpoint.study.group_results import GroupResults, is_grouping  # noqa: PLC0415
    from counterpoint.study.recipes.results import RecipeResults, is_recipe  # noqa: PLC0415
    from counterpoint.study.results import Results  # noqa: PLC0415
    from counterpoint.study.study_results import StudyResults, is_study  # noqa: PLC0415

    page = folder / "report.html"
    if is_study(folder):
        written = pages.write_study_report(StudyResults.load(folder), page)
    elif is_grouping(folder):
        written = pages.write_group_report(GroupResults.load(folder), page)
    elif is_explanation(folder):
        written = pages.write_explanation(ExplainResults.load(folder), page)
    elif is_recipe(folder):
        written = pages.write_recipe_report(RecipeResults.load(folder), page)
    else:
        written = pages.write_report(Results.load(folder), page)
    print(written)  # noqa: T201
