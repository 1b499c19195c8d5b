"""Finished results in, one HTML page out. Imports no torch."""

from counterpoint.report.document import ReportError
from counterpoint.report.explain_page import render_explanation, write_explanation
from counterpoint.report.explain_verdict import explain_verdict
from counterpoint.report.group_choice import chosen_candidate
from counterpoint.report.group_methods import method_rows
from counterpoint.report.group_page import render_groups, write_group_report
from counterpoint.report.group_verdict import group_verdict
from counterpoint.report.page import render, write_report
from counterpoint.report.recipe_page import render_recipe, write_recipe_report
from counterpoint.report.recipe_verdict import recipe_verdict
from counterpoint.report.study_page import render_study, write_study_report
from counterpoint.report.study_verdict import study_verdict
from counterpoint.report.verdict import verdict

__all__ = [
    "ReportError",
    "chosen_candidate",
    "explain_verdict",
    "group_verdict",
    "method_rows",
    "recipe_verdict",
    "render",
    "render_explanation",
    "render_groups",
    "render_recipe",
    "render_study",
    "study_verdict",
    "verdict",
    "write_explanation",
    "write_group_report",
    "write_recipe_report",
    "write_report",
    "write_study_report",
]
