"""The yeast table: what ships with river, split fairly."""

import importlib.util

import pytest
import torch

from counterpoint.data import Yeast
from counterpoint.data.yeast import TASKS


def test_splits_share_no_row_and_hold_every_class():
    splits = Yeast(seed=3).splits()
    rows = torch.cat([split.inputs for split in splits.values()])
    assert len(rows) == 2_417
    for split in splits.values():
        for task in TASKS:
            assert 0 < int(split.targets[task].sum()) < len(split)


def test_features_are_standardized_with_training_rows():
    inputs = Yeast().splits()["train"].inputs.double()
    assert inputs.mean(0).abs().max() < 1e-6
    assert (inputs.std(0, correction=0) - 1).abs().max() < 1e-5


def test_seeds_split_differently_and_repeat():
    first, again, other = Yeast(seed=1), Yeast(), Yeast().with_seed(1)
    assert torch.equal(first.splits()["test"].inputs, other.splits()["test"].inputs)
    assert not torch.equal(first.splits()["test"].inputs, again.splits()["test"].inputs)


def test_too_many_rows_are_refused():
    with pytest.raises(ValueError, match="yeast has 2,417 rows, which leaves -183 for train, expected at least 1"):
        Yeast(validation_rows=2_000).splits()


def test_without_river_the_error_says_what_to_install(monkeypatch):
    from counterpoint.data import yeast

    yeast._table.cache_clear()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "river" else find(name))
    with pytest.raises(ModuleNotFoundError, match="pip install river"):
        Yeast().splits()
