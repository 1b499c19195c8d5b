"""fan.sum(losses): the layer hears the losses and what they were multiplied by."""

import pytest
import torch
from torch import nn

from counterpoint import MGDA, DiBS, FanOut, GradNorm, NonFiniteGradientError, Uniform, Weighting, get_weighting


class Seen(Weighting):
    """Uniform weights, and a note of every step."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def forward(self, *_):
        raise AssertionError("weigh is overridden")

    def weigh(self, step):
        self.steps.append(step)
        return torch.ones(len(step.present))


class Net(nn.Module):
    def __init__(self, weighting, T=3, **options):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.tasks = nn.Linear(4, 5).double(), [f"t{k}" for k in range(T)]
        self.heads = nn.ModuleDict({task: nn.Linear(5, 1) for task in self.tasks}).double()
        self.fan = FanOut(weighting, self.tasks, **options)
        self.x = torch.randn(6, 4, dtype=torch.float64)

    def losses(self, tasks=None):
        z = self.fan(self.encoder(self.x), tasks)
        return {task: (self.heads[task](own) - 1).square().mean() for task, own in z.items()}


def test_values_arrive_in_the_layers_order_without_absent_tasks():
    net = Net(seen := Seen())
    losses = net.losses(["t2", "t0"])
    net.fan.sum({"t2": losses["t2"], "t0": losses["t0"]}).backward()
    (step,) = seen.steps
    assert step.tasks == ("t0", "t1", "t2")
    assert step.present == ("t0", "t2")
    assert step.positions == (0, 2)
    assert step.losses.tolist() == [losses[task].item() for task in ("t0", "t2")]
    assert step.scale == 1.0


def test_the_sum_is_the_sum_and_its_gradients_are_those_of_the_plain_one():
    net, plain = Net(Uniform()), Net(Uniform())
    total = net.fan.sum(net.losses())
    expected = sum(plain.losses().values())
    torch.testing.assert_close(total, expected)
    total.backward()
    expected.backward()
    for found, other in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.grad, other.grad)


def test_what_was_told_is_forgotten_after_the_backward_pass():
    net = Net(seen := Seen())
    net.fan.sum(net.losses()).backward()
    sum(net.losses().values()).backward()
    assert seen.steps[0].losses is not None
    assert seen.steps[1].losses is None
    never_run = net.fan.sum(net.losses())
    sum(net.losses().values()).backward()
    assert seen.steps[2].losses is None
    assert never_run.requires_grad


def test_a_factor_of_the_sum_is_taken_out_of_what_the_weighting_sees():
    net, plain = Net(seen := Seen()), Net(other := Seen())
    (net.fan.sum(net.losses()) * 128).backward()
    plain.fan.sum(plain.losses()).backward()
    torch.testing.assert_close(seen.steps[0].gram, other.steps[0].gram)
    assert seen.steps[0].scale == 128
    torch.testing.assert_close(net.encoder.weight.grad, 128 * plain.encoder.weight.grad)


def test_accumulation_of_a_scale_free_method_is_a_mean_and_not_a_sum():
    """DiBS' update does not depend on the losses' scale: 1/n would be lost without fan.sum."""
    net = Net(DiBS())
    for _ in range(4):
        (net.fan.sum(net.losses()) / 4).backward()
    once = Net(DiBS())
    once.fan.sum(once.losses()).backward()
    torch.testing.assert_close(net.encoder.weight.grad, once.encoder.weight.grad)


@pytest.mark.parametrize(
    "weighting", [GradNorm(), MGDA(normalize="loss"), MGDA(normalize="loss+"), get_weighting("uw")]
)
def test_weightings_that_need_losses_say_so(weighting):
    net = Net(weighting)
    with pytest.raises(ValueError, match=r"needs the losses.*fan\.sum") as caught:
        sum(net.losses().values()).backward()
    assert "\n" not in str(caught.value)
    net.fan.sum(net.losses()).backward()
    assert net.fan.last.weights.isfinite().all()


def test_no_losses_at_all_change_nothing():
    net = Net(MGDA())
    net.losses()
    net.fan.sum({}).backward()
    assert all(p.grad is None for p in net.parameters())


def test_weights_are_kept_for_n_backward_passes():
    net, weights = Net(MGDA(), every=3), []
    for k in range(6):
        net.x = torch.randn(6, 4, dtype=torch.float64)
        net.fan.sum(net.losses(["t0", "t1"] if k in {1, 4} else None)).backward()
        weights.append(net.fan.last.weights)
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[2], weights[3])
    assert torch.equal(weights[3], weights[5])
    assert weights[1][2] == 0  # another set of tasks has weights of its own
    assert not torch.equal(weights[1], weights[4])


def test_the_record_shows_true_gradients_whatever_the_scale():
    net, plain = Net(MGDA()), Net(MGDA())
    (net.fan.sum(net.losses()) * 1024).backward()
    sum(plain.losses().values()).backward()
    torch.testing.assert_close(net.fan.last.gram, plain.fan.last.gram)


@pytest.mark.parametrize(
    ("losses", "error", "message"),
    [
        ({"t0": 1.0}, TypeError, "'t0' is a float"),
        ({"t9": torch.ones((), requires_grad=True)}, ValueError, "unknown task 't9'"),
        ({"t0": torch.ones(2, requires_grad=True)}, ValueError, r"has shape \[2\]"),
        ({"t0": torch.ones(())}, ValueError, "does not require grad"),
        ([torch.ones((), requires_grad=True)], TypeError, "losses are a list, expected a mapping"),
    ],
)
def test_bad_losses_get_one_line(losses, error, message):
    with pytest.raises(error, match=message):
        Net(MGDA()).fan.sum(losses)


@pytest.mark.parametrize("option", [{"every": 0}, {"process_group": 1}, {"grad_scaler": 2}, {"heads": "x"}])
def test_bad_options_get_one_line(option):
    with pytest.raises((ValueError, TypeError), match=next(iter(option))):
        FanOut(MGDA(), ["a"], **option)


def test_evaluation_sums_without_gradients():
    net = Net(GradNorm()).eval()
    with torch.no_grad():
        assert not net.fan.sum(net.losses()).requires_grad
    assert net.fan.sum(net.losses()).requires_grad  # somebody may want gradients in eval mode


def test_fanning_out_to_no_task_at_all():
    net = Net(MGDA())
    assert net.losses([]) == {}
    net.fan.sum(net.losses([])).backward()
    assert net.fan.last is None


def test_what_was_told_is_forgotten_when_backward_raises():
    net = Net(get_weighting("uw"))
    losses = net.losses()
    losses["t1"] = losses["t1"] * float("nan")
    with pytest.raises(NonFiniteGradientError):
        (net.fan.sum(losses) * 100).backward()
    with pytest.raises(ValueError, match="needs the losses"):
        sum(net.losses().values()).backward()

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(_, x):
            return x.clone()

        @staticmethod
        def backward(*_):
            raise RuntimeError("in a head")

    losses = net.losses()
    losses["t1"] = Broken.apply(losses["t1"])
    with pytest.raises(RuntimeError, match="in a head"):
        net.fan.sum(losses).backward()
    with pytest.raises(ValueError, match="needs the losses"):
        sum(net.losses().values()).backward()
