"""What balancing costs and gains on images: two, three and forty tasks, on generated data.

    python benchmarks/vision.py [--parts steps memory affinity accuracy scenes] [--seeds 3] [--quick]
                                [--out benchmarks/results/vision.json]

The parts, each a module with a function `run(options)` that returns results and targets:

    steps     vision_steps.py     time of a training step: uniform, MGDA-UB, MGDA on parameters, TorchJD
    memory    vision_memory.py    peak memory of a FanOut for dense tasks
    affinity  vision_affinity.py  are planted groups of attributes found?
    accuracy  vision_accuracy.py  is MGDA-UB as accurate as MGDA on parameters?
    scenes    vision_scenes.py    three dense tasks, balanced in seven ways, with losses in other units

Parts may be measured in several calls: those of an earlier call stay in the file. `date` and `machine` at its top are
those of the last call, and each part's own are in `settings`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from measuring import machine, record

PARTS = ("steps", "memory", "affinity", "accuracy", "scenes")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="default: all")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default %(default)s)")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's choice)")
    parser.add_argument("--quick", action="store_true", help="as little as possible: does it run?")
    parser.add_argument("--out", type=Path, help="for instance benchmarks/results/vision.json")
    return parser.parse_args()


def measured(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """Settings, results and targets of one part."""
    print(f"\n{part}")
    start = time.perf_counter()
    results, targets = importlib.import_module(f"vision_{part}").run(options)
    settings = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "quick": options.quick,
        "seeds": options.seeds,
        "machine": machine(),
    }
    return {"settings": settings, "results": results, "targets": targets}


def saved(path: Path | None) -> dict[str, dict[str, Any]]:
    """What an earlier call wrote, by part."""
    if path is None or not path.exists():
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    return {
        part: {
            "settings": settings,
            **{what: [_without_part(row) for row in document[what] if row["part"] == part] for what in LISTS},
        }
        for part, settings in document["settings"].items()
    }


LISTS = ("results", "targets")


def _without_part(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "part"}


def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    for part in options.parts:
        found = saved(options.out) | {part: measured(part, options)}
        known = [name for name in PARTS if name in found]
        # Written after each part: a later one that fails loses nothing.
        record(
            options.out,
            "vision",
            {name: found[name]["settings"] for name in known},
            *([{"part": name, **row} for name in known for row in found[name][what]] for what in LISTS),
        )


if __name__ == "__main__":
    main()
