"""The affinity heat map, ordered by group, and its two ends in a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.report.figures import INK, Plot, blank, literal, short
from counterpoint.report.memberships import ordered, significant
from counterpoint.report.sections import Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.affinity.affinity import Affinity
    from counterpoint.grouping.result import Network

# Red hurts, blue helps, as in Affinity.to_svg: ColorBrewer's RdBu, which colour-blind readers can tell apart.
_COLORS = [[0, "#b2182b"], [0.5, "#f7f7f7"], [1, "#2166ac"]]
# Behind the diagonal and pairs never measured: unlike any colour of the scale.
_UNKNOWN = "#d3cfc6"
# A single extreme pair would leave the rest of the map pale.
_SATURATED = 0.98


@dataclass(frozen=True)
class AffinitySection:
    """What a page says about an affinity: what it means, its two ends, and the heat map."""

    meaning: str
    extremes: str
    map: Group


def affinity_section(affinity: Affinity, networks: Sequence[Network], squares: str) -> AffinitySection | None:
    """The affinity in words and as a heat map, or None where nothing was measured.

    Args:
        affinity: The measured affinity.
        networks: The grouping that orders the tasks; may be empty.
        squares: Whose groups the squares are, for example ``"the groups"``.
    """
    plot = affinity_map(affinity, networks)
    if plot is None:
        return None
    caption = "Rows step, columns are affected: blue helps, red harms."
    caption += f" Squares are {squares}: the tasks that one network serves." if networks else ""
    if saturates(affinity):
        caption += " The strongest colours stand for values at and beyond the ends of the scale."
    return AffinitySection(meaning(affinity), extremes(affinity), Group("", caption, [plot], []))


def meaning(affinity: Affinity) -> str:
    """What the numbers are.

    Example:
        >>> from counterpoint.affinity import Affinity
        >>> lookahead = Affinity([[0, 0.2], [0.1, 0]], ["left", "right"], about={"per_lr": True})
        >>> "shares of that loss, divided by the learning rate" in meaning(lookahead)
        True
    """
    unit = " The numbers are shares of that loss, divided by the learning rate." if affinity.about.get("per_lr") else ""
    return (
        f"Affinity tells how much a training step on one task lowers the loss of another.{unit} Above zero the step "
        "helps, below zero it harms."
    )


def affinity_map(affinity: Affinity, networks: Sequence[Network]) -> Plot | None:
    """The heat map: rows step, columns are affected, squares are the groups; None where nothing was measured.

    Args:
        affinity: The measured affinity.
        networks: The grouping that orders the tasks.
    """
    order = ordered(networks, affinity.tasks)
    tasks = [task for task, _ in order]
    shown = affinity.select(tasks)
    off_diagonal = ~np.eye(len(tasks), dtype=bool) & np.isfinite(shown.values)
    if not off_diagonal.any():
        return None
    limit = float(np.quantile(np.abs(shown.values[off_diagonal]), _SATURATED)) or 1.0
    places = list(range(len(tasks)))
    names = [literal(short(task)) for task in tasks]
    figure = blank()
    figure.add_heatmap(
        z=[[_rounded(shown.values[i, j]) if off_diagonal[i, j] else None for j in places] for i in places],
        x=places,
        y=places,
        zmin=-limit,
        zmax=limit,
        xgap=1,
        ygap=1,
        colorscale=_COLORS,
        colorbar={"thickness": 10, "len": 0.9, "outlinewidth": 0, "tickfont": {"size": 10}, "nticks": 5}
        | {"exponentformat": "none"},
        customdata=[[_hover(shown, i, j) for j in places] for i in places],
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
    )
    for start, stop in _squares(order):
        corners = {"x0": start - 0.5, "x1": stop - 0.5, "y0": start - 0.5, "y1": stop - 0.5}
        figure.add_shape(type="rect", line={"color": INK, "width": 2}, **corners)
    axis = {"tickvals": places, "ticktext": names, "showgrid": False, "ticks": "", "tickfont": {"size": 10}}
    edge = {"range": [-0.6, len(tasks) - 0.4], "zeroline": False}
    figure.update_xaxes(title_text="task affected", tickangle=-60, side="bottom", **axis, **edge)
    figure.update_yaxes(title_text="task that steps", **axis, **edge | {"range": [len(tasks) - 0.4, -0.6]})
    figure.update_layout(hovermode="closest", plot_bgcolor=_UNKNOWN)
    return Plot(
        "",
        f"Affinity of every pair of tasks, ordered by group. {extremes(affinity)}",
        figure.to_json(),
        height=170 + max(18 * len(tasks), 120),
        min_width=80 + 6 * max(len(short(task)) for task in tasks) + 14 * len(tasks),
    )


def extremes(affinity: Affinity) -> str:
    """The pair that helps most and the pair that harms most, and whether they stand out of their noise.

    Example:
        >>> from counterpoint.affinity import Affinity
        >>> print(extremes(Affinity([[0, 0.2], [0.1, 0]], ["left", "right"])))
        A step on left helps right most (affinity 0.2). No pair harms: every affinity is above zero.
    """
    n = len(affinity.tasks)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j and math.isfinite(affinity.values[i, j])]
    if not pairs:
        return "No affinity was measured."
    low, high = min(pairs, key=lambda p: affinity.values[p]), max(pairs, key=lambda p: affinity.values[p])
    said = (
        f"A step on {affinity.tasks[high[0]]} helps {affinity.tasks[high[1]]} most ({_measured(affinity, high)})."
        if affinity.values[high] > 0
        else f"No pair helps: every affinity is {'below zero' if affinity.values[high] < 0 else 'zero or below'}."
    )
    if affinity.values[low] >= 0:
        return (
            f"{said} No pair harms: every affinity is {'above zero' if affinity.values[low] > 0 else 'zero or above'}."
        )
    names = affinity.tasks[low[0]], affinity.tasks[low[1]]
    return f"{said} A step on {names[0]} harms {names[1]} most ({_measured(affinity, low)})."


def saturates(affinity: Affinity) -> bool:
    """Whether some affinities lie beyond the ends of the colour scale."""
    off = affinity.values[~np.eye(len(affinity.tasks), dtype=bool)]
    known = np.abs(off[np.isfinite(off)])
    return bool(known.size and known.max() > 1.2 * np.quantile(known, _SATURATED))


def _measured(affinity: Affinity, pair: tuple[int, int]) -> str:
    value, error = float(affinity.values[pair]), float(affinity.standard_error[pair])
    if not math.isfinite(error):
        return f"affinity {significant(value)}"
    noise = ", not told apart from zero" if abs(value) < 2 * error else ""
    return f"affinity {significant(value)}, standard error {significant(error)}{noise}"


def _hover(affinity: Affinity, i: int, j: int) -> str:
    if i == j:
        return ""
    names = f"step on <b>{literal(affinity.tasks[i])}</b><br>effect on <b>{literal(affinity.tasks[j])}</b>"
    return f"{names}<br>{_measured(affinity, (i, j))}"


def _squares(order: Sequence[tuple[str, bool]]) -> list[tuple[int, int]]:
    starts = [place for place, (_, first) in enumerate(order) if first]
    return list(zip(starts, [*starts[1:], len(order)], strict=True))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
