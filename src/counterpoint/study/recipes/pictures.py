"""Pictures of a few test images: input, targets, and what networks predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from counterpoint.data import pictures
from counterpoint.study.recipes.compare import SHOWN, Trainings
from counterpoint.study.recipes.job import outputs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.data.images import ImageTarget
    from counterpoint.study.recipes.methods import RecipeMethod

# Methods whose predictions are shown, at the most, these before others: a page with more is no comparison any more.
_MOST_METHODS = 5
_FIRST = ("single", "uniform", "tuned", "mgda", "dibs")


def pictures_of(trainings: Trainings, targets: Mapping[str, ImageTarget | int]) -> list[dict[str, Any]]:
    """The first test rows, not chosen ones, with their targets and the first seed's predictions.

    Args:
        trainings: Finished trainings that kept outputs.
        targets: What images are labelled with, by task.

    Returns:
        Rows of ``RecipeResults.pictures``.
    """
    tasks = [name for name in trainings.source.tasks if not isinstance(targets[name], int)]
    test = trainings.source.splits(tasks)["test"]
    inputs, labels = test.rows(slice(0, min(SHOWN, len(test))))
    count = len(inputs)
    outputs: dict[tuple[str, str], np.ndarray] = {}
    labels_of = {}
    for method in _shown(trainings.recipe.methods):
        for job in trainings.jobs(method, 0):
            if job.run in trainings.records:
                labels_of[method.key] = method.label
                outputs |= {(method.key, task): own for task, own in outputs_of(job).items()}
    rows: list[dict[str, Any]] = []
    for example in range(count):
        png = pictures.png(pictures.image(inputs[example].numpy()))
        rows.append({"example": example, "kind": "input", "task": "", "method": "", "label": "", "png": png})
        for task in tasks:
            target = cast("ImageTarget", targets[task])
            truth = labels[task][example].numpy()
            limits = pictures.limits_of(target, truth) if target.kind in {"offsets", "depth", "map"} else None
            png = pictures.png(pictures.picture(target, truth, limits))
            rows.append({"example": example, "kind": "target", "task": task, "method": "", "label": "", "png": png})
            for key, label in labels_of.items():
                if (key, task) in outputs:
                    said = _values(target, outputs[key, task][example])
                    png = pictures.png(pictures.picture(target, said, limits))
                    rows.append(
                        {
                            "example": example,
                            "kind": "prediction",
                            "task": task,
                            "method": key,
                            "label": label,
                            "png": png,
                        }
                    )
    return rows


def _shown(methods: Sequence[RecipeMethod]) -> list[RecipeMethod]:
    ranked = sorted(methods, key=lambda method: _FIRST.index(method.key) if method.key in _FIRST else len(_FIRST))
    chosen = {method.key for method in ranked[:_MOST_METHODS]}
    return [method for method in methods if method.key in chosen]


def _values(target: Any, output: np.ndarray) -> np.ndarray:
    """A head's output as a target would be."""
    if target.kind == "segmentation":
        return np.asarray(output.argmax(0), dtype=np.int8)
    if target.kind == "normals":
        return np.asarray(output / np.maximum(np.linalg.norm(output, axis=0, keepdims=True), 1e-12))
    return output
