"""The site is complete and its links lead somewhere, checked without building it."""

import importlib
import importlib.util
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import counterpoint
from counterpoint.commands.parser import COMMANDS, make_parser
from counterpoint.data.tables import TableOptions, prepare

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE_BY_THE_BUILD = {"results"}
# Packages that only the command line and studies use, whatever their __all__ says.
INTERNAL = {
    "counterpoint.balancing.weightings",
    "counterpoint.data.generated.folders",
    "counterpoint.terminal",
    "counterpoint.undisturbed",
}
# Of these the reference has what a user of Study hands over; the rest starts and collects runs.
IN_PART = {"counterpoint.study.execution"}

FENCE = re.compile(r"^(`{3,}|:{3,}).*?^\1$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
TOCTREE = re.compile(r"\{toctree\}\n(.*?)```|\.\. toctree::\n(.*?)(?:\n\S|\Z)", re.DOTALL)


def found(name):
    """The object behind a name of the reference, which is said from counterpoint on."""
    home, _, last = f"counterpoint.{name}".rpartition(".")
    return getattr(importlib.import_module(home), last)


def documented():
    names = []
    for page in sorted((DOCS / "api").glob("*.rst")):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"\.\. autosummary::\n(.*?)(?=\n\S|\Z)", text, re.DOTALL):
            entries = (line.strip().removeprefix("~") for line in block.splitlines())
            names += [entry for entry in entries if entry and not entry.startswith(":")]
    return names


def public():
    """Every public object with its shortest name."""
    packages = [m.name for m in pkgutil.walk_packages(counterpoint.__path__, "counterpoint.") if m.ispkg]
    homes = [counterpoint, *(importlib.import_module(name) for name in packages if name not in INTERNAL | IN_PART)]
    return {id(getattr(home, name)): name for home in reversed(homes) for name in getattr(home, "__all__", ())}


def test_every_public_name_is_in_the_reference_once():
    entries = documented()
    assert sorted(entries) == sorted(set(entries))
    objects = [id(found(name)) for name in entries]
    assert len(set(objects)) == len(objects), "one object under two names"
    assert {name for key, name in public().items() if key not in set(objects)} == set()


def test_the_reference_names_things_as_users_import_them():
    for name in documented():
        last = name.rpartition(".")[2]
        assert name == last or last not in counterpoint.__all__, f"{name} is counterpoint.{last}"


def pages():
    return {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.glob("*.md")} | {
        path.relative_to(DOCS).with_suffix("").as_posix() for path in (DOCS / "api").glob("*.*")
    }


def test_every_page_is_in_the_sidebar_once():
    listed = []
    for name in ("index.md", "api/index.rst"):
        for block in TOCTREE.findall((DOCS / name).read_text(encoding="utf-8")):
            entries = [line.strip() for line in "".join(block).splitlines() if line.strip()]
            entries = [re.sub(r"^.+ <(.+)>$", r"\1", entry) for entry in entries]  # a shorter name for the sidebar
            listed += [str(Path(name).parent / entry) for entry in entries if not entry.startswith(":")]
    assert len(set(listed)) == len(listed)
    guides = {f"gallery/{path.stem}" for path in (DOCS / "examples").glob("plot_*.py")}
    assert set(listed) - MADE_BY_THE_BUILD == (pages() - MADE_BY_THE_BUILD - {"index"}) | guides
    assert set(listed) >= MADE_BY_THE_BUILD


def anchors(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"(?m)^#{1,4} (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", [page for page in WRITTEN if page.stem not in MADE_BY_THE_BUILD], ids=lambda p: p.name)
def test_links_lead_to_files_of_the_repository(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if there.stem in MADE_BY_THE_BUILD and there.parent == DOCS:
            continue
        assert there.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} links to {target}, which has no such heading"


def extension(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / "_extensions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_signatures_name_a_folder_as_one_would_write_it():
    readable = extension("reference_text")._readable
    nothing = [None] * 5
    assert readable(*nothing, "(out: Path = PosixPath('a/b'))", "None") == ("(out: Path = Path('a/b'))", "None")
    assert readable(*nothing, "(out: int = 1)", "None") is None


def test_every_picture_has_words_on_one_line():
    """Those of several lines lose the space between two words where they are joined."""
    for page in sorted(DOCS.glob("*.md")):
        for words in re.findall(r"!\[([^\]]*)\]\(", page.read_text(encoding="utf-8")):
            assert words, f"a picture of {page.name} has no words"
            assert "\n" not in words, f"{page.name}: {words}"


def test_links_of_the_repository_become_pages_of_the_site():
    to_the_site = extension("repository_links").to_the_site
    assert to_the_site("[a](examples/plot_1_combine.py)") == "[a](gallery/plot_1_combine.rst)"
    assert to_the_site("[a](../CONTRIBUTING.md#x), [b](docs.md)") == "[a](contributing.md#x), [b](docs.md)"
    assert (
        to_the_site("[a](../CHANGELOG.md) [b](../benchmarks/results)") == "[a](changelog.md) [b](../benchmarks/results)"
    )


def test_every_command_is_in_the_reference():
    text = (DOCS / "api" / "command-line.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^\.\. command-help:: (.+)$", text) == list(COMMANDS)
    assert re.findall(r"(?m)^## counterpoint (.+)$", text) == list(COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_says_what_it_does(command):
    help_of = extension("command_help").help_of
    assert help_of(command).startswith(f"usage: counterpoint {command}".rstrip())


def commands(page):
    """What follows ``counterpoint`` on each line of the page's console blocks."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and Path(words[0]).name == "counterpoint" and "--help" not in words:
                yield words[1:]


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda path: path.name)
def test_commands_have_the_options_that_they_are_shown_with(page):
    shown = list(commands(page))
    assert shown or page.stem not in {"README", "getting-started", "study"}
    for words in shown:
        parser = make_parser(words)
        assert parser.parse_args(words).subcommand == words[0]


def test_the_first_table_is_what_the_first_command_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = DOCS / "getting-started.md"
    (block,) = re.findall(r"^```python no-run\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    exec(compile(block, str(page), "exec"), {"__name__": "__main__"})  # noqa: S102  (our own text)
    (words,) = [words for words in commands(page) if words[0] == "study"]
    asked = make_parser(words).parse_args(words).study
    options = TableOptions(tuple(asked.targets.split(",")), tasks=tuple(asked.task))
    table = prepare(asked.table, options, tmp_path / "prepared")
    assert [(target.name, target.kind) for target in table.schema.targets] == [
        ("price", "regression"),
        ("visitors", "count"),
        ("sold", "binary"),
    ]
    capsys.readouterr()
