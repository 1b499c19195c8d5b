"""The results page on the third question: gaps at the same training loss, and what measuring costs."""

from __future__ import annotations

from results_reading import Document, load, provenance, rows
from results_tables import figure, fold, interval, limits, table

EXPLAINED = ("explain_digits", "explain_yeast")


def section() -> list[str]:
    """Lines of Markdown."""
    return ["## Did sharing help, and if not, what happened?", "", *_gaps(), *_measures()]


def _gaps() -> list[str]:
    body = []
    for document in map(load, EXPLAINED):
        for found in document["results"]:
            sides = [_side(task["gap"]) for task in found["tasks"]]
            gap, deficit = (interval(found[f"{what}, mean over tasks"], 3) for what in ("gap", "deficit"))
            tasks = f"{sides.count(1)}, {sides.count(-1)} of {len(sides)}"
            body.append([document["settings"]["data"], found["method"], gap, tasks, deficit])
    header = ["data", "all tasks together by", "generalization gap", "tasks better, worse", "optimization deficit"]
    return [
        "### Shared against separate networks",
        "",
        "Gap: difference of the test metric (accuracy, AUROC) at the same training loss; negative: the shared",
        "network tests worse. Deficit: difference of the training loss at the same step; positive: the shared",
        "network fits more slowly. Means over tasks with 95 % intervals over seeds; bold: zero is outside.",
        "What goes along with a gap, and how to read all this: [what we found](trajectory.md#what-we-found).",
        "",
        "![Generalization gap of every task with its interval](_generated/results-gaps.svg)",
        "",
        *table(header, body, words=2),
        *provenance(EXPLAINED),
    ]


def _side(found: dict[str, float] | None) -> int:
    return 0 if found is None else int(found["low"] > 0) - int(found["high"] < 0)


def _measures() -> list[str]:
    document = load("trajectory")
    measures = [found for found in rows(document, part="measures") if found["what"] != "one gradient"]
    body = [[found["case"], found["what"], f"{found['times a gradient']['median']:.1f}"] for found in measures]
    return [
        "### What measuring costs",
        "",
        "A `TrajectoryCallback` in the library's own training: its share of the time by its own account, and the",
        "whole training's time over one without, less 1.",
        "",
        *table(["data", "callback", "its own account", "from outside"], _callbacks(document), words=2),
        "The largest Hessian eigenvalue beside other libraries; time in gradients of the same loss on the same",
        "rows:",
        "",
        *table(["network", "by", "relative error", "gradients"], _eigenvalues(document), words=2),
        *fold("Every measure, in gradients", table(["network", "measure", "gradients"], body, words=2)),
        *limits([document]),
        *provenance(["trajectory"]),
    ]


def _callbacks(document: Document) -> list[list[str]]:
    return [
        [found["data"], found["what"], _percent(found["share"]["median"]), _percent(found["outside"]["median"])]
        for found in rows(document, part="callback")
        if "share" in found
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _eigenvalues(document: Document) -> list[list[str]]:
    body = []
    for found in rows(document, part="peers", quantity="largest eigenvalue", status="measured"):
        ours = found["what"].startswith("counterpoint")
        error = figure(abs(found["value"] / found["exact"] - 1))
        label = f"**{found['what']}**" if ours else found["what"]
        body.append([found["case"], label, error, f"{found['times a gradient']['median']:.0f}"])
    return body
