"""The weights alone: DiBS's single step beside TorchJD's Nash-MTL, from one Jacobian of task gradients."""

from __future__ import annotations

import random
import warnings
from itertools import cycle
from typing import Any

import torch
from torchjd.aggregation import NashMTL

from counterpoint import DiBS, Nash
from measuring import interleaved, round_by_round, seconds_of, spread, target

DIMENSION = 32 * 512  # features of the small conv encoder's batch
MATRICES = 4
PEER = "TorchJD NashMTL"


def time_weights(tasks: int, rounds: int) -> list[dict[str, Any]]:
    """One result a method; the Gram matrix is part of it, as TorchJD's aggregator forms its own.

    The gradients have something in common and norms within one order of magnitude, as after the first epochs; each
    call gets the next of a few Jacobians, so that what is kept from call to call helps as little as in training.
    """
    generator = torch.Generator().manual_seed(random.Random(0).randrange(2**31))  # noqa: S311 (a seed, not a secret)
    common = torch.randn(DIMENSION, generator=generator)
    scales = torch.logspace(-0.5, 0.5, tasks)[:, None]
    jacobians = [
        scales * (torch.randn(tasks, DIMENSION, generator=generator) + 0.5 * common) / DIMENSION**0.5
        for _ in range(MATRICES)
    ]
    of_gram = {"DiBS()": DiBS(), "DiBS(steps=T)": DiBS(steps=tasks), "Nash()": Nash(), "Nash(max_norm=1)": Nash(1.0)}
    solvers = {name: lambda jacobian, ask=ask: ask(jacobian @ jacobian.T) for name, ask in of_gram.items()}
    solvers[PEER] = NashMTL(n_tasks=tasks).weighting

    def timer(name: str) -> Any:
        turn = cycle(jacobians)
        solvers[name](next(turn))
        return lambda: seconds_of(lambda: solvers[name](next(turn)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cvxpy's, about a problem that is not DPP
        seconds = interleaved({name: timer(name) for name in solvers}, dict.fromkeys(solvers, rounds))
    return [
        {"what": "weights alone", "tasks": tasks, "method": name, "ms": spread([1e3 * one for one in values])}
        | {"ratio": spread(round_by_round(values, seconds[PEER]))}
        for name, values in seconds.items()
    ]


def weight_targets(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        target(
            f"T={row['tasks']}: DiBS one-step cheaper than {PEER}, weights alone (ratio < 1)",
            1.0,
            row["ratio"]["median"],
        )
        for row in rows
        if row["method"] == "DiBS()"
    ]
