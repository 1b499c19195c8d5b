"""The command line as a person types it."""

import contextlib
import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from counterpoint import Affinity, cli
from counterpoint.commands.command_line import command_line
from counterpoint.commands.lists import names
from counterpoint.commands.parser import COMMANDS, make_parser
from counterpoint.data import DigitPairs, DigitQuestions
from counterpoint.study.explain.results import ExplainResults
from counterpoint.study.group_results import GroupResults
from counterpoint.study.results import Results
from counterpoint.study.source import SOURCES

from .warm import Program


def run(*arguments, cwd):
    """``python -m counterpoint``, in a process of its own."""
    stdout, stderr = cwd / "stdout.txt", cwd / "stderr.txt"
    program = Program(Path(cli.__file__).with_name("__main__.py"), arguments, cwd, stdout, errors=stderr)
    try:
        returncode = program.wait(time.monotonic() + 120)
    finally:
        program.kill()
    return SimpleNamespace(returncode=returncode, stdout=stdout.read_text(), stderr=stderr.read_text())


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
        (["report", "/nowhere"], "holds no finished results (no study.json in it)"),
        (["group"], "neither a saved affinity nor --data is given, expected one of them"),
        (["group", "a.json", "--data=yeast"], "both a saved affinity and --data are given, expected one of them"),
        (["group", "nowhere.json"], "nowhere.json"),
        (["group", "--data=yeast", "--networks=0"], "networks"),
        (["group", "--data=yeast", "--networks=15"], "networks"),
        (["group", "--data=yeast", "--serve=class-99"], "unknown task 'class-99'"),
        (["group", "--data=yeast", "--compare=cs,hao"], "unknown competitor 'hao', expected names among cs, random"),
        (["group", "--data=yeast", "--compare=optimal"], "'optimal' trains every set of tasks, 16,383 for 14 tasks"),
        (["group", "--data=yeast", "--apart=class-1"], "--apart 'class-1' is not a pair"),
        (["group", "--data=digits", "--networks=1", "--apart=left+right"], "left"),
        (["group", "--data=digits", "--seeds=0"], "seeds is 0, expected at least 1"),
        (["group", "--data=digits", "--weighting=mgad"], "unknown weighting 'mgad'"),
        (["group", "--data=digits", "--every=0"], "every=0, expected a positive integer"),
        (["group", "--data=digits", "--compare=hoa,cs,hoa"], "competitor 'hoa' is given twice"),
        (["explain", "--data=yeast", "--seeds=1"], "seeds is 1, expected at least 2: intervals are over seeds"),
        (["explain", "--data=yeast", "--weightings=mgad"], "unknown weighting 'mgad'"),
        (["explain", "--data=yeast", "--weightings=mgda,Mgda"], "weighting 'mgda' is given twice"),
        (["explain", "--data=yeast", "--weightings=single"], "'single' is no weighting"),
        (["explain", "--data=yeast", "--epochs=0"], "epochs is 0, expected at least 1"),
        (["explain", "--data=yeast", "--workers=0"], "workers is 0, expected at least 1"),
        (["explain", "--data=yeast", "--out=/dev/null/x"], "cannot write to out folder '/dev/null/x'"),
    ],
)
def test_what_the_user_can_mend_gets_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not printed.out


@pytest.mark.parametrize("arguments", [["demo", "--weightings", "mgad"], ["group", "--data=yeast", "--networks=15"]])
def test_the_line_is_all_that_a_terminal_shows(arguments, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["demo", "--seeds", "two"], "--seeds is 'two', expected a whole number"),
        (["study", "--minutes=soon"], "--minutes is 'soon', expected a number"),
        (["study", "--batch-size=x"], "--batch-size is 'x', expected a whole number"),
        (["group", "--data=iris"], "--data is 'iris', expected one of yeast, digits"),
        (["demo", "--sedes", "9"], "demo knows no --sedes, expected options of it: did you mean --seeds?"),
        (["explain"], "explain lacks --data, expected to be given: see counterpoint explain --help"),
        (["predict"], "predict lacks BUNDLE and TABLE, expected to be given: see counterpoint predict --help"),
        (["study", "--config=options.yaml"], "the config file says 'sedes', expected options of study: did you mean"),
        (["demo", "--config=none.yaml"], "there is no config file "),
        (["dmo"], "there is no command 'dmo', expected one of study, predict, export, group"),
        ([], "no command is given, expected one of study, predict, export, group, explain, recipe, report, demo"),
    ],
)
def test_what_cannot_be_parsed_gets_one_line_too(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("options.yaml").write_text("sedes: 3\n")
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"counterpoint: {line}")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "given",
    [
        ["recipe", "celeba", "--tiny"],
        ["explain", "--data=digits", "--no-curvature"],
        ["group", "--data=yeast", "--replicates"],
        ["study", "t.csv", '--targets="price, net",cut', "--weightings=cagrad(c=0.4),mgda"],
    ],
)
def test_the_command_that_a_report_names_can_be_typed(given):
    name = given[0]
    options = make_parser(given).parse_args(given)[name].as_dict()
    options.pop("config")
    again = shlex.split(command_line(COMMANDS[name], options, *(["table", "name"])))
    assert sorted(again[1:]) == sorted(given)
    assert make_parser(again[1:]).parse_args(again[1:])[name].as_dict() == {**options, "config": None}


