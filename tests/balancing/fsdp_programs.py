"""What test_fsdp.py runs in two processes: parameters are sharded, the weights are those of the joined batch."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # a script, not part of a package

import pytest
import rank_programs
import torch
import torch.distributed as dist
from rank_programs import METHODS, TASKS, Losses, Net, batches, flat, named, same_on_both_ranks, seeded
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from counterpoint import MGDA, backward


def sharded(net):
    """Encoder and heads are units of their own; what the weighting learns stays whole."""
    mesh = init_device_mesh("cpu", (rank_programs.RANKS,))
    for module in (net.encoder, *net.heads.values()):
        fully_shard(module, mesh=mesh)
    learned = set() if net.fan is None else set(net.fan.parameters())
    return fully_shard(net, mesh=mesh, ignored_params=learned)


def parameters(net):
    return [*net.encoder.parameters(), *net.heads.parameters()]


def layer():
    rank = dist.get_rank()
    for name, told in (
        ("mgda", 1),
        ("mgda", 0),
        ("dibs", 0),
        ("gradnorm", 1),
        ("uw", 1),
        ("pcgrad", 1),
        ("uniform", 0),
    ):
        with named(f"{name}, {told=}"):
            net = sharded(seeded(0, Net, METHODS[name](), told=told, process_group="world"))
            alone = seeded(0, Net, METHODS[name](), told=told)
            assert all(p.to_local().numel() < p.numel() for p in parameters(net))
            optimizers = [torch.optim.SGD(n.parameters(), lr=0.02, momentum=0.5) for n in (net, alone)]
            for step in range(3):
                for optimizer in optimizers:
                    optimizer.zero_grad()
                torch.manual_seed(step)
                alone(*batches(step)).backward()
                torch.manual_seed(step + 100 * rank)
                net(batches(step)[rank]).backward()
                for optimizer in optimizers:
                    optimizer.step()
                assert same_on_both_ranks(net.fan.last.weights)
                torch.testing.assert_close(net.fan.last.weights, alone.fan.last.weights, rtol=1e-10, atol=1e-10)
                ours = torch.cat([p.full_tensor().detach().reshape(-1) for p in parameters(net)])
                torch.testing.assert_close(ours, flat(alone), rtol=0, atol=1e-10)


class AllHeads(Net):
    """Every rank runs every head in the same order, as FSDP asks for; those without labels on features cut off."""

    def forward(self, x, labels):
        features = self.encoder(x)
        z = self.fan(features, list(labels))
        cut = features.detach().requires_grad_()
        outputs = {task: head(z.get(task, cut)) for task, head in self.heads.items()}
        losses = {task: 10.0 ** TASKS.index(task) * (outputs[task] - labels[task]).square().mean() for task in labels}
        return self.fan.sum(losses) + sum(0.0 * outputs[task].sum() for task in TASKS if task not in labels)


def partial_labels():
    rank = dist.get_rank()
    net = sharded(seeded(0, AllHeads, MGDA(), process_group="world"))
    alone = seeded(0, Net, MGDA())
    for step, tasks in enumerate([(TASKS, ["a"]), (TASKS, []), ([], TASKS), (["a", "b"], ["b"]), (TASKS, TASKS)]):
        net.zero_grad()
        alone.zero_grad()
        alone(*batches(step, tasks)).backward()
        net(*batches(step, tasks)[rank]).backward()
        torch.testing.assert_close(net.fan.last.weights, alone.fan.last.weights, rtol=1e-10, atol=1e-10)
        assert net.fan.last.present == alone.fan.last.present
        for ours, theirs in zip(parameters(net), parameters(alone), strict=True):
            expected = torch.zeros_like(theirs) if theirs.grad is None else theirs.grad
            torch.testing.assert_close(ours.grad.full_tensor(), expected, rtol=0, atol=1e-10)


def function_at_features():
    rank = dist.get_rank()
    net, alone = sharded(seeded(0, Losses, None)), seeded(0, Losses, None)
    for step in range(3):
        net.zero_grad()
        alone.zero_grad()
        _, losses = alone(*batches(step))
        backward(losses, MGDA(), features=alone.features)
        _, losses = net(batches(step)[rank])
        backward(losses, MGDA(), features=net.features, tasks=TASKS, process_group="world")
        for ours, theirs in zip(parameters(net), parameters(alone), strict=True):
            torch.testing.assert_close(ours.grad.full_tensor(), theirs.grad, rtol=0, atol=1e-10)


def what_is_refused():
    """Where features are not the place: sharded parameters are not what the losses were computed with."""
    rank = dist.get_rank()
    net = sharded(seeded(0, Losses, None))
    _, losses = net(batches(0)[rank])
    with pytest.raises(ValueError, match="not connected"):
        backward(losses, MGDA(), shared=net.encoder.parameters(), tasks=TASKS, process_group="world")


if __name__ == "__main__":
    for program in (layer, partial_labels, function_at_features, what_is_refused):
        setattr(rank_programs, program.__name__, program)
    rank_programs.main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
