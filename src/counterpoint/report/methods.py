"""How each method of a study looks on the page: one name, colour and line style everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    import pandas as pd

UNIFORM = "uniform"

# Okabe & Ito's palette, darkened where thin lines need it: distinguishable with the common colour-vision
# deficiencies. Line styles repeat the distinction for print in grey.
_BASELINE_STYLE = ("#5f6368", "dot")
_UNIFORM_STYLE = ("#0072b2", "dash")
_STYLES = (
    ("#c84e00", "solid"),
    ("#007a5a", "dashdot"),
    ("#a6478a", "longdash"),
    ("#9a6b00", "solid"),
    ("#2b8cbe", "longdashdot"),
    ("#4b3d8f", "dash"),
)
_SVG_DASHES = {
    "solid": "",
    "dot": "1.5 3",
    "dash": "6 3",
    "dashdot": "6 3 1.5 3",
    "longdash": "9 3",
    "longdashdot": "9 3 1.5 3",
}


@dataclass(frozen=True)
class Method:
    """One method with its looks.

    Attributes:
        key: The key in ``Results.scores["method"]``.
        label: The name for people.
        color: Colour as ``#rrggbb``.
        dash: Plotly's name of the line style.
    """

    key: str
    label: str
    color: str
    dash: str

    @property
    def svg_dash(self) -> str:
        """The line style as an SVG ``stroke-dasharray``."""
        return _SVG_DASHES[self.dash]

    def tint(self, opacity: float) -> str:
        """The colour, made transparent.

        Example:
            >>> Method("mgda", "MGDA-UB", "#ff0080", "solid").tint(0.2)
            'rgba(255,0,128,0.2)'
        """
        red, green, blue = (int(self.color[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity:g})"


def methods_of(scores: pd.DataFrame) -> list[Method]:
    """The methods of a study: single-task first, then uniform, then the others in the study's order.

    Args:
        scores: ``Results.scores``.

    Example:
        >>> import pandas as pd
        >>> scores = pd.DataFrame({"method": ["mgda", "single"], "label": ["MGDA-UB", "Single-task"]})
        >>> [method.label for method in methods_of(scores)]
        ['Single-task', 'MGDA-UB']
    """
    first = scores.drop_duplicates("method")
    labels = {str(key): str(label) for key, label in zip(first["method"], first["label"], strict=True)}
    fixed = {BASELINE: _BASELINE_STYLE, UNIFORM: _UNIFORM_STYLE}
    others = [key for key in labels if key not in fixed]
    styles = {key: fixed[key] for key in fixed if key in labels}
    styles |= {key: _style(place) for place, key in enumerate(others)}
    return [Method(key, labels[key], color, dash) for key, (color, dash) in styles.items()]


def _style(place: int) -> tuple[str, str]:
    # Each further round of colours moves on to the next line style, so that no two methods look the same.
    color, dash = _STYLES[place % len(_STYLES)]
    dashes = list(_SVG_DASHES)
    return color, dashes[(dashes.index(dash) + place // len(_STYLES)) % len(dashes)]


def tasks_of(scores: pd.DataFrame) -> list[str]:
    """The tasks of a study, in its own order.

    Example:
        >>> import pandas as pd
        >>> tasks_of(pd.DataFrame({"task": ["left", "right", "left"]}))
        ['left', 'right']
    """
    return [str(task) for task in scores["task"].drop_duplicates()]
