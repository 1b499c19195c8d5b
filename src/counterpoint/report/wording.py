"""Numbers, durations and lists of names as a reader expects to see them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
NO_BREAK = "\N{NO-BREAK SPACE}"


def number(value: float, decimals: int) -> str:
    """A number with a true minus sign, or "not finite".

    Example:
        >>> number(-0.5, 2) == MINUS + "0.50"
        True
        >>> number(float("nan"), 2)
        'not finite'
    """
    if not math.isfinite(value):
        return "not finite"
    text = f"{abs(value):,.{decimals}f}"
    negative = value < 0 and float(text.replace(",", "")) != 0
    return MINUS + text if negative else text


def signed(value: float, decimals: int = 1) -> str:
    """A change, with its sign always shown; zero has none.

    Example:
        >>> signed(1.25), signed(0.01), signed(-0.5) == MINUS + "0.5"
        ('+1.2', '0.0', True)
    """
    text = number(value, decimals)
    if not math.isfinite(value) or text.startswith(MINUS) or float(text.replace(",", "")) == 0:
        return text
    return "+" + text


def percent(value: float, decimals: int = 1) -> str:
    r"""A relative change; the space before the sign does not break over lines.

    Example:
        >>> percent(1.25).replace("\N{NO-BREAK SPACE}", " ")
        '+1.2 %'
    """
    return f"{signed(value, decimals)}{NO_BREAK}%"


def decimals_for(values: Sequence[float], significant: int = 4) -> int:
    """How many decimals show ``significant`` digits of the largest of ``values``.

    Example:
        >>> decimals_for([0.9123, 0.87]), decimals_for([12.5]), decimals_for([48000.0])
        (4, 2, 0)
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest == 0:
        return significant - 1
    # A score of exactly 1.0 is written like its neighbours 0.99, not with one digit less.
    magnitude = math.ceil(math.log10(largest))
    return min(max(significant - magnitude, 0), 8)


def duration(seconds: float) -> str:
    """A time span in the two units that matter.

    Example:
        >>> duration(4.24), duration(151), duration(7384)
        ('4.2 s', '2 min 31 s', '2 h 3 min')
    """
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def listing(names: Sequence[str]) -> str:
    """Names in a sentence.

    Example:
        >>> listing(["left"]), listing(["left", "right"]), listing(["a", "b", "c"])
        ('left', 'left and right', 'a, b and c')
    """
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> plural(1, "seed"), plural(3, "seed")
        ('1 seed', '3 seeds')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
