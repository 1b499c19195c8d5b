"""What follows from the definition, for any affinities."""

import dataclasses
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterpoint.grouping import Progress, group_tasks

sizes = st.integers(2, 6)
entries = st.one_of(st.integers(-3, 3).map(float), st.floats(-10, 10, allow_nan=False, width=32))
matrices = sizes.flatmap(lambda size: arrays(float, (size, size), elements=entries))
counts = st.integers(1, 3)
alone = st.sampled_from(["neutral", "forbid"])
few = settings(max_examples=15)


def names(values):
    return [f"t{task}" for task in range(len(values))]


def score(values, networks, **options):
    grouping = group_tasks(values, min(networks, len(values)), tasks=names(values), **options)
    assert grouping.status == "optimal"
    assert grouping.bound >= grouping.objective
    return grouping.objective


def close(expected, values):
    return pytest.approx(expected, rel=0, abs=3e-9 * max(1e-30, np.abs(values).max()))


@few
@given(matrices, counts, alone, st.randoms(use_true_random=False))
def test_the_order_of_tasks_does_not_matter(values, networks, singletons, random):
    order = list(range(len(values)))
    random.shuffle(order)
    permuted = values[np.ix_(order, order)]
    assert score(permuted, networks, singletons=singletons) == close(
        score(values, networks, singletons=singletons), values
    )


@few
@given(matrices, counts, st.floats(-5, 5))
def test_a_constant_added_to_a_task_adds_its_share(values, networks, constant):
    more = values.copy()
    more[:, 0] += constant
    expected = score(values, networks, singletons="forbid") + constant / len(values)
    assert score(more, networks, singletons="forbid") == close(expected, np.abs(more) + np.abs(values))


@few
@given(matrices, st.sampled_from([1e-200, 1e-9, 1e9, 1e200]), alone)
def test_scale_does_not_matter(values, scale, singletons):
    expected = score(values, 2, singletons=singletons) * scale
    assert score(values * scale, 2, singletons=singletons) == close(expected, values * scale)


@few
@given(matrices, alone)
def test_more_networks_are_never_worse(values, singletons):
    scores = [score(values, networks, singletons=singletons) for networks in range(1, len(values) + 1)]
    assert all(later >= earlier - 3e-9 * np.abs(values).max() for earlier, later in pairwise(scores))


@few
@given(matrices, counts)
def test_two_calls_are_equal(values, networks):
    options = {"tasks": names(values), "networks": min(networks, len(values))}
    first, second = (dataclasses.replace(group_tasks(values, **options), seconds=0.0) for _ in range(2))
    assert first == second


@few
@given(matrices, st.floats(0.0, 2.0))
def test_cost_is_between_the_limits(values, cost):
    size = len(values)
    best = max(score(values, count) - cost * count for count in range(1, size + 1))
    assert score(values, size, cost=cost) >= best - 3e-9 * np.abs(values).max()


@pytest.mark.parametrize("singletons", ["neutral", "forbid"])
@pytest.mark.parametrize("size", [2, 5, 12, 24])
def test_where_all_are_equal_one_network_is_enough(size, singletons):
    grouping = group_tasks(np.zeros((size, size)), 2, tasks=list(map(str, range(size))), singletons=singletons)
    assert grouping.status == "optimal"
    assert len(grouping.networks) == 1
    assert grouping.score == grouping.bound == 0


def test_what_does_not_help_stays_out():
    values = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])  # c helps a and b as they help each other
    grouping = group_tasks(values, 1, tasks=["a", "b", "c"], serve=["a", "b"])
    assert grouping.networks[0].tasks == ("a", "b")
    assert grouping.score == 1


def test_one_task_alone():
    grouping = group_tasks([[np.nan]], 1, tasks=["only"])
    assert grouping.networks[0].tasks == ("only",)
    assert grouping.score == grouping.bound == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -7.0, 1e300])
def test_the_diagonal_does_not_count(value):
    values = np.random.default_rng(0).normal(size=(6, 6))
    other = values.copy()
    np.fill_diagonal(other, value)
    first, second = (group_tasks(matrix, 2, tasks=names(values)) for matrix in (values, other))
    assert first.networks == second.networks
    assert first.score == second.score


def test_three_ways_to_hand_over_the_same():
    values = np.random.default_rng(0).normal(size=(5, 5))
    tasks = names(values)
    frame = pd.DataFrame(values, index=tasks, columns=tasks)

    class Affinity:
        pass

    affinity = Affinity()
    affinity.values, affinity.tasks = values, tuple(tasks)
    groupings = [
        group_tasks(values, 2, tasks=tasks),
        group_tasks(frame, 2),
        group_tasks(frame[tasks[::-1]], 2),
        group_tasks(affinity, 2),
    ]
    assert len({(grouping.networks, grouping.score) for grouping in groupings}) == 1


def test_an_error_in_progress_ends_the_search():
    def stop(progress):
        assert isinstance(progress, Progress)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        group_tasks(np.ones((3, 3)), 2, tasks=["a", "b", "c"], progress=stop)


def test_what_a_grouping_says():
    values = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    grouping = group_tasks(values, 2, tasks=["a", "b", "c"], cost=0.25)
    assert str(grouping).splitlines() == ["2 networks, mean score 1 (optimal)", "  1: a, b", "  2: c"]
    assert grouping.objective == grouping.score - 0.25 * len(grouping.networks)
    assert set(grouping.to_json()) >= {"networks", "score", "bound", "gap", "status", "seconds", "cost", "objective"}
    with pytest.raises(ValueError, match="not served, expected one of"):
        grouping.of("d")
