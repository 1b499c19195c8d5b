"""Affinity: how well the cheap methods agree with lookahead, and what each costs a training.

Agreement: all meters watch the same training; Spearman's correlation over the off-diagonal entries with lookahead in
that training, and, as the ceiling that matters, of lookahead with lookahead in a training of another seed.
Cost: time of the same training steps with a meter over without, interleaved, median of the rounds.

    python benchmarks/affinity.py --out benchmarks/results/affinity.json
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from itertools import combinations, cycle
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import torch
from scipy import stats

from counterpoint import AffinityMeter
from counterpoint.affinity import last_layers
from counterpoint.study.comparison import MeterSettings
from counterpoint.study.network_job import NetworkJob, train_network
from counterpoint.study.source import SOURCES, Source
from measuring import interleaved, print_table, record, round_by_round, seconds_of, spread, target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from counterpoint import Affinity
    from counterpoint.training import MultiTaskModule

TRUTH = "lookahead"
STEPS_A_ROUND = 50
EPOCHS_A_ROUND = 3


@dataclass(frozen=True)
class Contender:
    """A way to measure: a method, and the last so many layers of the encoder (all if None)."""

    method: str
    layers: int | None = None
    sketch: int | None = None


CONTENDERS = {
    TRUTH: Contender("lookahead"),
    "first-order": Contender("first-order"),
    "first-order, sketch 1024": Contender("first-order", sketch=1024),
    "first-order, last two layers": Contender("first-order", layers=2),
    "first-order, last layer": Contender("first-order", layers=1),
    "features": Contender("features"),
}


class Training:
    """One training that any number of meters watch."""

    def __init__(self, source: Source, seed: int, contenders: Mapping[str, Contender], every: int) -> None:
        self.source, self.tasks = source, source.tasks
        self.module: MultiTaskModule = source.build(source.tasks, "uniform", seed)
        self.module.train()
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=source.lr)
        self.batches = source.splits(source.tasks)["train"].batches(source.fit.batch_size, shuffle_seed=seed)
        self.contenders = contenders
        self.meters = {
            name: AffinityMeter(source.tasks, one.method, every=every, sketch=one.sketch)
            for name, one in contenders.items()
        }
        encoder = self.module.model.encoder
        self.shared = {
            name: last_layers(encoder, one.layers) if one.layers else list(encoder.parameters())
            for name, one in contenders.items()
        }
        self._endless = (batch for _ in cycle([0]) for batch in self.batches)

    def losses(self, batch: Any) -> dict[str, torch.Tensor]:
        """Loss of each task."""
        outputs = self.module.model(batch[0])
        return {name: self.module.tasks[name].loss(outputs[name], batch[1][name]) for name in self.tasks}

    def step(self) -> None:
        """One training step with all meters on."""
        batch = next(self._endless)
        losses, fan = self.losses(batch), self.module.model.fan_out
        for name, meter in self.meters.items():
            if meter.method != "features":
                again: Callable[[], Any] | None = (lambda: self.losses(batch)) if meter.method == TRUTH else None
                meter.step(losses, shared=self.shared[name], optimizer=self.optimizer, reevaluate=again)
        self.optimizer.zero_grad()
        fan.sum(losses).backward()
        for meter in self.meters.values():
            if meter.method == "features":
                meter.step(losses, record=fan.last, optimizer=self.optimizer)
        self.optimizer.step()

    def run(self, steps: int) -> None:
        """Many steps."""
        for _ in range(steps):
            self.step()


def measure(source: Source, seeds: int, epochs: int, every: int) -> list[dict[str, Affinity]]:
    """Affinities of every contender for every seed."""
    found = []
    for seed in range(seeds):
        training = Training(source, seed, CONTENDERS, every)
        training.run(epochs * len(training.batches))
        found.append({name: meter.compute() for name, meter in training.meters.items()})
    return found


def agreement(source: Source, found: list[dict[str, Affinity]]) -> list[dict[str, Any]]:
    """Correlations with lookahead; by phase, too, because affinities drift while training."""
    between = [a[TRUTH].spearman(b[TRUTH]) for a, b in combinations(found, 2)]
    rows = [{"data": source.name, "what": "lookahead, two seeds", **_interval(between)}]
    for name in CONTENDERS:
        if name != TRUTH:
            row = {"data": source.name, "what": name, **_interval([one[name].spearman(one[TRUTH]) for one in found])}
            for phase in ("beginning", "middle", "end"):
                row[phase] = mean(one[name].phase(phase).spearman(one[TRUTH].phase(phase)) for one in found)
            others = [a[name].spearman(b[TRUTH]) for a in found for b in found if a is not b]
            row["with lookahead of other seeds"] = mean(others)
            rows.append(row)
    return rows


def _interval(values: list[float]) -> dict[str, Any]:
    """Mean and its 95 % interval (Student's t); for pairs of seeds, which share seeds, it is too narrow."""
    low, high = (float("nan"),) * 2
    if len(values) > 1:
        half = float(stats.t.ppf(0.975, len(values) - 1)) * torch.tensor(values).std().item() / len(values) ** 0.5
        low, high = mean(values) - half, mean(values) + half
    return {"spearman": mean(values), "low": low, "high": high, "values": values}


def cost(source: Source, rounds: int, every: int) -> list[dict[str, Any]]:
    """Time of training steps with each meter over the time of the same steps without."""
    trainings = {"without": Training(source, 0, {}, every)}
    trainings |= {name: Training(source, 0, {name: one}, every) for name, one in CONTENDERS.items()}
    steps = STEPS_A_ROUND // every * every
    for training in trainings.values():
        training.run(steps)

    def timer(training: Training) -> Callable[[], float]:
        return lambda: seconds_of(lambda: training.run(steps))

    seconds = interleaved({name: timer(one) for name, one in trainings.items()}, dict.fromkeys(trainings, rounds))
    return [
        {
            "data": source.name,
            "what": name,
            "loop": "plain",
            "every": every,
            "ratio": spread(round_by_round(seconds[name], seconds["without"])),
            "ms a step": spread([1e3 * one / steps for one in seconds[name]]),
        }
        for name in trainings
    ]


def cost_of_fit(source: Source, rounds: int, every: int) -> list[dict[str, Any]]:
    """The same with the library's own training, by Lightning: validation, history and checkpoints are part of it."""
    meters: dict[str, MeterSettings | None] = {"without": None}
    meters |= {name: MeterSettings(name, every) for name in ("first-order", "last-layer", "features")}
    settings = replace(source.fit, epochs=EPOCHS_A_ROUND, progress_bar=False)

    def timer(meter: MeterSettings | None) -> Callable[[], float]:
        def fit() -> float:
            with tempfile.TemporaryDirectory() as folder:
                job = NetworkJob(source, source.tasks, 0, settings, Path(folder), meter=meter)
                return train_network(job, lambda _: None).seconds

        fit()
        return fit

    seconds = interleaved({name: timer(meter) for name, meter in meters.items()}, dict.fromkeys(meters, rounds))
    return [
        {
            "data": source.name,
            "what": {"last-layer": "first-order, last layer"}.get(name, name),
            "loop": "fit",
            "every": every,
            "ratio": spread(round_by_round(seconds[name], seconds["without"])),
            "seconds": spread(seconds[name]),
        }
        for name in meters
    ]


def targets(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Correlations are to be at least a value: recorded as what is missing to 1."""
    by = {(row["data"], row["what"], row.get("loop")): row for row in rows}
    found = []
    for data in dict.fromkeys(row["data"] for row in rows):
        first = by[data, "first-order", None]["spearman"]
        found.append(target(f"{data}: 1 - correlation of first-order with lookahead", 0.02, 1 - first))
        for name, limit in (("first-order", 1.05), ("first-order, last layer", 1.05), ("features", 1.01)):
            for loop in ("plain", "fit"):
                ratio = by[data, name, loop]["ratio"]["median"]
                found.append(target(f"{data}: {name}, time over training without, {loop}", limit, ratio))
        ceiling = by[data, "lookahead, two seeds", None]["spearman"]
        for name in ("features", "first-order, last layer", "first-order, last two layers"):
            own = by[data, name, None]["spearman"]
            found.append(target(f"{data}: ceiling of two seeds less correlation of {name}", 0.0, ceiling - own))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["yeast", "digits"], choices=list(SOURCES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=None, help="by default those of the data source")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--fits", type=int, default=10)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name in options.data:
        source = SOURCES[name]
        costs = cost(source, options.rounds, options.every)
        fits = cost_of_fit(source, options.fits, options.every)
        agreements = agreement(
            source, measure(source, options.seeds, options.epochs or source.fit.epochs, options.every)
        )
        print_table(
            [name, "correlation", "95 % interval", "other seeds"],
            [
                [
                    row["what"],
                    f"{row['spearman']:.3f}",
                    f"{row['low']:.3f} to {row['high']:.3f}",
                    f"{row.get('with lookahead of other seeds', float('nan')):.3f}",
                ]
                for row in agreements
            ],
        )
        print_table(
            [name, "time over without", "ms a step"],
            [[row["what"], f"{row['ratio']['median']:.3f}", f"{row['ms a step']['median']:.2f}"] for row in costs],
        )
        print_table(
            [f"{name}, by Lightning", "time over without", "seconds"],
            [[row["what"], f"{row['ratio']['median']:.3f}", f"{row['seconds']['median']:.2f}"] for row in fits],
        )
        rows += agreements + costs + fits
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    record(options.out, "affinity", settings, rows, targets(rows))


if __name__ == "__main__":
    main()
