"""Every weighting on three sorts of tasks: what it reaches, what it costs, and what one badly scaled loss does to it.

Trains one network for all tasks with each weighting at the features, and one for each task alone, on overlapping digits
(tasks in conflict), yeast (14 related tasks) and diamonds (losses of unequal kind); then the same with the first loss
times 1,000. Intervals are over seeds, on one split. Then it times training steps and the weights alone.

    python benchmarks/weightings.py --out benchmarks/results/weightings.json      # about 20 minutes on two cores
    python benchmarks/weightings.py --quick                                       # a minute: does it run?
    python benchmarks/weightings.py --tables benchmarks/results/weightings.json   # the tables of the page
    python benchmarks/weightings.py --into docs/choosing-a-weighting.md           # these tables into the page
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from weightings_tables import pages

RESULTS = Path(__file__).parent / "results" / "weightings.json"
_MARKS = "<!-- results -->", "<!-- end of results -->"


def tables(path: Path) -> str:
    """The Markdown between the marks of the page."""
    return "\n".join(pages(json.loads(path.read_text(encoding="utf-8")))).strip()


def write_into(page: Path, text: str) -> None:
    """Replaces what stands between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(_MARKS[0])
    after = rest.partition(_MARKS[1])[2]
    page.write_text(f"{before}{_MARKS[0]}\n\n{text}\n\n{_MARKS[1]}{after}", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="these weightings instead of all; with Uniform")
    parser.add_argument("--rounds", type=int, default=10, help="of timing (default %(default)s)")
    parser.add_argument(
        "--tasks", type=int, nargs="*", default=[2, 14, 40], help="timed; none: no timing (default 2 14 40)"
    )
    parser.add_argument("--steps-of", type=Path, metavar="JSON", help="take the times of steps from these results")
    parser.add_argument("--folder", type=Path, help="keep finished trainings here, and go on with them")
    parser.add_argument("--workers", type=int, default=2, help="trainings side by side")
    parser.add_argument(
        "--quick", action="store_true", help="two seeds of one epoch, three weightings, two tasks timed"
    )
    parser.add_argument("--tables", type=Path, help="print saved results as Markdown tables")
    parser.add_argument("--into", type=Path, help="write the tables of the saved results into a page")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.tasks = min(options.seeds, 2), [2]
        options.methods = options.methods or ["Uniform", "MGDA", "CAGrad"]
    if options.methods:
        options.methods = list(dict.fromkeys(["Uniform", *options.methods]))
    return options


def main() -> None:
    options = parse()
    if options.tables:
        print(tables(options.tables))
        return
    if options.into:
        write_into(options.into, tables(options.out or RESULTS))
        return
    # These load torch, which the tables do without.
    from measuring import record  # noqa: PLC0415
    from weightings_timed import steps, weights  # noqa: PLC0415
    from weightings_trained import FACTOR, WEIGHTINGS, run  # noqa: PLC0415

    if unknown := [name for name in options.methods or [] if name not in WEIGHTINGS]:
        raise SystemExit(f"unknown weighting {unknown[0]!r}, expected names among {', '.join(WEIGHTINGS)}")
    rows, trained = run(options)
    earlier = json.loads(options.steps_of.read_text()) if options.steps_of else None
    timed = [row for row in earlier["results"] if row["part"] == "steps"] if earlier else steps(options)
    results: list[dict[str, Any]] = [*rows, *timed, *weights(options)]
    settings = {
        "seeds": options.seeds,
        "quick": options.quick,
        "factor": FACTOR,
        "weightings": {name: asdict(WEIGHTINGS[name]) for name in options.methods or WEIGHTINGS},
        "trained": trained,
        "rounds of timing": options.rounds,
        **({"steps were timed": earlier["date"]} if earlier else {}),
        "intervals": "95 %, Student's t over seeds, one split; changes are paired by seed",
    }
    document = {"results": results, "settings": settings}
    record(options.out, "weightings", settings, results, [])
    print_page(document)


def print_page(document: dict[str, Any]) -> None:
    """What the page would say."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from measuring import machine, without_nan  # noqa: PLC0415

    print("\n".join(pages(without_nan({**document, "date": datetime.now(UTC).isoformat(), "machine": machine()}))))


if __name__ == "__main__":
    main()
