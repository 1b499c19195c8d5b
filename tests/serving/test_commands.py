"""counterpoint predict and counterpoint export, as a person types them."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest

from counterpoint import cli, load_bundle
from counterpoint.serving import predict_file

from .conftest import table


def run(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(argument) for argument in arguments])
    return caught.value.code


@pytest.fixture
def csv(new_rows, tmp_path):
    new_rows.to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


def test_every_kind_of_file_gives_the_same_predictions(written, new_rows, csv, tmp_path, capsys):
    new_rows.to_parquet(tmp_path / "new.parquet")
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress(csv.read_bytes()))
    expected = written.bundle.predict(new_rows).reset_index(drop=True)
    for path in (csv, tmp_path / "new.csv.gz", tmp_path / "new.parquet"):
        assert run("predict", written.folder, path, "-o", tmp_path / "out.parquet") == 0
        found = pd.read_parquet(tmp_path / "out.parquet")
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
        assert f"50 rows: {tmp_path / 'out.parquet'}" in capsys.readouterr().out
    assert run("predict", written.folder, csv, "--out", tmp_path / "made" / "out.csv", "--tasks", "visits,cut") == 0
    found = pd.read_csv(tmp_path / "made" / "out.csv")
    pd.testing.assert_frame_equal(found, expected[["visits", "cut", "cut:probability"]])
    pd.testing.assert_frame_equal(written.bundle.predict(csv), expected, check_exact=True)
    np.testing.assert_array_equal(written.bundle.outputs(csv)["cut"], written.bundle.outputs(new_rows)["cut"])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_in_many_pieces_is_predicted_as_a_whole(written, tmp_path, monkeypatch, suffix):
    """Pieces know nothing of each other: what the first ones have no value of must not change what is written."""
    from counterpoint.data.tables import csv_files, reading

    rows = table(rows=300, seed=2)
    rows.loc[rows.index[:150], "carat"] = np.nan
    rows.loc[rows.index[150:], "size"] = "XXL"
    path = tmp_path / f"new{suffix}"
    rows.to_csv(path, index=False) if suffix == ".csv" else rows.to_parquet(path)
    monkeypatch.setattr(csv_files, "_CHUNK", 4_096)
    monkeypatch.setattr(reading, "BATCH", 37)
    assert len(list(reading.read_batches(path))) > 3
    for out in (tmp_path / "out.csv", tmp_path / "out.parquet"):
        done = predict_file(written.bundle, path, out)
        assert done.rows == 300
        assert done.unknown == {"size": 150}
        found = pd.read_csv(out) if out.suffix == ".csv" else pd.read_parquet(out)
        pd.testing.assert_frame_equal(found, written.bundle.predict(rows).reset_index(drop=True))


def test_without_a_file_to_write_the_first_rows_are_shown(written, csv, capsys):
    assert run("predict", written.folder, csv, "--tasks=cut", "--probabilities") == 0
    printed = capsys.readouterr()
    assert "cut:probability" in printed.out
    assert "…" not in printed.out
    assert "The first 10 rows; for all of them: --out predictions.parquet" in printed.out
    assert not printed.err


def test_prices_are_shown_as_people_write_them(written, csv, tmp_path, capsys):
    def dearer(document):
        document["tasks"][0]["mean"] = 11.0

    assert run("predict", written.edit(tmp_path / "bundle", dearer), csv, "--tasks=price") == 0
    printed = capsys.readouterr().out
    assert re.search(r" \d\d,\d{3}\b", printed)
    assert "e+" not in printed


def test_unknown_categories_are_counted_where_they_do_not_mix_with_predictions(written, new_rows, tmp_path, capsys):
    new_rows.assign(clinic=["new clinic", *new_rows["clinic"][1:]]).to_csv(tmp_path / "new.csv", index=False)
    for options in ([], ["-o", tmp_path / "out.csv"]):
        assert run("predict", written.folder, tmp_path / "new.csv", *options) == 0
        printed = capsys.readouterr()
        assert "column 'clinic': 1 of 50 rows hold a value that training rows did not have" in printed.err
        assert "clinic" not in printed.out


def test_a_table_without_rows_gives_a_file_without_rows(written, new_rows, tmp_path):
    new_rows.iloc[:0].to_csv(tmp_path / "none.csv", index=False)
    new_rows.iloc[:0].to_parquet(tmp_path / "none.parquet")
    for name in ("none.csv", "none.parquet"):
        assert run("predict", written.folder, tmp_path / name, "-o", tmp_path / "out.parquet") == 0
        found = pd.read_parquet(tmp_path / "out.parquet")
        assert len(found) == 0
        assert found.dtypes.equals(written.bundle.predict(new_rows).dtypes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}", "{csv}"], "is no bundle: it holds no bundle.json"),
        (["{bundle}", "nowhere.csv"], "there is no file"),
        (["{bundle}", "{csv}", "-o", "out.xlsx"], "its suffix is '.xlsx', expected .csv or .parquet"),
        (["{bundle}", "{csv}", "-o", "out"], "its suffix is '', expected .csv or .parquet"),
        (["{bundle}", "{csv}", "-o", "folder.csv"], "it is a folder, expected a file to write to"),
        (["{bundle}", "{csv}", "-o", "{csv}"], "it is the table to predict; choose another file"),
        (["{bundle}", "{csv}", "-o", "/dev/null/out.csv"], "/dev/null"),
        (["{bundle}", "{csv}", "--tasks", "prize"], "unknown task 'prize', expected names among price, cut"),
        (["{bundle}", "few.csv"], "few.csv lacks the 4 columns 'size', 'clinic', 'smoker', 'day'"),
        (["{bundle}", "few.csv", "-o", "out.csv"], "few.csv lacks the 4 columns"),
        (["{bundle}", "text.csv", "-o", "out.csv"], "column 'carat' holds 'much' in data row 41"),
        (["{bundle}", "ragged.csv", "-o", "out.csv"], "ragged.csv: line 4 has 2 fields, expected 6"),
    ],
)
def test_what_the_user_can_mend_gets_one_line_and_nothing_is_written(  # noqa: PLR0917  (fixtures)
    written, new_rows, csv, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    new_rows[["carat"]].to_csv("few.csv", index=False)
    carat = ["much" if row == 40 else number for row, number in enumerate(new_rows["carat"])]
    new_rows.assign(carat=carat).to_csv("text.csv", index=False)
    lines = csv.read_text().splitlines()
    (tmp_path / "ragged.csv").write_text("\n".join([*lines[:3], "1,2", *lines[3:]]))
    before = sorted(tmp_path.iterdir())
    known = {"{tmp}": tmp_path, "{csv}": csv, "{bundle}": written.folder}
    assert run("predict", *(known.get(argument, argument) for argument in arguments)) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not printed.out
    assert sorted(tmp_path.iterdir()) == before


def test_a_failure_half_way_leaves_the_earlier_file(written, new_rows, tmp_path, monkeypatch):
    from counterpoint.data.tables import reading

    monkeypatch.setattr(reading, "BATCH", 10)
    new_rows.to_parquet(tmp_path / "new.parquet")
    good = written.bundle.predict_inputs

    def fails_late(inputs, index, *arguments, **options):
        if index[0] >= 20:
            raise OSError(28, "No space left on device")
        return good(inputs, index, *arguments, **options)

    loaded = load_bundle(written.folder)
    for out in (tmp_path / "out.csv", tmp_path / "out.parquet"):
        out.write_text("earlier")
        with monkeypatch.context() as patched:
            patched.setattr(
                type(loaded), "predict_inputs", lambda _self, *given, **options: fails_late(*given, **options)
            )
            with pytest.raises(OSError, match="No space left"):
                predict_file(loaded, tmp_path / "new.parquet", out)
        assert out.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.parquet", "out.csv", "out.parquet"]
