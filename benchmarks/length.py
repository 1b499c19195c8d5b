"""One learning rate for every weighting: what `length="sum"` is worth where the length of an update counts.

Plain SGD with momentum, and the learning rate that validation rows choose for the plain sum, the best of a grid: what
somebody has who now changes the weighting. Each weighting is trained at that rate as it is and with `length="sum"`, on
the three problems of `weightings.py`. Changes are of test metrics over the plain sum, paired by seed.

    python benchmarks/length.py --seeds 3 --out benchmarks/results/length.json   # about ten minutes on two cores
    python benchmarks/length.py --into docs/choosing-a-weighting.md              # the table into the page
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from counterpoint.study.execution import LocalExecutor
from counterpoint.study.network_job import one_thread
from counterpoint.study.summary import delta_m
from counterpoint.training import Optimization, fit
from measuring import record
from results_tables import table
from weightings_trained import estimate, problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterpoint.study.source import Source

RESULTS = Path(__file__).parent / "results" / "length.json"
MARKS = "<!-- length: written by benchmarks/length.py -->", "<!-- end of length -->"
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
PLAIN = "uniform"
WEIGHTINGS = ("mgda", "dibs", "nash", "fairgrad", "imtlg", "upgrad", "cagrad(c=0.4)", "gradnorm")


@dataclass(frozen=True)
class Job:
    """One training by SGD."""

    problem: str
    source: Source
    weighting: str
    lr: float
    seed: int


def train(job: Job, on_epoch: Callable[[float], None]) -> tuple[float, list[dict[str, Any]]]:
    """The score on validation rows and a row for each task; of a training that diverged, none."""
    source = job.source
    settings = replace(source.fit, seed=job.seed, progress_bar=False, logs=False)
    with one_thread(), tempfile.TemporaryDirectory() as place:
        module = source.build(source.tasks, job.weighting, job.seed)
        module.optimization = Optimization("sgd", lr=job.lr)
        try:
            result = fit(module, source.splits(source.tasks), settings, place, on_epoch)
        except ArithmeticError:
            return -math.inf, []
    rows = [
        {"method": job.weighting, "seed": job.seed, "task": name, "metric": own.metric_name, "direction": own.direction}
        | {"value": result.test[name]["metric"]}
        for name, own in module.tasks.items()
    ]
    signs = {"maximize": 1.0, "minimize": -1.0}
    score = sum(
        signs[own.direction] * own.unit * result.validation[name]["metric"] for name, own in module.tasks.items()
    )
    whole = math.isfinite(score) and all(math.isfinite(row["value"]) for row in rows)
    return (score, rows) if whole else (-math.inf, [])


def measure(seeds: int, workers: int, *, quick: bool) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """A row for each problem and weighting, and the learning rate of each problem."""
    with tempfile.TemporaryDirectory() as folder, LocalExecutor(workers) as executor:
        sources = problems(Path(folder), quick=quick)

        def run(jobs: list[Job]) -> list[tuple[float, list[dict[str, Any]]]]:
            outcomes = executor.run(jobs, train, lambda *_: None, lambda *_: None)
            return [one if isinstance(one, tuple) else (-math.inf, []) for one in outcomes]

        searched = [Job(name, source, PLAIN, lr, 0) for name, source in sources.items() for lr in RATES]
        scores = list(zip(searched, run(searched), strict=True))
        rates = {name: max((score, job.lr) for job, (score, _) in scores if job.problem == name)[1] for name in sources}
        print("learning rates of the plain sum:", rates, flush=True)
        methods = [PLAIN, *WEIGHTINGS, *(stretched(own) for own in WEIGHTINGS)]
        jobs = [
            Job(name, source, method, rates[name], seed)
            for name, source in sources.items()
            for seed in range(seeds)
            for method in methods
        ]
        found = list(zip(jobs, run(jobs), strict=True))
    rows = []
    for name in sources:
        scores = pd.DataFrame(row for job, (_, own) in found if job.problem == name for row in own)
        for weighting in WEIGHTINGS:
            lengths = {"its own": weighting, "sum": stretched(weighting)}
            changes = {length: _changes(scores, method, seeds) for length, method in lengths.items()}
            rows.append(
                {"problem": name, "weighting": weighting, "change over the plain sum, percent, by length": changes}
            )
    return rows, rates


def _changes(scores: pd.DataFrame, method: str, seeds: int) -> dict[str, Any]:
    """Change of the metrics over the plain sum, with its interval, and how many trainings diverged."""
    changes = [value for value in delta_m(scores, method, PLAIN).values() if math.isfinite(value)]
    nothing = {"mean": None, "low": None, "high": None, "seeds": 0}
    return (estimate(changes) if changes else nothing) | {"diverged": seeds - len(changes)}


def stretched(weighting: str) -> str:
    """The same with `length="sum"`, as the command line says it."""
    return f"{weighting[:-1]}, length=sum)" if weighting.endswith(")") else f"{weighting}(length=sum)"


def lines(document: dict[str, Any]) -> list[str]:
    """Markdown."""
    problems = list(dict.fromkeys(row["problem"] for row in document["results"]))
    header = ["weighting", *(f"{problem}, {length}" for problem in problems for length in ("its own", "`sum`"))]
    body = []
    for weighting in dict.fromkeys(row["weighting"] for row in document["results"]):
        cells = [f"`{weighting}`"]
        for problem in problems:
            (row,) = [r for r in document["results"] if (r["problem"], r["weighting"]) == (problem, weighting)]
            cells += [_cell(own) for own in row["change over the plain sum, percent, by length"].values()]
        body.append(cells)
    rates = ", ".join(f"{name} {lr:g}" for name, lr in document["settings"]["learning rates"].items())
    words = f"*Measured on {document['date'][:10]}: {document['seeds']}; SGD, momentum 0.9, learning rates {rates}.*"
    return [words, "", *table(header, body, words=1)]


def _cell(own: dict[str, Any]) -> str:
    if own["mean"] is None:
        return "diverged"
    cell = f"{own['mean']:+.1f} [{own['low']:+.1f}, {own['high']:+.1f}]"
    cell = f"**{cell}**" if own["low"] > 0 or own["high"] < 0 else cell
    return f"{cell}, {own['diverged']} diverged" if own["diverged"] else cell


def into(page: Path) -> None:
    """The stored table, between its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    text = "\n".join(lines(json.loads(RESULTS.read_text(encoding="utf-8"))))
    page.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="trainings side by side")
    parser.add_argument("--quick", action="store_true", help="one seed of one epoch: does it run?")
    parser.add_argument("--into", type=Path, help="write the stored table into a page")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.into:
        into(options.into)
        return
    seeds = 1 if options.quick else options.seeds
    rows, rates = measure(seeds, options.workers, quick=options.quick)
    settings = {"seeds": seeds, "quick": options.quick, "rates searched": list(RATES), "learning rates": rates}
    settings["optimizer"] = "SGD, momentum 0.9; the rate by validation rows for the plain sum, seed 0"
    record(options.out, "length", settings, rows, [])
    print("\n".join(lines({"results": rows, "settings": settings, "seeds": f"{seeds} seeds", "date": "today"})))


if __name__ == "__main__":
    main()