def test_what_is_on_or_off_is_said_in_a_word():
    def said(*given):
        return make_parser(given).parse_args(list(given))[given[0]]

    assert said("group", "--replicates").replicates is True
    assert said("group", "--replicates=true").replicates is said("group", "--no-replicates=false").replicates is True
    assert said("group").replicates is False
    assert said("explain", "--data=yeast", "--no-curvature").curvature is False
    assert said("explain", "--data=yeast", "--curvature=false").curvature is False
    assert said("explain", "--data=yeast").curvature is True


def test_a_config_file_lists_names_that_have_commas(tmp_path):
    (tmp_path / "study.yaml").write_text('data: t.csv\ntargets: ["price, net", cut]\n')
    given = ["study", f"--config={tmp_path / 'study.yaml'}"]
    assert names(make_parser(given).parse_args(given).study.targets) == ("price, net", "cut")


@pytest.mark.parametrize(
    ("place", "arguments", "left"),
    [
        ("counterpoint.study.study.Study.subject", "study t.csv --targets=a,b", "finished runs are kept"),
        ("counterpoint.serving.load_bundle", "predict bundle t.csv", "nothing was written"),
    ],
)
def test_ctrl_c_says_what_is_left(place, arguments, left, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupted)
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments.split())
    assert caught.value.code == 130
    assert left in capsys.readouterr().err


def test_help_helps(tmp_path):
    done = run("demo", "--help", cwd=tmp_path)
    assert done.returncode == 0
    for words in ("--seeds", "--epochs", "--weightings", "--out", "separated by commas", "(default: 2)"):
        assert words in done.stdout
    assert "type:" not in done.stdout


def test_demo_ends_in_a_table_and_a_report(tmp_path, capsys, monkeypatch):
    importlib.import_module("counterpoint.study.demo")  # before its data are replaced by fewer
    monkeypatch.setattr("counterpoint.data.DigitPairs", partial(DigitPairs, validation_rows=200, test_rows=200))
    out = tmp_path / "demo"
    options = {"seeds": "1", "epochs": "1", "out": str(out), "train_rows": "512", "workers": "1"}
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


def test_a_saved_affinity_is_grouped_alone(tmp_path, capsys):
    published = json.loads((Path(__file__).parent / "grouping/data/tag_celeba_affinity.json").read_text())
    affinity = Affinity(np.array(published["values"]).T, published["tasks"])
    affinity.save(tmp_path / "affinity.json")
    options = ["--networks=3", "--singletons=forbid", f"--out={tmp_path / 'out'}"]
    with pytest.raises(SystemExit) as caught:
        cli.main(["group", str(tmp_path / "affinity.json"), *options])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "proven optimal" in printed
    for score in ("-106.905", "-99.4418", "-92.4384"):
        assert score in printed
    assert "5_o_Clock_Shadow, No_Beard" in printed
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "5_o_Clock_Shadow" in page
    (tmp_path / "out/report.html").unlink()
    with pytest.raises(SystemExit):
        cli.main(["report", str(tmp_path / "out")])
    assert (tmp_path / "out/report.html").stat().st_size == len(page.encode())


