"""Peak memory of a training step with dense features: the plain sum, and FanOut with and without `reduce`.

    python benchmarks/vision_memory.py [--quick] [--out benchmarks/results/vision_memory.json]

Three dense tasks and forty, on features of 256 x 32 x 64 and a batch of 8: one eighth of the channels that a dilated
ResNet-50 has at this size. T gradients of the features' size, "copies" below, wait in a FanOut until the last has
arrived. `workers.py` says how the peak is taken; it repeats to the byte, so that one step in this process suffices.
Times are rounds in turn, here only to say what the memory costs.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from counterpoint import MGDA, FanOut, backward
from measuring import interleaved, print_table, record, round_by_round, seconds_of, spread, target
from workers import peak_memory

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE = "uniform sum"
EXACT = "FanOut(MGDA)"
HALF = "FanOut(MGDA, reduce='bfloat16')"
STREAM = "FanOut(MGDA, reduce='stream')"
STORED = "backward(features, MGDA)"
AGAIN = "backward(features, MGDA, memory='recompute')"
BATCH, CHANNELS, HEIGHT, WIDTH, HIDDEN, CLASSES = 8, 256, 32, 64, 16, 7
TASKS = (3, 40)
KEPT = 8  # gradients that "recompute" may keep
FULL = 2048  # channels of the published network's features


class Dense(nn.Module):
    """An encoder to stride 4, and T light heads on its features."""

    def __init__(self, tasks: int, channels: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = (3, 32, channels)
        convolutions = [nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)]
        self.encoder = nn.Sequential(*(layer for own in convolutions for layer in (own, nn.ReLU(inplace=True))))
        self.heads = nn.ModuleDict(
            {
                f"task{t}": nn.Sequential(
                    nn.Conv2d(channels, HIDDEN, 1), nn.ReLU(inplace=True), nn.Conv2d(HIDDEN, CLASSES, 3, padding=1)
                )
                for t in range(tasks)
            }
        )
        self.images = torch.randn(BATCH, 3, 4 * HEIGHT, 4 * WIDTH)
        self.labels = torch.randint(CLASSES, (tasks, BATCH, HEIGHT, WIDTH), dtype=torch.int16)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.01)

    def losses(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """One head after the other."""
        return {
            task: cross_entropy(head(features[task]), self.labels[t].long())
            for t, (task, head) in enumerate(self.heads.items())
        }


def step_of(network: Dense, method: str) -> Callable[[], None]:
    """One training step."""
    names = list(network.heads)
    options: dict[str, Any] = {HALF: {"reduce": "bfloat16"}, STREAM: {"reduce": "stream"}}.get(method, {})
    fan = FanOut(MGDA(), names, **options)
    weighting = MGDA()

    def step() -> None:
        network.optimizer.zero_grad()
        features = network.encoder(network.images)
        if method in (STORED, AGAIN):
            losses = network.losses(dict.fromkeys(names, features))
            how = {"memory": "recompute", "max_bytes": KEPT * features.nbytes} if method == AGAIN else {}
            backward(losses, weighting, features=features, **how)
        else:
            own = dict.fromkeys(names, features) if method == REFERENCE else fan(features)
            sum(network.losses(own).values()).backward()
        network.optimizer.step()

    return step


def measure(tasks: int, channels: int, rounds: int, methods: list[str]) -> list[dict[str, Any]]:
    """One result a method."""
    network = Dense(tasks, channels)
    copy = 4 * BATCH * channels * HEIGHT * WIDTH
    steps = {method: step_of(network, method) for method in methods}
    peaks = {}
    for method, step in steps.items():
        step()
        peaks[method] = peak_memory(step, network.optimizer)
    seconds = interleaved({m: partial(seconds_of, step) for m, step in steps.items()}, dict.fromkeys(methods, rounds))
    return [
        {"part": "memory", "tasks": tasks, "method": method, "peak_mib": peaks[method] / 2**20}
        | {"over_uniform": peaks[method] / peaks[REFERENCE], "copies_more": (peaks[method] - peaks[REFERENCE]) / copy}
        | {"copy_mib": copy / 2**20, "ms": 1e3 * median(seconds[method])}
        | {"time_ratio": spread(round_by_round(seconds[method], seconds[REFERENCE]))}
        for method in methods
    ]


def at_full_size(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the copies come to with the published network's features."""
    gib = 4 * BATCH * FULL * HEIGHT * WIDTH / 2**30
    return [
        {"part": "memory", "at": f"{FULL} x {HEIGHT} x {WIDTH}, batch {BATCH}, reckoned", "tasks": row["tasks"]}
        | {"method": row["method"], "gib_more_than_uniform": row["copies_more"] * gib}
        for row in results
    ]


def targets(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for row in results:
        where = f"peak memory, {row['tasks']} dense tasks: "
        if row["method"] == STREAM:
            found.append(target(f"{where}{STREAM} / {REFERENCE}", 1.05, row["over_uniform"]))
        if row["method"] == HALF:
            exact = next(own for own in results if own["tasks"] == row["tasks"] and own["method"] == EXACT)
            if exact["copies_more"] > 0.1:  # with --quick the peak is elsewhere, in the encoder
                ratio = row["copies_more"] / exact["copies_more"]
                found.append(target(f"{where}gradients waiting in {HALF} / in {EXACT}", 0.6, ratio))
    return found


def run(options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Part "memory" of vision.py: results and targets."""
    quick = getattr(options, "quick", False)
    channels, rounds = (CHANNELS // 8, 1) if quick else (CHANNELS, 3)
    methods = [REFERENCE, EXACT, HALF, STREAM, STORED, AGAIN]
    results = []
    for tasks in TASKS:
        rows = measure(tasks, channels, rounds, methods)
        results += rows
        print_table(
            [f"{tasks} dense tasks, features {rows[0]['copy_mib']:.0f} MiB", "peak MiB", "/ uniform", "copies", "time"],
            [
                [
                    row["method"],
                    *(f"{row['peak_mib']:.1f}", f"{row['over_uniform']:.3f}", f"{row['copies_more']:+.2f}"),
                    f"{row['time_ratio']['median']:.2f}",
                ]
                for row in rows
            ],
        )
    return results + ([] if quick else at_full_size(results)), targets(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small features, one round: does it run?")
    parser.add_argument("--out", type=Path, help="for instance benchmarks/results/vision_memory.json")
    options = parser.parse_args()
    results, found = run(options)
    sizes = {"batch": BATCH, "channels": CHANNELS, "height": HEIGHT, "width": WIDTH, "hidden": HIDDEN}
    record(options.out, "vision_memory", sizes | {"quick": options.quick}, results, found)


if __name__ == "__main__":
    main()
