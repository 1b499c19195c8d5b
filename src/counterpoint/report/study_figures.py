"""Delta-m of every method of a study, on validation rows and on test rows side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from counterpoint.report.figures import Plot, blank, covering, literal, short
from counterpoint.report.group_figures import figures_of
from counterpoint.report.sections import Group
from counterpoint.report.wording import percent
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.estimate import Estimate
    from counterpoint.report.drawing import Drawing
    from counterpoint.report.methods import Method
    from counterpoint.study.decision import Contrast
    from counterpoint.study.study_results import StudyResults

_SPLITS = (("test", -0.17, "diamond"), ("validation", 0.17, "diamond-open"))


def change_group(results: StudyResults, methods: Sequence[Method]) -> Group | None:
    """Delta-m of every method against each task alone, or None where nothing can be compared.

    Args:
        results: A finished study.
        methods: The methods to draw, in this order.
    """
    found = [(method, results.decision.contrast(method.key, BASELINE)) for method in methods]
    drawn = [
        (method, contrast)
        for method, contrast in found
        if contrast is not None and any(math.isfinite(e.mean) for e in (contrast.test, contrast.validation))
    ]
    if not drawn:
        return None
    estimates = [e for _, contrast in drawn for e in (contrast.test, contrast.validation) if math.isfinite(e.mean)]
    ends = [end for e in estimates for end in (e.low, e.high) if math.isfinite(end)]
    span = covering([0.0, *(estimate.mean for estimate in estimates)], ends)
    caption = "Right of zero is better than each task alone. Filled: test rows; hollow: validation rows, which chose. "
    if not ends:
        caption += "One seed gives no interval to judge by."
    else:
        more = "; bars that leave the picture go on" if not span[0] <= min(ends) <= max(ends) <= span[1] else ""
        caption += (
            f"Bars are 95 % intervals over seeds, and one that crosses zero means that no difference was found{more}."
        )
    return Group("", caption, [_changes(drawn, span)], [])


def _changes(drawn: Sequence[tuple[Method, Contrast]], span: list[float]) -> Plot:
    figure = blank()
    for row, (method, contrast) in enumerate(drawn):
        for split, shift, symbol in _SPLITS:
            estimate: Estimate = getattr(contrast, split)
            if math.isfinite(estimate.mean):
                _add(figure, estimate, (row + shift, symbol, f"{split} rows"), method)
    figure.update_xaxes(title_text="Δm, change against each task alone (%)", range=span, zeroline=True)
    figure.update_yaxes(
        tickvals=list(range(len(drawn))),
        ticktext=[literal(short(method.label, 26)) for method, _ in drawn],
        range=[len(drawn) - 0.4, -0.6],
        showgrid=False,
    )
    figure.update_layout(hovermode="closest")
    said = "; ".join(
        f"{method.label} {percent(contrast.test.mean)} on test rows, {percent(contrast.validation.mean)} on validation"
        for method, contrast in drawn
    )
    alt = f"Mean relative change against each task alone: {said}."
    return Plot("", alt, figure.to_json(), 84 + 48 * len(drawn))


def _add(figure: Drawing, estimate: Estimate, place: tuple[float, str, str], method: Method) -> None:
    height, symbol, where = place
    if math.isfinite(estimate.low) and math.isfinite(estimate.high):
        line = {"color": method.tint(0.35), "width": 6}
        ends = {"x": [estimate.low, estimate.high], "y": [height, height]}
        figure.add_scatter(**ends, mode="lines", line=line, hoverinfo="skip")
    marker = {"symbol": symbol, "color": method.color, "size": 11, "line": {"color": method.color, "width": 1.5}}
    figure.add_scatter(
        x=[estimate.mean],
        y=[height],
        mode="markers",
        marker=marker,
        hovertemplate=f"{literal(method.label)}, {where}: {figures_of(estimate)}<extra></extra>",
    )
