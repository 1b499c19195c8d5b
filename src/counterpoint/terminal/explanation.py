"""The explain study in the terminal: what sharing did to each task, and what each weighting changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.estimate import Estimate
    from counterpoint.study.explain.comparison import TaskComparison
    from counterpoint.study.explain.findings import Answer

_QUESTIONS = {
    "conflict": "cosine of task gradients, same step",
    "deficit": "training loss, same step",
    "gap": "test metric, same training loss, higher is better",
}


def gaps_table(comparisons: Mapping[str, TaskComparison], label: str) -> Table:
    """One line a task: gap at comparable training loss, from which step, and optimization deficit.

    Args:
        comparisons: Those of one way of sharing, by task.
        label: Its name for people.
    """
    caption = (
        "against each task alone, 95 % intervals: test metric at the same training loss, positive is better, and the "
        "step from which on its interval excludes zero; training loss at the same step, positive is slower"
    )
    title = f"{escape(label)}: all together"
    table = Table(
        box=SIMPLE_HEAD, padding=0, title=title, title_justify="left", caption=caption, caption_justify="left"
    )
    table.add_column("task", no_wrap=True)
    for column in ("gap", "from step", "training loss"):
        table.add_column(column, justify="right", no_wrap=True)
    for task, found in comparisons.items():
        gap, onset = ("not comparable", "") if found.gap is None else (_interval(found.gap.estimate), _onset(found))
        table.add_row(escape(task), gap, onset, _interval(found.deficit.estimate))
    return table


def _onset(found: TaskComparison) -> str:
    onset = found.gap.onset if found.gap is not None else None
    return "-" if onset is None else f"{onset.multi_step:.0f}"


def answers_table(answers: Sequence[Answer], labels: Mapping[str, str]) -> Table:
    """Three questions a weighting: did it change conflict, deficit, gap, against the plain sum?"""
    caption = "against the plain sum: mean over tasks, 95 % intervals over seeds"
    table = Table(box=SIMPLE_HEAD, padding=0, caption=caption, caption_justify="left")
    for column in ("weighting", "question"):
        table.add_column(column)
    table.add_column("change", justify="right", no_wrap=True)
    table.add_column("answer", no_wrap=True)
    for answer in answers:
        if answer.estimate is not None:
            table.add_row(
                escape(labels[answer.method]), _QUESTIONS[answer.subject], _interval(answer.estimate), _answer(answer)
            )
    return table


def _answer(answer: Answer) -> str:
    if answer.estimate is None or not answer.estimate.excludes_zero:
        return "none found"
    return "higher" if answer.estimate.mean > 0 else "lower"


def _interval(estimate: Estimate) -> str:
    return escape(f"{estimate.mean:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]")
