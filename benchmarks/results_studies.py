"""The results page on the fourth question: whole studies of tables, and what they cost."""

from __future__ import annotations

from commands import RESULTS
from results_reading import load, measured, provenance
from results_tables import figure, fold, limits, ratio, table
from study import tables as studied


def section() -> list[str]:
    """Lines of Markdown."""
    return ["## Do all of it on my data", "", *_verdicts(), *_epoch(), *_preparation()]


def studies() -> list[str]:
    """Names of the results of whole studies."""
    return [name for name in measured() if load(name)["benchmark"] == "study"]


def _verdicts() -> list[str]:
    lines = [line for text in studied([RESULTS / f"{name}.json" for name in studies()]) for line in text.split("\n")]
    first = next(number for number, line in enumerate(lines) if line.startswith("**"))
    said = [
        line
        for name in studies()
        for line in (
            f"**{name.removeprefix('study_').replace('_', ', ')}**: {load(name)['settings']['verdict'][0]}",
            "",
        )
    ]
    return [
        "### Studies of real tables",
        "",
        "`Study` on tables as anybody's: methods are chosen on validation rows and confirmed on test rows. Δm is",
        "the mean relative improvement over tasks against training each task alone, with its 95 % interval over",
        "seeds on one split of the rows. Most of these studies find no difference, and say so. [How a study",
        "decides](study.md).",
        "",
        "![Improvement of sharing over each task alone, by table](_generated/results-studies.svg)",
        "",
        *lines[:first],
        *fold("The verdicts in words", said),
        *provenance(studies()),
    ]


def _epoch() -> list[str]:
    document = load("study_epoch")
    body = [
        [
            found["what"],
            figure(found["threads"]),
            f"{found['epoch seconds']['median']:.2f}",
            ratio(found["over by hand"]),
        ]
        for found in document["results"]
        if found["time on"] == "clock"
    ]
    return [
        "### Time of an epoch",
        "",
        "An epoch of a study's training over the same epoch in a plain loop written by hand.",
        "",
        *table(["trained by", "threads", "seconds", "over by hand"], body),
        *limits([document]),
        *provenance(["study_epoch"]),
    ]


def _preparation() -> list[str]:
    document = load("table_preparation")
    body = [
        [
            f"{found['file']}, {found['mib on disk']:.0f} MiB",
            found["who"],
            f"{found['seconds']['median']:.1f}",
            f"{found['times by hand']['median']:.2f}",
            f"{found['peak gib']:.2f}",
        ]
        for found in document["results"]
    ]
    return [
        "### Preparing a table",
        "",
        f"A generated table of {document['settings']['rows']:,} rows (`tenth`: a tenth of it), from file to",
        "tensors, against pandas and scikit-learn by hand. One round: a rough figure. Small tables are faster by",
        "hand.",
        "",
        *table(["file", "by", "seconds", "over by hand", "peak, GiB"], body, words=2),
        *limits([document]),
        *provenance(["table_preparation"]),
    ]
