"""The callback measures in a Lightning training what a loop by hand would, and changes nothing of it."""

import copy
import warnings

import lightning
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from counterpoint import MGDA, FanOut, MultiTaskModel, Task
from counterpoint.affinity import AffinityMeter
from counterpoint.training import AffinityCallback, MultiTaskModule

TASKS = ["a", "b", "c"]
LR = 0.01


def batches(count=6, drop=()):
    generator = torch.Generator().manual_seed(0)
    found = []
    for index in range(count):
        x = torch.randn(16, 6, generator=generator)
        labels = {task: torch.randint(0, 2, (16,), generator=generator) for task in TASKS}
        found.append((x, {task: y for task, y in labels.items() if (index, task) not in drop}))
    return found


def make_module(seed=0, weighting=MGDA):
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2))
    heads = {task: nn.Linear(8, 2) for task in TASKS}
    model = MultiTaskModel(encoder, heads, FanOut(weighting(), TASKS))
    return MultiTaskModule(model, [Task.classification(task, 2) for task in TASKS], lr=LR)


def fit(module, *callbacks, data=None, seed=1, ckpt_path=None, **options):
    torch.manual_seed(seed)
    settings = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(**settings | options, callbacks=list(callbacks))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, DataLoader(batches() if data is None else data, batch_size=None), ckpt_path=ckpt_path)
    return trainer


