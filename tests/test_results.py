"""Figures that are published are those that were measured: files, page, README and commands agree."""

import copy
import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))  # last: its names stand behind all others

import commands
import measuring
import quick
import results_page
import results_readme
from results_reading import load, measured
from results_schema import problems

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = measured()
NOT_YET = {"weightings"} - set(FILES)  # a command may come before its file
GOOD = {
    "benchmark": "step_cost",
    "date": "2026-11-22T07:01:01+00:00",
    "machine": {
        "cpu": "a",
        "cores": 2,
        "load_average": [0.1, 0.2, 0.3],
        "platform": "Linux",
        "python": "3.11",
        "threads": 1,
        **dict.fromkeys(("torch", "numpy", "scipy", "torchjd", "counterpoint"), "1.0"),
        "quadprog": None,
    },
    "seeds": "seed 0",
    "settings": {"source": "benchmarks/results, train/test"},
    "results": [{"method": "a", "ms": 1.0}],
    "targets": [{"name": "a", "target": 2.0, "measured": 1.0, "met": True}],
}


def changed(path, value):
    document = copy.deepcopy(GOOD)
    *places, last = path
    inner = document
    for place in places:
        inner = inner[place]
    inner[last] = value
    return document


def test_there_are_results():
    assert len(FILES) > 20
    assert sum(len(load(name)["targets"]) for name in FILES) > 100


@pytest.mark.parametrize("name", FILES)
def test_every_file_follows_the_schema(name):
    assert problems(load(name)) == []


def test_what_is_as_it_should_be_passes():
    assert problems(GOOD) == []
    assert problems(changed(["derived"], {"seeds": "added later"})) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["date"], "22 November", "date"),
        (["date"], "2026-11-22T07:01:01", "time zone"),
        (["seeds"], " ", "seeds"),
        (["seeds"], 3, "seeds"),
        (["results"], [], "results"),
        (["results", 0, "ms"], float("nan"), "finite"),
        (["results", 0, "ms"], {"median": float("inf")}, "finite"),
        (["settings", "out"], "/home/someone/out.json", "path"),
        (["settings", "out"], ["see /tmp/out.json"], "path"),
        (["machine", "cores"], None, "cores"),
        (["machine", "torch"], 2, "torch"),
        (["targets", 0, "met"], False, "met"),
        (["targets", 0, "measured"], 3.0, "met"),
        (["targets", 0], {"name": "a"}, "targets"),
        (["extra"], 1, "extra"),
        (["derived"], {"nowhere": "why"}, "derived"),
    ],
)
def test_what_is_wrong_is_named(path, value, said):
    found = problems(changed(path, value))
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize("field", sorted(GOOD))
def test_no_field_may_be_missing(field):
    assert field in problems({name: value for name, value in GOOD.items() if name != field})[0]


def test_a_benchmark_writes_only_what_follows_the_schema(tmp_path, capsys):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    row = {"a": float("nan"), "b": 1.0}
    measuring.record(good, "min_norm", {"seeds": 2, "out": str(good)}, [row], [measuring.target("b", 2.0, 1.0)])
    written = json.loads(good.read_text(encoding="utf-8"))
    assert problems(written) == []
    assert written["results"] == [{"a": None, "b": 1.0}]
    assert written["seeds"] == "2 seeds, 0 to 1"
    with pytest.raises(ValueError, match="seeds"):
        measuring.record(bad, "min_norm", {}, [row], [])
    assert not bad.exists()
    assert bad.with_suffix(".rejected").exists(), "what was measured is lost"
    assert "good.json" in capsys.readouterr().out


def test_every_file_has_its_command_and_every_command_its_file():
    assert {one.name for one in commands.COMMANDS} - NOT_YET == set(FILES)
    assert len({one.name for one in commands.COMMANDS}) == len(commands.COMMANDS)


def test_every_script_that_writes_results_is_run():
    scripts = {path.name for path in BENCHMARKS.glob("*.py") if re.search(r"(?m)^ +record\(", path.read_text())}
    run = {Path(shlex.split(one.arguments)[0]).name for one in commands.COMMANDS}
    assert len(run) > 10
    assert scripts - run == {"vision_memory.py"}  # a part of vision.py


@pytest.mark.parametrize("one", [one for one in commands.COMMANDS if one.name in FILES], ids=lambda one: one.name)
def test_commands_are_those_that_measured(one):
    settings, words = load(one.name)["settings"], shlex.split(one.arguments)
    assert (ROOT / words[0]).exists()
    if one.name == "vision":  # its settings are by part
        settings = settings["scenes"]
    if settings.get("data") == "digit questions":  # what the source digits calls itself
        settings = settings | {"data": "digits"}
    names = {"--missing": "share of labels hidden"}
    if "table" in settings:
        names |= {"--seeds": "seeds asked for", "--data": "table"}
    told = {option: value for option, value in pairwise(words) if option.startswith("--")}
    for option, value in told.items():
        if option not in {"--encoder", "--groups", "--tasks"}:  # these are in the results
            stored = settings[names.get(option, option[2:])]
            assert (str(stored) if isinstance(stored, str) else f"{stored:g}") == value.replace("1000000", "1e+06"), (
                option
            )


def test_unknown_names_are_told(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["commands.py", "nothing"])
    with pytest.raises(SystemExit) as ended:
        commands.main()
    assert ended.value.code == 2
    assert "no command writes nothing.json" in capsys.readouterr().err


