"""Pictures of the data with what each method predicted."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from counterpoint.report.methods import methods_of, tasks_of
from counterpoint.report.wording import NOTHING, listing

if TYPE_CHECKING:
    from counterpoint.report.methods import Method
    from counterpoint.study.results import Results

MAX_PICTURES = 12


@dataclass(frozen=True)
class Prediction:
    """What a method said; ``right`` is None where nothing was said or right has no meaning (measurements)."""

    text: str
    right: bool | None


@dataclass(frozen=True)
class Line:
    """One task of a picture: the target and a prediction for each method."""

    task: str
    target: str
    predictions: list[Prediction]


@dataclass(frozen=True)
class Picture:
    """One test input: its image as a data URI (empty without one), a description of it, and a line a task."""

    source: str
    alt: str
    lines: list[Line]


def pictures(results: Results) -> tuple[list[Method], list[Picture]]:
    """The first few examples of a study, and the methods that predicted them."""
    examples = results.examples
    if examples.empty:
        return [], []
    shown = set(examples["method"])
    methods = [method for method in methods_of(results.scores) if method.key in shown]
    measured = {str(task) for task, rows in examples.groupby("task") if _is_measured(rows)}
    order = [task for task in tasks_of(results.scores) if task in set(examples["task"].astype(str))]
    some = list(examples["example"].drop_duplicates())[:MAX_PICTURES]
    return methods, [_picture(examples[examples["example"] == name], methods, order, measured) for name in some]


def _picture(rows: pd.DataFrame, methods: list[Method], order: list[str], measured: set[str]) -> Picture:
    said = {(str(row.task), row.method): (_text(row.target), _text(row.prediction)) for row in rows.itertuples()}
    lines = []
    for task in order:
        targets = [target for (name, _), (target, _) in said.items() if name == task]
        if not targets:
            continue
        predictions = []
        for method in methods:
            target, prediction = said.get((task, method.key), ("", NOTHING))
            judged = (task, method.key) in said and task not in measured
            predictions.append(Prediction(prediction, prediction == target if judged else None))
        lines.append(Line(task, targets[0], predictions))
    images = [image for image in rows["image"] if isinstance(image, bytes) and image]
    source = "data:image/png;base64," + base64.b64encode(images[0]).decode() if images else ""
    return Picture(source, "Test input: " + listing([f"{line.task} is {line.target}" for line in lines]), lines)


def _is_measured(rows: pd.DataFrame) -> bool:
    # A number with a fraction is a measurement: predicting 2.31 for 2.3 is neither right nor wrong.
    numbers = pd.to_numeric(pd.concat([rows["target"], rows["prediction"]]), errors="coerce")
    return bool((numbers.notna() & (numbers % 1 != 0)).any())


def _text(value: object) -> str:
    # Labels stored in a column with gaps come back as 7.0; a reader knows them as 7.
    if isinstance(value, float):
        return f"{value:.4g}" if not math.isnan(value) else NOTHING
    return str(value)
