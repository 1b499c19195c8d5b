"""The results of a grouping study in, one self-contained HTML page out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.report.affinity_map import affinity_section
from counterpoint.report.document import ReportError, document, write
from counterpoint.report.group_choice import choose
from counterpoint.report.group_methods import TAG, TOGETHER, complete_scores, method_rows
from counterpoint.report.group_sections import cost_group, size_group
from counterpoint.report.group_tables import COLUMNS, group_overview, methods_table
from counterpoint.report.group_verdict import group_verdict
from counterpoint.report.memberships import groups_of
from counterpoint.report.methods import Method
from counterpoint.report.tables import ResultsTable, results_table
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from counterpoint.report.group_choice import Choice
    from counterpoint.report.group_methods import GroupMethod
    from counterpoint.study.group_results import GroupResults

_QUESTION = "Which tasks should be trained together, and in how many networks?"


def render_groups(results: GroupResults) -> str:
    """Renders a grouping study as one HTML page that needs no network and no other file.

    Args:
        results: A grouping study, or only the groupings of a given affinity.

    Returns:
        The page, about 5 MB, most of it plotly.js.

    Raises:
        ReportError: if the results hold no grouping.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.affinity import Affinity
        >>> from counterpoint.grouping import Network
        >>> from counterpoint.study.group_results import NETWORKS, Candidate, GroupResults
        >>> candidate = Candidate("tag", 1, (Network(("<a>", "b"), ("<a>", "b")),), score=0.2, bound=0.2)
        >>> affinity = Affinity([[0, 0.1], [0.3, 0]], ("<a>", "b"))
        >>> page = render_groups(GroupResults(pd.DataFrame(columns=NETWORKS), (candidate,), affinity))
        >>> "One network serves &lt;a&gt; and b" in page, "<a>" in page
        (True, False)
    """
    if not results.candidates:
        raise ReportError("the results hold no grouping; run a grouping first")
    scores = complete_scores(results)
    methods = method_rows(results, scores)
    choice = choose(methods, scores)
    groups = groups_of(results)
    shown = choice.grouping.size if choice and choice.grouping else max(groups, default=0)
    return document(
        "groups.html.j2",
        {"question": _QUESTION} | results.about,
        title="Which tasks belong together",
        overview=group_overview(results, scores),
        verdict=group_verdict(results),
        seeds=int(scores["seed"].nunique()) if len(scores) else 0,
        groups=groups,
        shown=shown,
        affinity=affinity_section(results.affinity, groups[shown][0].networks if shown in groups else (), "the groups"),
        sizes=size_group(results, methods),
        costs=cost_group(methods),
        columns=COLUMNS,
        table=methods_table(methods),
        tasks=_task_table(scores, methods, choice),
    )


def write_group_report(results: GroupResults, path: str | Path) -> Path:
    """Renders a grouping study and writes the page, completely or not at all.

    Args:
        results: A grouping study, or only the groupings of a given affinity.
        path: The file to write; its folder is made where needed.

    Returns:
        The path written.

    Raises:
        ReportError: if the results hold no grouping, or the file cannot be written.

    Example:
        >>> import pandas as pd, tempfile
        >>> from counterpoint.affinity import Affinity
        >>> from counterpoint.grouping import Network
        >>> from counterpoint.study.group_results import NETWORKS, Candidate, GroupResults
        >>> candidate = Candidate("tag", 1, (Network(("a", "b"), ("a", "b")),), score=0.2, bound=0.2)
        >>> affinity = Affinity([[0, 0.1], [0.3, 0]], ("a", "b"))
        >>> solved = GroupResults(pd.DataFrame(columns=NETWORKS), (candidate,), affinity)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_group_report(solved, folder + "/report.html").name
        'report.html'
    """
    return write(render_groups(results), path)


def _task_table(scores: pd.DataFrame, methods: Sequence[GroupMethod], choice: Choice | None) -> ResultsTable | None:
    """Each task alone, together, and in the best task-affinity grouping."""
    wanted = [method for method in methods if method.family in {BASELINE, TOGETHER}]
    if choice and choice.grouping:
        wanted.append(choice.grouping)
    else:
        wanted += [method for method in methods if method.family == TAG][-1:]
    if not wanted:
        return None
    looks = [Method(method.keys[0], method.label, method.looks.color, method.looks.dash) for method in wanted]
    return results_table(scores, looks)
