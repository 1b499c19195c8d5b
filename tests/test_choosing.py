"""docs/choosing-a-weighting.md says what was measured, and names methods that exist."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoint import get_weighting, weighting_names

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
SAVED = BENCHMARKS / "results" / "weightings.json"
PAGE = ROOT / "docs" / "choosing-a-weighting.md"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("weightings_tables", BENCHMARKS / "weightings_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def estimate(mean, low=None, high=None):
    return {"mean": mean, "low": low, "high": high, "seeds": 1 if low is None else 5}


def trained(method, losses="plain", *, alone=None, uniform=None, kept=None, failed=()):
    return {
        "part": "trained",
        "problem": "pairs",
        "method": method,
        "losses": losses,
        "tasks": {task: {"metric": "accuracy", **estimate(0.5)} for task in ("a", "b")},
        "change over each task alone, percent": alone,
        "change over Uniform, percent": uniform,
        "change over plain losses, percent": kept,
        "failed": list(failed),
    }


def document(rows, seeds=5):
    about = {"tasks": ["a", "b"], "rows": {"train": 4_000}, "network": "LeNet", "epochs": 6, "batch": 128}
    return {
        "date": "2026-11-22T00:00:00+00:00",
        "machine": {"torch": "2", "torchjd": "0.18", "cores": 2},
        "settings": {
            "seeds": seeds,
            "trained": {"trainings": 9, "problems": {"pairs": {**about, "optimizer": "Adam"}}},
        },
        "results": rows,
    }


def test_the_page_has_the_tables_of_the_saved_results():
    command = [sys.executable, str(BENCHMARKS / "weightings.py"), "--tables", str(SAVED)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.count("| weighting |") == 5, "three comparisons, metrics, costs"
    assert printed.strip() in PAGE.read_text(encoding="utf-8")


def test_the_saved_results_are_of_every_weighting_and_not_of_a_rehearsal():
    saved = json.loads(SAVED.read_text(encoding="utf-8"))
    assert saved["settings"]["quick"] is False
    asked = saved["settings"]["weightings"]
    for method, way in asked.items():
        get_weighting(way["name"], **way["options"])
        own = [row for row in saved["results"] if row["part"] == "trained" and row["method"] == method]
        assert len(own) == 2 * len(saved["settings"]["trained"]["problems"]), "plain and loud, on each problem"
    assert len(asked) >= 18


def test_the_page_names_methods_that_exist():
    text = PAGE.read_text(encoding="utf-8")
    by_name = text.split("### TorchJD's, by name")[1].split("\n## ")[0]
    left_out = text.split("Not measured:")[1].split("\n\n")[0]
    named = re.findall(r"(?m)^\*\*`(\w+)`\*\*", by_name) + re.findall(r"`([a-z]+)`", left_out)
    assert len(named) > 20
    assert set(named) <= set(weighting_names())


def test_lengths_of_updates_are_those_of_the_page(capsys):
    text = PAGE.read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "orthogonal" in block)
    exec(compile(block, "choosing-a-weighting.md", "exec"), {})  # noqa: S102  (our own text)
    printed = {words[0]: words[1:] for line in capsys.readouterr().out.splitlines()[1:] if (words := line.split())}
    rows = re.findall(r"(?m)^\| (`.*?) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", text)
    written = {name: list(row[1:]) for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert len(rows) == 5
    assert {name: written[name] for name in printed} == printed


def test_an_interval_that_excludes_zero_is_bold_and_counted(tables):
    rows = [
        trained("single"),
        trained("Uniform", alone=estimate(1.0, -1.0, 3.0)),
        trained("MGDA", alone=estimate(-2.0, -3.0, -1.0), uniform=estimate(-3.0, -4.0, -2.0)),
        trained("DiBS", alone=estimate(2.0, 1.0, 3.0), uniform=estimate(1.0, -1.0, 3.0)),
        trained("Uniform", "loud", alone=estimate(-9.0, -12.0, -6.0), kept=estimate(-10.0, -12.0, -8.0)),
        trained("MGDA", "loud", kept=estimate(0.0, -1.0, 1.0), failed=["seed 1: diverged"]),
        trained("DiBS", "loud", kept=None, failed=["seed 0: diverged"] * 5),
    ]
    lines = list(tables.pages(document(rows)))
    short = next(line for line in lines if line.startswith("- **pairs**"))
    assert "of 2 weightings none is found better than `Uniform` and 1 is found (MGDA) worse" in short
    assert "1 is found (Uniform) worse than before (of 2)" in short
    assert "| MGDA | **-2.0 [-3.0, -1.0]** |" in lines
    assert "| DiBS | +1.0 [-1.0, +3.0] |" in lines
    assert "| MGDA | +0.0 [-1.0, +1.0]; 1 failed |" in lines
    assert "| DiBS | none finished; 5 failed |" in lines


def test_one_seed_claims_nothing(tables):
    rows = [trained("single"), trained("Uniform", alone=estimate(9.0)), trained("Uniform", "loud", kept=estimate(-9.0))]
    text = "\n".join(tables.pages(document(rows, seeds=1)))
    assert "nothing in these tables can be told from chance" in text
    assert "**+9.0" not in text
    assert "| Uniform | +9.0, one seed |" in text


def test_tables_replace_what_stands_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results -->\nyesterday\n<!-- end of results -->\nafter\n", encoding="utf-8")
    command = [sys.executable, str(BENCHMARKS / "weightings.py"), "--into", str(page), "--out", str(SAVED)]
    for _ in range(2):
        subprocess.run(command, check=True)
        text = page.read_text(encoding="utf-8")
        assert text.startswith("before\n<!-- results -->\n\n*Measured on")
        assert text.endswith("|\n\n<!-- end of results -->\nafter\n")
        assert "yesterday" not in text
