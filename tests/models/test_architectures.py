"""Every architecture for tables: trains under a FanOut, starts from its seed, is exported and copied."""

import copy
import io

import pytest
import torch

from counterpoint import FanOut, MultiTaskModel, get_weighting
from counterpoint.affinity import last_layers
from counterpoint.models import TableNetwork, cost_of, start_at
from counterpoint.models.embedding import embedding_width

OUTPUTS = {"price": 1, "cut": 5, "visits": 1}
NETWORKS = {
    "mlp": TableNetwork("mlp", inputs=4, hidden=(8, 6)),
    "mlp with codes": TableNetwork("mlp", inputs=4, cardinalities=(6, 3), hidden=(8, 6), dropout=0.1),
    "mmoe": TableNetwork("mmoe", inputs=4, hidden=(8, 6), experts=3),
    "mmoe with codes": TableNetwork("mmoe", inputs=4, cardinalities=(6, 3), hidden=(8,), dropout=0.1),
    "ple": TableNetwork("ple", inputs=4, hidden=(8, 6), experts=3, dropout=0.1),
    "ple with codes": TableNetwork("ple", inputs=4, cardinalities=(6, 3), hidden=(8, 8, 6)),
    "ple of codes alone": TableNetwork("ple", inputs=0, cardinalities=(6, 3), hidden=(8,)),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def build(network, outputs=None, weighting="uniform", seed=0):
    torch.manual_seed(seed)
    outputs = OUTPUTS if outputs is None else outputs
    encoder = network.encoder(list(outputs))
    heads = {task: network.head(task, width) for task, width in outputs.items()}
    return MultiTaskModel(encoder, heads, FanOut(get_weighting(weighting), list(outputs)))


def rows(network, number=16):
    generator = torch.Generator().manual_seed(1)
    codes = [torch.randint(0, n, (number, 1), generator=generator).float() for n in network.cardinalities]
    return torch.cat([torch.randn(number, network.inputs, generator=generator), *codes], 1)


def total(outputs):
    return sum((output - 1).square().mean() for output in outputs.values())


@pytest.mark.parametrize(
    ("name", "weighting"),
    [
        ("mlp with codes", "mgda"),
        ("mmoe", "mgda"),
        ("mmoe with codes", "dibs"),
        ("ple", "dibs"),
        ("ple with codes", "mgda"),
    ],
)
def test_balancing_trains_it(name, weighting):
    network = NETWORKS[name]
    model, x = build(network, weighting=weighting), rows(network)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    before = float(total(model.eval()(x)).detach())
    model.train()
    for _ in range(20):
        optimizer.zero_grad()
        total(model(x)).backward()
        optimizer.step()
    assert float(total(model.eval()(x)).detach()) < before / 2
    assert model.fan_out.last.present == tuple(OUTPUTS)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_network
def test_a_single_task_and_a_batch_that_lacks_some(network):
    alone = build(network, {"price": 1}, "mgda")
    assert alone(rows(network))["price"].shape == (16, 1)
    model = build(network, weighting="mgda")
    total(model(rows(network), ["cut"])).backward()
    assert model.fan_out.last.absent == ("price", "visits")
    assert all(p.grad is None for p in model.heads["price"].parameters())
    assert all(p.grad is not None for p in model.heads["cut"].parameters())


def test_the_last_shared_layer_is_that_of_the_shared_experts():
    encoders = {name: NETWORKS[name].encoder(list(OUTPUTS)) for name in ("mlp", "mmoe with codes", "ple with codes")}
    expected = [encoders["mlp"][-2], encoders["mmoe with codes"].experts[-3], encoders["ple with codes"].shared[-2]]
    for encoder, layer in zip(encoders.values(), expected, strict=True):
        assert [id(p) for p in last_layers(encoder)] == [id(layer.weight), id(layer.bias)]


@pytest.mark.parametrize("name", ["mmoe with codes", "ple with codes"])
def test_mixed_precision_and_weighted_heads(name):
    torch.manual_seed(0)
    network = NETWORKS[name]
    heads = {task: network.head(task, width) for task, width in OUTPUTS.items()}
    fan_out = FanOut(get_weighting("dibs"), list(OUTPUTS), heads="weighted")
    model = MultiTaskModel(network.encoder(list(OUTPUTS)), heads, fan_out)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total(model(rows(network))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_network
def test_the_seed_is_torchs_alone(network):
    first, again, other = build(network), build(network), build(network, seed=1)
    for name, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert not all(torch.equal(other.state_dict()[name], value) for name, value in first.state_dict().items())


@every_network
def test_copies_are_apart(network):
    model, x = build(network).eval(), rows(network)
    twin = copy.deepcopy(model)
    expected = model(x)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    assert all(torch.equal(output, expected[task]) for task, output in twin(x).items())


@pytest.mark.parametrize("name", ["mmoe with codes", "ple with codes"])  # a second each
def test_export_with_any_number_of_rows(name):
    network = NETWORKS[name]
    model, x = build(network).eval(), rows(network)
    program = torch.export.export(model, (x,), dynamic_shapes={"x": {0: torch.export.Dim("rows")}})
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for number in (1, 5):
        expected = model(x[:number])
        for task, output in loaded(x[:number]).items():
            torch.testing.assert_close(output, expected[task])


@every_network
def test_a_head_starts_where_it_is_told(network):
    model, x = build(network).eval(), rows(network)
    before = model(x)
    start_at(model.heads["visits"], 4.0)
    torch.testing.assert_close(model(x), before | {"visits": before["visits"] + 4.0})
    with pytest.raises(ValueError, match="ReLU has no linear layer or convolution with a bias"):
        start_at(torch.nn.ReLU(), 4.0)


def linear(inputs, outputs):
    return torch.tensor([inputs * outputs + outputs, inputs * outputs])


def test_cost_by_hand():
    width = 4 + embedding_width(6) + embedding_width(3)
    embedded = torch.tensor([6 * embedding_width(6) + 3 * embedding_width(3), 0])
    mixing = torch.tensor([0, 3 * 8])
    own = torch.tensor([0, 8])
    heads = OUTPUTS.values()
    expected = {
        "mlp": linear(4, 8) + linear(8, 6) + sum(linear(6, n) for n in heads),
        "mlp with codes": embedded + linear(width, 8) + linear(8, 6) + sum(linear(6, n) for n in heads),
        "mmoe": 3 * linear(4, 8) + sum(linear(4, 3) + mixing + linear(8, 6) + linear(6, n) for n in heads),
        "ple": 3 * linear(4, 8)
        + sum(linear(4, 8) + linear(4, 4) + mixing + own + linear(8, 6) + linear(6, n) for n in heads),
    }
    for name, (parameters, products) in expected.items():
        cost = cost_of(build(NETWORKS[name]), rows(NETWORKS[name]))
        assert (cost.parameters, cost.multiply_adds) == (int(parameters), int(products)), name


def test_counting_leaves_the_model_as_it_is():
    model = build(NETWORKS["mlp with codes"], weighting="gradnorm")
    model.heads["cut"].eval()
    modes = [module.training for module in model.modules()]
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    learned = sum(p.numel() for part in (model.encoder, *model.heads.values()) for p in part.parameters())
    assert cost_of(model, rows(NETWORKS["mlp with codes"], 3)).parameters == learned
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError, match="the example has no rows"):
        cost_of(model, torch.zeros(0, 6))


def test_words():
    assert NETWORKS["mmoe"].describe() == (
        "three shared experts, each with one hidden layer of 8, one gate and one tower of 6 a task"
    )
    assert NETWORKS["ple with codes"].describe() == (
        "two embedded category columns, four shared experts and one expert of each task's own, each with two hidden "
        "layers of 8 and 8, one gate and one tower of 6 a task"
    )
