"""Grouping as p-median: sets of tasks are facilities, tasks are clients, two facilities are opened."""

from __future__ import annotations

import numpy as np
from look import BLUE, GREY, ORANGE, arrow, box, paper, save

from counterpoint import group_tasks

# The example of docs/how-it-works.md.
TASKS = ("depth", "normals", "edges", "labels")
Z = np.array([[0.0, 0.6, 0.3, -0.1], [0.7, 0.0, 0.4, 0.0], [0.2, 0.5, 0.0, 0.3], [-0.3, -0.1, 0.2, 0.0]])
SHOWN = ((0, 1), (2, 3), (0, 1, 2), (1, 2, 3), (0, 1, 2, 3), (3,))


def main() -> None:
    chosen = {network.tasks: network.serves for network in group_tasks(Z, 2, tasks=TASKS).networks}
    figure, axes = paper(9.2, 4.7)
    axes.text(2.4, 4.4, "sets of tasks: networks that may be opened", ha="center", weight="bold")
    axes.text(7.6, 4.4, "tasks: each is served by one", ha="center", weight="bold")
    rows = dict(zip(TASKS, np.linspace(3.7, 0.75, 4), strict=True))
    for task, height in rows.items():
        box(axes, (7.6, height), (1.5, 0.5), task, BLUE)
    for members, height in zip(SHOWN, np.linspace(4.0, 0.75, len(SHOWN)), strict=True):
        names = tuple(TASKS[i] for i in members)
        opened = names in chosen
        box(axes, (2.4, height), (3.6, 0.42), ", ".join(names), ORANGE if opened else GREY)
        for t in members:
            others = [j for j in members if j != t]
            score = float(np.mean(Z[others, t])) if others else 0.0
            task = TASKS[t]
            if opened and task in chosen[names]:
                arrow(axes, (4.25, height), (6.8, rows[task]), ORANGE)
                place = 4.25 + 0.76 * 2.55, height + 0.76 * (rows[task] - height)
                label = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
                axes.text(*place, f"{score:+.2f}", ha="center", va="center", color=ORANGE, fontsize=10, bbox=label)
            else:
                axes.plot([4.25, 6.8], [height, rows[task]], color="#CCCCCC", lw=0.9, zorder=0)
    axes.text(2.4, 0.25, "... and 9 more sets of 4 tasks", ha="center", color=GREY, fontsize=10)
    save(figure, "p-median")


if __name__ == "__main__":
    main()
