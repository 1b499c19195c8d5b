"""Files and frames say the same table; what is wrong with a file is said with its place."""

import gzip

import numpy as np
import pandas as pd
import pytest

from counterpoint.data.tables import TableError, read_batches, read_table, table_names
from counterpoint.data.tables.columns import UnusableColumnError, plain
from counterpoint.data.tables.opening import open_table
from counterpoint.data.tables.reading import content_hash


@pytest.fixture
def write(tmp_path):
    def written(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def refused(call, *args):
    with pytest.raises((TableError, OSError)) as error:
        call(*args)
    message = str(error.value)
    assert "\n" not in message
    return message


def whole(source):
    return {
        name: [value for batch in source.batches([name]) for value in batch[name].to_pylist()] for name in source.names
    }


def test_every_source_gives_the_same_columns(mixed_table, tmp_path):
    mixed_table.to_csv(tmp_path / "t.csv", index=False)
    mixed_table.to_csv(tmp_path / "t.csv.gz", index=False)
    mixed_table.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    mixed_table.to_parquet(tmp_path / "t.parquet", row_group_size=150)
    expected = whole(open_table(mixed_table))
    assert expected["size"] == [None if pd.isna(size) else size for size in mixed_table["size"]]
    for name in ("t.csv", "t.csv.gz", "t.tsv", "t.parquet"):
        source = open_table(tmp_path / name)
        assert source.rows == 400
        assert whole(source) == expected, name
        assert table_names(tmp_path / name) == list(mixed_table.columns)


def test_batches_are_the_table(mixed_table, tmp_path):
    mixed_table.to_csv(tmp_path / "t.csv", index=False)
    mixed_table.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        read = pd.concat(read_batches(tmp_path / name, ["age", "size"]))
        assert read["age"].astype(int).tolist() == mixed_table["age"].tolist()
        pd.testing.assert_series_equal(
            read_table(tmp_path / name)["weight"], mixed_table["weight"], check_exact=True, check_dtype=False
        )


def test_semicolons_quotes_marks_and_spellings_of_missing(write):
    path = write('\ufeffname;x;"a;b"\n"new\nline";1;NA\n"say ""hi""";NaN;null\n;;""\n')
    frame = read_table(path)
    assert frame.columns.tolist() == ["name", "x", "a;b"]
    assert frame["name"].tolist()[:2] == ["new\nline", 'say "hi"']
    assert frame["x"].tolist()[0] == 1
    assert frame["x"].isna().tolist() == [False, True, True]
    assert frame["a;b"].isna().all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty, expected a header and rows"),
        ("\n\n", "is empty"),
        ("a,b\n", "has a header and no rows"),
        ("a,b\n1,2\n3\n", "line 3 has 1 field, expected 2 as in the header"),
        ('a,b\n1,"x\ny"\n3,4,5\n', "line 4 has 3 fields, expected 2"),
        ("a,b,a\n1,2,3\n", "columns 1 and 3 are both called 'a'"),
        (b"a,b\n1,2\n3,caf\xe9\n", "byte 0xe9 at position 13 (line 3) is not UTF-8"),
        ("\ufeffa,b\n1,2\n".encode("utf-16"), "is not UTF-8"),
        (b"a,b\n1,2\n3,\xc3", "byte 0xc3 at position 10 (line 3) is not UTF-8"),
        ('a,b\n1,2\n3,"4\n5,6\n', "line 3 has a quote that is not closed"),
        ("a,b\n1.5,2\n2.5,2\nx,3\n4.5,4\n", "column 'a' holds 'x' in data row 3, expected numbers"),
    ],
)
def test_broken_csv_files_are_refused_with_the_place(write, content, said):
    path = write(content)
    message = refused(open_table, path)
    assert said in message
    assert str(path) in message


def test_a_bad_byte_is_found_far_into_a_file(write):
    """Beyond the first piece that is read, after characters that straddle pieces."""
    good = ("é" * 100 + ",1\n") * 30_000
    path = write(b"a,b\n" + good.encode() + b"\xff,2\n")
    assert f"position {4 + len(good.encode())} (line 30002)" in refused(open_table, path)


