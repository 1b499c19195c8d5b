"""The command line as a person types it."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import pytest

from counterpoint import cli
from counterpoint.study.results import Results


def run(*arguments, **options):
    command = [sys.executable, "-c", "from counterpoint.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["demo", "--weightings", "mgad"],
            "unknown weighting 'mgad', expected one of dibs, fairgrad, gradnorm, mgda, nash, uniform",
        ),
        (["demo", "--weightings", "MGDA,mgda"], "weighting 'mgda' is given twice"),
        (["demo", "--precision", "32", "--seeds", "0"], "seeds is 0, expected at least 1"),
        (["demo", "--epochs", "0"], "epochs is 0, expected at least 1"),
        (["demo", "--weightings", ","], "weightings is empty"),
        (["demo", "--out", "/dev/null/x"], "cannot write to out folder '/dev/null/x'"),
        (["report", "/nowhere"], "holds no finished results"),
    ],
)
def test_what_the_user_can_mend_gets_one_line_and_exit_code_2(arguments, message, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout


@pytest.mark.parametrize("arguments", [["demo", "--seeds", "two"], ["demo", "--speed", "9"], ["dmo"], []])
def test_what_cannot_be_parsed_gets_exit_code_2_and_no_traceback(arguments, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "error" in done.stderr


def test_help_helps():
    done = run("demo", "--help")
    assert done.returncode == 0
    for words in ("--seeds", "--epochs", "--weightings", "--out", "separated by commas", "(type: int, default: 2)"):
        assert words in done.stdout


def test_demo_ends_in_a_table_and_a_report(tmp_path, capsys):
    out = tmp_path / "demo"
    options = {"seeds": "1", "epochs": "1", "out": str(out), "train_rows": "1000", "workers": "1"}
    with pytest.raises(SystemExit) as caught:
        cli.main(["demo", *(f"--{name}={value}" for name, value in options.items())])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "4/4" in printed
    for words in ("Single-task", "Uniform", "MGDA-UB", "Δm", "one seed"):
        assert words in printed
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "MGDA-UB" in page
    first = Results.load(out)
    assert first.about["command"].startswith("counterpoint demo --seeds=1 --epochs=1")
    (out / "report.html").unlink()
    with pytest.raises(SystemExit):
        cli.main(["report", str(out)])
    assert (out / "report.html").stat().st_size == len(page.encode())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_everything_with_one_line(workers, tmp_path):
    command = [sys.executable, "-c", "from counterpoint.cli import main; main()", "demo"]
    options = ["--epochs=500", "--train_rows=512", "--seeds=1", f"--workers={workers}", f"--out={tmp_path}"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 90
        while not list(tmp_path.glob("runs/*/csv/*")):  # until a training is under way
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines() == ["counterpoint: interrupted; this study's results were not saved"]
    assert not (tmp_path / "study.json").exists()


def test_an_unexpected_failure_is_told_in_one_line(monkeypatch, capsys):
    for error, message in (
        (BrokenProcessPool("terminated abruptly"), "a training process was killed"),
        (ModuleNotFoundError("No module named 'lightning'"), "pip install 'counterpoint[study]'"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ):

        def fail(*_, error=error, **__):
            raise error

        monkeypatch.setattr("jsonargparse.auto_cli", fail)
        with pytest.raises(SystemExit) as caught:
            cli.main(["demo"])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    with pytest.raises(SystemExit) as caught:
        cli.main(["demo"])
    assert caught.value.code == 2
    assert "pip install 'counterpoint[study]'" in capsys.readouterr().err
