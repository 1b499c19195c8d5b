"""counterpoint report."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (the command line reads the annotation)


def report(folder: Path) -> None:
    """Write the report of finished results again.

    Args:
        folder: where a study left its results, for example runs/demo.
    """
    from counterpoint.report import write_explanation, write_group_report, write_report  # noqa: PLC0415
    from counterpoint.study.explain.results import ExplainResults, is_explanation  # noqa: PLC0415
    from counterpoint.study.group_results import GroupResults, is_grouping  # noqa: PLC0415
    from counterpoint.study.results import Results  # noqa: PLC0415

    page = folder / "report.html"
    if is_grouping(folder):
        print(write_group_report(GroupResults.load(folder), page))  # noqa: T201
    elif is_explanation(folder):
        print(write_explanation(ExplainResults.load(folder), page))  # noqa: T201
    else:
        print(write_report(Results.load(folder), page))  # noqa: T201
