"""A training reads splits, or loaders of one's own, and says what is wrong with them."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from counterpoint import MultiTaskModel, Task
from counterpoint.data import Split
from counterpoint.training import FitSettings, MultiTaskModule, fit

NAMES = ("train", "validation", "test")


def split(rows=24):
    x = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0))
    return Split(x, {"a": (x[:, 0] > 0).long()})


def train(folder, rows, **changes):
    torch.manual_seed(0)
    module = MultiTaskModule(MultiTaskModel(nn.Linear(3, 4), {"a": nn.Linear(4, 2)}), [Task.classification("a", 2)])
    settings = FitSettings(epochs=2, batch_size=8, progress_bar=False, **changes)
    return module, fit(module, rows, settings, folder)


def test_a_loader_of_the_same_batches_trains_the_same(tmp_path):
    class Shuffled:
        def __init__(self):
            self.batches = split().batches(8, shuffle_seed=0)

        def __len__(self):
            return len(self.batches)

        def __iter__(self):
            return iter(self.batches)

    rows = [(x, {"a": y}) for x, y in zip(split().inputs, split().targets["a"], strict=True)]
    ready = DataLoader(rows, batch_size=12)  # yields lists
    theirs = train(tmp_path / "theirs", {"train": Shuffled(), "validation": ready, "test": ready}, logs=False)
    ours = train(tmp_path / "ours", dict.fromkeys(NAMES, split()))
    for own, other in zip(ours[0].parameters(), theirs[0].parameters(), strict=True):
        assert torch.equal(own, other)
    assert ours[1].test["a"]["metric"] == theirs[1].test["a"]["metric"]
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["checkpoints"]
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == ["checkpoints", "csv", "tensorboard"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (7, "training rows are given as int, expected a Split, or a loader with a length, such as a DataLoader"),
        ((batch for batch in [1]), "training rows are given as generator, expected a Split"),
        (split(0), "there are no training rows"),
        ([torch.zeros(2, 3)], r"training rows yields Tensor, expected \(inputs, \{task: targets\}\)"),
        ([(torch.zeros(2, 3), torch.zeros(2))], r"training rows yields \(Tensor, Tensor\), expected \(inputs, "),
    ],
)
def test_what_is_no_loader_gets_one_line(tmp_path, rows, said):
    with pytest.raises(ValueError, match=said) as raised:
        train(tmp_path, {"train": rows, "validation": split(), "test": split()}, logs=False)
    assert "\n" not in str(raised.value)


def test_rows_that_are_missing_get_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"splits are \['train'\], expected .*: 'validation' is missing"):
        train(tmp_path, {"train": split()})


def test_a_loader_whose_batch_is_too_small_to_share_gets_one_line():
    from counterpoint.training.loading import Loaded

    with pytest.raises(
        ValueError, match="yields a batch of 1 rows for 2 processes, expected at least one row for each"
    ):
        list(Loaded([(torch.zeros(1, 3), {"a": torch.zeros(1)})], "training", 0, 2))
