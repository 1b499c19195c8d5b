"""The results page on images."""

from __future__ import annotations

from results_reading import Row, load, provenance
from results_tables import figure, interval, limits, table

FULL, UPPER = "backward(MGDA, shared=...)", "FanOut(MGDA), MGDA-UB"


def section() -> list[str]:
    """Lines of Markdown."""
    document = load("vision")
    steps = [found for found in document["results"] if found["part"] == "steps"]
    settings = list(dict.fromkeys(found["setting"] for found in steps))
    methods = [found["method"] for found in steps if found["setting"] == settings[0] and found["method"] != UPPER]
    body = [[method, *(_times(steps, setting, method) for setting in settings)] for method in methods]
    accuracy = [found for found in document["results"] if found["part"] == "accuracy"]
    return [
        "## Images: two, three and forty tasks",
        "",
        "Generated images, networks of the published shapes made smaller. Time of a step over the time of a step",
        "with `FanOut(MGDA())`, which is MGDA-UB:",
        "",
        *table(["method", *settings], body),
        "Is MGDA-UB as good as MGDA at the parameters? Mean relative improvement of all metrics over it, percent,",
        "paired by seed:",
        "",
        *table(["data", "MGDA-UB over MGDA"], [_accuracy(found) for found in accuracy]),
        "Peak memory of a step with dense features, over the plain sum's:",
        "",
        *table(["method", "tasks", "peak, MiB", "over the plain sum"], _memory(document["results"])),
        *limits([document]),
        *provenance(["vision"]),
    ]


def _times(steps: list[Row], setting: str, method: str) -> str:
    (found,) = (own for own in steps if own["setting"] == setting and own["method"] == method)
    return f"{found['times MGDA-UB']['median']:.2f}"


def _accuracy(found: Row) -> list[str]:
    return [found["case"], interval(found["relative_improvement_percent"])]


def _memory(results: list[Row]) -> list[list[str]]:
    return [
        [found["method"], figure(found["tasks"]), f"{found['peak_mib']:.0f}", f"{found['over_uniform']:.2f}"]
        for found in results
        if found["part"] == "memory" and "peak_mib" in found
    ]
