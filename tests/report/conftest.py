"""Fabricated studies for the report's tests: plausible curves, scores fixed by the caller."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from counterpoint.study.results import EXAMPLES, HISTORY, SCORES, Results

LABELS = {"single": "Single-task", "uniform": "Uniform", "mgda": "MGDA-UB"}


def fabricate(
    *,
    tasks=("left", "right"),
    methods=("single", "uniform", "mgda"),
    seeds=2,
    direction="maximize",
    metric="accuracy",
    steps=300,
    epochs=6,
    weights=True,
    pictures=4,
    about=None,
    scores=None,
):
    """A study of the given shape; ``scores`` maps (method, seed, task) to test values where they matter."""
    random = np.random.default_rng(0)
    score_rows, history = [], []
    for m, method in enumerate(methods):
        label = LABELS.get(method, method.upper())
        for seed in range(seeds):
            for t, task in enumerate(tasks):
                run = f"single-{task}-seed{seed}" if method == "single" else f"{method}-seed{seed}"
                value = (scores or {}).get((method, seed, task), 0.9 + 0.01 * m - 0.002 * t + random.normal(0, 0.004))
                seconds, parameters = (4.0 + seed, 1000) if method == "single" else (6.0 + seed, 1200)
                score_rows.append((run, method, label, seed, task, metric, direction, value, 0.3, seconds, parameters))
                head = (run, method, label, seed)
                history += _curves(random, head, t, (value, 0.1 * m), (task, steps, epochs))
            if weights and method != "single":
                history += _weights(random, head, tasks, steps, epochs)
                history += _cosines(random, head, tasks, steps, epochs)
    examples = [
        (
            e,
            _png(random),
            task,
            method,
            LABELS.get(method, method.upper()),
            str((e + t) % 10),
            str((e + t + (e == t)) % 10),
        )
        for e in range(pictures)
        for t, task in enumerate(tasks)
        for method in methods
    ]
    return Results(
        pd.DataFrame(score_rows, columns=SCORES),
        pd.DataFrame(history, columns=HISTORY),
        pd.DataFrame(examples, columns=EXAMPLES),
        ABOUT if about is None else about,
    )


ABOUT = {
    "title": "Two digits, one network",
    "question": "Do two digit-reading tasks gain from sharing one network, and do balanced gradients help?",
    "data": {
        "name": "MNIST digit pairs",
        "description": "Two handwritten digits on one canvas; no digit is in two of the three splits.",
        "rows": {"train": 6000, "validation": 1000, "test": 2000},
    },
    "settings": {
        "epochs": 6,
        "batch size": 64,
        "learning rate": 0.01,
        "optimizer": "SGD, momentum 0.9",
        "precision": "32",
    },
    "command": "counterpoint demo --seeds 2 --epochs 6",
    "versions": {"counterpoint": "0.1.0", "torch": "2.13.0", "lightning": "2.6.0", "python": "3.11.2"},
    "machine": "Linux x86_64, 2 cores",
    "started": "2026-03-01T14:05:09+00:00",
    "seconds": 151.3,
}


def _curves(random, head, t, targets, shape):
    (value, offset), (task, steps, epochs) = targets, shape
    rows = []
    for step in range(0, steps, 2):
        loss = 2.3 * np.exp(-(3 + offset) * step / steps) + 0.15 + 0.03 * t + abs(random.normal(0, 0.06))
        rows.append((*head, step * epochs // steps, step, "train", task, None, "loss", loss))
    for epoch in range(epochs):
        step, part = (epoch + 1) * steps // epochs - 1, (epoch + 1) / epochs
        loss = 2.3 * np.exp(-(3 + offset) * part) + 0.2 + 0.03 * t + random.normal(0, 0.02)
        score = value - 0.5 * np.exp(-4 * part) + random.normal(0, 0.004)
        rows.append((*head, epoch, step, "validation", task, None, "loss", loss))
        rows.append((*head, epoch, step, "validation", task, None, "metric", score))
    return rows


def _weights(random, head, tasks, steps, epochs):
    rows = []
    for step in range(0, steps, 2):
        waves = [np.sin(step / 40 + 2 * np.pi * t / len(tasks)) + random.normal(0, 0.2) for t in range(len(tasks))]
        weights = np.exp(0.3 * np.array(waves))
        weights = np.ones(len(tasks)) if head[1] == "uniform" else weights / weights.sum()
        for task, weight in zip(tasks, weights, strict=True):
            rows.append((*head, step * epochs // steps, step, "train", task, None, "weight", float(weight)))
    return rows


def _cosines(random, head, tasks, steps, epochs):
    rows = []
    for i, a in enumerate(tasks):
        for j, b in enumerate(tasks[:i]):
            for s in range(0, steps, 2):
                cosine = float(np.tanh(0.3 * np.sin(i - j) + random.normal(0, 0.1)))
                rows.append((*head, s * epochs // steps, s, "train", b, a, "cosine", cosine))
    return rows


def _png(random):
    digits = np.zeros((36, 36), dtype=np.uint8)
    digits[4:28, 6:10] = digits[8:30, 22:25] = 255
    digits[digits == 0] = random.integers(0, 30)
    buffer = io.BytesIO()
    Image.fromarray(digits, mode="L").save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(name="fabricate", scope="session")
def fabricate_fixture():
    return fabricate
