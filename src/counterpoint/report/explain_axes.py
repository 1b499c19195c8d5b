"""The axes of an explain study's figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.report.explain_curves import without_start
from counterpoint.report.figures import literal, log_ticks, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.report.curves import Curve
    from counterpoint.report.drawing import Drawing, Properties
    from counterpoint.report.methods import Method

    Curves = Sequence[tuple[Method, Curve]]


@dataclass(frozen=True)
class Axis:
    """A vertical axis.

    Attributes:
        title: What it shows.
        landmark: A value that is always in sight, and drawn as a line.
        log: Whether it is logarithmic, where all values allow it.
    """

    title: str
    landmark: float | None = None
    log: bool = False


def vertical(figure: Drawing, name: str, axis: Axis, curves: Curves) -> None:
    """Holds all means and the landmark, and bands unless they dwarf the means, as those of two seeds do.

    Args:
        figure: Whose axis it is.
        name: ``"yaxis"`` or ``"yaxis2"``.
        axis: What it shows.
        curves: What is drawn on it.

    Example:
        >>> from counterpoint.report.curves import Curve
        >>> from counterpoint.report.figures import blank
        >>> from counterpoint.report.methods import Method
        >>> figure = blank()
        >>> wide = Curve([1.0, 9.0], [0.0, 1.0], [-50.0, -50.0], [50.0, 50.0], seeds=2)
        >>> vertical(figure, "yaxis", Axis("gap"), [(Method("uniform", "Uniform", "#0072b2", "dash"), wide)])
        >>> [round(end, 2) for end in figure.layout["yaxis"]["range"]]
        [-1.18, 2.18]
    """
    landmarks = [] if axis.landmark is None else [axis.landmark]
    means = [*landmarks, *(value for _, data in curves for value in data.mean)]
    ends = [value for _, data in curves for value in (*data.low, *data.high)]
    log = axis.log and min([*means, *ends]) > 0
    if log:
        means, ends = [math.log10(value) for value in means], [math.log10(value) for value in ends]
    low, high = min(means), max(means)
    reach = (high - low) or 0.1 * abs(high) or 0.1
    bottom, top = max(min([low, *ends]), low - reach), min(max([high, *ends]), high + reach)
    air = 0.06 * (top - bottom) or 0.05
    layout: dict[str, object] = {"title": {"text": literal(short(axis.title, 26))}, "range": [bottom - air, top + air]}
    if log:
        layout |= {"type": "log", **log_axis_ticks(10 ** (bottom - air), 10 ** (top + air))}
    if axis.landmark is not None:
        if log:
            figure.add_hline(y=axis.landmark, line={"color": figure.layout["yaxis"]["zerolinecolor"], "width": 1})
        else:
            layout |= {"zeroline": axis.landmark == 0}
    figure.update_layout(**{name: layout})


def started(*groups: Curves) -> tuple[list[list[tuple[Method, Curve]]], bool]:
    """Groups of curves over steps, and whether their common axis is logarithmic, see :func:`without_start`.

    Example:
        >>> from counterpoint.report.curves import Curve
        >>> from counterpoint.report.methods import Method
        >>> long = Curve([0.0, 1.0, 200.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 2)
        >>> (group,), log = started([(Method("uniform", "Uniform", "#0072b2", "dash"), long)])
        >>> group[0][1].steps, log
        ([1.0, 200.0], True)
    """
    flat, log = without_start([data for curves in groups for _, data in curves])
    rest = iter(flat)
    return [[(method, next(rest)) for method, _ in curves] for curves in groups], log


def steps_axis(figure: Drawing, curves: Curves, *, log: bool) -> None:
    """Training steps, logarithmic or not.

    Args:
        figure: Whose axis it is.
        curves: What is drawn on it.
        log: As :func:`started` found.

    Example:
        >>> from counterpoint.report.curves import Curve
        >>> from counterpoint.report.figures import blank
        >>> from counterpoint.report.methods import Method
        >>> figure, long = blank(), Curve([2.0, 300.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0], 2)
        >>> steps_axis(figure, [(Method("uniform", "Uniform", "#0072b2", "dash"), long)], log=True)
        >>> figure.layout["xaxis"]["tickvals"]
        [10.0, 100.0]
    """
    steps = [step for _, data in curves for step in data.steps]
    first, last = min(steps), max(steps)
    if log:
        ends = [math.log10(first) - 0.03, math.log10(last) + 0.03]
        decades = [tick for tick in log_ticks(first, last) if f"{tick:e}".startswith("1.0")]
        figure.update_xaxes(type="log", range=ends, tickvals=decades, tickformat=",~g")
    else:
        figure.update_xaxes(range=[first, last + (0.01 * (last - first) or 1.0)])
    figure.update_xaxes(title_text="training step", hoverformat=",.0f")


def log_axis_ticks(low: float, high: float) -> Properties:
    """Ticks of a logarithmic axis; where few of 1, 2 and 5 fall into it, plotly finds better ones.

    Example:
        >>> log_axis_ticks(0.4, 2.5), log_axis_ticks(0.6, 0.7)
        ({'tickvals': [0.5, 1.0, 2.0], 'ticktext': ['0.5', '1', '2']}, {})
    """
    inside = [tick for tick in log_ticks(low, high) if low <= tick <= high]
    return {"tickvals": inside, "ticktext": [f"{tick:g}" for tick in inside]} if len(inside) > 2 else {}
