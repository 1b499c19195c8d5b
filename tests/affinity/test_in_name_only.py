"""Tasks that are there in name only, records and closures that are not of this step: nothing counts as measured."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.checkpoint import checkpoint

from counterpoint import MGDA, AffinityMeter, FanOut

TASKS = ["a", "b", "c"]
LR = 0.1


class Net(nn.Module):
    def __init__(self, fan=None, encode=None, decode=None):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Sequential(nn.Linear(5, 6), nn.Tanh()), nn.Linear(6, 6)
        self.heads = nn.ModuleDict({task: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)) for task in TASKS})
        self.fan, self.encode, self.decode = fan, encode, decode
        self.x = torch.randn(16, 5)

    def forward(self, x):
        z = self.second(self.first(x) if self.encode is None else self.encode(self.first, x))
        z = dict.fromkeys(TASKS, z) if self.fan is None else self.fan(z)
        return {t: head(z[t]) if self.decode is None else self.decode(head, z[t]) for t, head in self.heads.items()}

    def losses(self, model=None):
        outputs = (self if model is None else model)(self.x.clone().requires_grad_())
        return {task: (out - 1).square().mean() for task, out in outputs.items()}

    def shared(self):
        return [*self.first.parameters(), *self.second.parameters()]


def measured(net, losses=None, method="first-order", **options):
    meter = AffinityMeter(TASKS, method, every=1, **options)
    compute = net.losses if losses is None else losses
    closure = {"reevaluate": compute} if method == "lookahead" else {}
    meter.step(compute(), shared=net.shared(), lr=LR, **closure)
    return meter


def ignored_labels(outputs):
    return cross_entropy(outputs, torch.full((len(outputs),), -100))


def no_rows(outputs):
    return mse_loss(outputs[:0], outputs[:0].detach())


def masked_to_zero(outputs):
    return (outputs * 0).sum() / 1


def zero_but_for_a_constant(outputs):
    return (outputs * 0).sum() + 2


@pytest.mark.traced(2)
@pytest.mark.parametrize("options", [{}, {"sketch": 512}, {"max_bytes": 700}], ids=str)
@pytest.mark.parametrize("method", ["first-order", "lookahead"])
@pytest.mark.parametrize("loss", [ignored_labels, no_rows, masked_to_zero, zero_but_for_a_constant])
def test_a_task_without_labels_neither_steps_nor_is_stepped_on(loss, method, options):
    """Its gradient is zero; its step would count as one that helps and harms nobody."""
    net = Net()

    def losses():
        return net.losses() | {"b": loss(net(net.x)["b"])}

    meter, whole = measured(net, losses, method, **options), measured(net, None, method, **options).compute().values
    found = meter.compute()
    rest = np.ix_([0, 2], [0, 2])
    np.testing.assert_allclose(found.values[rest], whole[rest], rtol=1e-5)
    assert np.isnan(found.values[1]).all()
    assert np.isnan(meter.cosines().values[1]).all()
    if (method, loss) != ("lookahead", zero_but_for_a_constant):  # whose loss was seen to stay
        assert np.isnan(found.values[:, 1]).all()
        assert meter.skipped.tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]


def test_through_features_as_well():
    net = Net(FanOut(MGDA(), TASKS))
    outputs = net(net.x)
    losses = {task: (out - 1).square().mean() for task, out in outputs.items()} | {"b": ignored_labels(outputs["b"])}
    sum(losses[task] for task in "ac").add(zero_but_for_a_constant(outputs["b"])).backward()
    meter = AffinityMeter(TASKS, "features", every=1)
    meter.step(losses, record=net.fan.last, lr=LR)
    assert np.isnan(meter.compute().values[1]).all()
    assert np.isnan(meter.compute().values[:, 1]).all()
    assert np.isfinite(meter.compute().values[np.ix_([0, 2], [0, 2])]).all()


def test_a_record_counts_once():
    """Of a FanOut in evaluation, or without a backward pass, the last record stays where it was."""
    net = Net(FanOut(MGDA(), TASKS))
    sum(net.losses().values()).backward()
    meter = AffinityMeter(TASKS, "features", every=1)
    meter.step(net.losses(), record=net.fan.last, lr=LR)
    sum(net.eval().losses().values()).backward()
    with pytest.raises(
        ValueError, match=r"record is the one that was measured last, expected fan\.last after this step's"
    ):
        meter.step(net.losses(), record=net.fan.last, lr=LR)
    sum(net.train().losses().values()).backward()
    assert meter.step(net.losses(), record=net.fan.last, lr=LR)


def test_lookahead_hears_that_the_closure_is_of_something_else():
    net, other = Net(), Net()
    losses, kept = net.losses(), {task: loss.detach() for task, loss in net.losses().items()}
    with pytest.raises(ValueError, match="reevaluate returns the losses that were given, expected a closure that comp"):
        measured(net, lambda: losses, "lookahead")
    for closure in (other.losses, lambda: kept):
        meter = AffinityMeter(TASKS, "lookahead", every=1)
        with pytest.warns(UserWarning, match="found the same losses after every task's step, to the last bit"):
            meter.step(net.losses(), shared=net.shared(), lr=LR, reevaluate=closure)
    measured_at_rest = AffinityMeter(TASKS, "lookahead", every=1)
    measured_at_rest.step(net.losses(), shared=net.shared(), lr=0.0, reevaluate=net.losses)  # a warm-up's first step


def again(part, x):
    return checkpoint(part, x, use_reentrant=True)


@pytest.mark.parametrize("method", ["first-order", "lookahead"])
@pytest.mark.parametrize("where", ["encode", "decode"])
@pytest.mark.parametrize("fan", [None, FanOut(MGDA(), TASKS)], ids=["plain", "fan"])
def test_reentrant_checkpoints_are_refused_in_one_line(fan, where, method):
    with pytest.raises(ValueError, match=r"expected checkpoint\(\.\.\., use_reentrant=False\)") as caught:
        measured(Net(fan, **{where: again}), None, method)
    assert "\n" not in str(caught.value)


@pytest.mark.traced(2)
@pytest.mark.parametrize("method", ["first-order", "lookahead"])
@pytest.mark.parametrize("fan", [None, FanOut(MGDA(), TASKS)], ids=["plain", "fan"])
def test_compiled_models_are_measured_as_others_are(fan, method):
    net = Net(fan)
    compiled = torch.compile(net, backend="aot_eager")
    found = measured(net, lambda: net.losses(compiled), method).compute()
    np.testing.assert_allclose(found.values, measured(net, None, method).compute().values, rtol=1e-4)


def test_losses_without_a_graph_are_refused_in_one_line():
    net = Net()
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, pytest.raises(ValueError, match=r"look for torch\.no_grad\(\) and inference_mode"):
            measured(net)


NO_MOMENTS = [torch.optim.Adafactor, torch.optim.Adadelta, torch.optim.Adamax, torch.optim.Rprop, torch.optim.ASGD]
MOMENTS = [torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam, torch.optim.RMSprop]


@pytest.mark.parametrize("maker", NO_MOMENTS + MOMENTS, ids=lambda maker: maker.__name__)
@pytest.mark.parametrize("rule", ["sgd", "preconditioned", "optimizer"])
def test_optimizers_are_followed_or_refused_in_one_line(maker, rule):
    net = Net()
    optimizer = maker(net.shared())
    sum(net.losses().values()).backward()
    optimizer.step()
    meter = AffinityMeter(TASKS, rule=rule, every=1)
    if rule == "preconditioned" and maker in NO_MOMENTS:
        with pytest.raises(
            ValueError, match=f"{maker.__name__} holds no second moment for each number, expected an op"
        ):
            meter.step(net.losses(), shared=net.shared(), optimizer=optimizer)
    else:
        assert meter.step(net.losses(), shared=net.shared(), optimizer=optimizer)
        assert np.isfinite(meter.compute().values).all()


@pytest.mark.parametrize("rule", ["sgd", "preconditioned", "optimizer"])
def test_sparse_adam_is_followed(rule):
    torch.manual_seed(0)
    words, heads = nn.Embedding(9, 4, sparse=True), nn.ModuleDict({task: nn.Linear(4, 1) for task in TASKS})
    optimizer = torch.optim.SparseAdam(words.parameters(), lr=LR)

    def losses():
        rows = {"a": [0, 1], "b": [1, 2], "c": [3, 3]}
        return {task: (heads[task](words(torch.tensor(own))) - 1).square().mean() for task, own in rows.items()}

    sum(losses().values()).backward()
    optimizer.step()
    meter = AffinityMeter(TASKS, "lookahead", rule=rule, every=1)
    meter.step(losses(), shared=words, optimizer=optimizer, reevaluate=losses)
    found = meter.compute().values
    assert found[0, 0] > 0
    assert found[2, 0] == found[0, 2] == 0.0  # no word in common


def test_an_optimizer_without_a_learning_rate_is_told():
    class Fixed(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {})

        def step(self):
            pass

    net = Net()
    with pytest.raises(ValueError, match="Fixed has param groups without 'lr', expected lr= to say how far to step"):
        AffinityMeter(TASKS).step(net.losses(), shared=net.shared(), optimizer=Fixed(net.shared()))
