"""Did sharing help, and what went along with it: the findings of explain studies, as they come out.

A replication in the small of Mueller, Dredze and Andrews (TMLR 2024) on the data that come with this project: is there
a gap at comparable training loss and from which step, which factors go with it, does conflict go with the optimization
deficit and not with the gap, and what do weightings change. Intervals are over seeds; those of correlations over tasks
and seeds. Nothing is adjusted for how many there are: with no effect at all, one in twenty excludes zero.

    python benchmarks/explain.py --data digits --seeds 5 --out benchmarks/results/explain_digits.json
    python benchmarks/explain.py --tables benchmarks/results/explain_*.json   # the tables of docs/trajectory.md
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.study.explain.factors import FACTORS
from counterpoint.study.explain.findings import SUBJECTS, findings
from counterpoint.study.explain.results import ExplainResults

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from counterpoint.study.explain.comparison import TaskComparison
    from counterpoint.study.explain.findings import Findings

LINES = "| --- |" + " ---: |" * 4


def facts(results: ExplainResults, found: Findings) -> list[dict[str, Any]]:
    """One result a way of sharing."""
    return [
        {
            "method": label,
            "key": method,
            "gap, mean over tasks": _estimate(found.gap(method)),
            "deficit, mean over tasks": _estimate(found.deficit(method)),
            "tasks": [_task(task, found.comparisons[method][task]) for task in results.tasks],
            "correlations over tasks and seeds": [
                {"factor": a.factor.key, "at equal": a.place, "with": a.target, **asdict(a.correlation)}
                for a in found.associations
                if a.method == method
            ],
            "changed against the plain sum": {
                answer.subject: _estimate(answer.estimate) for answer in found.answers if answer.method == method
            },
        }
        for method, label in results.methods.items()
    ]


def _task(task: str, comparison: TaskComparison) -> dict[str, Any]:
    gap = comparison.gap
    onset = gap.onset if gap is not None else None
    return {
        "task": task,
        "gap": None if gap is None else _estimate(gap.estimate),
        "gap at the lowest common loss": None if gap is None else _estimate(gap.last),
        "gap in test loss": None if comparison.loss_gap is None else _estimate(comparison.loss_gap.estimate),
        "significant from": None if onset is None else asdict(onset),
        "deficit": _estimate(comparison.deficit.estimate),
        "end of training": _estimate(comparison.outcome),
        "problem": comparison.problem,
        "notes": [] if gap is None else list(gap.notes),
    }


def _estimate(estimate: Any) -> dict[str, float] | None:
    return None if estimate is None else asdict(estimate)


def shares(results: ExplainResults) -> dict[str, float]:
    """Time of looks over time of training, all runs together."""
    total = results.runs["seconds"].sum()
    return {name: float(results.runs[f"{name}_seconds"].sum() / total) for name in ("probe", "curvature")}


def tables(paths: Sequence[Path]) -> Iterator[str]:
    """The findings as Markdown."""
    for path in paths:
        saved = json.loads(path.read_text(encoding="utf-8"))
        name, seeds = saved["settings"]["data"], saved["settings"]["seeds"]
        yield f"**{name}**, {seeds} seeds:\n"
        yield "| all tasks together | gap | tasks better, worse | significant from step | deficit |"
        yield LINES
        for result in saved["results"]:
            sides = [side(task["gap"]) for task in result["tasks"]]
            steps = [task["significant from"]["multi_step"] for task in result["tasks"] if task["significant from"]]
            when = f"{min(steps):.0f} to {max(steps):.0f} (tasks: {len(steps)})" if steps else "none"
            counts = f"{sides.count(1)}, {sides.count(-1)} of {len(sides)}"
            gap, deficit = (interval(result[f"{what}, mean over tasks"]) for what in ("gap", "deficit"))
            yield f"| {result['method']} | {gap} | {counts} | {when} | {deficit} |"
        yield ""
        uniform = saved["results"][0]
        yield "| uniform | with gap, at equal loss | at equal step | with deficit, at equal loss | at equal step |"
        yield LINES
        found = {(c["factor"], c["at equal"], c["with"]): c for c in uniform["correlations over tasks and seeds"]}
        for key, factor in FACTORS.items():
            cells = [
                correlation(found.get((key, place, to))) for to in ("gap", "deficit") for place in ("loss", "step")
            ]
            yield f"| {factor.label} | {' | '.join(cells)} |"
        yield ""
        yield "| weighting, against the plain sum | gradient cosine | deficit | gap |"
        yield "| --- | ---: | ---: | ---: |"
        for result in saved["results"][1:]:
            changed = result["changed against the plain sum"]
            cells = [interval(changed[subject]) for subject in SUBJECTS]
            yield f"| {result['method']} | {' | '.join(cells)} |"
        yield ""


def side(estimate: dict[str, float] | None) -> int:
    """1 if the interval lies above zero, -1 if below."""
    return 0 if estimate is None else int(estimate["low"] > 0) - int(estimate["high"] < 0)


def interval(estimate: dict[str, float] | None) -> str:
    """Mean and interval, in bold if it excludes zero."""
    if estimate is None:
        return ""
    text = f"{estimate['mean']:+.3f} [{estimate['low']:+.3f}, {estimate['high']:+.3f}]"
    return f"**{text}**" if side(estimate) else text


def correlation(found: dict[str, float] | None) -> str:
    """Value and interval, in bold if it excludes zero."""
    if found is None:
        return ""
    text = f"{found['value']:+.2f} [{found['low']:+.2f}, {found['high']:+.2f}]"
    return f"**{text}**" if side(found) else text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", choices=["digits", "yeast"])
    parser.add_argument("--weightings", default="mgda")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="a finished study, instead of running one")
    parser.add_argument("--tables", type=Path, nargs="+", help="print saved results as Markdown tables")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.tables:
        print("\n".join(tables(options.tables)))
        return
    # These load torch, which the tables do without.
    from counterpoint.study.explain.study import ExplainStudy  # noqa: PLC0415
    from counterpoint.study.source import SOURCES  # noqa: PLC0415
    from counterpoint.terminal import RunProgress, console  # noqa: PLC0415
    from measuring import record  # noqa: PLC0415

    if options.folder:
        results = ExplainResults.load(options.folder)
    else:
        weightings = tuple(name for name in options.weightings.split(",") if name)
        with tempfile.TemporaryDirectory() as folder, RunProgress() as progress:
            study = ExplainStudy(
                SOURCES[options.data], weightings, options.seeds, out=Path(folder), workers=options.workers
            )
            results = study.run("python benchmarks/explain.py", progress)
    found = findings(results)
    settings = {
        "data": results.about["data"]["name"],
        "seeds": len(results.seeds),
        **{name: value for name, value in results.about["settings"].items() if name != "seeds"},
        "time of looks over time of training": shares(results),
        "left out": results.about["warnings"],
    }
    record(options.out, "explain", settings, facts(results, found), [])
    console.print(settings["time of looks over time of training"])


if __name__ == "__main__":
    main()
