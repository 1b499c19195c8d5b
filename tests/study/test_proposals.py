"""What the methods of grouping propose."""

from itertools import combinations

import numpy as np
import pytest

from counterpoint.affinity import Affinity
from counterpoint.study.proposals import (
    GroupingRules,
    alone,
    best_of_all,
    best_of_all_for_every_size,
    draw,
    draws,
    for_every_size,
    from_affinity,
    pairwise_gains,
    sets_to_train,
    together,
)

TASKS = ("a", "b", "c", "d")


def sets(tasks):
    return [group for count in range(1, len(tasks) + 1) for group in combinations(tasks, count)]


def losses(rng, tasks=TASKS):
    return {(frozenset(group), task): rng.uniform(0.5, 2.0) for group in sets(tasks) for task in group}


def test_references_serve_every_task_that_is_asked_for():
    rules = GroupingRules(serve=("c", "a"))
    assert [network.tasks for network in alone(TASKS, rules).networks] == [("a",), ("c",)]
    (network,) = together(TASKS, rules).networks
    assert (network.tasks, network.serves) == (TASKS, ("a", "c"))


def test_pairwise_gains_are_relative_to_the_single_task():
    table = losses(np.random.default_rng(0))
    gains = pairwise_gains(TASKS, table)
    pair = frozenset(("b", "d"))
    assert gains[1, 3] == pytest.approx(1 - table[pair, "d"] / table[frozenset("d"), "d"])
    assert gains[3, 1] == pytest.approx(1 - table[pair, "b"] / table[frozenset("b"), "b"])
    assert not gains.diagonal().any()


def test_hoa_of_pairs_that_help_makes_those_pairs():
    table = dict.fromkeys(losses(np.random.default_rng(0)), 1.0)
    for pair in ("ab", "cd"):
        for task in pair:
            table[frozenset(pair), task] = 0.5
    found = from_affinity(
        "hoa",
        Affinity(pairwise_gains(TASKS, table), TASKS),
        2,
        GroupingRules(),
        search={frozenset("ab"): 3.0, frozenset("ac"): 7.0},
        seed=3,
    )
    assert [network.tasks for network in found.networks] == [("a", "b"), ("c", "d")]
    assert found.score == pytest.approx(0.5)
    assert 7.0 <= found.search_seconds < 10.0  # the pair that is a network of the grouping is trained already
    assert found.method == "hoa-2"


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("singletons", ["neutral", "forbid"])
def test_best_of_all_is_the_best_of_all(size, singletons):
    table = losses(np.random.default_rng(size))
    rules = GroupingRules(singletons=singletons, apart=(("a", "d"),) if size > 1 else ())
    found = best_of_all(TASKS, table, size, rules, search={}, seed=None)
    served = [task for network in found.networks for task in network.serves]
    assert sorted(served) == list(TASKS)
    assert len(found.networks) <= size

    def gain(group, task):
        return 1 - table[frozenset(group), task] / table[frozenset(task), task]

    value = np.mean([gain(network.tasks, task) for network in found.networks for task in network.serves])
    assert found.score == pytest.approx(value)
    allowed = [
        group
        for group in sets(TASKS)
        if (singletons == "neutral" or len(group) > 1) and not (size > 1 and {"a", "d"} <= set(group))
    ]
    best = max(
        np.mean([max((gain(group, task) for group in chosen if task in group), default=-np.inf) for task in TASKS])
        for count in range(1, size + 1)
        for chosen in combinations(allowed, count)
    )
    assert found.score == pytest.approx(best)


def test_draws_are_partitions_that_follow_the_rules_and_repeat():
    rules = GroupingRules(singletons="forbid", largest=3, apart=(("a", "b"),))
    tasks = tuple("abcdefg")
    found = [draw(tasks, 3, rules, replicate) for replicate in range(8)]
    for candidate in found:
        assert sorted(task for network in candidate.networks for task in network.tasks) == sorted(tasks)
        for network in candidate.networks:
            assert network.serves == network.tasks
            assert 2 <= len(network.tasks) <= 3
            assert not {"a", "b"} <= set(network.tasks)
    assert len({candidate.networks for candidate in found}) > 1
    assert draw(tasks, 3, rules, 5).networks == found[5].networks


def test_rules_that_leave_no_partition_are_named():
    with pytest.raises(ValueError, match="no random grouping of 4 tasks into 3 networks follows the rules"):
        draw(TASKS, 3, GroupingRules(singletons="forbid"), 0)


def test_sizes_too_small_for_the_rules_are_left_out():
    apart = (("a", "b"), ("a", "c"), ("b", "c"))
    found = for_every_size(
        "tag", Affinity(np.ones((4, 4)), TASKS), range(1, 5), GroupingRules(apart=apart), search={}, seed=None
    )
    assert [candidate.size for candidate in found] == [3, 4]
    with pytest.raises(ValueError, match=r"apart|feasible"):
        for_every_size(
            "tag", Affinity(np.ones((4, 4)), TASKS), (1, 2), GroupingRules(apart=apart), search={}, seed=None
        )


def test_what_has_to_be_trained_first():
    rules = GroupingRules()
    assert len(sets_to_train("hoa", TASKS, rules)) == 4 + 6
    assert len(sets_to_train("optimal", TASKS, rules)) == 15
    assert sets_to_train("random", TASKS, rules) == []


def test_nothing_is_trained_that_no_grouping_could_use():
    rules = GroupingRules(serve=("a", "b"), singletons="forbid", largest=3, apart=(("a", "c"),))
    sets = sets_to_train("hoa", TASKS, rules)
    assert sets == [("a",), ("b",), ("a", "b"), ("a", "d"), ("b", "c"), ("b", "d")]
    every = sets_to_train("optimal", TASKS, rules)
    assert every == [*sets, ("a", "b", "d"), ("b", "c", "d")]
    table = {key: loss for key, loss in losses(np.random.default_rng(0)).items() if tuple(sorted(key[0])) in every}
    gains = pairwise_gains(TASKS, table)
    assert gains[3, 0] != 0.0  # d may help a
    assert gains[2, 0] == 0.0  # c must not
    assert best_of_all(TASKS, table, 2, rules, search={}, seed=None).score is not None


def test_references_say_whether_they_follow_the_rules():
    for rules, apart, joined in (
        (GroupingRules(), True, True),
        (GroupingRules(singletons="forbid"), False, True),
        (GroupingRules(largest=3), True, False),
        (GroupingRules(apart=(("a", "d"),)), True, False),
    ):
        assert alone(TASKS, rules).follows_rules is apart
        assert together(TASKS, rules).follows_rules is joined


def test_draws_leave_out_sizes_that_the_rules_do_not_allow():
    assert {c.size for c in draws(tuple("abcde"), (2, 3, 4), GroupingRules(singletons="forbid"), 2)} == {2}
    assert {c.size for c in draws(TASKS, (2, 3, 4), GroupingRules(largest=1), 1)} == {4}
    with pytest.raises(ValueError, match="no random grouping of 2 tasks into 3 networks"):
        draws(TASKS, (3,), GroupingRules(serve=("a", "b")), 1)


def test_the_best_of_all_leaves_out_sizes_too_small_for_the_rules():
    rules = GroupingRules(apart=(("a", "b"), ("a", "c"), ("b", "c")))
    table = losses(np.random.default_rng(0))
    found = best_of_all_for_every_size(TASKS, table, (2, 3, 4), rules, search={}, seed=None)
    assert [candidate.size for candidate in found] == [3, 4]
