"""Finished results in, one HTML page out. Imports no torch."""

from counterpoint.report.document import ReportError
from counterpoint.report.page import render, write_report
from counterpoint.report.verdict import verdict

__all__ = ["ReportError", "render", "verdict", "write_report"]
