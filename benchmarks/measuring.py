"""What every benchmark shares: interleaved timing, the machine's description, targets, tables, JSON.

A benchmark is a script, run from the repository root, for instance `python benchmarks/step_cost.py --help`.
Each prints a table of ratios and, given `--out`, writes one JSON file:

    {"benchmark", "date", "machine": {...}, "seeds", "settings": {...}, "results": [...],
     "targets": [{"name", "target", "measured", "met"}]}

`results_schema.py` says what each field is and checks every file before it is written.
"""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import random
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import torch

from results_schema import problems
from results_seeds import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def seconds_of(step: Callable[[], object]) -> float:
    """Time of one call. As in `timeit`, the garbage collector does its work before and not during it."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        step()
        return time.perf_counter() - start
    finally:
        gc.enable()


def interleaved(
    timers: Mapping[str, Callable[[], float]], rounds: Mapping[str, int], *, seed: int = 0
) -> dict[str, list[float]]:
    """Collects `rounds[name]` times from every timer, taking turns: {name: [rounds[name]]}.

    A round asks each timer once, in an order drawn anew, so that a slow moment of a shared machine hits all
    alike and ratios within a round stay meaningful. Timers with fewer rounds than others drop out early.
    """
    seconds: dict[str, list[float]] = {name: [] for name in timers}
    shuffle = random.Random(seed).shuffle  # noqa: S311 (an order, not a secret)
    for round_ in range(max(rounds.values())):
        order = [name for name in timers if round_ < rounds[name]]
        shuffle(order)
        for name in order:
            seconds[name].append(timers[name]())
    return seconds


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    if len(values) < 2:
        return {"median": values[0], "q25": values[0], "q75": values[0]}
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return {"median": middle, "q25": low, "q75": high}


def round_by_round(seconds: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Ratios of the rounds that both took part in; what slowed a whole round cancels."""
    return [mine / other for mine, other in zip(seconds, reference, strict=False)]


def target(name: str, limit: float, measured: float) -> dict[str, Any]:
    """A promise: `measured` is to be at most `limit`. Recorded, never asserted: machines are noisy."""
    return {"name": name, "target": limit, "measured": measured, "met": bool(measured <= limit)}


def machine() -> dict[str, Any]:
    """What the figures were taken on, including how busy it was."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        **{name: _version(name) for name in ("torch", "numpy", "scipy", "torchjd", "quadprog", "counterpoint")},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def record(
    path: Path | None,
    benchmark: str,
    settings: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    targets: Sequence[Mapping[str, Any]],
    *,
    seeds: str | None = None,
) -> None:
    """Print the targets; write everything to `path` at once or not at all.

    `seeds` says in words which seeds there were; `results_seeds.py` has the words of those that do not.
    """
    print_table(
        ["target", "at most", "measured", "met"],
        [[t["name"], f"{t['target']:.3g}", f"{t['measured']:.4g}", "yes" if t["met"] else "NO"] for t in targets],
    )
    if path is None:
        return
    document = without_nan(
        {
            "benchmark": benchmark,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "seeds": seeds or sentence(benchmark, settings),
            "settings": {name: value for name, value in settings.items() if name != "out"},  # a path of this machine
            "results": list(results),
            "targets": list(targets),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as file:
        json.dump(document, file, indent=2, allow_nan=False)
        file.write("\n")
    part = Path(file.name)
    part.chmod(0o644)  # NamedTemporaryFile is private to its owner
    wrong = problems(document)
    if wrong:
        kept = part.replace(path.with_suffix(".rejected"))  # hours of measuring are not lost
        raise ValueError(f"{path} is not written: {wrong[0]} ({len(wrong)} in all); what was measured is in {kept}")
    part.replace(path)
    print(f"wrote {path}")


def without_nan(value: Any) -> Any:
    """JSON has no NaN or infinity: null says that there is no number."""
    if isinstance(value, dict):
        return {key: without_nan(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """First column to the left, the others to the right, as wide as needed."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, ["-" * width for width in widths], *rows):
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells), flush=True)
    print()
