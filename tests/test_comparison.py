"""docs/comparison.md and docs/limits.md say what the saved results say, and name commands that exist."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COMPARISON, LIMITS = ((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("comparison", "limits"))


def test_the_tables_of_the_comparison_are_those_of_the_saved_results():
    command = [sys.executable, str(ROOT / "benchmarks" / "comparison_tables.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.count("measured on") == 3, "features, parameters, solvers"
    assert printed.strip() in COMPARISON


def test_every_target_that_the_limits_name_is_one_that_was_missed_by_as_much():
    table = LIMITS.split("| promise |")[1].split("\n\n")[0]
    rows = re.findall(r"(?m)^\| (.+?) \| ([\d.]+)( %)? \| ([\d.]+)( %)? \| `(\w+\.json)` \|$", table)
    assert len(rows) == table.count(".json") > 12
    for promise, target, percent, measured, _, name in rows:
        unit = 0.01 if percent else 1.0
        digits = len(measured.partition(".")[2])
        targets = json.loads((RESULTS / name).read_text(encoding="utf-8"))["targets"]
        missed = [each for each in targets if not each["met"] and each["target"] == pytest.approx(float(target) * unit)]
        found = [round(each["measured"] / unit, digits) for each in missed]
        assert float(measured) in found, f"{promise}: {name} has {found}"


@pytest.mark.parametrize("page", [COMPARISON, LIMITS], ids=["comparison", "limits"])
def test_files_and_commands_that_are_named_exist(page):
    saved = set(re.findall(r"`([\w*]+\.json)`", page))
    assert saved
    assert [name for name in saved if not list(RESULTS.glob(name))] == []
    commands = re.findall(r"`python (benchmarks/\w+\.py)([^`]*)`", page)
    for script, options in commands:
        source = (ROOT / script).read_text(encoding="utf-8")
        assert [option for option in re.findall(r"--[\w-]+", options) if f'"{option}"' not in source] == []
    tests = re.findall(r"`python -m pytest ([^`]+)`", page)
    assert [name for name in tests if not (ROOT / name).exists()] == []
    assert len(commands) + len(tests) > 8 or page is LIMITS
