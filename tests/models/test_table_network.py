"""A description of a network for tables makes that network."""

import json
import pickle

import pytest
import torch
from torch import nn

from counterpoint.models import CodeEmbedding, MLPEncoder, TableNetwork


def test_without_codes_or_dropout_it_is_the_plain_mlp():
    torch.manual_seed(0)
    encoder = TableNetwork("mlp", inputs=6, hidden=(8, 4)).encoder(["a"])
    torch.manual_seed(0)
    plain = MLPEncoder(6, (8, 4))
    assert [type(module) for module in encoder] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU]
    for name, value in plain.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], value)
    dropping = TableNetwork("mlp", inputs=6, hidden=(8, 4), dropout=0.5).encoder(["a"])
    assert [module.p for module in dropping if isinstance(module, nn.Dropout)] == [0.5, 0.5]


def test_codes_are_embedded_beside_dense_columns():
    torch.manual_seed(0)
    embed = CodeEmbedding(2, (30, 5))
    first, second = embed.tables
    x = torch.tensor([[0.1, 0.2, 29, 0], [0.3, 0.4, 3, 4]])
    expected = torch.stack(
        [torch.cat([x[i, :2], first.weight[int(x[i, 2])], second.weight[int(x[i, 3])]]) for i in (0, 1)]
    )
    assert torch.equal(embed(x), expected)
    assert embed.width == expected.shape[1] == 2 + 11 + 4
    assert not first.weight[0].any()
    assert 0.005 < float(first.weight[1:].detach().std()) < 0.015
    embed.inputs = 0
    assert torch.equal(embed(x[:, 2:]), expected[:, 2:])


def test_many_codes_survive_the_floating_point():
    embed = CodeEmbedding(0, (70_001,))
    codes = torch.tensor([[69_999.0], [70_000.0]])
    assert torch.equal(embed(codes), embed.tables[0].weight[[69_999, 70_000]])


def test_json_round_trip():
    network = TableNetwork("mlp", inputs=6, cardinalities=[40, 3], hidden=[32, 16], dropout=0.1)
    document = json.loads(json.dumps(network.to_json()))
    assert TableNetwork.from_json(document) == network
    assert hash(TableNetwork.from_json(document)) == hash(network)
    assert pickle.loads(pickle.dumps(network)) == network  # noqa: S301
    assert network.describe() == (
        "two embedded category columns, two hidden layers of 32 and 16, dropout of 0.1, one linear head a task"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "cnn"}, "architecture='cnn' is unknown, expected one of mlp, mmoe, ple"),
        ({"inputs": 0}, "inputs is 0 and cardinalities is empty"),
        ({"inputs": 2.5}, "inputs holds 2.5, expected whole numbers of at least 0"),
        ({"hidden": ()}, "hidden is empty"),
        ({"hidden": (8, 0)}, "hidden holds 0, expected whole numbers of at least 1"),
        ({"hidden": 8}, r"hidden is 8, expected whole numbers such as \[256, 256\]"),
        ({"experts": 0}, "experts holds 0"),
        ({"experts": True}, "experts holds True"),
        ({"cardinalities": (0,)}, "cardinalities holds 0"),
        ({"dropout": 1.0}, "dropout is 1.0, expected a number from 0 to below 1"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"dropout": "much"}, "dropout is 'much'"),
    ],
)
def test_what_makes_no_network_gets_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        TableNetwork(**{"architecture": "mlp", "inputs": 3} | options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("document", [{}, [], {"architecture": "mlp"}, None])
def test_other_documents_are_refused(document):
    with pytest.raises(ValueError, match="describes no network for tables"):
        TableNetwork.from_json(document)
