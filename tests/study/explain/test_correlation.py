"""Rank correlations over tasks and seeds, and what their intervals cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from counterpoint.study.explain.correlation import rank_correlation

shapes = st.tuples(st.integers(3, 8), st.integers(1, 4))


def tables(values):
    def of(shape):
        rows = st.lists(st.lists(values, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0])
        return st.tuples(rows.map(np.array), rows.map(np.array))

    return shapes.flatmap(of)


@given(tables(st.integers(-3, 3).map(float)))  # with many ties
def test_the_value_is_scipys(given_tables):
    x, y = given_tables
    found = rank_correlation(x, y, draws=50)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert found is None
    else:
        assert found.value == pytest.approx(stats.spearmanr(x.ravel(), y.ravel()).statistic, abs=1e-12)
        assert -1 <= found.low <= found.high <= 1
        assert (found.tasks, found.seeds) == x.shape


@given(tables(st.integers(-50, 50).map(float)))
def test_only_ranks_count_and_the_sign_turns(given_tables):
    x, y = given_tables
    found, other, turned = (rank_correlation(*pair, draws=50) for pair in ((x, y), (np.exp(x / 10), y**3), (x, -y)))
    assert found == other
    if found is not None:
        assert turned.value == pytest.approx(-found.value, abs=1e-12)


def test_the_same_draws_every_time():
    x, y = np.random.default_rng(0).normal(size=(2, 6, 3))
    assert rank_correlation(x, y) == rank_correlation(x, y)
    assert rank_correlation(x, y) != rank_correlation(x, y, seed=1)


def test_tasks_with_unknown_values_are_left_out():
    x, y = np.random.default_rng(0).normal(size=(2, 6, 3))
    x[1, 2], y[4, 0] = np.nan, np.inf
    kept = [0, 2, 3, 5]
    assert rank_correlation(x, y) == rank_correlation(x[kept], y[kept])
    x[0] = x[2] = np.nan
    assert rank_correlation(x, y) is None  # two tasks are left


@pytest.mark.parametrize("x", [np.ones((5, 2)), np.arange(4.0).reshape(2, 2), np.zeros((0, 3))])
def test_too_few_tasks_or_nothing_that_varies_have_no_correlation(x):
    assert rank_correlation(x, np.random.default_rng(0).normal(size=x.shape)) is None


@pytest.mark.parametrize("shape", [(4, 3), (12,)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected both \[tasks, seeds\]"):
        rank_correlation(np.zeros((3, 4)), np.zeros(shape))


def test_intervals_cover_zero_where_there_is_nothing_and_exclude_it_where_there_is():
    random = np.random.default_rng(0)
    false, found = 0, 0
    for _ in range(150):
        by_task, other, noise = random.normal(size=(8, 1)), random.normal(size=(8, 1)), random.normal(size=(2, 8, 3))
        x = by_task + 0.5 * noise[0]  # seeds of a task are alike, which is no evidence of its own
        false += rank_correlation(x, other + 0.5 * noise[1], draws=300).excludes_zero
        found += rank_correlation(x, by_task + 0.2 * noise[1], draws=300).excludes_zero
    assert false <= 0.1 * 150
    assert found >= 0.8 * 150
