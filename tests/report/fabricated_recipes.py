"""Fabricated recipes: scores fixed by the caller, plausible courses, small pictures."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from counterpoint.study.recipes.results import HISTORY, PICTURES, SCORES, RecipeResults

LABELS = {
    "single": "Single-task",
    "uniform": "Uniform",
    "tuned": "Tuned loss scales",
    "uncertainty": "Uncertainty weighting",
    "gradnorm": "GradNorm",
    "mgda": "MGDA-UB",
    "dibs": "DiBS",
}
# Metrics with direction and the value alone; the first one is the main one.
SCENES = {
    "segmentation": (("mIoU", "maximize", 0.41), ("pixel accuracy", "maximize", 0.62)),
    "depth": (("absolute error", "minimize", 0.55), ("relative error", "minimize", 0.21)),
    "normals": (
        ("mean angle", "minimize", 24.0),
        ("median angle", "minimize", 18.2),
        ("within 11.25°", "maximize", 0.31),
        ("within 22.5°", "maximize", 0.58),
        ("within 30°", "maximize", 0.7),
    ),
}
ATTRIBUTES = {f"attribute {t}": (("accuracy", "maximize", 0.75 + 0.006 * t),) for t in range(40)}
HOSTILE = ("<script>alert(1)</script>", 'a<b>&"c"', "x" * 200, "größe 颜色", "</td><img src=x onerror=alert(2)>")
STEADY = (0.0, 0.1, -0.1, 0.05, -0.05)


def around(mean, noise=1.0):
    """Percent per seed close to a mean."""
    return tuple(mean + noise * wiggle for wiggle in STEADY)


def fabricate_recipe(
    *,
    tasks=None,
    methods=tuple(LABELS),
    labels=None,
    seeds=3,
    gains=None,
    epochs=12,
    pictures=3,
    about=None,
):
    """A recipe of the given shape.

    ``gains`` maps a method, or (method, task), to percent per seed by which every metric is better than alone.
    """
    tasks = SCENES if tasks is None else tasks
    labels = {**LABELS, **(labels or {})}
    random = np.random.default_rng(0)
    scores, history = [], []
    for method in methods:
        for seed in range(seeds):
            for t, (task, metrics) in enumerate(tasks.items()):
                gain = (gains or {}).get((method, task), (gains or {}).get(method))
                change = gain[seed % len(gain)] if gain is not None else 0.0 if method == "single" else random.normal()
                run = f"single/{t}/{seed}" if method == "single" else f"{method}/{seed}"
                head = (method, labels[method], seed, task)
                for m, (metric, direction, alone) in enumerate(metrics):
                    sign = 1 if direction == "maximize" else -1
                    base = alone * (1 + 0.01 * seed)
                    value = base * (1 + sign * change / 100)
                    seconds = (40.0 if method == "single" else 60.0 + len(method)) + seed
                    scores.append((*head, metric, direction, m == 0, value, 0.99 * value, 0.5, seconds, run))
                    for epoch in range(epochs) if m == 0 else ():
                        left = np.exp(-4 * (epoch + 1) / epochs)
                        loss = 0.5 + left + random.normal(0, 0.02)
                        course = value * (1 - sign * 0.5 * left) + random.normal(0, 0.01 * abs(value))
                        history.append((run, method, labels[method], seed, epoch, task, loss, course))
    frame = pd.DataFrame(scores, columns=SCORES)
    shown = [method for method in ("single", "uniform", "mgda") if method in methods]
    return RecipeResults(
        frame,
        pd.DataFrame(history, columns=HISTORY),
        _pictures(random, list(tasks)[:5], shown, labels, pictures),
        _about(tasks, methods, labels) if about is None else about,
    )


def _about(tasks, methods, labels):
    return {
        "title": "NYUv2: three tasks on rooms",
        "question": "Which weighting serves segmentation, depth and normals best?",
        "paper": "Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018",
        "recipe": "nyuv2",
        "tiny": False,
        "data": {
            "name": "NYUv2",
            "description": "Rooms with labels of 13 classes, depth in metres and surface normals.",
            "rows": {"train": 636, "validation": 159, "test": 654},
        },
        "tasks": [{"name": task, "kind": "map", "description": f"What {task} is."} for task in tasks],
        "network": "U-shaped, 24 to 96 channels",
        "training": "Adam, learning rate 0.0005, 40 epochs, batches of 8",
        "methods": [
            {"key": method, "label": labels[method], "words": f"What {method} does.", "trainings": 3 * (m + 1)}
            for m, method in enumerate(methods)
        ],
        "changes": "",
        "differences": ["Images are half as large.", "The encoder is trained from scratch."],
        "reference": "single",
        "scales": {task: 2.0**t for t, task in enumerate(tasks)} if "tuned" in methods else {},
        "command": "counterpoint recipe nyuv2 --root nyuv2 --seeds 3",
        "versions": {"counterpoint": "0.1.0", "torch": "2.13.0"},
        "machine": "Linux x86_64, 2 cores",
        "started": "2026-03-01T14:05:09+00:00",
        "seconds": 5151.3,
    }


def _pictures(random, tasks, methods, labels, count):
    rows = []
    for example in range(count):
        rows.append((example, "input", "", "", "", png(random)))
        for task in tasks:
            rows.append((example, "target", task, "", "", png(random)))
            rows += [(example, "prediction", task, method, labels[method], png(random)) for method in methods]
    return pd.DataFrame(rows, columns=PICTURES)


def png(random, size=(32, 48)):
    y, x = np.mgrid[: size[0], : size[1]]
    colours = random.uniform(0, 255, (2, 3))
    inside = ((y - random.uniform(8, 24)) ** 2 + (x - random.uniform(8, 40)) ** 2 < 120)[..., None]
    buffer = io.BytesIO()
    Image.fromarray(np.where(inside, *colours).astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()
