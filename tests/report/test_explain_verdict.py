"""The verdict and the sentences of an explain study claim what the intervals support, and no more."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.estimate import Estimate
from counterpoint.report import explain_verdict
from counterpoint.report.curves import Curve
from counterpoint.report.explain_associations import associations_sentences, conflict_sentence
from counterpoint.report.explain_curves import as_ratio
from counterpoint.report.explain_factor_words import factor_sentence
from counterpoint.report.explain_sentences import deficit_sentence, gap_sentence
from counterpoint.report.explain_units import PLAIN, POINTS, amount, change, common_metric, metric_unit, ratio, side
from counterpoint.study.explain.factors import FACTORS
from counterpoint.study.explain.findings import Association, findings
from counterpoint.study.explain.results import POINTS as COLUMNS

from .parsed_page import plain

TASKS = ("a", "b", "c", "d")
CLAIMS = ("better", "worse", "gained", "lost", "higher", "lower", "less", "more", "larger", "smaller", "times as high")


def say(results, found=None):
    return [plain(sentence) for sentence in explain_verdict(results, findings(results) if found is None else found)]


def claims(sentence):
    """The words of a sentence that claim a difference, without what only says which sign would be better."""
    said = plain(sentence).replace("positive is better", "")
    return [word for word in CLAIMS if re.search(rf"\b{word}\b", said)]


def by_hand(results, method, task, levels=25):
    """The gap of a task, [seeds], with straight lines between points instead of the library's interpolation."""
    points, found = results.points, []
    for seed in results.seeds:
        runs = []
        for name in ("single", method):
            rows = points[(points["method"] == name) & (points["task"] == task) & (points["seed"] == seed)]
            values = rows.pivot_table(index="step", columns="quantity", values="value").sort_index()
            runs.append((values["train_loss"].to_numpy()[::-1], values["test_metric"].to_numpy()[::-1]))
        high, low = min(run[0][-1] for run in runs), max(run[0][0] for run in runs)
        at = np.linspace(high, low, levels)
        single, multi = (np.interp(at, *run) for run in runs)
        found.append((multi - single).mean())
    return np.array(found)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_verdict_gives_the_mean_gap_and_counts_tasks(fabricate_trajectories, direction):
    gaps = {("uniform", "a"): 0.04, ("uniform", "b"): 0.03, ("uniform", "c"): -0.03}
    results = fabricate_trajectories(
        tasks=TASKS, methods=("uniform",), gaps=gaps, seeds=4, quantities=(), direction=direction, noise=0.0005
    )
    sign = 1 if direction == "maximize" else -1
    mean = sign * 100 * np.mean([by_hand(results, "uniform", task).mean() for task in TASKS])
    first = say(results)[0]
    said = re.search(r"better by ([\d.]+) points \(95 % interval ([\d.]+) to ([\d.]+)\)", first)
    if direction == "minimize":  # errors below zero are no shares
        said = re.search(r"better by ([\d.]+) \(95 % interval ([\d.]+) to ([\d.]+)\)", first)
        mean /= 100
    assert float(said[1]) == pytest.approx(mean, rel=0.1)
    assert float(said[2]) <= float(said[1]) <= float(said[3])
    assert "2 of 4 tasks gained (a and b), 1 lost (c)" in first
    assert "for 1 no difference was found" in first


def test_a_harmful_way_of_sharing_is_called_worse_by_a_positive_amount(fabricate_trajectories):
    first = say(fabricate_trajectories(tasks=TASKS, gaps=-0.03, seeds=4, quantities=()))[0]
    assert re.search(r"worse by 2\.\d points \(95 % interval 2\.\d to 2\.\d\) on average over tasks", first)
    assert "4 of 4 tasks lost (a, b, c and 1 more)." in first
    assert "better" not in first


def test_where_no_difference_is_found_that_is_what_is_said(fabricate_trajectories):
    results = fabricate_trajectories(tasks=TASKS, methods=("uniform",), gaps=0.0, slowness=1.0, noise=0.0)
    verdict = say(results)
    assert (
        "no difference was found in the test accuracy at comparable training loss, on average over tasks" in verdict[0]
    )
    assert "for none of 4 tasks by itself was a difference found" in verdict[0]
    assert verdict[1].startswith("At equal steps, no difference in training loss was found for Uniform (0.0")
    assert not any(claims(sentence) for sentence in verdict)
    assert not any(word in " ".join(verdict) for word in ("no difference in the gap", "equal to", "did not change"))


