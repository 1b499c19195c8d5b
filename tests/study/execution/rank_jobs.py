"""What test_ranks.py runs under torchrun: two ranks that do jobs together. Prints what it found as JSON."""

import json
import logging
import sys
import warnings
from datetime import timedelta

import lightning
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from counterpoint.study.execution import Failure, RanksExecutor, ranks


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        torch.nn.init.ones_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)

    def training_step(self, batch, _):
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def total(item, report):
    report(0.5)
    number = torch.tensor(float(item + dist.get_rank()))
    dist.all_reduce(number)
    return number.item()


def one_raises_while_the_other_waits(item, report):  # noqa: ARG001
    if dist.get_rank() == 1:
        raise ArithmeticError("on one rank alone")
    dist.all_reduce(torch.ones(1))


def train(item, report):  # noqa: ARG001
    group = dist.group.WORLD
    model = Line()
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    rows = torch.randn(16, 3, generator=torch.Generator().manual_seed(item))
    trainer.fit(model, DataLoader(rows, batch_size=8))  # all rows in one step of both ranks
    assert dist.group.WORLD is group  # reused, and not destroyed
    weights = [torch.empty(1, 3) for _ in range(2)]
    dist.all_gather(weights, model.layer.weight.detach())
    assert torch.equal(*weights)
    return trainer.world_size, weights[0].tolist()


def lead(place):
    shares = []
    executor = RanksExecutor(place)

    def run(items, work):
        outcomes = executor.run(items, work, lambda *share: shares.append(share), lambda *_: None)
        return [outcome.error if isinstance(outcome, Failure) else outcome for outcome in outcomes]

    found = {
        "totals": run([1, 2], total),
        "failed": run([0], one_raises_while_the_other_waits),
        "after a failure": run([3], total),
        "trained": run([0, 1], train),
    }
    print("found:", json.dumps(found | {"shares": shares[:4]}), flush=True)  # noqa: T201


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with ranks(timeout=timedelta(seconds=2)) as place:
        if place.leader:
            lead(place)
        else:
            place.follow()
    assert not dist.is_initialized()


if __name__ == "__main__":
    main()
    sys.exit(0)
