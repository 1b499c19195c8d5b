"""What a study finds on four real tables: what to train together, how, and what it gains over separate networks.

Each table is written as CSV and goes through the public ``Study`` as anybody's would. Intervals are over seeds, on one
split of the rows. ``--missing 0.3`` hides that share of every task's labels first.

    python benchmarks/study.py --data yeast --seeds 5 --out benchmarks/results/study_yeast.json
    python benchmarks/study.py --tables benchmarks/results/study_*.json
    python benchmarks/study.py --into docs/study.md   # these tables, of all saved results, into the page
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from counterpoint.study.study_results import StudyResults
    from study_tables import Table

RESULTS = Path(__file__).parent / "results"
_MARKS = "<!-- results -->", "<!-- end of results -->"


def facts(results: StudyResults) -> list[dict[str, Any]]:
    """One result a method."""
    decision = results.decision.to_json()
    scores = {split: results.scores(split) for split in ("validation", "test")}
    against_single = {c["method"]: c for c in decision["contrasts"] if c["against"] == "single"}
    found = []
    for method in results.methods:
        contrast = against_single.get(method.key)
        tasks = {}
        for split, table in scores.items():
            for task, own in table[table["method"] == method.key].groupby("task", sort=False):
                tasks.setdefault(task, {"metric": own["metric"].iloc[0], "direction": own["direction"].iloc[0]})
                tasks[task] |= {split: own["value"].mean(), f"{split}, spread over seeds": own["value"].std()}
        found.append(
            {
                "method": method.label,
                "key": method.key,
                "networks": [{"tasks": list(net.tasks), "serves": list(net.serves)} for net in method.networks],
                "scales": dict(method.scales),
                "seeds": len(results.served[method.key]),
                "chosen": method.key == decision["chosen"],
                "ruled out": decision["ruled_out"].get(method.key),
                "change against each task alone, percent": None
                if contrast is None
                else {
                    "validation": contrast["validation"],
                    "test": contrast["test"],
                    "tasks on test": contrast["tasks"],
                },
                "cost": asdict(results.decision.costs[method.key]),
                "tasks": tasks,
            }
        )
    return found


def tables(paths: Sequence[Path]) -> Iterator[str]:
    """The findings as Markdown."""
    yield "| table | rows, tasks | verdict | chosen | sharing against each task alone, test Δm | tasks better, worse |"
    yield "| --- | --- | --- | --- | ---: | ---: |"
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    found = [saved for saved in found if saved["benchmark"] == "study"]  # study_epoch.json is of another one
    for saved in found:
        settings, decision = saved["settings"], saved["settings"]["decision"]
        labels = {result["key"]: result["method"] for result in saved["results"]}
        judged = judged_contrast(saved)
        sides = [side(estimate) for estimate in judged["tasks"].values()]
        cells = [
            _name(settings),
            f"{sum(settings['data']['rows'].values()):,}, {len(sides)}",
            decision["verdict"],
            labels[decision["chosen"]],
            f"{labels[judged['method']]}: {interval(judged['test'])}",
            f"{sides.count(1)}, {sides.count(-1)} of {len(sides)}",
        ]
        yield f"| {' | '.join(cells)} |"
    for saved in found:
        minutes = saved["settings"]["minutes"]
        yield f"\n**{_name(saved['settings'])}**" + (f", within {minutes:g} minutes:\n" if minutes else ":\n")
        yield "| method | networks, parameters | seeds | validation Δm | test Δm | seconds a seed, with search |"
        yield "| --- | ---: | ---: | ---: | ---: | ---: |"
        for result in saved["results"]:
            change = result["change against each task alone, percent"]
            cells = [interval(change[split]) if change else "0" for split in ("validation", "test")]
            seconds = result["cost"]["seconds"] + result["cost"]["search_seconds"]
            name = f"{result['method']}, chosen" if result["chosen"] else result["method"]
            size = f"{len(result['networks'])}, {result['cost']['parameters']:,.0f}"
            yield f"| {name} | {size} | {result['seeds']} | {' | '.join(cells)} | {seconds:.0f} |"


def judged_contrast(saved: dict[str, Any]) -> dict[str, Any]:
    """Sharing against each task alone, as the verdict speaks of it: that difference comes first."""
    return next(contrast for contrast in saved["settings"]["decision"]["contrasts"] if contrast["against"] == "single")


def _name(settings: dict[str, Any]) -> str:
    hidden = settings["share of labels hidden"]
    return settings["table"] + (f", {hidden:.0%} of labels hidden".replace("%", " %") if hidden else "")


def side(estimate: dict[str, float | None]) -> int:
    """1 if the interval lies above zero, -1 if below."""
    low, high = estimate["low"], estimate["high"]
    return 0 if low is None or high is None else int(low > 0) - int(high < 0)


def interval(estimate: dict[str, float | None]) -> str:
    """Mean and interval in percent, in bold if it excludes zero."""
    if estimate["mean"] is None:
        return ""
    if estimate["low"] is None:
        return f"{estimate['mean']:+.1f} %, one seed"
    text = f"{estimate['mean']:+.1f} % [{estimate['low']:+.1f}, {estimate['high']:+.1f}]"
    return f"**{text}**" if side(estimate) else text


def study(table: Table, options: argparse.Namespace, folder: Path) -> StudyResults:
    """Runs the study of a table."""
    from counterpoint import Study  # noqa: PLC0415  (loads torch, which printed tables do without)
    from counterpoint.terminal import InvestigationProgress  # noqa: PLC0415
    from study_tables import hide  # noqa: PLC0415

    source = folder / f"{options.data}.csv"
    hide(table.load(), table.names, options.missing).to_csv(source, index=False)
    asked = Study(
        source,
        table.targets,
        seeds=options.seeds,
        minutes=options.minutes,
        workers=options.workers,
        out=folder / "study",
        **table.options,
    )
    with InvestigationProgress() as progress:
        return asked.run("python benchmarks/study.py", progress)


def write_into(page: Path) -> None:
    """Replaces the tables of a page, between the marks, by those of all saved results."""
    before, _, rest = page.read_text(encoding="utf-8").partition(_MARKS[0])
    _, _, after = rest.partition(_MARKS[1])
    saved = sorted(RESULTS.glob("study_*.json"))
    lines = [_MARKS[0], "", *tables(saved), "", _MARKS[1]]
    page.write_text(before + "\n".join(lines) + after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="diamonds", choices=["diamonds", "diamonds-6", "yeast", "randhie", "flares"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, help="the study's budget")
    parser.add_argument("--missing", type=float, default=0.0, help="share of each task's labels to hide")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the study goes, and goes on; by default a temporary folder")
    parser.add_argument("--tables", type=Path, nargs="+", help="print saved results as Markdown tables")
    parser.add_argument("--into", type=Path, help="write the tables of all saved results into a page")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.tables:
        print("\n".join(tables(options.tables)))
        return
    if options.into:
        write_into(options.into)
        return
    from counterpoint.report import study_verdict, write_study_report  # noqa: PLC0415
    from measuring import record  # noqa: PLC0415
    from study_tables import TABLES  # noqa: PLC0415

    table = TABLES[options.data]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results = study(table, options, folder)
        if options.folder:
            write_study_report(results, folder / "report.html")
    about = results.about
    settings = {
        "table": options.data,
        "targets": list(table.targets),
        "options": table.options,
        "why": table.why,
        "share of labels hidden": options.missing,
        "seeds asked for": options.seeds,
        "minutes": options.minutes,
        "data": about["data"],
        "what the study found in the table": about["table"],
        "settings": about["settings"],
        "decision": results.decision.to_json(),
        "verdict": study_verdict(results),
        "plan": results.plan,
        "versions": about["versions"],
        "machine": about["machine"],
        "started": about["started"],
        "seconds": about["seconds"],
    }
    record(options.out, "study", settings, facts(results), [])
    print("\n".join(study_verdict(results)))


if __name__ == "__main__":
    main()
