"""Writes docs/results.md and the README's table from benchmarks/results, so that no figure is typed by hand.

python benchmarks/results_page.py --out docs/results.md        # the page, and its pictures in docs/_generated
python benchmarks/results_page.py --readme README.md           # the table between the README's marks
python benchmarks/results_page.py --readme README.md --check   # exit status 1 if that would change it
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import results_balancing
import results_gaps
import results_grouping
import results_images
import results_readme
import results_studies
from results_reading import load, measured
from results_tables import figure, plain, table

SECTIONS = (results_balancing, results_grouping, results_gaps, results_studies, results_images)
INTRODUCTION = """\
# Results

What was measured, with what it was compared, and what fell short. This page is written by
`benchmarks/results_page.py` from the files in `benchmarks/results`; no figure is typed by hand. Under each table stands
its source: machine, versions, seeds, date, and the command that measures it again. `make bench` runs all of them,
`make bench-quick` a subset in five minutes.

Everything ran on two cores of a machine that others used at the same time. Times are therefore ratios between things
that took turns, with the median and quartiles of the rounds; read differences of a few percent as none. Nothing here
was measured on a GPU.
"""


def page() -> str:
    """The page in Markdown."""
    lines = [INTRODUCTION, "## In short", "", *results_readme.fragment(linked=False), "", *short()]
    for part in SECTIONS:
        lines += part.section()
    return "\n".join(lines).rstrip("\n") + "\n"


def short() -> list[str]:
    """Limits of all scripts, counted, and every one that was not met."""
    documents = {name: load(name) for name in measured()}
    targets = [target for document in documents.values() for target in document["targets"]]
    missed = [(name, t) for name, document in documents.items() for t in document["targets"] if not t["met"]]
    body = [[plain(t["name"]), figure(t["target"]), figure(t["measured"]), plain(name)] for name, t in missed]
    return [
        "## What fell short",
        "",
        f"The scripts set {len(targets)} limits to what they measure, as the design promised them or as a peer does.",
        f"{len(targets) - len(missed)} were met; these {len(missed)} were not:",
        "",
        *table(["limit for", "at most", "measured", "file"], body),
    ]


def _write(path: Path, text: str) -> None:
    """Leaves a file alone that says so already: Sphinx reads anew what is younger than it was."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the page; pictures go into the folder _generated beside it")
    parser.add_argument("--readme", type=Path, help="write the table between the marks of this file")
    parser.add_argument("--check", action="store_true", help="only say whether --readme is as it would be written")
    options = parser.parse_args()
    if options.out is None and options.readme is None:
        parser.error("nothing to do: give --out docs/results.md, --readme README.md, or both")
    if options.out:
        from results_figures import draw  # noqa: PLC0415  (matplotlib, which the README's table does without)

        draw(options.out.parent / "_generated")
        _write(options.out, page())
    if options.readme:
        before = options.readme.read_text(encoding="utf-8")
        try:
            after = results_readme.into(before)
        except ValueError as error:
            parser.error(f"{options.readme}: {error}")
        if options.check and after != before:
            told = "python benchmarks/results_page.py --readme"
            sys.exit(f"the table of {options.readme} differs from benchmarks/results: {told} {options.readme}")
        _write(options.readme, after)


if __name__ == "__main__":
    main()
