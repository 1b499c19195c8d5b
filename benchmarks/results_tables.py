"""Pieces of the results page in Markdown: tables, folds, limits met and not met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from results_reading import Document


def table(header: Sequence[str], body: Sequence[Sequence[str]], *, words: int = 1) -> list[str]:
    """Lines of a table; the first `words` columns are text, the others figures."""
    align = ["---"] * words + ["---:"] * (len(header) - words)
    lines = [header, align, *body]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def fold(title: str, lines: Sequence[str]) -> list[str]:
    """Lines that open on a click."""
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "</details>", ""]


def figure(value: float | None) -> str:
    """Three digits; powers of ten where there would be many zeros."""
    if value is None:
        return "none"
    if value == 0:
        return "0"
    if abs(value) >= 10_000 or abs(value) < 0.001:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+")
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(found: dict[str, float]) -> str:
    """Median and quartiles."""
    return _unbroken(f"{found['median']:.2f} ({found['q25']:.2f} to {found['q75']:.2f})")


def interval(found: dict[str, Any] | None, digits: int = 1, unit: str = "") -> str:
    """Mean and 95 % interval, in bold where it excludes zero."""
    if found is None or found["mean"] is None:
        return ""
    text = f"{found['mean']:+.{digits}f}{unit}"
    if found["low"] is None:
        return f"{text}, one seed"
    text += f" [{found['low']:+.{digits}f}, {found['high']:+.{digits}f}]"
    text = _unbroken(text)
    return f"**{text}**" if found["low"] > 0 or found["high"] < 0 else text


def _unbroken(text: str) -> str:
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def limits(documents: Sequence[Document]) -> list[str]:
    """Limits that scripts set to what they measure, not met first; the top of the page has these, too."""
    targets = [target for document in documents for target in document["targets"]]
    if not targets:
        return []
    ordered = sorted(targets, key=lambda target: target["met"])
    missed = sum(not target["met"] for target in targets)
    body = [
        [
            plain(target["name"]),
            figure(target["target"]),
            figure(target["measured"]),
            "yes" if target["met"] else "**NO**",
        ]
        for target in ordered
    ]
    title = f"{len(targets)} limits: {len(targets) - missed} met, {missed} not met"
    return fold(title, table(["limit for", "at most", "measured", "met"], body))


def plain(text: str) -> str:
    """No Markdown in it."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
