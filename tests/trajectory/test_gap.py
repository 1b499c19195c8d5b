"""Gaps and deficits of made-up curves whose shifts are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint import generalization_gap
from counterpoint.trajectory.curve import Trajectory, as_trajectories
from counterpoint.trajectory.deficit import at_equal_steps, optimization_deficit
from counterpoint.trajectory.paired_curves import PairedCurves


def falling(shift=0.0, *, start=2.0, end=0.5, count=16, pace=1, noise=0.0, seed=0):
    """A loss that falls evenly, and a metric that is a cubic of it."""
    losses = np.linspace(start, end, count)
    values = 1.0 - 0.2 * losses - 0.01 * losses**3 + shift + noise * np.random.default_rng(seed).normal(size=count)
    return Trajectory(losses, values, pace * np.arange(count))


@pytest.mark.parametrize("pace", [1, 3])
def test_a_known_shift_is_found_however_slow_the_training(pace):
    gap = generalization_gap([falling(), falling(0.1)], [falling(0.05, pace=pace), falling(0.13, pace=pace)])
    np.testing.assert_allclose(gap.differences, [[0.05] * 25, [0.03] * 25], atol=1e-12)
    np.testing.assert_allclose(gap.by_seed, [0.05, 0.03])
    assert gap.estimate.mean == pytest.approx(0.04)
    assert gap.last.mean == pytest.approx(0.04)
    np.testing.assert_allclose(gap.multi_steps, pace * gap.single_steps, atol=1e-9)
    assert gap.notes == ()


def test_other_grids_of_losses_are_read_off_between_their_points():
    fine, coarse = falling(count=301), falling(0.05, count=31)
    gap = generalization_gap(fine, coarse)
    np.testing.assert_allclose(gap.curve, 0.05, atol=2e-4)


def test_less_may_be_better():
    single, multi = [falling(), falling()], [falling(-0.05), falling(-0.05)]
    assert generalization_gap(single, multi, direction="minimize").estimate.mean == pytest.approx(0.05)
    assert generalization_gap(single, multi).estimate.mean == pytest.approx(-0.05)


def test_a_rising_loss_counts_where_it_first_was_as_low_and_the_others_are_counted():
    up_and_down = Trajectory([2.0, 1.0, 1.5, 1.0, 0.5, 0.7], [0.1, 0.4, 9.0, 9.0, 0.8, 9.0], [0, 1, 2, 3, 4, 5])
    plain = Trajectory([2.0, 1.0, 0.5], [0.1, 0.4, 0.8], [0, 1, 4])
    assert up_and_down.unused == 3
    np.testing.assert_array_equal(up_and_down.at([2.0, 1.3, 1.0, 0.5]), plain.at([2.0, 1.3, 1.0, 0.5]))
    gap = generalization_gap(plain, up_and_down)
    np.testing.assert_allclose(gap.curve, 0.0)
    assert gap.notes == ("3 of 6 multi-task points, where the training loss was no lower than before, are not used",)


def test_a_small_common_range_is_said():
    gap = generalization_gap(falling(), falling(start=0.6, end=0.1))
    assert (gap.losses[0], gap.losses[-1]) == (0.6, 0.5)
    assert gap.notes == ("only 5 % of the range of training losses is reached by all trajectories",)


def test_no_common_range_is_one_clear_line():
    with pytest.raises(ValueError, match="no common range of training losses") as raised:
        generalization_gap([falling()] * 2, [falling(start=0.4, end=0.1), falling(start=0.3, end=0.2)])
    assert str(raised.value) == (
        "the trajectories have no common range of training losses: single-task from 2 to 0.5, multi-task from 0.3 to "
        "0.2; record earlier steps, or train longer"
    )


def test_a_range_of_one_point_is_none():
    with pytest.raises(ValueError, match="no common range"):
        generalization_gap(falling(), falling(start=0.5, end=0.1))


def test_unknown_values_are_left_out():
    losses, values = [2.0, np.nan, 1.0, 0.8, 0.5], [0.1, 0.2, np.inf, 0.5, 0.7]
    trajectory = Trajectory(losses, values)
    assert trajectory.steps.tolist() == [0, 3, 4]
    assert trajectory.at([2.0, 0.8, 0.5]) == pytest.approx([0.1, 0.5, 0.7])


def test_outside_of_what_was_reached_nothing_is_known():
    assert np.isnan(falling().at([2.1, 0.4])).all()
    assert np.isnan(falling().step_at([2.1, 0.4])).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0]), "1 of 1 points set a new lowest training loss, expected at least 2"),
        (([], []), "0 of 0 points"),
        ((2.0, 1.0), r"shapes \(\), \(\) and \(1,\), expected three of \[N\]"),
        (([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]), "1 of 3 points set .* the training loss never fell"),
        (([2.0, 1.0], [np.nan, 0.0]), "1 of 2 points"),
        (([2.0, 1.0], [0.0]), r"shapes \(2,\), \(1,\) and \(2,\), expected three of \[N\]"),
        (([[2.0, 1.0]], [[0.0, 1.0]]), r"expected three of \[N\]"),
        (([2.0, 1.0], [0.0, 1.0], [1, 1]), "steps do not rise"),
        (([2.0, 1.0], [0.0, 1.0], [0, np.nan]), "steps do not rise"),
    ],
)
def test_what_is_no_trajectory_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Trajectory(*arguments)


@pytest.mark.parametrize(
    ("single", "multi", "options", "error", "message"),
    [
        (
            [falling()] * 2,
            [falling()],
            {},
            ValueError,
            "single has 2 trajectories and multi 1, expected the same seeds",
        ),
        ([], [falling()], {}, ValueError, "single holds no trajectory, expected one a seed"),
        ([falling()], [[1.0, 2.0]], {}, TypeError, r"multi holds a list, expected Trajectory\(losses, values, steps\)"),
        (falling(), falling(), {"direction": "up"}, ValueError, "direction is 'up', expected 'maximize' or 'minimize'"),
        (falling(), falling(), {"levels": 1}, ValueError, "levels is 1, expected at least 2"),
    ],
)
def test_what_cannot_be_compared_is_refused(single, multi, options, error, message):
    with pytest.raises(error, match=message):
        generalization_gap(single, multi, **options)


def test_one_trajectory_is_a_seed():
    trajectory = falling()
    assert as_trajectories("single", trajectory) == as_trajectories("single", iter([trajectory])) == [trajectory]


def test_one_seed_has_a_gap_and_no_interval():
    gap = generalization_gap(falling(), falling(0.05))
    assert gap.seeds == 1
    assert gap.curve == pytest.approx(0.05)
    for name in ("interval", "band", "significant_from", "onset"):
        with pytest.raises(ValueError, match="one seed gives no interval, expected trajectories of at least 2 seeds"):
            getattr(gap, name)


def test_the_interval_is_students():
    gap = generalization_gap([falling()] * 3, [falling(shift) for shift in (0.01, 0.02, 0.06)])
    half = 4.302653 * np.std([0.01, 0.02, 0.06], ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(gap.interval, (0.03 - half, 0.03 + half), rtol=1e-6)
    np.testing.assert_allclose(np.array(gap.band)[:, 7], gap.interval, rtol=1e-6)


def test_the_onset_is_where_a_shift_begins():
    single, multi = [], []
    for seed in range(5):
        base = falling(count=31, noise=1e-4, seed=seed)
        late = np.where(base.losses < 1.2, 0.05, 0.0)
        single.append(base)
        multi.append(
            Trajectory(base.losses, falling(count=31, noise=1e-4, seed=seed + 9).values - late, 2 * base.steps)
        )
    onset = generalization_gap(single, multi, levels=61).onset
    assert onset.loss == pytest.approx(1.2, abs=0.06)
    assert not onset.better
    assert onset.multi_step == pytest.approx(2 * onset.single_step)
    assert generalization_gap(single, single).onset is None


# Properties.

steps_down = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=8)


@st.composite
def trajectories(draw):
    falls = np.array(draw(steps_down))
    losses = 2.0 - 1.9 * np.concatenate(([0.0], np.cumsum(falls) / falls.sum()))  # all from 2.0 to 0.1
    values = np.array(draw(st.lists(st.integers(-99, 99), min_size=len(losses), max_size=len(losses)))) / 99
    return Trajectory(losses, values, np.cumsum(np.arange(len(losses))))


pairs = st.integers(1, 4).flatmap(lambda n: st.tuples(*[st.lists(trajectories(), min_size=n, max_size=n)] * 2))


@given(pairs, st.floats(-2.0, 2.0))
def test_a_shift_of_all_values_shifts_the_gap(runs, shift):
    single, multi = runs
    moved = [Trajectory(run.losses, run.values + shift, run.steps) for run in multi]
    np.testing.assert_allclose(
        generalization_gap(single, moved).differences, generalization_gap(single, multi).differences + shift, atol=1e-9
    )


@given(pairs)
def test_the_gap_the_other_way_round_is_its_negative(runs):
    there, back = generalization_gap(*runs), generalization_gap(*reversed(runs))
    np.testing.assert_array_equal(there.differences, -back.differences)
    np.testing.assert_array_equal(there.single_steps, back.multi_steps)


@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_seeds_does_not_matter(runs, random):
    order = list(range(len(runs[0])))
    random.shuffle(order)
    gap, other = generalization_gap(*runs), generalization_gap(*([run[i] for i in order] for run in runs))
    np.testing.assert_array_equal(gap.differences[order], other.differences)
    np.testing.assert_allclose(gap.curve, other.curve, atol=1e-12)


@given(trajectories(), st.lists(st.floats(0.11, 2.0), min_size=1, max_size=5))
def test_what_is_read_off_lies_between_its_neighbours(run, losses):
    for loss, value, step in zip(losses, run.at(losses), run.step_at(losses), strict=True):
        right = int(np.flatnonzero(run.losses <= loss + 1e-12)[0])
        left = max(right - 1, 0)
        assert min(run.values[[left, right]]) - 1e-9 <= value <= max(run.values[[left, right]]) + 1e-9
        assert run.steps[left] - 1e-9 <= step <= run.steps[right] + 1e-9


@given(trajectories(), trajectories())
def test_more_levels_come_closer_to_the_mean_over_the_range(single, multi):
    means = [generalization_gap(single, multi, levels=levels).estimate.mean for levels in (501, 1001, 2001)]
    assert abs(means[2] - means[1]) <= 0.02
    assert means[1] == pytest.approx(means[0], abs=0.04)


differences = st.integers(2, 4).flatmap(
    lambda seeds: st.lists(
        st.lists(st.sampled_from([-1.0, 0.0, 0.9, 1.0, 1.1]), min_size=seeds, max_size=seeds), min_size=1, max_size=6
    )
)


@given(differences)
def test_significant_from_is_the_first_place_from_which_on_all_agree(rows):
    multi = np.array(rows).T
    curves = PairedCurves(single=np.zeros_like(multi), multi=multi)
    low, high = curves.band
    found = [place for place in range(multi.shape[1]) if (low[place:] > 0).all() or (high[place:] < 0).all()]
    assert curves.significant_from == (found[0] if found else None)


def test_in_noise_something_is_found_in_one_case_of_twenty_at_most():
    random = np.random.default_rng(0)
    for seeds in (2, 5):
        noise = random.normal(size=(1500, seeds, 12)).cumsum(axis=2)  # neighbours are alike, as on a curve
        found = [PairedCurves(single=np.zeros_like(each), multi=each).significant_from is not None for each in noise]
        assert np.mean(found) < 0.065  # 5 %, and three standard errors


def test_deficits_are_taken_at_the_steps_that_all_have():
    single = [Trajectory([2.0, 1.0, 0.5], [0, 1, 2], [0, 5, 10]), Trajectory([2.0, 1.2, 0.6], [0, 1, 2], [0, 5, 10])]
    multi = [
        Trajectory([2.0, 1.8, 1.4, 0.9], [0, 1, 2, 3], [0, 1, 5, 10]),
        Trajectory([2.0, 3.0, 1.0], [0, 1, 2], [0, 5, 10]),
    ]
    deficit = optimization_deficit(single, multi)
    assert deficit.steps.tolist() == [0, 5, 10]
    np.testing.assert_allclose(deficit.differences, [[0.0, 0.4, 0.4], [0.0, 1.8, 0.4]])
    assert deficit.last.mean == pytest.approx(0.4)
    assert at_equal_steps(multi, multi).steps.tolist() == [0, 5, 10]


def test_no_step_in_common_is_one_clear_line():
    with pytest.raises(ValueError, match="no step in common, expected the same schedule of probes"):
        optimization_deficit(falling(), Trajectory([2.0, 1.0], [0, 1], [100, 200]))


def test_a_gap_prints_in_one_line():
    loss = np.linspace(2.0, 0.2, 40)
    single, multi = ([Trajectory(loss, shift - loss + seed / 100) for seed in range(3)] for shift in (0.0, 0.5))
    assert repr(generalization_gap(single, multi)) == "Gap(+0.5 [+0.5, +0.5], 3 seeds, 25 places)"
    assert repr(generalization_gap(single[:1], multi[:1])) == "Gap(+0.5 [-inf, +inf], 1 seed, 25 places)"


def with_holes(*holes):
    losses = np.linspace(2.0, 0.5, 16)
    values = 1 - losses / 4
    values[list(holes)] = np.nan
    return Trajectory(losses, values)


def test_points_without_a_metric_are_left_out_and_said_to_be():
    gap = generalization_gap([with_holes(), with_holes(3)], [with_holes(15), with_holes(4, 5)])
    single, multi = gap.notes
    assert single.startswith(
        "1 of 32 single-task points are left out, where the value or the training loss is NaN or inf"
    )
    assert "(runs 2 of 2)" in single
    assert multi.startswith("3 of 32 multi-task points are left out")
    assert "(runs 1, 2 of 2)" in multi
    assert "1 of 32 single-task points" in repr(gap)
    assert gap.losses[-1] == pytest.approx(0.6)  # the last point is one of them
    (note,) = optimization_deficit(with_holes(), with_holes(2)).notes
    assert note.startswith("1 of 16 multi-task points are left out, where the value or the training loss is NaN")
    assert optimization_deficit(with_holes(), with_holes()).notes == ()
    with pytest.raises(ValueError, match=r"1 of 16 points \(15 are not finite\) set a new lowest training loss"):
        with_holes(*range(15))
