"""Which seeds a benchmark used, in words, from what it was told.

    python benchmarks/results_seeds.py    # adds the field "seeds" to results that were written before there was one

Nothing else in a file changes; one that was completed says so under "derived".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RESULTS = Path(__file__).parent / "results"
WHY = "added after the measurement by benchmarks/results_seeds.py, from the settings and the script"

Settings = dict[str, Any]


def counted(number: int) -> str:
    """Seeds of a script that was told how many: they begin at 0."""
    return "seed 0" if number == 1 else f"{number} seeds, 0 to {number - 1}"


def _step_cost(settings: Settings) -> str:  # noqa: ARG001 (the same always)
    return "network and rows of every launch from seed 0; rounds, not seeds, are what quartiles are over"


def _grouping(settings: Settings) -> str:
    return f"generated affinities: {counted(settings['seeds'])}; CelebA's are as published"


def _invariance(settings: Settings) -> str:
    problems = [name for name, own in settings.items() if isinstance(own, dict)]
    used = (1 if settings["quick"] else settings[name]["seeds"] for name in problems)
    return "; ".join(f"{name}: {counted(number)}" for name, number in zip(problems, used, strict=True))


def _study(settings: Settings) -> str:
    return f"{counted(settings['seeds asked for'])}; fewer for what was given up for time; rows split by seed 0"


def _study_epoch(settings: Settings) -> str:  # noqa: ARG001
    return "network and order of the rows from seed 0; quartiles are over rounds"


def _table_preparation(settings: Settings) -> str:  # noqa: ARG001
    return "the table is generated from seed 0; nothing else is random"


def _trajectory(settings: Settings) -> str:
    return f"networks that are looked at: seed 0; trainings with a callback: {counted(settings['fits'])}"


def _vision(settings: Settings) -> str:
    trained = [f"{part}: {counted(own['seeds'])}" for part, own in settings.items() if part not in {"steps", "memory"}]
    return "; ".join([*trained, "steps and memory: seed 0"])


SENTENCES: dict[str, Callable[[Settings], str]] = {
    "step_cost": _step_cost,
    "grouping": _grouping,
    "invariance": _invariance,
    "study": _study,
    "study_epoch": _study_epoch,
    "table_preparation": _table_preparation,
    "trajectory": _trajectory,
    "vision": _vision,
    "vision_memory": _step_cost,
}


def sentence(benchmark: str, settings: Mapping[str, Any]) -> str:
    """The seeds of a benchmark in words; "" if neither `SENTENCES` nor `settings["seeds"]` say how many there were."""
    if benchmark in SENTENCES:
        return SENTENCES[benchmark](dict(settings))
    number = settings.get("seeds")
    return counted(number) if isinstance(number, int) and number > 0 else ""


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its seeds."""
    if "seeds" in document:
        return document
    found = {"seeds": sentence(document["benchmark"], document["settings"]), "derived": {"seeds": WHY}}
    order = ("benchmark", "date", "machine", "seeds", "derived", "settings", "results", "targets")
    return {field: (document | found)[field] for field in order}


def main() -> None:
    for path in sorted(RESULTS.glob("*.json")):
        before = path.read_text(encoding="utf-8")
        after = json.dumps(complete(json.loads(before)), indent=2, allow_nan=False) + "\n"
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"completed {path}")


if __name__ == "__main__":
    main()
