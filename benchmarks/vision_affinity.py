"""Do measured affinities find the groups that generated attributes were made in?

Forty attributes are trained together once while their affinities are measured; tasks are grouped into as many networks
as there are groups, and the partition is compared with the planted one (adjusted Rand index: 1 is the same, 0 is what
chance gives). Beside it: the same with affinities normalized by what tasks do for themselves, with the mean of all
seeds, and with the matrix of one seed shuffled.
"""

from __future__ import annotations

from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from counterpoint import Affinity, group_tasks
from counterpoint.study.comparison import MeterSettings
from counterpoint.study.network_job import NetworkJob, train_network
from counterpoint.study.recipes.image_source import source_of
from counterpoint.study.recipes.recipe import load_recipe
from measuring import print_table

if TYPE_CHECKING:
    from pathlib import Path

METHODS = ("features", "first-order")
EVERY = 5


def run(options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of results, those of each seed and of their mean; no targets: how much is found is for people to read."""
    recipe = load_recipe("attributes", tiny=options.quick)
    source = source_of(recipe, None)
    planted = {task: index for index, group in enumerate(source.data.groups) for task in group}
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        for method in METHODS:
            matrices = []
            for seed in range(options.seeds):
                matrix = measured(source, method, seed, folder)
                matrices.append(matrix)
                rows.append(row(matrix, planted, method, seed))
                rows.append(row(normalized(matrix), planted, f"{method}, normalized", seed))
            rows.append(row(Affinity.mean(matrices), planted, method, None))
            rows.append(row(shuffled(matrices[0]), planted, f"{method}, shuffled", 0))
    print_table(
        ["method", "seed", "ARI", "score", "proven"],
        [
            [
                r["method"],
                "mean" if r["seed"] is None else str(r["seed"]),
                f"{r['ari']:.3f}",
                f"{r['score']:.3g}",
                str(r["proven"]),
            ]
            for r in rows
        ],
    )
    return rows, []


def measured(source: Any, method: str, seed: int, folder: str | Path) -> Affinity:
    """The affinities of one joint training."""
    from pathlib import Path  # noqa: PLC0415

    fit = replace(source.fit, logs=False, record_every=1_000_000)
    job = NetworkJob(
        source, source.tasks, seed, fit, Path(folder) / f"{method}-{seed}", meter=MeterSettings(method, EVERY)
    )
    affinity = train_network(job, lambda _: None).affinity
    assert affinity is not None
    return affinity


def row(affinity: Affinity, planted: dict[str, int], method: str, seed: int | None) -> dict[str, Any]:
    """Groups the tasks into as many networks as there are groups, and compares."""
    found = group_tasks(affinity, networks=len(set(planted.values())), singletons="neutral", time_limit=60.0)
    place = {task: index for index, network in enumerate(found.networks) for task in network.serves}
    tasks = list(planted)
    ari = adjusted_rand_score([planted[task] for task in tasks], [place[task] for task in tasks])
    return {
        "method": method,
        "seed": seed,
        "ari": float(ari),
        "score": found.score,
        "proven": found.status == "optimal",
        "sizes": sorted((len(network.serves) for network in found.networks), reverse=True),
    }


def normalized(affinity: Affinity) -> Affinity:
    """Each affinity over the geometric mean of what both tasks' steps do for themselves: strong tasks weigh no more."""
    own = np.sqrt(np.abs(np.diag(affinity.values)))
    return Affinity(affinity.values / np.outer(own, own), affinity.tasks)


def shuffled(affinity: Affinity) -> Affinity:
    """The same numbers for other pairs: what the search finds where there is nothing to find."""
    rng = np.random.default_rng(0)
    size = len(affinity.tasks)
    off = ~np.eye(size, dtype=bool)
    values = affinity.values.copy()
    values[off] = rng.permutation(values[off])
    return Affinity(values, affinity.tasks)
