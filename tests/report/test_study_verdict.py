"""The verdict of a study says what its intervals support, and no more."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.estimate import Estimate
from counterpoint.report import study_verdict
from counterpoint.report.study_tables import standing
from counterpoint.study.decision import decide
from counterpoint.study.summary import BASELINE

from . import by_hand
from .fabricated_studies import around, fabricate_study, troubled_study
from .parsed_page import plain

NUMBER = r"[+-]?[\d,]*\.?\d+"
CLAIM = re.compile(
    rf"(?:^|[.;] )(?:(?:Each task alone is ruled out|There|Not).*?[.;] )?(?:[Oo]n test rows )?"
    rf"(?P<first>[^.;]+?) is (?P<word>better|worse) than (?P<second>[^.;]+?) by (?P<mean>{NUMBER}) % "
    rf"\(95 % interval (?P<near>{NUMBER}) to (?P<far>{NUMBER})\)"
)
NOTHING = re.compile(rf"no difference was found between (?P<first>[^.;]+?) and (?P<second>[^.;]+?) \(Δm {NUMBER} %")
COUNTS = re.compile(r"(\d+)(?: of \d+ tasks)? (gained|lost)")
SHARED = ("uniform", "mgda", "tuned", "groups-2")


def say(results):
    return [plain(sentence) for sentence in study_verdict(results)]


def small(**options):
    return fabricate_study(curves=False, measured=False, **options)


def key_of(results, words):
    words = words.removeprefix("but ").removeprefix("training in ").partition(", of the ways")[0]
    named = {"it": results.decision.chosen, "each task alone": BASELINE, "tuning the loss scales": "tuned"}
    return named.get(words) or next(method.key for method in results.methods if method.label == words)


def check(results):
    """Every claim of the verdict, against the runs."""
    verdict = " ".join(say(results))
    judged = results.decision.sharing
    claims = list(CLAIM.finditer(verdict))
    assert len(claims) == verdict.count(" better than ") + verdict.count(" worse than ")
    for claim in claims:
        sample = by_hand.change(results, key_of(results, claim["first"]), key_of(results, claim["second"]))
        mean, low, high = by_hand.interval(sample)
        assert by_hand.side(sample) == (1 if claim["word"] == "better" else -1)
        near, middle, far = (float(claim[name].replace(",", "")) for name in ("near", "mean", "far"))
        digits = 0.51 * 10.0 ** -len(claim["mean"].partition(".")[2])
        assert middle == pytest.approx(abs(mean), abs=digits)
        assert (near, far) == pytest.approx(tuple(sorted((abs(low), abs(high)))), abs=digits)
        assert near > 0 or min(abs(low), abs(high)) < 1e-3 * max(abs(low), abs(high))
    for none in NOTHING.finditer(verdict):
        sample = by_hand.change(results, key_of(results, none["first"]), key_of(results, none["second"]))
        assert by_hand.side(sample) == 0
    if "gained" in verdict or "lost" in verdict:
        sides = [by_hand.side(by_hand.change(results, judged, BASELINE, task)) for task in results.tasks]
        counts = {word: int(count) for count, word in COUNTS.findall(verdict)}
        assert counts == {word: sides.count(side) for word, side in (("gained", 1), ("lost", -1)) if side in sides}
    return verdict


def test_what_to_train_and_what_it_gains_come_first():
    results = small(gains={"mgda": around(2.0), "uniform": around(1.0)})
    train, gain, beaten, *_ = say(results)
    assert train == "Train all 3 tasks together in one network (price, cut and clarity), balanced by MGDA-UB."
    assert gain.startswith("On test rows it is better than each task alone by 2.0 % (95 % interval 1.8 to 2.2)")
    assert gain.endswith("; 3 of 3 tasks gained (price, cut and clarity).")
    assert "MGDA-UB is better than tuning the loss scales by 2.0 %" in beaten
    assert "MGDA-UB is better than Uniform by 1.0 %" in beaten
    check(results)


def test_groups_are_named_with_their_tasks_and_tuned_scales_with_their_numbers():
    assert say(small(gains={"groups-2": around(3.0)}))[0] == (
        "Train 2 networks, with equal weights: (1) serves price and clarity, with the help of cut; "
        "(2) serves cut alone."
    )
    said = say(small(gains={"tuned": around(3.0)}))[0]
    assert said.endswith(", with tuned loss scales (0.5 for price, 1 for cut and 2 for clarity).")


def test_separate_networks_are_recommended_where_sharing_is_worse():
    results = small(gains=dict.fromkeys(SHARED, around(-2.0)))
    train, worse, *rest = say(results)
    assert train == "Train them separately: one network for each of the 3 tasks."
    assert re.match(r"On test rows .*, of the ways of sharing the best on validation rows, is worse than each", worse)
    assert "by 2.0 % (95 % interval 1.8 to 2.2)" in worse
    assert not any("better" in sentence for sentence in rest)
    check(results)


def test_test_rows_that_contradict_the_choice_are_believed_and_the_bundle_is_named():
    results = small(methods=("single", "mgda"), gains={"mgda": around(-2.0)}, validation={"mgda": around(2.0)})
    verdict = say(results)
    assert verdict[0] == "Train them separately: test rows contradict what was chosen on validation rows."
    assert verdict[2].startswith("The bundle holds MGDA-UB")
    assert standing(results, "mgda") == "chosen on validation rows"
    assert standing(results, BASELINE) == "recommended: test rows contradict the choice"
    without = dataclasses.replace(results, about={})
    assert not any("bundle" in sentence for sentence in say(without))
    check(results)


def test_where_no_difference_is_found_the_cheaper_one_is_recommended_with_its_saving():
    results = small(
        gains={"uniform": (3.0, -2.0, 1.5), "mgda": (-9.0, -9.1, -9.2)}, methods=("single", "uniform", "mgda")
    )
    first, second, *rest = say(results)
    assert first.startswith(
        "No detectable difference: test rows do not tell Uniform and each task alone apart (Δm +0.8 %"
    )
    assert second.startswith("So the cheaper one is recommended: 1 network instead of 3. Train all 3 tasks together")
    assert rest[0] == next(s for s in rest if "MGDA" in s or "chosen on validation" in s)
    check(results)


def test_a_cheaper_method_within_one_standard_error_is_told_apart_from_the_leader():
    gains = {"groups-2": (1.0, 3.0, 2.0), "uniform": (1.5, 2.0, 2.0)}
    results = small(gains=gains, methods=("single", "uniform", "groups-2"))
    assert (results.decision.leader, results.decision.chosen) == ("groups-2", "uniform")
    said = next(s for s in say(results) if "highest mean" in s)
    assert said.startswith(
        "Training in 2 groups had the highest mean on validation rows; Uniform is within one standard error "
        "of it there and cheaper to serve (1 network instead of 2). On test rows no difference was found "
    )
    assert standing(results, "groups-2") == "highest mean on validation rows"
    check(results)


def test_a_better_method_that_is_ruled_out_is_named_with_the_reason():
    gains = {"uniform": around(1.0), "groups-2": around(4.0)}
    results = small(gains=gains, methods=("single", "uniform", "groups-2"), networks=1)
    said = next(s for s in say(results) if "ruled out" in s)
    assert said.startswith("On test rows Uniform is worse than training in 2 groups by 3.0 %")
    assert said.endswith("but training in 2 groups is ruled out: it needs 2 networks, 1 allowed.")
    alone = small(gains=dict.fromkeys(SHARED, around(-2.0)), networks=2)
    assert "Each task alone is ruled out: it needs 3 networks, 2 allowed. On test rows" in " ".join(say(alone))
    assert standing(alone, alone.decision.chosen) == "recommended"
    check(alone)


def test_one_seed_and_missing_references_decide_nothing():
    verdict = say(small(seeds=1, gains={"mgda": (2.0,)}))
    assert verdict[0] == "Undecided: one seed cannot tell MGDA-UB and each task alone apart; at least two are needed."
    assert "Δm is +2.0 % on test rows and +2.0 % on validation rows, without an interval" in verdict[1]
    assert not any("95 %" in sentence for sentence in verdict)
    assert "no task was trained alone" in say(small(methods=("uniform", "mgda")))[0]
    assert "no shared network was trained" in say(small(methods=("single",)))[0]
    assert "there is one task" in say(small(tasks=("price",), methods=("single",)))[0]


def test_undefined_changes_are_said_to_be_undefined():
    results = small(methods=("single", "uniform"))
    for value in (0.0, np.nan, np.inf):
        runs = results.runs.copy()
        runs.loc[(runs["run"] == "single/0/0"), ["validation_value", "test_value"]] = value
        broken = dataclasses.replace(results, runs=runs)
        decision = decide(broken.methods, broken.scores("validation"), broken.scores("test"), results.decision.costs)
        verdict = say(dataclasses.replace(broken, decision=decision))
        assert verdict[0].startswith("Undecided: a score is not finite, or a task scored zero alone"), value
        assert not any(re.search(r"\b(nan|inf)\b", sentence) for sentence in verdict)


def test_validation_rows_that_test_rows_do_not_confirm_leave_it_undecided():
    results = small(methods=("single", "mgda"), gains={"mgda": around(2.0)}, validation={"mgda": around(-2.0)})
    verdict = say(results)
    assert verdict[0] == "Undecided: validation rows led to each task alone, but test rows speak for MGDA-UB."
    check(results)


def test_what_qualifies_the_verdict_is_said():
    verdict = say(troubled_study())
    text = " ".join(verdict)
    assert any(s.startswith("Suspicious: column '<b>id</b>' determines") for s in verdict)
    assert "Not all that was planned was trained: MGDA-UB, seed 3 (the budget of 10 minutes was spent); MGDA" in text
    assert "1 training crashed, and what it would have shown is missing: FAMO, seed 1." in text
    assert "test rows took no part in it" in text
    assert "covers 3 training seeds on one fixed split of the rows" in text
    assert "x" * 41 not in verdict[1]  # names are cut in sentences


@pytest.mark.parametrize("seed", range(10))
def test_no_sentence_claims_more_than_the_runs_show(seed):
    random = np.random.default_rng(seed)
    seeds = int(random.integers(2, 5))
    scale = 10.0 ** random.uniform(-2, 1.5)
    keys = [key for key in SHARED if random.random() < 0.8] or ["uniform"]

    def drawn():
        return {(key, task): random.normal(random.normal(0, scale), scale / 2, seeds) for key in keys for task in "abc"}

    gains = drawn()
    validation = drawn() if random.random() < 0.5 else gains
    networks = random.choice([None, 1, 2])
    served = {keys[0]: seeds - 1} if random.random() < 0.3 and len(keys) > 1 else None
    results = small(
        tasks="abc", methods=("single", *keys), seeds=seeds, gains=gains, validation=validation, networks=networks,
        served=served,
    )  # fmt: skip
    verdict, decision = check(results), results.decision
    opening = {
        "share": "Train (all|[23] networks)",
        "no difference": "No detectable difference",
        "undecided": "Undecided",
        "separate": "Train",
    }
    assert re.match(opening[decision.verdict], verdict)
    alone = decision.verdict == "separate" and BASELINE not in decision.ruled_out
    assert verdict.startswith("Train them separately") == alone
    if "highest mean on validation rows" in verdict:
        allowed = [key for key in ("single", *keys) if key not in decision.ruled_out]
        means = {key: 0 if key == BASELINE else by_hand.change(results, key, BASELINE, split="validation").mean()
                 for key in allowed}  # fmt: skip
        assert max(means, key=means.get) == decision.leader != decision.chosen


ESTIMATES = st.builds(
    lambda mean, half: Estimate(mean, mean - half, mean + half, half, 3),
    st.floats(-50, 50, allow_subnormal=False),
    st.floats(0, 50, allow_subnormal=False),
)
BASE = small(methods=("single", "uniform"))


@settings(max_examples=40)
@given(ESTIMATES, ESTIMATES, st.sampled_from(["single", "uniform"]))
def test_the_headline_follows_the_interval(estimate, task, chosen):
    side = (estimate.low > 0) - (estimate.high < 0)
    verdict = (
        "no difference" if side == 0 else "separate" if side < 0 else "share" if chosen == "uniform" else "undecided"
    )
    contrast = dataclasses.replace(BASE.decision.contrasts[0], test=estimate, tasks=dict.fromkeys(BASE.tasks, task))
    decision = dataclasses.replace(BASE.decision, chosen=chosen, leader=chosen, verdict=verdict, contrasts=(contrast,))
    said = " ".join(say(dataclasses.replace(BASE, decision=decision)))
    assert ("better than" in said) == (side > 0)
    assert ("worse than" in said) == (side < 0)
    assert ("No detectable difference" in said) == (side == 0)
    assert ("3 of 3 tasks gained" in said) == (task.low > 0)
    assert ("3 of 3 tasks lost" in said) == (task.high < 0)
