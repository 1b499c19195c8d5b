"""The tables of docs/choosing-a-weighting.md, from a saved run of benchmarks/weightings.py. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIFORM, SINGLE, PLAIN = "Uniform", "single", "plain"
ALONE, OVER_UNIFORM, KEPT = (f"change over {what}, percent" for what in ("each task alone", "Uniform", "plain losses"))


def pages(document: dict[str, Any]) -> Iterator[str]:
    """Lines of Markdown."""
    rows, settings = document["results"], document["settings"]
    trained = [row for row in rows if row["part"] == "trained"]
    problems = settings["trained"]["problems"]
    yield (
        f"*Measured on {document['date'][:10]}: {settings['seeds']} seeds, {settings['trained']['trainings']} trainings"
        f", torch {document['machine']['torch']}, TorchJD {document['machine']['torchjd']},"
        f" {document['machine']['cores']} cores.*"
    )
    yield ""
    yield from _problems(problems)
    yield ""
    yield from _in_short(trained, problems)
    yield ""
    yield from _against(trained, problems, ALONE, PLAIN, "One network for all tasks, over each task alone, Δm in %")
    yield ""
    yield from _against(trained, problems, OVER_UNIFORM, PLAIN, "The same over `Uniform`, Δm in %")
    yield ""
    yield from _against(
        trained, problems, KEPT, "", "What the first loss times 1,000 does, Δm in % over the same with plain losses"
    )
    yield ""
    yield from _metrics(trained, problems)
    yield ""
    yield from _costs(rows)


def _problems(problems: dict[str, Any]) -> Iterator[str]:
    yield "| problem | tasks | rows to train, choose, test | network | epochs, batch | optimizer |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, about in problems.items():
        tasks = about["tasks"]
        shown = ", ".join(tasks) if len(tasks) < 6 else f"{len(tasks)} yes-or-no questions"
        rows = ", ".join(f"{count:,}" for count in about["rows"].values())
        cells = [name, shown, rows, about["network"], f"{about['epochs']}, {about['batch']}", about["optimizer"]]
        yield f"| {' | '.join(cells)} |"


def _in_short(trained: list[dict[str, Any]], problems: dict[str, Any]) -> Iterator[str]:
    """What can be counted, so that no sentence outlives its figures."""
    if all(row[ALONE] is None or row[ALONE]["low"] is None for row in trained):
        yield "- One seed: nothing in these tables can be told from chance."
        return
    for problem in problems:
        own = [row for row in trained if row["problem"] == problem]
        over = {row["method"]: row[OVER_UNIFORM] for row in own if row["losses"] == PLAIN and row[OVER_UNIFORM]}
        kept = {row["method"]: row[KEPT] for row in own if row["losses"] != PLAIN and row[KEPT]}
        better = [name for name, found in over.items() if side(found) > 0]
        worse = [name for name, found in over.items() if side(found) < 0]
        lost = [name for name, found in kept.items() if side(found) < 0]
        yield (
            f"- **{problem}**: of {len(over)} weightings {_named(better)} better than `Uniform` and {_named(worse)} "
            f"worse, with a 95 % interval that excludes zero. With one loss times 1,000, {_named(lost)} worse than "
            f"before (of {len(kept)})."
        )


def _named(names: list[str]) -> str:
    if not names:
        return "none is found"
    return f"{len(names)} {'is' if len(names) == 1 else 'are'} found ({', '.join(names)})"


def _against(
    trained: list[dict[str, Any]], problems: dict[str, Any], what: str, losses: str, title: str
) -> Iterator[str]:
    yield f"**{title}** (positive: better; mean and 95 % interval over seeds; bold: excludes zero)"
    yield ""
    yield f"| weighting | {' | '.join(problems)} |"
    yield f"| --- |{' ---: |' * len(problems)}"
    methods = dict.fromkeys(row["method"] for row in trained if row["method"] != SINGLE)
    for method in methods:
        found = {
            row["problem"]: row
            for row in trained
            if row["method"] == method and ((row["losses"] == PLAIN) == (losses == PLAIN))
        }
        if what == OVER_UNIFORM and method == UNIFORM:
            continue
        yield f"| {method} | {' | '.join(_cell(found[name], what) for name in problems)} |"


def _cell(row: dict[str, Any], what: str) -> str:
    failed = f"; {len(row['failed'])} failed" if row["failed"] else ""
    return (interval(row[what]) if row[what] else "none finished") + failed


def interval(found: dict[str, Any]) -> str:
    """Mean and interval, in bold if it excludes zero."""
    if found["low"] is None:
        return f"{found['mean']:+.1f}, one seed"
    text = f"{found['mean']:+.1f} [{found['low']:+.1f}, {found['high']:+.1f}]"
    return f"**{text}**" if side(found) else text


def side(found: dict[str, Any]) -> int:
    """1 if the interval lies above zero, -1 if below."""
    low, high = found["low"], found["high"]
    return 0 if low is None else int(low > 0) - int(high < 0)


def _metrics(trained: list[dict[str, Any]], problems: dict[str, Any]) -> Iterator[str]:
    yield "**Test metrics**, means over seeds; of yeast also over its tasks"
    yield ""
    columns = []
    for problem, about in problems.items():
        columns += [(problem, [task]) for task in about["tasks"]] if len(about["tasks"]) < 6 else [(problem, None)]
    first = {(row["problem"], row["method"]): row for row in trained if row["losses"] == PLAIN}
    heads = []
    for problem, tasks in columns:
        found = first[problem, SINGLE]["tasks"]
        metric = next(iter(found.values()))["metric"] if tasks is None else found[tasks[0]]["metric"]
        heads.append(f"{'mean' if tasks is None else tasks[0]}, {metric}")
    yield f"| weighting | {' | '.join(heads)} |"
    yield f"| --- |{' ---: |' * len(columns)}"
    for method in dict.fromkeys(row["method"] for row in trained):
        cells = []
        for problem, tasks in columns:
            found = first[problem, method]["tasks"]
            values = [found[task]["mean"] for task in (tasks or found) if task in found]
            cells.append(f"{sum(values) / len(values):.4f}" if values else "")
        yield f"| {'each task alone' if method == SINGLE else method} | {' | '.join(cells)} |"


def _costs(rows: list[dict[str, Any]]) -> Iterator[str]:
    steps = {(row["method"], row["tasks"]): row["times the plain sum"] for row in rows if row["part"] == "steps"}
    weights = {(row["method"], row["tasks"]): row["ms"] for row in rows if row["part"] == "weights"}
    if not steps:
        return
    sizes = sorted({size for _, size in steps})
    yield (
        "**Cost**: time of a training step over one with the plain sum (small convolutional encoder, batch 32, one "
        "thread; median of interleaved rounds), and milliseconds from a Gram matrix to weights (median; one thread)"
    )
    yield ""
    heads = [*(f"step, T = {size}" for size in sizes), *(f"weights, T = {size}, ms" for size in sizes)]
    yield f"| weighting | {' | '.join(heads)} |"
    yield f"| --- |{' ---: |' * len(heads)}"
    for method in dict.fromkeys(row["method"] for row in rows if row["part"] in {"steps", "weights"}):
        ratios = [f"{steps[method, size]['median']:.2f}" if (method, size) in steps else "" for size in sizes]
        times = [f"{weights[method, size]['median']:.2f}" if (method, size) in weights else "" for size in sizes]
        yield f"| {method} | {' | '.join([*ratios, *times])} |"
