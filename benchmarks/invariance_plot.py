"""Picture and figures of docs/invariance.md, from what `invariance.py` wrote.

    python benchmarks/invariance_plot.py [--json benchmarks/results/invariance.json] [--png /tmp/invariance.png]

Writes docs/pictures/invariance.svg, and the tables between the markers of docs/invariance.md.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURE = ROOT / "docs" / "invariance.md", ROOT / "docs" / "pictures" / "invariance.svg"
# Okabe and Ito's colours, with a shape each, so that neither is needed to read the other.
LOOKS = {
    "exp(L)": ("#0072B2", "o"),
    "L^4": ("#D55E00", "s"),
    "log(1+L)": ("#009E73", "^"),
    "1000 L": ("#CC79A7", "D"),
}
SHOWN = {"L^4": "$L^4$"}
LIMIT = 1e-4
FLOOR, CEILING = 1e-17, 1e2  # of the trajectory axes; what is beyond is drawn at the border
LOWEST = {"digit pairs": -1.0, "diabetes": -1.0}  # of the metric axes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "invariance.json")
    parser.add_argument("--png", type=Path, help="the same picture in pixels, to look at")
    options = parser.parse_args()
    document = json.loads(options.json.read_text())
    draw(document["results"], options.png)
    page = PAGE.read_text()
    for name, text in blocks(document).items():
        marked = re.compile(rf"(<!-- {name}: written by .*? -->\n).*?(<!-- end -->)", re.DOTALL)
        page, times = marked.subn(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)
        if times != 1:
            raise ValueError(f"{PAGE} has {times} blocks {name!r}, expected one")
    PAGE.write_text(page)
    print(f"wrote {PICTURE} and {PAGE}")


def draw(rows: list[dict[str, Any]], png: Path | None) -> None:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    style = {"font.size": 9, "font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "invariance"}
    with plt.rc_context(style):
        size = (11.5, 0.36 * len(methods) + 1.9)
        figure, axes = plt.subplots(1, 4, figsize=size, sharey=True, layout="constrained")
        for column, problem in enumerate(problems):
            mine = {row["method"]: row for row in rows if row["problem"] == problem}
            metric_panel(axes[column], mine, methods, problem)
            trajectory_panel(axes[2 + column], mine, methods, problem)
        axes[0].set_yticks(range(len(methods)), methods)
        axes[0].set_ylim(len(methods) - 0.4, -0.6)
        for label in axes[0].get_yticklabels():
            if "weighted heads" in label.get_text():
                label.set_fontweight("bold")
        handles = [
            Line2D([], [], color=color, marker=shape, linestyle="", label=SHOWN.get(name, name))
            for name, (color, shape) in LOOKS.items()
        ]
        title = "loss L of the first task replaced by"
        figure.legend(handles=handles, loc="outside upper center", ncols=4, title=title, frameon=False)
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(PICTURE, metadata={"Date": None})
        if png:
            figure.savefig(png, dpi=110)


def metric_panel(axis: Axes, rows: dict[str, dict[str, Any]], methods: Sequence[str], problem: str) -> None:
    metric = next(iter(rows.values()))["metric"].replace("R2", "R²")
    values = {
        (position, name): rows[method]["disguised"][name]["worst_task"]
        for position, method in enumerate(methods)
        for name in LOOKS
    }
    lowest = min(max(LOWEST[problem], min(values.values())), -0.01)
    markers(axis, {place: max(value, lowest) for place, value in values.items()}, len(methods))
    axis.axvline(0, color="0.4", linewidth=0.8, zorder=1)
    axis.set_xlim(1.08 * lowest, max(*values.values(), 0.0) - 0.08 * lowest)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.set_title(f"{problem}\nchange of test {metric},\ntask that lost most", fontsize=9)


def trajectory_panel(axis: Axes, rows: dict[str, dict[str, Any]], methods: Sequence[str], problem: str) -> None:
    values = {}
    for position, method in enumerate(methods):
        for name in LOOKS:
            size = rows[method]["disguised"][name]["trajectory"]["largest"]
            values[position, name] = min(max(math.inf if size is None else size, FLOOR), CEILING)
    axis.set_xscale("log")
    markers(axis, values, len(methods))
    axis.axvline(LIMIT, color="0.4", linewidth=0.8, linestyle="--", zorder=1)
    axis.set_xlim(FLOOR / 3, CEILING * 6)
    ticks = {1e-16: "$10^{-16}$", 1e-12: "$10^{-12}$", 1e-8: "$10^{-8}$", LIMIT: "$10^{-4}$", 1.0: "1"}
    axis.set_xticks(list(ticks), list(ticks.values()))
    axis.minorticks_off()
    axis.set_title(f"{problem}\nchange of the parameters, fp64,\nrelative (at the border: > 100)", fontsize=9)


def markers(axis: Axes, values: dict[tuple[int, str], float], methods: int) -> None:
    for name, (color, shape) in LOOKS.items():
        offset = 0.18 * (list(LOOKS).index(name) - 1.5)
        points = [(value, position + offset) for (position, own), value in values.items() if own == name]
        x, y = zip(*points, strict=True)
        axis.plot(x, y, linestyle="", marker=shape, color=color, markersize=4.5, zorder=3, clip_on=False)
    for position in range(0, methods, 2):
        axis.axhspan(position - 0.5, position + 0.5, color="0.95", zorder=0, linewidth=0)
    axis.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def blocks(document: dict[str, Any]) -> dict[str, str]:
    """Text by marker."""
    rows = document["results"]
    found = {
        f"metrics {problem}": table(rows, problem, change) for problem in document["settings"] if problem in LOWEST
    }
    found |= {f"trajectories {problem}": table(rows, problem, path) for problem in LOWEST}
    machine = document["machine"]
    found["run"] = (
        f"Measured on {document['date'][:10]} with torch {machine['torch']}, TorchJD {machine['torchjd']} and "
        f"Counterpoint {machine['counterpoint']}: {sum(target['met'] for target in document['targets'])} of "
        f"{len(document['targets'])} targets met."
    )
    return found


def table(rows: list[dict[str, Any]], problem: str, cell: Any) -> str:
    mine = [row for row in rows if row["problem"] == problem]
    plain = "" if cell is path else "".join(f" {task}, plain L |" for task in mine[0]["plain"])
    lines = [f"| weighting |{plain} {' | '.join(LOOKS)} |", f"| --- |{' ---: |' * (plain.count('|') + len(LOOKS))}"]
    for row in mine:
        before = "" if cell is path else "".join(f" {pm(value)} |" for value in row["plain"].values())
        lines.append(f"| {row['method']} |{before} {' | '.join(cell(row['disguised'][name]) for name in LOOKS)} |")
    return "\n".join(lines)


def pm(value: dict[str, float]) -> str:
    return f"{value['mean']:.3f} ± {value['std']:.3f}"


def change(entry: dict[str, Any]) -> str:
    worst = min(entry["change"].values(), key=lambda change: change["mean"])
    return f"{worst['mean']:+.3f} ± {worst['std']:.3f}{' (diverged)' if entry['diverged'] else ''}"


def path(entry: dict[str, Any]) -> str:
    size, norm = entry["trajectory"]["largest"], entry["trajectory"]["norm"]
    return "diverged" if size is None or norm is None else f"{size:.0e} / {norm:.0e}"


if __name__ == "__main__":
    main()
