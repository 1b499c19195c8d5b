"""The page's figures, which plotly.js draws. Names reach plotly escaped, because it reads labels as HTML."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.report.drawing import Drawing, Properties
from counterpoint.report.wording import number, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.report.curves import Curve
    from counterpoint.report.methods import Method
    from counterpoint.report.verdict import Comparison

INK, FAINT, GRID = "#33373c", "#6a7077", "#e9e7e2"
FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"


@dataclass(frozen=True)
class Plot:
    """One plotly figure, ready for the page.

    Attributes:
        title: Heading above it.
        alt: What a reader who cannot see it should know.
        json: Plotly's description, safe inside a ``<script>`` element.
        height: Height on the page in pixels.
        min_width: Below this width in pixels the page scrolls it sideways instead of squeezing it.
    """

    title: str
    alt: str
    json: str
    height: int = 230
    min_width: int = 0


def literal(name: str) -> str:
    """A name as plotly shows it unchanged: without this it would read ``<b>`` as bold and ``&lt;`` as ``<``.

    Example:
        >>> literal("a<b>&c")
        'a&lt;b&gt;&amp;c'
    """
    return html.escape(" ".join(name.split()), quote=False)


def lines(
    title: str,
    curves: Sequence[tuple[Method, Curve]],
    y_title: str,
    y_range: tuple[float, float],
    zero_line: bool = False,
) -> Plot:
    """Curves over training steps, one a method, each with a band from the lowest to the highest seed.

    Args:
        title: Heading of the plot.
        curves: Methods with their curves.
        y_title: Label of the vertical axis.
        y_range: Its ends, so that neighbouring plots can share them.
        zero_line: Whether zero is a landmark.
    """
    figure = blank()
    add_curves(figure, curves)
    last = max((data.steps[-1] for _, data in curves), default=1.0)
    figure.update_xaxes(title_text="training step", range=[0, last * 1.01], hoverformat=",.0f")
    figure.update_yaxes(title_text=literal(short(y_title, 30)), range=list(y_range), zeroline=zero_line)
    ends = "; ".join(f"{method.label} {data.mean[-1]:.3g}" for method, data in curves)
    return Plot(title, f"{title}: {y_title} over training steps. At the end: {ends}.", figure.to_json())


def add_curves(figure: Drawing, curves: Sequence[tuple[Method, Curve]], **where: object) -> None:
    """Draws means as lines and their bands, all bands first so that they hide no line.

    Args:
        figure: What to draw into.
        curves: Methods with their curves.
        where: Which axes, for example ``yaxis="y2"``.
    """
    for method, data in curves:
        if data.seeds > 1:
            band = {"x": data.steps, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", **where}
            figure.add_scatter(y=data.low, **band)
            figure.add_scatter(y=data.high, fill="tonexty", fillcolor=method.tint(0.16), **band)
    for method, data in curves:
        line = {"color": method.color, "dash": method.dash, "width": 2}
        drawn = {"mode": "lines+markers" if len(data.steps) < 3 else "lines", "line": line, **where}
        name = literal(method.label)
        figure.add_scatter(x=data.steps, y=data.mean, name=name, hovertemplate="%{y:.4g}", **drawn)


def span(curves: Sequence[Curve], landmarks: Sequence[float] = ()) -> tuple[float, float]:
    """A vertical range that holds all curves, their bands and the landmarks, with a little air."""
    values = [*landmarks, *(value for data in curves for value in (*data.low, *data.high))]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return low - air, high + air


def covering(points: Sequence[float], ends: Sequence[float]) -> list[float]:
    """A range that holds all points, and the ends of their intervals unless these dwarf the points.

    With two seeds a 95 % interval is 25 times as wide as the distance of the seeds; drawn to its ends, it would
    leave the means on one line.

    Example:
        >>> covering([0.0, 10.0], [-2.0, 90.0])
        [-3.76, 21.76]
    """
    low, high = min(points), max(points)
    reach = 1.0 * (high - low) or 1.0
    bottom, top = max(min([low, *ends]), low - reach), min(max([high, *ends]), high + reach)
    air = 0.08 * (top - bottom) or 1.0
    return [bottom - air, top + air]


def changes(comparisons: Sequence[Comparison], per_seed: dict[str, list[float]]) -> Plot:
    """Delta-m of every method: the mean, its 95 % interval, and every seed.

    Args:
        comparisons: Methods compared with single-task training, each with an estimate.
        per_seed: Delta-m of every seed, by method key.
    """
    figure = blank()
    shown: list[float] = [0.0]
    for row, comparison in enumerate(comparisons):
        method, estimate = comparison.method, comparison.estimate
        if estimate is None:
            continue
        seeds = per_seed[method.key]
        shown += seeds
        if math.isfinite(estimate.low):
            shown += [estimate.low, estimate.high]
            ends = {"x": [estimate.low, estimate.high], "y": [row, row], "mode": "lines", "hoverinfo": "skip"}
            figure.add_scatter(line={"color": method.tint(0.35), "width": 7}, **ends)
        # Beside the bar rather than on it, where the diamond would cover them.
        dots = {"color": "white", "size": 7, "line": {"color": method.color, "width": 1.5}}
        figure.add_scatter(
            x=seeds,
            y=[row + 0.28] * len(seeds),
            mode="markers",
            marker=dots,
            hovertemplate="seed: %{x:+.2f} %<extra></extra>",
        )
        mean = {"symbol": "diamond", "color": method.color, "size": 12}
        figure.add_scatter(
            x=[estimate.mean],
            y=[row],
            mode="markers",
            marker=mean,
            hovertemplate="mean: %{x:+.2f} %<extra></extra>",
        )
    air = 0.08 * (max(shown) - min(shown)) or 1.0
    figure.update_xaxes(
        title_text="Δm, change against single-task (%)",
        range=[min(shown) - air, max(shown) + air],
        zeroline=True,
    )
    figure.update_yaxes(
        tickvals=list(range(len(comparisons))),
        ticktext=[literal(short(comparison.method.label)) for comparison in comparisons],
        range=[len(comparisons) - 0.4, -0.5],
        showgrid=False,
        automargin=True,
    )
    figure.update_layout(hovermode="closest")
    means = "; ".join(f"{c.method.label} {percent(c.estimate.mean)}" for c in comparisons if c.estimate)
    return Plot(
        "",
        f"Mean relative change against single-task training: {means}.",
        figure.to_json(),
        78 + 44 * len(comparisons),
    )


def heatmap(title: str, tasks: Sequence[str], values: Sequence[Sequence[float | None]], limit: float) -> Plot:
    """Mean cosine of every pair of tasks: teal agrees, brown conflicts.

    Args:
        title: Heading, the method's name.
        tasks: Names along both sides.
        values: [T, T], None on the diagonal.
        limit: The largest magnitude, shared by neighbouring plots.
    """
    figure = blank()
    names = [literal(short(task)) for task in tasks]
    places = list(range(len(tasks)))
    bar = {"title": {"text": "cosine", "font": {"size": 11}}, "tickfont": {"size": 10}}
    figure.add_heatmap(
        z=[list(row) for row in values],
        x=places,
        y=places,
        zmin=-limit,
        zmax=limit,
        xgap=1,
        ygap=1,
        colorscale=[[0, "#8c510a"], [0.5, "#f4f3f0"], [1, "#01665e"]],
        colorbar={**bar, "thickness": 10, "len": 0.9, "outlinewidth": 0},
        customdata=[[f"{a} and {b}" for b in names] for a in names],
        hovertemplate="%{customdata}: %{z:.2f}<extra></extra>",
    )
    axis: Properties = {
        "tickvals": places,
        "ticktext": names,
        "showgrid": False,
        "automargin": True,
        "ticks": "",
        "tickfont": {"size": 10},
    }
    figure.update_xaxes(tickangle=-60, **axis)
    figure.update_yaxes(autorange="reversed", **axis)
    figure.update_layout(hovermode="closest")
    pairs = [
        (value, f"{tasks[i]} and {tasks[j]}")
        for i, row in enumerate(values)
        for j, value in enumerate(row)
        if value is not None and i < j
    ]
    low, high = min(pairs, default=(0.0, "none")), max(pairs, default=(0.0, "none"))
    ends = f"Lowest: {low[1]}, {number(low[0], 2)}. Highest: {high[1]}, {number(high[0], 2)}."
    alt = f"Mean cosine of every pair of tasks, {title}. {ends}"
    return Plot(title, alt, figure.to_json(), 130 + 20 * len(tasks))


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within a range, and a little beyond.

    Example:
        >>> log_ticks(0.3, 12.0)
        [0.5, 1.0, 2.0, 5.0, 10.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [round(m * 10.0**e, 12) for e in range(first, last + 1) for m in (1, 2, 5)]
    return [tick for tick in ticks if low / 1.4 <= tick <= high * 1.4]


def blank() -> Drawing:
    """An empty figure with the page's fonts, colours and margins, for traces to be added to."""
    axis = {
        "gridcolor": GRID,
        "zerolinecolor": "#8d9299",
        "zerolinewidth": 1,
        "zeroline": False,
        "fixedrange": True,
    }
    # As in the text: 0.0002, not 200μ.
    axis |= {"exponentformat": "none", "separatethousands": True}
    axis |= {"title": {"font": {"size": 12, "color": FAINT}, "standoff": 6}, "nticks": 5, "automargin": True}
    return Drawing(
        font={"family": FONT, "size": 12, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 50, "r": 10, "t": 8, "b": 40},
        showlegend=False,
        hovermode="x unified",
        dragmode=False,
        separators=".,",
        xaxis=axis,
        yaxis=axis,
    )


def short(name: str, length: int = 18) -> str:
    """A name that fits beside an axis.

    Example:
        >>> short("a name that goes on and on")
        'a name that goes …'
    """
    return name if len(name) <= length else name[: length - 1] + "…"
