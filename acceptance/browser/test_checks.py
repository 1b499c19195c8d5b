"""The checks of the other tests find what they are for: pages that are broken on purpose."""

import pytest

from .opened import PHONE, open_page

_FIGURE = """<figure>
<div class="plot" role="img" aria-label="The loss of every task over time" style="height:200px">{}</div>
<script type="application/json">{{"data": [{{"x": [1, 2], "y": [{}]}}]}}</script>
<figcaption>Below zero is better than above.</figcaption></figure>"""
_SVG = """<div><svg class="main-svg" width="200" height="150"><g class="trace"><path d="M0,0L90,90"/></g>
<g class="xtick"><text x="{}" y="100">10</text></g><g class="xtick"><text x="100" y="100">{}</text></g></svg></div>"""
GOOD = _FIGURE.format(_SVG.format(50, 20), "3, 4")
BROKEN = {
    "a figure that has not drawn": ("figures", _FIGURE.format("", "3, 4"), "has not drawn"),
    "a figure without points": ("figures", _FIGURE.format(_SVG.format(50, 20), "null, null"), "was given no points"),
    "a figure that shows nothing": (
        "figures",
        _FIGURE.format('<div><svg class="main-svg" width="200" height="150"></svg></div>', "3, 4"),
        "shows no points",
    ),
    "a figure larger than its box": ("figures", GOOD.replace('width="200"', 'width="600"'), "larger than its box"),
    "a number that is none": ("figures", _FIGURE.format(_SVG.format(50, "NaN"), "3, 4"), "says 'NaN'"),
    "a word outside its figure": ("figures", _FIGURE.format(_SVG.format(-9, 20), "3, 4"), "'10' leaves it by"),
    "ticks on top of each other": ("figures", _FIGURE.format(_SVG.format(99, 20), "3, 4"), "overlap"),
    "a page that is too wide": ("overflow", "<div style='width:600px'>wide</div>", "the page is"),
    "an element that sticks out": (
        "overflow",
        "<div style='overflow-x:clip'><p style='width:600px'>wide</p></div>",
        "reaches from",
    ),
    "words cut off": ("clipped", "<p style='width:40px;overflow:hidden'>Incomprehensibilities</p>", "does not fit"),
    "lines cut off": ("clipped", "<p style='height:20px;overflow:hidden'>one<br>two<br>three</p>", "does not fit"),
    "a cell on top of the next": (
        "collisions",
        "<table style='table-layout:fixed;width:90px'><tr><td>Incomprehensibilities</td><td>7</td></tr></table>",
        "runs into",
    ),
    "an image that is missing": ("images", "<img src='data:image/png;base64,AAAA' alt='a cat'>", "has not loaded"),
    "an image without words": (
        "images",
        "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA='>",
        "no alternative text",
    ),
    "a figure without words": ("words", GOOD.replace("aria-label", "data-label"), "no text alternative"),
    "a figure without a caption": ("words", GOOD.replace("figcaption", "p"), "no caption"),
    "a name that became a script": ("intruders", "<b><script>window.hurt = 1</script></b>", "not the page's"),
    "a name that became a handler": ("intruders", "<img src='data:,' alt='x' onerror='1'>", "attribute that runs"),
    "a section that is not shown": ("hidden", "<section style='display:none'><table></table></section>", "not shown"),
    "a table in a closed fold": ("hidden", "<details><summary>Fold</summary><table></table></details>", "not shown"),
}
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width"><script></script><script></script></head>
<body><main><h1>A page</h1>{}</main></body></html>"""


@pytest.fixture
def shown(browser, tmp_path):
    """Opens a page with the given body."""
    pages = []

    def show(body, wait=True):
        path = tmp_path / "page.html"
        path.write_text(_PAGE.format(body), encoding="utf-8")
        pages.append(open_page(browser, path, PHONE, wait=wait))
        return pages[-1]

    yield show
    for each in pages:
        each.page.context.close()


KINDS = ("figures", "overflow", "clipped", "collisions", "images", "words", "intruders", "hidden")


def test_a_page_without_faults_has_none(shown):
    page = shown(GOOD + "<table><tr><th>Task</th><td>7</td></tr></table>")
    assert {kind: page.faults(kind) for kind in KINDS} == {kind: [] for kind in KINDS}
    assert page.violations() == []
    assert page.said == page.requested == page.asked == []


@pytest.mark.parametrize("case", BROKEN)
def test_a_fault_is_found(shown, case):
    kind, body, said = BROKEN[case]
    assert any(said in fault for fault in shown(body, wait=False).faults(kind))


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("<p style='color:#bbb'>pale</p>", "color-contrast"),
        ("<h4>too deep</h4>", "heading-order"),
        ("<img src='data:,'>", "image-alt"),
        ("<table><tr><th></th><td>7</td></tr></table>", "empty-table-header"),
        ("<button></button>", "button-name"),
    ],
)
def test_axe_is_asked_about_it(shown, body, rule):
    assert any(rule in violation for violation in shown(body).violations())


def test_what_a_page_says_and_asks_is_heard(shown):
    page = shown("<script>console.warn('beware'); alert('hello'); throw new Error('lost')</script>")
    assert page.asked == ["hello"]
    assert any("beware" in said for said in page.said)
    assert any("lost" in said for said in page.said)


@pytest.mark.parametrize("address", ["https://example.invalid/a.png", "missing.png"])
def test_a_request_is_heard(shown, address):
    page = shown(f"<img src='{address}' alt='a cat'>")
    assert any(address in asked for asked in page.requested)
