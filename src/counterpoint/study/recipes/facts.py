"""What a recipe's report says beside its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from counterpoint.study.recipes.methods import TUNED, UNIFORM
from counterpoint.study.summary import BASELINE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterpoint.data.images import ImageTarget
    from counterpoint.study.recipes.compare import Trainings
    from counterpoint.study.recipes.methods import RecipeMethod
    from counterpoint.study.recipes.recipe import Changed, Recipe
    from counterpoint.study.source import Source


def facts(trainings: Trainings, targets: Mapping[str, ImageTarget | int]) -> dict[str, Any]:
    """Title, data, tasks, methods, settings, choices and failures of finished trainings, as plain values."""
    recipe, source = trainings.recipe, trainings.source
    return {
        "title": recipe.title,
        "question": recipe.question,
        "paper": recipe.paper,
        "recipe": recipe.name,
        "data": source.about(),
        "tasks": [_described(name, targets[name], source) for name in source.tasks],
        "network": source.network,
        "training": _training(recipe),
        "methods": [
            {
                "key": method.key,
                "label": method.label,
                "words": _words(method, recipe),
                "trainings": _count(method.key, recipe, source),
            }
            for method in recipe.methods
        ],
        "changes": "; ".join(f"{task} loss{_change(change)}" for task, change in recipe.losses.items()),
        "differences": recipe.differences,
        "reference": BASELINE if any(method.key == BASELINE for method in recipe.methods) else recipe.methods[0].key,
        "seeds": recipe.seeds,
        "scales": trainings.scales,
        "tried": trainings.tried,
        "failed": _failed(trainings),
    }


def _failed(trainings: Trainings) -> list[dict[str, Any]]:
    """Trainings without results, those of the search for loss scales too."""
    asked = [
        (method, job)
        for method in trainings.recipe.methods
        for seed in range(trainings.recipe.seeds)
        for job in trainings.jobs(method, seed)
        if method.key != TUNED or trainings.scales
    ]
    asked += [(job.method, job) for job in trainings.candidates]
    return [
        {
            "method": method.key,
            "label": method.label,
            "seed": job.seed,
            "training": job.title,
            "error": trainings.failed[job.run].error,
        }
        for method, job in {(method.key, job.run): (method, job) for method, job in asked}.values()
        if job.run in trainings.failed
    ]


def _described(name: str, target: ImageTarget | int, source: Source) -> dict[str, str]:
    task = source.task(name)
    kind = "classes" if isinstance(target, int) else target.kind
    if isinstance(target, int):
        words = f"{target} classes"
    elif target.kind == "segmentation":
        words = f"{len(target.classes)} classes: {', '.join(target.classes)}"
    else:
        words = target.unit
    return {"name": name, "kind": kind, "description": words, "metric": task.metric_name}


def _training(recipe: Recipe) -> str:
    own, fit = recipe.optimizer, recipe.fit
    names = {"adam": "Adam", "sgd": f"SGD with momentum {own.momentum:g}"}
    words = f"{names.get(own.name, own.name)}, learning rate {own.lr:g}"
    if own.decay_every is not None:
        words += f", times {own.decay:g} every {own.decay_every} epochs"
    if own.weight_decay:
        words += f", weight decay {own.weight_decay:g}"
    tested = "tested at the epoch with the best validation score"
    return f"{words}; {fit.epochs} epoch{'s' if fit.epochs > 1 else ''} of batches of {fit.batch_size}; {tested}"


def _words(method: RecipeMethod, recipe: Recipe) -> str:
    if method.key == BASELINE:
        return "a network for each task, each tested at its own best epoch"
    if method.key == TUNED:
        tried = f"the best of {recipe.trials + 1} vectors of loss scales, the plain sum among them"
        return f"{tried}, chosen on validation rows with one seed"
    if method.key == UNIFORM:
        return "the plain sum of losses"
    options = "" if method.options == "{}" else f", options {method.options}"
    heads = "heads by their own loss" if method.heads == "own" else "heads weighted like the shared part"
    return f"balanced at the {method.level}, {heads}{options}"


def _count(key: str, recipe: Recipe, source: Source) -> int:
    """Trainings that one result takes, with the search for it spread over the seeds left out of it."""
    if key == BASELINE:
        return len(source.tasks) * recipe.seeds
    return recipe.seeds + (recipe.trials if key == TUNED else 0)


def _change(change: Changed) -> str:
    power = "" if change.power == 1 else f" to the power of {change.power:g}"
    factor = "" if change.factor == 1 else f" x {change.factor:g}"
    return f"{power}{factor}"
