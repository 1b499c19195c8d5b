"""The verdict claims what the intervals support and nothing more."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from counterpoint.report import verdict

TASKS = ("left", "right")


def say(fabricate, changes, *, direction="maximize", methods=("single", "uniform", "mgda"), base=0.8):
    """The verdict when methods differ from single-task training by ``changes`` percent, seed by seed."""
    sign = 1 if direction == "maximize" else -1
    seeds = len(next(iter(changes.values())))
    scores = {
        (method, seed, task): base * (1 + sign * changes.get(method, [0] * seeds)[seed] / 100)
        for method in methods
        for seed in range(seeds)
        for task in TASKS
    }
    study = fabricate(methods=methods, seeds=seeds, direction=direction, scores=scores, steps=10, pictures=0)
    sentences = verdict(study.scores)
    return [sentence.replace("\N{NO-BREAK SPACE}", " ") for sentence in sentences]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_better_and_worse_follow_the_metrics_direction(fabricate, direction):
    sharing, balancing = say(fabricate, {"uniform": [-5.0, -5.1, -4.9], "mgda": [3.0, 3.1, 2.9]}, direction=direction)
    half = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    low, high = 5 - half, 5 + half
    better = f"MGDA-UB (+3.0 %, 95 % interval +{3 - half:.1f} to +{3 + half:.1f}) did better"
    worse = f"Uniform (-5.0 %, 95 % interval -{high:.1f} to -{low:.1f})".replace("-", "\N{MINUS SIGN}")
    assert sharing == f"Compared with training each task alone, {better}; {worse} did worse."
    # Against uniform: 1.03 / 0.95 where larger is better, 0.97 / 1.05 where smaller is.
    change = {"maximize": "+8.4 %", "minimize": "+7.6 %"}[direction]
    assert balancing.startswith(f"Compared with uniform weights, MGDA-UB ({change}")
    assert balancing.endswith("did better.")


def test_no_difference_is_found_where_the_interval_includes_zero(fabricate):
    # Two seeds agree that it is better; their 95 % interval still reaches below zero.
    sharing, balancing = say(fabricate, {"uniform": [1.0, 2.0], "mgda": [1.0, 2.0]})
    assert sharing.startswith("Compared with training each task alone, no difference was found for Uniform (+1.5 %")
    assert "and MGDA-UB (+1.5 %" in sharing
    assert balancing.startswith("Compared with uniform weights, no difference was found for MGDA-UB (0.0 %")
    assert "better" not in sharing + balancing


def test_the_interval_of_paired_differences_is_used_not_that_of_the_scores(fabricate):
    # Seeds differ wildly, but every seed gains 2 %: only pairing can see it.
    seeds = 4
    base = np.array([0.5, 0.9, 0.6, 0.8])
    gain = {"single": 1.0, "uniform": 1.02}
    scores = {
        (m, s, t): base[s] * gain[m] + (m == "uniform") * 1e-4 * s for m in gain for s in range(seeds) for t in TASKS
    }
    study = fabricate(methods=("single", "uniform"), seeds=seeds, scores=scores, steps=10, pictures=0)
    assert "Uniform (+2.0" in verdict(study.scores)[0]
    assert verdict(study.scores)[0].endswith("did better.")


def test_one_seed_cannot_tell_however_large_the_change(fabricate):
    sharing, balancing = say(fabricate, {"uniform": [50.0], "mgda": [-50.0]})
    assert sharing == (
        "Compared with training each task alone, one seed cannot tell for Uniform (+50.0 %) "
        "and MGDA-UB (\N{MINUS SIGN}50.0 %)."
    )
    assert "one seed cannot tell for MGDA-UB" in balancing


def test_a_missing_reference_is_said(fabricate):
    assert say(fabricate, {"mgda": [1.0, 2.0]}, methods=("uniform", "mgda"))[0] == (
        "No task was trained alone, so this study cannot say whether sharing helps."
    )
    assert say(fabricate, {"mgda": [1.0, 2.0]}, methods=("single", "mgda"))[1] == (
        "No run with uniform weights was made, so this study cannot say whether balancing helps."
    )
    assert say(fabricate, {"uniform": [1.0, 2.0]}, methods=("single", "uniform"))[1] == (
        "No balanced weighting was run, so this study cannot say whether balancing helps."
    )
    assert say(fabricate, {"single": [1.0, 2.0]}, methods=("single",))[0] == (
        "No shared network was trained, so this study cannot say whether sharing helps."
    )


def test_nothing_is_said_about_diverged_runs_and_zero_references(fabricate):
    diverged = fabricate(scores={("uniform", 0, "left"): math.nan}, steps=10, pictures=0)
    assert "nothing can be said about Uniform" in verdict(diverged.scores)[0]
    zero = fabricate(scores={("single", 0, "left"): 0.0}, steps=10, pictures=0)
    assert "nothing can be said about Uniform and MGDA-UB" in verdict(zero.scores)[0]


def test_a_baseline_of_some_tasks_or_other_seeds_is_said(fabricate):
    scores = fabricate(steps=10, pictures=0).scores
    partial = scores[~((scores["method"] == "single") & (scores["task"] == "right"))]
    assert "on 1 of 2 tasks" in verdict(partial)[0]
    shifted = scores.assign(seed=scores["seed"] + 10 * (scores["method"] == "single"))
    assert "which has no seed in common" in verdict(shifted)[0]


def test_an_interval_that_excludes_zero_never_reads_as_reaching_it(fabricate):
    sharing, _ = say(fabricate, {"uniform": [0.019, 0.021, 0.02]}, methods=("single", "uniform"))
    assert sharing.endswith("did better.")
    assert "interval +0.01" in sharing or "interval +0.02" in sharing
