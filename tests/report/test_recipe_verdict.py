"""The verdict of a recipe says what its intervals support, and no more."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.report import recipe_verdict
from counterpoint.report.recipe_verdict import REHEARSAL

from . import recipe_by_hand as by_hand
from .fabricated_recipes import LABELS, SCENES, around, fabricate_recipe
from .parsed_page import plain

TASKS = {"depth": SCENES["depth"], "segmentation": SCENES["segmentation"][:1]}
METHODS = ("single", "uniform", "mgda", "dibs")
NUMBER = r"[+-]?[\d,]*\.?\d+"
JUDGED = re.compile(rf"(?:^| and |, )([A-Z][\w -]*?) \(({NUMBER}) %, 95 % interval ({NUMBER}) to ({NUMBER})\)")


def small(**options):
    return fabricate_recipe(**{"tasks": TASKS, "methods": METHODS, "epochs": 0, "pictures": 0} | options)


def say(results):
    return [plain(sentence) for sentence in recipe_verdict(results)]


def claims(sentence):
    """Method, outcome, and the numbers said of it, for every method that a comparing sentence names."""
    _, _, said = sentence.rstrip(".").partition(", ")
    found = []
    for clause in said.split("; "):
        nothing = clause.startswith("no difference was found for ")
        outcome = 0 if nothing else 1 if clause.endswith("did better") else -1
        assert nothing or clause.endswith(("did better", "did worse")), clause
        judged = JUDGED.findall(clause.removeprefix("no difference was found for "))
        found += [(name, outcome, [float(number.replace(",", "")) for number in rest]) for name, *rest in judged]
        assert clause.count("interval") == len(judged)
    return found


def check(results, sentence, against, others):
    found = claims(sentence)
    assert sorted(name for name, *_ in found) == sorted(LABELS[method] for method in others)
    keys = {label: key for key, label in LABELS.items()}
    for name, outcome, numbers in found:
        change = by_hand.change(results, keys[name], against)
        assert outcome == by_hand.side(change)
        assert numbers == pytest.approx(by_hand.interval(change), abs=0.051)
        if outcome:
            assert numbers[1] * numbers[2] > 0 or 0 in numbers  # an end that is not zero does not cross it


def test_methods_are_compared_with_each_task_alone_and_with_the_plain_sum():
    results = small(gains={"uniform": around(-3.0), "mgda": around(4.0), "dibs": around(0.0)})
    alone, plain_sum = say(results)
    assert alone.startswith("Compared with training each task alone, MGDA-UB (+4.0 %, 95 % interval +3.8 to +4.2) ")
    assert "Uniform (-3.0 %, 95 % interval -3.2 to -2.8) did worse" in alone
    assert "no difference was found for DiBS" in alone
    assert plain_sum.startswith("Compared with the plain sum of losses (Uniform), MGDA-UB (")
    assert "and DiBS (" in plain_sum
    assert plain_sum.endswith(" did better.")
    assert "Single" not in plain_sum


@pytest.mark.parametrize("seed", range(12))
def test_no_sentence_claims_more_than_random_scores_show(seed):
    random = np.random.default_rng(seed)
    gains = {
        (method, task): tuple(random.normal(random.normal(0, 2), random.exponential(1.0), 3))
        for method in METHODS[1:]
        for task in TASKS
    }
    results = small(seeds=int(random.integers(2, 4)), gains=gains)
    alone, plain_sum = say(results)
    check(results, alone, "single", METHODS[1:])
    check(results, plain_sum, "uniform", METHODS[2:])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=2, max_size=4), st.lists(st.floats(-30, 30), min_size=4, max_size=4))
def test_better_and_worse_follow_the_interval(mine, theirs):
    gains = {"mgda": mine, "uniform": theirs}
    results = small(seeds=len(mine), methods=METHODS[:3], tasks={"depth": SCENES["depth"]}, gains=gains)
    by_hand_sides = [
        by_hand.change(results, key, against) for key, against in (("mgda", "single"), ("mgda", "uniform"))
    ]
    for sentence, change in zip(say(results), by_hand_sides, strict=True):
        if 0 < np.ptp(change) < 1e-9 or np.abs(by_hand.interval(change)[1:]).min() < 1e-9:
            continue  # decided by rounding
        outcome = next(outcome for name, outcome, _ in claims(sentence) if name == "MGDA-UB")
        assert outcome == by_hand.side(change)


def test_one_seed_says_that_nothing_can_be_said():
    (said,) = say(small(seeds=1, gains={"mgda": around(50.0)}))
    assert said.startswith("One seed was trained, so nothing can be said about differences between methods")


def test_a_method_of_one_seed_among_others_is_not_judged():
    results = small(gains={"mgda": around(50.0), "dibs": around(1.0), "uniform": around(1.0)})
    scores = results.scores
    alone, _ = say(dataclasses.replace(results, scores=scores[(scores["method"] != "mgda") | (scores["seed"] == 0)]))
    assert "one seed cannot tell for MGDA-UB (+50.0 %)" in alone
    other = scores.assign(seed=scores["seed"] + 7 * (scores["method"] == "mgda"))
    alone, _ = say(dataclasses.replace(results, scores=other))
    assert "nothing can be said about MGDA-UB, which has no seed in common" in alone


def test_a_rehearsal_claims_nothing():
    results = small(gains={"mgda": around(50.0)})
    results.about["tiny"] = True
    assert say(results) == [plain(REHEARSAL)]
    assert "mean nothing" in REHEARSAL


def test_undefined_changes_are_said_to_be_undefined():
    results = small(gains={"mgda": around(5.0), "dibs": around(5.0), "uniform": around(0.0)})
    scores = results.scores.copy()
    scores.loc[
        (scores["method"] == "mgda") & (scores["metric"] == "relative error") & (scores["seed"] == 1), "value"
    ] = np.nan
    alone, plain_sum = say(dataclasses.replace(results, scores=scores))
    for said in (alone, plain_sum):
        assert "nothing can be said about MGDA-UB, where a score is not finite" in said
        assert "DiBS (+" in said


def test_what_was_not_trained_is_said():
    assert say(small(methods=("single",))) == [
        "No shared network was trained, so this recipe cannot say whether sharing helps."
    ]
    alone, balancing = say(small(methods=("single", "mgda")))
    assert alone.startswith("Compared with training each task alone")
    assert balancing.startswith("The plain sum of losses was not trained")
    alone, balancing = say(small(methods=("uniform", "mgda")))
    assert alone.startswith("No task was trained alone")
    assert balancing.startswith("Compared with the plain sum of losses (Uniform)")
    _, balancing = say(small(methods=("single", "uniform")))
    assert balancing.startswith("No other weighting than the plain sum was trained")


def test_another_reference_is_compared_with_by_name():
    results = small(methods=("uniform", "mgda", "dibs"), gains={"mgda": around(1.0), "dibs": around(3.0)})
    results.about["reference"] = "mgda"
    alone, own, plain_sum = say(results)
    assert alone.startswith("No task was trained alone")
    assert own.startswith("Compared with MGDA-UB, DiBS (+2.0 %")
    check(results, own, "mgda", ("uniform", "dibs"))
    check(results, plain_sum, "uniform", ("mgda", "dibs"))


def test_trainings_that_failed_are_counted_and_named():
    results = small()
    results.about["failed"] = [{"label": "MGDA-UB"}, {"label": "MGDA-UB"}, {"label": "DiBS"}]
    assert say(results)[-1] == "3 trainings failed and are left out (MGDA-UB and DiBS)."


@pytest.mark.parametrize("absent", ["single", "mgda"])
def test_a_mean_over_the_tasks_that_did_not_fail_is_no_mean_over_tasks(absent):
    """Every training of one task failed: of the others alone nothing is said of all, nor that they are all."""
    results = small(seeds=3)
    scores = results.scores
    gone = (scores["method"] == absent) & (scores["task"] == "depth")
    results = dataclasses.replace(results, scores=scores[~gone])
    sharing = say(results)[0]
    assert "MGDA-UB" in sharing.partition("nothing can be said about ")[2]
    assert results.improvement().query("method == 'mgda'").empty
