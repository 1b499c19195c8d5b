"""What was typed wrong, in one line: what was given, what was expected, what to do."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "dict": "names with values"}


def in_one_line(message: str, command: str | None, commands: Sequence[str], options: Sequence[str]) -> str:
    """What the parser complains about, in our words.

    Args:
        message: The parser's.
        command: The command that was called, if there is one.
        commands: Those that there are.
        options: Those of the command, such as ``--seeds``.

    Example:
        >>> print(in_one_line("unrecognized arguments: --sedes=3", "demo", ["demo"], ["--seeds", "--out"]))
        demo knows no --sedes, expected options of it: did you mean --seeds?
        >>> print(in_one_line('Parser key "seeds": Expected a <class "int">. Got value: two', "demo", ["demo"], []))
        --seeds is 'two', expected a whole number
    """
    said = " ".join(message.split())
    if command is None:
        return _no_command(said, commands)
    if wrong := _wrong_value(said, command):
        return wrong
    if match := re.match(r"the following arguments are required: (?P<names>.*)", said):
        lacking = [_dashed(name.rpartition(".")[2]) for name in match["names"].split(", ")]
        words = [f"--{name}" if f"--{name}" in options else name.upper() for name in lacking]
        return f"{command} lacks {' and '.join(words)}, expected to be given: see counterpoint {command} --help"
    if match := re.match(r"unrecognized arguments: (?P<given>\S*)", said):
        given = match["given"].partition("=")[0]
        near = difflib.get_close_matches(given, options, n=1) if given.startswith("-") else []
        hint = f"did you mean {near[0]}?" if near else f"see counterpoint {command} --help"
        return f"{command} knows no {given}, expected options of it: {hint}"
    if match := re.match(r"Subcommand '\w+' does not accept option '(?P<name>.*)'", said):
        near = difflib.get_close_matches(_dashed(match["name"]), [name.lstrip("-") for name in options], n=1)
        hint = f"did you mean {near[0].replace('-', '_')!r}?" if near else f"see counterpoint {command} --help"
        return f"the config file says {match['name']!r}, expected options of {command}: {hint}"
    return f"{said}: see counterpoint {command} --help"


def _wrong_value(said: str, command: str) -> str:
    """Nothing if it is about something else."""
    if match := re.match(r'Parser key "config": File does not exist: (?P<file>.*)', said):
        return f"there is no config file {match['file']}, expected a YAML file with options of {command}"
    if match := re.match(r'Parser key "(?P<name>[\w.-]+)": .*(?:Got|Given) value: (?P<value>.*)', said):
        expected = dict.fromkeys(
            word for found in re.findall(r"Expected a (<[^>]*>|\S*\[[^\]]*\])", said) if (word := _word(found))
        )
        if expected:
            return f"--{_dashed(match['name'])} is {match['value']!r}, expected {' or '.join(expected)}"
    return ""


def _no_command(said: str, commands: Sequence[str]) -> str:
    expected = f"expected one of {', '.join(commands)}"
    match = re.search(r"invalid choice: '(?P<given>[^']*)'", said)
    if match is None:
        what = "no command is given" if "subcommand" in said else said
        return f"{what}, {expected}: counterpoint --help says what they do"
    near = difflib.get_close_matches(match["given"], commands, n=1)
    hint = f"did you mean {near[0]}?" if near else "counterpoint --help says what they do"
    return f"there is no command {match['given']!r}, {expected}: {hint}"


def _word(found: str) -> str:
    """A type, as people call it; nothing for that of an option that is not given."""
    if found.startswith("typing.Literal"):
        return "one of " + found.partition("[")[2].rstrip("]").replace("'", "")
    name = re.sub(r"\W|^class", "", found.removeprefix("<class ").partition("[")[0])
    return "" if name == "NoneType" else _TYPES.get(name, name)


def _dashed(name: str) -> str:
    return name.replace("_", "-")
