"""Small trainings by Lightning for a trajectory to be recorded of."""

import warnings

import lightning
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from counterpoint import MGDA, FanOut, MultiTaskModel, Task
from counterpoint.data import Split
from counterpoint.training import Curvature, MultiTaskModule, Schedule, TrajectoryCallback

TASKS = ("a", "b", "c")
LR = 0.01
CHEAP = Curvature(draws=2, products=3)


def make_rows(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=generator)
    return Split(x, {task: torch.randint(0, 2, (count,), generator=generator) for task in TASKS})


TRAIN, TEST = make_rows(32), make_rows(24, seed=1)


def batches(count=6):
    return list(make_rows(16 * count, seed=2).batches(16))


class Endless(torch.utils.data.IterableDataset):
    """Batches of an epoch without an end."""

    def __iter__(self):
        while True:
            yield from batches(2)


def make_module(weighting=None, *, dropout=0.2, double=False, kind=MultiTaskModule):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 4))
    heads = {task: nn.Linear(4, 2) for task in TASKS}
    model = MultiTaskModel(encoder, heads, FanOut(weighting or MGDA(), TASKS))
    tasks = [Task.classification(task, 2) for task in TASKS]
    return kind(model.double() if double else model, tasks, lr=LR)


class TwoOptimizers(lightning.LightningModule):
    """Anybody's module, with two optimizers by hand."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.automatic_optimization = False
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        self.heads = nn.ModuleDict({task: nn.Linear(8, 2) for task in TASKS})
        self.fan = FanOut(MGDA(), TASKS)

    def losses(self, batch):
        x, y = batch
        z = self.fan(self.encoder(x))
        return {task: functional.cross_entropy(self.heads[task](z[task]), y[task]) for task in TASKS}

    def metric(self, batch):
        assert not self.training
        z = self.encoder(batch[0])
        return {task: float((self.heads[task](z).argmax(1) == batch[1][task]).float().mean()) for task in TASKS}

    def training_step(self, batch, _):
        self.manual_backward(self.fan.sum(self.losses(batch)))
        for optimizer in self.optimizers():
            optimizer.step()
            optimizer.zero_grad()

    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), lr=LR) for part in (self.encoder, self.heads)]


def of_two_optimizers(**options):
    given = {"losses": TwoOptimizers.losses, "shared": lambda m: m.encoder, "metric": TwoOptimizers.metric}
    return TrajectoryCallback(TRAIN, TEST, **given | {"budget": None} | options)


def in_every_step(**options):
    """Looks at everything, always."""
    always = Schedule(steps=tuple(range(100)))
    settings = {"schedule": always, "curvature_schedule": always, "curvature": CHEAP}
    return TrajectoryCallback(TRAIN, TEST, **settings | {"budget": None, "curvature_budget": None} | options)


def make_trainer(*callbacks, **options):
    settings = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return lightning.Trainer(**settings | options, callbacks=list(callbacks))


def fit(module, *callbacks, data=None, validate=None, ckpt_path=None, **options):
    torch.manual_seed(1)
    trainer = make_trainer(*callbacks, **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        rows = [
            None if given is None else DataLoader(given, batch_size=None) for given in (data or batches(), validate)
        ]
        trainer.fit(module, *rows, ckpt_path=ckpt_path, weights_only=None if ckpt_path is None else True)
    return trainer


def steps_of(callback, quantity="train_loss"):
    return sorted({row["step"] for row in callback.rows if row["quantity"] == quantity})


def values_at(callback, step):
    return {(row["quantity"], row["task"]): row["value"] for row in callback.rows if row["step"] == step}


def same(a, b):
    """Bit for bit; NaN equals NaN."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b
