"""What test_meter_on_ranks.py runs in two processes: python meter_programs.py RANK RENDEZVOUS PROGRAM ...

Each measures on this rank's half of the data, and alone on all of it.
"""

import contextlib
import faulthandler
import sys
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from counterpoint import MGDA, FanOut
from counterpoint.affinity import AffinityMeter

RANKS = 2
SECONDS = 30
TASKS = ["a", "b", "c"]
ROWS = 4
LR = 0.05

SOME = [(TASKS, ["a", "c"]), (["a"], ["b", "c"]), ([], TASKS), (TASKS, TASKS)]


class Net(nn.Module):
    def __init__(self, fan=None):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()
        self.heads = nn.ModuleDict({task: nn.Linear(4, 2) for task in TASKS}).double()
        self.fan = fan

    def losses(self, batches):
        """Means over the rows with labels; as many on each rank that has any."""
        tasks = [task for task in TASKS if any(task in labels for _, labels in batches)]
        features = self.encoder(torch.cat([x for x, _ in batches]))
        z = dict.fromkeys(tasks, features) if self.fan is None else self.fan(features, tasks)
        losses = {}
        for task in tasks:
            rows = torch.cat([torch.full((ROWS,), float(task in labels)) for _, labels in batches]).bool()
            y = torch.cat([labels[task] for _, labels in batches if task in labels])
            losses[task] = (self.heads[task](z[task][rows]) - y).square().mean()
        return losses


def batches(step, tasks=(TASKS, TASKS)):
    found = []
    for rank in range(RANKS):
        generator = torch.Generator().manual_seed(10 * step + rank)
        x = torch.randn(ROWS, 6, dtype=torch.float64, generator=generator)
        labels = {task: torch.randn(ROWS, 2, dtype=torch.float64, generator=generator) for task in TASKS}
        found.append((x, {task: labels[task] for task in tasks[rank]}))
    return found


def compare(method="first-order", rule="sgd", tasks_by_step=((TASKS, TASKS),) * 2, **options):
    rank = dist.get_rank()
    nets = [Net(), Net()]
    optimizers = [torch.optim.Adam(net.parameters(), lr=LR) for net in nets]
    meters = [
        AffinityMeter(TASKS, method, rule=rule, every=1, process_group=group, **options) for group in ("world", None)
    ]
    for optimizer, net in zip(optimizers, nets, strict=True):  # moments, the same on both
        sum(net.losses(batches(99)).values()).backward()
        optimizer.step()
    for step, tasks in enumerate(tasks_by_step):
        joined = batches(step, tasks)
        for net, optimizer, meter, given in zip(
            nets, optimizers, meters, (joined[rank : rank + 1], joined), strict=True
        ):
            closure = {"reevaluate": lambda net=net, given=given: net.losses(given)} if method == "lookahead" else {}
            meter.step(net.losses(given), shared=net.encoder, optimizer=optimizer, **closure)
    ours, alone = (meter.compute() for meter in meters)
    np.testing.assert_allclose(ours.values, alone.values, rtol=1e-9)
    np.testing.assert_array_equal(ours.counts, alone.counts)
    np.testing.assert_allclose(meters[0].cosines().values, meters[1].cosines().values, rtol=1e-9)
    gathered = [None, None]
    dist.all_gather_object(gathered, ours.values.tolist())
    assert gathered[0] == gathered[1]


def full_batches():
    for method in ("first-order", "lookahead"):
        for rule in ("sgd", "preconditioned", "optimizer"):
            with named(f"{method} {rule}"):
                compare(method, rule)
    with named("block by block"):
        compare(max_bytes=2 * 8 * 59)
    with named("sketch"):
        compare(sketch=64)


def partial_labels():
    for method in ("first-order", "lookahead"):
        with named(method):
            compare(method, tasks_by_step=SOME)


def features():
    rank = dist.get_rank()
    found = []
    for group in ("world", None):
        net = Net(FanOut(MGDA(), TASKS, process_group=group))
        meter = AffinityMeter(TASKS, "features", every=1, process_group=group)
        for step in range(2):
            joined = batches(step)
            losses = net.losses(joined[rank : rank + 1] if group else joined)
            net.fan.sum(losses).backward()
            meter.step(losses, record=net.fan.last, lr=LR)
        found.append(meter.compute().values)
    np.testing.assert_allclose(*found, rtol=1e-9)


def names_in_another_order():
    """As a set of names gives them in processes whose hashes differ."""
    net, tasks = Net(), TASKS if dist.get_rank() == 0 else TASKS[::-1]
    meter = AffinityMeter(tasks, every=1, process_group="world")
    with pytest.raises(ValueError, match="in another order, on another rank, expected the same list on all"):
        meter.step(net.losses(batches(0)), shared=net.encoder, lr=LR)


@contextlib.contextmanager
def named(what):
    try:
        yield
    except Exception as error:
        error.add_note(f"in {what}")
        raise


def main(rank, rendezvous, programs):
    faulthandler.dump_traceback_later(4 * SECONDS, exit=True)  # a hang shows where
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{rendezvous}",
        rank=rank,
        world_size=RANKS,
        timeout=timedelta(seconds=SECONDS),
    )
    for program in programs:
        globals()[program]()
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
