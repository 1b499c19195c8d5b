"""Time and memory of a training step, balanced in several ways, against the plain sum of the losses.

    python benchmarks/step_cost.py [--encoder small_conv transformer wide_mlp] [--tasks 2 10 40] [--steps 30]
                                   [--groups features weightings parameters compiled weights] [--methods NAME ...]
                                   [--launches N] [--threads N] [--quick] [--out benchmarks/results/step_cost.json]

A step is zero_grad, forward, backward and an SGD step of an encoder (`networks.py`) with one linear head a task. The
groups: ways to compare gradients at the features, all weightings that FanOut takes, ways to compare gradients at the
shared parameters, steps in one compiled graph, and the weights alone of DiBS and of TorchJD's Nash-MTL. By default all
groups run on the small conv encoder at T = 2, 10, 40, and the parameter level on the others at T = 2, 10.

`workers.py` says how times and memory are taken. Ratios are formed within each round: their median and quartiles are
what counts on a machine that others use too.
"""

from __future__ import annotations

import argparse
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import torch

from measuring import print_table, record, round_by_round, spread, target
from networks import CLASSES, ENCODERS
from parameter_level import PAIRS, PARAMETERS
from training_steps import BY_HAND, GROUPS, METHODS, OURS, REFERENCE
from weights_alone import time_weights, weight_targets
from workers import BURST, WARM_UP, take_turns

# More where differences are small; the parameter level's are large and its steps slow.
LAUNCHES = {"features": 3, "weightings": 1, "parameters": 2, "compiled": 2}
FEWER = 10  # rounds are enough for a look at all weightings where no target stands
TASKS = {"small_conv": (2, 10, 40), "transformer": (2, 10), "wide_mlp": (2, 10)}
DIBS, NASHMTL = "FanOut(DiBS)", "TorchJD NashMTL by hand, detached"
COMPILED_SUM = "uniform, compiled"
IN_ONE_GRAPH = [(f"{name}, compiled", COMPILED_SUM) for name in (OURS, DIBS)]
AGAINST = [(OURS, name) for name in BY_HAND] + [(DIBS, NASHMTL)] + PAIRS + IN_ONE_GRAPH
LIMITS = {2: 1.03, 10: 1.03, 40: 1.06}  # FanOut(MGDA) over the uniform sum
CHEAP = {f"FanOut({name})": 1.10 for name in ("MGDA", "DiBS", "Nash", "upgrad")}  # the same at T = 40
PARAMETER_LIMITS = {2: 1.0, 10: 0.5, 40: 0.5}  # over TorchJD's as its manual shows it; over its tuned use: 1
WEIGHTS_ROUNDS = 30


def compare(
    group: str, methods: list[str], tasks: int, encoder: str, *, steps: int, launches: int, threads: int
) -> list[dict[str, Any]]:
    """One result a method."""
    share = ceil(steps / launches)
    taken = [take_turns(methods, tasks, encoder, steps=share, threads=threads) for _ in range(launches)]

    def ratio(name: str, other: str) -> dict[str, float]:
        pairs = ((launch[name]["seconds"], launch[other]["seconds"]) for launch in taken)
        return spread([ratio for pair in pairs for ratio in round_by_round(*pair)])

    results = []
    for name in methods:
        seconds = [second for launch in taken for second in launch[name]["seconds"]]
        results.append(
            {"group": group, "encoder": encoder, "tasks": tasks, "method": name, "rounds": len(seconds)}
            | {"ms": 1e3 * median(seconds), "ratio": ratio(name, REFERENCE)}
            | {"peak_mib": max(launch[name]["mib"] for launch in taken)}
        )
    peak = {row["method"]: row["peak_mib"] for row in results}
    for row in results:
        peers = [peer for mine, peer in AGAINST if mine == row["method"] and peer in methods]
        row["against"] = {
            peer: {"time": ratio(row["method"], peer), "memory": peak[row["method"]] / peak[peer]} for peer in peers
        }
    return results


