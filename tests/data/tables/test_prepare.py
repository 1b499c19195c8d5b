"""From a table to tensors: what is in them, what was decided, and what happens to folders."""

import json
import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from counterpoint.data.tables import PreparedTable, TableError, TableOptions, TableSchema, opening, preparation, prepare

OPTIONS = TableOptions(("amount", "grade"), tasks=("amount:regression:log",))


@pytest.fixture(scope="module")
def prepared(mixed_table, tmp_path_factory):
    return prepare(mixed_table, OPTIONS, tmp_path_factory.mktemp("prepared") / "mixed")


def test_splits_are_rows_of_the_table(prepared, mixed_table):
    rows = {split: prepared.rows(split) for split in ("train", "validation", "test")}
    unlabelled = mixed_table[["amount", "grade"]].isna().all(axis=1)
    assert sorted(np.concatenate(list(rows.values()))) == np.flatnonzero(~unlabelled).tolist()
    assert prepared.schema.unlabelled == unlabelled.sum() > 0
    for split, data in prepared.splits().items():
        table = mixed_table.iloc[rows[split]]
        assert prepared.schema.rows[split] == len(data) == len(table)
        expected = prepared.schema.preprocessing.transform(table)
        np.testing.assert_array_equal(data.inputs.numpy(), expected)
        for target in prepared.schema.targets:
            np.testing.assert_array_equal(data.targets[target.name].numpy(), target.encode(table[target.name]))
            missing = prepared.schema.missing_labels[target.name][split]
            assert missing == table[target.name].isna().sum() > 0


def test_everything_is_fitted_on_training_rows(prepared, mixed_table):
    train = mixed_table.iloc[prepared.rows("train")]
    inputs = prepared.splits()["train"].inputs.numpy()
    ages = StandardScaler().fit_transform(train[["age"]])[:, 0]
    place = prepared.schema.preprocessing.feature_names.index("age")
    np.testing.assert_array_equal(inputs[:, place], ages.astype(np.float32))
    amount, grade = prepared.schema.targets
    logs = np.log(train["amount"].dropna())
    assert (amount.mean, amount.scale) == (pytest.approx(logs.mean()), pytest.approx(logs.std(ddof=0)))
    assert amount.partial
    assert grade.partial
    assert prepared.splits()["train"].targets["grade"].dtype == torch.int64


def test_diamonds_by_the_way_they_come(diamonds, tmp_path):
    options = TableOptions(("price", "cut", "clarity"))
    diamonds.to_csv(tmp_path / "d.csv", index=False)
    diamonds.to_parquet(tmp_path / "d.parquet", row_group_size=700)
    ways = [
        prepare(way, options, tmp_path / str(place))
        for place, way in enumerate((diamonds, tmp_path / "d.csv", tmp_path / "d.parquet"))
    ]
    first = ways[0].splits()
    for way in ways[1:]:
        assert way.schema.preprocessing == ways[0].schema.preprocessing
        for split, data in way.splits().items():
            assert torch.equal(data.inputs, first[split].inputs)
            np.testing.assert_array_equal(way.rows(split), ways[0].rows(split))
    schema = ways[0].schema
    assert [target.kind for target in schema.targets] == ["regression", "multiclass", "multiclass"]
    # A sample's row numbers are no longer consecutive or rising, but that is what they are called.
    assert [(one.column, one.reason) for one in schema.dropped] == [("rownames", "has another number in every row")]
    assert schema.leaks == ()
    assert schema.missing_labels["price"]["test"] == torch.isnan(first["test"].targets["price"]).sum() > 0
    assert schema.missing_labels["cut"]["train"] == (first["train"].targets["cut"] == -100).sum() > 0


def test_small_batches_change_nothing(mixed_table, tmp_path, monkeypatch):
    """A table larger than memory is prepared as a small one: the size of the batches is all that differs."""
    mixed_table.to_parquet(tmp_path / "t.parquet", row_group_size=120)
    whole = prepare(tmp_path / "t.parquet", OPTIONS, tmp_path / "whole")
    monkeypatch.setattr(opening, "BATCH", 50)
    pieces = prepare(tmp_path / "t.parquet", OPTIONS, tmp_path / "pieces")
    assert pieces.schema == whole.schema
    for split, data in pieces.splits().items():
        assert torch.equal(data.inputs, whole.splits()[split].inputs)


