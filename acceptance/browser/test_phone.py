"""Reports of all commands on a phone, and on paper."""

import pytest

from .made import REPORTS
from .opened import PHONE
from .report_tests import PaperTests, ReportTests

# From the other end, so that this process and the one with the desktop make different reports at the same time.
BACKWARDS = list(reversed(REPORTS))


@pytest.mark.parametrize("report", BACKWARDS, indirect=True, scope="class")
class TestReports(ReportTests):
    device = PHONE


@pytest.mark.parametrize("report", BACKWARDS)
class TestPaper(PaperTests):
    pass
