"""Columns that files and people come up with: what is learned from them is what a bundle understands later."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from counterpoint.data.tables import Preprocessing, TableError, TableOptions, prepare, read_batches

ROWS = 60
OPTIONS = TableOptions(("y",))


def table(**columns):
    x = np.random.default_rng(0).normal(size=ROWS).round(3)
    return pd.DataFrame({**columns, "x": x, "y": ["no", "yes"] * (ROWS // 2)})


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([f"{row % 24:02d}:{row % 7:02d}:00" for row in range(ROWS)], id="times of day"),
        pytest.param([f"{row % 24:02d}:{row % 7:02d}" for row in range(ROWS)], id="without seconds"),
        pytest.param([f"0x{row % 30:02x}" for row in range(ROWS)], id="hexadecimal"),
        pytest.param([f"2024-01-{row % 20 + 1:02d}T10:00:00.123456789" for row in range(ROWS)], id="nanoseconds"),
        pytest.param([f"2024-01-{row % 20 + 1:02d} 10:00Z" for row in range(ROWS)], id="zone"),
        pytest.param([f" +{row % 20}.5" for row in range(ROWS)], id="signs and spaces"),
        pytest.param(["TRUE", "false", ""] * (ROWS // 3), id="truth values"),
    ],
)
def test_a_csv_file_is_the_same_in_training_and_in_predicting(values, tmp_path):
    """Arrow finds types when a whole file is read; in pieces, and from pandas, the same column comes as text."""
    path = tmp_path / "t.csv"
    table(c=values).to_csv(path, index=False)
    prepared = prepare(path, OPTIONS, tmp_path / "prepared")
    preprocessing = prepared.schema.preprocessing
    assert "c" in preprocessing.columns
    (piece,) = read_batches(path, ["c", "x"])
    for frame in (piece, pd.read_csv(path)):
        inputs = preprocessing.transform(frame)
        for name, split in prepared.splits().items():
            np.testing.assert_array_equal(split.inputs.numpy(), inputs[prepared.rows(name)])
    assert len(np.unique(inputs[:, 0])) > 1


def test_times_of_day_are_seconds_wherever_they_come_from():
    times = pd.Series([dt.time(1, 2, 3, 500_000), dt.time(23, 59), None, dt.time(0, 0)])
    text = times.map(str, na_action="ignore")
    fitted = Preprocessing.fit(pd.DataFrame({"t": times}), {"t": "numeric"})
    assert fitted.medians == (3723.5,)
    np.testing.assert_array_equal(*(fitted.transform(pd.DataFrame({"t": values})) for values in (times, text)))
    with pytest.raises(TableError, match=r"column 't' holds '01:02:03.500000' in data row 1, expected a number"):
        fitted.transform(pd.DataFrame({"t": text.replace("00:00:00", "midnight")}))


def test_what_does_not_vary_in_training_rows_is_not_used(tmp_path):
    """Else its values in other rows, in whatever unit, would meet weights that were never trained."""
    later = np.arange(ROWS) >= 50
    frame = table(
        day=np.arange(ROWS),
        switched=np.where(later, 1e6, 0.0),
        installed=np.where(later, 1e6, np.nan),
        either=np.where(later, 1e6, np.where(np.arange(ROWS) % 2, 5.0, np.nan)),
        date=np.where(later, np.datetime64("2030-01-01", "us"), np.datetime64("2024-01-01", "us")),
    )
    prepared = prepare(frame, TableOptions(("y",), time_by="day"), tmp_path / "prepared")
    assert {one.column: one.reason for one in prepared.schema.dropped if one.column != "day"} == {
        "switched": "is constant in training rows",
        "installed": "has no values in training rows",
        "date": "is constant in training rows",
    }
    assert prepared.schema.preprocessing.feature_names == ("either", "x", "either: missing")
    assert prepared.splits()["test"].inputs[:, 0].abs().max() == 0  # only whether it is missing was learned
    with pytest.raises(TableError, match=r"no feature column is left \('date' is constant in training rows\)"):
        prepare(frame[["day", "date", "y"]], TableOptions(("y",), time_by="day"), tmp_path / "nothing")


def test_large_regression_labels_are_not_taken_for_one_value(tmp_path):
    """Seconds since 1970 within a minute are one number in single precision."""
    frame = table().drop(columns="y").assign(y=1.7e9 + np.arange(ROWS) % 50)
    prepared = prepare(frame, TableOptions(("y",), ("y:regression",)), tmp_path / "prepared")
    (target,) = prepared.schema.targets
    decoded = target.decode(prepared.splits()["train"].targets["y"].numpy())["y"]
    np.testing.assert_allclose(decoded, frame["y"][prepared.rows("train")], rtol=0, atol=1e-4)


def test_a_column_that_is_dropped_may_hold_anything(tmp_path):
    """Which is what the message about mixed columns says to do."""
    path = tmp_path / "t.csv"
    for mixed in ([row / 7 for row in range(ROWS - 1)] + ["oops"], [{}] * ROWS):
        frame = table(c=mixed)
        frame.to_csv(path, index=False)
        for number, source in enumerate((frame, path)):
            prepared = prepare(source, TableOptions(("y",), drop=("c",)), tmp_path / f"prepared-{number}")
            assert [(one.column, one.reason) for one in prepared.schema.dropped] == [("c", "is not to be used")]
            assert prepared.with_seed(1).schema.rows == prepared.schema.rows


@pytest.mark.parametrize("form", ["{},5", "{}%", "$ {}.5", "{},500.25"])
def test_text_that_looks_like_numbers_is_said(form, tmp_path):
    frame = table(c=[form.format(row % 5) for row in range(ROWS)], code=[f"1.2.{row % 5}" for row in range(ROWS)])
    notes = prepare(frame, OPTIONS, tmp_path / "prepared").schema.notes
    (note,) = [note for note in notes if "Column" in note]
    assert note.startswith(f"Column 'c' holds text such as '{form.format(0)}', which is taken for categories")
    frame["y"] = [form.format(row % 30) for row in range(ROWS)]
    with pytest.raises(TableError, match=r"target 'y' holds text such as .* expected numbers with a point"):
        prepare(frame, OPTIONS, tmp_path / "other")
    prepare(frame, TableOptions(("y",), ("y:multiclass",)), tmp_path / "other")


def test_columns_no_input_can_be_made_of_are_named_when_predicting():
    preprocessing = Preprocessing.fit(table(), {"x": "numeric"})
    with pytest.raises(TableError, match=r"^new\.parquet: column 'x' holds values of type list<"):
        preprocessing.transform(table().assign(x=[[1.0]] * ROWS), source="new.parquet")


def test_values_beyond_what_python_holds(tmp_path):
    frame = table(far=np.array([2**60, 0] * (ROWS // 2), dtype="datetime64[us]"), none=np.full(ROWS, np.nan + 0j))
    frame["day"] = [dt.date(2024, 1, 1)] * ROWS
    schema = prepare(frame, OPTIONS, tmp_path / "prepared").schema
    assert schema.preprocessing.columns == {"far": "datetime", "x": "numeric"}
    assert {one.column: one.reason for one in schema.dropped} == {
        "none": "holds values of type complex128",
        "day": "is constant: 2024-01-01T00:00:00",
    }


def test_a_quoted_name_may_span_lines(tmp_path):
    path = tmp_path / "t.csv"
    table().rename(columns={"x": "width,\nin mm"}).to_csv(path, index=False)
    prepared = prepare(path, OPTIONS, tmp_path / "prepared")
    assert prepared.schema.preprocessing.feature_names == ("width,\nin mm",)
    (piece,) = read_batches(path, ["width,\nin mm"])
    np.testing.assert_array_equal(
        prepared.schema.preprocessing.transform(piece)[prepared.rows("test")], prepared.splits()["test"].inputs.numpy()
    )
