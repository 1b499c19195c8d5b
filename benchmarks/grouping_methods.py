"""Ways of grouping tasks, compared: each seed splits the rows, measures, groups, trains and tests by itself.

Task affinity grouping against its published competitors (Fifty et al., NeurIPS 2021): all tasks together, each task
alone, random groups, gradient cosines, all pairs (HOA), and, for at most five tasks, every set of tasks. Reported as it
comes out: test metric and loss, change against each task alone with 95 % intervals over seeds, time with search, and
how many times cheaper the search is than training all pairs.

    python benchmarks/grouping_methods.py --data yeast --seeds 5 --out benchmarks/results/grouping_yeast.json
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.report import method_rows
from counterpoint.report.group_methods import as_loss, change, complete_scores
from counterpoint.study.comparison import MeterSettings
from counterpoint.study.group import GroupStudy
from counterpoint.study.source import SOURCES
from counterpoint.terminal import GroupProgress, console, methods_table
from measuring import print_table, record

if TYPE_CHECKING:
    from counterpoint.report.group_methods import GroupMethod
    from counterpoint.study.group_results import GroupResults


def facts(results: GroupResults) -> list[dict[str, Any]]:
    """One result a method; intervals over seeds."""
    scores = complete_scores(results)
    rows = method_rows(results, scores)
    pairs = {row.size: row.search for row in rows if row.family == "hoa"}
    return [_fact(row, scores, pairs.get(row.size)) for row in rows]


def _fact(row: GroupMethod, scores: Any, hoa: float | None) -> dict[str, Any]:
    fact: dict[str, Any] = {
        "method": row.label,
        "family": row.family,
        "networks allowed": row.size,
        "networks": row.networks,
        "test metric": row.metric and asdict(row.metric),
        "test loss": asdict(row.loss),
        "seconds": asdict(row.seconds),
        "of which search": row.search,
        "parameters": row.parameters,
    }
    for baseline, name in (("single", "alone"), ("together", "together")):
        own = scores[scores["method"].isin([*row.keys, baseline])]
        if row.family != baseline and not own.empty:
            delta, loss = change(own, row.keys, baseline), change(as_loss(own), row.keys, baseline)
            fact[f"metric change against {name}, percent"] = delta and asdict(delta)
            fact[f"loss lower than {name} by, percent"] = loss and asdict(loss)
    if hoa and row.family in {"tag", "cs"} and row.search:
        fact["search of all pairs over this search"] = hoa / row.search
    return fact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="yeast", choices=list(SOURCES))
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=None, help="by default those of the data source")
    parser.add_argument("--method", default="first-order")
    parser.add_argument("--compare", default="cs,random,hoa")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    source = SOURCES[options.data]
    with tempfile.TemporaryDirectory() as folder:
        study = GroupStudy(
            source,
            options.networks,
            options.seeds,
            tuple(name for name in options.compare.split(",") if name),
            fit=source.fit if options.epochs is None else replace(source.fit, epochs=options.epochs),
            meter=MeterSettings(options.method),
            pooled=False,
            out=Path(folder),
            workers=options.workers,
        )
        with GroupProgress() as progress:
            results = study.run("", progress)
    console.print(methods_table(results))
    rows = facts(results)
    cheaper = [
        [row["method"], f"{row[key]:.1f}"] for row in rows if (key := "search of all pairs over this search") in row
    ]
    print_table(["search", "times cheaper than all pairs"], cheaper)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    record(options.out, "grouping_methods", settings | {"trainings": results.networks["run"].nunique()}, rows, [])


if __name__ == "__main__":
    main()
