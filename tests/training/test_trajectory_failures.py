"""A problem of the callback never ends a training: it is said once, and the look is left out."""

import logging
import math

import pytest
import torch

from counterpoint.data import Split
from counterpoint.training import Curvature, TrajectoryCallback
from counterpoint.training import trajectory_measures as trajectory_module

from .recorded_trainings import TEST, TRAIN, TwoOptimizers, batches, fit, make_module, make_trainer, same, steps_of


@pytest.fixture(name="said")
def said_fixture(caplog):
    caplog.set_level(logging.WARNING, "counterpoint")
    return lambda: [record.message for record in caplog.records if record.name == "counterpoint"]


def test_a_failing_look_is_said_once_and_the_training_and_the_other_looks_go_on(said):
    def losses(module, batch):
        if len(batch[0]) == 32:
            raise RuntimeError("not at\nall of these rows")
        return module.losses_of(batch)

    plain, module = make_module(), make_module()
    fit(plain)
    callback = TrajectoryCallback(TRAIN, losses=losses, gradient_rows=16, budget=None)
    fit(module, callback)
    line = "RuntimeError: not at all of these rows"
    assert said() == [f"a look at the trajectory was left out, the training goes on: {line}"]
    assert callback.warnings == (line,)
    assert steps_of(callback) == []
    assert steps_of(callback, "cosine") == [0, 1, 2, 5, 6]
    assert same(dict(plain.state_dict()), dict(module.state_dict()))


def test_a_reason_with_other_numbers_is_the_same_reason(said):
    tried = iter(range(100))

    def losses(*_):
        raise torch.OutOfMemoryError(f"Tried to allocate {next(tried)} MiB")

    callback = TrajectoryCallback(TRAIN, losses=losses, budget=None)
    fit(make_module(), callback)
    assert callback.warnings == ("OutOfMemoryError: Tried to allocate 0 MiB",)
    assert len(said()) == 1
    assert next(tried) > 2


def test_ctrl_c_within_a_look_ends_the_training():
    def losses(*_):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):  # Lightning's way
        fit(make_module(), TrajectoryCallback(TRAIN, losses=losses, budget=None))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shared": lambda m: m.encoder}, "got no losses and TwoOptimizers is no MultiTaskModule, expected losses=a"),
        ({"losses": TwoOptimizers.losses}, "got no shared and TwoOptimizers is no MultiTaskModule, expected shared="),
    ],
)
def test_what_is_missing_is_told(options, message):
    callback = TrajectoryCallback(TRAIN, TEST, **options)
    fit(TwoOptimizers(), callback, data=batches(2))
    (line,) = callback.warnings
    assert message in line


def test_an_unknown_task_is_told():
    callback = TrajectoryCallback(TRAIN, Split(TEST.inputs, {"z": TEST.targets["a"]}), gradients=False)
    fit(make_module(), callback)
    (line,) = callback.warnings
    assert line.startswith("ValueError: ")
    assert "'z'" in line


def test_fewer_rows_than_minibatches_are_told():
    callback = TrajectoryCallback(TRAIN.drawn(3), budget=None)
    fit(make_module(), callback)
    assert callback.warnings == ("ValueError: 3 rows cannot be split into 4 parts, expected at most one part a row",)
    assert steps_of(callback) == [0, 1, 2, 5, 6]


def test_sharded_models_are_left_alone(monkeypatch):
    monkeypatch.setattr(trajectory_module, "_SHARDED", (object,))
    callback = TrajectoryCallback(TRAIN, TEST, budget=None)
    fit(make_module(), callback)
    (line,) = callback.warnings
    assert "SingleDeviceStrategy shards the parameters, expected a strategy that keeps them whole" in line


def test_batch_norm_over_processes_would_wait_for_those_that_do_not_look(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    module = torch.nn.SyncBatchNorm.convert_sync_batchnorm(make_module())
    trainer = make_trainer()
    assert TrajectoryCallback(TRAIN).measures.probing_of(trainer, module).module is module
    with pytest.raises(ValueError, match="SyncBatchNorm in train mode waits for the other processes"):
        TrajectoryCallback(TRAIN, mode="train").measures.probing_of(trainer, module)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "test"}, "mode is 'test', expected 'eval' or 'train'"),
        ({"minibatches": 1}, "minibatches is 1, expected at least 2"),
        ({"rows": 3}, "rows is 3, expected at least one row a minibatch, 4"),
        ({"gradient_rows": 2}, "gradient_rows is 2, expected at least one row a minibatch, 4"),
        ({"curvature_rows": 0}, "curvature_rows is 0, expected at least 1"),
        ({"budget": -0.2}, "budget is -0.2, expected a positive share"),
        ({"budget": math.nan}, "budget is nan, expected a positive share"),
        ({"curvature_budget": 0}, "curvature_budget is 0, expected a positive share"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrajectoryCallback(TRAIN, TEST, **options)


@pytest.mark.parametrize("options", [{"draws": 1}, {"products": 0}, {"rho": 0.0}])
def test_curvature_that_makes_no_sense_is_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is "):
        Curvature(**options)
