"""Options of every command, from their signatures."""

from __future__ import annotations

from inspect import signature
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint import __version__
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
# What is given by its place, without a name.
_BY_PLACE = {
    "study": ("table",),
    "group": ("affinity",),
    "recipe": ("name",),
    "predict": ("bundle", "table"),
    "export": ("bundle",),
    "report": ("folder",),
}
_MORE = "Each has a help of its own: counterpoint study --help."


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """What parses the command line; raises ``argparse.ArgumentError`` for what it cannot parse.

    Args:
        arguments: What will be parsed; options are looked up of the command in it alone.

    Raises:
        ImportError: without the extra 'study'.
    """
    from jsonargparse import ArgumentParser  # noqa: PLC0415

    from counterpoint.commands.help_text import HelpText  # noqa: PLC0415

    # Abbreviations: jsonargparse warns of them, and they change their meaning with every new option.
    how: dict[str, Any] = {"formatter_class": HelpText, "exit_on_error": False, "allow_abbrev": False}
    whole = ArgumentParser(
        prog="counterpoint", description="Multi-task learning on PyTorch.", version=__version__, **how
    )
    commands = whole.add_subcommands(required=True, title="commands", description=_MORE)
    for name, command in COMMANDS.items():
        lines = (command.__doc__ or "").partition("\n\n    Args:")[0]
        own = ArgumentParser(description=lines, **how)
        if name in arguments:  # reading a signature loads what its types come from
            _add_options(own, command)
        commands.add_subcommand(name, own, help=lines.partition("\n")[0])
        own.prog = f"counterpoint {name}"
    return whole


def options_of(command: str) -> tuple[str, ...]:
    """The options of a command, such as ``--seeds``, without what is given by its place."""
    by_place = _BY_PLACE.get(command, ())
    return tuple(
        f"--{name.replace('_', '-')}" for name in signature(COMMANDS[command]).parameters if name not in by_place
    )


def _add_options(parser: ArgumentParser, command: Callable[..., None]) -> None:
    from jsonargparse import ActionYesNo  # noqa: PLC0415

    parser.add_argument("--config", action="config", help="read options from a YAML file.")
    if command is study:
        parser.add_argument("table", nargs="?", type=str, help="the table: CSV, .csv.gz or Parquet.")
        parser.add_argument(
            "--task", action="append", default=[], help="what a target is, such as price:regression:log; repeat it."
        )
        parser.add_function_arguments(command, as_group=False, skip={"table", "task"})
    elif command is group:  # the one file that may be left out
        parser.add_argument("affinity", nargs="?", type=Path, help="a saved affinity (JSON): is grouped as it is.")
        parser.add_function_arguments(command, as_group=False, skip={"affinity", "replicates"})
        # One that may say "=false", as a config file does: nothing by its place stands behind it.
        yes_no = ActionYesNo(yes_prefix="", no_prefix="no-")
        parser.add_argument("--replicates", action=yes_no, nargs="?", default=False, help=_said(command, "replicates"))
    elif command is explain:
        parser.add_function_arguments(command, as_group=False, skip={"curvature"})
        yes_no = ActionYesNo(yes_prefix="", no_prefix="no-")
        parser.add_argument("--curvature", action=yes_no, nargs="?", default=True, help=_said(command, "curvature"))
    elif command is recipe:
        parser.add_argument("name", nargs="?", type=str, default="", help="a recipe, or a .yaml file of your own.")
        parser.add_function_arguments(command, as_group=False, skip={"name", "tiny", "show"})
        for name in ("tiny", "show"):
            parser.add_argument(f"--{name}", action="store_true", help=_said(command, name))
    elif command is predict:
        parser.add_function_arguments(command, as_group=False, as_positional=True, skip={"out", "probabilities"})
        parser.add_argument("-o", "--out", type=Path | None, help=_said(command, "out"))
        parser.add_argument("--probabilities", action="store_true", help=_said(command, "probabilities"))
    else:
        parser.add_function_arguments(command, as_group=False, as_positional=command in {report, export})
    _dashed(parser)


def _said(command: Callable[..., None], name: str) -> str:
    """What a command's docstring says of an option."""
    lines = (command.__doc__ or "").partition(f"\n        {name}: ")[2].splitlines()
    more = takewhile(lambda line: line.startswith(" " * 12), lines[1:])
    return " ".join(line.strip() for line in (lines[0], *more))


def _dashed(parser: ArgumentParser) -> None:
    """Shows ``--group-by`` where a parameter is called ``group_by``; both are understood, configs say ``group_by``."""
    for action in parser._actions:  # noqa: SLF001  (argparse has no other way to an option's names)
        for option in [option for option in action.option_strings if "_" in option]:
            dashed = option.replace("_", "-")
            action.option_strings = [dashed if name == option else name for name in action.option_strings]
            parser._option_string_actions[dashed] = action  # noqa: SLF001
