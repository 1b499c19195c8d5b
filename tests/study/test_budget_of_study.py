"""What a budget has room for, and what is compared in which order."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint import Affinity
from counterpoint.study import candidates
from counterpoint.study.budget import how_many_fit, seeds_that_fit
from counterpoint.study.choices import Choices
from counterpoint.study.loss_scales import candidate_scales


@given(st.integers(1, 9), st.floats(0, 1e4), st.floats(0.1, 1e3))
def test_references_keep_two_seeds_and_never_get_more_than_asked(wanted, seconds, cost):
    seeds = seeds_that_fit(wanted, seconds, cost)
    assert min(wanted, 2) <= seeds <= wanted
    assert seeds <= 2 or seeds * cost <= 0.6 * seconds + 1e-9


@given(st.floats(0, 500), st.integers(1, 5), st.lists(st.floats(0.1, 50), min_size=1, max_size=9))
def test_as_many_as_fit_and_not_one_more(seconds, rungs, costs):
    def cost(count, rung):
        del rung
        return sum(costs[:count])

    def total(count):
        whole = 0.0
        for _ in range(rungs):
            whole += cost(count, 0)
            count = -(-count // 2)
        return whole

    room = how_many_fit(seconds, rungs, cost, len(costs))
    assert room == 0 or total(room) <= seconds
    assert all(total(count) > seconds for count in range(room + 1, len(costs) + 1))


@given(st.integers(2, 12), st.integers(1, 20))
def test_scales_have_geometric_mean_one_and_do_not_change_with_their_number(tasks, count):
    names = [f"t{number}" for number in range(tasks)]
    found = candidate_scales(names, count)
    assert len(found) == count
    assert candidate_scales(names, count + 3)[:count] == found
    for scales in found:
        product = 1.0
        for scale in scales.values():
            product *= scale
        assert product == pytest.approx(1.0, rel=0.02)
        assert all(0.01 <= scale <= 100 for scale in scales.values())
    assert len({tuple(scales.values()) for scales in found}) == count


def test_families_take_turns():
    weightings = candidates.weightings(["uniform", "mgda", "dibs"], "ab")
    trials = candidates.trials(["a", "b"], 3)
    order = [method.key for method in candidates.in_turn(weightings, trials)]
    assert order == ["mgda", "tuned-1", "dibs", "tuned-2", "tuned-3"]
    assert [candidates.is_trial(method) for method in candidates.in_turn(weightings, trials)] == [
        False,
        True,
        False,
        True,
        True,
    ]


def test_groupings_that_are_nothing_new_are_left_out():
    helpful = [[0 if i == j else 1.0 for j in range(4)] for i in range(4)]
    found = candidates.groupings(Affinity(helpful, tuple("abcd")), 4)
    keys = [frozenset(frozenset(network.tasks) for network in method.networks) for method in found]
    assert len(set(keys)) == len(keys)
    assert frozenset([frozenset("abcd")]) not in keys
    assert frozenset(frozenset(task) for task in "abcd") not in keys
    for method in found:
        assert sorted(itertools.chain(*(network.serves for network in method.networks))) == list("abcd")


def test_studies_that_take_turns_in_a_folder_keep_their_choices(tmp_path):
    path = tmp_path / "choices.json"
    for _ in range(2):
        assert Choices(path, "one").made("seeds", lambda: 3) == 3
        assert Choices(path, "two").made("seeds", lambda: 5) == 5
        path.with_suffix(".lock").unlink()
    assert Choices(path, "one").made("seeds", lambda: 7) == 3


def test_choices_of_another_study_or_half_a_file_are_not_taken(tmp_path):
    path = tmp_path / "choices.json"
    assert Choices(path, "one").made("seeds", lambda: 3) == 3
    assert Choices(path, "two").made("seeds", lambda: 5) == 5
    path.write_text(path.read_text()[:20])
    assert Choices(path, "two").made("seeds", lambda: 7) == 7
