"""Finished results in, one HTML page out. Imports no torch."""

from counterpoint.report.page import ReportError, render, write_report
from counterpoint.report.verdict import verdict

__all__ = ["ReportError", "render", "verdict", "write_report"]