def test_of_many_training_rows_some_are_fitted_on(mixed_table, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "FIT_ROWS", 100)
    few = prepare(mixed_table, OPTIONS, tmp_path / "few").schema.preprocessing
    ages = mixed_table["age"]
    assert few.means[1] != ages.mean()
    assert abs(few.means[1] - ages.mean()) < 4 * ages.std() / 10


def test_the_schema_survives_json(prepared):
    text = (prepared.folder / "schema.json").read_text()
    assert TableSchema.from_json(json.loads(text)) == prepared.schema
    assert json.dumps(prepared.schema.to_json()) == json.dumps(json.loads(text))
    summary = {column.name: column for column in prepared.schema.columns}
    assert summary["size"].categories == 3
    assert summary["weight"].missing == pytest.approx(0.1, abs=0.05)


def test_what_is_there_is_used(prepared, mixed_table):
    said = []
    again = prepare(mixed_table.copy(), OPTIONS, prepared.folder, said.append)
    assert again == prepared
    assert said == []
    assert again.digest != prepare(mixed_table, replace(OPTIONS, seed=1), prepared.folder.with_name("other")).digest


def test_a_prepared_table_is_its_content(prepared, tmp_path):
    moved = PreparedTable(tmp_path, prepared.digest)
    assert moved == prepared
    assert len({moved, prepared}) == 1
    assert len(pickle.dumps(prepared)) < 1_000
    assert pickle.loads(pickle.dumps(prepared)).splits().keys() == {"train", "validation", "test"}  # noqa: S301
    with pytest.raises(TableError, match="holds no prepared table"):
        _ = moved.schema


def test_another_seed_makes_another_split_beside_it(mixed_table, tmp_path):
    prepared = prepare(mixed_table, OPTIONS, tmp_path / "mine")
    other = prepared.with_seed(5)
    assert other.folder == tmp_path / "mine-seed5"
    assert other.schema.options.seed == 5
    assert other.with_seed(6).folder == tmp_path / "mine-seed6"
    assert prepared.with_seed(0) is prepared
    assert set(other.rows("test")) != set(prepared.rows("test"))
    assert len(other.rows("test")) == pytest.approx(len(prepared.rows("test")), abs=3)


def test_an_older_table_is_replaced_and_other_things_are_not(mixed_table, tmp_path):
    older = prepare(mixed_table, OPTIONS, tmp_path / "mine")
    newer = prepare(mixed_table, replace(OPTIONS, drop=("age",)), tmp_path / "mine")
    assert "age" not in newer.schema.preprocessing.columns
    with pytest.raises(TableError, match="holds another table by now"):
        PreparedTable(older.folder, older.digest + "0").schema  # noqa: B018
    with pytest.raises(TableError, match="holds another table by now"):
        older.splits()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    with pytest.raises(TableError, match="photos holds something else"):
        prepare(mixed_table, OPTIONS, tmp_path / "photos")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "photos"]


