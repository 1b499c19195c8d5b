"""How the drawn figures look, and where they go.

    for figure in fan_out min_norm p_median gap thumbnails; do python docs/figures/$figure.py; done

writes docs/pictures. White paper, so that they are legible on the dark theme, too; text as outlines, so that they
look the same everywhere; no dates and random names inside, so that the same drawing is the same file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
# Okabe and Ito's colours, the dark ones.
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#B0568A", "#666666"
PALE = {BLUE: "#E3F0F8", ORANGE: "#FBE9DD", GREEN: "#DFF3EC", PINK: "#F6E6EF", GREY: "#F1F1F1"}

mpl.rcParams.update({"svg.hashsalt": "counterpoint", "font.size": 11, "mathtext.fontset": "dejavusans"})


def save(figure: Figure, name: str) -> None:
    """Writes docs/pictures/NAME.svg."""
    target = PICTURES / f"{name}.svg"
    figure.savefig(target, facecolor="white", metadata={"Date": None, "Creator": None})
    # Matplotlib ends path lines with blanks; the repository's files do not.
    target.write_text("\n".join(line.rstrip() for line in target.read_text().splitlines()) + "\n")
    plt.close(figure)
    print(f"wrote {target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target}")


def paper(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure in inches to draw boxes and arrows on, with one unit an inch."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(axes: Axes, center: tuple[float, float], size: tuple[float, float], text: str, colour: str) -> None:
    """A box with words in it."""
    (x, y), (width, height) = center, size
    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, width, height, style, fc=PALE[colour], ec=colour, lw=1.4))
    axes.text(x, y, text, ha="center", va="center", color="#222222")


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    *,
    label: str = "",
    above: float = 0.13,
) -> None:
    """An arrow with words beside its middle."""
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=colour, lw=1.6))
    if label:
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + above
        axes.text(*middle, label, ha="center", va="center", color=colour, fontsize=10)
