"""An interrupted training that goes on ends bit by bit as one that was not interrupted."""

import random
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils._pytree import tree_flatten
from torch.utils.data import DataLoader, TensorDataset

from counterpoint import MGDA, FairGrad, FanOut, GradNorm, MultiTaskModel, Nash, Task, Uniform
from counterpoint.affinity import AffinityMeter
from counterpoint.balancing.weightings.crmogm import CRMOGM
from counterpoint.data import Split
from counterpoint.training import AffinityCallback, FitSettings, MultiTaskModule, TrajectoryCallback, fit

EPOCHS, TASKS = 5, ["sign", "sum"]


class InterruptionError(Exception):
    pass


class Interrupts(Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_end(self, trainer, *_):
        if trainer.current_epoch == self.epoch and trainer.global_step % 3 == 2:
            raise InterruptionError


class Noise(nn.Module):
    """Draws from every generator there is."""

    def forward(self, x):
        return x + 0.1 * (random.random() + np.random.rand()) if self.training else x  # noqa: NPY002, S311


def splits(noise=2.0):
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, rows in (("train", 50), ("validation", 40), ("test", 40)):
        x = torch.randn(rows, 6, generator=generator)
        y = x[:, 0] + noise * torch.randn(rows, generator=generator) > 0
        made[name] = Split(x, {"sign": y.long(), "sum": (x.sum(1) > 0).long()})
    return made


def module(weighting=Uniform, every=1, dropout=0.3, reduce=None):
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    encoder = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(dropout), Noise())
    fan = FanOut(weighting(), TASKS, every=every, reduce=reduce)
    model = MultiTaskModel(encoder, {name: nn.Linear(16, 2) for name in TASKS}, fan)
    return MultiTaskModule(model, [Task.classification(name, 2) for name in TASKS], lr=0.05)


def settings(**changes):
    given = {"epochs": EPOCHS, "batch_size": 8, "record_every": 2, "progress_bar": False, "logs": False}
    return FitSettings(**{**given, "checkpoint_seconds": 0.0, **changes})


def train(folder, *, interrupt=None, rows=None, made=None, watched=False, **changes):
    """The module, the result and what the callbacks recorded."""
    trained = made or module()
    callbacks = [Interrupts(interrupt)] if interrupt is not None else []
    meter = AffinityMeter(TASKS, "features", every=3)
    looks = TrajectoryCallback(splits()["train"], splits()["test"], budget=None, rows=16, gradients=False)
    if watched:
        callbacks += [AffinityCallback(meter), looks]
    result = fit(trained, rows or splits(), settings(**changes), folder, callbacks=callbacks, resume=True)
    return trained, result, meter.compute() if watched else None, looks.rows


def assert_same(one, other):
    assert_equal(one[0].state_dict(), other[0].state_dict())
    assert one[1].test == other[1].test
    assert one[1].validation == other[1].validation
    assert (one[1].epochs, one[1].best_epoch) == (other[1].epochs, other[1].best_epoch)
    pd.testing.assert_frame_equal(one[1].history, other[1].history)
    best = [torch.load(found[1].checkpoint, weights_only=True) for found in (one, other)]
    assert best[0]["epoch"] == best[1]["epoch"]
    assert_equal(best[0]["state_dict"], best[1]["state_dict"])
    assert one[3] == other[3]
    if one[2] is not None:
        np.testing.assert_array_equal(one[2].values, other[2].values)
        assert one[2].steps == other[2].steps


def assert_equal(one, other):
    leaves = [tree_flatten(dict(state)) for state in (one, other)]
    assert leaves[0][1] == leaves[1][1]
    for own, theirs in zip(leaves[0][0], leaves[1][0], strict=True):
        assert torch.equal(own, theirs) if isinstance(own, torch.Tensor) else own == theirs


