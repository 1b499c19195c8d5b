"""A figure as plotly.js reads it: traces, layout, and the JSON of both.

Plotly's own Python objects check each property of each trace, which took most of the time of making a page. Here
nothing is checked; the tests hand every kind of figure to plotly, which does.
"""

from __future__ import annotations

import copy
from typing import Any

from plotly.io import to_json

# Traces and layouts are plotly.js's, a language of its own: https://plotly.com/javascript/reference
Properties = dict[str, Any]


class Drawing:
    """Traces and their layout.

    Args:
        layout: What is there before anything is drawn.

    Example:
        >>> drawing = Drawing(xaxis={"title": {"standoff": 6}})
        >>> drawing.add_scatter(x=[1, 2], y=[0.5, float("nan")])
        >>> drawing.update_xaxes(title_text="step")
        >>> drawing.to_json()
        '{"data":[{"type":"scatter","x":[1,2],"y":[0.5,null]}],"layout":{"xaxis":{"title":{"standoff":6,"text":"step"}}}}'
    """

    def __init__(self, **layout: Any) -> None:
        self.data: list[Properties] = []
        # One by one: two axes may be given as the same dictionary.
        self.layout: Properties = {name: copy.deepcopy(value) for name, value in layout.items()}

    def add_scatter(self, **trace: Any) -> None:
        """Adds points or lines; what is None is left out."""
        self.data.append({"type": "scatter", **{name: value for name, value in trace.items() if value is not None}})

    def add_heatmap(self, **trace: Any) -> None:
        """Adds a map of coloured cells."""
        self.data.append({"type": "heatmap", **trace})

    def add_shape(self, **shape: Any) -> None:
        """Adds a rectangle or a line in the units of the axes."""
        self.layout.setdefault("shapes", []).append(shape)

    def add_hline(self, y: float, line: Properties) -> None:
        """Adds a horizontal line from edge to edge."""
        self.add_shape(type="line", xref="x domain", x0=0, x1=1, yref="y", y0=y, y1=y, line=line)

    def add_annotation(self, **annotation: Any) -> None:
        """Adds words at a place."""
        self.layout.setdefault("annotations", []).append(annotation)

    def update_layout(self, **changes: Any) -> None:
        """Changes what is named and keeps the rest, at any depth."""
        _merge(self.layout, changes)

    def update_xaxes(self, *, title_text: str | None = None, **changes: Any) -> None:
        """Changes the horizontal axis."""
        self._update("xaxis", title_text, changes)

    def update_yaxes(self, *, title_text: str | None = None, **changes: Any) -> None:
        """Changes the first vertical axis."""
        self._update("yaxis", title_text, changes)

    def _update(self, axis: str, title: str | None, changes: Properties) -> None:
        named = {} if title is None else {"title": {"text": title}}
        _merge(self.layout.setdefault(axis, {}), named | changes)

    def to_json(self) -> str:
        """Traces and layout; what is not finite is null, which plotly.js draws as a gap."""
        return str(to_json({"data": self.data, "layout": self.layout}, validate=False))


def _merge(into: Properties, changes: Properties) -> None:
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = copy.deepcopy(value)
