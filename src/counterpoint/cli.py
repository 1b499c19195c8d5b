"""The command line: parses, runs a command, and says in one line what the user can mend."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from counterpoint.commands.demo import demo
from counterpoint.commands.explain import explain
from counterpoint.commands.export import export
from counterpoint.commands.group import group
from counterpoint.commands.predict import predict
from counterpoint.commands.report import report
from counterpoint.commands.study import study

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jsonargparse import ArgumentParser

_COMMANDS: dict[str, Callable[..., None]] = {
    "study": study,
    "predict": predict,
    "export": export,
    "group": group,
    "explain": explain,
    "report": report,
    "demo": demo,
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0 when done, 2 for what the user can mend, 130 when interrupted."""
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        parser = _parser()
    except ImportError:
        return _complain("the command line needs the extra 'study': pip install 'counterpoint[study]'")
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415

    for stream in (sys.stdout, sys.stderr):  # an arrow that the terminal cannot show must not end a study
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        chosen = parser.parse_args(None if arguments is None else list(arguments))
        options = chosen[chosen.subcommand].as_dict()
        options.pop("config", None)
        _COMMANDS[chosen.subcommand](**options)
    except (ValueError, OSError, ArithmeticError) as error:
        return _complain(" ".join(str(error).split()))
    except ImportError as error:
        return _complain(f"{error}; this command needs the extra 'study': pip install 'counterpoint[study]'")
    except BrokenProcessPool:
        return _complain("a training process was killed, perhaps for want of memory; try fewer --workers")
    except KeyboardInterrupt:
        if chosen.subcommand == "study":
            return _complain("interrupted; finished runs are kept: the same command goes on from there", code=130)
        return _complain("interrupted; this study's results were not saved", code=130)
    return 0


def _parser() -> ArgumentParser:
    from jsonargparse import ArgumentParser  # noqa: PLC0415

    parser = ArgumentParser(prog="counterpoint", description="Multi-task learning on PyTorch.")
    commands = parser.add_subcommands(required=True)
    for name, command in _COMMANDS.items():
        lines = (command.__doc__ or "").partition("\n\n    Args:")[0]
        own = ArgumentParser(description=lines)
        own.add_argument("--config", action="config", help="Read options from a YAML file.")
        if command is group:  # the one file that may be left out
            own.add_argument("affinity", nargs="?", type=Path, help="A saved affinity (JSON): is grouped as it is.")
            own.add_function_arguments(command, as_group=False, skip={"affinity"})
        elif command is study:
            own.add_argument("data", nargs="?", type=str | dict[str, Any], help="The table: CSV, .csv.gz or Parquet.")
            own.add_argument(
                "--task", action="append", default=[], help="What a target is, such as price:regression:log; repeat it."
            )
            own.add_function_arguments(command, as_group=False, skip={"data", "task"})
        elif command is predict:
            own.add_function_arguments(command, as_group=False, as_positional=True, skip={"out", "probabilities"})
            own.add_argument("-o", "--out", type=Path | None, help="Where predictions go: a .csv or .parquet file.")
            own.add_argument("--probabilities", action="store_true", help="Give the probability of every class.")
        else:
            own.add_function_arguments(command, as_group=False, as_positional=command in {report, export})
        commands.add_subcommand(name, own, help=lines.partition("\n")[0])
    return parser


def _complain(message: str, code: int = 2) -> int:
    print(f"counterpoint: {message}", file=sys.stderr)  # noqa: T201
    return code
