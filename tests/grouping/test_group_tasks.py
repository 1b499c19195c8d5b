"""Groupings are the best there are, and say so."""

import json
from pathlib import Path

import numpy as np
import pytest
from oracle import best_by_definition, best_by_partition, score

from counterpoint.grouping import group_tasks

CELEBA = json.loads((Path(__file__).parent / "data" / "tag_celeba_affinity.json").read_text(encoding="utf-8"))


def names(count):
    return [f"t{number}" for number in range(count)]


def drawn(size, seed, kind="normal"):
    rng = np.random.default_rng(seed)
    if kind == "integers":
        return rng.integers(-2, 3, (size, size)).astype(float)
    if kind == "negative":
        return -rng.exponential(size=(size, size))
    return rng.normal(size=(size, size))


def check(grouping, values, tasks, *, serve=None, networks=None, largest=None, apart=(), singletons="neutral"):
    """What has to hold for every grouping, whatever its score."""
    serve = list(tasks if serve is None else serve)
    assert grouping.tasks == tuple(sorted(serve, key=tasks.index))
    assert sorted(task for network in grouping.networks for task in network.serves) == sorted(serve)
    assert len(grouping.networks) <= (networks or len(serve))
    for network in grouping.networks:
        assert network.serves
        assert set(network.serves) <= set(network.tasks)
        assert (2 if singletons == "forbid" else 1) <= len(network.tasks) <= (largest or len(tasks))
        assert not any({first, second} <= set(network.tasks) for first, second in apart)
        members = [tasks.index(task) for task in network.tasks]
        for task in network.serves:
            expected = score(values, members, tasks.index(task))
            assert grouping.scores[task] == pytest.approx(expected, rel=1e-12, abs=1e-12)
            assert grouping.of(task) is network
    assert grouping.score == pytest.approx(np.mean(list(grouping.scores.values())), rel=1e-12, abs=1e-14)
    assert grouping.bound >= grouping.objective
    assert grouping.gap == grouping.bound - grouping.objective


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_published_celeba_selections_are_reproduced(count):
    values = np.array(CELEBA["values"]).T  # row = the task that steps
    grouping = group_tasks(values, count, tasks=CELEBA["tasks"], singletons="forbid")
    check(grouping, values, CELEBA["tasks"], networks=count, singletons="forbid")
    assert grouping.status == "optimal"
    assert grouping.score == pytest.approx(CELEBA["optimal_mean_score_singletons_forbidden"][str(count)], abs=1e-6)
    published = CELEBA["optimal_networks_singletons_forbidden"].get(str(count))
    if published is not None:
        assert {network.tasks for network in grouping.networks} == {tuple(tasks) for tasks in published}


CASES = [
    (size, networks, kind, singletons, limits)
    for size in range(1, 8)
    for networks in range(1, min(size, 4) + 1)
    for kind in ("normal", "integers", "negative")
    for singletons in ("neutral", "forbid")
    for limits in ("none", "largest", "apart", "serve", "cost", "cost alone")
    if size > 1 or singletons == "neutral"
    # All kinds of conditions for all kinds of affinities with few tasks, each in turn with many.
    if size < 4 or (size + networks + len(kind) + len(singletons) + len(limits)) % 3 == 0
]


def case_of(size, kind, singletons, limits, seed):
    rng = np.random.default_rng([seed, size, len(kind), len(singletons), len(limits)])
    serve = sorted(rng.choice(size, rng.integers(1, size + 1), replace=False)) if limits == "serve" else range(size)
    pairs = [tuple(rng.choice(size, 2, replace=False)) for _ in range(size // 2)] if limits == "apart" else []
    return {
        "values": drawn(size, seed, kind),
        "serve": [int(task) for task in serve],
        "largest": int(rng.integers(2, size + 1)) if limits == "largest" and size > 1 else None,
        "apart": [(int(first), int(second)) for first, second in pairs],
        "cost": float(rng.uniform(0, 0.5)) if limits.startswith("cost") else 0.0,
        "singletons": singletons,
    }


@pytest.mark.traced(100)
@pytest.mark.parametrize(("size", "networks", "kind", "singletons", "limits"), CASES)
def test_no_grouping_is_better(size, networks, kind, singletons, limits):
    case = case_of(size, kind, singletons, limits, seed=networks)
    values, tasks, serve = case.pop("values"), names(size), case.pop("serve")
    count = None if limits == "cost alone" else networks
    best = best_by_partition(values, serve, count, **case)
    cost = case.pop("cost")
    options = case | {
        "apart": [(tasks[first], tasks[second]) for first, second in case["apart"]],
        "serve": [tasks[task] for task in serve],
    }
    given = {"tasks": tasks, "cost": cost if limits.startswith("cost") else None, **options}
    if best is None:
        with pytest.raises(ValueError, match="expected"):
            group_tasks(values, count, **given)
        return
    grouping = group_tasks(values, count, **given)
    check(grouping, values, tasks, networks=count, **options)
    assert grouping.objective == pytest.approx(best, rel=1e-9, abs=1e-9)
    assert grouping.status == "optimal"


@pytest.mark.parametrize("seed", range(8))
def test_the_oracles_agree(seed):
    limits = ["none", "largest", "apart", "serve", "cost"][seed % 5]
    case = case_of(4, "normal", ["neutral", "forbid"][seed % 2], limits, seed)
    assert best_by_definition(networks=3, **case) == pytest.approx(best_by_partition(networks=3, **case), nan_ok=True)
