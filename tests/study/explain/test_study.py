"""The explain study on a source of a few rows."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from counterpoint.study.explain import study as study_module
from counterpoint.study.explain.comparison import compare
from counterpoint.study.explain.findings import findings
from counterpoint.study.explain.recording import curvature_steps
from counterpoint.study.explain.results import ExplainResults
from counterpoint.study.explain.study import ExplainStudy
from counterpoint.study.results_folder import ResultsError
from counterpoint.training import Curvature, FitSettings

# Workers import it by name, and "tests" is the name of somebody else's package, too.
sys.path.insert(0, str(Path(__file__).parent))
from quadrants import SOURCE, TASKS


def series(results, method, task, seed, quantity):
    """Steps and values of a quantity of a run."""
    run = {"method": method, "task": task, "seed": seed, "quantity": quantity}
    rows = results.points[(results.points[list(run)] == list(run.values())).all(axis=1)].sort_values("step")
    return rows["step"].to_numpy(), rows["value"].to_numpy()


class Heard:
    def __init__(self):
        self.titles, self.finished, self.shares = [], [], []

    def stage(self, title, runs):
        self.titles = [title, *runs]

    def progress(self, index, share):
        self.shares.append((index, share))

    def done(self, index, seconds):
        assert seconds > 0
        self.finished.append(index)


def make_study(out, **options):
    settings = {"seeds": 2, "weightings": ("mgda",), "curvature": Curvature(draws=2, products=3), "workers": 1}
    return ExplainStudy(SOURCE, out=out, **settings | options)


@pytest.fixture(scope="module", name="finished")
def finished_fixture(tmp_path_factory):
    out = tmp_path_factory.mktemp("explain")
    heard = Heard()
    return out, make_study(out).run("counterpoint explain", heard), heard


def test_every_network_is_trained_in_every_seed(finished):
    out, results, heard = finished
    runs = results.runs.groupby("method")["seed"].apply(sorted).to_dict()
    assert runs == {"single": [0, 0, 0, 1, 1, 1], "uniform": [0, 1], "mgda": [0, 1]}
    assert results.methods == {"uniform": "Uniform", "mgda": "MGDA-UB"}
    assert results.seeds == (0, 1)
    assert {name: facts["direction"] for name, facts in results.tasks.items()} == dict.fromkeys(TASKS, "maximize")
    assert results.about["warnings"] == []
    assert (results.runs["steps"] == 18).all()
    assert len(heard.titles) == 11
    assert sorted(heard.finished) == list(range(10))
    assert len(list((out / "runs").iterdir())) == 10


def test_all_is_recorded_and_curvature_where_losses_are_known(finished):
    _, results, _ = finished
    steps, _ = series(results, "uniform", "both", 0, "train_loss")
    dear, _ = series(results, "uniform", "both", 0, "sharpness")
    assert steps.tolist() == [0, 1, 2, 4, 5, 6, 9, 10, 12, 18]
    assert dear.tolist() == [1, 4, 9, 18]
    assert len(results.trajectory("uniform", "both", 0, "sharpness").steps) == 4
    alone = set(results.points.query("method == 'single'")["quantity"])
    assert set(results.points["quantity"]) - alone == {"cosine", "negative_share", "magnitude_similarity"}


def test_all_ways_start_from_the_same_network(finished):
    _, results, _ = finished
    for seed in results.seeds:
        for task in TASKS:
            starts = {
                series(results, method, task, seed, "train_loss")[1][0] for method in ("single", "uniform", "mgda")
            }
            assert max(starts) - min(starts) < 1e-6


def test_results_come_back_and_have_findings(finished):
    out, results, _ = finished
    again = ExplainResults.load(out)
    assert again.about == results.about
    found = findings(again)
    assert set(found.comparisons) == {"uniform", "mgda"}
    assert {answer.subject for answer in found.answers} == {"conflict", "deficit", "gap"}
    for comparison in found.comparisons["mgda"].values():
        assert comparison.gap is not None or comparison.problem
        assert comparison.deficit.steps.tolist() == [0, 1, 2, 4, 5, 6, 9, 10, 12, 18]


def test_two_workers_find_the_same_numbers(finished, tmp_path):
    _, alone, _ = finished
    side_by_side = make_study(tmp_path, weightings=(), workers=2).run("", Heard())
    expected = alone.points.query("method != 'mgda'").reset_index(drop=True)
    assert side_by_side.points.equals(expected)


def test_another_study_replaces_this_one_and_nothing_else(tmp_path):
    first = make_study(tmp_path, curvature=None, weightings=(), fit=FitSettings(epochs=1, batch_size=48))
    first.run("", Heard())
    (tmp_path / "runs/group-1-seed0").mkdir()
    (tmp_path / "runs/notes.txt").write_text("mine")
    (tmp_path / "runs/explain-mgda-seed7").mkdir()  # of an earlier study with more seeds
    results = first.run("", Heard())
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert {"group-1-seed0", "notes.txt"} < left
    assert "explain-mgda-seed7" not in left
    assert results.methods == {"uniform": "Uniform"}
    assert "sharpness" not in set(results.points["quantity"])
    assert results.about["settings"]["curvature"] == "not looked at"


def test_an_interrupted_study_leaves_no_results_of_an_older_one(tmp_path, monkeypatch):
    study = make_study(tmp_path, curvature=None, weightings=())
    (tmp_path / "study.json").write_text("{}")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(study_module, "record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.run("", Heard())
    with pytest.raises(ResultsError, match="holds no finished explanation"):
        ExplainResults.load(tmp_path)


def test_names_of_weightings_are_one_however_written(tmp_path):
    study = make_study(tmp_path, weightings=("IMTL-G", "Uniform", "MGDA"))
    assert study.methods == ("uniform", "imtlg", "mgda")
    assert study._about([], "", study_module.dt.datetime.now(study_module.dt.UTC), 0.0)["methods"] == {
        "single": "Each task alone",
        "uniform": "Uniform",
        "imtlg": "IMTL-G",
        "mgda": "MGDA-UB",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 1}, "seeds is 1, expected at least 2: intervals are over seeds"),
        ({"workers": 0}, "workers is 0, expected at least 1"),
        ({"weightings": ("mgad",)}, "unknown weighting 'mgad'"),
        ({"weightings": ("mgda", "nash", "mgda")}, "weighting 'mgda' is given twice"),
        ({"weightings": ("MGDA", "mgda")}, "weighting 'mgda' is given twice"),
        ({"weightings": ("single",)}, "'single' is no weighting: each task alone is always trained"),
        ({"source": replace(SOURCE, tasks=("left",))}, "quadrants has one task, expected at least 2"),
        ({"rows": 3}, "rows is 3, expected at least 4"),
        ({"curvature_rows": 0}, "curvature_rows is 0, expected at least 4"),
    ],
)
def test_what_cannot_be_studied_is_refused_at_once(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        replace(make_study(tmp_path), **options)


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"cannot write to out folder '.*file/x'"):
        make_study(tmp_path / "file/x")


def test_curvature_steps_are_shares_of_the_training():
    train = SOURCE.splits(TASKS)["train"]
    assert curvature_steps(train, FitSettings(epochs=10, batch_size=10)) == (5, 20, 50, 100)
    assert curvature_steps(train, FitSettings(epochs=1, batch_size=96)) == (1,)


def test_a_run_that_is_no_trajectory_is_named(finished):
    _, results, _ = finished
    points = results.points.copy()
    stuck = points.eval("method == 'mgda' and task == 'both' and seed == 1 and quantity == 'train_loss'")
    points.loc[stuck, "value"] = 1.0
    with pytest.raises(ValueError, match="task 'both', 'mgda', seed 1: 1 of 10 points set a new lowest training loss"):
        findings(replace(results, points=points))


def test_a_test_loss_that_is_unknown_is_no_problem_of_the_gap(finished):
    _, results, _ = finished
    points = results.points[results.points["quantity"] != "test_loss"]
    found, expected = (compare(r, "uniform", "right") for r in (replace(results, points=points), results))
    assert found.loss_gap is None
    assert found.problem == expected.problem
    assert found.gap is None or (found.gap.differences == expected.gap.differences).all()
