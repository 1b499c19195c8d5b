"""A weighting as people write it, with its options: ``mgda``, ``cagrad(c=0.4)``."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterpoint.balancing import Weighting

_FORM = re.compile(r"\s*(?P<name>[^()=,]+?)\s*(?:\((?P<options>.*)\))?\s*")
_OPTION = re.compile(r"\s*(?P<name>\w+)\s*=\s*(?P<value>(?:\[[^\]]*\]|\([^)]*\)|[^,])*?)\s*(?:,|$)")


def choice_of(text: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a weighting.

    Raises:
        ValueError: for text of another form.

    Example:
        >>> choice_of("CAGrad(c=0.4)"), choice_of("mgda(normalize=l2)")
        (('cagrad', {'c': 0.4}), ('mgda', {'normalize': 'l2'}))
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"weighting {text!r} has another form than expected, such as mgda or cagrad(c=0.4)")
    given, options, place = match["options"] or "", {}, 0
    while place < len(given):
        option = _OPTION.match(given, place)
        if option is None or option["name"] in options:
            raise ValueError(f"weighting {text!r} has other options than expected, such as cagrad(c=0.4), each once")
        options[option["name"]] = _value(option["value"])
        place = option.end()
    return match["name"].lower(), options


def written(text: str) -> str:
    """The same in one way, however it was written: it names the method in results.

    Example:
        >>> written("MGDA"), written("cagrad( c = .4 )")
        ('mgda', 'cagrad(c=0.4)')
    """
    name, options = choice_of(text)
    if not options:
        return name
    bare = {key: isinstance(value, str) and _value(value) == value for key, value in options.items()}
    return f"{name}({', '.join(f'{key}={value if bare[key] else repr(value)}' for key, value in options.items())})"


def weighting_of(text: str) -> Weighting:
    """The weighting, made anew.

    Raises:
        ValueError: for an unknown name, or an option that it does not have, that is missing or out of range.
        ImportError: if a package that it needs is missing.

    Example:
        >>> weighting_of("mgda(solver=frank-wolfe)")
        MGDA(solver='frank-wolfe', normalize='none')
    """
    from counterpoint.balancing import get_weighting  # noqa: PLC0415  (loads torch)

    name, options = choice_of(text)
    try:
        return get_weighting(name, **options)
    except ValueError as error:
        # Who wrote "cagrad" is to write "cagrad(c=...)", whatever is called with it then.
        raise ValueError(re.sub(r"get_weighting\('([^']*)', ([^()]*)\)", r"\1(\2)", str(error))) from None


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text, text)
