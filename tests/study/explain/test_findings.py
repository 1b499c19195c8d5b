"""Findings on made-up trajectories whose gaps and deficits are known."""

import numpy as np
import pytest

from counterpoint.study.explain.comparison import compare
from counterpoint.study.explain.findings import findings


def test_a_known_gap_is_found_and_a_slower_run_is_a_deficit(fabricate_trajectories):
    found = findings(fabricate_trajectories(gaps=0.03, seeds=4))
    for comparison in found.comparisons["uniform"].values():
        late = comparison.gap.differences[:, 8:]  # all start from the same network
        assert late.mean() == pytest.approx(0.03, abs=0.003)
        assert comparison.gap.onset.better
        assert comparison.deficit.estimate.mean > 0.05
        assert comparison.problem == ""
    assert found.gap("uniform").excludes_zero


def test_less_is_better_turns_the_gap_round(fabricate_trajectories):
    more = findings(fabricate_trajectories(gaps=0.03)).gap("mgda").mean
    less = findings(fabricate_trajectories(gaps=0.03, direction="minimize")).gap("mgda").mean
    assert less == pytest.approx(more, rel=1e-9)


def test_one_seed_is_refused_in_one_line(fabricate_trajectories):
    with pytest.raises(ValueError, match="1 seed gives no interval, expected at least 2 seeds") as raised:
        findings(fabricate_trajectories(seeds=1))
    assert "\n" not in str(raised.value)


def test_runs_without_a_common_range_are_said(fabricate_trajectories):
    results = fabricate_trajectories(methods=("uniform",))
    points = results.points
    far = (points["method"] == "uniform") & (points["task"] == "sum") & (points["quantity"] == "train_loss")
    points.loc[far, "value"] += 100.0
    comparison = compare(results, "uniform", "sum")
    assert comparison.gap is None
    assert "no common range of training losses" in comparison.problem
    assert findings(results).gap("uniform").seeds == 3  # the mean of the others


def test_answers_compare_weightings_with_the_plain_sum(fabricate_trajectories):
    tasks = ("a", "b", "c")
    gaps = {("mgda", task): 0.05 for task in tasks}
    answers = {answer.subject: answer for answer in findings(fabricate_trajectories(tasks=tasks, gaps=gaps)).answers}
    assert answers["gap"].estimate.low > 0
    assert not answers["deficit"].estimate.excludes_zero  # both are equally slow, exactly
    assert answers["conflict"].tasks == 3


def test_association_needs_three_tasks_and_ranks_them(fabricate_trajectories):
    tasks = ("a", "b", "c", "d", "e")
    gaps = {("uniform", task): 0.02 * index for index, task in enumerate(tasks)}
    found = findings(fabricate_trajectories(tasks=tasks, methods=("uniform",), gaps=gaps, seeds=3))
    along = found.association("uniform", "cosine", "loss", "gap")
    assert along.value > 0.9  # both were made to rise with the task's number
    assert along.tasks == 5
    assert findings(fabricate_trajectories(tasks=("a", "b"))).associations == ()


def test_results_come_back_as_they_were_saved(fabricate_trajectories, tmp_path):
    results = fabricate_trajectories()
    results.save(tmp_path)
    again = type(results).load(tmp_path)
    assert again.about == results.about
    assert again.seeds == results.seeds
    gap, same = (findings(r).comparisons["mgda"]["sum"].gap for r in (results, again))
    np.testing.assert_array_equal(gap.differences, same.differences)
