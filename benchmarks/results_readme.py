"""The README's table of results: what was measured, ours, the alternative, and the file that says so."""

from __future__ import annotations

from typing import Any

from results_reading import Row, load, row, rows
from results_studies import studies
from results_tables import figure, plain, table
from study import judged_contrast

MINUS = "\N{MINUS SIGN}"
MARKS = "<!-- results -->", "<!-- end of results -->"


def fragment(*, linked: bool = True) -> list[str]:
    """Lines of Markdown; with links to the files as the README has them, else with their names."""
    body = [
        _step(),
        _parameters(),
        _vision(),
        _min_norm(),
        _invariance(),
        _affinity(),
        _celeba(),
        _noise(),
        _grouping(),
        *(_gap(name) for name in ("explain_digits", "explain_yeast")),
        _studies(),
    ]
    place = _link if linked else plain
    body = [[*cells, place(name)] for *cells, name in body]
    return table(["What was measured", "Counterpoint", "Alternative", "File"], body, words=4)[:-1]


def into(text: str) -> str:
    """The README with the table between its marks.

    Raises:
        ValueError: if the marks are not there, each once and in order.
    """
    before, opened, rest = text.partition(MARKS[0])
    _, closed, after = rest.partition(MARKS[1])
    if not (opened and closed) or any(text.count(mark) != 1 for mark in MARKS):
        raise ValueError(f"the table goes between {MARKS[0]} and {MARKS[1]}: write each once, in this order")
    return "\n".join([before + MARKS[0], "", *fragment(), "", MARKS[1] + after])


def _step() -> list[str]:
    document = load("step_cost")
    ours, published, torchjd = (
        row(document, method=name, tasks=40)["ratio"]
        for name in ("FanOut(MGDA)", "published MGDA-UB", "TorchJD by hand, loss by loss")
    )
    theirs = f"{_two(published)} published structure, {_two(torchjd)} TorchJD by hand"
    return [
        "Training step with 40 tasks, over the plain sum of losses",
        f"{_two(ours)} `FanOut(MGDA())`",
        theirs,
        "step_cost",
    ]


def _parameters() -> list[str]:
    document = load("step_cost_parameters")
    ours, theirs, tuned = (
        row(document, method=name, tasks=40)["ratio"]
        for name in ("backward(MGDA)", "TorchJD mtl_backward", "TorchJD mtl_backward, tuned")
    )
    return [
        "The same, gradients compared at the shared parameters",
        f"{_whole(ours)} `backward(losses, MGDA(), shared=...)`",
        f"{_whole(theirs)} TorchJD `mtl_backward`, {_whole(tuned)} tuned",
        "step_cost_parameters",
    ]


def _vision() -> list[str]:
    document = load("vision")
    steps = rows(document, part="steps", setting="40 attributes, ResNet-18")
    full = next(own for own in steps if own["method"] == "published MGDA")["times MGDA-UB"]
    upper = next(own for own in steps if own["method"] == "published MGDA-UB")["times MGDA-UB"]
    return [
        "Step of a ResNet-18 with 40 attributes, over `FanOut(MGDA())`",
        "1",
        f"{_two(upper)} published MGDA-UB, {_whole(full)} published MGDA",
        "vision",
    ]


def _min_norm() -> list[str]:
    document = load("min_norm")
    worst = {
        name: max(own["excess_max"] for own in rows(document, solver=name))
        for name in ("MGDA()", "TorchJD", "published")
    }
    theirs = f"{_power(worst['TorchJD'])} TorchJD, {_power(worst['published'])} published code"
    return [
        "Min-norm point: worst excess over the optimum, relative",
        _power(worst["MGDA()"]),
        theirs,
        "min_norm",
    ]