def test_group_ends_in_a_decision_and_a_report(tmp_path, capsys, monkeypatch):
    few = DigitQuestions(DigitPairs(train_rows=256, validation_rows=64, test_rows=64))
    four = SOURCES["digits"].tasks[:4]
    monkeypatch.setitem(SOURCES, "digits", replace(SOURCES["digits"], data=few, tasks=four))
    out = tmp_path / "group"
    options = ["--networks=2", "--seeds=1", "--epochs=1", "--every=1", "--compare=cs,random,hoa,optimal", "--workers=1"]
    with pytest.raises(SystemExit) as caught:
        cli.main(["group", "--data=digits", *options, f"--out={out}"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    for words in (
        "alone",
        "together",
        "TAG 2",
        "cosines 2",
        "all pairs 2",
        "every set 2",
        "random 2",
        "proven optimal",
    ):
        assert words in printed
    results = GroupResults.load(out)
    assert len(results.networks["run"].unique()) == 2**4 - 1  # every set, none twice
    by_family = {candidate.family: candidate for candidate in results.candidates if candidate.size == 2}
    assert by_family["optimal"].search_seconds > by_family["hoa"].search_seconds > by_family["tag"].search_seconds
    assert results.affinity.steps == 2
    assert len(results.about["command"]) > 0
    assert (out / "report.html").stat().st_size > 1_000_000


def test_explain_ends_in_a_verdict_and_a_report(tmp_path, capsys, monkeypatch):
    few = DigitQuestions(DigitPairs(train_rows=128, validation_rows=32, test_rows=64))
    monkeypatch.setitem(SOURCES, "digits", replace(SOURCES["digits"], data=few, tasks=("left", "left-even")))
    out = tmp_path / "explain [1]"  # as no markup
    options = ["--weightings=", "--seeds=2", "--curvature=false", "--epochs=2", "--workers=1"]
    with pytest.raises(SystemExit) as caught:
        cli.main(["explain", "--data=digits", *options, f"--out={out}"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert f"6 trainings, 1 side by side, into {out}" in printed
    for words in ("Uniform: all together", "left-even", "training loss", "Report: "):
        assert words in printed
    assert "left out" not in printed
    results = ExplainResults.load(out)
    assert set(results.points["quantity"]) >= {"train_loss", "test_loss", "test_metric", "cosine", "coherence"}
    assert results.about["command"].startswith("counterpoint explain --data=digits --weightings= ")
    page = (out / "report.html").read_text(encoding="utf-8")
    (out / "report.html").unlink()
    with pytest.raises(SystemExit) as caught:
        cli.main(["report", str(out)])
    assert caught.value.code == 0
    assert (out / "report.html").stat().st_size == len(page.encode())


def test_a_report_of_one_seed_is_refused_in_one_line(tmp_path, capsys, fabricate_trajectories):
    fabricate_trajectories(seeds=1).save(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(["report", str(tmp_path)])
    assert caught.value.code == 2
    errors = capsys.readouterr().err
    assert errors == "counterpoint: 1 seed gives no interval, expected at least 2 seeds: run more of them\n"


INTERRUPTIBLE = """
import os, signal
os.setsid()  # Ctrl-C reaches a process group: this one
signal.signal(signal.SIGINT, signal.default_int_handler)
from counterpoint.cli import main
main()
"""
FOREVER = ["demo", "--train_rows=512", "--seeds=1", "--epochs=500"]


def press_ctrl_c(folder, process_group, ended):
    """When a training is under way."""
    deadline = time.monotonic() + 240
    while not list(folder.glob("runs/*/csv/*")):
        assert time.monotonic() < deadline
        assert not ended()
        time.sleep(0.2)
    os.killpg(process_group, signal.SIGINT)


def test_ctrl_c_ends_a_training_with_one_line(tmp_path):
    script, errors = tmp_path / "program.py", tmp_path / "errors.txt"
    script.write_text(INTERRUPTIBLE)
    arguments = [*FOREVER, "--workers=1", f"--out={tmp_path}"]
    program = Program(script, arguments, tmp_path, tmp_path / "said.txt", errors=errors)
    try:
        press_ctrl_c(tmp_path, program.process.pid, lambda: not program.process.is_alive())
        assert program.wait(time.monotonic() + 120) == 130
    finally:
        program.kill()
    assert errors.read_text() == "counterpoint: interrupted; this study's results were not saved\n"
    assert not (tmp_path / "study.json").exists()


def test_ctrl_c_ends_everything_with_one_line(tmp_path):
    """With workers in processes of their own, and a program that has just been started."""
    # A shell's background job passes on that it ignores Ctrl-C.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heeds}; from counterpoint.cli import main; main()"]
    options = [*FOREVER, "--workers=2", f"--out={tmp_path}"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            press_ctrl_c(tmp_path, process.pid, lambda: process.poll() is not None)
            _, errors = process.communicate(timeout=120)
        finally:
            with contextlib.suppress(ProcessLookupError):  # all of it has ended
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert errors.strip().splitlines() == ["counterpoint: interrupted; this study's results were not saved"]
    assert not (tmp_path / "study.json").exists()


def failing(error):
    def fail() -> None:
        raise error

    return fail


def test_an_unexpected_failure_is_told_in_one_line(monkeypatch, capsys):
    for error, message in (
        (BrokenProcessPool("terminated abruptly"), "a training process was killed"),
        (ModuleNotFoundError("No module named 'lightning'"), "pip install 'counterpoint[study]'"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ):
        monkeypatch.setitem(cli.COMMANDS, "demo", failing(error))
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