def test_nothing_is_left_of_what_failed(mixed_table, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("counterpoint.data.tables.store.SplitWriter.append", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(mixed_table, OPTIONS, tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away(mixed_table, tmp_path):
    from counterpoint.data.tables.store import _prefix

    gone = multiprocessing.get_context("fork").Process(target=int)
    gone.start()
    gone.join()
    left = tmp_path / f"{_prefix(tmp_path / 'mine', gone.pid)}abc"
    left.mkdir()
    prepare(mixed_table, OPTIONS, tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_damaged_folder_is_prepared_again(mixed_table, tmp_path, damage):
    """Which is what the message of a lost array says to do."""
    first = prepare(mixed_table, OPTIONS, tmp_path / "t")
    inputs = first.splits()["test"].inputs
    damage(tmp_path / "t" / "inputs-test.npy")
    assert prepare(mixed_table, OPTIONS, tmp_path / "t").splits()["test"].inputs.equal(inputs)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_whoever_comes_second_uses_what_the_first_made(mixed_table, tmp_path, monkeypatch):
    write, inside = preparation._write, []

    def meanwhile(*args):
        write(*args)
        if not inside:
            inside.append(True)
            inside.append(prepare(mixed_table, OPTIONS, tmp_path / "mine"))

    monkeypatch.setattr(preparation, "_write", meanwhile)
    late = prepare(mixed_table, OPTIONS, tmp_path / "mine")
    assert late == inside[1]
    assert len(late.splits()["train"]) == late.schema.rows["train"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_groups_and_times_split_and_are_no_features(mixed_table, tmp_path):
    table = mixed_table.assign(who=np.arange(400) // 5, seen=mixed_table["seen"].fillna(pd.Timestamp("2023-02-01")))
    grouped = prepare(table, replace(OPTIONS, group_by="who"), tmp_path / "grouped")
    groups = [set(table["who"].iloc[grouped.rows(split)]) for split in ("train", "validation", "test")]
    assert sum(map(len, groups)) == len(set.union(*groups))
    timed = prepare(table, replace(OPTIONS, time_by="seen"), tmp_path / "timed")
    seen = [table["seen"].iloc[timed.rows(split)] for split in ("train", "validation", "test")]
    assert seen[0].max() < seen[1].min() <= seen[1].max() < seen[2].min()
    assert "who" not in grouped.schema.preprocessing.columns
    assert "seen" not in timed.schema.preprocessing.columns
    assert ("who", "groups the rows") in [(one.column, one.reason) for one in grouped.schema.dropped]


def test_columns_that_say_nothing_are_dropped_and_said(mixed_table, tmp_path):
    table = mixed_table.assign(
        row=range(400),
        customer_id=np.random.default_rng(3).permutation(10_000)[:400],
        note=[f"note {place}" for place in range(400)],
        name=[f"name {place // 2}" for place in range(400)],
        same="x",
        nothing=np.nan,
        lists=[[1]] * 400,
        price=np.random.default_rng(4).random(400),
        euros=0.9 * mixed_table["amount"],
    )
    schema = prepare(table, replace(OPTIONS, drop=("age",)), tmp_path / "mine").schema
    reasons = {one.column: one.reason for one in schema.dropped}
    assert reasons == {
        "age": "is not to be used",
        "row": "numbers the rows",
        "customer_id": "has another number in every row",
        "note": "has another text in every row",
        "name": "has no text that occurs 5 times in training rows",
        "same": "is constant: 'x'",
        "nothing": "has no values",
        "lists": reasons["lists"],
    }
    assert "price" in schema.preprocessing.columns
    assert [(leak.column, leak.target) for leak in schema.leaks] == [("euros", "amount")]
    assert "euros" in schema.preprocessing.columns


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"targets": ("amont",)}, "no column 'amont' for a target: nearest is 'amount'"),
        ({"features": ("wieght",)}, "no column 'wieght' for a feature: nearest is 'weight'"),
        ({"drop": ("aged",)}, "no column 'aged' for dropping: nearest is 'age'"),
        ({"time_by": "wen"}, "no column 'wen' for the split"),
        ({"time_by": "city"}, "column 'city' holds 'city"),
        ({"time_by": "seen"}, "column 'seen' has no value in data row"),
        ({"group_by": "size"}, "column 'size' has no value in data row"),
        ({"group_by": "member"}, "column 'member' has 2 groups, expected at least 3"),
        ({"targets": ("city",), "tasks": ("city:regression",)}, "column 'city' holds 'city"),
        ({"targets": ("weight",), "tasks": ("weight:regression:log",)}, "expected numbers above 0"),
        ({"drop": ("weight", "age", "member", "size", "city", "seen")}, "no feature column is left"),
        ({"targets": ("amount",), "tasks": (), "split": "stratified"}, "no target has classes"),
    ],
)
def test_what_does_not_fit_the_table_is_refused(mixed_table, tmp_path, options, said):
    options = {"tasks": (), **options}
    with pytest.raises(TableError) as error:
        prepare(mixed_table, replace(OPTIONS, **options), tmp_path / "mine")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"y": [1.5] + [None] * 29}, {}, "target 'y' is constant"),
        ({"y": [1.5, 2.5] + [None] * 28}, {}, "has 2 rows with a label, expected at least 10"),
        ({"y": [None] * 30}, {}, "target 'y' has no labels"),
        ({"y": [1.5, np.inf] * 15}, {}, "column 'y' holds inf in data row 2"),
        ({"x": [1.5, 2.5, 1e200] * 10}, {}, "column 'x' holds 1e+200 in data row 3"),
        ({"x": [1.5, 2.5, -np.inf] * 10}, {}, "column 'x' holds -inf in data row 3"),
        ({"y": ["a"] * 25 + ["b"] * 5}, {"time_by": "day"}, "has one class in the training rows ('a')"),
        ({"y": ["a", "b"] * 7 + ["a"] * 16}, {"time_by": "day"}, "has one class in the validation rows, expected both"),
        ({"y": ["a", "b"] * 12 + ["a"] * 6}, {"time_by": "day"}, "has one class in the test rows, expected both"),
        ({"y": [1.5] * 25 + [2.5, 3.5, 4.5, 5.5, 6.5]}, {"time_by": "day"}, "has one value in the training rows"),
        ({"y": [1.0, 2.5, 3.0] * 7 + [None] * 9, "z": [0, 1] * 15}, {"targets": ("y", "z"), "time_by": "day"},
         "target 'y' has no label in the validation rows (21 labels in all)"),
        ({"y": [0, 0, 0, 0, 1, 2] * 3 + [0] * 12}, {"tasks": ("y:count",), "time_by": "day"},
         "target 'y' is zero in all validation rows (6 rows above zero in all)"),
    ],
)  # fmt: skip
def test_tables_from_which_nothing_can_be_learned_are_refused(tmp_path, change, options, said):
    table = pd.DataFrame({"x": np.arange(30) % 7 / 2, "w": np.arange(30) % 3, "day": range(30), "y": [1.5, 2.5] * 15})
    table = table.assign(**change)
    with pytest.raises(TableError) as error:
        prepare(table, TableOptions(**{"targets": ("y",), **options}), tmp_path / "mine")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_that_came_as_text_are_numbers(mixed_table, tmp_path):
    """As from a reader that knows no types, such as Python's csv."""
    text = mixed_table.assign(
        **{name: mixed_table[name].map(lambda x: "" if pd.isna(x) else repr(x)) for name in ("weight", "amount")},
        seen=mixed_table["seen"].astype(str).replace("NaT", ""),
    )
    plain, read = (prepare(t, OPTIONS, tmp_path / name).schema for t, name in ((mixed_table, "plain"), (text, "text")))
    assert read.preprocessing == plain.preprocessing
    assert read.targets == plain.targets


