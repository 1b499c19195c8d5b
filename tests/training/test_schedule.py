"""When a training is looked at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.training import Schedule

schedules = st.builds(
    Schedule,
    early=st.booleans(),
    every_epochs=st.integers(0, 3),
    steps=st.lists(st.integers(0, 300), max_size=4).map(tuple),
)


def test_early_means_one_two_and_five_times_the_powers_of_ten():
    listed = [step for step in range(10_001) if Schedule().listed(step)]
    assert listed == [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]


@given(schedules, st.integers(0, 250), st.integers(1, 40))
def test_what_is_planned_is_what_happens(schedule, total, per_epoch):
    happens = {step for step in range(total + 1) if schedule.listed(step)} | {total}
    happens |= {step for step in range(per_epoch, total + 1, per_epoch) if schedule.ends(step // per_epoch)}
    assert schedule.planned(total, per_epoch) == tuple(sorted(happens))


@given(schedules, st.lists(st.integers(1, 4), min_size=1, max_size=60))
def test_steps_that_are_passed_over_are_made_up_for_once(schedule, strides):
    before, crossed = 0, 0
    for stride in strides:
        crossed += schedule.crossed(before, before + stride)
        before += stride
    listed = [step for step in range(1, before + 1) if schedule.listed(step)]
    assert (crossed > 0) == bool(listed)
    assert crossed <= len(listed)
    assert not schedule.crossed(before, before)


def test_a_billion_steps_are_planned_at_once():
    planned = Schedule().planned(10**9, 10**6)
    assert planned[:4] == (0, 1, 2, 5)
    assert len(planned) == 1 + 18 + 1000  # 0; 1, 2 and 5 below a million; epochs, which end at the later ones


def test_epochs_may_be_left_out():
    schedule = Schedule(every_epochs=0)
    assert not schedule.ends(1)
    assert schedule.planned(10, 3) == (0, 1, 2, 5, 10)
    assert [epoch for epoch in range(1, 7) if Schedule(every_epochs=2).ends(epoch)] == [2, 4, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"every_epochs": -1}, "every_epochs is -1, expected 0 or more"), ({"steps": (3, -1)}, r"steps are \[3, -1\]")],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**options)