def test_make_runs_the_lists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"(?m)^bench:.*\n\t\S+/python benchmarks/commands\.py$", makefile)
    assert re.search(r"(?m)^bench-quick:.*\n\t\S+/python benchmarks/quick\.py$", makefile)
    assert 120 < sum(one.budget for one in commands.COMMANDS) <= 300
    assert all(bool(one.quick) == (one.budget > 0) for one in commands.COMMANDS)


def test_small_cases_are_compared_by_name(tmp_path, monkeypatch):
    stored = load("min_norm")
    here = copy.deepcopy(stored)
    here["targets"] = [dict(here["targets"][0], measured=7.0), {"name": "of another size", "measured": 1.0}]
    (tmp_path / "min_norm.json").write_text(json.dumps(here))
    monkeypatch.setattr(quick, "OUT", tmp_path)
    assert quick.compared("min_norm") == [(stored["targets"][0]["name"], stored["targets"][0]["measured"], 7.0)]
    (tmp_path / "table_preparation.json").write_text(json.dumps(load("table_preparation")))
    ((label, tenth, whole),) = quick.compared("table_preparation")
    assert "100,000" in label
    assert tenth > 1 > whole, "a tenth of the stored table is compared with the whole small one"


@pytest.mark.parametrize(
    ("program", "budget", "said"),
    [
        ("pass", 60, "^$"),
        ("raise SystemExit(3)", 60, "status 3"),
        ("import time; time.sleep(60)", 1, "not done within 1 s"),
    ],
)
def test_a_small_case_that_fails_or_takes_too_long_is_told(program, budget, said, tmp_path, monkeypatch):
    monkeypatch.setattr(quick, "OUT", tmp_path)
    monkeypatch.setattr(quick, "ROOT", tmp_path)
    case = commands.Command("a", "", f'-c "{program}"', budget)
    assert re.search(said, quick.run(case, 1.0))


@pytest.fixture(scope="module")
def page():
    return results_page.page()


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_on_the_page(page, name):
    (source,) = (line for line in page.splitlines() if f"*Source: `benchmarks/results/{name}.json`" in line)
    document = load(name)
    expected = [document["date"][:10], document["machine"]["torch"], document["seeds"], str(commands.command(name))]
    assert [words for words in expected if words not in source] == []


def test_what_fell_short_stands_on_top(page):
    top = page[page.index("## What fell short") : page.index("## How do I combine")]
    missed = [target for name in FILES for target in load(name)["targets"] if not target["met"]]
    assert len(missed) > 10
    assert top.count("\n| ") == len(missed) + 2
    for target in missed:
        assert f"| {target['name']} |" in top.replace("\\", "")


def test_every_picture_is_drawn(page):
    figures = pytest.importorskip("results_figures")
    assert set(re.findall(r"\(_generated/results-([\w-]+)\.svg\)", page)) == set(figures.PICTURES)
    assert all(len(text) > 30 for text in re.findall(r"!\[([^]]*)\]", page)), "a picture says what it shows"


def test_tables_of_the_page_have_no_empty_or_broken_rows(page):
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
        assert len(rows) > 2, table
        assert {len(row) for row in rows} == {len(rows[0])}, table
        assert "nan" not in table
        assert "None" not in table.replace("budget=None", "")


def test_pages_that_it_links_to_exist(page):
    for link in re.findall(r"\]\(([\w-]+\.md)[#)]", page):
        assert (ROOT / "docs" / link).exists(), link


def test_the_table_of_the_readme_is_written_between_its_marks(tmp_path):
    copied = tmp_path / "README.md"
    copied.write_text(f"# Before\n\n{results_readme.MARKS[0]}\nold\n{results_readme.MARKS[1]}\n\nAfter\n")
    command = [sys.executable, str(BENCHMARKS / "results_page.py"), "--readme", str(copied)]
    before = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    assert before.returncode == 1
    assert before.stderr.count("\n") == 1
    subprocess.run(command, check=True)
    assert subprocess.run([*command, "--check"], check=False).returncode == 0
    text = copied.read_text(encoding="utf-8")
    assert text.startswith("# Before\n\n<!-- results -->\n\n| What was measured |")
    assert text.endswith("|\n\n<!-- end of results -->\n\nAfter\n")
    assert 8 <= text.count("benchmarks/results") <= 12
    with pytest.raises(ValueError, match="between"):
        results_readme.into("no marks")


def test_figures_of_the_table_are_the_files(monkeypatch):
    """A file that says something else gives another table."""
    saved = results_readme.load

    def doubled(name):
        document = copy.deepcopy(saved(name))
        for row in document["results"]:
            if "ratio" in row and row.get("method") == "FanOut(MGDA)":
                row["ratio"]["median"] = 9.87
        return document

    before = results_readme.fragment()
    monkeypatch.setattr(results_readme, "load", doubled)
    after = results_readme.fragment()
    assert [old[:29] for old, new in zip(before, after, strict=True) if old != new] == ["| Training step with 40 tasks"]
    assert "9.87" in "".join(after)


def test_the_table_of_the_readme_is_that_of_the_files():
    assert results_readme.into(README) == README


def test_the_readme_has_measured_figures_in_its_table_only():
    before, _, rest = README.partition(results_readme.MARKS[0])
    prose = re.sub(
        r"```.*?```|`[^`]*`|\([^)]*\)", "", before + rest.partition(results_readme.MARKS[1])[2], flags=re.DOTALL
    )
    prose = re.sub(r"Python 3\.\d+|Apache-2\.0", "", prose)
    assert re.findall(r"[^\n]*(?:\d\.\d|\d ?%|\d times|\d points)[^\n]*", prose) == []
