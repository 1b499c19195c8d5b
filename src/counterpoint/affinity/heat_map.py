"""A matrix as a picture, in SVG, without any dependency."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_CELL = 36  # pixels; room for "-0.12" at the size below
_FONT = 11
_LETTER = 6.3  # width of an average letter at that size
_LONGEST = 28  # letters of a name; the rest is in its tooltip

# Ends of a diverging scale that colour-blind readers can tell apart (ColorBrewer RdBu).
_HURTS, _NEUTRAL, _HELPS = (178, 24, 43), (247, 247, 247), (33, 102, 172)


def heat_map(values: NDArray[np.float64], tasks: Sequence[str]) -> str:
    """An SVG image with a number in each cell, all to a common power of ten.

    Args:
        values: [T, T]; NaN leaves a cell empty.
        tasks: Names of the T tasks.
    """
    tasks = [_printable(name) for name in tasks]
    largest, exponent = _scale(values)
    shown = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in tasks]
    margin = round(max(map(len, shown)) * _LETTER) + 12
    left, top = margin + 18, margin + 38
    side = _CELL * len(tasks)
    width, height = left + side + 12, top + side + 12
    unit = "" if exponent == 0 else f", in units of 10{_superscript(exponent)}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'style="max-width: 100%; height: auto" font-family="system-ui, sans-serif" font-size="{_FONT}" role="img" '
        f'aria-label="Affinity between tasks">'
    )
    parts = [
        head,
        f'<text x="{left}" y="14" fill="#555">column: the task affected{unit}</text>',
        f'<text transform="translate(12 {top + side}) rotate(-90)" fill="#555">row: the task that steps</text>',
    ]
    for index, (name, label) in enumerate(zip(tasks, shown, strict=True)):
        middle = index * _CELL + _CELL / 2 + 4
        title = f"<title>{escape(name)}</title>{escape(label)}"
        parts.append(f'<text x="{left - 6}" y="{top + middle}" text-anchor="end" fill="#222">{title}</text>')
        parts.append(f'<text transform="translate({left + middle} {top - 6}) rotate(-90)" fill="#222">{title}</text>')
    for i, row in enumerate(values.tolist()):
        for j, value in enumerate(row):
            what = f"{escape(tasks[i])} → {escape(tasks[j])}: {'not measured' if math.isnan(value) else f'{value:.4g}'}"
            parts.append(f'<g transform="translate({left + j * _CELL} {top + i * _CELL})"><title>{what}</title>')
            parts.append(f"{_cell(value, largest, exponent)}</g>")
    return "".join([*parts, "</svg>"])


def _scale(values: NDArray[np.float64]) -> tuple[float, int]:
    """Where colours saturate, and the power of ten of the numbers: the diagonal is larger than what matters."""
    others = values[~np.eye(len(values), dtype=bool)] if len(values) > 1 else values.ravel()
    known = np.abs(others[np.isfinite(others)])
    largest = float(known.max()) if known.size else 0.0
    if largest == 0.0:
        return 1.0, 0
    exponent = max(math.floor(math.log10(largest)), -307)  # beyond, powers of ten lose digits and vanish
    return largest, 0 if -2 < exponent < 2 else exponent


def _cell(value: float, largest: float, exponent: int) -> str:
    size = f'width="{_CELL - 1}" height="{_CELL - 1}"'
    if math.isnan(value):
        return f'<rect {size} fill="none" stroke="#ddd"/>'
    share = max(-1.0, min(1.0, value / largest))
    end = _HELPS if share > 0 else _HURTS
    red, green, blue = (round(n + (e - n) * abs(share)) for n, e in zip(_NEUTRAL, end, strict=True))
    ink = "#fff" if abs(share) > 0.55 else "#222"
    number = value / 10.0**exponent
    text = f"{number:.2f}" if abs(number) < 9.995 else f"{number:.0f}"
    box = f'<rect {size} fill="rgb({red},{green},{blue})"/>'
    return f'{box}<text x="{_CELL // 2}" y="{_CELL // 2 + 4}" text-anchor="middle" fill="{ink}">{text}</text>'


def _printable(name: str) -> str:
    """Control characters are not allowed in XML, not even escaped."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
