"""The layer in compiled models: one graph, and what eager code does."""

import copy

import pytest
import torch
from torch import nn

from counterpoint import FanOut, get_weighting

TASKS = ["a", "b", "c"]
pytestmark = pytest.mark.no_cover  # coverage would follow the compiler


class Net(nn.Module):
    def __init__(self, weighting="mgda", several=False, **options):
        super().__init__()
        torch.manual_seed(1)
        self.encoder, self.low = nn.Sequential(nn.Linear(5, 8), nn.Tanh()), nn.Linear(5, 3)
        made = {"weighting": "mgda"} if weighting == "crmogm" else {}
        self.fan = FanOut(get_weighting(weighting, **made), TASKS, **options)
        self.heads = nn.ModuleDict({task: nn.Linear(11 if several else 8, 1) for task in TASKS})
        self.several = several

    def outputs(self, x):
        if self.several:
            z = {task: torch.cat(own, 1) for task, own in self.fan([self.encoder(x), self.low(x)]).items()}
        else:
            z = self.fan(self.encoder(x))
        return {task: self.heads[task](z[task]) for task in TASKS}

    def losses(self, outputs, present):
        return {task: (outputs[task] - at).square().mean() for at, task in enumerate(TASKS) if task in present}

    def forward(self, x, present="abc", inside=True):
        outputs = self.outputs(x)
        return self.fan.sum(self.losses(outputs, present)) if inside else outputs


X = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))


def trained(net, call, present, inside, steps=2):
    """Gradients and weights of the last of some steps, each with other rows."""
    torch.manual_seed(3)  # some draw
    for step in range(steps):
        net.zero_grad()
        x = X.roll(step, 1)
        out = call(x, present, inside)
        (out if inside else net.fan.sum(net.losses(out, present))).backward()
    return [p.grad for p in net.parameters()], net.fan.last


@pytest.mark.parametrize(
    ("weighting", "inside", "present"),
    [
        ("mgda", True, "abc"),
        ("mgda", False, "ac"),
        ("dibs", True, "ac"),  # two feature tensors
        ("gradnorm", False, "ac"),
        ("uw", True, "abc"),
        ("graddrop", False, "abc"),
        ("crmogm", True, "ac"),
    ],
)
def test_one_graph_trains_like_eager_code(weighting, inside, present):
    torch._dynamo.reset()
    net = Net(weighting, several=weighting == "dibs")
    twin = copy.deepcopy(net)
    expected, eager = trained(net, net, present, inside)
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    found, record = trained(twin, compiled, present, inside)
    for own, other in zip(found, expected, strict=True):
        if own is None or other is None:  # a compiler fills in zeros
            assert all(gradient is None or not gradient.any() for gradient in (own, other))
        else:
            torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
    assert record.present == eager.present == tuple(present)
    torch.testing.assert_close(record.weights, eager.weights, rtol=1e-4, atol=1e-5, equal_nan=True)
    torch.testing.assert_close(record.gram, eager.gram, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize(("weighting", "present"), [("mgda", "abc"), ("uw", "bc"), ("upgrad", "bc")])
def test_compiled_autograd_trains_like_the_engine(weighting, present):
    torch._dynamo.reset()
    net = Net(weighting)
    twin = copy.deepcopy(net)
    expected, eager = trained(net, net, present, inside=True)
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager", fullgraph=True)):
        found, record = trained(twin, twin, present, inside=True)
    for own, other in zip(found, expected, strict=True):
        if own is not None and other is not None:
            torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
    assert record.present == eager.present
    torch.testing.assert_close(record.weights, eager.weights, rtol=1e-4, atol=1e-5)
    twin.zero_grad()
    sum(twin.losses(twin(X, inside=False), "abc").values()).backward() if weighting == "mgda" else None
    assert twin.fan._pass._context.losses is None or weighting != "mgda"  # what was told is gone


def test_copies_of_a_layer_do_not_answer_for_each_other():
    torch._dynamo.reset()
    net = Net()
    twin = copy.deepcopy(net)
    assert twin.fan.handle != net.fan.handle
    torch.compile(net, backend="aot_eager", fullgraph=True)(X).backward()
    assert net.fan.last is not None
    assert twin.fan.last is None


def test_evaluated_and_frozen_parts_compile():
    torch._dynamo.reset()
    net = Net().eval()
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(X, inside=False), net(X, inside=False))


@pytest.mark.parametrize("options", [{"heads": "weighted"}, {"reduce": "stream"}, {"on_nonfinite": "skip"}])
def test_what_a_graph_cannot_hold_breaks_it_and_trains_alike(options):
    torch._dynamo.reset()
    net = Net(**options)
    if options != {"reduce": "stream"}:
        net.fan.attach(dict(net.heads))
    twin = copy.deepcopy(net)
    expected, _ = trained(net, net, "abc", inside=True, steps=1)
    compiled = torch.compile(lambda *args: twin(*args), backend="aot_eager")  # noqa: PLW0108
    found, _ = trained(twin, compiled, "abc", inside=True, steps=1)
    for own, other in zip(found, expected, strict=True):
        if own is not None and other is not None:
            torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
