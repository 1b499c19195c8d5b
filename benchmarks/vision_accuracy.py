"""Does MGDA-UB reach what MGDA on parameters reaches? Forty generated attributes, and three dense tasks on scenes.

Both are trained from the same weights on the same batches, seed by seed; what is compared is the mean relative
improvement of all metrics of all tasks, paired by seed, with a 95 % interval. Beside it, where all tasks have the same
main metric, its mean over them.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from counterpoint.study.recipes.recipe import load_recipe
from counterpoint.study.recipes.recipe_study import RecipeStudy
from measuring import print_table, target
from vision_scenes import FOLDER, Silent, cells, interval

if TYPE_CHECKING:
    import pandas as pd

FULL, UPPER = "mgda@parameters", "mgda"
# Forty passes through the encoder a step: fewer images and epochs than the recipe's.
SHORTER = {"data": {"train_rows": 2000}, "fit": {"epochs": 4}}
CASES = {"attributes": ("40 attributes", SHORTER), "scenes": ("3 dense tasks", {})}


def run(options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of results, a case each."""
    rows = []
    for name, (label, shorter) in CASES.items():
        changes = {"methods": ["uniform", FULL, UPPER], "seeds": options.seeds, **({} if options.quick else shorter)}
        recipe = load_recipe(name, changes, tiny=options.quick)
        folder = FOLDER / name
        study = RecipeStudy(recipe, None, folder, options.quick, workers=os.cpu_count() or 1)
        results = study.compare("benchmarks/vision.py --parts accuracy", Silent(), study.source())
        main = results.scores[results.scores["main"]]
        improvement = results.improvement(reference=FULL)
        own = improvement[improvement["method"] == UPPER]["value"].tolist()
        rows.append(
            {
                "case": label,
                "tasks": len(results.about["tasks"]),
                "metric_means": metric_means(main),
                "relative_improvement_percent": interval(own),
                "within_noise": within_noise(own),
            }
        )
    print_table(
        ["case", "MGDA-UB over MGDA, %", "interval"],
        [[row["case"], *cells(row["relative_improvement_percent"])] for row in rows],
    )
    found = [
        target(f"{row['case']}: % by which MGDA-UB is worse than MGDA beyond noise", 0.0, max(0.0, -high))
        for row in rows
        if math.isfinite(high := row["relative_improvement_percent"]["high"])
    ]
    return rows, found


def metric_means(main: pd.DataFrame) -> dict[str, Any] | None:
    """Mean over tasks of the main metric, by method; metres and degrees have none."""
    if main[["metric", "direction"]].drop_duplicates().shape[0] > 1:
        return None
    by_seed = main.groupby(["method", "seed"], sort=False)["value"].agg(lambda values: values.mean(skipna=False))
    return {str(method): interval(own.tolist()) for method, own in by_seed.groupby("method", sort=False)}


def within_noise(improvement: list[float]) -> bool | None:
    """Whether the interval has zero inside; a single seed, or one that is not defined, has nothing to say."""
    found = interval(improvement)
    if len(found["seeds"]) < max(2, len(improvement)):
        return None
    return bool(found["low"] <= 0 <= found["high"])
