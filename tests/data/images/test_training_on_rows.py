"""A training reads image rows as it reads a split in memory."""

import pytest
import torch
from torch import nn

from counterpoint import FanOut, MultiTaskModel, Task, Uniform
from counterpoint.data import Rows, Split
from counterpoint.data.images import Augmentation, CelebA
from counterpoint.training import FitSettings, MultiTaskModule, fit

from .layouts import celeba

TASKS = ("Bald", "Young")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("faces")
    celeba(root, parts=[0] * 12 + [1] * 4 + [2] * 4)
    return CelebA(root, size=4, attributes=TASKS)


def trained(splits, folder, **options):
    torch.manual_seed(0)
    model = MultiTaskModel(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.ReLU()),
        {task: nn.Linear(5, 1) for task in TASKS},
        FanOut(Uniform(), TASKS),
    )
    module = MultiTaskModule(model, [Task.binary(task, metric="accuracy") for task in TASKS], lr=0.01)
    return fit(module, splits, FitSettings(epochs=2, batch_size=5, progress_bar=False), folder, **options)


def test_it_ends_at_the_same_numbers(source, tmp_path):
    rows = source.splits()
    assert isinstance(rows["train"], Rows)
    in_memory = {name: Split(*own.rows(slice(None))) for name, own in rows.items()}
    expected = trained(in_memory, tmp_path / "memory")
    found = trained(rows, tmp_path / "files")
    assert found.test == expected.test
    assert found.validation == expected.validation


def test_pictures_are_augmented_in_training_only(source, tmp_path, monkeypatch):
    seen = []
    own = Augmentation.__call__
    monkeypatch.setattr(Augmentation, "__call__", lambda self, *given: seen.append(1) or own(self, *given))
    rows = CelebA(source.root, size=4, attributes=TASKS, augmentation=Augmentation(flip=True)).splits()
    trained(rows, tmp_path)
    assert len(seen) == 2 * len(rows["train"])
