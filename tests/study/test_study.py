"""Plan, runs and results of a study, and the numbers they are summed up in."""

import importlib
import math
import os
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from counterpoint.atomic import write_atomically
from counterpoint.data import DigitPairs
from counterpoint.estimate import Estimate
from counterpoint.study.demo import Demo
from counterpoint.study.digit_pairs import build
from counterpoint.study.execution.local import run_all
from counterpoint.study.plan import Run, plan
from counterpoint.study.results import (
    EXAMPLES,
    HISTORY,
    SCORES,
    Results,
)
from counterpoint.study.results_folder import ResultsError, check_writable
from counterpoint.study.summary import delta_m, task_delta
from counterpoint.training import FitSettings


def scores(rows):
    return pd.DataFrame(rows, columns=["method", "seed", "task", "direction", "value"])


def test_plan_trains_every_task_alone_and_all_together_for_each_seed():
    runs = plan(["a", "b"], ["uniform", "mgda"], seeds=2)
    assert len(runs) == len({run.id for run in runs}) == 8
    assert [run.tasks for run in runs[:4]] == [("a",), ("b",), ("a", "b"), ("a", "b")]
    assert runs[3].title == "MGDA-UB, seed 0"
    assert runs[4].title == "Single-task a, seed 1"


def test_runs_of_a_seed_start_from_the_same_weights():
    alone, together = build(Run("single", ("right",), 3)), build(Run("mgda", ("left", "right"), 3))
    for first, second in zip(alone.model.encoder.parameters(), together.model.encoder.parameters(), strict=True):
        assert torch.equal(first, second)
    right = together.model.heads["right"].scores.weight
    assert torch.equal(alone.model.heads["right"].scores.weight, right)
    assert not torch.equal(together.model.heads["left"].scores.weight, right)


def test_delta_m_is_sign_adjusted_and_paired_by_seed():
    frame = scores(
        [
            ("single", 0, "a", "maximize", 0.5),
            ("single", 0, "b", "minimize", 2.0),
            ("single", 1, "a", "maximize", 0.4),
            ("single", 1, "b", "minimize", 1.0),
            ("mgda", 0, "a", "maximize", 0.6),
            ("mgda", 0, "b", "minimize", 3.0),
            ("mgda", 1, "a", "maximize", 0.4),
            ("mgda", 1, "b", "minimize", 0.9),
            ("mgda", 2, "a", "maximize", 0.9),
        ]
    )
    assert delta_m(frame, "mgda") == pytest.approx({0: (20 - 50) / 2, 1: (0 + 10) / 2})
    assert task_delta(frame, "mgda", "b") == pytest.approx({0: -50, 1: 10})
    without = frame.drop(index=3)  # seed 1 lacks task b alone: its mean would be one of something else
    assert list(delta_m(without, "mgda")) == [0]


def test_a_change_against_zero_is_undefined():
    frame = scores([("single", 0, "a", "maximize", 0.0), ("mgda", 0, "a", "maximize", 0.5)])
    assert math.isnan(delta_m(frame, "mgda")[0])


def test_intervals_are_students():
    values = [1.0, 2.0, 4.0]
    estimate = Estimate.of(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert not estimate.excludes_zero
    assert Estimate.of([5.0, 5.1]).excludes_zero
    assert Estimate.of([5.0]).high == math.inf


def test_results_survive_the_disk(tmp_path):
    results = Results(
        pd.DataFrame([["r", "m", "M", 0, "a<b>", "acc", "maximize", 0.5, 1.0, 2.0, 7]], columns=SCORES),
        pd.DataFrame([["r", "m", "M", 0, 1, 5, "train", "a<b>", None, "loss", 0.25]], columns=HISTORY),
        pd.DataFrame([[0, b"png", "a<b>", "m", "M", "3", "8"]], columns=EXAMPLES),
        {"title": "µ"},
    )
    results.save(tmp_path / "deep" / "folder")
    again = Results.load(tmp_path / "deep" / "folder")
    pd.testing.assert_frame_equal(again.scores, results.scores)
    assert again.history.iloc[0]["value"] == 0.25
    assert again.examples.iloc[0]["image"] == b"png"
    assert again.about == {"title": "µ"}
    assert {path.name for path in (tmp_path / "deep" / "folder").iterdir()} == {
        "scores.parquet",
        "history.parquet",
        "examples.parquet",
        "study.json",
    }


def test_results_of_another_schema_or_none_get_one_line(tmp_path):
    with pytest.raises(ResultsError, match="holds no finished results"):
        Results.load(tmp_path)
    (tmp_path / "study.json").write_text('{"schema_version": 99}')
    with pytest.raises(ResultsError, match="holds no results of schema 1"):
        Results.load(tmp_path)
    (tmp_path / "study.json").write_text("[]")
    with pytest.raises(ResultsError, match="holds no results of schema 1"):
        Results.load(tmp_path)
    (tmp_path / "study.json").write_text('{"schema_version": 1}')
    for name, columns in (("scores", SCORES), ("history", HISTORY), ("examples", EXAMPLES)):
        pd.DataFrame(columns=columns).to_parquet(tmp_path / f"{name}.parquet")
    Results.load(tmp_path)
    pd.DataFrame(columns=SCORES[1:]).to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(ResultsError, match=r"scores.parquet' has no column 'run'"):
        Results.load(tmp_path)
    (tmp_path / "scores.parquet").write_bytes(b"PAR1")
    with pytest.raises(ResultsError, match="holds no finished results"):
        Results.load(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(ResultsError, match="holds no finished results"):
        Results.load(tmp_path)


def test_nothing_half_written(tmp_path):
    target = tmp_path / "table"
    target.write_text("old")

    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, fail)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=f"cannot write to out folder '{tmp_path}/file/x'"):
        check_writable(tmp_path / "file" / "x")
    empty = Results(pd.DataFrame(columns=SCORES), pd.DataFrame(columns=HISTORY), pd.DataFrame(columns=EXAMPLES))
    with pytest.raises(ResultsError, match="cannot write results"):
        empty.save(tmp_path / "file" / "x")


