"""The command line: parses, runs a command, and says in one line what the user can mend."""

from __future__ import annotations

import io
import sys
from argparse import ArgumentError
from typing import TYPE_CHECKING, NoReturn

from counterpoint.commands.mistakes import in_one_line
from counterpoint.commands.parser import COMMANDS, make_parser, options_of

if TYPE_CHECKING:
    from collections.abc import Sequence


# What is left of a command that was interrupted.
_LOST = "nothing was written"
_LEFT = {
    "study": "finished runs are kept: the same command goes on from there",
    "recipe": "finished trainings are kept unless the recipe groups tasks: the same command goes on from there",
    **dict.fromkeys(("group", "explain", "demo"), "this study's results were not saved"),
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0 when done, 2 for what the user can mend, 130 when interrupted."""
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = next((word for word in given if word in COMMANDS), None)
    try:
        return _do(given)
    except ArgumentError as error:
        options = () if command is None else options_of(command)
        return _complain(in_one_line(str(error), command, list(COMMANDS), options))
    except (ValueError, OSError, ArithmeticError) as error:
        return _complain(" ".join(str(error).split()))
    except ImportError as error:
        return _complain(f"{error}; this command needs the extra 'study': pip install 'counterpoint[study]'")
    except KeyboardInterrupt:
        return _complain(f"interrupted; {_LEFT.get(command or '', _LOST)}", code=130)


def _do(given: list[str]) -> int:
    try:
        parser = make_parser(given)
    except ImportError:
        return _complain("the command line needs the extra 'study': pip install 'counterpoint[study]'")
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415

    for stream in (sys.stdout, sys.stderr):  # an arrow that the terminal cannot show must not end a study
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    chosen = parser.parse_args(given)
    options = chosen[chosen.subcommand].as_dict()
    options.pop("config", None)
    try:
        COMMANDS[chosen.subcommand](**options)
    except BrokenProcessPool:
        return _complain("a training process was killed, perhaps for want of memory; try fewer --workers")
    return 0


def _complain(message: str, code: int = 2) -> int:
    print(f"counterpoint: {message}", file=sys.stderr)  # noqa: T201
    return code
