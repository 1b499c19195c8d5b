"""``counterpoint study`` as a person types it: what bad input gets, and a whole study with its bundle."""

import gzip
import json
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from counterpoint import cli
from counterpoint.study.study_results import StudyResults

from .study.study_data import table

FAST = ["--weightings=", "--scale-trials=0", "--seeds=1", "--epochs=1", "--hidden=8", "--workers=1"]


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code


def changed(**columns):
    return table(120).assign(**columns)


def csv(frame, folder, name="table.csv"):
    path = folder / name
    frame.to_csv(path, index=False)
    return path


def with_cell(column, row, value):
    frame = table(120)
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


TWO = "--targets=size,visits"
BAD = {
    "a file that is missing": (lambda folder: folder / "none.csv", TWO, ["none.csv"]),
    "a folder": (lambda folder: folder, TWO, ["folder"]),
    "an empty file": (lambda folder: _text(folder, b""), TWO, ["table.csv", "empty"]),
    "a header only": (lambda folder: _text(folder, b"a,size,visits\n"), TWO, ["table.csv", "row"]),
    "not UTF-8": (
        lambda folder: _text(folder, b"a,size,visits\n1,2,3\n\xff\xfe,2,3\n"),
        TWO,
        ["table.csv", "UTF-8", "3"],
    ),
    "ragged rows": (lambda folder: _text(folder, b"a,size,visits\n1,2,3\n1,2\n"), TWO, ["table.csv", "line 3"]),
    "a column twice": (lambda folder: _text(folder, b"a,size,size\n1,2,3\n"), TWO, ["table.csv", "size"]),
    "half a gz": (lambda folder: _text(folder, gzip.compress(b"a,size\n1,2\n" * 99)[:50], "table.csv.gz"), TWO, ["gz"]),
    "no Parquet": (lambda folder: _text(folder, b"PAR1 no", "table.parquet"), TWO, ["table.parquet"]),
    "a target that is not there": (lambda folder: csv(table(60), folder), "--targets=sice,visits", ["sice", "size"]),
    "a constant target": (lambda folder: csv(changed(size=1.0), folder), TWO, ["size", "constant"]),
    "one class in training rows": (
        lambda folder: csv(changed(bought=["yes"] * 119 + ["no"], day=range(120)), folder),
        ["--targets=bought,size", "--time-by=day"],
        ["bought", "training"],
    ),
    "no label": (lambda folder: csv(changed(size=np.nan), folder), TWO, ["size", "label"]),
    "an infinite value": (lambda folder: csv(with_cell("a", 7, np.inf), folder), TWO, ["'a'", "inf"]),
    "an infinite label": (lambda folder: csv(with_cell("size", 7, np.inf), folder), TWO, ["size", "inf"]),
    "too few rows": (lambda folder: csv(table(3), folder), TWO, ["3"]),
    "a target as a feature": (lambda folder: csv(table(60), folder), [TWO, "--features=a,size"], ["size", "feature"]),
    "a target twice": (lambda folder: csv(table(60), folder), "--targets=size,size", ["size", "twice"]),
    "10,000 classes": (
        lambda folder: csv(pd.concat([table(120)] * 90).assign(who=[f"n{i % 10_000}" for i in range(10_800)]), folder),
        "--targets=who,size",
        ["who", "10,000"],
    ),
    "mixed types": (lambda folder: csv(with_cell("b", 5, "many"), folder), TWO, ["'b'", "many"]),
    "text in a number": (
        lambda folder: csv(with_cell("size", 5, "big"), folder),
        [TWO, "--task=size:regression"],
        ["big"],
    ),
    "a task that is no target": (lambda folder: csv(table(60), folder), [TWO, "--task=c:regression"], ["c"]),
    "an unknown kind": (lambda folder: csv(table(60), folder), [TWO, "--task=size:number"], ["'number' is no kind"]),
    "a logarithm of what has none": (
        lambda folder: csv(with_cell("size", 4, -3.0), folder),
        [TWO, "--task=size:regression:log"],
        ["size", "log"],
    ),
    "no target": (lambda folder: csv(table(60), folder), "--targets=", ["target"]),
    "one target": (lambda folder: csv(table(60), folder), "--targets=size", ["size", "at least two"]),
    "widths that are none": (lambda folder: csv(table(60), folder), [TWO, "--hidden=wide"], ["wide"]),
    "an unknown weighting": (lambda folder: csv(table(60), folder), [TWO, "--weightings=mgad"], ["mgad"]),
    "an address without Ray": (lambda folder: csv(table(60), folder), [TWO, "--address=auto"], ["auto", "ray"]),
}


