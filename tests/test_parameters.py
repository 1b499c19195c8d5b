"""shared= means one thing: what backward takes, the meter and the measures take, and refuse in the same words."""

import pytest
import torch
from torch import nn

from counterpoint import MGDA, AffinityMeter, backward, hessian_trace
from counterpoint.parameters import trainable_parameters


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.ModuleDict({task: nn.Linear(4, 1) for task in "ab"})


ENCODER, HEADS = network()
X = torch.randn(6, 3)


def losses():
    return {task: (head(ENCODER(X)) - 1).square().mean() for task, head in HEADS.items()}


def balance(shared):
    backward(losses(), MGDA(), shared=shared)


def meter(shared):
    AffinityMeter(["a", "b"]).step(losses(), shared=shared, lr=0.1)


def look_ahead(shared):
    AffinityMeter(["a", "b"], "lookahead").step(losses(), shared=shared, lr=0.1, reevaluate=losses)


def measure(shared):
    hessian_trace(lambda: losses()["a"], shared, draws=2)


EVERYWHERE = pytest.mark.parametrize("use", [balance, meter, look_ahead, measure])
PARAMETERS = [*ENCODER.parameters()]
GROUPS = [{"params": [ENCODER[0].weight], "lr": 1e-3}, {"params": [ENCODER[0].bias], "lr": 1.0}]

GIVEN = {
    "a module": (lambda: ENCODER, PARAMETERS),
    "a list": (lambda: PARAMETERS, PARAMETERS),
    "a generator": (ENCODER.parameters, PARAMETERS),
    "twice": (lambda: PARAMETERS * 2, PARAMETERS),
    "a module's values": (lambda: dict(ENCODER.named_parameters()).values(), PARAMETERS),
    "param groups": (lambda: torch.optim.SGD(GROUPS).param_groups, PARAMETERS),
    "one group": (lambda: torch.optim.Adafactor(PARAMETERS).param_groups[0], PARAMETERS),
    "a group of one parameter": (lambda: [{"params": ENCODER[0].bias}], [ENCODER[0].bias]),
    "one parameter": (lambda: ENCODER[0].weight, [ENCODER[0].weight]),
    "several modules": (lambda: nn.ModuleList([ENCODER[1], ENCODER]), PARAMETERS),
    "some frozen": (lambda: [nn.Parameter(torch.ones(2), requires_grad=False), torch.ones(3), *PARAMETERS], PARAMETERS),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_these_are_the_parameters(kind):
    given, expected = GIVEN[kind]
    found = trainable_parameters("shared", given())
    assert [id(tensor) for tensor in found] == [id(tensor) for tensor in expected]


@EVERYWHERE
@pytest.mark.parametrize("kind", GIVEN)
def test_and_are_taken_everywhere(use, kind):
    use(GIVEN[kind][0]())


def used_up():
    generator = ENCODER.parameters()
    list(generator)
    return generator


REFUSED = {
    "nothing": (list, ValueError, "holds no parameter that requires grad, expected at least one that is trained"),
    "a used generator": (used_up, ValueError, r"a generator such as module\.parameters\(\) is used up"),
    "frozen": (lambda: torch.ones(3), ValueError, "holds no parameter that requires grad"),
    "features": (lambda: ENCODER(X), ValueError, "holds the result of a computation, expected parameters"),
    "an optimizer": (lambda: torch.optim.SGD(PARAMETERS), TypeError, r"is a SGD, .*: hand over its \.param_groups"),
    "named": (ENCODER.named_parameters, TypeError, "holds a tuple, .* rather than named_parameters"),
    "by name": (ENCODER.state_dict, ValueError, r"holds a dict of \['0.weight', '0.bias'\], .*hand over the \.values"),
    "modules": (lambda: [ENCODER, HEADS["a"]], TypeError, "holds a Sequential, .*: hand over nn.ModuleList"),
    "names": (lambda: ["weight"], TypeError, "holds a str, expected a module, parameters such as"),
    "a name": (lambda: "encoder", TypeError, "is a str, expected a module"),
    "a number": (lambda: 3, TypeError, "is a int, expected a module"),
    "lists of lists": (lambda: [PARAMETERS], TypeError, "holds a list, expected"),
    "complex": (lambda: nn.Parameter(torch.ones(2) * 1j), TypeError, r"complex numbers, of shape \[2\], expected real"),
    "sparse": (lambda: nn.Parameter(torch.eye(2).to_sparse()), TypeError, "of layout torch.sparse_coo, expected dense"),
    "meta": (lambda: nn.Linear(1, 1, device="meta"), TypeError, "on the meta device, expected"),
    "lazy": (lambda: nn.LazyLinear(2), ValueError, "a lazy parameter without a shape, expected one forward pass"),
}


@EVERYWHERE
@pytest.mark.parametrize("kind", REFUSED)
def test_and_others_are_refused_in_one_line(use, kind):
    given, error, message = REFUSED[kind]
    with pytest.raises(error, match=message) as caught:
        use(given())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("params" if use is measure else "shared")
