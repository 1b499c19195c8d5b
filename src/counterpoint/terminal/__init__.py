"""What a person sees in the terminal while a study runs, and at its end."""

from counterpoint.terminal.console import console
from counterpoint.terminal.decision import decision_table
from counterpoint.terminal.explanation import answers_table, gaps_table
from counterpoint.terminal.groups import GroupProgress, groupings_table, methods_table, networks_table
from counterpoint.terminal.investigation import InvestigationProgress
from counterpoint.terminal.recipe import RecipeProgress, recipe_table
from counterpoint.terminal.runs import RunProgress
from counterpoint.terminal.study import StudyProgress, results_table

__all__ = [
    "GroupProgress",
    "InvestigationProgress",
    "RecipeProgress",
    "RunProgress",
    "StudyProgress",
    "answers_table",
    "console",
    "decision_table",
    "gaps_table",
    "groupings_table",
    "methods_table",
    "networks_table",
    "recipe_table",
    "results_table",
]
