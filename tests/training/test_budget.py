"""How looks are thinned."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.training.budget import Budget


def spend(budget, looks, cost, projected):
    """Which of so many looks are taken."""
    taken = []
    for index in range(looks):
        if budget.allows(left=looks - index, projected=projected):
            budget.spend(2 * cost if index == 0 else cost)  # the first one warms up
            taken.append(index)
    return taken


def test_without_a_limit_all_are_taken():
    budget = Budget(None)
    assert spend(budget, 20, 100.0, 1.0) == list(range(20))
    assert (budget.taken, budget.thinned) == (20, 0)


def test_what_fits_is_taken():
    assert spend(Budget(0.1), 20, 0.1, 100.0) == list(range(20))


@given(st.integers(2, 300), st.floats(0.01, 5.0), st.floats(0.01, 1.0))
def test_looks_keep_to_their_share_and_the_last_is_kept_if_it_fits(looks, cost, share):
    budget = Budget(share)
    taken = spend(budget, looks, cost, 100.0)
    allowed = share * 100.0
    assert budget.spent <= max(allowed, 2 * cost) * (1 + 1e-9)  # but for the first, which tells what one costs
    assert budget.taken == len(taken)
    assert budget.thinned == looks - len(taken)
    assert taken[0] == 0
    if allowed >= 3 * cost * (1 + 1e-9):
        assert taken[-1] == looks - 1
    if allowed >= (looks + 1) * cost * (1 + 1e-9):
        assert len(taken) == looks


@given(st.integers(50, 300), st.integers(10, 40))
def test_they_are_thinned_evenly(looks, affordable):
    taken = spend(Budget(0.1), looks, 1.0, 10.0 * affordable)
    gaps = np.diff(taken)[1:-1]  # the first look is free to begin, the last is kept whatever came before
    assert gaps.max(initial=0) - gaps.min(initial=10**9) <= 2
    assert len(taken) >= min(looks, affordable) - 2


def test_a_checkpoint_goes_on_as_if_nothing_had_been():
    whole, first = Budget(0.1), Budget(0.1)
    again = Budget(0.1)
    decisions = []
    for index in range(100):
        if index == 37:
            again.load(first.state())
        other = first if index < 37 else again
        decisions.append([])
        for budget in (whole, other):
            allowed = budget.allows(left=100 - index, projected=200.0)
            decisions[-1].append(allowed)
            if allowed:
                budget.spend(1.0)
    assert all(a == b for a, b in decisions)
    assert again.state() == whole.state()
    again.reset()
    assert again.state() == Budget(0.1).state()


@pytest.mark.parametrize("share", [0, -0.1, math.inf, math.nan])
def test_a_share_that_makes_no_sense_is_refused(share):
    with pytest.raises(ValueError, match=f"budget is {share}, expected a positive share of the training time"):
        Budget(share)
