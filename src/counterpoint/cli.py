"""The command line: parses, runs a command, and says in one line what the user can mend."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, NoReturn

from counterpoint.commands.parser import COMMANDS, make_parser

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0 when done, 2 for what the user can mend, 130 when interrupted."""
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        parser = make_parser(given)
    except ImportError:
        return _complain("the command line needs the extra 'study': pip install 'counterpoint[study]'")
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415

    for stream in (sys.stdout, sys.stderr):  # an arrow that the terminal cannot show must not end a study
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    lost = "this study's results were not saved"
    try:
        chosen = parser.parse_args(given)
        options = chosen[chosen.subcommand].as_dict()
        options.pop("config", None)
        if chosen.subcommand == "study":
            lost = "finished runs are kept: the same command goes on from there"
        COMMANDS[chosen.subcommand](**options)
    except (ValueError, OSError, ArithmeticError) as error:
        return _complain(" ".join(str(error).split()))
    except ImportError as error:
        return _complain(f"{error}; this command needs the extra 'study': pip install 'counterpoint[study]'")
    except BrokenProcessPool:
        return _complain("a training process was killed, perhaps for want of memory; try fewer --workers")
    except KeyboardInterrupt:
        return _complain(f"interrupted; {lost}", code=130)
    return 0


def _complain(message: str, code: int = 2) -> int:
    print(f"counterpoint: {message}", file=sys.stderr)  # noqa: T201
    return code
