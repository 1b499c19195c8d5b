"""Reports as the commands write them, each made once for all test processes."""

from __future__ import annotations

import io
import json
import runpy
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from counterpoint import Affinity, cli

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Results made up for the report's own tests: a training would take too long to show as much.
_TESTS = Path(__file__).parents[2] / "tests"
HOSTILE = "<script>alert(1)</script>"
LONG = "days_until_the_customer_of_the_northern_branch_comes_back_to_buy_the_same_thing_again"
UNICODE = "größe 颜色 ∑"
NAMES = (HOSTILE, LONG, UNICODE)


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes:
        make: Makes it in a folder of its own; called with that folder and the one where all reports are.
        figures: How many figures the page has for these settings; None where that hangs on scores being zero or not.
        names: Tasks that the page must show, letter for letter.
    """

    make: Callable[[Path, Path], None]
    figures: int | None
    names: tuple[str, ...] = ()


def made(name: str, reports: Path) -> Path:
    """The page of a report, which is made now unless a test process has made it or is making it."""
    page = reports / name / "report.html"
    with FileLock(reports / f"{name}.lock"):
        if not page.exists():
            shutil.rmtree(page.parent, ignore_errors=True)  # half made by a command that failed
            REPORTS[name].make(reports / name, reports)
    return page


def command(*arguments: object) -> None:
    """``counterpoint ...`` in this process, where torch is already loaded."""
    said = io.StringIO()
    with redirect_stdout(said), pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    assert ended.value.code == 0, said.getvalue()


def _demo(folder: Path, _: Path) -> None:
    command("demo", "--seeds=2", "--epochs=2", "--train_rows=2048", "--workers=1", f"--out={folder}")


def _few_digits(*arguments: object, **changes: object) -> None:
    """A command on a few digits, so that it takes seconds."""
    from counterpoint.data import DigitPairs, DigitQuestions
    from counterpoint.study.source import SOURCES

    few = DigitQuestions(DigitPairs(train_rows=128, validation_rows=32, test_rows=64))
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(SOURCES, "digits", replace(SOURCES["digits"], data=few, **changes))
        command(*arguments)


def _group(folder: Path, _: Path) -> None:
    options = ("--networks=2", "--seeds=2", "--epochs=3", "--every=1", "--compare=cs,random", "--workers=1")
    _few_digits("group", "--data=digits", *options, f"--out={folder}")


def _group_saved(folder: Path, _: Path) -> None:
    random = np.random.default_rng(0)
    tasks = (*NAMES, *(f"class {place}" for place in range(9)))
    block = np.arange(len(tasks)) % 3
    values = np.where(block[:, None] == block[None], 0.004, -0.001) + random.normal(0, 0.002, (len(tasks),) * 2)
    folder.mkdir()
    Affinity(values, tasks, 40).save(folder / "affinity.json")
    command("group", folder / "affinity.json", "--networks=4", f"--out={folder}")


def _explain(folder: Path, _: Path) -> None:
    # Curvature takes longer than training; the page of fabricated results has it.
    options = ("--weightings=", "--seeds=2", "--epochs=2", "--curvature=false", "--workers=1")
    _few_digits("explain", "--data=digits", *options, f"--out={folder}", tasks=("left", "left-even"))


def _explain_names(folder: Path, _: Path) -> None:
    fabricated = runpy.run_path(str(_TESTS / "fabricated_trajectories.py"))["fabricated"]
    fabricated(tasks=NAMES).save(folder)
    command("report", folder)


def _study_troubled(folder: Path, _: Path) -> None:
    runpy.run_path(str(_TESTS / "report" / "fabricated_studies.py"))["troubled_study"]().save(folder)
    command("report", folder)


def _recipe_names(folder: Path, _: Path) -> None:
    recipes = runpy.run_path(str(_TESTS / "report" / "fabricated_recipes.py"))
    metrics = (("mean angle", "minimize", 24.0), ("mIoU <b>", "maximize", 0.5))
    recipes["fabricate_recipe"](tasks=dict.fromkeys(recipes["HOSTILE"], metrics)).save(folder)
    command("report", folder)


def _study(folder: Path, _: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(240, 4))
    table = pd.DataFrame(rows, columns=list("abcd"))
    table["<b>shop</b>"] = random.choice(["north", "south", "west"], len(table))
    signal = rows[:, 0] + 0.5 * rows[:, 1]
    table[HOSTILE] = 10 + 3 * signal + 0.3 * random.normal(size=len(table))
    table[LONG] = np.where(signal + 0.5 * random.normal(size=len(table)) > 0, "yes", "no")
    table[UNICODE] = random.poisson(np.exp(0.4 * rows[:, 2]))
    folder.mkdir()
    table.to_csv(folder / "table.csv", index=False)
    fast = ("--weightings=mgda", "--scale-trials=2", "--seeds=2", "--epochs=2", "--hidden=8", "--workers=1")
    targets = f"--targets={','.join(NAMES)}"
    command("study", folder / "table.csv", targets, "--networks=2", *fast, "--minutes=5", f"--out={folder}")


def _recipe(name: str) -> Callable[[Path, Path], None]:
    return lambda folder, _: command("recipe", name, "--tiny", "--workers=1", f"--out={folder}")


def _renamed(source: str, names: Mapping[str, str]) -> Callable[[Path, Path], None]:
    """The results of another report with other names of tasks, and ``counterpoint report`` on them."""

    def make(folder: Path, reports: Path) -> None:
        made(source, reports)
        folder.mkdir()
        for path in (reports / source).iterdir():
            if path.suffix == ".parquet":
                frame = pd.read_parquet(path)
                for column in frame.select_dtypes(exclude="number"):
                    frame[column] = [_name(value, names) for value in frame[column]]
                frame.to_parquet(folder / path.name)
            elif path.suffix == ".json":
                facts = json.loads(path.read_text(encoding="utf-8"), object_hook=lambda facts: _keys(facts, names))
                (folder / path.name).write_text(json.dumps(_values(facts, names)), encoding="utf-8")
        command("report", folder)

    return make


def _name(value: object, names: Mapping[str, str]) -> object:
    # A run of several tasks is called by all of them, with commas between.
    return ",".join(names.get(part, part) for part in value.split(",")) if isinstance(value, str) else value


def _keys(facts: dict[str, object], names: Mapping[str, str]) -> dict[str, object]:
    return {names.get(key, key): value for key, value in facts.items()}


def _values(facts: object, names: Mapping[str, str]) -> object:
    if isinstance(facts, dict):
        return {key: _values(value, names) for key, value in facts.items()}
    if isinstance(facts, list):
        return [_values(value, names) for value in facts]
    return names.get(facts, facts) if isinstance(facts, str) else facts


REPORTS = {
    "demo": Report(_demo, 10, ("left", "right")),
    "demo-names": Report(_renamed("demo", {"left": HOSTILE, "right": LONG}), 10, (HOSTILE, LONG)),
    "group": Report(_group, 6, ("left-even",)),
    "group-saved": Report(_group_saved, 2, NAMES),
    "explain": Report(_explain, 17, ("left-even",)),
    "explain-names": Report(_explain_names, 31, NAMES),
    "study": Report(_study, 17, NAMES),
    "study-troubled": Report(_study_troubled, 29, (HOSTILE,)),
    "recipe-pictures": Report(_recipe("scenes"), None, ("segmentation", "normals")),
    "recipe-tasks": Report(_recipe("attributes"), 2, ("hue-1",)),
    "recipe-names": Report(_recipe_names, 16, (HOSTILE,)),
}
