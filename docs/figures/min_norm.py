"""The min-norm point of three gradients in the plane, and what the certificate measures at another point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from look import BLUE, GREEN, GREY, ORANGE, PALE, PINK, save
from matplotlib.patches import Polygon

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRADIENTS = np.array([[0.6, 2.3], [2.7, 0.5], [2.9, 2.2]])
COLOURS = (BLUE, GREEN, PINK)
SHIFTS = ((-0.33, -0.1), (0.02, -0.32), (0.1, 0.05))  # of their names


def main() -> None:
    figure, (best, other) = plt.subplots(1, 2, figsize=(9.2, 4.3), sharey=True, layout="constrained")
    for axes in (best, other):
        hull(axes)
    first, second = GRADIENTS[0], GRADIENTS[1]
    share = float((second - first) @ second / ((second - first) @ (second - first)))
    shortest = share * first + (1 - share) * second
    point(best, shortest, "the shortest, $d = w_1 g_1 + w_2 g_2$")
    level(best, shortest, shortest @ shortest)
    best.set_title("optimal: all gradients lie on or beyond the line", fontsize=11)

    elsewhere = np.array([0.3, 0.35, 0.35]) @ GRADIENTS
    point(other, elsewhere, "another mean, $d$")
    level(other, elsewhere, elsewhere @ elsewhere)
    lowest = min(GRADIENTS, key=lambda gradient: float(gradient @ elsewhere))
    length = float(np.linalg.norm(elsewhere))
    unit = elsewhere / length
    foot = lowest + (length - lowest @ unit) * unit
    other.annotate("", lowest, foot, arrowprops={"arrowstyle": "<->", "color": "#222222", "lw": 1.4})
    other.text(*((lowest + foot) / 2 + (-0.05, 0.14)), r"gap $/\,\|d\|$", ha="right", fontsize=10)
    other.set_title("not optimal: a gradient lies before the line", fontsize=11)
    save(figure, "min-norm")


def hull(axes: Axes) -> None:
    axes.add_patch(Polygon(GRADIENTS, fc=PALE[GREY], ec=GREY, lw=1.2, zorder=0))
    for number, (gradient, colour) in enumerate(zip(GRADIENTS, COLOURS, strict=True), start=1):
        axes.annotate("", gradient, (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.8})
        axes.text(*(gradient + SHIFTS[number - 1]), f"$g_{number}$", color=colour, fontsize=13)
    axes.plot(0, 0, "o", color="#222222", markersize=4)
    axes.text(-0.08, -0.22, "0", ha="right")
    axes.set(xlim=(-0.45, 3.6), ylim=(-0.45, 3.0), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def point(axes: Axes, place: np.ndarray, words: str) -> None:
    axes.annotate("", place, (0, 0), arrowprops={"arrowstyle": "-|>", "color": ORANGE, "lw": 2.6})
    axes.text(1.05, -0.3, words, color=ORANGE, fontsize=11)


def level(axes: Axes, direction: np.ndarray, value: float) -> None:
    """Where inner products with the direction are as large as its own."""
    along = np.array([-direction[1], direction[0]]) / np.linalg.norm(direction)
    middle = direction * value / (direction @ direction)
    ends = np.stack([middle - 2.1 * along, middle + 2.1 * along])
    axes.plot(*ends.T, "--", color=ORANGE, lw=1.2)


if __name__ == "__main__":
    main()
