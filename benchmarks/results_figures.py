"""Pictures of the results page, drawn from saved results: SVG on white, readable in light and dark themes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from results_gaps import EXPLAINED
from results_reading import load, row, rows
from results_studies import studies
from study import judged_contrast

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, OTHERS = "#1f5fa8", ("#c9772b", "#8a8f98", "#6b9a4b", "#9a6bb0")
WIDTH = 8.0
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "results"}


def draw(folder: Path) -> None:
    """Writes all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, picture in PICTURES.items():
            made = picture()
            made.savefig(folder / f"results-{name}.svg", bbox_inches="tight", metadata={"Date": None})
            plt.close(made)


def steps() -> Figure:
    """Time of a step over the plain sum's."""
    document = load("step_cost")
    tasks = sorted({own["tasks"] for own in document["results"]})
    shown = {
        "FanOut(MGDA)": OURS,
        "FanOut(DiBS)": "#6fa3d8",
        "published MGDA-UB": OTHERS[0],
        "TorchJD by hand": OTHERS[1],
        "TorchJD by hand, loss by loss": OTHERS[2],
    }
    picture, axes = plt.subplots(figsize=(WIDTH, 3.2))
    for number, (method, color) in enumerate(shown.items()):
        found = [row(document, method=method, tasks=count)["ratio"] for count in tasks]
        at = [place + (number - 2) * 0.16 for place in range(len(tasks))]
        axes.bar(at, [own["median"] for own in found], 0.15, color=color, label=method)
        for place, own in zip(at, found, strict=True):
            axes.plot([place, place], [own["q25"], own["q75"]], color="black", linewidth=0.9)
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(tasks)), [f"{count} tasks" for count in tasks])
    axes.set_ylabel("step over the plain sum")
    axes.legend(frameon=False, ncols=2, fontsize=9, loc="upper left", bbox_to_anchor=(0, 1.35))
    return picture


def min_norm() -> Figure:
    """Worst excess over the optimum, by solver and case."""
    document = load("min_norm")
    cases = list(dict.fromkeys(own["case"]["name"] for own in document["results"]))
    shown = {"MGDA()": ("Counterpoint", OURS, "o"), "quadprog": ("quadprog", OTHERS[2], "^")}
    shown |= {"TorchJD": ("TorchJD", OTHERS[0], "s"), "published": ("published code", OTHERS[1], "D")}
    picture, axes = plt.subplots(figsize=(WIDTH, 3.6))
    floor = 1e-14
    for solver, (label, color, marker) in shown.items():
        found = {own["case"]["name"]: own["excess_max"] for own in rows(document, solver=solver)}
        sizes = [max(floor, found[case]) for case in cases]
        axes.scatter(sizes, range(len(cases)), color=color, marker=marker, label=label, s=42, zorder=3, alpha=0.9)
    axes.set_xscale("log")
    axes.set_yticks(range(len(cases)), cases)
    axes.invert_yaxis()
    axes.grid(axis="y", linewidth=0.4)
    axes.set_xlabel("worst excess over the optimum, relative (left edge: 1e-14 or less)")
    axes.legend(frameon=False, ncols=4, fontsize=9, loc="lower center", bbox_to_anchor=(0.4, 1.0))
    return picture


def affinity() -> Figure:
    """Agreement against cost, by way to measure."""
    document = load("affinity")
    names = list(dict.fromkeys(own["data"] for own in document["results"]))
    picture, panels = plt.subplots(1, len(names), figsize=(WIDTH, 3.4), sharey=True, sharex=True)
    for name, axes in zip(names, panels, strict=True):
        ceiling = row(document, data=name, what="lookahead, two seeds")["spearman"]
        axes.axhline(ceiling, color=OTHERS[1], linestyle=":", label="lookahead, two seeds")
        timed = {own["what"]: own["ratio"]["median"] for own in rows(document, data=name, loop="plain")}
        for number, (what, color) in enumerate(_WAYS.items()):
            found = 1.0 if what == "lookahead" else row(document, data=name, what=what, loop=None)["spearman"]
            axes.scatter(timed[what], found, color=color, s=60, marker="os^Dvp"[number], label=what, zorder=3)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("time over training without")
        axes.axvline(1.0, color="black", linewidth=0.6)
    panels[0].set_ylabel("correlation with lookahead")
    panels[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return picture


_WAYS = {
    "lookahead": "black",
    "first-order": OURS,
    "first-order, sketch 1024": "#6fa3d8",
    "first-order, last two layers": OTHERS[2],
    "first-order, last layer": OTHERS[3],
    "features": OTHERS[0],
}


def groups() -> Figure:
    """Test loss against one network for all."""
    names = {"grouping_yeast": "yeast, 14 targets", "grouping_digits": "digits, 5 questions"}
    picture, panels = plt.subplots(1, 2, figsize=(WIDTH + 1, 3.8))
    for (name, title), axes in zip(names.items(), panels, strict=True):
        found = [own for own in load(name)["results"] if own["networks allowed"] > 1]
        _forest(
            axes,
            [own["method"] for own in found],
            [own["loss lower than together by, percent"] for own in found],
            [OURS if own["family"] == "tag" else OTHERS[1] for own in found],
        )
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("lower test loss than one network, %")
    picture.tight_layout()
    return picture


def gaps() -> Figure:
    """The gap of every task."""
    picture, panels = plt.subplots(1, 2, figsize=(WIDTH, 4.2))
    for name, axes in zip(EXPLAINED, panels, strict=True):
        document = load(name)
        tasks = row(document, key="uniform")["tasks"]
        labels = [own["task"] for own in tasks if own["gap"]]
        _forest(axes, labels, [own["gap"] for own in tasks if own["gap"]], [OURS] * len(labels))
        axes.set_title(document["settings"]["data"], fontsize=10)
        axes.set_xlabel("test metric at the same training loss,\nshared less separate")
    picture.tight_layout()
    return picture


def improvements() -> Figure:
    """Δm over each task alone, by table."""
    picture, axes = plt.subplots(figsize=(WIDTH, 0.6 + 0.42 * len(studies())))
    found = {name: judged_contrast(load(name)) for name in studies()}
    labels = [f"{name.removeprefix('study_').replace('_', ', ')} ({own['method']})" for name, own in found.items()]
    _forest(axes, labels, [own["test"] for own in found.values()], [OURS] * len(found))
    axes.set_xlabel("test Δm against each task alone, %")
    return picture


def _forest(axes: Axes, labels: list[str], found: list[dict[str, float]], colors: list[str]) -> None:
    for place, (own, color) in enumerate(zip(found, colors, strict=True)):
        if own["low"] is not None:
            axes.plot([own["low"], own["high"]], [place, place], color=color, linewidth=2)
        axes.plot(own["mean"], place, "o", color=color, markersize=5)
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.invert_yaxis()


PICTURES: dict[str, Callable[[], Figure]] = {
    "steps": steps,
    "min-norm": min_norm,
    "affinity": affinity,
    "groups": groups,
    "gaps": gaps,
    "studies": improvements,
}
