"""Test images of a recipe with the targets of each task and what each method made of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.report.methods import methods_of, tasks_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.report.methods import Method
    from counterpoint.study.recipes.results import RecipeResults

    # Example, kind, task and method.
    _Place = tuple[str, str, str, str]

# Each holds a picture a task and method; with more of them the page grows, and shows nothing new.
MAX_EXAMPLES = 8


@dataclass(frozen=True)
class Shown:
    """One picture as a data URI, empty where there is none, and what a reader who cannot see it should know."""

    source: str
    alt: str


@dataclass(frozen=True)
class TaskPictures:
    """One task of an example: its target, and a prediction for each method."""

    task: str
    target: Shown
    predictions: list[Shown]


@dataclass(frozen=True)
class Example:
    """One test row: the image, and its tasks."""

    name: str
    image: Shown
    tasks: list[TaskPictures]


def recipe_pictures(results: RecipeResults) -> tuple[list[Method], list[Example]]:
    """The first few test rows, and the methods that predicted them.

    Args:
        results: A finished recipe.
    """
    pictures = results.pictures
    if pictures.empty:
        return [], []
    names = ("example", "kind", "task", "method")
    places = zip(*(pictures[name].fillna("").astype(str).tolist() for name in names), strict=True)
    sources = {
        place: "data:image/png;base64," + base64.b64encode(png).decode()
        for place, png in zip(places, pictures["png"].tolist(), strict=True)
        if isinstance(png, bytes) and png
    }
    predicting = {method for _, kind, _, method in sources if kind == "prediction"}
    methods = [method for method in methods_of(results.scores) if method.key in predicting]
    some = list(dict.fromkeys(example for example, *_ in sources))[:MAX_EXAMPLES]
    tasks = tasks_of(results.scores)
    return methods, [_example(name, f"test image {n}", sources, methods, tasks) for n, name in enumerate(some, start=1)]


def _example(
    key: str, name: str, sources: Mapping[_Place, str], methods: Sequence[Method], tasks: Sequence[str]
) -> Example:
    lines = []
    for task in tasks:
        target = Shown(sources.get((key, "target", task, ""), ""), f"{task}, {name}: target")
        said = [
            Shown(sources.get((key, "prediction", task, method.key), ""), f"{task}, {name}: {method.label}")
            for method in methods
        ]
        if any(shown.source for shown in (target, *said)):
            lines.append(TaskPictures(task, target, said))
    return Example(name.capitalize(), Shown(sources.get((key, "input", "", ""), ""), name.capitalize()), lines)
