"""The results page on the first question: what balancing costs, and what is exact about it."""

from __future__ import annotations

from results_reading import Document, Row, load, provenance, row, rows, there
from results_tables import figure, fold, limits, ratio, table

OURS, REFERENCE = "FanOut(MGDA)", "uniform"
STEP_FILES = ("step_cost", "step_cost_weightings", "step_cost_parameters", "step_cost_encoders")


def section() -> list[str]:
    """Lines of Markdown."""
    parts = (_steps, _min_norm, _invariance, _done, _weightings, _length)
    return ["## How do I combine many task gradients?", "", *(line for part in parts for line in part())]


def _steps() -> list[str]:
    features, any_weighting, parameters, encoders = (load(name) for name in STEP_FILES)
    tasks = sorted({own["tasks"] for own in features["results"]})
    methods = [own["method"] for own in rows(features, tasks=tasks[0]) if own["method"] != REFERENCE]
    at = [[_ratio(features, method, count) for count in tasks] for method in methods]
    deep = [own["method"] for own in rows(parameters, tasks=tasks[0]) if own["method"] != REFERENCE]
    deep_at = [[_ratio(parameters, method, count) for count in tasks] for method in deep]
    header = [f"{count} tasks" for count in tasks]
    return [
        "### Time of a training step",
        "",
        "Time of a step over the time of the same step with the plain sum of the losses, which is 1; median and",
        "quartiles of rounds in which all take turns. A small convolutional encoder, batches of 32.",
        "",
        "![Bars of the time of a training step, by method and number of tasks](_generated/results-steps.svg)",
        "",
        "At the features, one backward pass through the encoder:",
        "",
        *table(["method", *header], [[_bold(m), *cells] for m, cells in zip(methods, at, strict=True)]),
        "At the shared parameters, a backward pass for each task:",
        "",
        *table(["method", *header], [[_bold(m), *cells] for m, cells in zip(deep, deep_at, strict=True)]),
        *fold("Every weighting at 40 tasks", _weighting_steps(any_weighting)),
        *fold("Larger encoders, 2 tasks, with peak memory", _encoders(encoders)),
        *_compiled(),
        *limits([features, any_weighting, parameters, encoders]),
        *provenance(STEP_FILES),
    ]


def _compiled() -> list[str]:
    if not there("step_cost_compiled"):
        return []
    document = load("step_cost_compiled")
    body = [
        [str(found["tasks"]), f"**{found['method']}**", ratio(found["ratio"]), ratio(against["time"])]
        for found in document["results"]
        for against in found["against"].values()
    ]
    return [
        "In one compiled graph (`torch.compile(fullgraph=True)`), over an eager and over a compiled step of the plain",
        "sum:",
        "",
        *table(["tasks", "method", "over eager", "over compiled"], body, words=2),
        *limits([document]),
        *provenance(["step_cost_compiled"]),
    ]


def _ratio(document: Document, method: str, tasks: int) -> str:
    return ratio(row(document, method=method, tasks=tasks)["ratio"])


def _bold(method: str) -> str:
    return f"**{method}**" if method.startswith(("FanOut", "backward")) else method


def _weighting_steps(document: Document) -> list[str]:
    own = [found for found in rows(document, group="weightings") if found["method"] != REFERENCE]
    return table(["method", "step over the plain sum"], [[found["method"], ratio(found["ratio"])] for found in own])


def _encoders(document: Document) -> list[str]:
    body = [
        [found["encoder"].replace("_", " "), found["method"], ratio(found["ratio"]), figure(found["peak_mib"])]
        for found in document["results"]
    ]
    return table(["encoder", "method", "step over the plain sum", "peak, MiB"], body, words=2)


