"""What a person sees in the terminal while a study runs, and at its end."""

from counterpoint.terminal.console import console
from counterpoint.terminal.groups import GroupProgress, groupings_table, methods_table, networks_table
from counterpoint.terminal.study import StudyProgress, results_table

__all__ = [
    "GroupProgress",
    "StudyProgress",
    "console",
    "groupings_table",
    "methods_table",
    "networks_table",
    "results_table",
]
