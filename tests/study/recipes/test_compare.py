"""What a comparison trains, chooses and keeps, on digits so small that a training takes a blink."""

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from counterpoint import Task
from counterpoint.study.execution import Failure, LocalExecutor
from counterpoint.study.recipes.compare import Trainings
from counterpoint.study.recipes.data import generate
from counterpoint.study.recipes.image_source import source_of
from counterpoint.study.recipes.job import RecipeRecord, _rows
from counterpoint.study.recipes.methods import RecipeMethod
from counterpoint.study.recipes.recipe import Changed, load_recipe
from counterpoint.study.recipes.recipe_study import RecipeStudy
from counterpoint.study.source import loaded


class Silent:
    def __init__(self):
        self.stages = []

    def stage(self, title, runs):
        self.stages.append((title, list(runs)))

    def progress(self, index, share):
        pass

    def done(self, index, seconds):
        pass


class Pretended:
    """An executor that trains nothing and says what a method is worth: ``values`` by title, else 0.5."""

    def __init__(self, values):
        self.values, self.jobs = values, []

    def run(self, jobs, _work, _on_progress, on_done):
        outcomes = []
        for index, job in enumerate(jobs):
            self.jobs.append(job)
            value = self.values(job)
            outcome = value
            if not isinstance(value, Failure):
                rows = [
                    {"task": task, "metric": "accuracy", "direction": "maximize", "main": True, "value": value,
                     "validation_value": value, "loss": 1.0, "unit": 1.0}
                    for task in job.tasks
                ]  # fmt: skip
                outcome = RecipeRecord(job.run, rows)
            on_done(index, outcome)
            outcomes.append(outcome)
        return outcomes


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(
        "digits", {"methods": ["single", "uniform", "tuned", "mgda"], "seeds": 2, "trials": 3}, tiny=True
    )


@pytest.fixture(scope="module")
def source(recipe):
    return source_of(recipe, None)


def trainings(recipe, source, values, out="."):
    executor = Pretended(values)
    made = Trainings(recipe, source, Path(out), executor, Silent())
    made.run()
    return made, executor


def test_the_plan(recipe, source):
    made, executor = trainings(recipe, source, lambda _: 0.5)
    titles = [job.title for job in executor.jobs]
    assert len(titles) == len(set(titles)), "nothing twice"
    assert sum("loss scales" in title for title in titles) == (1 + 3) + 1, "four with seed 0, the chosen with seed 1"
    for seed in (0, 1):
        assert {f"left, seed {seed}", f"right, seed {seed}", f"Uniform, seed {seed}", f"MGDA-UB, seed {seed}"} <= set(
            titles
        )
    assert len(titles) == 2 * 4 + 5
    assert [len(jobs) for _, jobs in made.watcher.stages] == [12, 1]


def test_the_best_scales_on_validation_rows_are_chosen(recipe, source):
    def values(job):
        return 0.9 if job.scales and dict(job.scales)["left"] > 3 else 0.5

    made, executor = trainings(recipe, source, values)
    assert made.scales["left"] > 3
    assert len(made.tried) == 4
    last = executor.jobs[-1]
    assert (dict(last.scales), last.seed) == (made.scales, 1)


def test_with_equal_scores_the_plain_sum_is_chosen(recipe, source):
    made, _ = trainings(recipe, source, lambda _: 0.5)
    assert made.scales == {"left": 1.0, "right": 1.0}


def test_a_training_that_fails_is_a_result(recipe, source, tmp_path, monkeypatch):
    def values(job):
        return Failure("ArithmeticError: diverged") if job.method.key == "mgda" and job.seed == 1 else 0.5

    monkeypatch.setattr("counterpoint.study.recipes.recipe_study.LocalExecutor", lambda _: Closable(values))
    study = RecipeStudy(recipe, None, tmp_path, tiny=True)
    results = study.compare("command", Silent(), source)
    assert [(each["method"], each["seed"]) for each in results.about["failed"]] == [("mgda", 1)]
    assert set(results.scores[results.scores["method"] == "mgda"]["seed"]) == {0}
    assert results.improvement()["value"].tolist() == pytest.approx([0.0] * 7)


def test_a_search_that_fails_is_told_too(recipe, source, tmp_path, monkeypatch):
    def values(job):
        return Failure("ArithmeticError: diverged") if job.scales else 0.5

    monkeypatch.setattr("counterpoint.study.recipes.recipe_study.LocalExecutor", lambda _: Closable(values))
    results = RecipeStudy(recipe, None, tmp_path, tiny=True).compare("command", Silent(), source)
    assert [each["method"] for each in results.about["failed"]] == ["tuned"] * 4
    assert all("loss scales" in each["training"] for each in results.about["failed"])
    for table in (results.scores, results.history):
        assert "tuned" not in set(table["method"])


