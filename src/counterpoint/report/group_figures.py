"""What grouping gains: predicted and measured against the number of networks, and against the training time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterpoint.report.figures import FAINT, INK, Plot, blank, covering, literal, log_ticks
from counterpoint.report.group_methods import TAG, TOGETHER, looks
from counterpoint.report.memberships import significant
from counterpoint.report.wording import duration, percent
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.estimate import Estimate
    from counterpoint.report.drawing import Drawing
    from counterpoint.report.group_methods import GroupMethod

_NAMES = {"delta": "Δm", "reduction": "loss reduction"}
_TITLES = {"delta": "Test metric: Δm against each task alone (%)", "reduction": "Test loss: reduction (%)"}
_BESIDE = {BASELINE: "alone", TOGETHER: "together"}


@dataclass(frozen=True)
class Predicted:
    """Predicted score of the groupings of one size, mean over seeds; ``bound`` is None where it is not known."""

    size: int
    score: float
    bound: float | None
    proven: bool


def predicted_scores(rows: Sequence[Predicted]) -> Plot:
    """Predicted score and its bound against the number of networks.

    Args:
        rows: One a size, ascending.
    """
    method, figure = looks(TAG), blank()
    bounds = [row for row in rows if row.bound is not None]
    if bounds:
        dashed = {"color": FAINT, "dash": "dash", "width": 1.5}
        figure.add_scatter(
            x=[row.size for row in bounds],
            y=[row.bound for row in bounds],
            mode="lines+markers",
            line=dashed,
            marker={"symbol": "line-ew-open", "size": 13, "color": FAINT},
            hovertemplate="no grouping scores more than %{y:.4g}<extra></extra>",
        )
    fills = [method.color if row.proven else "white" for row in rows]
    figure.add_scatter(
        x=[row.size for row in rows],
        y=[row.score for row in rows],
        mode="lines+markers",
        line={"color": method.color, "width": 2},
        marker={"size": 10, "color": fills, "line": {"color": method.color, "width": 2}},
        hovertemplate="score %{y:.4g}<extra></extra>",
    )
    _sizes_axis(figure, [row.size for row in rows])
    figure.update_yaxes(title_text="predicted score")
    said = "; ".join(f"{row.size}: {significant(row.score)}" + ("" if row.proven else " (not proven)") for row in rows)
    return Plot("Predicted score", f"Predicted score by number of networks: {said}.", figure.to_json(), 260)


def measured_changes(methods: Sequence[GroupMethod], measure: str) -> Plot:
    """What task-affinity groupings gained on test data against the number of networks.

    Args:
        methods: The study's methods; of them task affinity and all together are drawn.
        measure: ``"delta"`` or ``"reduction"``.
    """
    figure, shown = blank(), []
    for method in methods:
        estimate: Estimate | None = getattr(method, measure)
        if estimate is None or method.family not in {TAG, TOGETHER}:
            continue
        shown.append(method)
        if method.family == TOGETHER:
            line = {"color": method.looks.color, "width": 1.5, "dash": "dash"}
            figure.add_hline(y=estimate.mean, line=line)
            _remark(figure, estimate.mean, "all together", method.looks.color)
    _remark(figure, 0.0, "each alone", looks(BASELINE).color)
    tags = [method for method in shown if method.family == TAG]
    estimates = [getattr(method, measure) for method in tags]
    figure.add_scatter(
        x=[method.size for method in tags],
        y=[estimate.mean for estimate in estimates],
        error_y=_bars(estimates, looks(TAG).color),
        mode="lines+markers",
        line={"color": looks(TAG).tint(0.5), "width": 1.5},
        marker={"size": 10, "color": looks(TAG).color},
        text=[figures_of(estimate) for estimate in estimates],
        hovertemplate="%{text}<extra></extra>",
    )
    _sizes_axis(figure, [method.size for method in tags])
    figure.update_yaxes(title_text=f"{_NAMES[measure]} (%)", range=span_of(shown, measure), zeroline=True)
    said = "; ".join(f"{method.label} {percent(getattr(method, measure).mean)}" for method in shown)
    return Plot(f"Measured {_NAMES[measure]} on test data", f"{_TITLES[measure]}: {said}.", figure.to_json(), 260)


def cost_and_quality(methods: Sequence[GroupMethod], measure: str) -> Plot | None:
    """Quality on test data against training time, every method a point with its number of networks in it.

    Args:
        methods: The study's methods.
        measure: ``"delta"`` or ``"reduction"``.
    """
    drawn = [method for method in methods if method.family == BASELINE or getattr(method, measure) is not None]
    if len(drawn) < 2:
        return None
    scale, unit = _unit(max(method.seconds.mean for method in drawn))
    figure = blank()
    for method in drawn:
        look = method.looks
        draws = [draw for draw in method.draws if math.isfinite(getattr(draw, measure))]
        if draws:
            figure.add_scatter(
                x=[draw.seconds / scale for draw in draws],
                y=[getattr(draw, measure) for draw in draws],
                mode="markers",
                marker={"size": 5, "color": look.tint(0.45)},
                hovertemplate=f"{literal(method.label)}, one draw: %{{y:+.2f}} %<extra></extra>",
            )
    times = [method.seconds.mean / scale for method in drawn]
    logarithmic = min(times) > 0 and max(times) > 10 * min(times)
    middle = math.sqrt(min(times) * max(times)) if logarithmic else (min(times) + max(times)) / 2
    # What is drawn last lies on top: the references' names and task affinity are not to be hidden.
    for method in sorted(drawn, key=lambda method: (method.family in _BESIDE, method.family == TAG)):
        look, estimate = method.looks, getattr(method, measure)
        beside = _BESIDE.get(method.family)
        said = "the reference" if estimate is None else figures_of(estimate)
        name, time, at = literal(method.label), duration(method.seconds.mean), method.seconds.mean / scale
        figure.add_scatter(
            x=[at],
            y=[estimate.mean if estimate else 0.0],
            error_y=_bars([estimate], look.tint(0.6)) if estimate else None,
            mode="markers+text",
            marker={"size": 12 if beside else 19, "color": look.color, "line": {"color": "white", "width": 1.5}},
            text=[beside or str(method.size)],
            # Towards the middle, where there is room for a word.
            textposition=f"bottom {'left' if at > middle else 'right'}" if beside else "middle center",
            textfont={"color": look.color, "size": 11} if beside else {"color": "white", "size": 10},
            name=name,
            hovertemplate=f"<b>{name}</b><br>{said}<br>{time}<extra></extra>",
        )
    figure.update_xaxes(title_text=f"training time with search ({unit})")
    if logarithmic:
        ends = [math.log10(min(times)) - 0.12, math.log10(max(times)) + 0.12]
        figure.update_xaxes(type="log", range=ends, tickvals=log_ticks(min(times), max(times)), tickformat=",~g")
    else:
        air = 0.07 * (max(times) - min(times)) or 0.1 * max(times)
        figure.update_xaxes(range=[max(0.0, min(times) - air), max(times) + air])
    figure.update_yaxes(title_text=f"{_NAMES[measure]} (%)", range=span_of(drawn, measure), zeroline=True)
    figure.update_layout(hovermode="closest")
    points = "; ".join(
        f"{m.label} {percent(getattr(m, measure).mean) if getattr(m, measure) else '0'} in {duration(m.seconds.mean)}"
        for m in drawn
    )
    return Plot(_TITLES[measure], f"{_TITLES[measure]} and training time: {points}.", figure.to_json(), 380)


def span_of(methods: Sequence[GroupMethod], measure: str) -> list[float]:
    """A vertical range that holds zero, all means and draws, and intervals unless they dwarf the means."""
    estimates = [e for e in (getattr(method, measure) for method in methods) if e is not None]
    points = [0.0, *(estimate.mean for estimate in estimates)]
    points += [v for m in methods for draw in m.draws if math.isfinite(v := getattr(draw, measure))]
    ends = [end for estimate in estimates for end in (estimate.low, estimate.high) if math.isfinite(end)]
    return covering(points, ends)


def figures_of(estimate: Estimate) -> str:
    r"""A change with its interval, for a tooltip.

    Example:
        >>> from counterpoint.estimate import Estimate
        >>> figures_of(Estimate(1.0, float("-inf"), float("inf"), 0.0, 1)).replace("\N{NO-BREAK SPACE}", " ")
        '+1.0 % (one seed)'
    """
    if estimate.seeds < 2:
        return f"{percent(estimate.mean)} (one seed)"
    return f"{percent(estimate.mean)} (95 % interval {percent(estimate.low)} to {percent(estimate.high)})"


def _bars(estimates: Sequence[Estimate], color: str) -> dict[str, Any]:
    half = [e.high - e.mean if math.isfinite(e.high) else 0.0 for e in estimates]
    return {"type": "data", "array": half, "color": color, "thickness": 1.5, "width": 4}


def _sizes_axis(figure: Drawing, sizes: Sequence[int]) -> None:
    step = max(1, math.ceil(len(sizes) / 10))
    figure.update_xaxes(title_text="networks", tickvals=list(sizes)[::step], range=_around(sizes))
    figure.update_layout(hovermode="closest")


def _around(sizes: Sequence[int]) -> list[float]:
    return [min(sizes) - 0.4, max(sizes) + 0.4] if sizes else [0.0, 1.0]


def _remark(figure: Drawing, height: float, text: str, color: str) -> None:
    place = {"xref": "paper", "x": 1, "xanchor": "right", "y": height, "yanchor": "bottom", "showarrow": False}
    figure.add_annotation(text=text, font={"size": 11, "color": color or INK}, **place)


def _unit(seconds: float) -> tuple[float, str]:
    if seconds < 120:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 7200 else (3600.0, "hours")
