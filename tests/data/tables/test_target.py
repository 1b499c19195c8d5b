"""Targets: what kind a column is, and labels there and back."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_poisson_deviance

from counterpoint.data.tables import TableError, Target
from counterpoint.data.tables.columns import plain
from counterpoint.data.tables.inference import target_of, with_statistics


def inferred(values, override=None):
    return target_of("y", plain("y", pd.Series(values)), override)[0]


rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, False, None], "binary"),
        ([0, 1, 1], "binary"),
        ([2.5, 1.5, 2.5], "binary"),
        (["yes", "no"], "binary"),
        (["a", "b", "c"], "multiclass"),
        (pd.Categorical([3, 1, 2]), "multiclass"),
        ([1.5, 2.0, 3.0], "regression"),
        ([-1, 0, 1, 2], "regression"),
        (rng.poisson(0.5, 300), "count"),
        (np.minimum(rng.negative_binomial(0.6, 0.15, 3_000), 77), "count"),
        (np.repeat(np.arange(10), 30), "multiclass"),
        (np.repeat(np.arange(1, 8), 30), "multiclass"),
        (rng.integers(326, 18_823, 300), "regression"),
        (np.repeat([3, 4, 5, 6, 7, 8], 30), "regression"),
        ([0.0, 1.0, np.nan, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 5.0], "count"),
    ],
)
def test_the_kind_is_inferred(values, kind):
    assert inferred(values).kind == kind


def test_the_kind_of_real_targets_is_inferred(diamonds):
    assert [inferred(diamonds[name]).kind for name in ("price", "cut", "depth")] == [
        "regression",
        "multiclass",
        "regression",
    ]


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["yes", "no", "yes"], ("no", "yes")),
        (["True", "false", "True"], ("false", "True")),
        (["sick", "healthy"], ("healthy", "sick")),
        (["alive", "no"], ("no", "alive")),
        ([1, 0], (0, 1)),
        ([10.0, 9.0, None], (9, 10)),
        ([True, False], (False, True)),
        (["10", "9", "b"], ("10", "9", "b")),
    ],
)
def test_classes_have_an_order_people_expect(values, classes):
    found = inferred(values).classes
    assert found == classes
    assert [type(one) for one in found] == [type(one) for one in classes]


def test_labels_come_back_from_perfect_outputs():
    labels = pd.Series(["b", None, "a", "c"])
    target = inferred(labels)
    numbers = target.encode(labels)
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [1, -100, 0, 2]
    outputs = np.full((3, 3), -50.0)
    outputs[range(3), numbers[[0, 2, 3]]] = 50
    columns = target.decode(outputs, probabilities=True)
    assert columns["y"].tolist() == ["b", "a", "c"]
    np.testing.assert_allclose(columns["y:probability"], 1)
    np.testing.assert_allclose(sum(columns[f"y:probability:{name}"] for name in "abc"), 1)


def test_labels_that_are_numbers_are_of_one_type():
    """Else a column of predictions would be of whole numbers in one piece of a file and of fractions in another."""
    assert Target("y", "binary", classes=(0.5, 1)).decode(np.array([[9.0]]))["y"].dtype == np.float64
    assert Target("y", "binary", classes=(0, 1)).decode(np.array([[9.0]]))["y"].dtype == np.int64
    assert Target("y", "binary", classes=(False, True)).decode(np.array([[9.0]]))["y"].dtype == bool


def test_binary_outputs_give_the_chance_of_the_positive_class():
    target = inferred(["no", "yes"])
    columns = target.decode(np.array([[-2.0], [3.0], [-800.0]]))
    assert columns["y"].tolist() == ["no", "yes", "no"]
    np.testing.assert_allclose(columns["y:probability"], 1 / (1 + np.exp([2.0, -3.0, 700.0])), atol=1e-12)
    assert target.outputs == 1
    both = target.decode(np.array([[-2.0], [3.0]]), probabilities=True)
    np.testing.assert_array_equal(both["y:probability:yes"], both["y:probability"])
    np.testing.assert_allclose(both["y:probability:no"] + both["y:probability:yes"], 1)


@given(
    st.lists(st.floats(0.01, 1e6), min_size=3, max_size=20, unique=True),
    st.sampled_from(["none", "log", "log1p"]),
)
def test_regression_labels_come_back(values, transform):
    array = plain("y", pd.Series(values))
    target, _ = target_of("y", array, ("regression", transform))
    target = with_statistics(target, array, np.ones(len(values), dtype=bool))
    learned = {"none": np.asarray, "log": np.log, "log1p": np.log1p}[transform](values)
    assert target.scale == target.baseline == learned.std()
    encoded = target.encode(pd.Series(values))
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, (learned - learned.mean()) / learned.std(), rtol=1e-5, atol=1e-6)
    exact = (learned - target.mean) / target.scale
    np.testing.assert_allclose(target.decode(exact)["y"], values, rtol=1e-9, atol=1e-9)


def test_a_constant_cannot_be_standardized():
    with pytest.raises(TableError, match="'y' is constant in the training rows"):
        with_statistics(Target("y", "regression"), pa.chunked_array([[2.0, 2.0, 3.0]]), np.array([True, True, False]))


def test_counts_are_learned_as_logarithms_of_their_expectation():
    values = rng.poisson(0.7, 200)
    array = plain("y", pd.Series(values))
    train = np.arange(200) < 150
    target = with_statistics(target_of("y", array)[0], array, train)
    expected = mean_poisson_deviance(values[train], np.full(150, values[train].mean()))
    assert target.baseline == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(target.encode(array), values)
    np.testing.assert_allclose(target.decode(np.log([[0.5], [3.0]]))["y"], [0.5, 3.0])


def test_labels_are_recognized_however_a_file_spells_them():
    assert inferred([1, 2, 3] * 5, ("multiclass", "none")).encode(pd.Series(["3", "1", None])).tolist() == [2, 0, -100]
    assert inferred([1, 2, 3] * 5, ("multiclass", "none")).encode(pd.Series([3.0, None, 2.0])).tolist() == [2, -100, 1]
    assert inferred([True, False]).encode(pd.Series(["true", "FALSE"])).tolist() == [1, 0]


@pytest.mark.parametrize("values", [["a", "b", "c"], [1, 2], [True, False], [0.1, 0.2, 0.4], [0, 0, 0, 0, 1, 7]])
def test_json_keeps_every_bit(values):
    array = plain("y", pd.Series(values))
    target = with_statistics(target_of("y", array)[0], array, np.ones(len(values), dtype=bool))
    again = Target.from_json(json.loads(json.dumps(target.to_json())))
    assert again == target
    assert [type(one) for one in again.classes] == [type(one) for one in target.classes]


@pytest.mark.parametrize(
    ("values", "override", "said"),
    [
        ([None, None], None, "has no labels"),
        ([3, 3, None], None, "is constant (3)"),
        ([f"name {place}" for place in range(1_200)], None, "1,200 classes, expected at most 1,000: is it an id"),
        ([f"name {place}" for place in range(40)], None, "most of the 40 classes"),
        (["1.5", "2.5", "x"], ("regression", "none"), "holds 'x' in data row 3, expected a number"),
        ([1.0, 0.0, 2.0], ("regression", "log"), "is 0 in data row 2, expected numbers above 0 for 'log'"),
        ([1.0, -1.0, 2.0], ("regression", "log1p"), "is -1 in data row 2, expected numbers above -1 for 'log1p'"),
        ([1.0, 2.0, 2.5], ("count", "none"), "is 2.5 in data row 3, expected counts"),
        ([1, 2, -3], ("count", "none"), "is -3 in data row 3, expected counts"),
        (["a", "b", "c"], ("binary", "none"), "has 3 different labels, expected 2"),
        ([0.5, np.inf, 2.5], None, "holds inf in data row 2"),
        (pd.date_range("2024-01-01", periods=4), None, "holds dates"),
    ],
)
def test_what_cannot_be_a_target_is_refused(values, override, said):
    with pytest.raises(TableError) as error:
        inferred(values, override)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_labels_and_wrong_outputs_are_refused():
    target = inferred(["a", "b", "c"])
    with pytest.raises(TableError, match="'d' in data row 2, expected one of its 3 classes"):
        target.encode(pd.Series(["a", "d"]))
    with pytest.raises(TableError, match=r"outputs \[4, 2\], expected \[N, 3\]"):
        target.decode(np.zeros((4, 2)))


def test_a_target_is_hashable_and_says_how_it_was_inferred():
    array = pa.chunked_array([[0, 1, 0, 0, 0, 0, 7]])
    target, reason = target_of("y", array)
    assert hash(target) == hash(Target.from_json(target.to_json()))
    assert "zero most often" in reason
