"""The optimizer of a training, and how its learning rate goes down."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from counterpoint.affinity import AffinityMeter
from counterpoint.training import AffinityCallback, Optimization, fit

from .image_trainings import NAMES, images, module, settings

HALVED = Optimization("sgd", lr=0.4, momentum=0.5, weight_decay=0.01, decay=0.5, decay_every=2)
PAIR = ("scene", "depth")


class Rates(Callback):
    """Notes the learning rate of each step; may end the training there."""

    def __init__(self, stop_in=None):
        self.seen, self.stop_in = [], stop_in

    def on_train_batch_end(self, trainer, *_):
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])
        if trainer.current_epoch == self.stop_in:
            raise InterruptedError


def train(folder, optimization, *more, stop_in=None):
    rates, own = Rates(stop_in), module(names=PAIR, lr=1e-3, optimization=optimization)
    rows = dict.fromkeys(NAMES, images(10).only(PAIR))
    given = settings(epochs=5, checkpoint_seconds=0.0)
    try:
        result = fit(own, rows, given, folder, callbacks=[rates, *more], resume=True)
    except InterruptedError:
        result = None
    return own, result, rates.seen


def test_the_learning_rate_of_an_epoch(tmp_path):
    whole = train(tmp_path / "whole", HALVED)
    assert whole[2] == [0.4] * 4 + [0.2] * 4 + [0.1] * 2
    first = train(tmp_path / "cut", HALVED, stop_in=3)[2]  # an epoch after the rate changed
    own, result, seen = train(tmp_path / "cut", HALVED)
    assert (first[:6], seen) == (whole[2][:6], whole[2][6:])
    assert result.test == whole[1].test
    for one, other in zip(own.parameters(), whole[0].parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_training_with_another_optimizer_is_another_training(tmp_path):
    train(tmp_path, HALVED, stop_in=3)
    assert len(train(tmp_path, Optimization("sgd", lr=0.4))[2]) == 10


def test_affinity_is_measured_with_the_learning_rate_of_the_step(tmp_path):
    meter = AffinityMeter(PAIR, "first-order", every=1, per_lr=False)
    rates = []
    step = meter.step

    def noted(*args, optimizer, **options):
        rates.append(optimizer.param_groups[0]["lr"])
        step(*args, optimizer=optimizer, **options)

    meter.step = noted
    seen = train(tmp_path, HALVED, AffinityCallback(meter))[2]
    assert rates == seen


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("optimization", "make"),
    [
        (HALVED, lambda own: torch.optim.SGD(own, lr=0.4, momentum=0.5, weight_decay=0.01)),
        (Optimization(lr=0.01, weight_decay=0.1), lambda own: torch.optim.Adam(own, lr=0.01, weight_decay=0.1)),
        (Optimization(), torch.optim.Adam),
    ],
)
def test_optimizers_are_those_of_torch(fused, optimization, make):
    dtype = torch.float64 if fused else torch.complex128  # which fused optimizers do not take
    start = torch.randn(5, dtype=dtype, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimizers = optimization.optimizer([ours]), make([theirs])
    assert bool(optimizers[0].defaults["fused"]) == fused
    for own, optimizer in zip((ours, theirs), optimizers, strict=True):
        for _ in range(3):
            optimizer.zero_grad()
            (own * own.conj()).real.pow(2).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)
    assert not torch.equal(ours, start)


def test_the_learning_rate_is_said_once():
    assert module(lr=1e-3, optimization=HALVED).lr == 0.4
    assert module(lr=0.4, optimization=HALVED).lr == 0.4
    plain = module(lr=0.3)
    assert plain.optimization == Optimization(lr=0.3)
    plain.lr = 0.1  # as those do that search for one
    assert plain.configure_optimizers().param_groups[0]["lr"] == 0.1
    with pytest.raises(ValueError, match=r"lr is 0.3 and optimization says 0.4, expected one of them"):
        module(lr=0.3, optimization=HALVED)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "rmsprop"}, r"optimizer is 'rmsprop', expected one of \['adam', 'sgd'\]"),
        ({"lr": -1.0}, "lr is -1.0, expected 0 or more"),
        ({"lr": float("nan")}, "lr is nan, expected 0 or more"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0, expected 0 or more"),
        ({"momentum": 1.0}, "momentum is 1.0, expected 0 or more and less than 1"),
        ({"decay": 0.0, "decay_every": 1}, "decay is 0.0, expected a positive number"),
        ({"decay": 0.5}, "decay is 0.5 and decay_every is None, expected epochs"),
        ({"decay": 0.5, "decay_every": 0}, "decay_every is 0, expected at least 1 epoch"),
    ],
)
def test_numbers_that_make_no_sense_get_one_line(options, said):
    with pytest.raises(ValueError, match=said):
        Optimization(**options)
