"""What each weighting makes of one loss in disguise: exp(L), L^4, log(1+L) or 1000 L in the place of L.

    python benchmarks/invariance.py [--quick] [--processes N] [--out benchmarks/results/invariance.json]

An increasing function of a loss has the same minima and says the same about which network is better. Two questions:

- **metrics**: training with Adam in fp32, test metric of every task with and without the disguise. A weighting that
  is blind to it gives the same figures up to rounding, which training amplifies.
- **trajectories**: 200 steps of plain SGD in fp64 from the same start on the same batches; the largest difference of
  any parameter over the largest parameter, and the norm of the difference over the norm of the parameters, worst step.

Problems, methods and settings stand in `invariance_problems.py`; `invariance_plot.py` draws the picture of
docs/invariance.md from the JSON. A run that leaves the finite numbers is recorded as diverged: its metrics are those
of the last finite network, its trajectory's difference is `null`.
"""

from __future__ import annotations

import argparse
import math
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import torch

from invariance_problems import DISGUISES, METHODS, OURS, PLAIN, PROBLEMS, VARIANTS, Network, Problem, batches
from measuring import print_table, record, target

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 200
LIMIT = 1e-4  # of a parameter trajectory that a disguise should not change
METRIC_LIMIT = 0.005  # of a test metric, in fp32


