"""The grouping study in the terminal: progress, the groups, and how the methods compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from counterpoint.report import method_rows
from counterpoint.study.summary import BASELINE
from counterpoint.terminal.console import console
from counterpoint.terminal.runs import RunProgress

if TYPE_CHECKING:
    from counterpoint.estimate import Estimate
    from counterpoint.study.group_results import Candidate, GroupResults


# Short enough for a terminal of 80 columns.
_SHORT = {
    BASELINE: "alone",
    "together": "together",
    "tag": "TAG",
    "cs": "cosines",
    "hoa": "all pairs",
    "random": "random",
    "optimal": "every set",
}
_SIZED = set(_SHORT) - {BASELINE, "together"}


class GroupProgress(RunProgress):
    """A bar for each stage of trainings, and a line for each grouping found. Use it as a context manager.

    It is a :class:`~counterpoint.study.watcher.GroupWatcher`.
    """

    def grouped(self, candidate: Candidate) -> None:
        """A line for a grouping that a method computed."""
        if candidate.score is None:
            return
        whose = "" if candidate.seed is None else f", seed {candidate.seed}"
        console.print(f"  {candidate.label}{whose}: predicted {candidate.score:.4g}, {_proof(candidate)}", markup=False)


def groupings_table(results: GroupResults) -> Table:
    """Predicted score, bound and time for each number of networks."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in ("networks", "mean score", "proof", "seconds"):
        table.add_column(title, justify="left" if title == "proof" else "right")
    for candidate in results.candidates:
        score = "" if candidate.score is None else f"{candidate.score:.6g}"
        table.add_row(str(candidate.size), score, _proof(candidate), f"{candidate.search_seconds:.2f}")
    return table


def methods_table(results: GroupResults) -> Table:
    """What each method amounts to: test results, change against each task alone, and cost."""
    caption = "test results; changes against each task alone with 95 % intervals, positive is better; time with search"
    table = Table(box=SIMPLE_HEAD, padding=0, caption=caption, caption_justify="left")
    table.add_column("method", no_wrap=True)
    for title in ("metric", "loss", "Δm", "loss lower by", "time"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in method_rows(results):
        table.add_row(
            escape(_SHORT[row.family] + (f" {row.size}" if row.family in _SIZED else "")),
            "" if row.metric is None else f"{row.metric.mean:.4f}",
            f"{row.loss.mean:.4f}",
            _change(row.delta),
            _change(row.reduction),
            _time(row.seconds.mean),
        )
    return table


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _change(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.seeds < 2:
        return f"{estimate.mean:+.1f}%"
    return escape(f"{estimate.mean:+.1f}% [{estimate.low:+.1f}, {estimate.high:+.1f}]")


def networks_table(candidate: Candidate) -> Table:
    """One line a network: what it serves, and what it contains besides."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in ("network", "serves", "helped by"):
        table.add_column(title)
    for number, network in enumerate(candidate.networks, start=1):
        helpers = [task for task in network.tasks if task not in network.serves]
        table.add_row(str(number), escape(", ".join(network.serves)), escape(", ".join(helpers)))
    return table


def _proof(candidate: Candidate) -> str:
    if candidate.status == "optimal":
        return "proven optimal"
    if candidate.score is None or candidate.bound is None:
        return "not proven"
    return f"at most {candidate.bound - candidate.score:.3g} below the optimum"
