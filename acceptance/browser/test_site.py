"""The documentation as ``make docs`` built it, at a desk and on a phone."""

import os
from pathlib import Path

import pytest

from .opened import DESKTOP, PHONE, open_page

PAGES = (
    "index.html",
    "getting-started.html",
    "how-it-works.html",
    "gallery/plot_1_combine.html",
    "results.html",
    "choosing-a-weighting.html",
    "api/balancing.html",
)
# Rules that are off, with the reason: this is the theme's page, which we do not write.
_NOT_OURS = {
    "landmark-unique": "furo's side bar and its table of contents are two landmarks without names",
    "aria-required-attr": "Sphinx gives the captions of its navigation the role of a heading without a level",
    "scrollable-region-focusable": "code blocks are Sphinx's; chromium lets the keyboard into what scrolls by itself",
}


@pytest.fixture(scope="module")
def site(pytestconfig):
    """The folder of the built site; ``DOCS=/a/folder`` looks at another one."""
    folder = Path(os.environ.get("DOCS") or pytestconfig.rootpath / "build" / "docs")
    if not (folder / "index.html").exists():
        pytest.fail(f"there is no documentation in {folder}, expected what 'make docs' builds: run it first")
    return folder


@pytest.fixture(params=[DESKTOP, PHONE], ids=lambda device: device.name)
def opened(request, browser, site, page):
    opened = open_page(browser, site / page, request.param)
    yield opened
    opened.page.context.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_whole(opened, page, request, site, screenshots):
    opened.page.wait_for_load_state("networkidle")
    device = request.node.callspec.params["opened"].name
    opened.page.screenshot(path=screenshots / f"site-{Path(page).stem}-{device}.png", full_page=True)
    assert opened.said == []
    assert [url for url in opened.requested if not url.startswith(site.resolve().as_uri())] == []
    assert opened.asked == []
    assert opened.faults("images") == []
    root = opened.page.evaluate("[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]")
    assert root[0] <= root[1]


@pytest.mark.parametrize("page", ["index.html"])
def test_axe_finds_nothing_on_the_front_page(opened):
    assert opened.violations(_NOT_OURS) == []