def test_one_failed_candidate_is_told_once(recipe, source, tmp_path, monkeypatch):
    def values(job):
        return Failure("ArithmeticError: diverged") if dict(job.scales).get("left", 0) > 3 else 0.5

    monkeypatch.setattr("counterpoint.study.recipes.recipe_study.LocalExecutor", lambda _: Closable(values))
    results = RecipeStudy(recipe, None, tmp_path, tiny=True).compare("command", Silent(), source)
    assert [(each["method"], each["seed"]) for each in results.about["failed"]] == [("tuned", 0)]
    assert set(results.scores.loc[results.scores["method"] == "tuned", "seed"]) == {0, 1}


def test_nothing_is_made_of_trainings_that_all_fail(recipe, source, tmp_path, monkeypatch):
    failing = Closable(lambda _: Failure("ValueError: the encoder is broken"))
    monkeypatch.setattr("counterpoint.study.recipes.recipe_study.LocalExecutor", lambda _: failing)
    study = RecipeStudy(recipe, None, tmp_path, tiny=True)
    with pytest.raises(ValueError, match=r"every training failed, the first with ValueError: the encoder is broken"):
        study.compare("command", Silent(), source)


class Closable(Pretended):
    def close(self):
        pass


def test_a_run_is_known_by_what_its_numbers_depend_on(recipe, source):
    def run(recipe, source, method="mgda", tasks=("left", "right"), seed=0):
        made = Trainings(recipe, source, Path(), LocalExecutor(1), Silent())
        return made._job(tasks, RecipeMethod.of(method), seed).run

    base = run(recipe, source)
    assert run(recipe, source) == base
    assert run(recipe, source, seed=1) != base
    assert run(recipe, source, method="mgda@parameters") != base
    assert run(recipe, source, method={"weighting": "mgda", "heads": "weighted"}) != base
    assert run(recipe, source, method={"weighting": "mgda", "normalize": "l2"}) != base
    faster = replace(recipe, optimizer=replace(recipe.optimizer, lr=0.5))
    assert run(faster, source_of(faster, None)) != base
    longer = replace(recipe, fit=replace(recipe.fit, epochs=9))
    assert run(longer, source_of(longer, None)) != base
    changed = replace(recipe, losses={"left": Changed(power=4)})
    other = source_of(changed, None)
    assert run(changed, other) != base
    alone = run(recipe, source, tasks=("right",))
    assert run(changed, other, tasks=("right",)) == alone, "a network of a task whose loss stays is not trained again"
    assert run(changed, other, tasks=("left",)) != run(recipe, source, tasks=("left",))
    assert run(recipe, source, method="uniform", tasks=("right",)) == alone, "alone, nothing is balanced"
    turned = replace(recipe, tasks=("right", "left"))
    assert run(turned, source_of(turned, None), tasks=("right",)) != alone, "its head begins with other numbers"


def test_images_that_came_later_are_other_data(tmp_path):
    """A download that went on, or was mended, in the same folder: results of what was there are not taken for its."""
    recipe = load_recipe("nyuv2", {"generated": {"images": 6}}, tiny=True)
    root = generate("nyuv2", recipe.generated, tmp_path)
    assert generate("nyuv2", recipe.generated, tmp_path) == root
    part = generate("nyuv2", {**recipe.generated, "images": 5}, tmp_path)
    assert part != root, "other options, other data"

    def run(folder):
        loaded.cache_clear()
        source = source_of(recipe, folder)
        made = Trainings(recipe, source, Path(), LocalExecutor(1), Silent())
        return made._job(source.tasks, RecipeMethod.of("mgda"), 0).run

    before = run(root)
    assert run(root) == before
    for folder in (root / "train").iterdir():
        shutil.copy(folder / "0.npy", folder / f"{len(list(folder.iterdir()))}.npy")
    more = run(root)
    assert more != before
    label = root / "train" / "depth" / "0.npy"
    label.write_bytes(label.read_bytes()[:-4] + bytes(4))
    os.utime(label, ns=(0, 0))  # file systems count time in steps
    assert run(root) != more


@pytest.mark.parametrize("split", ["test", "validation"])
@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({}, "task 'a' has no label in the {} rows, expected some"),
        ({"a": {"loss": math.nan, "metric": 0.5}}, "task 'a' ends with a loss of nan on the {} rows"),
        ({"a": {"loss": 0.5, "metric": math.nan}}, "task 'a' has accuracy nan on the {} rows"),
    ],
)
def test_what_cannot_be_scored_is_a_failure(split, own, message):
    results = {"test": {"a": {"loss": 0.5, "metric": 0.5}}, "validation": {"a": {"loss": 0.4, "metric": 0.6}}}
    module = SimpleNamespace(tasks={"a": Task.classification("a", 2)})
    assert len(_rows(module, SimpleNamespace(**results))) == 1
    with pytest.raises(ArithmeticError, match=message.format(split)):
        _rows(module, SimpleNamespace(**{**results, split: own}))
