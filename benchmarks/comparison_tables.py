"""The tables of docs/comparison.md, from saved results of step_cost.py and min_norm.py. Needs no torch.

python benchmarks/comparison_tables.py                              # prints them
python benchmarks/comparison_tables.py --into docs/comparison.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results"
_MARKS = "<!-- results -->", "<!-- end of results -->"
_SOLVERS = ("MGDA()", "TorchJD", "published", "quadprog")


def pages() -> Iterator[str]:
    """Lines of Markdown, a table for each claim with its command."""
    yield from steps(
        "step_cost",
        "At the features, T = 2, 10, 40: time of a step over that with the plain sum; small convolutional encoder",
        "python benchmarks/step_cost.py --encoder small_conv --groups features",
    )
    yield from steps(
        "step_cost_parameters",
        "At the parameters, the same encoder; in brackets peak memory, MiB",
        "python benchmarks/step_cost.py --encoder small_conv --groups parameters",
        memory=True,
    )
    yield from solvers()


def steps(name: str, title: str, command: str, *, memory: bool = False) -> Iterator[str]:
    """Medians of interleaved rounds, a row a method."""
    saved = _saved(name)
    rows = [row for row in saved["results"] if "peak_mib" in row]
    sizes = sorted({row["tasks"] for row in rows})
    found = {(row["method"], row["tasks"]): row for row in rows}
    yield from _title(title, command, saved)
    yield f"| method | {' | '.join(f'T = {size}' for size in sizes)} |"
    yield f"| --- |{' ---: |' * len(sizes)}"
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [found.get((method, size)) for size in sizes]
        cells = [
            f"{row['ratio']['median']:.2f}" + (f" ({row['peak_mib']:.0f})" if memory else "") if row else ""
            for row in own
        ]
        yield f"| {method} | {' | '.join(cells)} |"
    yield ""


def solvers() -> Iterator[str]:
    """Worst excess over the optimum and median time, a row a case."""
    saved = _saved("min_norm")
    found = {(row["case"]["name"], row["solver"]): row for row in saved["results"]}
    yield from _title(
        "Min-norm point: worst relative excess of w'Gw over the optimum, and median milliseconds; T tasks, "
        'gradients of d numbers, "scales" means norms over six orders of magnitude',
        "python benchmarks/min_norm.py",
        saved,
    )
    header = ["`MGDA()`", "TorchJD `MGDAWeighting`", "published code", "quadprog (exact)"]
    yield f"| Gram matrix | {' | '.join(header)} |"
    yield f"| --- |{' ---: |' * len(header)}"
    for case in dict.fromkeys(row["case"]["name"] for row in saved["results"]):
        rows = [found[case, solver] for solver in _SOLVERS]
        cells = [f"{_excess(row['excess_max'])}, {row['ms_median']:.2f} ms" for row in rows]
        yield f"| {case} | {' | '.join(cells)} |"
    yield ""


def _excess(value: float) -> str:
    if value < 1e-15:
        return "0"
    return f"{float(f'{value:.1g}'):g}" if value > 1e-4 else f"{value:.0e}"


def _title(title: str, command: str, saved: dict[str, Any]) -> Iterator[str]:
    machine = saved["machine"]
    yield f"**{title}**"
    yield ""
    yield (
        f"`{command}`, measured on {saved['date'][:10]} on {machine['cores']} cores, torch {machine['torch']}, "
        f"TorchJD {machine['torchjd']}."
    )
    yield ""


def _saved(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, help="a page with a place for results")
    options = parser.parse_args()
    text = "\n".join(pages()).strip()
    if options.into is None:
        print(text)
        return
    before, _, rest = options.into.read_text(encoding="utf-8").partition(_MARKS[0])
    after = rest.partition(_MARKS[1])[2]
    options.into.write_text(f"{before}{_MARKS[0]}\n\n{text}\n\n{_MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
