"""The results page on the second question: affinities, groupings, and what they are good for."""

from __future__ import annotations

from typing import Any

from results_reading import Document, Row, load, provenance, rows
from results_tables import figure, fold, interval, limits, ratio, table


def section() -> list[str]:
    """Lines of Markdown."""
    return ["## Which tasks should share a network?", "", *_affinity(), *_search(), *_trained()]


def _affinity() -> list[str]:
    document = load("affinity")
    body = []
    for found in document["results"]:
        if "spearman" not in found:
            continue
        cost = {loop: _cost(document, found, loop) for loop in ("plain", "fit")}
        agrees = f"{found['spearman']:.3f} [{found['low']:.3f}, {min(1.0, found['high']):.3f}]"
        body.append([found["data"], found["what"], agrees, cost["plain"], cost["fit"]])
    header = ["data", "measured by", "correlation with lookahead", "time, plain loop", "time, Lightning"]
    return [
        "### Measuring affinity",
        "",
        "Lookahead (take the step, look at the others' losses) is the definition. How well cheaper ways agree",
        "with it in the same training (Spearman's correlation, 95 % interval over seeds), beside how well",
        "lookahead agrees with itself in a training of another seed; and the time of a training with the meter",
        "over one without, measuring every 10th step. [More on affinity](affinity.md).",
        "",
        "![Agreement with lookahead and cost of each way to measure](_generated/results-affinity.svg)",
        "",
        *table(header, body, words=2),
        *limits([document]),
        *provenance(["affinity"]),
    ]


def _cost(document: Document, found: Row, loop: str) -> str:
    what = "lookahead" if found["what"].startswith("lookahead") else found["what"]
    timed = rows(document, data=found["data"], what=what, loop=loop)
    return ratio(timed[0]["ratio"]) if timed else ""


def _search() -> list[str]:
    document = load("grouping")
    body = []
    for case, tasks in dict.fromkeys((r["case"], r["tasks"]) for r in document["results"]):
        found = rows(document, case=case, tasks=tasks)
        counts = sorted({r["networks"] for r in found})
        networks = f"{counts[0]} to {counts[-1]}" if len(counts) > 2 else " or ".join(map(str, counts))
        slowest, gap = max(r["seconds"] for r in found), max(r["relative_gap"] for r in found)
        proven = sum(r["status"] == "optimal" for r in found)
        end = "proven best" if proven == len(found) else f"**gap {gap:.0%}**".replace("%", " %")
        body.append([_CASES[case], str(tasks), networks, f"{slowest:.3g}", end])
    (celeba,) = rows(document, case="celeba", networks=3)
    return [
        "### Finding the best grouping",
        "",
        "`group_tasks` on affinities as published and as generated. On CelebA's, all five published optima are",
        f"found and proven; for 3 networks in {celeba['seconds']:.2f} s, where the search through all combinations",
        f"took {celeba['seconds_combinations']:.1f} s here and {celeba['seconds_combinations_reported']:g} s as",
        "reported. Where affinities are pure noise among 30 tasks and more, the bound stays far from the best",
        "grouping found.",
        "",
        *table(["affinities", "tasks", "networks", "slowest, s", "at the end"], body),
        *limits([document]),
        *provenance(["grouping"]),
    ]


_CASES = {
    "celeba": "CelebA, published",
    "random": "pure noise",
    "planted": "planted groups with noise",
    "similar": "latent similarity, all negative",
}


def _trained() -> list[str]:
    lines = [
        "### Does grouping help?",
        "",
        "Networks trained on the groups that each method finds. Lower test loss than one network for all tasks,",
        "and than each task alone, in percent, with 95 % intervals over seeds (bold: zero is outside).",
        "",
        "![Test loss of groupings against one network for all tasks](_generated/results-groups.svg)",
        "",
    ]
    for name, title in (("grouping_yeast", "Yeast, 14 targets"), ("grouping_digits", "Digits, 5 questions")):
        found = load(name)["results"]
        shown = [own for own in found if own["networks allowed"] <= 2 or own["family"] in {"single", "tag", "optimal"}]
        lines += [f"**{title}**", "", *_methods(shown), *fold("Every method", _methods(found))]
    return [*lines, *provenance(["grouping_yeast", "grouping_digits"])]


def _methods(found: list[Row]) -> list[str]:
    header = ["method", "networks", "test metric", "loss below one for all, %", "loss below each alone, %", "seconds"]
    body = [
        [
            own["method"],
            figure(own["networks allowed"]),
            f"{own['test metric']['mean']:.3f}",
            _change(own, "together"),
            _change(own, "alone"),
            figure(own["seconds"]["mean"]),
        ]
        for own in found
    ]
    return table(header, body)


def _change(own: Row, against: str) -> str:
    found: dict[str, Any] | None = own.get(f"loss lower than {against} by, percent")
    return "the same" if found and found["low"] == found["high"] == 0 else interval(found)
