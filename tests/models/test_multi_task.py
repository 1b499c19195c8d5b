"""The model joins encoder, FanOut and heads by task."""

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from counterpoint import MGDA, FanOut, MultiTaskModel, get_weighting
from counterpoint.models import LeNetEncoder, LeNetHead


def test_outputs_by_task_and_gradients_through_the_fan_out():
    torch.manual_seed(0)
    names = ["price.usd", "type", "forward"]  # names that a ModuleDict refuses
    model = MultiTaskModel(nn.Linear(4, 3), {name: nn.Linear(3, 1) for name in names}, FanOut(MGDA(), names))
    outputs = model(torch.randn(6, 4))
    assert list(outputs) == names
    sum(output.square().mean() for output in outputs.values()).backward()
    assert model.fan_out.last.present == tuple(names)
    assert float(model.fan_out.last.weights.sum()) == pytest.approx(1)
    assert model.heads["type"].weight.grad is not None


def test_checkpoints_name_tasks_not_positions():
    torch.manual_seed(0)
    left, right = nn.Linear(3, 1), nn.Linear(3, 1)
    saved = MultiTaskModel(nn.Linear(4, 3), {"left": left, "right": right}).state_dict()
    other = MultiTaskModel(nn.Linear(4, 3), {"right": nn.Linear(3, 1), "left": nn.Linear(3, 1)})
    other.load_state_dict(saved)
    assert torch.equal(other.heads["left"].weight, left.weight)
    assert torch.equal(other.heads["right"].weight, right.weight)


@pytest.mark.parametrize("weighting", ["gradnorm", "famo", "uw"])
def test_what_serves_is_tensors_without_what_balanced_it(weighting):
    """Weightings remember what no file of tensors holds, and another one may take up the network."""

    def made(name):
        heads = {task: nn.Linear(3, 1) for task in "ab"}
        return MultiTaskModel(nn.Linear(4, 3), heads, FanOut(get_weighting(name), ["a", "b"]))

    trained, served, x = made(weighting), made("uniform"), torch.randn(5, 4)
    losses = {task: output.square().mean() for task, output in trained(x).items()}
    trained.fan_out.sum(losses).backward()
    served.load_served_state(load(save(trained.served_state())))
    assert torch.equal(served(x)["b"], trained(x)["b"])
    with pytest.raises(RuntimeError, match="Missing key"):
        served.load_served_state({})


def test_some_tasks_only():
    model = MultiTaskModel(nn.Linear(4, 3), {name: nn.Linear(3, 1) for name in "abc"})
    outputs = model(torch.randn(2, 4), tasks=["c"])
    assert list(outputs) == ["c"]
    outputs["c"].sum().backward()
    assert model.heads["a"].weight.grad is None
    assert model.fan_out.last.weights.tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="unknown task 'd'"):
        model(torch.randn(2, 4), tasks=["d"])


def test_without_a_fan_out_it_trains_the_plain_sum():
    torch.manual_seed(0)
    model = MultiTaskModel(nn.Linear(4, 3), {name: nn.Linear(3, 1) for name in "ab"})
    x = torch.randn(5, 4)
    sum(output.square().mean() for output in model(x).values()).backward()
    balanced = model.encoder.weight.grad.clone()
    model.zero_grad()
    sum(head(model.encoder(x)).square().mean() for head in model.heads.values()).backward()
    torch.testing.assert_close(balanced, model.encoder.weight.grad)


@pytest.mark.parametrize(
    ("heads", "message"),
    [({}, "heads is empty"), ({"a": nn.Linear(3, 1), "c": nn.Linear(3, 1)}, r"tasks \['a', 'c'\].*\['a', 'b'\]")],
)
def test_heads_of_other_tasks_get_one_line(heads, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskModel(nn.Linear(4, 3), heads, FanOut(MGDA(), ["a", "b"]))


def test_lenet_is_the_papers_size():
    encoder, head = LeNetEncoder(), LeNetHead()
    assert head(encoder(torch.rand(3, 1, 36, 36))).shape == (3, 10)
    count = sum(p.numel() for p in encoder.parameters())
    assert count == (25 * 10 + 10) + (250 * 20 + 20) + (720 * 50 + 50)
