"""What a user meets first: imports, names, docstrings."""

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import counterpoint

ROOT = Path(__file__).parents[1]


def modules_after(statement):
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_costs_little():
    """The package itself loads nothing; its names load torch, never the libraries of the extras."""
    assert "torch" not in modules_after("import counterpoint")
    loaded = modules_after("import counterpoint; counterpoint.FanOut, counterpoint.MultiTaskModel, counterpoint.Task")
    assert "torch" in loaded
    assert not loaded & {"lightning", "pandas", "torchjd", "torchmetrics", "plotly", "matplotlib", "rich"}
    assert "torch" not in modules_after("import counterpoint.cli, counterpoint.report")


def test_every_public_name_is_there():
    for name in counterpoint.__all__:
        assert getattr(counterpoint, name) is not None
        assert name in dir(counterpoint)
    with pytest.raises(AttributeError, match="no attribute 'Gradients'"):
        _ = counterpoint.Gradients


def test_a_name_that_needs_an_extra_says_what_to_install(monkeypatch):
    monkeypatch.delitem(vars(counterpoint), "Study", raising=False)
    monkeypatch.setitem(counterpoint._HOME_OF, "Study", "a_library_that_is_not_there")
    with pytest.raises(
        ImportError, match=r"^Study needs the extra 'study' \(.*\): pip install 'counterpoint\[study\]'$"
    ):
        _ = counterpoint.Study


@pytest.mark.parametrize("name", counterpoint.__all__)
def test_every_public_name_is_documented(name):
    value = getattr(counterpoint, name)
    text = inspect.getdoc(value)
    assert text
    assert len(text.splitlines()[0]) <= 120
    if name not in {"NonFiniteGradientError", "MinNormPoint"}:  # shown in the examples of what makes them
        assert ">>>" in text, f"{name} has no example"


def test_it_has_one_version():
    """Written in the package alone; the newest release of the changelog and the citation are of that version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/counterpoint/__init__.py"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased, newest, *_ = re.findall(r"(?m)^## (.+)$", changelog)
    assert unreleased == "Unreleased"
    version, date = re.fullmatch(r"(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)", newest).groups()
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert counterpoint.__version__ == version == cited["version"]
    assert str(cited["date-released"]) == date


def test_the_citation_names_the_papers_as_the_docstrings_do():
    """Each paper once, with authors and a place to read it; the ones whose methods are here all among them."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0"
    papers = {paper["title"]: paper for paper in cited["references"]}
    assert len(papers) == len(cited["references"]) == 9
    for paper in papers.values():
        assert paper["authors"]
        assert all(author["family-names"] for author in paper["authors"])
        assert ("url" in paper) != ("doi" in paper)
    sources = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    sources = " ".join(sources.split()).replace("`", "").lower()
    for name in ("MGDA", "DiBS", "Nash", "FairGrad"):
        own = " ".join(inspect.getdoc(getattr(counterpoint, name)).split()).lower()
        assert any(title.lower() in own for title in papers), f"{name}: no paper of CITATION.cff in its docstring"
    for paper in papers.values():
        link = paper.get("url", paper.get("doi"))
        assert (
            link in sources
            or paper["title"].lower() in sources
            or paper["authors"][0]["family-names"].lower() in sources
        )