def test_a_slower_and_a_faster_way_of_sharing(fabricate_trajectories):
    for slowness, word in ((1.5, "higher"), (0.7, "lower")):
        results = fabricate_trajectories(tasks=TASKS, methods=("uniform",), gaps=0.0, slowness=slowness, quantities=())
        table = results.points.query("quantity == 'train_loss'").pivot_table(
            index=["task", "seed", "step"], columns="method", values="value"
        )
        mean = abs((table["uniform"] - table["single"]).mean())
        said = next(sentence for sentence in say(results) if "training loss with" in sentence)
        assert f"training loss with Uniform was {word} by {mean:.2f} (95 % interval" in said
        assert "averaged over tasks and probe steps." in said


def test_when_it_shows_is_the_step_at_which_it_becomes_clear(fabricate_trajectories):
    results = fabricate_trajectories(tasks=TASKS, methods=("uniform",), gaps=0.05, seeds=4, quantities=())
    found = findings(results)
    steps = [c.gap.onset.multi_step for c in found.comparisons["uniform"].values()]
    said = next(sentence for sentence in say(results, found) if "is clear" in sentence)
    assert f"from about step {min(steps):.0f} of the shared training on" in said
    later = fabricate_trajectories(tasks=TASKS, methods=("uniform",), gaps=0.05, seeds=4, quantities=())
    rows = (later.points["task"] == "c") & (later.points["quantity"] == "test_metric") & (later.points["step"] < 50)
    later.points.loc[rows, "value"] = 0.5
    found = findings(later)
    step = found.comparisons["uniform"]["c"].gap.onset.multi_step
    said = next(sentence for sentence in say(later, found) if "is clear" in sentence)
    assert step > 20
    assert said.endswith(f" to {step:.0f} (c) of the shared training on.")
    none = fabricate_trajectories(tasks=TASKS, methods=("uniform",), gaps=0.0, noise=0.0, slowness=1, quantities=())
    assert not any("clear" in sentence for sentence in say(none))


def test_each_weighting_is_compared_with_the_plain_sum(fabricate_trajectories):
    gaps = {("mgda", task): 0.05 for task in TASKS} | {("nash", task): -0.05 for task in TASKS}
    results = fabricate_trajectories(tasks=TASKS, methods=("uniform", "mgda", "nash"), gaps=gaps, seeds=4)
    results.points.loc[(results.points["method"] == "nash") & (results.points["quantity"] == "cosine"), "value"] -= 0.5
    *_, mgda, nash = say(results)
    assert mgda.startswith(
        "Compared with Uniform, MGDA-UB had a better test accuracy at comparable training loss (by 4."
    )
    assert "no difference was found in conflict (mean cosine " in mgda
    assert "the deficit (0.0, 95 % interval 0.0 to 0.0)" in mgda
    assert nash.startswith("Compared with Uniform, nash had more conflict between gradients (mean cosine lower by 0.5")
    assert "a worse test accuracy at comparable training loss (by " in nash


def test_without_the_plain_sum_each_weighting_is_compared_with_single_tasks(fabricate_trajectories):
    verdict = say(fabricate_trajectories(tasks=TASKS, methods=("mgda", "nash"), gaps=0.05, quantities=("cosine",)))
    assert verdict[0].startswith("Sharing all 4 tasks (MGDA-UB) made")
    assert verdict[1].startswith("Sharing all 4 tasks (nash) made")
    assert not any("Compared with" in sentence for sentence in verdict)


def test_tasks_without_a_common_range_are_counted_and_named(fabricate_trajectories):
    results = fabricate_trajectories(tasks=TASKS, gaps=0.05, quantities=())
    apart = (results.points["method"] == "uniform") & (results.points["quantity"] == "train_loss")
    one = apart & (results.points["task"] == "c")
    results.points.loc[one, "value"] += 100.0
    found = findings(results)
    first, *_, last = say(results, found)
    assert "on average over the 3 of 4 that can be compared; " in first
    assert "3 of 4 tasks gained (a, b and d), 1 cannot be compared (c)" in first
    assert "positive is better)" in last
    assert re.search(r"at comparable training loss \(.*, 3 of 4 tasks, positive", last)
    sentence = gap_sentence({"uniform": found.comparisons["uniform"]["c"]}, results.methods)
    assert "Uniform cannot be compared with single-task training: the trajectories have no common range" in sentence
    results.points.loc[apart & ~one, "value"] += 100.0
    again = type(results)(results.points, results.runs, results.about)
    assert say(again)[0] == (
        "Sharing all 4 tasks (Uniform) cannot be compared with single-task training at the same training loss: "
        "4 cannot be compared (a, b, c and 1 more)."
    )


