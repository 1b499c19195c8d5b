"""Running statistics are those of the whole sequence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.affinity.statistics import CAPACITY, PHASES, PhasedMoments


def filled(values):
    moments = PhasedMoments(1)
    for value in values:
        moments.add(np.full((1, 1), value))
    return moments


@given(st.lists(st.floats(-1e3, 1e3) | st.just(np.nan), min_size=1, max_size=400))
def test_total_is_the_mean_and_its_error(values):
    total = filled(values).total()
    known = np.array(values)[np.isfinite(values)]
    assert total.counts.item() == len(known)
    if len(known):
        np.testing.assert_allclose(total.mean, known.mean(), rtol=1e-9, atol=1e-9)
    else:
        assert np.isnan(total.mean)
    if len(known) > 1:
        expected = known.std(ddof=1) / np.sqrt(len(known))
        np.testing.assert_allclose(total.standard_error, expected, rtol=1e-6, atol=1e-7)
    else:
        assert np.isnan(total.standard_error)


def test_small_spreads_around_large_means_keep_their_digits():
    total = filled(1e8 + np.arange(200) % 2).total()
    np.testing.assert_allclose(total.standard_error, np.std(np.arange(200) % 2, ddof=1) / np.sqrt(200), rtol=1e-6)


@pytest.mark.parametrize("steps", range(1, CAPACITY + 1))
def test_thirds_are_exact_to_the_nearest_step_while_there_is_a_bin_for_each(steps):
    phases = filled(np.arange(steps)).phases()
    third = [int(3 * (index + 0.5) / steps) for index in range(steps)]
    for number, name in enumerate(PHASES):
        own = [index for index in range(steps) if third[index] == number]
        assert phases[name][1] == len(own)
        if own:
            np.testing.assert_allclose(phases[name][0].mean, np.mean(own))


@pytest.mark.parametrize("steps", [49, 96, 97, 100, 1000, 4321, 20_000])
def test_beyond_that_they_are_off_by_at_most_half_a_bin(steps):
    moments = filled(np.arange(steps))
    phases = moments.phases()
    assert sum(count for _, count in phases.values()) == steps
    assert len(moments._bins) <= CAPACITY
    for number, name in enumerate(PHASES):
        middle = (number + 0.5) / 3 * steps
        assert abs(phases[name][0].mean.item() - middle) <= steps / 48 + 1
        assert abs(phases[name][1] - steps / 3) <= steps / 24 + 1


def test_steps_that_did_not_count_still_take_their_time():
    phases = filled([1.0, np.nan, np.nan, 4.0, 5.0, 6.0]).phases()
    assert [phases[name][0].counts.item() for name in PHASES] == [1, 1, 2]


@given(st.integers(0, 200), st.integers(0, 200))
def test_state_goes_on_where_it_was(first, then):
    whole, part = filled(np.arange(first + then)), filled(np.arange(first))
    rest = PhasedMoments(1)
    rest.load_state_dict(part.state_dict())
    for value in range(first, first + then):
        rest.add(np.full((1, 1), float(value)))
    assert rest.steps == whole.steps
    np.testing.assert_array_equal(rest.state_dict()["bins"], whole.state_dict()["bins"])
