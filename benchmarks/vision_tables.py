"""The tables of docs/vision.md, from benchmarks/results/vision.json.

python benchmarks/vision_tables.py benchmarks/results/vision.json                    # prints them
python benchmarks/vision_tables.py benchmarks/results/vision.json --into docs/vision.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

_MARKS = "<!-- results -->", "<!-- end of results -->"


def pages(document: dict[str, Any]) -> list[str]:
    """Lines of Markdown, a section for each part that was measured."""
    lines: list[str] = []
    for part, write in {
        "steps": steps,
        "accuracy": accuracy,
        "affinity": affinity,
        "scenes": scenes,
        "memory": memory,
    }.items():
        rows = [row for row in document["results"] if row["part"] == part]
        if rows and not document["settings"][part]["quick"]:
            lines += ["", *write(rows)]
    return lines


def steps(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["### Time of a training step", ""]
    lines += [
        "Over the time of MGDA-UB: median of interleaved rounds (quartiles); beside it, what multiply-adds say.",
        "",
    ]
    for setting in dict.fromkeys(row["setting"] for row in rows):
        own = [row for row in rows if row["setting"] == setting]
        height, width = own[0]["image"]
        words = own[0]["reduced"].strip().rstrip(".")
        reduced = f" {words[:1].upper()}{words[1:]}." if words else ""
        lines += [f"*{setting}; batch {own[0]['batch']}, {height} x {width}.{reduced}*", ""]
        lines += ["| method | over MGDA-UB | by multiply-adds |", "| --- | ---: | ---: |"]
        for row in own:
            times, expected = row["times MGDA-UB"], row["times MGDA-UB by multiply-adds"]
            words = f"{times['median']:.2f} ({times['q25']:.2f} to {times['q75']:.2f})"
            lines.append(f"| {row['method']} | {words} | {f'{expected:.2f}' if expected else ''} |")
        lines.append("")
    return lines[:-1]


def accuracy(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["### Does MGDA-UB reach what MGDA on parameters reaches?", ""]
    lines += [
        "Mean accuracy where all tasks have one; mean relative improvement of all metrics, paired by seed, 95 %.",
        "",
    ]
    lines += ["| data | uniform | MGDA | MGDA-UB | MGDA-UB over MGDA, % |", "| --- | ---: | ---: | ---: | ---: |"]
    for row in rows:
        means = row["metric_means"] or {}
        shown = [_plain(means.get(method)) for method in ("uniform", "mgda@parameters", "mgda")]
        lines.append(f"| {row['case']} | {' | '.join(shown)} | {_interval(row['relative_improvement_percent'])} |")
    return lines


def affinity(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["### Are planted groups of attributes found?", ""]
    lines += ["| affinity | seed | adjusted Rand index | sizes of the groups found |", "| --- | --- | ---: | --- |"]
    for row in rows:
        seed = "mean matrix" if row["seed"] is None else str(row["seed"])
        lines.append(f"| {row['method']} | {seed} | {row['ari']:.2f} | {', '.join(map(str, row['sizes']))} |")
    return lines


def scenes(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["### Ways to combine gradients on generated scenes", ""]
    metrics = list(rows[0]["metrics"])
    wanted = [name for name in metrics if name.split(": ")[1] in {"mIoU", "absolute error", "mean angle"}]
    header = ["losses", "method", *wanted, "over each task alone, %", "over the same with plain losses, %"]
    lines += [f"| {' | '.join(header)} |", f"| --- | --- |{' ---: |' * (len(header) - 2)}"]
    for row in rows:
        cells = [_plain(row["metrics"].get(name)) for name in wanted] + [_interval(row["improvement"])]
        kept = "" if row["variant"] == "plain" else _interval(row["kept"])
        more = f"; {len(row['failed'])} failed" if row["failed"] else ""
        lines.append(f"| {row['variant']} | {row['label']}{more} | {' | '.join(cells)} | {kept} |")
    return lines


def memory(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["### Peak memory of a step with dense features", ""]
    lines += [
        "| method | tasks | peak, MiB | over the plain sum | time over the plain sum |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        if "peak_mib" in row:
            figures = f"{row['peak_mib']:.1f} | {row['over_uniform']:.2f} | {row['time_ratio']['median']:.2f}"
            lines.append(f"| {row['method']} | {row['tasks']} | {figures} |")
    return lines


def _interval(found: dict[str, Any]) -> str:
    if found["mean"] is None:
        return "not defined"
    left_out = f", {found['left_out']} of the seeds not defined" if "left_out" in found else ""
    if found["low"] is None:
        return f"{found['mean']:+.1f}{left_out}"
    return f"{found['mean']:+.1f} [{found['low']:+.1f}, {found['high']:+.1f}]{left_out}"


def _plain(found: dict[str, Any] | None) -> str:
    if found is None or found["mean"] is None:
        return ""
    half = "" if found["low"] is None else f" ± {(found['high'] - found['low']) / 2:.3g}"
    return f"{found['mean']:.3g}{half}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--into", type=Path, help="a page with a place for results")
    options = parser.parse_args()
    lines = pages(json.loads(options.results.read_text(encoding="utf-8")))
    if options.into is None:
        print("\n".join(lines))
        return
    before, _, rest = options.into.read_text(encoding="utf-8").partition(_MARKS[0])
    after = rest.partition(_MARKS[1])[2]
    text = "\n".join([f"{before}{_MARKS[0]}", *lines, "", f"{_MARKS[1]}{after}"])
    options.into.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
