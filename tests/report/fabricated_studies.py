"""Fabricated studies of tables: scores fixed by the caller, the decision made from them, plausible curves."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from counterpoint.affinity import Affinity
from counterpoint.grouping import Network
from counterpoint.study.decision import Cost, decide
from counterpoint.study.methods import Method
from counterpoint.study.study_results import RUN_HISTORY, RUNS, StudyResults, scores_of

# What each kind of task is judged by: metric, direction, score alone.
KINDS = {
    "regression": ("RMSE", "minimize", 0.42),
    "multiclass": ("accuracy", "maximize", 0.71),
    "binary": ("AUROC", "maximize", 0.88),
    "count": ("Poisson deviance", "minimize", 1.3),
}
STEADY = (0.0, 0.1, -0.1, 0.05, -0.05)
HOSTILE = ("<script>alert(1)</script>", 'a<b>&"c"', "x" * 200, "größe 颜色", "</td><img src=x onerror=alert(2)>")


def around(mean, noise=1.0):
    """Percent per seed close to a mean."""
    return tuple(mean + noise * wiggle for wiggle in STEADY)


def fabricate_study(
    *,
    tasks=("price", "cut", "clarity"),
    methods=("single", "uniform", "mgda", "tuned", "groups-2"),
    seeds=3,
    gains=None,
    validation=None,
    networks=None,
    served=None,
    scales=None,
    curves=True,
    measured=True,
    about=None,
    plan=None,
):
    """A study of the given shape.

    ``gains`` maps a method to percent per seed by which every task is better than alone on test rows, or (method, task)
    to the same for one task; ``validation`` likewise on validation rows, by default as on test rows. ``served`` maps a
    method to how many seeds it has where that is not all of them; ``networks`` is the limit of the decision.
    """
    random = np.random.default_rng(0)
    tasks = tuple(tasks)
    made = tuple(_method(key, tasks, scales) for key in methods)
    gains = {} if gains is None else gains
    validation = gains if validation is None else validation
    rows, history, routes = [], [], {}
    for method in made:
        routes[method.key] = {}
        for seed in range((served or {}).get(method.key, seeds)):
            names = []
            for number, network in enumerate(method.networks):
                run = f"{method.key}/{number}/{seed}"
                names.append(run)
                facts = (20.0 + 3 * len(network.tasks) + seed, 70_000 + 300 * len(network.tasks), 69_000, 12, 9)
                for task in network.tasks:
                    metric, direction, alone = _metric(tasks.index(task))
                    alone *= 1 + 0.01 * seed
                    sign = 1 if direction == "maximize" else -1
                    values = [
                        alone * base * (1 + sign * _gain(given, method.key, task, seed) / 100)
                        for given, base in ((validation, 1.01), (gains, 1.0))
                    ]
                    rows.append((run, seed, task, metric, direction, 1.0, values[0], 0.5, values[1], 0.52, *facts))
                if curves:
                    history += _curves(random, run, network.tasks, method.key)
            routes[method.key][seed] = tuple(names)
    runs = pd.DataFrame(rows, columns=RUNS)
    costs = {method.key: _cost(runs, method, routes[method.key]) for method in made}
    scores = [scores_of(runs, made, routes, split) for split in ("validation", "test")]
    decision = decide(made, *scores, costs, networks=networks)
    affinity = _affinity(random, tasks) if measured else None
    history = pd.DataFrame(history, columns=RUN_HISTORY)
    about = _about(tasks) if about is None else about
    plan = _plan(made, tasks, routes, seeds) if plan is None else plan
    return StudyResults(runs, history, made, routes, decision, affinity, plan, about)


def troubled_study():
    """No difference, with missing labels, leaks, dropped and crashed runs, and hostile names."""
    noisy = (3.0, -2.0, 1.5)
    study = fabricate_study(
        tasks=HOSTILE,
        gains=dict.fromkeys(("uniform", "mgda", "tuned", "groups-2"), noisy),
        validation={"uniform": (0.1, 0.2, 0.0), "mgda": (0.3, 0.5, -0.1), "tuned": (0.1, 0.2, 0.0)},
        served={"groups-2": 2},
        scales={task: 0.5 + index for index, task in enumerate(HOSTILE)},
    )
    table = study.about["table"]
    table["leaks"] = [
        {
            "column": "<b>id</b>",
            "target": HOSTILE[2],
            "strength": 0.999,
            "sentence": f"column '<b>id</b>' determines the target '{HOSTILE[2]}' almost exactly (0.999)",
        }
    ]
    study.plan.update(
        dropped=[{"what": f"MGDA-UB, seed {seed}", "why": "the budget of 10 minutes was spent"} for seed in (3, 4)],
        crashed=[
            {"run": "ab12", "title": "FAMO, seed 1", "error": "RuntimeError: <oom> " + "out of memory " * 20},
        ],
        seconds_budget=600.0,
    )
    return study


def large_study(tasks=14):
    """Many tasks in several networks."""
    names = tuple(f"class {index}" for index in range(tasks))
    gains = {"uniform": around(-0.8), "mgda": around(0.4), "groups-3": around(2.2), "groups-5": around(2.1)}
    return fabricate_study(
        tasks=names, methods=("single", "uniform", "mgda", "groups-3", "groups-5"), gains=gains, seeds=4
    )


def _method(key, tasks, scales):
    if key == "single":
        return Method.alone(tasks)
    if key == "tuned":
        return Method.tuned(scales or {task: 2.0 ** (index % 3 - 1) for index, task in enumerate(tasks)})
    if not key.startswith("groups-"):
        return Method.of_all(key, tasks)
    count = int(key.removeprefix("groups-"))
    networks = []
    for number in range(min(count, len(tasks))):
        own = tasks[number::count]
        helper = [tasks[(tasks.index(own[0]) + 1) % len(tasks)]] if number == 0 else []
        networks.append(Network(tuple(dict.fromkeys([*own, *helper])), tuple(own)))
    label = f"{count} groups"
    return Method(key, label, tuple(networks), predicted=0.01 * (1 - 0.6**count), proven=count % 2 == 0)


def _metric(index):
    return list(KINDS.values())[index % len(KINDS)]


def _gain(given, method, task, seed):
    values = given.get((method, task), given.get(method, (0.0,)))
    return values[seed % len(values)]


def _cost(runs, method, routes):
    own = [runs[runs["run"].isin(names)].drop_duplicates("run") for names in routes.values()]
    parameters, adds, seconds = (
        float(np.mean([rows[name].sum() for rows in own])) for name in ("parameters", "multiply_adds", "seconds")
    )
    search = 130.0 if method.key == "tuned" or method.key.startswith("groups") else 0.0
    return Cost(len(method.networks), parameters, adds, seconds, search)


def _curves(random, run, tasks, method):
    epochs, steps = 6, 40
    rows = []
    for place, task in enumerate(tasks):
        for step in range(0, steps, 4):
            loss = 2.3 * np.exp(-3 * step / steps) + 0.15 + 0.02 * place + abs(random.normal(0, 0.05))
            rows.append((run, step * epochs // steps, step, "train", task, None, "loss", loss))
        for epoch in range(epochs):
            part, step = (epoch + 1) / epochs, (epoch + 1) * steps // epochs - 1
            loss = 2.3 * np.exp(-3 * part) + 0.2 + 0.02 * place + random.normal(0, 0.02)
            rows.append((run, epoch, step, "validation", task, None, "loss", loss))
            rows.append((run, epoch, step, "validation", task, None, "metric", 0.8 - 0.4 * np.exp(-4 * part)))
    if len(tasks) > 1:
        for step in range(0, steps, 8):
            weights = np.ones(len(tasks)) if method != "mgda" else random.dirichlet(np.ones(len(tasks)))
            for task, weight in zip(tasks, weights, strict=True):
                rows.append((run, step * epochs // steps, step, "train", task, None, "weight", float(weight)))
            for one, other in itertools.combinations(tasks, 2):
                cosine = float(np.tanh(random.normal(0.1, 0.2)))
                rows.append((run, step * epochs // steps, step, "train", one, other, "cosine", cosine))
    return rows


def _affinity(random, tasks):
    count = len(tasks)
    block = np.arange(count) % 3
    values = np.where(block[:, None] == block[None], 0.004, -0.001) + random.normal(0, 0.002, (count, count))
    values[np.diag_indices(count)] = 0.05
    return Affinity(values, tasks, 40, np.full((count, count), 0.0004), method="first-order")


def _about(tasks):
    kinds = list(KINDS)
    return {
        "title": "Diamonds",
        "question": "Which targets of diamonds.csv should share a network?",
        "data": {
            "name": "diamonds.csv",
            "description": "Read from a file of 2.5 MB.",
            "rows": {"train": 37758, "validation": 8091, "test": 8091},
        },
        "settings": {"architecture": "two hidden layers of 256 and 256", "batch size": 512, "learning rate": 0.001},
        "command": "counterpoint study diamonds.csv --targets price,cut,clarity --networks 2 --minutes 5",
        "reproduce": [
            "counterpoint study --config runs/study/study.yaml",
            "counterpoint predict runs/study/bundle new.csv -o out.parquet",
        ],
        "bundle": "bundle",
        "versions": {"counterpoint": "0.1.0", "torch": "2.13.0", "python": "3.11.2"},
        "machine": "Linux x86_64, 2 cores",
        "started": "2026-03-01T14:05:09+00:00",
        "seconds": 287.0,
        "table": {
            "features": {"numeric": 6, "category": 2, "boolean": 1},
            "inputs": 26,
            "tasks": [
                {
                    "name": task,
                    "kind": kinds[index % len(kinds)],
                    "transform": "log" if index % len(kinds) == 0 else "none",
                    "how": "inferred: 11,602 different numbers",
                    "classes": ["Fair", "Good", "Very Good", "Premium", "Ideal"] if index % len(kinds) == 1 else [],
                    "missing": {"train": 1200 * (index % 2), "validation": 0, "test": 31 * (index % 2)},
                }
                for index, task in enumerate(tasks)
            ],
            "dropped": [{"column": "row <id>", "reason": "every row has another value, so it is an identifier"}],
            "leaks": [],
            "split": "random, 70 / 15 / 15 %, seed 0",
        },
    }


def _plan(methods, tasks, routes, seeds):
    counted = [
        {
            "key": method.key,
            "label": method.label,
            "networks": len(method.networks),
            "seeds_planned": seeds,
            "seeds_done": len(routes[method.key]),
        }
        for method in methods
    ]
    done = sum(row["networks"] * row["seeds_done"] for row in counted)
    return {
        "methods": counted,
        "runs_planned": sum(row["networks"] * seeds for row in counted) + 4,
        "runs_done": done,
        "runs_reused": 3,
        "seconds_estimated": 310.0,
        "seconds_budget": None,
        "seconds_spent": 287.0,
        "dropped": [],
        "crashed": [],
        "scales": [
            {
                "scales": dict(zip(tasks, values, strict=False)),
                "seeds": 1 + number // 2,
                "validation": -0.4 - 0.5 * number,
            }
            for number, values in enumerate(itertools.islice(itertools.product((0.5, 1.0, 2.0), repeat=len(tasks)), 3))
        ],
    }
