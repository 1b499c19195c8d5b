"""The preprocessing is a ColumnTransformer of training rows; stored as JSON it is the same bit for bit."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from counterpoint.data.tables import Preprocessing, TableError

KINDS = {
    "weight": "numeric",
    "age": "numeric",
    "member": "boolean",
    "size": "category",
    "city": "category",
    "seen": "datetime",
}


@pytest.fixture(scope="module")
def fitted(mixed_table):
    return Preprocessing.fit(mixed_table.head(280), KINDS)


def column(fitted, table, name):
    return fitted.transform(table)[:, fitted.feature_names.index(name)]


def test_it_equals_a_plain_column_transformer(fitted, mixed_table):
    table = mixed_table.drop(columns="seen").assign(
        member=mixed_table["member"].astype(float), size=mixed_table["size"].astype(object).fillna("~missing")
    )
    # A category of codes keeps what occurs five times; scikit-learn's min_frequency puts the rest last, ours at 0.
    often = table["city"].head(280).value_counts()
    names = sorted(often[often >= 5].index)
    table["city"] = table["city"].where(table["city"].isin(names), "")
    plain = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["weight", "age", "member"]),
            ("few", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["size"]),
            ("many", OrdinalEncoder(categories=[["", *names]]), ["city"]),
        ]
    ).fit(table.head(280))
    expected = pd.DataFrame(plain.transform(table))
    ours = [*fitted.feature_names[:3], *(f"size = {size}" for size in ("L", "M", "S", "missing")), "city"]
    for name, values in zip(ours, expected.to_numpy().T, strict=True):
        np.testing.assert_array_equal(column(fitted, mixed_table, name), values.astype(np.float32), err_msg=name)


def test_dense_inputs_come_first_and_codes_last(fitted, mixed_table):
    inputs = fitted.transform(mixed_table)
    assert inputs.dtype == np.float32
    assert inputs.shape == (400, fitted.inputs + len(fitted.cardinalities))
    assert fitted.feature_names[-1] == "city"
    assert fitted.inputs == len(fitted.feature_names) - 1
    codes = inputs[:, -1]
    assert set(codes) <= set(range(fitted.cardinalities[0]))
    assert (codes[~mixed_table["city"].isin(fitted.features[4].categories)] == 0).all()


def test_a_missing_value_is_an_input_of_its_own(fitted, mixed_table):
    for name in ("weight", "seen"):
        np.testing.assert_array_equal(column(fitted, mixed_table, f"{name}: missing"), mixed_table[name].isna())
    np.testing.assert_array_equal(column(fitted, mixed_table, "size = missing"), mixed_table["size"].isna())
    assert "age: missing" not in fitted.feature_names


def test_times_become_elapsed_days_and_parts(fitted, mixed_table):
    assert {f"seen: {part}" for part in ("elapsed", "month", "day of week", "hour")} <= set(fitted.feature_names)
    assert "seen: year" not in fitted.feature_names  # all of 2023
    seen = mixed_table["seen"].dropna()
    rows = seen.index
    for part, values in {"month": seen.dt.month, "day of week": seen.dt.day_of_week, "hour": seen.dt.hour}.items():
        found = column(fitted, mixed_table, f"seen: {part}")[rows]
        assert np.corrcoef(found, values)[0, 1] == pytest.approx(1, abs=1e-6)
    elapsed = column(fitted, mixed_table, "seen: elapsed")[rows]
    assert np.corrcoef(elapsed, seen.astype("int64"))[0, 1] == pytest.approx(1, abs=1e-6)


def test_what_is_read_from_json_transforms_bit_for_bit_alike(fitted, mixed_table):
    again = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    assert again.transform(mixed_table).tobytes() == fitted.transform(mixed_table).tobytes()


@given(st.lists(st.one_of(st.none(), st.floats(-1e12, 1e12)), min_size=3, max_size=12))
@settings(max_examples=8)
def test_any_numbers_survive_json_and_are_standardized(values):
    table = pd.DataFrame({"x": np.array(values, dtype=np.float64)})
    fitted = Preprocessing.fit(table, {"x": "numeric"})
    again = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    inputs = fitted.transform(table)
    assert inputs.tobytes() == again.transform(table).tobytes()
    assert np.isfinite(inputs).all()
    scaler = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()).fit(table)
    np.testing.assert_array_equal(inputs[:, :1], scaler.transform(table).astype(np.float32))


def test_statistics_are_those_of_the_rows_it_was_fitted_on(mixed_table):
    some, others = mixed_table.head(280), mixed_table.tail(120)
    twice = pd.concat([some, others.assign(weight=1e9)])
    fitted = Preprocessing.fit(some, KINDS)
    assert fitted.medians[0] == some["weight"].median()
    np.testing.assert_array_equal(fitted.transform(twice)[:280], fitted.transform(some))


def test_large_tables_are_transformed_in_blocks_alike(fitted, mixed_table):
    many = pd.concat([mixed_table] * 25, ignore_index=True)  # more rows than a block has
    np.testing.assert_array_equal(fitted.transform(many), np.tile(fitted.transform(mixed_table), (25, 1)))


def test_new_data_may_have_other_types(fitted, mixed_table):
    text = mixed_table.assign(
        age=mixed_table["age"].astype(str),
        member=mixed_table["member"].map({True: "true", False: "FALSE"}),
        size=mixed_table["size"].astype("category"),
        seen=mixed_table["seen"].map(lambda time: "" if pd.isna(time) else time.isoformat()),
        weight=mixed_table["weight"].astype(object).where(mixed_table["weight"].notna(), "NA").astype(str),
    )
    np.testing.assert_array_equal(fitted.transform(text), fitted.transform(mixed_table))


def test_unknown_categories_are_counted_and_are_no_category(fitted, mixed_table):
    new = mixed_table.head(4).assign(size=["XXL", "S", None, "XXL"], city=["city 0", "Atlantis", None, "city 0"])
    assert fitted.unknown(new) == {"size": 2, "city": 1}
    sizes = [name for name in fitted.feature_names if name.startswith("size = ")]
    assert column(fitted, new, "city")[1:3].tolist() == [0, 0]
    assert [column(fitted, new, name)[0] for name in sizes] == [0] * 4


def test_columns_may_be_called_by_numbers_but_not_twice_alike():
    table = pd.DataFrame(np.arange(6.0).reshape(3, 2))
    fitted = Preprocessing.fit(table, {"1": "numeric"})
    np.testing.assert_allclose(fitted.transform(table)[:, 0], [-(1.5**0.5), 0, 1.5**0.5], rtol=1e-6)
    with pytest.raises(TableError, match="several columns called '1'"):
        fitted.transform(pd.concat([table, table], axis=1))


def test_no_rows_give_no_inputs(fitted, mixed_table):
    assert fitted.transform(mixed_table.head(0)).shape == (0, len(fitted.feature_names))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"drop": ["age", "size"]}, "lacks the 2 columns 'age', 'size'"),
        ({"age": "old"}, "column 'age' holds 'old' in data row 3, expected a number"),
        ({"member": "perhaps"}, "column 'member' holds 'perhaps' in data row 3, expected True or False"),
        ({"seen": "yesterday"}, "column 'seen' holds 'yesterday' in data row 3, expected a date"),
        ({"weight": np.inf}, "column 'weight' holds inf in data row 3, expected finite numbers"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(fitted, mixed_table, change, said):
    new = mixed_table.head(5).drop(columns=change.pop("drop", []))
    for name, value in change.items():
        new[name] = new[name].astype(object).map(str) if isinstance(value, str) else new[name]
        new.loc[2, name] = value
        if name == "seen":
            new[name] = new[name].replace("NaT", "")
    with pytest.raises(TableError) as error:
        fitted.transform(new)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
