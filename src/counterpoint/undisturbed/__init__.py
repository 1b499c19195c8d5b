"""Evaluates losses elsewhere in parameter space and leaves everything as it was."""

from counterpoint.undisturbed.elsewhere import Undisturbed
from counterpoint.undisturbed.recomputed import Recomputed

__all__ = ["Recomputed", "Undisturbed"]
