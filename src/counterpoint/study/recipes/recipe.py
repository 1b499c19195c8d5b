"""A recipe: a published experiment, or one of your own, in a YAML file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from counterpoint.study.recipes.methods import RecipeMethod, methods_of
from counterpoint.training.optimization import Optimization
from counterpoint.training.settings import FitSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["compare", "group"]


@dataclass(frozen=True)
class Changed:
    """A loss in other units or on another scale: ``factor * loss ** power``.

    Attributes:
        factor: What the loss is multiplied by.
        power: To what power it is raised before.
    """

    factor: float = 1.0
    power: float = 1.0

    def __post_init__(self) -> None:
        if not (self.factor > 0 and self.power > 0):
            raise ValueError(f"a loss is changed by factor {self.factor} and power {self.power}, expected both above 0")


@dataclass(frozen=True)
class Recipe:
    """What to train on which data, and what to compare.

    Attributes:
        name: Its name.
        title: One line for people.
        question: What it asks, in a sentence or two.
        paper: Where the experiment is from.
        kind: ``"compare"`` methods of training, or ``"group"`` tasks by affinity.
        data: The data ``source`` and its options.
        tasks: Names of the tasks; all of the data's if empty.
        losses: Changed losses by task.
        encoder: ``name`` of an encoder of ours or ``class_path``, and its arguments.
        head: The same for heads; by kind of target, where they differ.
        methods: What is compared.
        networks: For ``"group"``: the most networks to serve.
        method: For ``"group"``: how affinities are measured.
        every: For ``"group"``: steps from one measurement to the next.
        seeds: Trainings of each.
        trials: Loss scales that are tried for ``"tuned"``.
        fit: How to train.
        optimizer: With which optimizer.
        differences: What differs from the paper, in words.
        generated: For a rehearsal: how much data to generate in the layout of the real ones.

    Example:
        >>> recipe, rehearsal = load_recipe("celeba"), load_recipe("celeba", tiny=True)
        >>> recipe.kind, recipe.data["source"], rehearsal.fit.epochs < recipe.fit.epochs
        ('compare', 'celeba', True)
    """

    name: str
    title: str
    data: Mapping[str, Any]
    encoder: Mapping[str, Any]
    head: Mapping[str, Any]
    question: str = ""
    paper: str = ""
    kind: Kind = "compare"
    tasks: tuple[str, ...] = ()
    losses: Mapping[str, Changed] = field(default_factory=dict)
    methods: tuple[RecipeMethod, ...] = ()
    networks: int = 3
    method: Literal["first-order", "last-layer", "lookahead", "features"] = "first-order"
    every: int = 10
    seeds: int = 3
    trials: int = 8
    fit: FitSettings = field(default_factory=FitSettings)
    optimizer: Optimization = field(default_factory=Optimization)
    differences: str = ""
    generated: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in {"compare", "group"}:
            raise ValueError(f"recipe {self.name!r} is of kind {self.kind!r}, expected 'compare' or 'group'")
        for name, least in (("seeds", 1), ("networks", 1), ("every", 1), ("trials", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f"{name} is {value!r}, expected a whole number, at least {least}")
        if self.kind == "compare" and not self.methods:
            raise ValueError(f"recipe {self.name!r} compares nothing, expected methods such as single, uniform, mgda")
        if "source" not in self.data:
            raise ValueError(f"recipe {self.name!r} has data without a source, expected one such as 'celeba'")

    @classmethod
    def of(cls, name: str, document: Mapping[str, Any]) -> Recipe:
        """From a YAML document.

        Raises:
            ValueError: for what is missing, unknown or makes no sense.
        """
        known = [each.name for each in fields(cls) if each.name != "name"]
        _check_keys(name, document, known)
        if missing := [key for key in ("title", "data", "encoder", "head") if key not in document]:
            raise ValueError(f"recipe {name!r} has no {missing[0]!r}, expected title, data, encoder and head")
        for key in ("data", "encoder", "head", "losses", "fit", "optimizer", "generated"):
            if not isinstance(document.get(key, {}), Mapping):
                raise ValueError(f"recipe {name!r} has {key}: {document[key]!r}, expected names with values")  # noqa: TRY004
        for key in ("methods", "tasks"):
            if not isinstance(document.get(key, []), list):
                raise ValueError(f"recipe {name!r} has {key}: {document[key]!r}, expected a list such as [a, b]")  # noqa: TRY004
        for task, own in document.get("losses", {}).items():
            if not isinstance(own, Mapping):
                raise ValueError(f"recipe {name!r} has losses: {task}: {own!r}, expected factor and power")  # noqa: TRY004
        values = dict(document)
        made: dict[str, Any] = {
            "methods": lambda given: methods_of(list(given)),
            "tasks": tuple,
            "losses": lambda given: {task: _made(name, Changed, own) for task, own in given.items()},
            "fit": lambda given: _made(name, FitSettings, given),
            "optimizer": lambda given: _made(name, Optimization, given),
        }
        return cls(name, **{key: made[key](value) if key in made else value for key, value in values.items()})


def recipe_names() -> list[str]:
    """Names of the recipes that come along.

    Example:
        >>> "celeba" in recipe_names()
        True
    """
    return sorted(each.name.removesuffix(".yaml") for each in _home().iterdir() if each.name.endswith(".yaml"))


def load_recipe(name: str, changes: Mapping[str, Any] | None = None, *, tiny: bool = False) -> Recipe:
    """A recipe by name, or from a YAML file of one's own.

    Args:
        name: One of :func:`recipe_names`, or the path of a ``.yaml`` file.
        tiny: Whether what the recipe says under ``tiny`` is put in place of the rest first: a rehearsal of every line
            on little data, in under a minute.
        changes: What to put in place of what is said there, such as ``{"seeds": 1, "fit": {"epochs": 2}}``.

    Raises:
        ValueError: for an unknown name, or a file that is no recipe.
    """
    document = _document(name)
    rehearsal = document.pop("tiny", {})
    if tiny:
        if not isinstance(rehearsal, Mapping) or not rehearsal:
            raise ValueError(f"recipe {name!r} says nothing under 'tiny', expected what a rehearsal changes")
        document = _merged(document, rehearsal)
    return Recipe.of(Path(name).stem, _merged(document, changes or {}))


def recipe_text(name: str) -> str:
    """The YAML of a recipe, to be saved, changed and run.

    Raises:
        ValueError: for an unknown name or a file that cannot be read.
    """
    if name.endswith((".yaml", ".yml")):
        try:
            return Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"cannot read recipe '{name}': {reason}") from None
    names = recipe_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no recipe is called {name!r}, expected {', '.join(names)}, or a .yaml file{hint}")
    return str((_home() / f"{name}.yaml").read_text(encoding="utf-8"))


def _home() -> Any:
    return resources.files("counterpoint.study.recipes") / "configs"


def _document(name: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(recipe_text(name))
    except yaml.YAMLError as error:
        raise ValueError(f"'{name}' is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ValueError(f"'{name}' holds no recipe, expected names with values such as title: ...")  # noqa: TRY004
    return document


def _merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes put in; a mapping with another ``name``, ``source`` or ``class_path`` stands for itself."""
    merged = dict(document)
    for key, value in changes.items():
        old = merged.get(key)
        another = isinstance(value, Mapping) and bool({"name", "source", "class_path"} & set(value))
        merged[key] = (
            _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) and not another else value
        )
    return merged


def _check_keys(name: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"recipe {name!r} has {key!r}, expected names among {', '.join(known)}{hint}")


def _made(name: str, kind: type[Any], given: Mapping[str, Any]) -> Any:
    _check_keys(name, given, [each.name for each in fields(kind)])
    defaults = {each.name: each.default for each in fields(kind)}
    try:
        return kind(**{key: _typed(key, defaults[key], value) for key, value in given.items()})
    except (TypeError, ValueError) as error:
        raise ValueError(f"recipe {name!r}: {error}") from None


def _typed(key: str, default: Any, value: Any) -> Any:
    """A value of its default's type; where that is None, a whole number."""
    if isinstance(default, float):
        try:
            return float(value)  # YAML takes 1e-4, without a dot, for text
        except (TypeError, ValueError):
            raise ValueError(f"{key} is {value!r}, expected a number") from None
    whole = default is None or type(default) is int
    if whole and type(value) is not int and not (value is None and default is None):
        raise ValueError(f"{key} is {value!r}, expected a whole number")
    return value
