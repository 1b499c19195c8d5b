"""Chromium, and the reports to open in it."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from playwright.sync_api import sync_playwright

from .made import made
from .opened import open_page

pytest.register_assert_rewrite(f"{__package__}.report_tests")

# A browser that asks nobody anything: every request that is left is the page's.
_QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


@pytest.fixture(scope="session")
def browser():
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.fail("no chromium: apt-get install chromium fonts-liberation, or set CHROMIUM to its path")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=_QUIET)
        yield started
        started.close()


@pytest.fixture(scope="session")
def reports(tmp_path_factory):
    """The folder of all reports of this session, the same for every test process.

    ``REPORTS=/a/folder`` keeps them from one session to the next, for whoever works on the pages alone.
    """
    own = tmp_path_factory.getbasetemp()
    session = own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own
    folder = Path(os.environ.get("REPORTS") or session / "reports")
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def screenshots(pytestconfig):
    folder = pytestconfig.rootpath / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="class")
def report(request):
    """A key of REPORTS."""
    return request.param


@pytest.fixture(scope="class")
def opened(request, browser, reports, report):
    """The report's page on the device of the test class."""
    opened = open_page(browser, made(report, reports), request.cls.device)
    yield opened
    opened.page.context.close()
