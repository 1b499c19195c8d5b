"""The callback changes nothing of a training, looks when it should, and goes on where a checkpoint ends."""

import copy

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from counterpoint import FanOut, get_weighting
from counterpoint.affinity import AffinityMeter
from counterpoint.training import AffinityCallback, MultiTaskModule, TrajectoryCallback

from .recorded_trainings import (
    CHEAP,
    TASKS,
    TEST,
    TRAIN,
    Endless,
    TwoOptimizers,
    batches,
    fit,
    in_every_step,
    make_module,
    of_two_optimizers,
    same,
    steps_of,
)


class Watch(lightning.Callback):
    """What each step finds and leaves: modes, random numbers, gradients, and what the FanOut compared."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, _trainer, module, *_):
        self.seen += [[part.training for part in module.modules()], torch.get_rng_state()]

    def on_train_batch_end(self, _trainer, module, *_):
        fans = [part for part in module.modules() if isinstance(part, FanOut)]
        self.seen += [[(fan.last.weights, fan.last.gram) for fan in fans]]
        self.seen += [[p.grad.clone() for p in module.parameters() if p.grad is not None]]


def left_by(module, *callbacks, **options):
    watch = Watch()
    trainer = fit(module, *callbacks, watch, **options)
    state = dict(module.state_dict()), [o.state_dict() for o in trainer.optimizers], torch.get_rng_state()
    return (*state, watch.seen, [part.training for part in module.modules()])


@pytest.mark.no_cover  # what trains and what looks is followed by the tests of what it finds
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    ("name", "options"), [("mgda", {}), ("gradnorm", {}), ("nash", {"every": 2}), ("random", {}), ("pcgrad", {})]
)
def test_training_is_bitwise_the_same_with_it(name, options, mode):
    callback = in_every_step(mode=mode, **({} if name == "mgda" else {"curvature": None}))
    validate = list(TEST.batches(24))
    plain = left_by(make_module(get_weighting(name, **options)), validate=validate, max_epochs=2)
    recorded = left_by(make_module(get_weighting(name, **options)), callback, validate=validate, max_epochs=2)
    assert callback.warnings == ()
    assert callback.probes.taken == callback.gradient_probes.taken == 13
    assert same(plain, recorded)


def test_frozen_parts_stay_in_evaluation_in_train_mode():
    modes = []

    class Watched(nn.BatchNorm1d):
        def forward(self, x):
            modes.append(self.training)
            return super().forward(x)

    module = make_module()
    module.model.encoder[1] = Watched(8).eval()  # as is usual in fine-tuning
    fit(module, in_every_step(mode="train", curvature=None))
    assert modes
    assert not any(modes)


def test_hooks_on_the_way_of_a_batch_are_taken_and_leave_no_trace():
    class Augmented(MultiTaskModule):
        def on_before_batch_transfer(self, batch, _):
            return batch[0] * 2, batch[1]

        def on_after_batch_transfer(self, batch, _):
            batch[0].add_(torch.randn(batch[0].shape))  # in place
            return batch

    class AtRest(Augmented):
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.0)

    plain, recorded = make_module(kind=Augmented), make_module(kind=Augmented)
    callback = in_every_step(curvature=None)
    before = callback.measures.train[0].clone()
    fit(plain, data=batches())
    fit(recorded, callback, data=batches())
    assert same(dict(plain.state_dict()), dict(recorded.state_dict()))
    assert torch.equal(before, callback.measures.train[0])
    module, callback = make_module(kind=AtRest), in_every_step(curvature=None)
    module.model.encoder[1].momentum = 0.0
    fit(module, callback)
    losses = {row["value"] for row in callback.rows if (row["quantity"], row["task"]) == ("train_loss", "a")}
    assert len(losses) == 1  # the same noise in each look
    x = before * 2 + torch.randn(before.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = module.eval().losses_of((x, callback.measures.train[1]))["a"]
    assert losses.pop() == pytest.approx(float(expected))


def test_it_looks_at_the_start_early_at_the_ends_of_epochs_and_at_the_end():
    callback = TrajectoryCallback(TRAIN, TEST, budget=None)
    fit(make_module(), callback, data=batches(7), max_epochs=3)
    assert steps_of(callback) == steps_of(callback, "cosine") == [0, 1, 2, 5, 7, 10, 14, 20, 21]
    epochs = {row["step"]: row["epoch"] for row in callback.rows}
    assert [epochs[step] for step in (0, 7, 10, 14, 20, 21)] == [0, 0, 1, 1, 2, 2]
    assert list(callback.to_frame()) == ["step", "epoch", "task", "quantity", "value"]
    assert len(callback.to_frame()) == len(callback.rows)


def test_curvature_has_a_schedule_of_its_own():
    callback = TrajectoryCallback(TRAIN, TEST, budget=None, curvature=CHEAP, curvature_budget=None)
    fit(make_module(), callback, data=batches(4), max_epochs=3)
    assert steps_of(callback, "sharpness") == [0, 10, 12]
    assert {row["epoch"] for row in callback.rows if row["step"] == 12} == {2}
    assert steps_of(callback, "cosine") == [0, 1, 2, 4, 5, 8, 10, 12]


@pytest.mark.parametrize("budget", [None, 1e9])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"accumulate_grad_batches": 4}, [0, 1, 2, 3, 5, 6]),  # an epoch of 10 batches has 3 steps
        ({"max_steps": 8, "max_epochs": -1}, [0, 1, 2, 5, 8]),
        ({"max_steps": 13}, [0, 1, 2, 5, 10, 13]),
        ({"max_epochs": 1, "limit_train_batches": 3}, [0, 1, 2, 3]),
    ],
)
def test_steps_are_those_of_the_optimizer(options, expected, budget):
    callback = TrajectoryCallback(TRAIN, TEST, gradients=False, budget=budget)
    fit(make_module(), callback, data=batches(10), **{"max_epochs": 2} | options)
    assert steps_of(callback) == expected


class StopAt(lightning.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.global_step >= self.step


@pytest.mark.parametrize("budget", [None, 1e9])
@pytest.mark.parametrize("options", [{"max_epochs": -1, "max_time": {"minutes": 10}}, {"max_epochs": 1}])
def test_a_training_may_have_no_known_length(options, budget):
    callback = TrajectoryCallback(TRAIN, TEST, gradients=False, budget=budget)
    fit(make_module(), StopAt(25), callback, data=Endless(), **options)
    assert steps_of(callback) == [0, 1, 2, 5, 10, 20, 25]


@pytest.mark.parametrize("budget", [None, 1e9])
def test_manual_optimization_with_two_optimizers(budget):
    plain, module = TwoOptimizers(), TwoOptimizers()
    fit(plain, data=batches(4), max_epochs=3)
    callback = of_two_optimizers(budget=budget, curvature=CHEAP, curvature_budget=budget)
    fit(module, callback, data=batches(4), max_epochs=3)
    assert callback.warnings == ()
    assert steps_of(callback) == [0, 2, 6, 8, 10, 16, 20, 24]  # 1 and 5 were passed over
    assert steps_of(callback, "test_metric") == steps_of(callback, "cosine") == steps_of(callback)
    assert steps_of(callback, "sharpness")[-2:] == [10, 24]
    assert same(dict(plain.state_dict()), dict(module.state_dict()))


@pytest.mark.parametrize("shared", ["generator", "module", "list"])
def test_shared_may_be_anything(shared):
    module = TwoOptimizers()
    given = {"generator": module.encoder.parameters(), "module": module.encoder, "list": [module.encoder[0].weight]}
    callback = of_two_optimizers(shared=given[shared])
    fit(module, callback)
    assert callback.warnings == ()
    assert steps_of(callback, "cosine") == [0, 2, 6, 10, 12]


def kept_by(folder, **options):
    return lightning.pytorch.callbacks.ModelCheckpoint(folder, "{step}", save_top_k=-1, **options)


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("kept", [{"every_n_train_steps": 8}, {"every_n_epochs": 1}])
def test_a_resumed_training_goes_on_and_looks_at_no_step_twice(tmp_path, validated, kept):
    validate = list(TEST.batches(24)) if validated else None
    whole, first, again = (TrajectoryCallback(TRAIN, TEST, budget=None) for _ in range(3))
    fit(make_module(dropout=0.0), whole, max_epochs=3, validate=validate)
    saved = kept_by(tmp_path, **kept)
    fit(make_module(dropout=0.0), first, saved, max_epochs=2, enable_checkpointing=True, validate=validate)
    checkpoint = min(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    fit(make_module(dropout=0.0), again, max_epochs=3, ckpt_path=checkpoint, validate=validate)
    assert steps_of(again) == steps_of(whole)
    assert [row for row in again.rows if row["step"] <= 6] == [row for row in whole.rows if row["step"] <= 6]
    assert again.rows == whole.rows or "every_n_train_steps" in kept  # the epoch's batches start again


def test_a_checkpoint_keeps_rows_and_what_was_spent(tmp_path):
    callback = TrajectoryCallback(TRAIN, TEST, curvature=CHEAP, budget=None)
    fit(make_module(), callback).save_checkpoint(tmp_path / "last.ckpt")
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"][callback.state_key]
    again = TrajectoryCallback(TRAIN, TEST, gradients=False, curvature=CHEAP, budget=None)
    again.load_state_dict(state)
    assert again.rows == callback.rows
    assert again.probes.spent == callback.probes.spent
    assert again.curvature_probes.spent == callback.curvature_probes.spent  # though gradients are not looked at
    assert again.gradient_probes.taken == 0
    assert again.training_seconds > 0


def test_a_checkpoint_of_a_training_without_it_is_gone_on_from(tmp_path):
    fit(make_module(), max_epochs=2).save_checkpoint(tmp_path / "last.ckpt")
    callback = TrajectoryCallback(TRAIN, TEST, budget=None)
    fit(make_module(), callback, max_epochs=4, ckpt_path=tmp_path / "last.ckpt")
    assert steps_of(callback) == [18, 20, 24]


def test_a_new_training_is_recorded_anew():
    callback = TrajectoryCallback(TRAIN, TEST, budget=None)
    fit(make_module(), callback)
    first = callback.rows
    fit(make_module(), callback)
    assert callback.rows == first
    assert callback.rows is not first
    assert callback.probes.taken == 5


@pytest.mark.parametrize("kind", ["trajectory", "affinity"])
def test_testing_an_earlier_checkpoint_takes_nothing_back(tmp_path, kind):
    meter = AffinityMeter(TASKS, every=1)
    callback = TrajectoryCallback(TRAIN, TEST, budget=None) if kind == "trajectory" else AffinityCallback(meter)
    module = make_module()
    trainer = fit(module, callback, kept_by(tmp_path, every_n_train_steps=2), enable_checkpointing=True)
    before = copy.deepcopy(callback.state_dict())
    rows = DataLoader(list(TEST.batches(24)), batch_size=None)
    for evaluate in (trainer.test, trainer.validate):
        evaluate(module, rows, ckpt_path=tmp_path / "step=2.ckpt", verbose=False, weights_only=True)
    assert repr(callback.state_dict()) == repr(before)
    assert meter.steps == (0 if kind == "trajectory" else 6)


def test_two_modes_may_be_recorded_at_once():
    callbacks = [TrajectoryCallback(TRAIN, TEST, budget=None, mode=mode) for mode in ("eval", "train")]
    fit(make_module(), *callbacks)
    train, test = (
        [[row["value"] for row in callback.rows if row["quantity"] == name] for callback in callbacks]
        for name in ("train_loss", "test_loss")
    )
    assert train[0] != train[1]
    assert test[0] == test[1]
