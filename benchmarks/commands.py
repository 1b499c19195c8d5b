"""The one list of benchmarks: which command measured which file in benchmarks/results, and its smallest honest case.

    python benchmarks/commands.py                    # runs all of them, one after the other: make bench
    python benchmarks/commands.py step_cost min_norm # these
    python benchmarks/commands.py --list             # prints them

The results page, `make bench`, `make bench-quick` and the tests read this list, so that they cannot disagree.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Command:
    """What wrote `benchmarks/results/<name>.json`.

    Args:
        name: of the file.
        arguments: of Python, from the repository's root, without `--out`.
        quick: the same for a small case, to compare with what is stored; empty where minutes tell nothing.
        budget: seconds that the small case may take.
    """

    name: str
    arguments: str
    quick: str = ""
    budget: int = 0

    def __str__(self) -> str:
        """As one types it."""
        return f"python {self.arguments} --out benchmarks/results/{self.name}.json"

    def argv(self, out: Path, *, quick: bool = False) -> list[str]:
        """For `subprocess.run`."""
        return [sys.executable, *shlex.split(self.quick if quick else self.arguments), "--out", str(out)]


_STEPS = "benchmarks/step_cost.py --encoder small_conv"
# The order is the page's. Budgets add up to five minutes.
COMMANDS = (
    Command(
        "step_cost",
        f"{_STEPS} --groups features --steps 18",
        f'{_STEPS} --tasks 40 --steps 8 --launches 1 --methods "FanOut(MGDA)" "TorchJD by hand, loss by loss"',
        40,
    ),
    Command("step_cost_weightings", f"{_STEPS} --groups weightings weights --tasks 40 --steps 12"),
    Command("step_cost_parameters", f"{_STEPS} --groups parameters --steps 12"),
    Command(
        "step_cost_encoders",
        "benchmarks/step_cost.py --encoder transformer wide_mlp --groups parameters --tasks 2 --steps 12",
    ),
    Command("step_cost_compiled", f"{_STEPS} --groups compiled --steps 18"),
    Command("min_norm", "benchmarks/min_norm.py", "benchmarks/min_norm.py --quick", 20),
    Command("invariance", "benchmarks/invariance.py", "benchmarks/invariance.py --quick", 70),
    Command("dibs_done", "benchmarks/dibs_done.py --seeds 3"),
    Command("weightings", "benchmarks/weightings.py --seeds 4"),
    Command("length", "benchmarks/length.py --seeds 3"),
    Command(
        "affinity",
        "benchmarks/affinity.py --seeds 5 --rounds 12 --fits 6",
        "benchmarks/affinity.py --data yeast --seeds 2 --epochs 3 --rounds 2 --fits 1",
        40,
    ),
    Command("grouping", "benchmarks/grouping.py", "benchmarks/grouping.py --quick", 15),
    Command("grouping_yeast", "benchmarks/grouping_methods.py --data yeast --seeds 5 --networks 4"),
    Command(
        "grouping_digits",
        "benchmarks/grouping_methods.py --data digits --seeds 3 --networks 3 --compare cs,random,hoa,optimal",
    ),
    Command("explain_digits", "benchmarks/explain.py --data digits --seeds 5"),
    Command("explain_yeast", "benchmarks/explain.py --data yeast --seeds 5"),
    Command(
        "trajectory",
        "benchmarks/trajectory.py --rounds 10 --fits 3",
        "benchmarks/trajectory.py --quick",
        25,
    ),
    Command("study_diamonds", "benchmarks/study.py --data diamonds --seeds 3 --minutes 5"),
    Command("study_yeast", "benchmarks/study.py --data yeast --seeds 5"),
    Command("study_yeast_missing", "benchmarks/study.py --data yeast --missing 0.3 --seeds 3 --minutes 4"),
    Command("study_randhie", "benchmarks/study.py --data randhie --seeds 3 --minutes 2.5"),
    Command("study_flares", "benchmarks/study.py --data flares --seeds 5"),
    Command(
        "study_epoch",
        "benchmarks/study_epoch.py --rounds 5 --epochs 3",
        "benchmarks/study_epoch.py --rounds 2 --epochs 1 --threads 1",
        30,
    ),
    Command(
        "table_preparation",
        "benchmarks/table_preparation.py --rows 1000000 --rounds 1",
        "benchmarks/table_preparation.py --rows 100000 --rounds 1",
        50,
    ),
    Command("vision", "benchmarks/vision.py --seeds 3"),
)

# What pages say of results: written anew once results are.
PAGES = (
    "benchmarks/invariance_plot.py",
    "benchmarks/dibs_done.py --into docs/invariance.md",
    "benchmarks/vision_pictures.py",
    "benchmarks/vision_tables.py benchmarks/results/vision.json --into docs/vision.md",
    "benchmarks/study.py --into docs/study.md",
    "benchmarks/weightings.py --into docs/choosing-a-weighting.md",
    "benchmarks/length.py --into docs/choosing-a-weighting.md",
    "benchmarks/results_page.py --out docs/results.md --readme README.md",
)


def command(name: str) -> Command:
    """The command of a file in benchmarks/results.

    Raises:
        ValueError: if none writes it.
    """
    for found in COMMANDS:
        if found.name == name:
            return found
    known = ", ".join(own.name for own in COMMANDS)
    raise ValueError(f"no command writes {name}.json; known: {known}; add it to benchmarks/commands.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of files in benchmarks/results; by default all")
    parser.add_argument("--list", action="store_true", help="print the commands, run none")
    options = parser.parse_args()
    try:
        chosen = [command(name) for name in options.names] or list(COMMANDS)
    except ValueError as error:
        parser.error(str(error))
    for one in chosen:
        print(one, flush=True)
        if not options.list:
            subprocess.run(one.argv(RESULTS / f"{one.name}.json"), cwd=ROOT, check=True)
    for page in PAGES:
        print(f"python {page}", flush=True)
        if not options.list:
            subprocess.run([sys.executable, *shlex.split(page)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