def metrics(problem_name: str, method: str, seed: int, quick: bool) -> dict[str, Any]:
    """{variant: {"test": {task: metric}, "diverged"}} of one seed."""
    problem, found = PROBLEMS[problem_name], {}
    train, test = problem.data(seed, quick)
    epochs = 1 if quick else problem.epochs
    for variant in VARIANTS:
        network = Network(problem, METHODS[method], variant, seed)
        learned = [*network.parameters(), *(p for p in network.fan.parameters() if p.requires_grad)]
        optimizer = torch.optim.Adam(list(dict.fromkeys(learned)), lr=problem.adam)
        stream, alive = batches(train, problem.batch, seed), True
        for _ in range(epochs):
            for _ in range(len(train[0]) // problem.batch):
                alive = alive and network.step(next(stream), optimizer)
            if hasattr(network.fan.weighting, "epoch_ended"):
                network.fan.weighting.epoch_ended()
        found[variant] = {"test": network.score(test), "diverged": not alive}
    return {"what": "metrics", "problem": problem_name, "method": method, "seed": seed, "found": found}


def trajectories(problem_name: str, method: str, quick: bool) -> dict[str, Any]:
    """{disguise: {"largest", "norm"}}, and the sum of the losses before and after without a disguise."""
    problem, way = PROBLEMS[problem_name], METHODS[method]
    train, _ = problem.data(0, quick)
    networks = {variant: Network(problem, way, variant, 0, torch.float64) for variant in VARIANTS}
    rate = problem.rates[way.unit]
    optimizers = {}
    for variant, network in networks.items():
        learned = [*network.parameters(), *(p for p in network.fan.parameters() if p.requires_grad)]
        optimizers[variant] = torch.optim.SGD(list(dict.fromkeys(learned)), lr=rate)
    worst = {disguise: {"largest": 0.0, "norm": 0.0} for disguise in DISGUISES}
    plain, sums = networks[PLAIN], []
    stream = batches(train, problem.short_batch, 0)
    for _ in range(20 if quick else STEPS):
        inputs, targets = next(stream)
        batch = inputs.double(), {task: y.double() if y.is_floating_point() else y for task, y in targets.items()}
        with torch.no_grad():
            sums.append(sum(plain.losses(batch).values()).item())
        alive = {variant: network.step(batch, optimizers[variant]) for variant, network in networks.items()}
        theta = flat(plain)
        for disguise in DISGUISES:
            gap, found = flat(networks[disguise]) - theta, worst[disguise]
            sizes = (gap.abs().max() / theta.abs().max(), gap.norm() / theta.norm())
            for name, size in zip(found, sizes, strict=True):
                ok = alive[disguise] and alive[PLAIN] and math.isfinite(size)
                found[name] = max(found[name], float(size)) if ok else math.inf
    for found in worst.values():
        found |= {name: None if math.isinf(size) else size for name, size in found.items()}
    third = len(sums) // 3
    losses = {"first": fmean(sums[:third]), "last": fmean(sums[-third:])}
    return {"what": "trajectories", "problem": problem_name, "method": method, "rate": rate} | {
        "losses": losses,
        "found": worst,
    }


def flat(network: Network) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def settle(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One result a problem and method."""
    rows = []
    for problem, method in product(PROBLEMS, METHODS):
        mine = [item for item in found if (item["problem"], item["method"]) == (problem, method)]
        runs = [item["found"] for item in mine if item["what"] == "metrics"]
        (paths,) = (item for item in mine if item["what"] == "trajectories")
        rows.append(
            {"problem": problem, "method": method, "metric": PROBLEMS[problem].metric}
            | {"plain": {task: spread([run[PLAIN]["test"][task] for run in runs]) for task in PROBLEMS[problem].tasks}}
            | {"sgd": {"rate": paths["rate"], "sum_of_losses": paths["losses"]}}
            | {"disguised": {name: compared(runs, name, PROBLEMS[problem]) for name in DISGUISES}}
        )
        for name, distances in paths["found"].items():
            rows[-1]["disguised"][name]["trajectory"] = distances
    return rows


def compared(runs: list[dict[str, Any]], disguise: str, problem: Problem) -> dict[str, Any]:
    """Metrics with the disguise, and their changes against the same seed without it."""

    def changes(task: str) -> list[float]:
        return [run[disguise]["test"][task] - run[PLAIN]["test"][task] for run in runs]

    by_task = {task: spread(changes(task)) for task in problem.tasks}
    return {
        "test": {task: spread([run[disguise]["test"][task] for run in runs]) for task in problem.tasks},
        "change": by_task,
        "worst_task": min(change["mean"] for change in by_task.values()),
        "largest_change": max(abs(change) for task in problem.tasks for change in changes(task)),
        "diverged": sum(run[disguise]["diverged"] for run in runs),
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else 0.0}


def targets(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        if row["method"] != OURS:
            continue
        for name, entry in row["disguised"].items():
            size = entry["trajectory"]["largest"]
            label = f"{row['problem']}, {name}: trajectory of {OURS}"
            found.append(target(label, LIMIT, math.inf if size is None else size))
        change = max(entry["largest_change"] for entry in row["disguised"].values())
        found.append(target(f"{row['problem']}: any test {row['metric']} of {OURS}, fp32", METRIC_LIMIT, change))
    return found


def show(rows: list[dict[str, Any]]) -> None:
    for problem in PROBLEMS:
        mine = [row for row in rows if row["problem"] == problem]
        metric, tasks = PROBLEMS[problem].metric, PROBLEMS[problem].tasks
        first = [f"{problem}: {metric}", *(f"{task}, plain" for task in tasks), *DISGUISES]
        table = [
            [row["method"], *(f"{row['plain'][task]['mean']:.3f}" for task in tasks)]
            + [f"{row['disguised'][name]['worst_task']:+.3f}" for name in DISGUISES]
            for row in mine
        ]
        print_table(first, table)
        print_table([f"{problem}: trajectory", "SGD rate", "loss, first", "loss, last", *DISGUISES], paths(mine))
    print("Disguises: change of the task that lost most, mean over seeds; max|difference| / max|parameter|.\n")


def paths(rows: list[dict[str, Any]]) -> list[list[str]]:
    table = []
    for row in rows:
        sums = row["sgd"]["sum_of_losses"]
        sizes = [row["disguised"][name]["trajectory"]["largest"] for name in DISGUISES]
        shown = ["diverged" if size is None else f"{size:.0e}" for size in sizes]
        table.append([row["method"], f"{row['sgd']['rate']:g}", f"{sums['first']:.2f}", f"{sums['last']:.2f}", *shown])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short epoch, 20 steps: does it run?")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each (default %(default)s)")
    parser.add_argument("--out", type=Path, help="for instance benchmarks/results/invariance.json")
    options = parser.parse_args()

    start = time.perf_counter()
    initializer = partial(torch.set_num_threads, 1)
    with ProcessPoolExecutor(options.processes, get_context("spawn"), initializer=initializer) as pool:
        jobs = []
        for name, problem in PROBLEMS.items():
            for method in METHODS:
                jobs.append(pool.submit(trajectories, name, method, options.quick))
                seeds = range(1 if options.quick else problem.seeds)
                jobs += [pool.submit(metrics, name, method, seed, options.quick) for seed in seeds]
        rows = settle([job.result() for job in jobs])
    show(rows)
    settings = {"steps": STEPS, "quick": options.quick, "seconds": round(time.perf_counter() - start)}
    settings |= {
        name: {key: getattr(problem, key) for key in ("epochs", "batch", "adam", "short_batch", "rates", "seeds")}
        for name, problem in PROBLEMS.items()
    }
    record(options.out, "invariance", settings, rows, targets(rows))


if __name__ == "__main__":
    main()
