"""length="sum": every weighting's update is as long as the gradient of the plain sum."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from counterpoint import MGDA, DiBS, FanOut, Uniform, backward, get_weighting

TASKS = ["a", "b", "c"]
NAMES = [
    "mgda",
    "dibs",
    "nash",
    "fairgrad",
    "gradnorm",
    "imtlg",
    "upgrad",
    "config",
    "uw",
    "graddrop",
    "uniform",
]


class Net(nn.Module):
    def __init__(self, seed=0, weighting="mgda", **options):
        super().__init__()
        torch.manual_seed(seed)
        self.encoder, self.heads = nn.Linear(4, 7).double(), nn.ModuleDict({t: nn.Linear(7, 2) for t in TASKS}).double()
        self.fan = FanOut(get_weighting(weighting), TASKS, **options)
        self.x = torch.randn(9, 4, dtype=torch.float64)

    def losses(self, z):
        return {t: 10.0**at * (self.heads[t](z[t]) - at).square().mean() for at, t in enumerate(z)}

    def at_features(self, present=TASKS):
        features = self.encoder(self.x)
        features.retain_grad()
        self.fan.sum(self.losses(self.fan(features, present))).backward()
        return features.grad


def plain(net, present=TASKS):
    """The gradient of the plain sum at the features."""
    features = net.encoder(net.x).detach().requires_grad_()
    sum(net.losses(dict.fromkeys(present, features)).values()).backward()
    return features.grad


@given(st.integers(0, 10**6), st.sampled_from(NAMES), st.sampled_from([TASKS, ["a", "c"]]))
def test_the_update_is_as_long_as_the_plain_sum_of_the_tasks_that_take_part(seed, name, present):
    torch.manual_seed(seed)
    net, usual = Net(seed, name, length="sum"), Net(seed, name)
    torch.manual_seed(seed)
    found = net.at_features(present)
    torch.manual_seed(seed)
    direction = usual.at_features(present)
    assert found.norm() == pytest.approx(float(plain(net, present).norm()), rel=1e-6)
    cosine = (found * direction).sum() / found.norm() / direction.norm()
    assert cosine == pytest.approx(1, abs=1e-9)
    weights, before = net.fan.last.weights, usual.fan.last.weights
    if name != "graddrop":  # no weights describe it
        factor = found.norm() / direction.norm()
        torch.testing.assert_close(weights, before * factor, rtol=1e-6, atol=1e-12)


def test_backward_does_the_same_at_either_level_and_heads_follow():
    for where in ("features", "shared"):
        for memory in ("store", "recompute"):
            net = Net()
            features = net.encoder(net.x)
            losses = net.losses(dict.fromkeys(TASKS, features))
            given_ = {"features": features} if where == "features" else {"shared": net.encoder}
            record = backward(losses, DiBS(), heads="weighted", length="sum", memory=memory, **given_)
            gram = record.gram
            assert record.weights @ gram @ record.weights == pytest.approx(float(gram.sum()), rel=1e-9)
            own = net.heads["c"].weight.grad.clone()
            net.zero_grad()
            net.losses(dict.fromkeys(TASKS, net.encoder(net.x)))["c"].backward()
            torch.testing.assert_close(own, record.weights[2] * net.heads["c"].weight.grad)


def test_scales_of_losses_and_micro_batches_stretch_with_the_sum():
    net, other = Net(length="sum"), Net(length="sum")
    expected = net.at_features()
    features = other.encoder(other.x)
    features.retain_grad()
    (other.fan.sum(other.losses(other.fan(features))) / 4).backward()
    torch.testing.assert_close(features.grad * 4, expected)


def test_the_plain_sum_is_already_as_long():
    found = Net(weighting="uniform", length="sum").at_features()
    torch.testing.assert_close(found, plain(Net()))
    assert FanOut(Uniform(), TASKS, length="sum").length == "sum"


def test_an_update_of_rounding_errors_is_not_stretched():
    features = torch.ones(4, requires_grad=True)
    fan = FanOut(MGDA(), ["a", "b"], length="sum")
    z = fan(features)
    fan.sum({"a": z["a"].sum() * 1.0, "b": -z["b"].sum() * (1 + 1e-7)}).backward()  # Pareto-stationary
    assert fan.last.weights.sum() == pytest.approx(1)
    assert features.grad.abs().max() < 1e-6


def test_reduced_gradients_are_stretched_too():
    for reduce in ("bfloat16", "stream"):
        net = Net(weighting="dibs", length="sum", reduce=reduce)
        for _ in range(2):  # a stream has the weights of the pass before
            net.zero_grad()
            found = net.at_features()
        assert found.norm() == pytest.approx(float(plain(net).norm()), rel=0.02)


@pytest.mark.parametrize("make", [lambda: FanOut(MGDA(), TASKS, length="mean"), lambda: Net(length="max")])
def test_another_length_is_refused(make):
    with pytest.raises(ValueError, match=r"length='.*' is unknown, expected one of sum"):
        make()


def test_a_name_can_ask_for_it():
    from counterpoint.study.weighting_choice import weighting_of

    expected = Net(weighting="nash", length="sum").at_features()
    for make in (lambda: get_weighting("nash", length="sum"), lambda: weighting_of("nash(length=sum)")):
        net = Net()
        net.fan = FanOut(make(), TASKS)
        torch.testing.assert_close(net.at_features(), expected)
    with pytest.raises(ValueError, match="length='max' is unknown"):
        get_weighting("cagrad", c=0.4, length="max")
