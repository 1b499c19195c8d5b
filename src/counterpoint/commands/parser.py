"""Options of every command, from their signatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.commands.demo import demo
from counterpoint.commands.explain import explain
from counterpoint.commands.export import export
from counterpoint.commands.group import group
from counterpoint.commands.predict import predict
from counterpoint.commands.recipe import recipe
from counterpoint.commands.report import report
from counterpoint.commands.study import study

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jsonargparse import ArgumentParser

COMMANDS: dict[str, Callable[..., None]] = {
    "study": study,
    "predict": predict,
    "export": export,
    "group": group,
    "explain": explain,
    "recipe": recipe,
    "report": report,
    "demo": demo,
}


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """What parses the command line.

    Args:
        arguments: What will be parsed; options are looked up of the command in it alone.

    Raises:
        ImportError: without the extra 'study'.
    """
    from jsonargparse import ArgumentParser  # noqa: PLC0415

    whole = ArgumentParser(prog="counterpoint", description="Multi-task learning on PyTorch.")
    commands = whole.add_subcommands(required=True)
    for name, command in COMMANDS.items():
        lines = (command.__doc__ or "").partition("\n\n    Args:")[0]
        own = ArgumentParser(description=lines)
        if name in arguments:  # reading a signature loads what its types come from
            _add_options(own, command)
        commands.add_subcommand(name, own, help=lines.partition("\n")[0])
    return whole


def _add_options(parser: ArgumentParser, command: Callable[..., None]) -> None:
    parser.add_argument("--config", action="config", help="Read options from a YAML file.")
    if command is group:  # the one file that may be left out
        parser.add_argument("affinity", nargs="?", type=Path, help="A saved affinity (JSON): is grouped as it is.")
        parser.add_function_arguments(command, as_group=False, skip={"affinity"})
    elif command is study:
        parser.add_argument("table", nargs="?", type=str, help="The table: CSV, .csv.gz or Parquet.")
        parser.add_argument(
            "--task", action="append", default=[], help="What a target is, such as price:regression:log; repeat it."
        )
        parser.add_function_arguments(command, as_group=False, skip={"table", "task"})
    elif command is recipe:
        parser.add_argument("name", nargs="?", type=str, default="", help="A recipe, or a .yaml file of your own.")
        parser.add_function_arguments(command, as_group=False, skip={"name", "tiny", "show"})
        parser.add_argument("--tiny", action="store_true", help="Rehearse on little generated data in the same layout.")
        parser.add_argument("--show", action="store_true", help="Print the recipe's YAML and do nothing.")
    elif command is predict:
        parser.add_function_arguments(command, as_group=False, as_positional=True, skip={"out", "probabilities"})
        parser.add_argument("-o", "--out", type=Path | None, help="Where predictions go: a .csv or .parquet file.")
        parser.add_argument("--probabilities", action="store_true", help="Give the probability of every class.")
    else:
        parser.add_function_arguments(command, as_group=False, as_positional=command in {report, export})
    _dashed(parser)


def _dashed(parser: ArgumentParser) -> None:
    """Shows ``--group-by`` where a parameter is called ``group_by``; both are understood, configs say ``group_by``."""
    for action in parser._actions:  # noqa: SLF001  (argparse has no other way to an option's names)
        for option in [option for option in action.option_strings if "_" in option]:
            dashed = option.replace("_", "-")
            action.option_strings = [dashed if name == option else name for name in action.option_strings]
            parser._option_string_actions[dashed] = action  # noqa: SLF001
