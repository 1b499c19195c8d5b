"""What a recipe compares: a network for each task, sums of losses, weightings. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, cast

from counterpoint.study.plan import label_of
from counterpoint.study.summary import BASELINE
from counterpoint.study.weighting_choice import choice_of, written

Level = Literal["features", "parameters"]
Heads = Literal["own", "weighted"]

TUNED = "tuned"
UNIFORM = "uniform"
_AT_PARAMETERS = "@parameters"
# Reports compare with these.
_TAKEN = {BASELINE, TUNED, UNIFORM}
_NAMES_AT_PARAMETERS = {"mgda": "MGDA", "dibs": "DiBS-MTL"}


@dataclass(frozen=True)
class RecipeMethod:
    """One way to train all tasks of a recipe.

    Attributes:
        key: Tells methods apart: ``"single"`` (a network for each task), ``"uniform"``, ``"tuned"`` (the best of some
            loss scales), or a weighting, with ``"@parameters"`` where gradients are compared there.
        label: The name for people.
        weighting: Name of the weighting.
        level: Where gradients are compared.
        heads: Whether a head's gradient is multiplied by its task's weight.
        options: The weighting's options, as JSON.

    Example:
        >>> RecipeMethod.of("mgda").label, RecipeMethod.of("mgda@parameters").label, RecipeMethod.of("mgda").heads
        ('MGDA-UB', 'MGDA', 'own')
    """

    key: str
    label: str
    weighting: str
    level: Level = "features"
    heads: Heads = "weighted"
    options: str = "{}"

    @classmethod
    def of(cls, given: str | dict[str, Any]) -> RecipeMethod:
        """From a key, or from a mapping with a ``weighting`` and what else is to be said of it.

        By default heads are weighted as the sum of weighted losses has it, except for MGDA, whose Algorithm 2 (Sener &
        Koltun 2018) trains each head by its own loss, and for weightings without a weight a task.

        Raises:
            ValueError: for an unknown weighting or option, or a key that stands for something else.
        """
        said = _said(given)
        if not isinstance(said.get("weighting"), str):
            raise ValueError(  # noqa: TRY004  (what users write, like every other value)
                f"method {given!r} names no weighting, expected one such as 'uniform' or {{weighting: mgda}}"
            )
        key = str(said.pop("weighting")).strip().lower()
        name = key.removesuffix(_AT_PARAMETERS)
        at_parameters = key.endswith(_AT_PARAMETERS)
        label = _NAMES_AT_PARAMETERS.get(name, f"{label_of(name)} on parameters") if at_parameters else label_of(name)
        if name == TUNED:
            label = "Tuned loss scales"
        label = str(said.pop("label", label))
        if name in {BASELINE, TUNED} and (said or at_parameters):
            what = "a network for each task" if name == BASELINE else "sums of losses"
            raise ValueError(f"method {given!r} is no weighting but {what}, expected {name!r} without options")
        own, key = key, str(said.pop("key", key))
        if key != own and key in _TAKEN:
            raise ValueError(f"method {own!r} has the key {key!r}, which stands for another method, expected a new one")
        heads = said.pop("heads", None)
        if heads is None:
            heads = "own" if name in {"mgda", UNIFORM, BASELINE} or _without_weights(name, said) else "weighted"
        if heads not in {"own", "weighted"}:
            raise ValueError(f"method {key!r} has heads={heads!r}, expected 'own' or 'weighted'")
        if name not in {BASELINE, TUNED}:
            _check(name, said, cast("Heads", heads), at_parameters)
        weighting = UNIFORM if name in {BASELINE, TUNED} else name
        level: Level = "parameters" if at_parameters else "features"
        return cls(key, label, weighting, level, cast("Heads", heads), json.dumps(said, sort_keys=True))

    @property
    def content(self) -> dict[str, Any]:
        """What its trainings depend on."""
        return {"weighting": self.weighting, "level": self.level, "heads": self.heads, "options": self.options}


def methods_of(given: list[Any]) -> tuple[RecipeMethod, ...]:
    """Several methods, each once.

    Raises:
        ValueError: for none, one given twice, or an unknown one.

    Example:
        >>> [method.label for method in methods_of(["single", "uniform", {"weighting": "mgda", "normalize": "loss+"}])]
        ['Single-task', 'Uniform', 'MGDA-UB']
    """
    methods = tuple(RecipeMethod.of(each) for each in given)
    if not methods:
        raise ValueError("methods is empty, expected names such as single, uniform, mgda")
    keys = [method.key for method in methods]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"method {twice[0]!r} is given twice, expected each once; give one of them another key")
    return methods


def _said(given: Any) -> dict[str, Any]:
    """The mapping that says the same as ``"cagrad(c=0.4)"``, or with ``"@parameters"`` behind it."""
    if isinstance(given, dict):
        return dict(given)
    if not isinstance(given, str) or "(" not in given:
        return {"weighting": given}
    text = given.strip()
    place = _AT_PARAMETERS if text.endswith(_AT_PARAMETERS) else ""
    name, options = choice_of(text.removesuffix(place))
    text = written(text.removesuffix(place)) + place
    words = f"{label_of(text.removesuffix(place))}{' on parameters' if place else ''}"
    return {"weighting": name + place, "key": text, "label": words, **options}


def _without_weights(name: str, options: dict[str, Any]) -> bool:
    if name in {BASELINE, TUNED}:
        return False
    from counterpoint.balancing import get_weighting  # noqa: PLC0415  (loads torch)

    return bool(getattr(get_weighting(name, **options), "needs_rows", False))


def _check(name: str, options: dict[str, Any], heads: Heads, at_parameters: bool) -> None:
    """What every training would refuse is refused before the first."""
    from counterpoint.balancing import FanOut, get_weighting  # noqa: PLC0415  (loads torch)
    from counterpoint.training.parameter_level import ParameterLevel  # noqa: PLC0415

    fan = FanOut(get_weighting(name, **options), ("a", "b"), heads=heads)
    if at_parameters:
        ParameterLevel(fan)