def interrupted(folder, epoch, **options):
    with pytest.raises(InterruptionError):
        train(folder, interrupt=epoch, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("weighting", [MGDA, GradNorm])
def test_it_ends_as_if_nothing_had_happened(tmp_path, weighting):
    whole = train(tmp_path / "whole", made=module(weighting), watched=True)
    for epoch in (1, 3):  # twice in the same training
        interrupted(tmp_path / "cut", epoch, made=module(weighting), watched=True)
    torch.rand(7)  # the process has drawn other numbers since
    cut = train(tmp_path / "cut", made=module(weighting), watched=True)
    assert_same(whole, cut)
    assert whole[1].epochs == EPOCHS
    assert [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()] == ["best.ckpt"]


def test_it_takes_the_epochs_up_where_they_were(tmp_path):
    interrupted(tmp_path, 3)
    trained = module()
    starts = []
    trained.on_train_start = lambda: starts.append((trained.current_epoch, trained.global_step))
    result = train(tmp_path, made=trained)[1]
    assert starts == [(3, 21)]
    assert result.history.epoch.is_monotonic_increasing


HOLD = [
    lambda: module(MGDA, every=5),
    lambda: module(lambda: CRMOGM(Nash(every=5))),
    lambda: module(MGDA, reduce="stream"),
]


@pytest.mark.parametrize("made", HOLD, ids=["by the layer", "by the weighting", "for the next pass"])
def test_held_weights_and_shares_of_time_go_on(tmp_path, made):
    whole = train(tmp_path / "whole", made=made())
    interrupted(tmp_path / "cut", 2, made=made())
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    content["counterpoint"]["seconds"] = 1000.0
    torch.save(content, last)
    cut = train(tmp_path / "cut", made=made())
    assert_same(whole, cut)
    assert cut[1].seconds > 1000


@pytest.mark.parametrize("weighting", [MGDA, FairGrad, Nash])
def test_solvers_start_where_they_would_have(weighting):
    def three():
        heads = {name: nn.Linear(4, 2) for name in "abc"}
        model = MultiTaskModel(nn.Linear(6, 4), heads, FanOut(weighting(), list(heads)))
        return MultiTaskModule(model, [Task.classification(name, 2) for name in heads])

    before, after = three(), three()
    grams = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first, second = grams @ grams.mT
    before.model.fan_out.weighting(first)
    after.load_balance(before.balance_state())
    fans = before.model.fan_out, after.model.fan_out
    one, other = (fan.weighting(second) for fan in fans)
    assert torch.equal(one, other)
    assert_equal({"state": before.balance_state()["carried"]}, {"state": after.balance_state()["carried"]})


def test_patience_goes_on(tmp_path):
    options = {"epochs": 30, "patience": 2, "rows": splits(noise=9.0)}
    whole = train(tmp_path / "whole", **options)
    interrupted(tmp_path / "cut", whole[1].epochs - 1, **options)
    assert_same(whole, train(tmp_path / "cut", **options))
    assert whole[1].epochs == whole[1].best_epoch + 3 < 30


def test_a_shuffling_dataloader_goes_on(tmp_path):
    def loaders():
        rows = {name: [(x, {"sign": a, "sum": b}) for x, a, b in TensorDataset(s.inputs, *s.targets.values())]
                for name, s in splits().items()}  # fmt: skip
        return {name: DataLoader(own, batch_size=8, shuffle=name == "train") for name, own in rows.items()}

    whole = train(tmp_path / "whole", rows=loaders())
    interrupted(tmp_path / "cut", 2, rows=loaders())
    assert_same(whole, train(tmp_path / "cut", rows=loaders()))


OTHERS = {
    "another seed": {"seed": 1},
    "other rows": {"rows": splits(noise=1.0)},
    "another network": {"dropout": 0.0},
    "nobody watched": {"watched": True},
}


@pytest.mark.parametrize("damage", ["cut off", "something else", "moved", *OTHERS])
def test_what_is_no_checkpoint_of_this_training_is_passed_over(tmp_path, whole, damage):
    before = tmp_path / "before" if damage == "moved" else tmp_path
    options = dict(OTHERS.get(damage, {}))
    if (dropout := options.pop("dropout", None)) is not None:
        options["made"] = module(dropout=dropout)
    interrupted(before, 1, **options)
    if damage == "moved":  # Lightning would forget which epoch was the best
        shutil.move(before / "checkpoints", tmp_path / "checkpoints")
    last = tmp_path / "checkpoints" / "last.ckpt"
    content = last.read_bytes()
    if damage in {"cut off", "something else"}:
        last.write_bytes({"cut off": content[: len(content) // 2], "something else": b"a,b\n"}[damage])
    starts, trained = [], module()
    trained.on_train_start = lambda: starts.append(trained.current_epoch)
    assert_same(whole, train(tmp_path, made=trained))
    assert starts == [0]


def test_short_trainings_write_none_and_nobody_goes_on_unasked(tmp_path):
    written = []
    watch = Callback()
    watch.on_train_end = lambda *_: written.append((tmp_path / "checkpoints" / "last.ckpt").exists())
    fit(module(), splits(), settings(checkpoint_seconds=30.0), tmp_path, callbacks=[watch])
    assert written == [False]
    interrupted(tmp_path, 2)
    trained = module()
    starts = []
    trained.on_train_start = lambda: starts.append(trained.current_epoch)
    fit(trained, splits(), settings(), tmp_path)
    assert starts == [0]
