"""The smallest honest case of each benchmark, against what is stored: five minutes on two quiet cores.

    python benchmarks/quick.py                      # all that have one: make bench-quick
    python benchmarks/quick.py step_cost min_norm   # these
    python benchmarks/quick.py --patience 4         # four times the time, on a slow or busy machine

Writes build/bench-quick/*.json, never benchmarks/results. Small cases are rougher than the stored ones, and a figure
that depends on the size of the case is left out: what is printed should come out about the same, not equal. Trainings
that take minutes (groupings, gaps, studies, images, weightings) have no small case that says anything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from commands import COMMANDS, RESULTS, ROOT, command

if TYPE_CHECKING:
    from commands import Command

OUT = ROOT / "build" / "bench-quick"
# Of a small table seconds and memory say nothing of a large one; the ratio to the same work by hand does.
LEFT_OUT = {"all, s beyond the time limit: worst"}  # no small case comes to its limit
BY_ROW = {"table_preparation": ("tenth.parquet", "table.parquet")}


def figures(document: dict[str, Any], name: str, *, quick: bool) -> dict[str, float]:
    """What a case of any size has in common with the stored one: {label: figure}."""
    if name in BY_ROW:
        file = BY_ROW[name][quick]
        found = {row["file"]: row["times by hand"]["median"] for row in document["results"] if row["who"] == "ours"}
        return {"100,000 rows: seconds over the same by hand": found[file]} if file in found else {}
    return {own["name"]: own["measured"] for own in document["targets"] if own["name"] not in LEFT_OUT}


def compared(name: str) -> list[tuple[str, float, float]]:
    """(label, stored, here) of what both cases measured."""
    stored, here = (
        figures(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")), name, quick=quick)
        for folder, quick in ((RESULTS, False), (OUT, True))
    )
    return [(label, stored[label], found) for label, found in here.items() if label in stored]


def run(one: Command, patience: float) -> str:
    """Measures a small case; "" or what went wrong, in a line."""
    out, log = OUT / f"{one.name}.json", OUT / f"{one.name}.txt"
    out.unlink(missing_ok=True)
    limit = one.budget * patience
    with log.open("w", encoding="utf-8") as said:
        try:
            ended = subprocess.run(
                one.argv(out, quick=True), cwd=ROOT, stdout=said, stderr=said, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            return f"not done within {limit:.0f} s; on a busy machine: --patience {patience * 4:g}"
    return "" if ended.returncode == 0 else f"ended with status {ended.returncode}; see {log.relative_to(ROOT)}"


def main() -> None:
    known = [one.name for one in COMMANDS if one.quick]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; by default all")
    parser.add_argument("--patience", type=float, default=1.0, help="times the usual time (default %(default)g)")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no small case of {unknown[0]}; there is one of {', '.join(known)}")
    OUT.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in options.names or known:
        one, start = command(name), time.perf_counter()
        print(f"\n{name}: python {one.quick}", flush=True)
        wrong = run(one, options.patience)
        failed = failed or bool(wrong)
        print(f"  {wrong or f'{time.perf_counter() - start:.0f} s'}", flush=True)
        for label, stored, here in [] if wrong else compared(name):
            print(f"  {label}: stored {stored:.4g}, here {here:.4g}", flush=True)
    print(f"\nwritten to {OUT.relative_to(ROOT)}; the stored figures are in {RESULTS.relative_to(ROOT)}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