def _min_norm() -> list[str]:
    document = load("min_norm")
    solvers = {"ours, cold": "**min_norm_point**", "ours, warm": "**min_norm_point**, warm start"}
    solvers |= {"TorchJD": "TorchJD", "published": "published code", "quadprog": "quadprog"}
    body = []
    for solver, label in solvers.items():
        found = rows(document, solver=solver)
        worst = max(found, key=lambda own: own["excess_max"])
        at_40 = [own for own in found if own["case"]["tasks"] == 40]
        body.append(
            [
                label,
                figure(worst["excess_max"]),
                worst["case"]["name"] if worst["excess_max"] > 1e-6 else "",
                f"{min(own['ms_median'] for own in at_40):.2f} to {max(own['ms_median'] for own in at_40):.2f}",
            ]
        )
    header = ["solver", "worst excess over the optimum, relative", "where", "ms at 40 tasks, medians of the cases"]
    return [
        "### The min-norm point",
        "",
        f"{len({own['case']['name'] for own in document['results']})} sorts of Gram matrices, some with what",
        "breaks solvers: norms over six orders of magnitude, more tasks than dimensions, duplicates, a zero",
        "gradient. `MGDA` uses `min_norm_point`. See [how it works](min-norm.md).",
        "",
        "![Excess over the optimum of each solver, by sort of Gram matrix](_generated/results-min-norm.svg)",
        "",
        *table(header, body),
        *limits([document]),
        *provenance(["min_norm"]),
    ]


def _invariance() -> list[str]:
    document = load("invariance")
    disguises = list(document["results"][0]["disguised"])
    body = []
    for found in document["results"]:
        sizes = [_moved(found, name) for name in disguises]
        body.append([found["problem"], found["method"], *sizes])
    chosen = [
        cells for cells in body if cells[1] in {"DiBS, weighted heads", "Nash, weighted heads", "MGDA", "Uniform"}
    ]
    header = ["data", "method", *disguises]
    return [
        "### Losses in disguise",
        "",
        "One task's loss L is replaced by an increasing function of it. How far 200 steps then go from the",
        "training with L itself, in double precision: largest difference of a parameter, relative to the largest",
        "parameter; 0 is invariance. All methods: [a loss in disguise](invariance.md).",
        "",
        *table(header, chosen, words=2),
        *limits([document]),
        *provenance(["invariance"]),
    ]


def _done() -> list[str]:
    if not there("dibs_done"):
        return []
    document = load("dibs_done")
    body = [
        [
            found["problem"],
            found["method"],
            *(f"{found[name]['mean']:.3f} ± {found[name]['std']:.3f}" for name in ("metric", "loss")),
            figure(found["largest_feature"]["mean"]),
            figure(found["faintest"]),
        ]
        for found in document["results"]
    ]
    header = ["data", "method", "test metric", "test loss", "largest feature", "shortest gradient"]
    return [
        "### DiBS when a task is done",
        "",
        "Accuracy of the two common tasks (rare labels) and of both digits, mean area under the ROC curve of the",
        "others; the loss is that of the rare task, or the mean. What is what: [a task that is",
        "done](invariance.md#a-task-that-is-done).",
        "",
        *table(header, body, words=2),
        *limits([document]),
        *provenance(["dibs_done"]),
    ]


def _moved(found: Row, disguise: str) -> str:
    size = found["disguised"][disguise]["trajectory"]["largest"]
    return "diverged" if size is None else figure(size)


def _length() -> list[str]:
    if not there("length"):
        return []
    document = load("length")
    from length import lines  # noqa: PLC0415  (loads torch)

    return [
        "### One learning rate for every weighting",
        "",
        'What `length="sum"` is worth under plain SGD, at the learning rate of the plain sum: change of test metrics',
        "over the plain sum, percent. Read as on the page [choosing a",
        "weighting](choosing-a-weighting.md#what-a-learning-rate-means).",
        "",
        *lines(document),
        *limits([document]),
        *provenance(["length"]),
    ]


def _weightings() -> list[str]:
    if not there("weightings"):
        return []
    document = load("weightings")
    from weightings_tables import pages  # noqa: PLC0415  (not there before it is measured)

    lines = list(pages(document))
    return [
        "### Every weighting, trained",
        "",
        "One network for all tasks with each weighting, and one for each task alone, on several sorts of tasks;",
        "then the same with the first loss times 1,000. What to take from it: [choosing a",
        "weighting](choosing-a-weighting.md).",
        "",
        *(line for line in lines if line.startswith("- ")),
        "",
        *fold("Every weighting, with times", [*(line for line in lines if not line.startswith("- ")), ""]),
        *limits([document]),
        *provenance(["weightings"]),
    ]
