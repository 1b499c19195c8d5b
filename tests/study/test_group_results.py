"""The store of a grouping study."""

import json

import numpy as np
import pandas as pd
import pytest

from counterpoint.affinity import Affinity
from counterpoint.grouping import Network
from counterpoint.study.group_results import NETWORKS, Candidate, GroupResults, run_id
from counterpoint.study.results_folder import ResultsError, kind_of


def row(tasks, seed, task, value):
    return (run_id(tasks, seed), seed, task, "AUROC", "maximize", value, 0.5, value, 0.5, 2.0, 10)


@pytest.fixture(name="results")
def results_fixture():
    rows = [
        row(tasks, seed, task, 0.1 * seed + len(tasks))
        for seed in (0, 1)
        for tasks in (("a",), ("b",), ("b", "a"))
        for task in tasks
    ]
    candidates = (
        Candidate("single", 2, (Network(("a",), ("a",)), Network(("b",), ("b",)))),
        Candidate("tag", 2, (Network(("a",), ("a",)), Network(("a", "b"), ("b",))), seed=1, score=0.3, bound=0.4),
        Candidate("hoa", 2, (Network(("a", "c"), ("a",)),)),
    )
    affinity = Affinity(np.array([[1.0, 0.2], [0.1, 1.0]]), ["a", "b"])
    return GroupResults(pd.DataFrame(rows, columns=NETWORKS), candidates, affinity, {"title": "two <tasks>"})


def test_each_task_is_scored_by_the_network_that_serves_it(results):
    scores = results.scores
    single = scores[scores["method"] == "single"]
    assert len(single) == 4
    assert set(single["value"]) == {1.0, 1.1}
    (a,) = scores[(scores["method"] == "tag-2") & (scores["task"] == "a")].to_dict("records")
    (b,) = scores[(scores["method"] == "tag-2") & (scores["task"] == "b")].to_dict("records")
    assert (a["seed"], a["value"]) == (1, 1.1)  # the network of a alone, for the seed that it is for
    assert (b["seed"], b["value"]) == (1, 2.1)  # the network of both, in whatever order they were trained
    assert not (scores["method"] == "hoa-2").any()  # its network was never trained


def test_it_comes_back_as_it_was_saved(results, tmp_path):
    results.save(tmp_path)
    again = GroupResults.load(tmp_path)
    assert again.candidates == results.candidates
    assert again.about == results.about
    pd.testing.assert_frame_equal(again.networks, results.networks)
    assert np.array_equal(again.affinity.values, results.affinity.values)
    assert kind_of(tmp_path) == "grouping"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["affinity.json", "networks.parquet", "study.json"]


def test_what_is_no_finished_grouping_is_refused(results, tmp_path):
    with pytest.raises(ResultsError, match="holds no finished grouping"):
        GroupResults.load(tmp_path)
    assert kind_of(tmp_path) is None
    results.save(tmp_path)
    about = json.loads((tmp_path / "study.json").read_text())
    (tmp_path / "study.json").write_text(json.dumps(about | {"schema_version": 99}))
    with pytest.raises(ResultsError, match="holds no grouping of schema 1"):
        GroupResults.load(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps(about | {"candidates": [{"family": "tag"}]}))
    with pytest.raises(ResultsError, match="holds no finished grouping"):
        GroupResults.load(tmp_path)


def test_a_table_without_a_column_is_refused(results, tmp_path):
    results.save(tmp_path)
    results.networks.drop(columns="loss").to_parquet(tmp_path / "networks.parquet")
    with pytest.raises(ResultsError, match="no column 'loss'"):
        GroupResults.load(tmp_path)


def test_names_of_runs_ignore_the_order_of_tasks_and_no_two_collide():
    assert run_id(("b", "a"), 0) == run_id(("a", "b"), 0)
    assert len({run_id(("a", "b"), 0), run_id(("a,b",), 0), run_id(("a", "b"), 1), run_id(('a", "b',), 0)}) == 4
