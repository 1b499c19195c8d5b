"""Results in, one self-contained HTML page out."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from counterpoint.report.methods import methods_of
from counterpoint.report.pictures import pictures
from counterpoint.report.sections import change_group, cosine_groups, curve_groups, weight_group
from counterpoint.report.tables import facts, moment, overview, results_table
from counterpoint.report.verdict import verdict
from counterpoint.report.wording import duration
from counterpoint.study.results import ResultsError, write_atomically
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from counterpoint.study.results import Results

_TEMPLATES = Path(__file__).parent / "templates"


class ReportError(ResultsError):
    """A report that cannot be made or written."""


def render(results: Results) -> str:
    """Renders a study as one HTML page that needs no network and no other file.

    Args:
        results: A finished study.

    Returns:
        The page, about 5 MB, most of it plotly.js.

    Raises:
        ReportError: if the study holds no scores.

    Example:
        >>> import pandas as pd
        >>> from counterpoint.study.results import EXAMPLES, HISTORY, SCORES, Results
        >>> row = ("u0", "uniform", "Uniform", 0, "<left>", "accuracy", "maximize", 0.9, 0.3, 5.0, 99)
        >>> scores = pd.DataFrame([row], columns=SCORES)
        >>> page = render(Results(scores, pd.DataFrame(columns=HISTORY), pd.DataFrame(columns=EXAMPLES)))
        >>> "&lt;left&gt;" in page, "<left>" in page
        (True, False)
    """
    if results.scores.empty:
        raise ReportError("the results hold no scores; run a study first")
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Both scripts are ours, not the user's: Markup says that they need no escaping.
    scripts = [Markup(get_plotlyjs()), Markup((_TEMPLATES / "report.js").read_text(encoding="utf-8"))]  # noqa: S704
    about: dict[str, Any] = {
        "title": "Counterpoint study",
        "question": "",
        "settings": {},
        "command": "",
        "versions": {},
        "machine": "",
    }
    about |= results.about
    about["data"] = {"name": "", "description": "", "rows": {}} | about.get("data", {})
    table = results_table(results.scores)
    shown, examples = pictures(results)
    page: str = environment.get_template("report.html.j2").render(
        about=about,
        origin=_origin(about),
        overview=overview(results.scores),
        verdict=verdict(results.scores),
        seeds=int(results.scores["seed"].nunique()),
        methods=methods_of(results.scores),
        baseline=BASELINE,
        table=table,
        changes=change_group(results),
        curves=curve_groups(results),
        weights=weight_group(results),
        cosines=cosine_groups(results),
        pictures=examples,
        picture_methods=shown,
        settings=facts(about["settings"]),
        versions=facts(about["versions"]),
        scripts=scripts,
        script_hashes=[_hash(script) for script in scripts],
        styles=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704
        json=lambda plot: Markup(plot.json.replace("<", "\\u003c")),  # noqa: S704 - no "<" can end the script element
    )
    return page


def write_report(results: Results, path: str | Path) -> Path:
    """Renders a study and writes the page, completely or not at all.

    Args:
        results: A finished study.
        path: The file to write; its folder is made where needed.

    Returns:
        The path written.

    Raises:
        ReportError: if the study holds no scores, or the file cannot be written.

    Example:
        >>> import pandas as pd, tempfile
        >>> from counterpoint.study.results import EXAMPLES, HISTORY, SCORES, Results
        >>> row = ("u0", "uniform", "Uniform", 0, "left", "accuracy", "maximize", 0.9, 0.3, 5.0, 99)
        >>> scores = pd.DataFrame([row], columns=SCORES)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(Results(scores, pd.DataFrame(columns=HISTORY), pd.DataFrame(columns=EXAMPLES)),
        ...                  folder + "/report.html").name
        'report.html'
    """
    path = Path(path)
    page = render(results)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda target: target.write_text(page, encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"cannot write the report to '{path}': {error.strerror}; choose another file") from None
    return path


def _hash(script: str) -> str:
    # The page's security policy lets only scripts with these hashes run, whatever a name may contain.
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _origin(about: dict[str, Any]) -> list[str]:
    parts = [moment(str(about["started"]))] if about.get("started") else []
    parts += [f"took {duration(float(about['seconds']))}"] if about.get("seconds") is not None else []
    return parts
