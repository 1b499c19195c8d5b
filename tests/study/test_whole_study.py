"""A study of a table, whole: its numbers from its files, taken up again, with what can go wrong."""

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from counterpoint import Study, load_bundle
from counterpoint.study.named_tasks import named_tasks
from counterpoint.study.results_folder import ResultsError, kind_of
from counterpoint.study.study_results import StudyResults
from counterpoint.study.summary import delta_m

from .study_data import FAST, TARGETS, Heard, table


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study, its folder, and what was heard of it."""
    folder = tmp_path_factory.mktemp("study")
    heard = Heard()
    return Study(table(), TARGETS, out=folder, **FAST).run("counterpoint study", heard), folder, heard


def test_every_method_has_every_task_and_seed(finished):
    results, _, heard = finished
    assert [method.key for method in results.methods][:2] == ["single", "uniform"]
    assert "mgda" in {method.key for method in results.methods}
    for split in ("validation", "test"):
        scores = results.scores(split)
        assert (scores.groupby(["method", "seed"]).task.nunique() == 3).all()
        assert (scores.groupby("method").seed.nunique() == 2).all()
    assert not heard.failures
    assert not heard.left_out
    assert sum(len(runs) for _, runs in heard.stages) == len(heard.finished) == results.plan["runs_done"]
    assert heard.forecasts[0].runs >= results.plan["runs_done"]


def test_the_plain_sum_is_among_the_scales_to_choose_from(finished):
    results, _, _ = finished
    *tried, plain = results.plan["scales"]
    assert set(plain["scales"].values()) == {1.0}
    changes = list(delta_m(results.scores("validation"), "uniform").values())
    assert plain["validation"] == pytest.approx(np.mean(changes))
    best = max((trial for trial in tried if trial["seeds"] == 2), key=lambda trial: trial["validation"])
    tuned = [method for method in results.methods if method.key == "tuned"]
    assert bool(tuned) == (best["validation"] > plain["validation"])
    assert [dict(method.scales) for method in tuned] == [best["scales"]] * len(tuned)


def test_numbers_are_those_of_the_saved_predictions(finished):
    results, folder, _ = finished
    checked = 0
    for split in ("validation", "test"):
        for row in results.scores(split).itertuples():
            saved = pd.read_parquet(folder / "runs" / row.run / "predictions.parquet")
            own = saved[(saved["split"] == split) & (saved["task"] == row.task)]
            assert len(own) == results.about["data"]["rows"][split]
            if row.metric == "RMSE":
                expected = metrics.root_mean_squared_error(own["target"], own["prediction"])
            elif row.metric == "AUROC":
                expected = metrics.roc_auc_score(own["target"], own["prediction"])
            else:
                expected = metrics.mean_poisson_deviance(own["target"], own["prediction"])
            assert row.value == pytest.approx(expected, rel=1e-5)
            assert row.loss == pytest.approx(own["loss"].mean(), rel=1e-5)
            checked += 1
    assert checked == 2 * 3 * 2 * len(results.methods)


def test_predictions_are_in_the_labels_units(finished):
    results, folder, _ = finished
    frame = table()
    row = results.scores("test").query("task == 'size'").iloc[0]
    saved = pd.read_parquet(folder / "runs" / row["run"] / "predictions.parquet")
    own = saved[(saved["split"] == "test") & (saved["task"] == "size")]
    assert own["target"].to_numpy() == pytest.approx(frame["size"].to_numpy()[_test_rows(folder)][own["row"]], rel=1e-5)


def _test_rows(folder):
    from counterpoint.data.tables import PreparedTable

    schema = json.loads((folder / "data" / "schema.json").read_text())
    return PreparedTable(folder / "data", schema["digest"]).rows("test")


def test_saved_and_loaded_it_is_the_same(finished):
    results, folder, _ = finished
    assert kind_of(folder) == "study"
    again = StudyResults.load(folder)
    assert again.decision == results.decision
    assert again.methods == results.methods
    assert again.plan == results.plan
    pd.testing.assert_frame_equal(again.scores("test"), results.scores("test"))
    curves = (table.drop(columns="other") for table in (again.curves(), results.curves()))
    pd.testing.assert_frame_equal(*curves, check_dtype=False)
    assert np.array_equal(again.affinity.values, results.affinity.values, equal_nan=True)


def test_the_bundle_predicts_what_the_chosen_networks_did(finished):
    results, folder, _ = finished
    bundle = load_bundle(folder / "bundle")
    method = results.method(results.decision.chosen)
    seed = bundle.about["seed"]
    rows = _test_rows(folder)
    outputs = bundle.outputs(table().iloc[rows])
    for network, run in zip(method.networks, results.served[method.key][seed], strict=True):
        saved = pd.read_parquet(folder / "runs" / run / "predictions.parquet").query("split == 'test'")
        for task in network.serves:
            own = saved[saved["task"] == task]["prediction"].to_numpy()
            target = next(target for target in bundle.targets if target.name == task)
            made = outputs[task][:, 0].astype(float)
            made = target.mean + target.scale * made if target.kind == "regression" else made
            assert (np.exp(made) if target.kind == "count" else made) == pytest.approx(own, rel=1e-4, abs=1e-5)


def test_again_nothing_is_trained_and_nothing_changes(finished, monkeypatch):
    results, folder, _ = finished
    monkeypatch.setattr("counterpoint.study.runs.train.fit", None)
    heard = Heard()
    again = Study(table(), TARGETS, out=folder, **FAST).run("counterpoint study", heard)
    assert not heard.stages
    assert heard.forecasts[0].reused
    pd.testing.assert_frame_equal(again.scores("test"), results.scores("test"))
    assert again.decision == results.decision
    assert again.plan["runs_reused"] == again.plan["runs_done"] == results.plan["runs_done"]


def test_more_seeds_train_only_those(finished, tmp_path):
    results, folder, _ = finished
    copy = shutil.copytree(folder, tmp_path / "study")
    heard = Heard()
    more = Study(table(), TARGETS, out=copy, **FAST | {"seeds": 3, "weightings": (), "scale_trials": 0}).run("", heard)
    first = heard.stages[0][1]
    assert len(first) == 4
    assert all(run.endswith("seed 2") for run in first)
    kept = (
        more.scores("test").query("seed < 2 and method in ('single', 'uniform')").set_index(["method", "seed", "task"])
    )
    before = results.scores("test").set_index(["method", "seed", "task"]).loc[kept.index]
    assert (kept["value"] == before["value"]).all()


@pytest.mark.parametrize("wreck", ["half a result", "no weights", "foreign result"])
def test_a_run_that_is_not_whole_is_done_again(finished, tmp_path, wreck):
    results, folder, _ = finished
    copy = shutil.copytree(folder, tmp_path / "study")
    row = results.scores("test").query("method == 'mgda'").iloc[0]
    place = copy / "runs" / row["run"]
    if wreck == "half a result":
        text = (place / "result.json").read_text()
        (place / "result.json").write_text(text[: len(text) // 2])
    elif wreck == "no weights":
        (place / "weights.safetensors").unlink()
    else:
        other = next(path for path in (copy / "runs").iterdir() if path.name != row["run"])
        shutil.copy(other / "result.json", place / "result.json")
    heard = Heard()
    again = Study(table(), TARGETS, out=copy, **FAST).run("", heard)
    assert len(heard.finished) == 1
    pd.testing.assert_frame_equal(
        again.scores("test").drop(columns="seconds"), results.scores("test").drop(columns="seconds")
    )


def test_a_run_that_crashes_is_recorded_and_the_others_go_on(tmp_path, monkeypatch):
    from counterpoint.study.runs import train

    def fails(module, *arguments, **options):
        if len(module.tasks) == 3 and type(module.model.fan_out.weighting).__name__ == "MGDA":
            raise RuntimeError("the disk\nis full")
        return fit(module, *arguments, **options)

    fit = train.fit
    monkeypatch.setattr(train, "fit", fails)
    heard = Heard()
    results = Study(table(), TARGETS, out=tmp_path, **FAST | {"seeds": 1, "scale_trials": 0}).run("", heard)
    assert [method.key for method in results.methods if method.key == "mgda"] == []
    assert heard.failures == [("size, bought, visits, mgda, seed 0", "RuntimeError: the disk is full")]
    (crash,) = results.plan["crashed"]
    record = json.loads((tmp_path / "runs" / crash["run"] / "error.json").read_text())
    assert record["error"] == "RuntimeError: the disk is full"
    assert "Traceback" in record["trace"]
    monkeypatch.setattr(train, "fit", fit)
    mended = Study(table(), TARGETS, out=tmp_path, **FAST | {"seeds": 1, "scale_trials": 0}).run("", Heard())
    assert "mgda" in [method.key for method in mended.methods]
    assert not mended.plan["crashed"]
    assert not (tmp_path / "runs" / crash["run"] / "error.json").exists()


def test_nothing_to_compare_with_is_said(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise ArithmeticError("the loss is NaN")

    monkeypatch.setattr("counterpoint.study.runs.train.fit", fails)
    with pytest.raises(ResultsError, match=r"no way of sharing could be trained.*the loss is NaN"):
        Study(table(), TARGETS, out=tmp_path, **FAST).run()
    assert not (tmp_path / "study.json").exists()


def test_without_tasks_alone_to_compare_with_nothing_more_is_trained(tmp_path, monkeypatch):
    from counterpoint.study.runs import train

    def fails(module, *arguments, **options):
        if list(module.tasks) == ["visits"]:
            raise ArithmeticError("the loss is NaN")
        return fit(module, *arguments, **options)

    fit = train.fit
    monkeypatch.setattr(train, "fit", fails)
    heard = Heard()
    with pytest.raises(ResultsError, match="each task alone could not be trained, the first failure: visits, seed 0"):
        Study(table(), TARGETS, out=tmp_path, **FAST | {"seeds": 1}).run("", heard)
    assert len(heard.stages) == 1


def test_what_is_finished_is_compared_also_where_no_time_is_left(finished, tmp_path):
    """A budget counts what earlier studies of the folder took; to read a finished run again takes no time."""
    results, folder, _ = finished
    copy = shutil.copytree(folder, tmp_path / "study")
    heard = Heard()
    again = Study(table(), TARGETS, out=copy, **FAST | {"minutes": 1e-4}).run("", heard)
    assert not heard.stages
    assert not heard.left_out
    assert again.decision.chosen == results.decision.chosen


class FailsAfter:
    """An executor that is interrupted after so many jobs, as if its process were killed."""

    workers = 2

    def __init__(self, jobs):
        self.left = jobs

    def run(self, items, work, on_progress, on_done):  # noqa: ARG002
        for index, item in enumerate(items):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            on_done(index, work(item, lambda _: None))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class Elsewhere(FailsAfter):
    """An executor whose processes are at home in another folder, as those of a cluster are."""

    def run(self, items, *arguments):
        assert all(item.store.folder.is_absolute() and item.source.data.folder.is_absolute() for item in items)
        super().run(items, *arguments)


def test_a_relative_folder_is_found_from_elsewhere_and_its_commands_are_quoted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = FAST | {"seeds": 1, "weightings": (), "scale_trials": 0, "executor": Elsewhere(99)}
    results = Study(table(), TARGETS, out="a study", **options).run()
    report, predict = results.about["reproduce"]
    assert report == "counterpoint report 'a study'"
    assert predict.startswith("counterpoint predict 'a study/bundle' new.csv")


def test_a_study_with_a_budget_that_is_interrupted_again_and_again_repeats_no_run(tmp_path, monkeypatch):
    """The clock says something else each time; what it decided first stays decided."""
    clocks = iter([0.0, *np.random.default_rng(0).uniform(0, 30, 99)])
    monkeypatch.setattr("counterpoint.study.budget._epoch_seconds", lambda *_: next(clocks))
    options = FAST | {"minutes": 0.2, "epochs": 1}
    rounds = 0
    while True:
        executor, rounds = FailsAfter(4), rounds + 1
        try:
            results = Study(table(), TARGETS, out=tmp_path, **options | {"executor": executor}).run()
        except KeyboardInterrupt:
            assert len(list((tmp_path / "runs").glob("*/result.json"))) == 4 * rounds
        else:
            break
    assert rounds > 2
    assert set(results.runs["run"]) == {path.parent.name for path in (tmp_path / "runs").glob("*/result.json")}


def test_a_budget_drops_what_is_least_useful_and_says_so(tmp_path):
    heard = Heard()
    options = FAST | {"seeds": 5, "minutes": 1e-4}
    results = Study(table(), TARGETS, out=tmp_path, **options).run("", heard)
    assert results.plan["seconds_budget"] == pytest.approx(0.006)
    assert {method.key for method in results.methods} == {"single", "uniform"}
    assert sorted(results.scores("test")["seed"].unique()) == [0, 1]
    dropped = [what for what, _ in heard.left_out]
    assert dropped[0] == "3 of 5 seeds"
    assert "is too short even for the fewest that tell anything, 2 seeds" in heard.left_out[0][1]
    assert heard.forecasts[0].runs == results.plan["runs_planned"] > results.plan["runs_done"]
    assert "MGDA-UB" in dropped
    assert [each["what"] for each in results.plan["dropped"]] == dropped
    # What a clock decided stays decided.
    assert json.loads((tmp_path / "choices.json").read_text()).popitem()[1]["seeds"] == 2
    again = Study(table(), TARGETS, out=tmp_path, **options).run("", again_heard := Heard())
    assert not again_heard.stages
    assert again.plan["dropped"] == results.plan["dropped"]


def test_missing_labels_of_a_task_leave_the_rest(tmp_path):
    frame = table()
    frame.loc[frame.index % 3 == 0, "size"] = np.nan
    frame.loc[frame.index % 4 == 1, "bought"] = None
    results = Study(frame, TARGETS, out=tmp_path, **FAST | {"seeds": 1, "scale_trials": 0}).run()
    facts = {task["name"]: task for task in results.about["table"]["tasks"]}
    assert sum(facts["size"]["missing"].values()) == 80
    assert sum(facts["bought"]["missing"].values()) == 60
    row = results.scores("test").query("task == 'size' and method == 'uniform'").iloc[0]
    saved = pd.read_parquet(tmp_path / "runs" / row["run"] / "predictions.parquet")
    own = saved.query("split == 'test' and task == 'size'")
    assert len(own) == results.about["data"]["rows"]["test"] - facts["size"]["missing"]["test"]
    assert row["value"] == pytest.approx(metrics.root_mean_squared_error(own["target"], own["prediction"]), rel=1e-5)


@pytest.mark.parametrize("architecture", ["mmoe", "ple"])
def test_mixtures_go_all_the_way_to_a_bundle(tmp_path, architecture):
    options = FAST | {"seeds": 1, "scale_trials": 0}
    results = Study(table(), TARGETS, out=tmp_path, architecture=architecture, **options).run()
    assert load_bundle(tmp_path / "bundle").predict(table().head()).shape[0] == 5
    assert math.isfinite(results.scores("test")["value"].sum())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds is 0, expected at least 1"),
        ({"networks": 0}, "networks is 0, expected at least 1"),
        ({"minutes": -1}, "minutes is -1, expected a positive number"),
        ({"minutes": math.nan}, "minutes is nan"),
        ({"scale_trials": -1}, "scale_trials is -1"),
        ({"weightings": ("mgda", "MGDA")}, "'mgda' is given twice"),
        ({"weightings": ("mgdaa",)}, "mgdaa"),
        ({"lr": 0.0}, "lr is 0, expected a positive number"),
        ({"epochs": 0}, "epochs is 0, expected at least 1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"hidden": ()}, "hidden"),
        ({"tasks": ["size"]}, "'size' is the only target, expected at least two"),
        ({"tasks": ["size", 3]}, "task 3 is no name"),
    ],
)
def test_bad_options_are_named_before_anything_is_trained(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        Study(**{"data": table(60), "tasks": TARGETS, "out": tmp_path, **options}).subject()


def test_something_else_where_the_bundle_goes_is_said_before_anything_is_trained(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds 'notes\.txt' and no bundle"):
        Study(table(60), TARGETS, out=tmp_path).subject()


def test_several_devices_without_ranks_are_refused_rather_than_waited_for(tmp_path):
    with pytest.raises(ValueError, match="devices=2 on nodes=1 need executor=RanksExecutor"):
        Study(table(60), TARGETS, out=tmp_path, devices=2).run()


def test_names_of_tasks_may_hold_colons():
    assert named_tasks(["a:b", "a:b:count", "time:10:regression:log1p", "x:count:binary"]) == (
        ("a:b", "a:b", "time:10", "x:count"),
        ("a:b:count", "time:10:regression:log1p", "x:count:binary"),
    )


def test_delta_of_the_decision_is_that_of_the_scores(finished):
    results, _, _ = finished
    for contrast in results.decision.contrasts:
        for split, estimate in (("validation", contrast.validation), ("test", contrast.test)):
            changes = list(delta_m(results.scores(split), contrast.method, contrast.against).values())
            assert estimate.mean == pytest.approx(np.mean(changes))
            assert estimate.spread == pytest.approx(np.std(changes, ddof=1))
