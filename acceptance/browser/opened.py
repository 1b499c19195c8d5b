"""A page in Debian's chromium: what it says, asks for and shows, and what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_CHECKS = Path(__file__).with_name("checks.js").read_text(encoding="utf-8")
_STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
_DRAWN = "() => window.faults.undrawn().length === 0"
# Milliseconds; a busy machine needs some ten seconds for a page of thirty figures.
_SLOW = 60_000


@dataclass(frozen=True)
class Device:
    """A screen."""

    name: str
    width: int
    height: int
    scale: float = 1
    touch: bool = False


DESKTOP = Device("desktop", 1280, 900)
PHONE = Device("phone", 390, 844, scale=2, touch=True)
# A4 at 96 dots per inch.
PAPER = Device("paper", 794, 1123)


@dataclass
class Opened:
    """An open page, and what was heard since it was opened.

    Attributes:
        page: Playwright's page.
        said: Warnings and errors of the console, and exceptions nobody caught.
        requested: Every address asked for besides the page itself and data inside it.
        asked: Dialogs.
    """

    page: Page
    said: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def faults(self, kind: str) -> list[str]:
        """What one of the checks in checks.js finds."""
        return self.page.evaluate(f"window.faults.{kind}()")

    def drawn(self) -> None:
        """Waits for every figure that has room."""
        self.page.wait_for_function(_DRAWN, timeout=_SLOW)
        self.page.wait_for_timeout(50)

    def unfold(self) -> None:
        """Opens what is folded and waits for its figures."""
        self.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        self.page.wait_for_timeout(100)  # the page hears of new widths in the next frame
        self.drawn()

    def violations(self, rules: dict[str, str] | None = None) -> list[str]:
        """What axe-core finds, but for ``rules`` that are off, each with its reason."""
        off = {name: {"enabled": False} for name in rules or {}}
        options = {"runOnly": {"type": "tag", "values": _STANDARDS}, "resultTypes": ["violations"], "rules": off}
        found = Axe().run(self.page, options=options).response["violations"]
        return [
            f"{rule['id']}: {rule['help']}: {node['html'][:160]} {json.dumps(node['any'][:1])[:240]}"
            for rule in found
            for node in rule["nodes"]
        ]


def open_page(browser: Browser, path: Path, device: Device, *, wait: bool = True) -> Opened:
    """Opens a file as a person with that screen would, without a network; waits for its figures."""
    context = browser.new_context(
        viewport={"width": device.width, "height": device.height},
        device_scale_factor=device.scale,
        has_touch=device.touch,
        is_mobile=device.touch,
        offline=True,
    )
    opened = Opened(context.new_page())
    opened.page.set_default_timeout(_SLOW)
    address = path.resolve().as_uri()
    opened.page.on("console", lambda said: _hear(opened, said.type, said.text))
    opened.page.on("pageerror", lambda error: opened.said.append(f"exception: {error}"))
    opened.page.on("request", lambda asked: _ask(opened, asked.url, address))
    opened.page.on("dialog", lambda dialog: (opened.asked.append(dialog.message), dialog.dismiss()))
    opened.page.goto(address)
    opened.page.evaluate(_CHECKS)
    if wait:
        opened.drawn()
    return opened


def _hear(opened: Opened, kind: str, text: str) -> None:
    if kind in {"error", "warning", "assert"}:
        opened.said.append(f"{kind}: {text}")


def _ask(opened: Opened, url: str, address: str) -> None:
    if url.split("#", maxsplit=1)[0] != address and not url.startswith(("data:", "blob:")):
        opened.requested.append(url)