def test_metrics_that_differ_are_not_averaged(fabricate_trajectories):
    about = {
        "tasks": {t: {"metric": m, "direction": "maximize"} for t, m in zip(TASKS, ("accuracy", "R2") * 2, strict=True)}
    }
    results = fabricate_trajectories(tasks=TASKS, gaps=0.05, quantities=("cosine",), about=about)
    assert common_metric(results) == ""
    assert metric_unit(results) is PLAIN
    verdict = say(results)
    assert verdict[0] == (
        "Sharing all 4 tasks (Uniform): at comparable training loss, 4 of 4 tasks gained (a, b, c and 1 more); "
        "no mean is given, because the tasks' metrics differ."
    )
    assert "the tasks' metrics differ, so no mean is given" in verdict[-1]


@pytest.mark.parametrize(("slope", "word"), [(-1, "larger"), (1, "smaller")])
def test_conflict_goes_with_the_deficit_only_where_its_interval_excludes_zero(fabricate_trajectories, slope, word):
    results = fabricate_trajectories(tasks=tuple("abcdefg"), methods=("uniform",), quantities=("cosine",), gaps=0.0)
    points = results.points
    for index, task in enumerate("abcdefg"):
        rows = (points["task"] == task) & (points["method"] == "uniform")
        points.loc[rows & (points["quantity"] == "train_loss") & (points["step"] > 0), "value"] *= 1 + 0.1 * index
        points.loc[rows & (points["quantity"] == "cosine"), "value"] = 0.1 * slope * index + 0.01 * points["seed"]
    found = findings(results)
    sentence = plain(conflict_sentence(results, found, "uniform"))
    assert f"tasks with more of it had a {word} optimization deficit (rank correlation of the gradient" in sentence
    unclear = [
        dataclasses.replace(a, correlation=dataclasses.replace(a.correlation, low=-0.9, high=0.9))
        for a in found.associations
    ]
    sentence = plain(conflict_sentence(results, dataclasses.replace(found, associations=tuple(unclear)), "uniform"))
    assert "no relation with the optimization deficit was found" in sentence
    assert "no relation with the gap in the test metric was found" in sentence
    assert "more of it" not in sentence


def test_correlations_are_counted_and_their_number_is_admitted(fabricate_trajectories):
    results = fabricate_trajectories(tasks=TASKS, methods=("uniform",), noise=0.01)
    found = findings(results)
    clear = dataclasses.replace(found.associations[0].correlation, value=-0.8, low=-0.95, high=-0.4)
    vague = dataclasses.replace(clear, value=0.1, low=-0.5, high=0.6)
    made = tuple(
        Association(a.method, a.factor, a.place, a.target, clear if index == 3 else vague)
        for index, a in enumerate(found.associations)
    )
    named, counted, *_ = associations_sentences(results, dataclasses.replace(found, associations=made))
    factor = made[3].factor.label.split()[-1].lower()
    assert factor in named
    assert "-0.80, 95 % interval -0.95 to -0.40" in plain(named)
    assert f"Of {len(made)} intervals, 1 excludes zero; they are not adjusted for their number" in counted
    assert f"about {round(len(made) / 20)} would exclude zero by chance" in counted
    assert ("up to twice as many, since the tasks are few" in counted) == (len(results.tasks) < 8)
    none = tuple(dataclasses.replace(a, correlation=vague) for a in made)
    said = associations_sentences(results, dataclasses.replace(found, associations=none))
    assert said[0] == "For no factor was a correlation found."
    assert "none excludes zero" in said[1]


def test_two_tasks_are_too_few_to_correlate(fabricate_trajectories):
    results = fabricate_trajectories(tasks=("a", "b"), methods=("uniform",))
    assert say(results)[-1] == (
        "What the differences go along with, 2 tasks cannot tell. Correlations need at least three tasks."
    )
    assert associations_sentences(results, findings(results)) == [
        "This study has 2 tasks. Correlations need at least three tasks."
    ]


ESTIMATES = st.builds(
    lambda mean, half: Estimate(mean, mean - half, mean + half, half, 3),
    st.floats(-5, 5, allow_subnormal=False),
    st.floats(0, 5, allow_subnormal=False),
)