@pytest.mark.parametrize("method", ["first-order", "lookahead", "features"])
def test_training_is_bitwise_the_same_with_it(method):
    plain, measured = make_module(), make_module()
    fit(plain)
    meter = AffinityMeter(TASKS, method, every=2)
    fit(measured, AffinityCallback(meter))
    assert meter.compute().steps == 3
    assert np.isfinite(meter.compute().values).all()
    for a, b in zip(plain.state_dict().values(), measured.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not measured.attached_losses


@pytest.mark.parametrize("method", ["first-order", "lookahead"])
def test_the_first_step_is_that_of_a_meter_in_a_loop(method):
    by_hand, module = make_module(), make_module()
    for each in (by_hand, module):
        each.model.encoder[-1].p = 0.0
    data = batches(1)
    meters = [AffinityMeter(TASKS, method, every=1) for _ in range(2)]
    fit(module, AffinityCallback(meters[0]), data=data)
    closure = {"reevaluate": lambda: by_hand.losses_of(data[0])} if method == "lookahead" else {}
    meters[1].step(by_hand.losses_of(data[0]), shared=by_hand.model.encoder, lr=LR, **closure)
    np.testing.assert_allclose(meters[0].compute().values, meters[1].compute().values, rtol=1e-6)


def test_rules_take_the_trainers_optimizer():
    for rule in ("preconditioned", "optimizer"):
        meter = AffinityMeter(TASKS, "lookahead", rule=rule, every=1)
        fit(make_module(), AffinityCallback(meter))
        assert meter.steps == (5 if rule == "preconditioned" else 6)  # Adam has no moments before its first step


def test_batches_that_lack_tasks():
    data = batches(4, drop={(0, "a"), (1, "a"), (1, "b"), (1, "c"), (2, "c")})
    meter = AffinityMeter(TASKS, every=1)
    fit(make_module(), AffinityCallback(meter), data=data)
    assert meter.compute().counts.tolist() == [[2, 2, 1], [2, 3, 2], [1, 2, 2]]


def test_accumulated_gradients_do_not_change_what_is_measured():
    values = []
    for n in (1, 3):
        module = make_module()
        meters = [AffinityMeter(TASKS, method, every=10) for method in ("features", "first-order")]
        fit(module, *(AffinityCallback(meter) for meter in meters), data=batches(3), accumulate_grad_batches=n)
        values.append([meter.compute().values for meter in meters])
    np.testing.assert_allclose(values[0][0], values[1][0], rtol=1e-4)
    np.testing.assert_allclose(values[0][1], values[1][1], rtol=1e-4)


@pytest.mark.parametrize("method", ["first-order", "lookahead", "features"])
def test_low_precision(method):
    meter = AffinityMeter(TASKS, method, every=1)
    exact = AffinityMeter(TASKS, method, every=1)
    for each, precision in ((meter, "bf16-mixed"), (exact, "32-true")):
        module = make_module()
        module.model.encoder[-1].p = 0.0
        module.lr = 1.0  # a step that bf16 losses can tell from none
        fit(module, AffinityCallback(each), data=batches(1), precision=precision)
    values, expected = meter.compute().values, exact.compute().values
    np.testing.assert_allclose(values, expected, rtol=0.2, atol=0.1 * np.abs(expected).max())


def test_checkpoints_go_on(tmp_path):
    meter = AffinityMeter(TASKS, every=2)
    module = make_module()
    trainer = fit(module, AffinityCallback(meter), AffinityCallback(AffinityMeter(TASKS, "features")))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = AffinityMeter(TASKS, every=2)
    others = [AffinityCallback(again), AffinityCallback(AffinityMeter(TASKS, "features"))]
    fit(make_module(), *others, ckpt_path=tmp_path / "last.ckpt", max_epochs=2)
    assert (meter.steps, again.steps) == (3, 6)
    assert others[1].meter.steps == 2


class Plain(lightning.LightningModule):
    """Anybody's module."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        self.heads = nn.ModuleDict({task: nn.Linear(8, 2) for task in TASKS})
        self.fan = FanOut(MGDA(), TASKS)
        self.now = {}

    def losses(self, batch):
        x, y = batch
        z = self.fan(self.encoder(x))
        return {task: nn.functional.cross_entropy(self.heads[task](z[task]), y[task]) for task in TASKS}

    def training_step(self, batch, _):
        self.now = self.losses(batch)
        return self.fan.sum(self.now)

    def on_after_backward(self):
        self.now = {}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=LR)


@pytest.mark.parametrize("method", ["first-order", "lookahead", "features"])
def test_any_module_says_where_things_are(method):
    meter = AffinityMeter(TASKS, method, every=1)
    again = {"reevaluate": Plain.losses} if method == "lookahead" else {}
    module = Plain()
    callback = AffinityCallback(meter, losses=lambda m: m.now, shared=lambda m: m.encoder, **again)
    fit(module, callback)
    assert meter.compute().steps == 6


def test_shared_may_be_a_generator():
    module = Plain()
    meter = AffinityMeter(TASKS, every=1)
    fit(module, AffinityCallback(meter, lambda m: m.now, module.encoder.parameters()))
    assert meter.steps == 6


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("first-order", {}, "got no losses and Plain is no MultiTaskModule, expected losses=a function"),
        ("first-order", {"losses": lambda m: m.now}, "got no shared and Plain is no MultiTaskModule"),
        ("lookahead", {"losses": lambda m: m.now, "shared": lambda m: m.encoder}, "got no reevaluate"),
    ],
)
def test_what_is_missing_is_told(method, arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(Plain(), AffinityCallback(AffinityMeter(TASKS, method), **arguments))


class ByHand(Plain):
    """Two backward passes a batch, and an optimizer for each part, the encoder's last."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, _):
        for _ in range(2):
            self.now = self.losses(batch)
            self.manual_backward(self.fan.sum(self.now))
            for optimizer in self.optimizers():
                optimizer.step()
                optimizer.zero_grad()

    def configure_optimizers(self):
        return [torch.optim.SGD(self.heads.parameters(), lr=1.0), torch.optim.Adam(self.encoder.parameters(), lr=LR)]


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("rule", ["sgd", "optimizer"])
def test_manual_optimization_with_several_optimizers(every, rule):
    meter = AffinityMeter(TASKS, "lookahead", every=every, rule=rule)
    callback = AffinityCallback(meter, lambda m: m.now, lambda m: m.encoder, Plain.losses)
    fit(ByHand(), callback)
    assert meter.steps == 12 / every


def test_two_rules_may_be_measured_at_once():
    meters = [AffinityMeter(TASKS, every=2, rule=rule) for rule in ("sgd", "optimizer")]
    fit(make_module(), *(AffinityCallback(meter) for meter in meters))
    assert [meter.steps for meter in meters] == [3, 3]


def test_a_module_can_be_copied_after_a_step_by_hand():
    module = make_module()
    module.training_step(batches(1)[0], 0)
    assert not copy.deepcopy(module).attached_losses
    assert module.attached_losses


def test_features_need_one_fan_out():
    class Two(Plain):
        def __init__(self):
            super().__init__()
            self.other = FanOut(MGDA(), TASKS)

    callback = AffinityCallback(AffinityMeter(TASKS, "features"), lambda m: m.now)
    with pytest.raises(ValueError, match="Two holds 2 FanOut layers, expected one"):
        fit(Two(), callback)


def test_shared_is_what_lies_before_the_fan_out():
    module = make_module()
    assert {id(p) for p in module.shared_parameters()} == {id(p) for p in module.model.encoder.parameters()}
    tied = copy.deepcopy(module)
    tied.model.heads["a"].weight = tied.model.encoder[0].weight
    assert any(p is tied.model.encoder[0].weight for p in tied.shared_parameters())