def test_a_class_that_no_training_row_has_is_noted(tmp_path):
    table = pd.DataFrame({"x": np.arange(60) % 7 / 2, "day": range(60), "y": ["a", "b"] * 28 + ["c"] * 4})
    schema = prepare(table, TableOptions(("y",), time_by="day"), tmp_path / "mine").schema
    assert schema.notes == ("No training row of target 'y' is 'c': it cannot be learned.",)


def test_events_of_a_rare_count_are_in_every_split_and_their_fewness_is_noted(tmp_path):
    table = pd.DataFrame({"x": np.arange(400) % 7 / 2, "y": [1, 0, 0, 2, 0] * 3 + [3] + [0] * 384})
    for seed in range(4):
        options = TableOptions(("y",), ("y:count",), seed=seed)
        prepared = prepare(table, options, tmp_path / f"{seed}")
        events = {name: int((split.targets["y"] > 0).sum()) for name, split in prepared.splits().items()}
        assert events == {"train": 5, "validation": 1, "test": 1}
        assert prepared.schema.notes == (
            "Target 'y' is above zero in only 1 of 60 validation rows and 1 of 60 test rows: scores there say little.",
        )
        assert prepared.schema.split.startswith("stratified by 'y'")


def test_a_changed_or_lost_source_is_said(mixed_table, tmp_path):
    path = tmp_path / "t.csv"
    mixed_table.to_csv(path, index=False)
    prepared = prepare(path, OPTIONS, tmp_path / "mine")
    mixed_table.head(300).to_csv(path, index=False)
    with pytest.raises(TableError, match="has changed since it was prepared"):
        prepared.with_seed(1)
    path.unlink()
    with pytest.raises(TableError, match="there is no file"):
        prepared.with_seed(1)
