"""What `invariance.py` trains: two multi-task problems, four disguises of one loss, and the weightings.

To compare one more weighting, add a line to METHODS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from counterpoint import (
    MGDA,
    DiBS,
    FairGrad,
    FanOut,
    GradNorm,
    Nash,
    NonFiniteGradientError,
    Uniform,
    Weighting,
    get_weighting,
)
from counterpoint.data.digit_pairs import DigitPairs
from counterpoint.models import LeNetEncoder, LeNetHead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Batch = tuple[Tensor, dict[str, Tensor]]

PLAIN = "L"
# All are strictly increasing where losses are positive: none changes which of two networks is the better one.
DISGUISES: dict[str, Callable[[Tensor], Tensor]] = {
    "exp(L)": torch.exp,
    "L^4": lambda loss: loss**4,
    "log(1+L)": torch.log1p,
    "1000 L": lambda loss: 1000.0 * loss,
}
VARIANTS = {PLAIN: lambda loss: loss} | DISGUISES


@dataclass(frozen=True)
class Method:
    """A weighting, what happens to head gradients, and whether the update's length ignores the gradients'."""

    make: Callable[[], Weighting]
    heads: str = "own"
    unit: bool = False


OURS = "DiBS, weighted heads"
METHODS: dict[str, Method] = {
    OURS: Method(DiBS, "weighted", unit=True),
    "DiBS(steps=3), weighted heads": Method(partial(DiBS, steps=3), "weighted", unit=True),
    "DiBS, own heads": Method(DiBS, unit=True),
    "Nash, weighted heads": Method(Nash, "weighted", unit=True),
    "Nash, own heads": Method(Nash, unit=True),
    "Uniform": Method(Uniform),
    "MGDA": Method(MGDA),
    "MGDA(l2)": Method(partial(MGDA, normalize="l2")),
    "FairGrad": Method(FairGrad),
    "GradNorm": Method(GradNorm),
    "CAGrad (TorchJD)": Method(partial(get_weighting, "cagrad", c=0.4)),
    "UPGrad (TorchJD)": Method(partial(get_weighting, "upgrad")),
    "IMTL-G (TorchJD)": Method(partial(get_weighting, "imtlg")),
    "UW (TorchJD)": Method(partial(get_weighting, "uw")),
    "DWA (TorchJD)": Method(partial(get_weighting, "dwa")),
    "FAMO (TorchJD)": Method(partial(get_weighting, "famo")),
}


@dataclass(frozen=True)
class Problem:
    """Data, networks and settings. The first task's loss is the one in disguise.

    Attributes:
        rates: Learning rates of plain SGD: for updates as long as the gradients, and for those of unit vectors.
    """

    tasks: tuple[str, ...]
    metric: str
    loss: Callable[[Tensor, Tensor], Tensor]
    encoder: Callable[[], nn.Module]
    head: Callable[[], nn.Module]
    data: Callable[[int, bool], tuple[Batch, Batch]]
    score: Callable[[Tensor, Tensor], float]
    epochs: int
    batch: int
    adam: float
    short_batch: int
    rates: tuple[float, float]
    seeds: int


@dataclass
class Network:
    """Encoder, FanOut and heads of one method, all from one seed."""

    problem: Problem
    method: Method
    variant: str
    seed: int
    dtype: torch.dtype = torch.float32
    encoder: nn.Module = field(init=False)
    heads: nn.ModuleDict = field(init=False)
    fan: FanOut = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.encoder = self.problem.encoder().to(self.dtype)
        self.heads = nn.ModuleDict({task: self.problem.head() for task in self.problem.tasks}).to(self.dtype)
        modules = dict(self.heads.items()) if self.method.heads == "weighted" else None
        self.fan = FanOut(self.method.make(), self.problem.tasks, heads=self.method.heads, head_modules=modules)

    def parameters(self) -> list[nn.Parameter]:
        """The network's own; a weighting's stand in `fan`."""
        return [*self.encoder.parameters(), *self.heads.parameters()]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by task, the first one in disguise."""
        inputs, targets = batch
        features = self.fan(self.encoder(inputs))
        losses = {task: self.problem.loss(self.heads[task](z), targets[task]) for task, z in features.items()}
        first = self.problem.tasks[0]
        return losses | {first: VARIANTS[self.variant](losses[first])}

    def step(self, batch: Batch, optimizer: torch.optim.Optimizer) -> bool:
        """One step of training; `False` if the network has diverged."""
        optimizer.zero_grad()
        losses = self.losses(batch)
        if not all(bool(loss.isfinite()) for loss in losses.values()):
            return False
        try:
            self.fan.sum(losses).backward()
        except NonFiniteGradientError:
            return False
        except ValueError as error:  # FAMO's own parameters overflow before the network does
            if "expected finite weights" in str(error):
                return False
            raise
        optimizer.step()
        if getattr(self.fan.weighting, "needs_reevaluation", False):
            with torch.no_grad():
                self.fan.weighting.reevaluated(self.losses(batch))
        return True

    def score(self, batch: Batch) -> dict[str, float]:
        """Test metric by task."""
        inputs, targets = batch
        with torch.no_grad():
            z = self.encoder(inputs)
            return {task: self.problem.score(head(z), targets[task]) for task, head in self.heads.items()}


