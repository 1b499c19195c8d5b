"""One thread a test process: the tests run side by side. And a small network that measuring may not disturb."""

import copy
import importlib
import os
from collections import Counter

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings
from torch import nn

from .fabricated_trajectories import fabricated

torch.set_num_threads(1)
settings.register_profile("counterpoint", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("counterpoint")

TASKS = ("a", "b", "c")


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "traced(cases): coverage follows this many cases of a test; the others run the same lines. Tracing makes "
        "Python nearly twice as slow.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """Loads what is large and not ours before coverage starts, which would follow every line of it."""
    if getattr(session.config.option, "cov_source", None):
        for name in (
            "lightning",
            "torchmetrics",
            "pandas",
            "scipy.stats",
            "sklearn",
            "plotly.graph_objects",
            "torchjd",
        ):
            importlib.import_module(name)


def pytest_collection_modifyitems(items):
    seen = Counter()
    for item in items:
        marker = item.get_closest_marker("traced")
        if marker is not None:
            case = (item.path, item.originalname)
            seen[case] += 1
            if seen[case] > marker.args[0]:
                item.add_marker("no_cover")


class Problem(nn.Module):
    """Two kinds of randomness and two kinds of state, in fp64."""

    def __init__(self, tasks=TASKS, dropout=0.0, norm=False, fan=None):
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh()]
        if norm:
            layers.insert(1, nn.BatchNorm1d(5))
        if dropout:
            layers.insert(2, nn.Dropout(dropout))
        self.encoder = nn.Sequential(*layers)
        self.fan = fan
        self.heads = nn.ModuleDict({task: nn.Linear(4, 2) for task in tasks})
        self.double()
        self.tasks = tasks
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(16, 6, dtype=torch.float64, generator=generator)
        self.y = {task: torch.randn(16, 2, dtype=torch.float64, generator=generator) for task in tasks}

    def losses(self, tasks=None):
        tasks = self.tasks if tasks is None else tasks
        z = self.encoder(self.x)
        z = self.fan(z, tasks) if self.fan is not None else dict.fromkeys(tasks, z)
        scale = {task: 10.0**position for position, task in enumerate(self.tasks)}
        return {task: scale[task] * (self.heads[task](z[task]) - self.y[task]).square().mean() for task in tasks}

    def train_a_little(self, optimizer, steps=3):
        for _ in range(steps):
            optimizer.zero_grad()
            sum(self.losses().values()).backward()
            optimizer.step()
        optimizer.zero_grad()


class Snapshot:
    def __init__(self, parts):
        self.parts = parts

    def __eq__(self, other):
        return same(self.parts, other.parts)

    __hash__ = None


def everything(problem, optimizer):
    """Bit for bit, what measuring may not touch."""
    state = copy.deepcopy(problem.state_dict())  # with the extra state of learned weightings
    grads = {n: None if p.grad is None else p.grad.clone() for n, p in problem.named_parameters()}
    modes = [module.training for module in problem.modules()]
    versions = [p._version for p in problem.parameters()]
    pointers = [p.data_ptr() for p in problem.parameters()]
    saved = copy.deepcopy(optimizer.state_dict()) if optimizer is not None else {}
    parts = {"state": state, "grads": grads, "modes": modes, "versions": versions, "pointers": pointers}
    return Snapshot(parts | {"optimizer": saved, "rng": torch.get_rng_state()})


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.fixture
def make_problem():
    with torch.random.fork_rng():
        yield Problem


@pytest.fixture
def snapshot():
    return everything


@pytest.fixture
def fabricate_trajectories():
    return fabricated
