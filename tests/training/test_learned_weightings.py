"""Weightings that learn, trained by the Lightning module."""

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from counterpoint import FanOut, MultiTaskModel, Task, get_weighting
from counterpoint.training import MultiTaskModule


def rows(n=32):
    torch.manual_seed(1)
    x = torch.randn(n, 4)
    return [(row, {"a": int(row[0] > 0), "b": int(row[1] > row[2])}) for row in x]


def module(name, **options):
    torch.manual_seed(0)
    tasks = [Task.classification("a", 2), Task.classification("b", 2)]
    heads = {task.name: nn.Linear(6, 2) for task in tasks}
    fan = FanOut(get_weighting(name, **options), ["a", "b"])
    return MultiTaskModule(MultiTaskModel(nn.Sequential(nn.Linear(4, 6), nn.Tanh()), heads, fan), tasks, lr=0.05)


def train(lightning_module, epochs=3, **options):
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(lightning_module, DataLoader(rows(), batch_size=8))
    return lightning_module


@pytest.mark.parametrize(
    ("name", "learned"), [("uw", "log_var"), ("imtll", "log_scale"), ("gradnorm", "task_weights"), ("famo", "_w")]
)
def test_what_they_learn_moves_and_travels_in_a_checkpoint(name, learned):
    found = module(name)
    key = next(key for key in found.state_dict() if key.endswith(learned))
    before = found.state_dict()[key].clone()
    train(found)
    after = found.state_dict()[key]
    assert not torch.allclose(before, after)
    fresh = module(name)
    fresh.load_state_dict(found.state_dict())
    torch.testing.assert_close(fresh.state_dict()[key], after)
    gram, losses = torch.eye(2, dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    mine, theirs = (m.model.fan_out.weighting.eval()(gram, losses) for m in (found, fresh))
    torch.testing.assert_close(mine, theirs)


def test_dwa_hears_the_ends_of_epochs():
    found = train(module("dwa"), epochs=4)
    weights = found.model.fan_out.last.weights
    assert float(weights.sum()) == pytest.approx(2, abs=1e-4)
    assert float(weights[0]) != pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", ["dibs", "nash", "fairgrad", "mgda", "imtlg", "graddrop"])
def test_every_kind_of_method_trains(name):
    found = train(module(name), accumulate_grad_batches=2)
    assert all(parameter.isfinite().all() for parameter in found.parameters())
