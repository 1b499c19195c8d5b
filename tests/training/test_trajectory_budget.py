"""The callback's share of the training time, by a clock that the test turns."""

import lightning
import numpy as np
import pytest

from counterpoint.training import Schedule, TrajectoryCallback

from .recorded_trainings import TRAIN, Endless, batches, fit, make_module, steps_of
from .test_trajectory_callback import StopAt

LOOK = 2.0  # seconds; a batch takes one


class Turning(lightning.Callback):
    """Turns the clock by a second a batch."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def on_before_backward(self, *_):
        self.now += 1.0

    def record(self, budget, steps=()):
        def losses(module, rows):
            self.now += LOOK
            return module.losses_of(rows)

        schedule = Schedule(early=False, steps=steps)
        return TrajectoryCallback(TRAIN, losses=losses, gradients=False, schedule=schedule, budget=budget)


@pytest.fixture(name="clock")
def clock_fixture(monkeypatch):
    return Turning(monkeypatch)


def test_looks_are_thinned_evenly_to_their_share_and_the_last_is_kept(clock):
    callback = clock.record(0.1)
    fit(make_module(), callback, clock, data=batches(5), max_epochs=40)  # 200 seconds
    taken = steps_of(callback)
    assert callback.training_seconds == pytest.approx(200.0)
    assert 0.08 <= callback.share <= 0.1
    assert callback.share == pytest.approx(LOOK * len(taken) / 200)
    assert callback.probes.taken == len(taken)
    assert callback.probes.thinned == 40 - len(taken)  # each refused look counts once
    assert taken[-1] == 200
    assert np.ptp(np.diff(taken)[1:-1]) <= 5  # an epoch more or less


def test_without_a_budget_all_are_taken(clock):
    callback = clock.record(None)
    fit(make_module(), callback, clock, data=batches(5), max_epochs=40)
    assert steps_of(callback) == list(range(5, 201, 5))
    assert callback.share == pytest.approx(0.4)
    assert callback.probes.thinned == 0


@pytest.mark.parametrize(
    ("options", "last"), [({"accumulate_grad_batches": 5}, 40), ({"max_steps": 150, "max_epochs": -1}, 150)]
)
def test_the_share_is_of_the_whole_training_whatever_a_step_is(clock, options, last):
    callback = clock.record(0.1)
    fit(make_module(), callback, clock, data=batches(5), **{"max_epochs": 40} | options)
    assert 0.07 <= callback.share <= 0.1
    assert steps_of(callback)[-1] == last


def test_without_a_known_length_the_share_is_of_the_time_so_far(clock):
    callback = clock.record(0.1, steps=tuple(range(10, 400, 10)))
    fit(make_module(), callback, clock, StopAt(400), data=Endless(), max_epochs=-1)
    assert callback.share == pytest.approx(0.1, abs=0.01)
    assert steps_of(callback)[-2] > 370


def test_a_training_that_stops_early_keeps_to_about_its_share(clock):
    callback = clock.record(0.1)
    fit(make_module(), callback, clock, StopAt(60), data=batches(5), max_epochs=1000)
    assert callback.share < 0.2  # all looks: 0.43


def test_a_look_that_is_refused_and_then_taken_for_the_last_counts_as_taken(clock):
    callback = clock.record(0.1, steps=tuple(range(1, 2000)))
    fit(make_module(), callback, clock, StopAt(60), data=batches(5), max_epochs=400)
    assert steps_of(callback)[-1] == 60
    assert callback.probes.taken == len(steps_of(callback))
    assert callback.probes.taken + callback.probes.thinned == 60


def test_the_budget_of_a_resumed_training_is_that_of_the_whole(clock, tmp_path):
    first, again = clock.record(0.1), clock.record(0.1)
    trainer = fit(make_module(), first, clock, data=batches(5), max_epochs=20)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    fit(make_module(), again, clock, data=batches(5), max_epochs=40, ckpt_path=tmp_path / "last.ckpt")
    assert again.training_seconds == pytest.approx(200.0)
    assert 0.08 <= again.share <= 0.1
    assert again.rows[: len(first.rows)] == first.rows


def test_the_clock_stops_when_a_training_fails(clock):
    class Fail(lightning.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 4:
                raise OSError("disk full")

    callback = clock.record(None)
    with pytest.raises(OSError, match="disk full"):
        fit(make_module(), callback, clock, Fail())
    clock.now += 1e6
    assert callback.training_seconds == pytest.approx(4.0)


def test_gradients_have_half_of_the_budget_where_there_are_any():
    both, losses = TrajectoryCallback(TRAIN), TrajectoryCallback(TRAIN, gradients=False)
    assert (both.probes.share, both.gradient_probes.share) == (0.05, 0.05)
    assert losses.probes.share == 0.1