WORK = """
import os

def work(item, report):
    report(0.5)
    if item < 0:
        raise ArithmeticError(f"item {item}")
    return item * item, os.getpid(), os.environ.get("OMP_NUM_THREADS")
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A function that another process can import."""
    (tmp_path / "work_for_run_all.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("work_for_run_all").work
    del sys.modules["work_for_run_all"]


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_side_by_side_give_the_same_outcomes_in_order(workers, work, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    shares, done = [], []
    outcomes = run_all(
        [1, 2, 3], work, workers, lambda i, share: shares.append((i, share)), lambda i, _: done.append(i)
    )
    assert [value for value, _, _ in outcomes] == [1, 4, 9]
    assert sorted(done) == [0, 1, 2]
    reports = {(index, share) for index in range(3) for share in (0.0, 0.5)}
    assert set(shares) <= reports
    if workers == 1:
        assert set(shares) == reports
    else:
        assert os.getpid() not in {pid for _, pid, _ in outcomes}
        assert {threads for _, _, threads in outcomes} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_the_first_error_ends_the_study(work):
    with pytest.raises(ArithmeticError, match="item -1"):
        run_all([-1, 1, 2, 3, 4, 5], work, 2, lambda *_: None, lambda *_: None)


@pytest.mark.no_cover  # the command of tests/test_cli.py runs the same lines
def test_the_demo_study_from_runs_to_results(tmp_path):
    study = Demo(
        weightings=("uniform", "mgda"),
        seeds=1,
        fit=FitSettings(epochs=2, batch_size=64),
        data=DigitPairs(2_000, 200, 200),
        out=tmp_path,
        workers=1,
    )
    done = []
    results = study.run("counterpoint demo", lambda *_: None, lambda index, _: done.append(index))
    assert done == [0, 1, 2, 3]
    assert list(results.scores["method"]) == ["single", "single", "uniform", "uniform", "mgda", "mgda"]
    assert results.scores["value"].between(0, 1).all()
    weights = results.history[results.history.quantity == "weight"]
    assert set(weights.method) == {"uniform", "mgda"}
    totals = weights.groupby(["method", "step"]).value.sum()
    assert totals["mgda"].to_numpy() == pytest.approx(1)
    assert totals["uniform"].to_numpy() == pytest.approx(2)
    examples = results.examples
    assert examples.groupby(["example", "task"]).size().eq(3).all()
    pairs = DigitPairs(2_000, 200, 200).splits()["test"]
    targets = examples[(examples.task == "left") & (examples.method == "mgda")].target.astype(int).tolist()
    assert targets == pairs.targets["left"][:8].tolist()
    assert results.about["data"]["rows"] == {"train": 2000, "validation": 200, "test": 200}
    assert Results.load(tmp_path).about["command"] == "counterpoint demo"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weightings": ()}, "weightings is empty"),
        ({"weightings": ("mgad",)}, "unknown weighting 'mgad'.*'mgda'"),
        ({"weightings": ("mgda", "mgda")}, "'mgda' is given twice"),
        ({"seeds": 0}, "seeds is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"data": DigitPairs(train_rows=0)}, "train_rows is 0"),
    ],
)
def test_bad_options_get_one_line_before_any_work(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Demo(out=tmp_path, **options)
