"""A picture of a real report: the verdict and the section that shows the decision, as chromium draws them.

counterpoint study diamonds.csv --targets price,cut,clarity --networks 2 --minutes 5
python docs/figures/report_picture.py runs/study/report.html --out docs/pictures/report-study.png
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH = 820  # CSS pixels: text and figure fill it
SHARPNESS = 1.5  # pixels of the picture for one of the page
MARGIN = 12  # CSS pixels around each piece


def piece(page: Page, first: str, last: str) -> Image.Image:
    """What stands from the first to the last of two elements, over the whole width."""
    top = page.locator(first).bounding_box()
    bottom = page.locator(last).bounding_box()
    if top is None or bottom is None:
        raise SystemExit(f"the page shows no {first!r} or no {last!r}; give the report of a study")
    start, end = max(0.0, top["y"] - MARGIN), bottom["y"] + bottom["height"] + MARGIN
    clip = {"x": 0, "y": start, "width": WIDTH, "height": end - start}
    return Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True))).convert("RGB")


def above_each_other(pieces: list[Image.Image]) -> Image.Image:
    """The pieces from top to bottom."""
    sheet = Image.new("RGB", (pieces[0].width, sum(image.height for image in pieces)), "white")
    top = 0
    for image in pieces:
        sheet.paste(image, (0, top))
        top += image.height
    return sheet


def main() -> None:
    """Open the report, cut, write."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("report", type=Path, help="report.html of a study")
    arguments.add_argument("--out", type=Path, default=Path("docs/pictures/report-study.png"))
    given = arguments.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, device_scale_factor=SHARPNESS)
        page.goto(given.report.resolve().as_uri())
        page.wait_for_selector("figure svg.main-svg")
        decision = "section:has(> h2:text-is('The decision'))"
        pieces = [
            piece(page, "h1", "header .verdict"),
            piece(page, f"{decision} > h2", f"{decision} figure >> nth=0"),
        ]
        browser.close()
    sheet = above_each_other(pieces)
    sheet.save(given.out, optimize=True)
    print(f"wrote {given.out}, {sheet.width} x {sheet.height}")


if __name__ == "__main__":
    main()
