"""Splits: everybody is in one, shares are kept, rare classes are where they are needed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.data.tables import TableError
from counterpoint.data.tables.splitting import (
    ensure_training_classes,
    shares,
    split_by_group,
    split_by_time,
    split_randomly,
    split_stratified,
)

SHARE = shares(0.2, 0.1)


@given(st.integers(10, 500), st.integers(0, 5))
def test_random_splits_have_their_sizes_to_a_row(rows, seed):
    sizes = np.bincount(split_randomly(rows, SHARE, seed), minlength=3)
    assert sizes.sum() == rows
    assert (np.abs(sizes - SHARE * rows) < 1).all()


def test_a_seed_decides():
    for split in (
        lambda seed: split_randomly(200, SHARE, seed),
        lambda seed: split_stratified([np.arange(200) % 3], SHARE, seed),
        lambda seed: split_by_group(np.arange(200) // 4, SHARE, seed, column="g"),
    ):
        assert (split(1) == split(1)).all()
        assert (split(1) != split(2)).any()


@given(st.lists(st.integers(1, 80), min_size=2, max_size=6), st.integers(0, 3))
def test_one_target_is_stratified_to_a_row_a_class(sizes, seed):
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    split = split_stratified([classes], SHARE, seed)
    for label, size in enumerate(sizes):
        found = np.bincount(split[classes == label], minlength=3)
        assert (np.abs(found - SHARE * size) < 1).all()
        assert found[0] >= 1


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_several_targets_are_stratified_together(seed):
    rng = np.random.default_rng(seed)
    labels = [(rng.random(600) < chance).astype(int) for chance in (0.02, 0.1, 0.3, 0.5)]
    labels.append(np.where(rng.random(600) < 0.4, -1, rng.integers(0, 4, 600)))
    split = split_stratified(labels, SHARE, seed)
    assert set(split) == {0, 1, 2}
    for target in labels:
        for label in np.unique(target[target >= 0]):
            members = target == label
            found = np.bincount(split[members], minlength=3) / members.sum()
            # Plain chance is off by 0.016 for the commonest, ten times that for the rarest; this stays near a row.
            assert np.abs(found - SHARE).max() <= 0.02 + 2 / members.sum()
            assert found[0] > 0


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_many_small_classes_are_not_all_rounded_into_the_same_split(size):
    """Of three rows each split wants 2.1, 0.45 and 0.45: rounded class by class, no row of any would test."""
    split = split_stratified([np.repeat(np.arange(100), size)], shares(0.15, 0.15), seed=0)
    np.testing.assert_allclose(np.bincount(split, minlength=3) / len(split), [0.7, 0.15, 0.15], atol=1 / size / 100)


def test_the_rarest_rows_train():
    classes = np.array([0] * 50 + [1])
    for seed in range(20):
        assert split_stratified([classes], SHARE, seed)[-1] == 0


@given(st.lists(st.integers(1, 30), min_size=3, max_size=40), st.integers(0, 5))
def test_groups_stay_together_and_every_split_has_some(sizes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    split = split_by_group(groups, SHARE, seed, column="g")
    assert set(split) == {0, 1, 2}
    assert all(len(set(split[groups == group])) == 1 for group in range(len(sizes)))


def test_a_group_of_nearly_all_rows_trains_whatever_the_order():
    groups = np.r_[np.zeros(96, dtype=int), 1, 1, 2, 2]
    for seed in range(10):
        assert np.bincount(split_by_group(groups, shares(0.15, 0.15), seed, column="site")).tolist() == [96, 2, 2]


def test_shares_of_many_groups_are_kept():
    split = split_by_group(np.arange(3_000) // 3, SHARE, 0, column="g")
    np.testing.assert_allclose(np.bincount(split) / 3_000, SHARE, atol=0.002)


@given(st.lists(st.integers(0, 60), min_size=60, max_size=120))
@settings(max_examples=20)
def test_time_never_runs_backwards(times):
    times = np.array([*times, *range(100, 140)], dtype=np.float64)
    split = split_by_time(times, SHARE, column="when")
    assert times[split == 0].max() < times[split == 1].min()
    assert times[split == 1].max() < times[split == 2].min()


def test_ties_in_time_stay_on_the_older_side():
    times = np.array([1.0, 2, 3, 4, 5, 6, 6, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
    split = split_by_time(times, shares(0.35, 0.35), column="when")  # the sixth of twenty is the last to train
    assert split.tolist() == [0] * 8 + [1] * 5 + [2] * 7


def test_too_few_groups_and_times_are_refused():
    with pytest.raises(TableError, match="column 'site' has 2 groups, expected at least 3"):
        split_by_group(np.arange(20) % 2, SHARE, 0, column="site")
    with pytest.raises(TableError, match="column 'year' has too few different times"):
        split_by_time(np.repeat([2020.0, 2021.0], 10), SHARE, column="year")


def test_a_class_that_would_only_be_tested_gets_a_training_row():
    split = np.array([0, 0, 0, 1, 2, 2])
    moved = ensure_training_classes(split, {"y": np.array([0, 0, 1, 1, 2, 2])})
    assert moved.tolist() == [0, 0, 0, 1, 0, 2]
    assert split.tolist() == [0, 0, 0, 1, 2, 2]
