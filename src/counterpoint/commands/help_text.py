"""Help as people read it: what an option means and what it is by default, without its type in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonargparse import DefaultHelpFormatter

if TYPE_CHECKING:
    from argparse import Action


class HelpText(DefaultHelpFormatter):
    """Says of a default what a command line would say; what is off or empty by default needs no words."""

    def _get_type_str(self, action: Action) -> None:
        """Types of Python are for those who read the code."""

    def _get_help_string(self, action: Action) -> str:
        text = super()._get_help_string(action)
        if action.default is None or action.default is False or action.default in ("", []):
            text = text.replace(" (default: %(default)s)", "")
        return text if action.option_strings else text.replace(" (required)", "")