def _text(folder, content, name="table.csv"):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path, capsys, case):
    make, options, words = BAD[case]
    folder = tmp_path / "folder"
    folder.mkdir()
    out = tmp_path / "out"
    options = [options] if isinstance(options, str) else options
    extra = [option for option in FAST if option.partition("=")[0] not in {o.partition("=")[0] for o in options}]
    assert run("study", make(folder), *options, f"--out={out}", *extra) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("counterpoint: ")
    assert "\n" not in said
    for word in words:
        assert word in said
    left = [path.name for path in out.rglob("*")] if out.exists() else []
    assert left == []


def test_an_out_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run("study", csv(table(60), tmp_path), TWO, f"--out={tmp_path / 'file' / 'out'}", *FAST) == 2
    assert "cannot write to out folder" in capsys.readouterr().err


@contextmanager
def no_room():
    """The system refuses files of more than 2 KiB, as a full disk would any. What pytest writes meanwhile, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_for_the_prepared_table(tmp_path, capsys):
    path = csv(table(300), tmp_path)
    with no_room():
        code = run("study", path, TWO, f"--out={tmp_path / 'out'}", *FAST)
    assert code == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert "File too large" in said
    assert not list((tmp_path / "out").rglob("*"))


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A study typed into an empty folder."""
    folder = tmp_path_factory.mktemp("typed")
    path = csv(table(), folder)
    targets = ["--targets=size,bought,visits", "--task=visits:count", "--networks=2"]
    code = run("study", path, *targets, f"--out={folder / 'out'}", *FAST, "--minutes=5")
    return code, folder


def test_bad_input_for_several_devices_is_named_before_they_start(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("counterpoint.study.execution.relaunch", None)
    assert run("study", tmp_path / "none.csv", TWO, "--devices=2", f"--out={tmp_path / 'out'}") == 2
    assert "no file" in capsys.readouterr().err


def test_other_processes_than_torchrun_started_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run("study", csv(table(60), tmp_path), TWO, f"--out={tmp_path / 'out'}") == 2
    assert "torchrun started 2 processes, expected 1" in capsys.readouterr().err


def test_a_config_file_gives_the_table_as_data_and_one_width_as_a_number(tmp_path, capsys):
    config = tmp_path / "study.yaml"
    config.write_text("data: none.csv\nhidden: 8\ntargets: size,visits\n")
    assert run("study", f"--config={config}", f"--out={tmp_path / 'out'}") == 2
    assert capsys.readouterr().err.startswith("counterpoint: there is no file none.csv")
    config.write_text("table: none.csv\ntargets: size,visits\n")
    assert run("study", f"--config={config}", f"--out={tmp_path / 'out'}") == 2
    assert "a config file says 'data: table.csv'" in capsys.readouterr().err


def test_a_study_ends_with_report_and_bundle(studied, capsys):
    code, folder = studied
    assert code == 0
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "size" in page
    results = StudyResults.load(folder / "out")
    assert results.decision.chosen != "single"  # three networks are needed for that
    assert "--task=visits:count" in results.about["command"]
    assert run("predict", folder / "out" / "bundle", folder / "table.csv", "-o", folder / "predicted.csv") == 0
    predicted = pd.read_csv(folder / "predicted.csv")
    assert len(predicted) == 240
    assert {"size", "bought", "visits"} <= set(predicted)
    capsys.readouterr()
    assert run("report", folder / "out") == 0


def test_no_room_on_the_way_loses_no_finished_run(studied, tmp_path, capsys):
    _, folder = studied
    out = shutil.copytree(folder / "out", tmp_path / "out")
    before = {path.parent.name for path in out.glob("runs/*/result.json")}
    first = min(before)
    shutil.rmtree(out / "runs" / first)
    study_json = (out / "study.json").read_bytes()
    targets = ["--targets=size,bought,visits", "--task=visits:count", "--networks=2"]
    with no_room():
        code = run("study", folder / "table.csv", *targets, f"--out={out}", *FAST, "--minutes=5")
    assert code == 2
    assert "File too large" in capsys.readouterr().err
    assert (out / "study.json").read_bytes() == study_json
    assert {path.parent.name for path in out.glob("runs/*/result.json")} == before - {first}
    assert json.loads(study_json)["kind"] == "study"


def test_help_loads_none_of_what_takes_seconds():
    code = (
        "import sys, contextlib\n"
        "from counterpoint import cli\n"
        "with contextlib.suppress(SystemExit): cli.main(['--help'])\n"
        "heavy = {'torch', 'pandas', 'lightning', 'scipy', 'sklearn', 'pyarrow', 'plotly'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "counterpoint" in ended.stdout
    assert "study" in ended.stdout
