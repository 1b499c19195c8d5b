"""Mixed precision: a loss scale changes no update, and a step that overflowed changes nothing at all."""

import copy

import pytest
import torch
from torch import nn

from counterpoint import MGDA, DiBS, FanOut, GradNorm, Nash, NonFiniteGradientError, Uniform, backward, get_weighting

TASKS = ["a", "b", "c"]
# Methods that differ in how their update grows with the loss: with it, not at all, with its square root.
METHODS = {
    "mgda": MGDA,
    "nash": Nash,
    "dibs": DiBS,
    "dibs of 3 steps": lambda: DiBS(steps=3),
    "uniform": Uniform,
    "gradnorm": lambda: GradNorm(lr=0.1),
    "imtlg": lambda: get_weighting("imtlg"),
    "uw": lambda: get_weighting("uw"),
}
NEED_LOSSES = ("gradnorm", "uw")


class Net(nn.Module):
    def __init__(self, weighting, **options):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 5))
        self.heads = nn.ModuleDict({task: nn.Linear(5, 2) for task in TASKS})
        self.fan = FanOut(weighting, TASKS, **options)

    def losses(self, x, fan=True):
        features = self.encoder(x)
        z = self.fan(features) if fan else dict.fromkeys(TASKS, features)
        outputs = {task: self.heads[task](z[task]).float() for task in TASKS}
        return features, {task: 3.0**k * (outputs[task] - k).square().mean() for k, task in enumerate(TASKS)}


def made(weighting, **options):
    torch.manual_seed(0)
    return Net(weighting, **options)


def batch(seed=0):
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(seed))


def gradients(net):
    return {name: None if p.grad is None else p.grad.clone() for name, p in net.named_parameters()}


def scaler_of(scale=2.0**14):
    return torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)


def unscaled(net, scaler, loss):
    """Gradients as the optimizer would see them."""
    net.zero_grad()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    return gradients(net)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("heads", ["own", "weighted"])
