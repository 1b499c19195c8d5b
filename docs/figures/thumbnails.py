"""Small pictures of the guides, for the gallery and the front page: docs/pictures/thumbnail-*.png.

python docs/figures/thumbnails.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gap import STEPS, metric
from look import BLUE, GREEN, GREY, ORANGE, PICTURES, PINK, plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def main() -> None:
    for name, draw in (("combine", combine), ("group", group), ("explain", explain), ("study", study)):
        figure, axes = plt.subplots(figsize=(4, 2.8), layout="constrained")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        draw(axes)
        figure.savefig(PICTURES / f"thumbnail-{name}.png", dpi=200, facecolor="white", metadata={"Software": None})
        plt.close(figure)


def combine(axes: Axes) -> None:
    """Three gradients and the one that comes of them."""
    for tip, colour in (((0.5, 2.3), BLUE), ((2.9, 0.3), GREEN), ((3.2, 1.7), PINK)):
        axes.annotate("", tip, (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 3})
    axes.annotate("", (1.35, 1.5), (0, 0), arrowprops={"arrowstyle": "-|>", "color": ORANGE, "lw": 6})
    axes.set(xlim=(-0.2, 3.4), ylim=(-0.2, 2.5))


def group(axes: Axes) -> None:
    """Seven tasks in three groups."""
    groups = (
        (BLUE, ((0.4, 1.7), (1.2, 2.2), (1.3, 1.3))),
        (ORANGE, ((2.4, 2.1), (3.1, 1.6))),
        (GREEN, ((1.7, 0.4), (2.6, 0.3))),
    )
    for colour, tasks in groups:
        x, y = zip(*tasks, tasks[0], strict=True)
        axes.plot(x, y, color=colour, lw=42, alpha=0.25, solid_capstyle="round", solid_joinstyle="round")
        axes.plot(x, y, "o", color=colour, markersize=13)
    axes.set(xlim=(-0.2, 3.7), ylim=(-0.3, 2.8))


def explain(axes: Axes) -> None:
    """Two trajectories, read off at the same training loss."""
    for slowness, gain, colour in ((45, 0.0, BLUE), (95, 0.09, ORANGE)):
        losses = 0.15 + 1.85 * np.exp(-STEPS / slowness)
        axes.plot(-losses, metric(losses, gain), color=colour, lw=4)
        axes.plot(-0.62, metric(np.array(0.62), gain), "D", color=colour, markeredgecolor="#222222", markersize=9)
    axes.axvline(-0.62, color=GREY, lw=1.5, ls=":")
    axes.spines[["left", "bottom"]].set_visible(True)


def study(axes: Axes) -> None:
    """Methods against each task alone, with their intervals."""
    rows = ((-0.6, 0.5, BLUE, "o"), (0.4, 0.7, ORANGE, "s"), (1.4, 0.6, GREEN, "*"), (0.1, 0.9, PINK, "D"))
    for row, (mean, half, colour, marker) in enumerate(rows):
        axes.plot([mean - half, mean + half], [row, row], color=colour, lw=5, alpha=0.45)
        axes.plot(mean, row, marker, color=colour, markersize=18 if marker == "*" else 11)
    axes.axvline(0, color=GREY, lw=1.5)
    axes.set(xlim=(-1.6, 2.4), ylim=(-0.7, 3.7))


if __name__ == "__main__":
    main()