def _invariance() -> list[str]:
    document = load("invariance")
    disguises = ("exp(L)", "log(1+L)")
    moved = {
        method: max(
            own["disguised"][name]["trajectory"]["largest"]
            for own in rows(document, method=method)
            for name in disguises
        )
        for method in ("DiBS, weighted heads", "MGDA")
    }
    return [
        "Loss L replaced by exp(L) or log(1 + L): largest change of a parameter after 200 steps, relative",
        f"{_power(moved['DiBS, weighted heads'])} `DiBS`, heads weighted",
        f"{figure(moved['MGDA'])} `MGDA`",
        "invariance",
    ]


def _affinity() -> list[str]:
    document = load("affinity")
    agrees = [own["spearman"] for own in rows(document, what="first-order", loop=None)]
    cost = {
        what: [own["ratio"]["median"] for own in rows(document, what=what, loop="plain")]
        for what in ("first-order", "lookahead")
    }
    return [
        "Measuring affinity every 10th step: training time over training without",
        f"{_range(cost['first-order'])}, first order (correlation with lookahead {min(agrees):.3f} or more)",
        f"{_range(cost['lookahead'])}, lookahead",
        "affinity",
    ]


def _celeba() -> list[str]:
    (found,) = rows(load("grouping"), case="celeba", networks=3)
    here, reported = found["seconds_combinations"], found["seconds_combinations_reported"]
    return [
        "Best 3 networks for CelebA's 9 published attributes, proven",
        f"{found['seconds']:.2f} s",
        f"{here:.1f} s by all combinations ({reported:g} s reported)",
        "grouping",
    ]


def _noise() -> list[str]:
    found = rows(load("grouping"), case="random", tasks=40)
    worst = max(own["relative_gap"] for own in found)
    return [
        "The same for 40 tasks whose affinities are pure noise",
        f"not proven: gap {100 * worst:.0f} % after {found[0]['limit']:g} s",
        "too many combinations to try",
        "grouping",
    ]


def _grouping() -> list[str]:
    document = load("grouping_yeast")
    found = row(document, method="Task affinity (TAG), 2")
    lower = found["loss lower than together by, percent"]
    higher = lower | {"mean": -lower["mean"], "low": -lower["high"], "high": -lower["low"]}
    return [
        "Yeast, 14 targets: test loss of 2 networks as affinity groups them, above one network's (more is worse)",
        _interval(higher, " %"),
        f"all pairs: {found['search of all pairs over this search']:.0f} times the search",
        "grouping_yeast",
    ]


def _gap(name: str) -> list[str]:
    document = load(name)
    found: Row = row(document, key="uniform")["gap, mean over tasks"]
    points = {key: 100 * found[key] for key in ("mean", "low", "high")}
    metric = {"explain_digits": "accuracy", "explain_yeast": "AUROC"}[name]
    return [
        f"{document['settings']['data'].capitalize()}: {metric} at the same training loss, shared network",
        _interval(points, " points"),
        "0: each task alone",
        name,
    ]


def _studies() -> list[str]:
    judged: list[dict[str, Any]] = [judged_contrast(load(name))["test"] for name in studies()]
    found = sum(own["low"] > 0 or own["high"] < 0 for own in judged)
    means = [own["mean"] for own in judged]
    return [
        f"{len(judged)} studies of real tables: test Δm of sharing",
        f"{_signed(min(means))} to {_signed(max(means))} %; a difference is found in {found or 'none'}",
        "0: each task alone",
        "study_*",
    ]


def _link(name: str) -> str:
    if name.endswith("*"):
        return f"[`{name}.json`](benchmarks/results)"
    return f"[`{name}.json`](benchmarks/results/{name}.json)"


def _two(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f}"


def _whole(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.0f}"


def _range(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def _power(value: float) -> str:
    """As 3e-12; whole numbers up to ten thousand."""
    return f"{value:,.0f}" if 1 <= value < 1e4 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", MINUS)


def _interval(found: dict[str, float], unit: str) -> str:
    low, high = (f"{found[key]:+.2f}".replace("-", MINUS) for key in ("low", "high"))
    return f"{_signed(found['mean'])}{unit} [{low}, {high}]"
