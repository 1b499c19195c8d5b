"""What a recipe leaves on disk, and the mean relative improvement by hand."""

import math

import pandas as pd
import pytest

from counterpoint.study.recipes.results import HISTORY, PICTURES, SCORES, RecipeResults
from counterpoint.study.results_folder import ResultsError, kind_of

ROWS = [  # method, seed, task, metric, direction, main, value
    ("single", 0, "a", "mIoU", "maximize", True, 0.5),
    ("single", 0, "a", "accuracy", "maximize", False, 0.8),
    ("single", 0, "b", "error", "minimize", True, 4.0),
    ("mgda", 0, "a", "mIoU", "maximize", True, 0.6),  # + 20 %
    ("mgda", 0, "a", "accuracy", "maximize", False, 0.6),  # - 25 %
    ("mgda", 0, "b", "error", "minimize", True, 3.0),  # + 25 %
]


def results(rows):
    facts = dict.fromkeys(SCORES, 0.0)
    columns = ("method", "seed", "task", "metric", "direction", "main", "value")
    scores = [{**facts, **dict(zip(columns, row, strict=True)), "label": row[0], "run": "r"} for row in rows]
    history = [{**dict.fromkeys(HISTORY, "x"), "seed": 0, "epoch": 0, "validation_loss": 0.1, "validation_value": 0.2}]
    pictures = [{**dict.fromkeys(PICTURES, ""), "example": 0, "png": b"\x89PNG"}]
    return RecipeResults(
        pd.DataFrame(scores, columns=SCORES),
        pd.DataFrame(history, columns=HISTORY),
        pd.DataFrame(pictures, columns=PICTURES),
        {"title": "A recipe"},
    )


def improvement(rows, **options):
    found = results(rows).improvement(**options)
    return {(row["method"], row["seed"]): row["value"] for row in found.to_dict("records")}


def test_tasks_count_alike_however_many_metrics_they_have():
    found = improvement(ROWS)
    assert found["mgda", 0] == pytest.approx(((20 - 25) / 2 + 25) / 2)
    assert found["single", 0] == 0


def test_another_reference_turns_the_sign():
    assert improvement(ROWS, reference="mgda")["single", 0] < 0 == improvement(ROWS, reference="mgda")["mgda", 0]
    assert improvement(ROWS, reference="nothing") == {}


def test_what_is_not_defined_is_not_left_out_of_a_mean():
    zero = [(*row[:6], 0.0) if row[:4] == ("single", 0, "a", "accuracy") else row for row in ROWS]
    assert math.isnan(improvement(zero)["mgda", 0])
    nan = [(*row[:6], math.nan) if row[:3] == ("mgda", 0, "b") else row for row in ROWS]
    assert math.isnan(improvement(nan)["mgda", 0])


def test_a_seed_that_lacks_a_task_is_no_result():
    later = [(row[0], 1, *row[2:]) for row in ROWS if row[:3] != ("mgda", 0, "b")]
    assert set(improvement([*ROWS, *later])) == {("single", 0), ("mgda", 0), ("single", 1)}


def test_saved_and_loaded(tmp_path):
    assert kind_of(tmp_path) is None
    given = results(ROWS)
    given.save(tmp_path)
    assert kind_of(tmp_path) == "recipe"
    loaded = RecipeResults.load(tmp_path)
    assert loaded.about == given.about
    for name in ("scores", "history", "pictures"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(given, name))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "study.json").unlink(), "holds no finished recipe"),
        (lambda folder: (folder / "scores.parquet").write_bytes(b"PAR1"), "holds no finished recipe"),
        (lambda folder: (folder / "study.json").write_text('{"kind": "grouping"}'), "holds no recipe of schema"),
        (lambda folder: pd.DataFrame({"method": []}).to_parquet(folder / "scores.parquet"), "has no column 'label'"),
    ],
)
def test_folders_that_hold_something_else(harm, message, tmp_path):
    results(ROWS).save(tmp_path)
    harm(tmp_path)
    with pytest.raises(ResultsError, match=message) as caught:
        RecipeResults.load(tmp_path)
    assert "\n" not in str(caught.value)