def batches(batch: Batch, size: int, seed: int) -> Iterator[Batch]:
    """Shuffled batches of one size, over and over."""
    inputs, targets = batch
    generator = torch.Generator().manual_seed(seed)
    while True:
        for index in torch.randperm(len(inputs), generator=generator).split(size):
            if len(index) == size:
                yield inputs[index], {task: target[index] for task, target in targets.items()}


@cache
def digit_pairs(seed: int, quick: bool) -> tuple[Batch, Batch]:
    """Training and test pairs of digits."""
    rows = (512, 200) if quick else (3_000, 2_000)
    splits = DigitPairs(train_rows=rows[0], validation_rows=1, test_rows=rows[1], seed=seed).splits()
    return splits["train"].rows(slice(None)), splits["test"].rows(slice(None))


@cache
def diabetes(seed: int, quick: bool) -> tuple[Batch, Batch]:  # noqa: ARG001 (small as it is)
    """442 patients: progression of the disease, body mass index and blood pressure from age, sex and blood serum."""
    bunch = load_diabetes()
    names = list(bunch.feature_names)
    wanted = np.column_stack([bunch.target, bunch.data[:, names.index("bmi")], bunch.data[:, names.index("bp")]])
    given = np.delete(bunch.data, [names.index("bmi"), names.index("bp")], axis=1)
    order = np.random.default_rng(seed).permutation(len(given))
    train, test = order[110:], order[:110]

    def part(rows: np.ndarray) -> Batch:
        x, y = ((full[rows] - full[train].mean(0)) / full[train].std(0) for full in (given, wanted))
        columns = torch.from_numpy(y).float().unbind(1)
        return torch.from_numpy(x).float(), dict(zip(("progression", "bmi", "bp"), columns, strict=True))

    return part(train), part(test)


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    return float((outputs.argmax(1) == labels).double().mean())


def r_squared(outputs: Tensor, wanted: Tensor) -> float:
    return float(1 - mse_loss(outputs.squeeze(1), wanted) / wanted.var(correction=0))


PROBLEMS: dict[str, Problem] = {
    "digit pairs": Problem(
        tasks=("left", "right"),
        metric="accuracy",
        loss=cross_entropy,
        encoder=LeNetEncoder,
        head=LeNetHead,
        data=digit_pairs,
        score=accuracy,
        epochs=2,
        batch=64,
        adam=3e-3,
        short_batch=16,
        rates=(0.1, 0.02),
        seeds=2,
    ),
    "diabetes": Problem(
        tasks=("progression", "bmi", "bp"),
        metric="R2",
        loss=lambda outputs, wanted: mse_loss(outputs.squeeze(1), wanted),
        encoder=lambda: nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU()),
        head=lambda: nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)),
        data=diabetes,
        score=r_squared,
        epochs=20,
        batch=32,
        adam=2e-3,
        short_batch=32,
        rates=(0.05, 0.01),
        seeds=5,
    ),
}