def test_a_loss_scale_changes_no_gradient(name, heads):
    """Powers of two only move exponents, so that what remains is the rounding of weights."""

    def layer(**options):
        net = made(METHODS[name](), heads=heads, **options)
        if heads == "weighted":
            net.fan.attach(dict(net.heads.items()))
        return net

    reference = layer()
    reference.fan.sum(reference.losses(batch())[1]).backward()
    expected = gradients(reference)

    scaler = scaler_of()
    told = layer(on_nonfinite="propagate")
    given = layer(grad_scaler=scaler)
    found = [unscaled(told, scaler, told.fan.sum(told.losses(batch())[1]))]
    scaler = scaler_of()
    given.fan.grad_scaler = scaler
    loss = given.losses(batch())[1]
    found.append(unscaled(given, scaler, given.fan.sum(loss) if name in NEED_LOSSES else sum(loss.values())))
    for net, grads in zip((told, given), found, strict=True):
        torch.testing.assert_close(grads, expected, rtol=1e-5, atol=1e-7)
        record, other = net.fan.last, reference.fan.last
        torch.testing.assert_close(record.weights.double(), other.weights.double(), rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(record.gram.double(), other.gram.double(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("level", ["features", "shared"])
def test_a_loss_scale_changes_no_gradient_of_the_function(name, level):
    found = []
    for scaler in (None, scaler_of()):
        net, weighting = made(Uniform()), METHODS[name]()
        features, losses = net.losses(batch(), fan=False)
        where = {"features": features} if level == "features" else {"shared": net.encoder.parameters()}
        if scaler is not None:
            scaler.scale(torch.zeros(()))  # GradScaler makes its scale when it is first used
        backward(losses, weighting, grad_scaler=scaler, **where)
        if scaler is not None:
            scaler.unscale_(torch.optim.SGD(net.parameters(), lr=0.1))
        found.append(gradients(net))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_autocast_gives_gradients_of_its_precision(name, dtype, tolerance):
    reference = made(METHODS[name]())
    reference.fan.sum(reference.losses(batch())[1]).backward()
    net = made(METHODS[name](), on_nonfinite="propagate")
    scaler = scaler_of(2.0**10 if dtype == torch.float16 else 1.0)
    with torch.autocast("cpu", dtype=dtype):
        features, losses = net.losses(batch())
    assert features.dtype == dtype
    grads = unscaled(net, scaler, net.fan.sum(losses))
    assert net.fan.last.gram.dtype in {torch.float32, torch.float64}
    for key, expected in gradients(reference).items():
        if expected is not None:
            scale = float(expected.norm()) + 1e-3
            assert float((grads[key] - expected).norm()) < tolerance * scale, key


def test_backward_inside_autocast_measures_in_full_precision():
    grams = []
    for inside in (True, False):
        net = made(MGDA())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = net.fan.sum(net.losses(batch())[1])
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        grams.append(net.fan.last.gram)
    torch.testing.assert_close(*grams, rtol=0, atol=0)


def state(net):
    return copy.deepcopy({name: value for name, value in net.state_dict().items() if isinstance(value, torch.Tensor)})


WAYS = {"layer": [name for name in METHODS if name not in NEED_LOSSES], "told": METHODS, "function": METHODS}


@pytest.mark.parametrize(("way", "name"), [(way, name) for way, names in WAYS.items() for name in names])
def test_a_step_that_overflows_changes_nothing_but_the_scale(way, name):
    scaler = scaler_of(2.0**10)
    options = {"layer": {"grad_scaler": scaler}, "told": {"on_nonfinite": "propagate"}, "function": {}}[way]
    net = made(METHODS[name](), **options)
    free = made(METHODS[name]())  # trains without the broken steps and without a scaler
    optimizer, other = (torch.optim.SGD(n.parameters(), lr=0.05) for n in (net, free))
    scale = 2.0**10

    def step(seed, factor=1.0):
        optimizer.zero_grad()
        features, losses = net.losses(batch(seed), fan=way != "function")
        losses["b"] = losses["b"] * factor
        if way == "function":
            backward(losses, net.fan.weighting, features=features, grad_scaler=scaler)
        else:
            scaler.scale(net.fan.sum(losses) if way == "told" else sum(losses.values())).backward()
        scaler.step(optimizer)
        scaler.update()

    for seed in range(5):
        if seed in (1, 3):
            scaler.scale(torch.zeros(()))
            before, weighting = state(net), copy.deepcopy(vars(net.fan.weighting).get("_held"))
            step(seed, float("inf"))
            scale /= 2
            torch.testing.assert_close(state(net), before, rtol=0, atol=0, equal_nan=True)
            assert vars(net.fan.weighting).get("_held") == weighting
        else:
            if seed == 0:
                scaler.scale(torch.zeros(()))
            step(seed)
            other.zero_grad()
            features, losses = free.losses(batch(seed), fan=way != "function")
            if way == "function":
                backward(losses, free.fan.weighting, features=features)
            else:
                free.fan.sum(losses).backward()
            other.step()
        assert scaler.get_scale() == scale
    torch.testing.assert_close(state(net), state(free), rtol=1e-4, atol=1e-6, equal_nan=True)


def test_a_scaler_that_is_off_changes_nothing():
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    net = made(MGDA(), grad_scaler=scaler)
    reference = made(MGDA())
    scaler.scale(sum(net.losses(batch())[1].values())).backward()
    sum(reference.losses(batch())[1].values()).backward()
    torch.testing.assert_close(gradients(net), gradients(reference), rtol=0, atol=0)
    with pytest.raises(NonFiniteGradientError):
        (sum(net.losses(batch())[1].values()) * torch.inf).backward()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("scaled", [False, True])
def test_accumulated_updates_are_means_also_where_weights_know_no_size(name, scaled):
    """With loss / n through fan.sum, n equal micro-batches give what one gives."""
    n = 4
    reference = made(METHODS[name]())
    reference.fan.sum(reference.losses(batch())[1]).backward()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, enabled=scaled)
    weighting = METHODS[name]() if name != "gradnorm" else GradNorm(lr=1e-9)  # would learn n times
    net = made(weighting, on_nonfinite="propagate" if scaled else "raise")
    for _ in range(n):
        scaler.scale(net.fan.sum(net.losses(batch())[1]) / n).backward()
    if scaled:
        scaler.unscale_(torch.optim.SGD(net.parameters(), lr=0.1))
    torch.testing.assert_close(gradients(net), gradients(reference), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("level", ["features", "shared"])
def test_accumulated_updates_of_the_function_are_means(level):
    n = 4
    found = []
    for times in (1, n):
        net = made(Uniform())
        for _ in range(times):
            features, losses = net.losses(batch(), fan=False)
            where = {"features": features} if level == "features" else {"shared": net.encoder.parameters()}
            backward(losses, DiBS(), scale=1 / times, **where)
        found.append(gradients(net))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-7)
