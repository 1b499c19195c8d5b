"""The leak guard finds copies of a target in any disguise, and leaves good predictors alone."""

import numpy as np
import pytest

from counterpoint.data.tables import Target
from counterpoint.data.tables.leaks import find_leaks

ROWS = 4_000
rng = np.random.default_rng(0)
PRICE = rng.lognormal(7, 1, ROWS).round(2)
GRADE = rng.choice(5, ROWS, p=[0.5, 0.3, 0.1, 0.07, 0.03])
SICK = (rng.random(ROWS) < 0.02).astype(np.int64)
price, grade = Target("price", "regression"), Target("grade", "multiclass", classes=tuple("abcde"))
sick = Target("sick", "binary", classes=("no", "yes"))


def reported(columns, target, labels):
    return [leak.column for leak in find_leaks(columns, {target: labels})]


@pytest.mark.parametrize(
    "column",
    [0.9 * PRICE, np.log(PRICE), (0.9 * PRICE).round(0), -PRICE, PRICE + rng.normal(size=ROWS) * 1e-3],
    ids=["another currency", "logarithm", "rounded", "negated", "noise"],
)
def test_functions_of_a_number_are_leaks(column):
    assert reported({"copy": column}, price, PRICE.astype(np.float32)) == ["copy"]


def test_a_number_that_is_no_monotone_function_may_leak_too():
    x = rng.uniform(-1, 1, ROWS)
    assert reported({"x": x}, price, x**2) == ["x"]


def test_codes_of_a_class_are_leaks_whatever_they_are_called():
    shuffled = np.array([3.0, 0.0, 4.0, 1.0, 2.0])[GRADE]
    finer = 10.0 * GRADE + rng.integers(0, 3, ROWS)
    coarser = np.minimum(GRADE, 2).astype(float)
    assert reported({"shuffled": shuffled, "finer": finer, "coarser": coarser}, grade, GRADE) == ["shuffled", "finer"]


def test_a_missing_value_may_be_the_leak():
    filled = np.where(SICK == 1, rng.random(ROWS), np.nan)
    assert reported({"dose": filled}, sick, SICK) == ["dose"]


def test_every_value_of_many_categories_counts():
    codes = rng.integers(0, 300, 20_000)
    labels = np.asarray(codes * 7919 % 5)
    assert reported({"code": codes.astype(float)}, grade, labels) == []  # as numbers, neighbours share a bin
    (leak,) = find_leaks({"code": codes.astype(float)}, {grade: labels}, categories=["code"])
    assert leak.strength == 1


def test_good_predictors_are_none():
    columns = {
        "correlated": PRICE * np.exp(0.2 * rng.standard_normal(ROWS)),
        "noise": rng.standard_normal(ROWS),
        "id": np.arange(ROWS, dtype=float),
        "constant": np.zeros(ROWS),
        "empty": np.full(ROWS, np.nan),
    }
    for target, labels in ((price, PRICE), (grade, GRADE), (sick, SICK)):
        assert reported(columns, target, labels) == []


def test_the_commonest_class_is_no_achievement():
    """98 % of the rows are healthy: a column that always says so is right as often, and knows nothing."""
    assert reported({"nothing": rng.random(ROWS)}, sick, SICK) == []


def test_missing_labels_are_left_out():
    labels = np.where(rng.random(ROWS) < 0.5, np.nan, PRICE)
    assert reported({"copy": PRICE}, price, labels) == ["copy"]
    holes = np.where(rng.random(ROWS) < 0.5, -100, GRADE)
    assert reported({"copy": GRADE.astype(float)}, grade, holes) == ["copy"]
    assert reported({"copy": PRICE}, price, np.full(ROWS, np.nan)) == []


def test_a_sentence_says_what_to_do():
    (leak,) = find_leaks({"euro": 0.9 * PRICE}, {price: PRICE})
    assert leak.strength == pytest.approx(1, abs=1e-6)
    assert "--drop euro" in leak.sentence