def test_other_broken_files_are_refused(write, tmp_path):
    assert "is a folder" in refused(open_table, tmp_path)
    path = write("a,b\n1,2\n", "price.csv")
    assert "nearest is 'price.csv'" in refused(open_table, tmp_path / "prices.csv")
    assert "suffix '.xlsx'" in refused(open_table, write("PK", "table.xlsx"))
    whole_file = gzip.compress(path.read_bytes() * 500)
    assert "ends too early" in refused(open_table, write(whole_file[:-20], "cut.csv.gz"))
    assert "not compressed by gzip" in refused(open_table, write("a,b\n1,2\n", "plain.csv.gz"))
    pd.DataFrame({"a": range(1_000)}).to_parquet(tmp_path / "good.parquet")
    damaged = (tmp_path / "good.parquet").read_bytes()
    assert "cannot be read as Parquet" in refused(open_table, write(damaged[:-100], "cut.parquet"))
    assert "cannot be read as Parquet" in refused(open_table, write("hello there", "text.parquet"))
    assert "is empty" in refused(open_table, write("", "empty.parquet"))
    pd.DataFrame({"a": []}).to_parquet(tmp_path / "none.parquet")
    assert "no rows" in refused(open_table, tmp_path / "none.parquet")


def test_the_index_that_pandas_leaves_in_a_file_is_a_column_if_it_has_a_name(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=[7, 3, 5])
    frame.to_parquet(tmp_path / "labels.parquet")
    frame.rename_axis("age").to_parquet(tmp_path / "named.parquet")
    assert open_table(tmp_path / "labels.parquet").unusable == {
        "__index_level_0__": "holds the row labels of a DataFrame"
    }
    assert open_table(tmp_path / "named.parquet").unusable == {}
    for read in (read_table(tmp_path / "named.parquet"), *read_batches(tmp_path / "named.parquet")):
        assert read["age"].tolist() == [7, 3, 5]


def test_frames_may_be_wrong_too():
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert "both called 'a'" in refused(open_table, twice)
    assert "no rows" in refused(open_table, pd.DataFrame({"a": []}))
    mixed = pd.DataFrame({"a": [1, 2, "three", 4]})
    assert "column 'a' holds 'three' in data row 3, expected numbers" in refused(open_table, mixed)
    assert "column 'a' holds 3 in data row 3, expected text" in refused(open_table, pd.DataFrame({"a": ["x", "y", 3]}))


def test_columns_of_no_use_are_named_and_leave_the_rest_alone(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0], "list": [[1], [2]]})
    assert "list" in open_table(frame).unusable
    frame.to_parquet(tmp_path / "t.parquet")
    assert "list" in open_table(tmp_path / "t.parquet").unusable
    with pytest.raises(UnusableColumnError, match="type"):
        plain("list", frame["list"])


def test_categories_that_look_like_numbers_stay_categories():
    assert plain("c", pd.Series(pd.Categorical([3, 1, None]))).to_pylist() == ["3", "1", None]
    assert plain("zip", pd.Series(["01234", "99"])).to_pylist() == ["01234", "99"]
    few = pd.Series(["1", "2", "3+"] * 10)
    assert plain("children", few).to_pylist() == few.tolist()


def test_a_few_numbers_among_text_are_categories(write):
    frame = read_table(write("children\n" + "1\n2\n3+\n" * 5))
    assert sorted(set(frame["children"])) == ["1", "2", "3+"]


def test_a_column_that_a_file_has_not_is_said(mixed_table, tmp_path):
    mixed_table.to_csv(tmp_path / "t.csv", index=False)
    mixed_table.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        for read in (read_table, lambda *options: next(read_batches(*options))):
            with pytest.raises(TableError, match=rf"{name} has no column 'citi': nearest is 'city'"):
                read(tmp_path / name, ["citi"])


def test_content_decides_the_hash(mixed_table, tmp_path):
    same = content_hash(mixed_table.copy())
    assert content_hash(mixed_table) == same
    changed = mixed_table.copy()
    changed.loc[399, "age"] += 1
    assert len({same, content_hash(changed), content_hash(mixed_table.rename(columns={"age": "years"}))}) == 3
    odd = pd.DataFrame({"a": [[1], [2]], "b": np.array([1, "x"], dtype=object)})
    assert content_hash(odd) == content_hash(odd.copy())
    mixed_table.to_csv(tmp_path / "a.csv")
    mixed_table.to_csv(tmp_path / "b.csv")
    assert content_hash(tmp_path / "a.csv") == content_hash(tmp_path / "b.csv")


def test_a_frame_without_a_column_is_told():
    frame = pd.DataFrame({"price": [1.0]})
    assert list(read_table(frame, ["price"])) == ["price"]
    assert "the table has no column 'prize': nearest is 'price'" in refused(read_table, frame, ["prize"])
    assert "has no columns, expected a header and rows" in refused(open_table, pd.DataFrame(index=[0, 1]))
