"""Ways to combine gradients on generated scenes: with plain losses, and with the depth loss in other units or raised.

Trains the recipe `scenes` (see `counterpoint recipe scenes --show`) three times: as it is, with the depth loss times
1,000, and with its fourth power. What is best does not change with either; what a way finds may.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from counterpoint.estimate import Estimate
from counterpoint.study.recipes.recipe import load_recipe
from counterpoint.study.recipes.recipe_study import RecipeStudy
from measuring import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterpoint.study.recipes.results import RecipeResults

# Finished trainings stay here: a call that is interrupted goes on.
FOLDER = Path("runs/vision")
VARIANTS = {"plain": {}, "depth x 1000": {"depth": {"factor": 1000.0}}, "depth ^ 4": {"depth": {"power": 4.0}}}


def run(options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of results: every metric with its interval, the mean improvement over single tasks, what failed."""
    # One folder: networks of tasks whose losses stay are trained once.
    changed = {name: scenes(losses, FOLDER / "scenes", options) for name, losses in VARIANTS.items()}
    base = changed["plain"]
    rows = [
        of_method(results, base, variant, method["key"], method["label"])
        for variant, results in changed.items()
        for method in results.about["methods"]
    ]
    header = ["losses", "method", "over single, %", "interval", "kept, %", "interval"]
    print_table(header, [[r["variant"], r["label"], *cells(r["improvement"]), *cells(r["kept"])] for r in rows])
    return rows, []


def scenes(losses: dict[str, Any], folder: Path, options: Any) -> RecipeResults:
    """Trains everything for one variant; what an earlier call trained is not trained again."""
    recipe = load_recipe("scenes", {"losses": losses, "seeds": options.seeds}, tiny=options.quick)
    study = RecipeStudy(recipe, None, folder, options.quick, workers=os.cpu_count() or 1)
    return study.compare("benchmarks/vision.py --parts scenes", Silent(), study.source())


def of_method(results: RecipeResults, base: RecipeResults, variant: str, method: str, label: str) -> dict[str, Any]:
    """What one way reached, and how much of what it reaches with plain losses it kept."""
    scores = results.scores[results.scores["method"] == method]
    improvement = results.improvement()
    own = improvement[improvement["method"] == method]["value"].tolist()
    metrics = {
        f"{task}: {metric}": interval(values["value"].tolist())
        for (task, metric), values in scores.groupby(["task", "metric"], sort=False)
    }
    return {
        "variant": variant,
        "method": method,
        "label": label,
        "metrics": metrics,
        "improvement": interval(own),
        "kept": interval(against(results, base, method)),
        "scales": results.about["scales"] if method == "tuned" else None,
        "failed": [
            f"seed {each['seed']}: {each['error']}" for each in results.about["failed"] if each["method"] == method
        ],
    }


def against(results: RecipeResults, base: RecipeResults, method: str) -> list[float]:
    """Mean relative improvement over the same way with plain losses, by seed, in percent."""
    mine, plain = (each.scores[each.scores["method"] == method] for each in (results, base))
    both = replace(results, scores=pd.concat([mine, plain.assign(method="plain")]))
    improvement = both.improvement("plain")
    return [float(value) for value in improvement.loc[improvement["method"] == method, "value"]]


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean and 95 % interval over seeds, and the seeds' values; says how many are left out because they have none."""
    finite = [value for value in values if math.isfinite(value)]
    left_out = {"left_out": len(values) - len(finite)} if len(finite) < len(values) else {}
    if not finite:
        return {"mean": math.nan, "low": math.nan, "high": math.nan, "seeds": [], **left_out}
    found = Estimate.of(finite)
    return {"mean": found.mean, "low": found.low, "high": found.high, "seeds": finite, **left_out}


def cells(found: dict[str, Any]) -> list[str]:
    left_out = f", {found['left_out']} left out" if "left_out" in found else ""
    return [f"{found['mean']:+.1f}", f"[{found['low']:+.1f}, {found['high']:+.1f}]{left_out}"]


class Silent:
    """Watches and says one line a stage."""

    def stage(self, title: str, runs: Sequence[str]) -> None:
        """A line."""
        print(f"{title}: {len(runs)} trainings", flush=True)

    def progress(self, index: int, share: float) -> None:
        """Nothing."""

    def done(self, index: int, seconds: float) -> None:
        """Nothing."""
