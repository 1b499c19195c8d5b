"""Dense matrices to compare with, and small networks in fp64."""

import pytest
import torch
from torch import nn


def dense_hessian(loss, tensors):
    """[P, P], entry by entry."""
    tensors = list(tensors)
    gradients = torch.autograd.grad(loss, tensors, create_graph=True)
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    rows = [
        torch.cat([part.reshape(-1) for part in torch.autograd.grad(entry, tensors, retain_graph=True)])
        for entry in flat
    ]
    return torch.stack(rows)


def flat_gradient(loss, tensors):
    parts = torch.autograd.grad(loss, list(tensors), retain_graph=True)
    return torch.cat([part.reshape(-1) for part in parts])


def networks():
    """Name, module, input."""
    torch.manual_seed(3)
    mlp = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))
    conv = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Softplus(), nn.Flatten(), nn.Linear(8, 3))
    norm = nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 3))
    inputs = {"mlp": torch.randn(11, 3), "conv": torch.randn(11, 1, 3, 3), "norm": torch.randn(11, 3)}
    modules = {"mlp": mlp, "conv": conv, "norm": norm}
    return {name: (module.double(), inputs[name].double()) for name, module in modules.items()}


@pytest.fixture(params=["mlp", "conv", "norm"])
def network(request):
    with torch.random.fork_rng():
        module, x = networks()[request.param]
        y = torch.randint(0, 3, (11,), generator=torch.Generator().manual_seed(5))
        yield module, x, y


@pytest.fixture
def hessian_of():
    return dense_hessian


@pytest.fixture
def gradient_of():
    return flat_gradient
