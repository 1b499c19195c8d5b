"""The decision: chosen on validation rows, confirmed on test rows, and true whatever the numbers are."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.estimate import Estimate
from counterpoint.grouping.result import Network
from counterpoint.study.decision import Contrast, Cost, Decision, decide
from counterpoint.study.methods import Method

TASKS = ("a", "b", "c")
SINGLE, UNIFORM, MGDA = Method.alone(TASKS), Method.of_all("uniform", TASKS), Method.of_all("mgda", TASKS)
PAIR = Method("groups-2", "2 groups", (Network(("a", "b"), ("a", "b")), Network(("c",), ("c",))))
METHODS = (SINGLE, UNIFORM, MGDA, PAIR)
COSTS = {
    "single": Cost(3, 30, 30, 3.0),
    "uniform": Cost(1, 14, 14, 1.0),
    "mgda": Cost(1, 14, 14, 1.2),
    "groups-2": Cost(2, 22, 22, 2.0, 1.0),
}


def scores(changes, seeds=3, noise=0.0, seed=0):
    """Scores 0.5 for each task alone, and this many percent more for the others; noise differs by seed."""
    rng = np.random.default_rng(seed)
    rows = [
        (key, number, task, "maximize", 0.5 * (1 + (change + noise * rng.normal()) / 100))
        for key, change in {"single": 0.0, **changes}.items()
        for number in range(seeds)
        for task in TASKS
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "task", "direction", "value"])


def decided(validation, test=None, networks=None, seeds=3, noise=0.0):
    methods = [method for method in METHODS if method.key in {"single", *validation}]
    tested = scores(validation if test is None else test, seeds, noise, seed=1)
    return decide(methods, scores(validation, seeds, noise), tested, COSTS, networks=networks)


def test_the_best_on_validation_rows_is_chosen_and_test_rows_have_no_say():
    decision = decided({"uniform": 1.0, "mgda": 4.0, "groups-2": 2.0}, {"uniform": 9.0, "mgda": 4.0, "groups-2": 9.0})
    assert (decision.chosen, decision.leader, decision.verdict) == ("mgda", "mgda", "share")
    assert decision.contrast("mgda", "single").test.mean == pytest.approx(4.0)
    assert decision.contrast("mgda", "uniform").test.mean < 0


def test_sharing_that_hurts_is_not_recommended():
    decision = decided({"uniform": -3.0, "mgda": -2.0})
    assert (decision.chosen, decision.verdict) == ("single", "separate")
    assert decision.sharing == "mgda"


def test_separate_is_said_even_where_it_may_not_be_chosen():
    decision = decided({"uniform": -3.0, "mgda": -2.0, "groups-2": -1.0}, networks=2)
    assert (decision.chosen, decision.verdict) == ("groups-2", "separate")
    assert decision.ruled_out == {"single": "needs 3 networks, 2 allowed"}


def test_with_no_detectable_difference_the_cheapest_is_chosen():
    decision = decided({"uniform": 0.0, "mgda": 0.05, "groups-2": 0.1}, noise=2.0)
    assert decision.verdict == "no difference"
    assert decision.chosen in {"uniform", "mgda"}


def test_within_one_standard_error_the_cheaper_is_chosen():
    """By hand: groups-2 leads by 1 on average, with a standard error of 2 / sqrt(3) > 1."""
    validation = scores({"uniform": 0.0, "groups-2": 1.0})
    shift = {0: -2.0, 1: 0.0, 2: 2.0}
    lead = validation["method"] == "groups-2"
    validation.loc[lead, "value"] += 0.5 / 100 * validation.loc[lead, "seed"].map(shift)
    decision = decide([SINGLE, UNIFORM, PAIR], validation, validation, COSTS)
    assert (decision.leader, decision.chosen) == ("groups-2", "uniform")
    validation.loc[lead, "value"] += 0.5 / 100 * 0.5  # 1.5 is more than 1.15
    decision = decide([SINGLE, UNIFORM, PAIR], validation, validation, COSTS)
    assert (decision.leader, decision.chosen) == ("groups-2", "groups-2")


def test_one_seed_decides_nothing():
    assert decided({"uniform": 5.0}, seeds=1).verdict == "undecided"


def test_who_lost_seeds_to_the_budget_is_not_chosen():
    validation = scores({"uniform": 1.0, "mgda": 5.0})
    some = validation[(validation["method"] != "mgda") | (validation["seed"] == 0)]
    decision = decide([SINGLE, UNIFORM, MGDA], some, some, COSTS)
    assert decision.chosen == "uniform"
    assert decision.ruled_out == {"mgda": "has 1 of 3 seeds"}


def test_what_may_not_be_chosen_does_not_say_how_many_seeds_the_others_need():
    """A run of the joint network crashed; each task alone has all seeds, and too many networks."""
    validation = scores({"uniform": 1.0})
    some = validation[(validation["method"] != "uniform") | (validation["seed"] > 0)]
    decision = decide([SINGLE, UNIFORM], some, some, COSTS, networks=1)
    assert decision.chosen == "uniform"
    assert decision.contrasts[0].test.seeds == 2


def test_no_method_allowed_is_an_error():
    with pytest.raises(ValueError, match="at most 1 networks"):
        decide([SINGLE], scores({}), scores({}), COSTS, networks=1)


def test_a_score_of_zero_alone_leaves_no_ratio_and_no_crash():
    validation = scores({"uniform": 1.0})
    validation.loc[(validation["method"] == "single") & (validation["task"] == "a"), "value"] = 0.0
    decision = decide([SINGLE, UNIFORM], validation, validation, COSTS)
    assert decision.verdict == "undecided"
    assert decision.chosen == "single"


@given(
    st.dictionaries(st.sampled_from(["uniform", "mgda", "groups-2"]), st.floats(-20, 20), min_size=1),
    st.sampled_from([None, 1, 2, 3]),
    st.integers(1, 5),
    st.floats(0, 5),
    st.integers(0, 1000),
)
def test_whatever_the_numbers(changes, networks, seeds, noise, seed):
    methods = [method for method in METHODS if method.key in {"single", *changes}]
    validation, test = (scores(changes, seeds, noise, seed + offset) for offset in (0, 1))
    allowed = [method for method in methods if networks is None or len(method.networks) <= networks]
    if not allowed:
        return
    decision = decide(methods, validation, test, COSTS, networks=networks)
    chosen = next(method for method in methods if method.key == decision.chosen)
    assert chosen in allowed
    assert COSTS[decision.chosen].networks <= COSTS[decision.leader].networks
    judged = decision.contrasts[0]
    if decision.verdict == "share":
        assert chosen.shares
        assert judged.method == decision.chosen
        assert judged.test.low > 0
    elif decision.verdict == "separate":
        assert judged.test.high < 0
    elif decision.verdict == "no difference":
        assert judged.test.low <= 0 <= judged.test.high
    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision


def test_json_keeps_what_is_infinite():
    one = Estimate(1.0, -math.inf, math.inf, 0.0, 1)
    decision = Decision("a", "a", "undecided", (Contrast("a", "single", one, one, {"t": one}),), {"a": COSTS["single"]})
    text = json.dumps(decision.to_json(), allow_nan=False)
    assert Decision.from_json(json.loads(text)) == decision


@pytest.mark.parametrize("method", METHODS)
def test_methods_survive_json(method):
    assert Method.from_json(json.loads(json.dumps(method.to_json()))) == method