@given(ESTIMATES)
def test_a_sentence_claims_a_difference_exactly_where_the_interval_excludes_zero(estimate):
    sentences = [deficit_sentence([("Uniform", estimate)])]
    sentences += [
        factor_sentence(FACTORS[key], {"loss": [("Uniform", estimate)]}) for key in ("coherence", "sharpness")
    ]
    for sentence in sentences:
        if side(estimate):
            assert claims(sentence)
            assert "no difference" not in sentence
        else:
            assert "no difference in" in sentence
            assert set(claims(sentence)) <= {"times as high"}  # the ratio, in parentheses
    if side(estimate):
        word = "higher" if estimate.mean > 0 else "lower"
        assert f"was {word} by" in sentences[0]
        assert f"was {word} by" in sentences[1]


@given(ESTIMATES)
def test_numbers_stand_inside_their_intervals_and_ends_beside_zero_do_not_read_as_zero(estimate):
    for unit in (PLAIN, POINTS):
        mean, low, high = (
            float(n)
            for n in re.findall(r"[+-]?\d[\d.]*", plain(change(estimate, unit)).replace("95 %", "").replace(",", ""))
        )
        assert low <= mean <= high
        digits = 10 ** -max(len(str(n).partition(".")[2]) for n in (mean, low, high))
        assert mean == pytest.approx(unit.scale * estimate.mean, abs=digits)
        if side(estimate):
            near = float(re.findall(r"interval ([\d.]+)", plain(amount(estimate, unit)).replace(",", ""))[0])
            assert (
                near > 0
                or min(abs(estimate.low), abs(estimate.high)) * unit.scale < 1e-3 * abs(estimate.mean) * unit.scale
            )


@given(ESTIMATES)
def test_ratios_are_powers_of_two(estimate):
    mean, low, high = (
        float(n) for n in re.findall(r"\d[\d.]*", plain(ratio(estimate)).replace("95 %", "").replace(",", ""))
    )
    assert low <= mean <= high
    assert mean == pytest.approx(2**estimate.mean, rel=0.06)


def made_up(random, tasks, seeds, fabricated):
    """A study without any difference: both draw their metric, and their speed, from the same distribution."""
    results = fabricated(
        tasks=tasks, methods=("uniform", "mgda"), seeds=seeds, gaps=0.0, slowness=1.0, noise=0.0, quantities=("cosine",)
    )
    points = results.points
    noisy = points["quantity"].isin(["test_metric", "cosine"]) & (points["step"] > 0)
    shifts = random.normal(0, 0.02, size=(3, len(tasks), seeds))
    keys = {m: i for i, m in enumerate(("single", "uniform", "mgda"))}, {t: i for i, t in enumerate(tasks)}
    moved = shifts[points["method"].map(keys[0]), points["task"].map(keys[1]), points["seed"]]
    values = np.where(noisy, points["value"] + moved, points["value"])
    return type(results)(pd.DataFrame(points.assign(value=values), columns=list(COLUMNS)), results.runs, results.about)


@pytest.mark.parametrize("seed", range(12))
def test_studies_without_a_difference_claim_one_only_where_an_interval_happens_to_exclude_zero(
    fabricate_trajectories, seed
):
    random = np.random.default_rng(seed)
    results = made_up(random, ("a", "b", "c"), int(random.integers(2, 5)), fabricate_trajectories)
    found = findings(results)
    verdict = say(results, found)
    estimates = {task: c.gap.estimate for task, c in found.comparisons["uniform"].items()}
    allowed = {
        "gained": any(e.low > 0 for e in estimates.values()),
        "lost": any(e.high < 0 for e in estimates.values()),
    }
    mean = found.gap("uniform")
    allowed |= {"better": mean.low > 0, "worse": mean.high < 0}
    assert set(claims(verdict[0])) == {word for word, fits in allowed.items() if fits}
    for task, estimate in estimates.items():
        sentence = gap_sentence({"uniform": found.comparisons["uniform"][task]}, results.methods, POINTS)
        wanted = {1: ["better"], -1: ["worse"], 0: []}[(estimate.low > 0) - (estimate.high < 0)]
        assert claims(sentence) == wanted
    answers = {a.subject: a.estimate for a in found.answers}
    assert ("no difference was found" in verdict[-1]) == any(e.low <= 0 <= e.high for e in answers.values())
    assert ("MGDA-UB had" in verdict[-1]) == any(e.low > 0 or e.high < 0 for e in answers.values())


def test_a_ratio_whose_interval_no_float_can_hold():
    wide = Estimate.of([100.0, -100.0])
    assert wide.high > 1024
    assert plain(ratio(wide)) == "1.0 times as high (95 % interval 0.0 to not finite)"
    assert as_ratio(Curve([1.0], [0.0], [wide.low], [wide.high], 2)).high == [pytest.approx(2.0**1000, rel=1e-3)]
