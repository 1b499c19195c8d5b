"""Every weighting by name trains a network, as a layer and at both levels of the function, or says why it does not."""

import pytest
import torch
from torch import nn

from counterpoint import FanOut, backward, weighting_names

from .test_by_name import TASKS, make

WAYS = ("layer", "features", "shared")
REFUSED = {  # what each of these is refused with
    ("excessmtl", "layer"): "only at level 'parameters'.*shared=encoder",
    ("excessmtl", "features"): "only at level 'parameters'.*shared=encoder",
    **{(name, way): "neither in FanOut nor in backward" for name in ("modo", "sdmgrad") for way in WAYS},
}
CASES = [(name, way) for name in weighting_names() for way in WAYS]


def train(name, way, steps=3):
    """Losses of each step, and by how much each parameter of encoder and heads moved."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(6, 5), nn.Tanh()).double()
    heads = nn.ModuleDict({task: nn.Linear(5, 2) for task in TASKS}).double()
    x, labels = torch.randn(8, 6, dtype=torch.float64), torch.randn(len(TASKS), 8, 2, dtype=torch.float64)
    weighting = make(name)
    fan = FanOut(weighting, TASKS) if way == "layer" else None
    weighting.bind(TASKS)
    parameters = [*encoder.parameters(), *heads.parameters()]
    start = [parameter.detach().clone() for parameter in parameters]
    learned = [parameter for parameter in weighting.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD([*parameters, *learned], lr=0.01)

    def losses_of(z):
        return {task: (heads[task](z[task]) - own).square().mean() for task, own in zip(TASKS, labels, strict=True)}

    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        features = encoder(x)
        losses = losses_of(dict.fromkeys(TASKS, features) if fan is None else fan(features))
        if fan is not None:
            fan.sum(losses).backward()
        elif way == "features":
            backward(losses, weighting, features=features, tasks=TASKS)
        else:
            backward(losses, weighting, shared=encoder.parameters(), tasks=TASKS)
        optimizer.step()
        if weighting.needs_reevaluation:
            with torch.no_grad():
                weighting.reevaluated(losses_of(dict.fromkeys(TASKS, encoder(x))))
        found.append(torch.stack(list(losses.values())).detach())
    moves = [float((now.detach() - before).abs().max()) for now, before in zip(parameters, start, strict=True)]
    return torch.stack(found), moves


@pytest.mark.parametrize(("name", "way"), [case for case in CASES if case not in REFUSED])
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
def test_every_name_trains(name, way):
    losses, moves = train(name, way)
    assert losses.isfinite().all()
    assert all(0 < move < 10 for move in moves)
    assert not torch.equal(losses[0], losses[-1])


@pytest.mark.parametrize(("name", "way"), REFUSED)
def test_what_makes_no_sense_is_refused_in_one_line(name, way):
    with pytest.raises(ValueError, match=REFUSED[name, way]) as caught:
        train(name, way)
    assert "\n" not in str(caught.value)
