"""The search through sets that are never listed agrees with the list of all sets."""

import importlib
import re

import numpy as np
import pytest

from counterpoint.grouping import branching, group_tasks
from counterpoint.grouping.branching import Branching
from counterpoint.grouping.enumeration import Enumeration
from counterpoint.grouping.options import checked_problem
from counterpoint.grouping.relaxation import relax

# The package exports a function of the same name.
module = importlib.import_module("counterpoint.grouping.group_tasks")


def drawn_problem(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 12))
    values = rng.normal(size=(size, size))
    names = [str(task) for task in range(size)]
    options = {
        "networks": min(3, size),
        "serve": list(rng.choice(names, max(1, size // 2), replace=False)) if seed % 4 == 0 else None,
        "singletons": ["neutral", "forbid"][seed % 2],
        "largest": max(2, size // 2) if seed % 5 == 0 else None,
        "apart": [tuple(rng.choice(names, 2, replace=False)) for _ in range(size // 2)] if seed % 3 == 0 else (),
        "cost": 0.1 if seed % 7 == 0 else None,
    }
    return (np.round(values) if seed % 3 else values), tuple(names), options


@pytest.mark.traced(12)
@pytest.mark.parametrize("few", [0, 20_000], ids=["own multipliers", "shared multipliers"])
@pytest.mark.parametrize("seed", range(40))
def test_the_same_sets_are_worth_more_than_a_threshold(seed, few, monkeypatch):
    monkeypatch.setattr(branching, "_FEW_NODES", few)
    problem = checked_problem(*drawn_problem(seed)[:2], **drawn_problem(seed)[2])
    prices = 0.3 * np.random.default_rng(seed).normal(size=len(problem.serve))
    listed, searched = Enumeration(problem), Branching(problem)
    top = listed.above(prices, 0.0, 10**6, lambda: False).ceiling
    for threshold in (0.5 * top + 1e-9, 0.9 * top + 1e-9, top - 1e-9):
        expected = listed.above(prices, threshold, 10**6, lambda: False)
        found = searched.above(prices, threshold, 10**6, lambda: False)
        assert expected.complete
        assert found.complete
        assert {row.tobytes() for row in found.members} == {row.tobytes() for row in expected.members}
    interrupted = searched.above(prices, 0.3 * top, 10**6, lambda: True)
    assert interrupted.ceiling >= top - 1e-12
    some = searched.above(prices, 0.3 * top, 2, lambda: False)
    assert some.ceiling >= top - 1e-12


@pytest.mark.parametrize("seed", range(20))
def test_the_relaxation_is_above_every_set(seed):
    problem = checked_problem(*drawn_problem(seed)[:2], **drawn_problem(seed)[2])
    relaxed = relax(problem, np.zeros(len(problem.serve)), 0.0, 50, lambda: False)
    worth = Enumeration(problem).above(relaxed.prices, np.inf, 1, lambda: False).ceiling
    assert relaxed.bound >= relaxed.prices.sum() + problem.networks * max(0.0, worth - problem.cost) - 1e-9


@pytest.mark.traced(6)
@pytest.mark.parametrize("seed", range(24))
def test_both_ways_find_the_same_optimum(seed, monkeypatch):
    values, names, options = drawn_problem(seed)
    networks = options.pop("networks")
    try:
        listed = group_tasks(values, networks, tasks=names, **options)
    except ValueError as error:  # some conditions that were drawn contradict each other
        monkeypatch.setattr(module, "_ENUMERATED", 0)
        with pytest.raises(ValueError, match=re.escape(str(error))):
            group_tasks(values, networks, tasks=names, **options)
        return
    monkeypatch.setattr(module, "_ENUMERATED", 0)
    searched = group_tasks(values, networks, tasks=names, **options)
    assert listed.status == searched.status == "optimal"
    assert searched.objective == pytest.approx(listed.objective, rel=1e-9, abs=1e-9)


def test_planted_groups_are_found_and_proven():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(24) % 4)
    values = (labels[:, None] == labels) + 0.3 * rng.normal(size=(24, 24))
    grouping = group_tasks(values, 4, tasks=[f"t{task}" for task in range(24)])
    assert grouping.status == "optimal"
    planted = {tuple(f"t{task}" for task in np.flatnonzero(labels == label)) for label in range(4)}
    assert {network.tasks for network in grouping.networks} == planted


def test_a_time_limit_leaves_a_grouping_with_a_bound():
    values = np.random.default_rng(0).normal(size=(30, 30))
    seen = []
    grouping = group_tasks(values, 4, tasks=list(map(str, range(30))), time_limit=0.5, progress=seen.append)
    assert grouping.status == "feasible"
    assert np.isfinite(grouping.bound)
    assert grouping.bound > grouping.score
    better = group_tasks(values, 4, tasks=list(map(str, range(30))), time_limit=4.0)
    assert better.score >= grouping.score
    assert grouping.bound >= better.score
    objectives, bounds = [s.objective for s in seen], [s.bound for s in seen]
    assert objectives == sorted(objectives)
    assert bounds == sorted(bounds, reverse=True)
    assert seen[-1].stage == "done"


@pytest.mark.parametrize("limit", [1e-9, 0.01, 0.1])
@pytest.mark.parametrize("size", [5, 16, 60])
def test_even_no_time_at_all_leaves_a_valid_bound(size, limit):
    values = np.random.default_rng(0).normal(size=(size, size))
    grouping = group_tasks(values, 3, tasks=list(map(str, range(size))), time_limit=limit)
    assert np.isfinite(grouping.bound)
    assert grouping.bound >= grouping.objective
    assert sorted(map(int, grouping.scores)) == list(range(size))
