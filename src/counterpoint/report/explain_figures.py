"""The figures of an explain study: trajectories with their gaps, curves along training, correlations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from counterpoint.report.explain_axes import Axis, log_axis_ticks, started, steps_axis, vertical
from counterpoint.report.explain_units import change
from counterpoint.report.figures import Plot, add_curves, blank, literal, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.report.curves import Curve
    from counterpoint.report.drawing import Drawing
    from counterpoint.report.methods import Method
    from counterpoint.study.explain.correlation import RankCorrelation

    Curves = Sequence[tuple[Method, Curve]]


def trajectories(alt: str, paths: Curves, gaps: Curves, metric: str, gap: str) -> Plot:
    """The test metric along the training loss, and below it the gap with its interval.

    Args:
        alt: What a reader who cannot see it should know.
        paths: The test metric along the training loss, by method.
        gaps: The gap along the training loss, by method.
        metric: Title of the upper axis.
        gap: Title of the lower axis.

    Example:
        >>> from counterpoint.report.curves import Curve
        >>> from counterpoint.report.methods import Method
        >>> uniform = Method("uniform", "Uniform", "#0072b2", "dash")
        >>> rising = Curve([2.0, 0.5], [0.6, 0.8], [0.6, 0.7], [0.6, 0.9], seeds=3)
        >>> trajectories("left", [(uniform, rising)], [], "accuracy", "gap").alt
        'left'
    """
    losses = [loss for _, data in (*paths, *gaps) for loss in data.steps]
    figure = _stacked(paths, Axis(metric), gaps, Axis(gap, 0.0))
    low, high = min(losses), max(losses)
    if low > 0:
        air = 0.03 * math.log10(high / low)
        ends = [math.log10(high) + air, math.log10(low) - air]
        figure.update_xaxes(type="log", range=ends, **log_axis_ticks(low, high))
    else:
        figure.update_xaxes(range=[high + 0.03 * (high - low), low - 0.03 * (high - low)])
    figure.update_xaxes(title_text="training loss", hoverformat=".3g")
    return Plot("", alt, figure.to_json(), 350)


def descents(alt: str, losses: Curves, deficits: Curves, title: str = "") -> Plot:
    """The training loss over steps, and below it the deficit with its interval.

    Args:
        alt: What a reader who cannot see it should know.
        losses: The training loss over steps, by method.
        deficits: The deficit over steps, by method.
        title: Heading.

    Example:
        >>> from counterpoint.report.curves import Curve
        >>> from counterpoint.report.methods import Method
        >>> uniform = Method("uniform", "Uniform", "#0072b2", "dash")
        >>> falling = Curve([1.0, 9.0], [2.0, 0.5], [2.0, 0.4], [2.0, 0.6], seeds=3)
        >>> '"yaxis2"' in descents("left", [(uniform, falling)], [(uniform, falling)]).json
        True
    """
    (losses, deficits), log = started(losses, deficits)
    figure = _stacked(losses, Axis("training loss", log=True), deficits, Axis("deficit", 0.0))
    steps_axis(figure, losses, log=log)
    return Plot(title, alt, figure.to_json(), 350)


def along(title: str, alt: str, curves: Curves, axis: Axis, *, steps: bool) -> Plot:
    """A factor along training.

    Args:
        title: Heading.
        alt: What a reader who cannot see it should know.
        curves: By method.
        axis: The vertical axis.
        steps: Whether along steps; else along the share of the common range of training losses.

    Example:
        >>> from counterpoint.report.curves import Curve
        >>> from counterpoint.report.methods import Method
        >>> uniform = Method("uniform", "Uniform", "#0072b2", "dash")
        >>> falling = Curve([1.0, 9.0], [2.0, 0.5], [2.0, 0.4], [2.0, 0.6], seeds=3)
        >>> along("Sharpness", "It fell.", [(uniform, falling)], Axis("ratio", 1.0, log=True), steps=True).title
        'Sharpness'
    """
    figure = blank()
    log = False
    if steps:
        (curves,), log = started(curves)
    add_curves(figure, curves)
    vertical(figure, "yaxis", axis, curves)
    if steps:
        steps_axis(figure, curves, log=log)
    else:
        ticks = {"tickvals": [0, 50, 100], "ticktext": ["high", "", "low"]}
        figure.update_xaxes(title_text="common training loss", range=[-3, 103], **ticks)
        figure.update_layout(margin={"r": 24})
    return Plot(title, alt, figure.to_json(), 200)


def correlations(
    title: str, alt: str, names: Sequence[str], found: Sequence[tuple[Method, Sequence[RankCorrelation | None]]]
) -> Plot:
    """Rank correlations with their intervals: a row a factor, a dot a method, filled where the interval excludes zero.

    Args:
        title: Heading.
        alt: What a reader who cannot see it should know.
        names: Of the factors.
        found: For each method a correlation for each factor, None where there is none.

    Example:
        >>> from counterpoint.report.methods import Method
        >>> from counterpoint.study.explain.correlation import RankCorrelation
        >>> uniform = Method("uniform", "Uniform", "#0072b2", "dash")
        >>> correlations("With the gap", "", ["Sharpness"], [(uniform, [RankCorrelation(0.5, 0.1, 0.7, 5, 3)])]).title
        'With the gap'
    """
    figure = blank()
    gap = 0.6 / max(len(found), 1)
    for place, (method, row) in enumerate(found):
        known = [(index, correlation) for index, correlation in enumerate(row) if correlation is not None]
        offset = gap * (place - (len(found) - 1) / 2)
        figure.add_scatter(
            x=[round(c.value, 3) for _, c in known],
            y=[round(index + offset, 3) for index, _ in known],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [round(max(c.high - c.value, 0.0), 3) for _, c in known],
                "arrayminus": [round(max(c.value - c.low, 0.0), 3) for _, c in known],
                "color": method.tint(0.55),
                "thickness": 1.5,
                "width": 0,
            },
            mode="markers",
            marker={
                "size": 8,
                "color": [method.color if c.excludes_zero else "white" for _, c in known],
                "line": {"color": method.color, "width": 1.5},
            },
            text=[f"{literal(names[index])}, {literal(method.label)}: {change(c)}" for index, c in known],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_xaxes(
        title_text="rank correlation", range=[-1.05, 1.05], zeroline=True, tickvals=[-1, -0.5, 0, 0.5, 1]
    )
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[literal(short(name, 24)) for name in names],
        range=[len(names) - 0.5, -0.5],
        showgrid=False,
        automargin=True,
    )
    figure.update_layout(hovermode="closest")
    return Plot(title, alt, figure.to_json(), 70 + (14 + 12 * len(found)) * len(names))


def _stacked(upper: Curves, above: Axis, lower: Curves, below: Axis) -> Drawing:
    """Two panels on one horizontal axis; only the upper one where there is nothing to draw below."""
    figure = blank()
    add_curves(figure, upper)
    if not lower:
        vertical(figure, "yaxis", above, upper)
        return figure
    add_curves(figure, lower, yaxis="y2")
    style = figure.layout["yaxis"]
    figure.update_layout(yaxis2={**style, "domain": [0.0, 0.36], "anchor": "x"}, xaxis={"anchor": "y2"})
    figure.update_layout(yaxis={"domain": [0.44, 1.0]})
    vertical(figure, "yaxis", above, upper)
    vertical(figure, "yaxis2", below, lower)
    return figure
