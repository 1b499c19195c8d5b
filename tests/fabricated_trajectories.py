"""Trajectories made up with known gaps and deficits, for the tests of findings and of the page."""

import numpy as np
import pandas as pd

from counterpoint.study.explain.factors import FACTORS
from counterpoint.study.explain.results import POINTS, RUNS, ExplainResults

STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 150, 200)
CURVATURE_STEPS = (0, 10, 50, 200)


def fabricated(
    *,
    tasks=("left", "right", "sum", "even"),
    methods=("uniform", "mgda"),
    seeds=3,
    gaps=0.02,
    slowness=1.5,
    noise=0.002,
    direction="maximize",
    metric="accuracy",
    quantities=tuple(FACTORS),
    about=None,
):
    """Losses fall as exp(-step / 60); the metric is a line in the training loss.

    A shared run comes down ``slowness`` times as slowly and is better by ``gaps`` at the same training loss: a number,
    or {(method, task): number}.
    """
    random = np.random.default_rng(0)
    sign = 1.0 if direction == "maximize" else -1.0
    rows, runs = [], []
    for method in ("single", *methods):
        for seed in range(seeds):
            for t, task in enumerate(tasks):
                shared = method != "single"
                shift = gaps.get((method, task), 0.0) if isinstance(gaps, dict) else gaps
                for step in STEPS:
                    loss = 0.1 + 2.0 * np.exp(-step / (60.0 * (slowness if shared else 1.0)))
                    started = min(step / 10, 1.0)  # all start from the same network
                    value = 0.95 - 0.3 * loss + shift * started * shared + random.normal(0, noise) * started
                    head = (method, seed, task, step)
                    rows += [(*head, "train_loss", loss), (*head, "test_metric", sign * value)]
                    rows += [(*head, "test_loss", 1.2 * loss + 0.05 - shift * started * shared)]
                    for f, key in enumerate(quantities):
                        factor = FACTORS[key]
                        if (factor.shared_only and not shared) or (
                            factor.kind == "curvature" and step not in CURVATURE_STEPS
                        ):
                            continue
                        level = 0.2 * t - 0.3 if factor.shared_only else (f + 1.0) * (1.0 + 0.1 * t)
                        rows.append((*head, key, level * loss + random.normal(0, 0.01)))
                if not shared:
                    runs.append((method, seed, task, 200, 4.0, 0.3, 3.0, 1000))
            if method != "single":
                runs.append((method, seed, ",".join(tasks), 200, 6.0, 0.5, 5.0, 1500))
    facts = {
        "title": "Did sharing help?",
        "methods": {
            "single": "Each task alone",
            **{m: {"uniform": "Uniform", "mgda": "MGDA-UB"}.get(m, m) for m in methods},
        },
        "tasks": {task: {"metric": metric, "direction": direction} for task in tasks},
    }
    return ExplainResults(
        pd.DataFrame(rows, columns=list(POINTS)), pd.DataFrame(runs, columns=list(RUNS)), facts | (about or {})
    )
