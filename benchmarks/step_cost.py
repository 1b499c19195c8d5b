"""Time and memory of a training step, balanced in several ways, against the plain sum of the losses.

    python benchmarks/step_cost.py [--tasks 2 10 40] [--steps 45] [--methods NAME ...] [--threads N] [--quick]
                                   [--out benchmarks/results/step_cost.json]

A step is zero_grad, forward, backward and an SGD step of a small conv encoder (3 x 64 x 64 -> 512 features)
with one linear head a task, batch 32 (`training_steps.py`). Each method lives in a process of its own,
started three times over, because what a method allocates, and where, changes how fast the others run. The
processes take turns, in a new order each round; a turn is one step to warm up and the median of three timed
ones (of one, from a second a step on, and 15 rounds are enough then). The ratio to the uniform sum is formed
within each round: its median and quartiles are what counts on a machine that others use too. The C allocator
is told to keep its pages: by default glibc hands them back after some steps and not others, by chance of the
heap's layout, and 8,000 page faults then add up to a third to a step of any method, the uniform sum included.

Peak memory is that of tensors: the largest sum of living allocations that torch's profiler sees during one
step, over what lived before it (parameters, batches; gradients are None). Unlike a process's resident size it
repeats to the byte and does not depend on the allocator's reuse of pages; it leaves out oneDNN's scratch
space, which all methods have, and Python objects.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
from functools import partial
from math import ceil
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch.profiler import ProfilerActivity, profile

from measuring import interleaved, print_table, record, round_by_round, seconds_of, spread, target
from training_steps import BATCH, BY_HAND, CLASSES, FEATURES, METHODS, OURS, REFERENCE, training_step

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),  # the largest that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "KINETO_LOG_LEVEL": "99",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
LIMITS = {2: 1.03, 10: 1.03, 40: 1.06}
LAUNCHES = 3
WARM_UP = 3  # steps before anything is measured
BURST = 3  # steps timed a turn ...
SLOW = 1.0  # ... but one only, of methods that take more seconds than this,
ENOUGH = 15  # and in no more rounds than this


class Worker:
    """A method that trains its network in a process of its own, on demand."""

    def __init__(self, method: str, tasks: int, threads: int) -> None:
        command = [
            sys.executable,
            __file__,
            "--serve",
            method,
            "--tasks",
            str(tasks),
            "--threads",
            str(threads),
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT
        )

    def ask(self, question: str) -> float:
        """The number that the process answers with: seconds, or bytes."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(question, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args} ended with status {self.process.wait()}")
        return float(answer)

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()


def serve(method: str, tasks: int) -> None:
    """What a worker's process does: answer each line it reads by a number."""
    step, optimizer = training_step(method, tasks)
    for _ in range(WARM_UP):
        step()
    gc.freeze()  # keeps the collections before each timing short
    for question in sys.stdin:
        answer = seconds_a_step(step) if question.strip() == "seconds" else peak_memory(step, optimizer)
        print(answer, flush=True)


def seconds_a_step(step: Callable[[], None]) -> float:
    if (first := seconds_of(step)) > SLOW:
        return first
    return median(seconds_of(step) for _ in range(BURST))


def peak_memory(step: Callable[[], None], optimizer: torch.optim.Optimizer) -> int:
    """Bytes that one step allocates at its peak, on top of what lived before."""
    optimizer.zero_grad()
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        step()
    events = trace.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    living = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        living += change
        peak = max(peak, living)
    return peak


def take_turns(methods: list[str], tasks: int, steps: int, threads: int) -> dict[str, dict[str, Any]]:
    """{method: {"seconds": [rounds], "mib"}} of one launch of all processes."""
    workers = {name: Worker(name, tasks, threads) for name in methods}
    try:
        mebibytes = {name: worker.ask("bytes") / 2**20 for name, worker in workers.items()}
        timers = {name: partial(worker.ask, "seconds") for name, worker in workers.items()}
        enough = min(steps, ENOUGH // LAUNCHES)
        rounds = {name: enough if timer() > SLOW else steps for name, timer in timers.items()}
        seconds = interleaved(timers, rounds)
    finally:
        for worker in workers.values():
            worker.close()
    return {name: {"seconds": seconds[name], "mib": mebibytes[name]} for name in methods}


def compare(methods: list[str], tasks: int, steps: int, threads: int) -> list[dict[str, Any]]:
    """One result a method."""
    launches = [take_turns(methods, tasks, ceil(steps / LAUNCHES), threads) for _ in range(LAUNCHES)]

    def ratio(name: str, other: str) -> dict[str, float]:
        pairs = ((launch[name]["seconds"], launch[other]["seconds"]) for launch in launches)
        return spread([ratio for pair in pairs for ratio in round_by_round(*pair)])

    results = []
    for name in methods:
        seconds = [second for launch in launches for second in launch[name]["seconds"]]
        results.append(
            {
                "tasks": tasks,
                "method": name,
                "rounds": len(seconds),
                "ms": 1e3 * median(seconds),
                "ratio": ratio(name, REFERENCE),
                "ours_over_this": ratio(OURS, name),
                "peak_mib": max(launch[name]["mib"] for launch in launches),
            }
        )
    return results


def targets(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours over the uniform sum, and over each of TorchJD's compositions, the fastest at that T included."""
    found = []
    for tasks in dict.fromkeys(row["tasks"] for row in results):
        rows = {row["method"]: row for row in results if row["tasks"] == tasks}
        if tasks in LIMITS:
            found.append(target(f"T={tasks}: {OURS} / {REFERENCE}", LIMITS[tasks], rows[OURS]["ratio"]["median"]))
        found += [
            target(f"T={tasks}: {OURS} / {name}", 1.0, rows[name]["ours_over_this"]["median"])
            for name in BY_HAND
            if name in rows
        ]
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 10, 40], help="default: 2 10 40")
    parser.add_argument("--steps", type=int, default=45, help="rounds measured (default %(default)s)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's choice)")
    parser.add_argument("--quick", action="store_true", help="3 rounds: does it run?")
    parser.add_argument("--out", type=Path, help="for instance benchmarks/results/step_cost.json")
    parser.add_argument("--serve", choices=METHODS, help=argparse.SUPPRESS)  # how a worker's process is started
    return parser.parse_args()


def cells(row: dict[str, Any]) -> list[str]:
    ratio, ours = row["ratio"], row["ours_over_this"]["median"]
    quartiles = f"{ratio['q25']:.2f} to {ratio['q75']:.2f}"
    peak = f"{row['peak_mib']:.1f}"
    return [row["method"], f"{row['ms']:.1f}", f"{ratio['median']:.3f}", quartiles, f"{ours:.3f}", peak]


def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.serve:
        serve(options.serve, options.tasks[0])
        return
    steps = 3 if options.quick else options.steps
    methods = list(dict.fromkeys([REFERENCE, OURS, *options.methods]))

    results = []
    for tasks in options.tasks:
        rows = compare(methods, tasks, steps, torch.get_num_threads())
        results += rows
        header = [f"T = {tasks}", "ms", f"/ {REFERENCE}", "quartiles", "ours / this", "peak MiB"]
        print_table(header, [cells(row) for row in rows])
    model = {
        "batch": BATCH,
        "features": FEATURES,
        "classes": CLASSES,
        "encoder": "small_conv",
        "optimizer": "SGD",
    }
    record(
        options.out,
        "step_cost",
        {"steps": steps, "warm_up": WARM_UP, "burst": BURST, "launches": LAUNCHES, **model},
        results,
        targets(results),
    )


if __name__ == "__main__":
    main()
