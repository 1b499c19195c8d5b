"""Reports of all commands at a desk."""

import pytest

from .made import REPORTS
from .opened import DESKTOP
from .report_tests import ReportTests


@pytest.mark.parametrize("report", list(REPORTS), indirect=True, scope="class")
class TestReports(ReportTests):
    device = DESKTOP
