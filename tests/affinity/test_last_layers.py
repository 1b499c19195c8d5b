"""The end of an encoder."""

import pytest
import torch
from torch import nn

from counterpoint.affinity import last_layers


def encoder():
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Sequential(nn.ReLU(), nn.Linear(5, 3)), nn.ReLU())


def test_layers_are_modules_with_parameters_of_their_own():
    net = encoder()
    assert last_layers(net) == list(net[2][1].parameters())
    assert last_layers(net, 2) == [*net[1].parameters(), *net[2][1].parameters()]
    assert last_layers(net, 9) == list(net.parameters())
    assert last_layers(nn.Linear(2, 2, bias=False))[0].shape == (2, 2)


def test_frozen_layers_do_not_count():
    net = encoder()
    net[2][1].requires_grad_(requires_grad=False)
    assert all(torch.equal(a, b) for a, b in zip(last_layers(net), net[1].parameters(), strict=True))


def test_nothing_to_train_is_named():
    with pytest.raises(ValueError, match="count is 0, expected at least 1 layer"):
        last_layers(encoder(), 0)
    with pytest.raises(ValueError, match="no parameter that requires grad"):
        last_layers(nn.ReLU())
