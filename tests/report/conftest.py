"""Fabricated studies for the report's tests: plausible curves, scores fixed by the caller."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from counterpoint.affinity import Affinity
from counterpoint.grouping import Network
from counterpoint.study.group_results import NETWORKS, Candidate, GroupResults, run_id
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


def fabricate_groups(
    *,
    tasks=14,
    sizes=(2, 3, 4),
    seeds=2,
    gains=None,
    losses=None,
    status="optimal",
    serves=None,
    families=("tag", "cs", "random"),
    by_seed=False,
    trained=True,
    about=None,
):
    """A grouping study of the given shape.

    ``gains`` and ``losses`` map (family, size) or a family to percent per seed: by how much the test metric is better
    than alone, and by how much test and validation losses are lower (a pair of lists where the two differ).
    """
    random = np.random.default_rng(0)
    names = tuple(f"class {t}" for t in range(tasks)) if isinstance(tasks, int) else tuple(tasks)
    serves = names if serves is None else tuple(serves)
    affinity = Affinity(
        _affinity(random, len(names)), names, 40, np.full((len(names),) * 2, 0.0004), method="first-order"
    )
    candidates = [
        Candidate("single", len(serves), tuple(Network((task,), (task,)) for task in serves)),
        Candidate("together", 1, (Network(names, serves),)),
    ]
    for family in families:
        for size in sizes:
            gap = 0.0 if status == "optimal" else 0.0005
            score = 0.01 * (1 - 0.6**size)
            facts = {"score": score, "bound": score + gap, "status": status, "search_seconds": 31.0 + size}
            for replicate in range(3 if family == "random" else 1):
                facts = facts if family != "random" else {"replicate": replicate}
                for seed in range(seeds) if by_seed else [None]:
                    mixed = 0 if family == "tag" else 7 * families.index(family) + replicate + 1
                    networks = _networks(names, serves, size, 10 * mixed + (seed or 0) % 2)
                    candidates.append(Candidate(family, size, networks, seed=seed, **facts))
    rows = []
    for candidate in candidates if trained else []:
        key = (candidate.family, candidate.size)
        own = [0.0] if candidate.family == "single" else [1.0 + 0.1 * candidate.size]
        for seed in range(seeds) if candidate.seed is None else [candidate.seed]:
            gain, test, validation = _gain(gains, key, own, seed), *_both(losses, key, own, seed)
            for network in candidate.networks:
                for task in network.tasks:
                    t = names.index(task)
                    noise = 0 if candidate.family == "single" else random.normal(0, 0.2)
                    base = (0.6 + 0.02 * (t % 9)) * (1 + 0.01 * seed)
                    rows.append(
                        (
                            run_id(network.tasks, seed),
                            seed,
                            task,
                            "average precision",
                            "maximize",
                            base * (1 + (gain + (0 if gains else noise)) / 100),
                            0.5 * base * (1 - (test + (0 if losses else noise)) / 100),
                            base,
                            0.5 * base * (1 - validation / 100),
                            2.0 + 0.3 * len(network.tasks),
                            1000 + 10 * len(network.tasks),
                        )
                    )
    networks = pd.DataFrame(rows, columns=NETWORKS)
    about = {**ABOUT, "title": "Yeast: which tasks belong together", "question": ""} if about is None else about
    return GroupResults(networks.drop_duplicates(["run", "task"]), tuple(candidates), affinity, about)


def _gain(given, key, own, seed):
    values = (given or {}).get(key, (given or {}).get(key[0], own))
    return values[seed % len(values)]


def _both(given, key, own, seed):
    values = (given or {}).get(key, (given or {}).get(key[0], own))
    test, validation = values if isinstance(values, tuple) else (values, values)
    return test[seed % len(test)], validation[seed % len(validation)]


def _affinity(random, count):
    block = np.arange(count) % 3
    values = np.where(block[:, None] == block[None], 0.004, -0.001) + random.normal(0, 0.002, (count, count))
    values[np.diag_indices(count)] = 0.05
    return values


def _networks(names, serves, size, mixed):
    """Every size-th task shares a network, after mixing them if ``mixed``; a helper joins each network."""
    order = np.random.default_rng(mixed).permutation(len(serves)) if mixed else range(len(serves))
    networks = []
    for n in range(size):
        own = [task for i, task in zip(order, serves, strict=True) if i % size == n]
        if own:
            helper = [names[(names.index(own[0]) + 1) % len(names)]] if size > 1 else []
            networks.append(Network(tuple(dict.fromkeys([*own, *helper])), tuple(own)))
    return tuple(networks)


@pytest.fixture(name="fabricate_groups", scope="session")
def fabricate_groups_fixture():
    return fabricate_groups
