"""What the README prints works as printed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCREEN_AND_A_HALF = 135  # lines: 90 of a tall editor window, and half as many again


@pytest.mark.parametrize("snippet", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_snippets_run(snippet, capsys):
    exec(compile(snippet, "README.md", "exec"), {})  # noqa: S102  (our own text)
    assert "tensor" in capsys.readouterr().out


def test_it_is_a_screen_and_a_half():
    assert len(README.splitlines()) <= SCREEN_AND_A_HALF
    assert max(len(line) for line in README.splitlines() if not line.startswith("|")) <= 120


def test_its_commands_and_links_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"(?m)(?:^|`)make (\w+)", README)
    assert {"test", "docs", "bench", "lint"} <= set(targets)
    for target in targets:
        assert f"\n{target}:" in makefile, f"make {target} is not a target"
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    links = [*re.findall(r"\]\((?!http)([^)#]+)\)", prose), *re.findall(r'src="([^"]+)"', prose)]
    assert "docs/pictures/report-study.png" in links, "shows a report"
    for link in links:
        assert (ROOT / link).exists(), link


def test_its_commands_are_those_of_the_command_line():
    names = set(re.findall(r"counterpoint ([a-z]+)", re.sub(r"import.*", "", README)))
    assert {"demo", "group", "explain", "study", "predict"} <= names
    commands = {path.stem for path in (ROOT / "src" / "counterpoint" / "commands").glob("*.py")}
    assert names <= commands