def targets(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for row in results:
        tasks, name, ratio = row["tasks"], row["method"], row["ratio"]["median"]
        where = f"{row['encoder']}, T={tasks}: "
        if row["encoder"] == "small_conv":
            if name == OURS and tasks in LIMITS and row["group"] != "weightings":
                found.append(target(f"{where}{name} / {REFERENCE}", LIMITS[tasks], ratio))
            if name in CHEAP and tasks == 40 and row["group"] == "weightings":
                found.append(target(f"{where}{name} / {REFERENCE}, any weighting", CHEAP[name], ratio))
        for peer, entry in row["against"].items():
            time = entry["time"]["median"]
            if "recompute" in name:
                found.append(target(f"{where}memory of {name} / {peer}", 1.0, entry["memory"]))
            elif name in PARAMETERS:
                limit = 1.0 if "tuned" in peer else PARAMETER_LIMITS.get(tasks, 1.0)
                found.append(target(f"{where}{name} / {peer}", limit, time))
                found.append(target(f"{where}memory of {name} / {peer}", 1.0, entry["memory"]))
            elif peer == COMPILED_SUM:
                found.append(target(f"{where}{name} / {peer}", LIMITS.get(tasks, LIMITS[40]), time))
            elif peer == NASHMTL:
                found.append(target(f"{where}DiBS one-step cheaper than {peer}, whole step (ratio < 1)", 1.0, time))
            else:
                found.append(target(f"{where}{name} / {peer}", 1.0, time))
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", nargs="+", choices=ENCODERS, default=list(ENCODERS), metavar="NAME")
    parser.add_argument("--tasks", type=int, nargs="+", help="default: 2 10 40, and 2 10 for large encoders")
    parser.add_argument("--steps", type=int, default=30, help="rounds measured (default %(default)s)")
    parser.add_argument(
        "--groups", nargs="+", choices=[*GROUPS, "weights"], metavar="NAME", help="default: all; see above"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="these instead of groups", metavar="NAME")
    parser.add_argument("--launches", type=int, help="of all processes anew (default: 1 to 3, by group)")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's choice)")
    parser.add_argument("--quick", action="store_true", help="2 rounds, T = 2 and 10: does it run?")
    parser.add_argument("--out", type=Path, help="for instance benchmarks/results/step_cost.json")
    return parser.parse_args()


def chosen(options: argparse.Namespace, encoder: str) -> dict[str, list[str]]:
    """Methods that run side by side, by group, each with what it is compared to."""
    if options.methods:
        return {"chosen": list(dict.fromkeys([REFERENCE, *options.methods]))}
    usual = list(GROUPS) if encoder == "small_conv" else ["parameters"]
    found = {}
    for group in options.groups or usual:
        if group in GROUPS:
            companions = [OURS, DIBS] if group == "features" else []
            found[group] = list(dict.fromkeys([REFERENCE, *companions, *GROUPS[group]]))
    if encoder != "small_conv" and "parameters" in found:  # what the weighting is hardly matters there
        found["parameters"] = [name for name in found["parameters"] if "UPGrad" not in name]
    return found


def show(rows: list[dict[str, Any]]) -> None:
    header = [f"{rows[0]['encoder']}, T = {rows[0]['tasks']}", "ms", f"/ {REFERENCE}", "quartiles", "peak MiB"]
    table = []
    for row in rows:
        ratio = row["ratio"]
        quartiles = f"{ratio['q25']:.2f} to {ratio['q75']:.2f}"
        table.append([row["method"], f"{row['ms']:.1f}", f"{ratio['median']:.3f}", quartiles, f"{row['peak_mib']:.1f}"])
    print_table(header, table)
    against = [
        [f"{row['method']} / {peer}", f"{entry['time']['median']:.3f}", f"{entry['memory']:.3f}"]
        for row in rows
        for peer, entry in row["against"].items()
    ]
    if against:
        print_table(["ours / theirs", "time", "memory"], against)


def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    results: list[dict[str, Any]] = []
    for encoder in options.encoder:
        for tasks in options.tasks or TASKS[encoder]:
            if options.quick and not options.tasks and tasks > 10:
                continue
            for group, methods in chosen(options, encoder).items():
                steps = min(options.steps, FEWER) if group == "weightings" and tasks < 40 else options.steps
                steps, launches = (2, 1) if options.quick else (steps, options.launches or LAUNCHES.get(group, 3))
                threads = torch.get_num_threads()
                rows = compare(group, methods, tasks, encoder, steps=steps, launches=launches, threads=threads)
                results += rows
                show(rows)
    weights: list[dict[str, Any]] = []
    if not options.methods and "weights" in (options.groups or ["weights"]):
        for tasks in options.tasks or TASKS["small_conv"]:
            rows = time_weights(tasks, 5 if options.quick else WEIGHTS_ROUNDS)
            weights += rows
            print_table(
                [f"weights alone, T = {tasks}", "ms", "/ TorchJD NashMTL"],
                [[row["method"], f"{row['ms']['median']:.3f}", f"{row['ratio']['median']:.4f}"] for row in rows],
            )
    shapes = {name: {"batch": kind.batch, "features": kind.features} for name, kind in ENCODERS.items()}
    record(
        options.out,
        "step_cost",
        {"steps": 2 if options.quick else options.steps, "warm_up": WARM_UP, "burst": BURST, "classes": CLASSES}
        | {"launches": 1 if options.quick else options.launches or LAUNCHES, "optimizer": "SGD", "encoders": shapes},
        [*results, *weights],
        [*targets(results), *weight_targets(weights)],
    )


if __name__ == "__main__":
    main()
