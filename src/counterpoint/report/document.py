"""What every page shares: one environment for its templates, one security policy, one way to write it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from counterpoint.atomic import write_atomically
from counterpoint.report.tables import facts, moment
from counterpoint.report.wording import duration
from counterpoint.study.results_folder import ResultsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.report.figures import Plot

_TEMPLATES = Path(__file__).parent / "templates"


class ReportError(ResultsError):
    """A report that cannot be made or written."""


def document(
    template: str,
    about: Mapping[str, Any],
    *,
    title: str,
    overview: str,
    verdict: Sequence[str],
    **sections: object,
) -> str:
    """Fills a template into one HTML page that needs no network and no other file.

    Args:
        template: File name of a template that extends ``base.html.j2``.
        about: The study's facts, as in ``Results.about``; all may be missing.
        title: The title where ``about`` has none.
        overview: What the study consists of, in one line.
        verdict: What it shows, in sentences of plain text.
        sections: What the template's own sections need.

    Example:
        >>> page = document("base.html.j2", {"command": "<run>"}, title="Digits", overview="1 task", verdict=["So."])
        >>> "<title>Digits</title>" in page, "&lt;run&gt;" in page, "<run>" in page
        (True, True, False)
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["json"] = _json
    # Both scripts are ours, not the user's: Markup says that they need no escaping.
    scripts = [Markup(get_plotlyjs()), Markup((_TEMPLATES / "report.js").read_text(encoding="utf-8"))]  # noqa: S704
    known: dict[str, Any] = {"title": title, "question": "", "settings": {}, "command": "", "versions": {}}
    known |= {"machine": "", **about}
    known["data"] = {"name": "", "description": "", "rows": {}} | known.get("data", {})
    page: str = environment.get_template(template).render(
        about=known,
        origin=_origin(known),
        overview=overview,
        verdict=verdict,
        settings=facts(known["settings"]),
        versions=facts(known["versions"]),
        scripts=scripts,
        script_hashes=[_hash(script) for script in scripts],
        styles=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704
        **sections,
    )
    return page


def write(page: str, path: str | Path) -> Path:
    """Writes a page, completely or not at all.

    Args:
        page: The page.
        path: The file to write; its folder is made where needed.

    Returns:
        The path written.

    Raises:
        ReportError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write("<!doctype html>", folder + "/new/report.html").name
        'report.html'
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda target: target.write_text(page, encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"cannot write the report to '{path}': {error.strerror}; choose another file") from None
    return path


def _json(plot: Plot) -> Markup:
    return Markup(plot.json.replace("<", "\\u003c"))  # noqa: S704 - no "<" can end the script element


def _hash(script: str) -> str:
    # The page's security policy lets only scripts with these hashes run, whatever a name may contain.
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _origin(about: Mapping[str, Any]) -> list[str]:
    parts = [moment(str(about["started"]))] if about.get("started") else []
    parts += [f"took {duration(float(about['seconds']))}"] if about.get("seconds") is not None else []
    return parts
