"""What test_trajectory_ranks.py runs in two processes: python trajectory_programs.py RANK RENDEZVOUS PROGRAM ..."""

import faulthandler
import logging
import sys
import warnings
from datetime import timedelta

import lightning
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel  # noqa: F401  (is slow to load: before anybody waits)
from torch.utils.data import DataLoader

from counterpoint import MGDA, FanOut, MultiTaskModel, Task
from counterpoint.data import Split
from counterpoint.training import Curvature, MultiTaskModule, TrajectoryCallback

SECONDS = 30


def rows(count, seed):
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return Split(x, {"a": (x[:, 0] > 0).long(), "b": (x[:, 1] > x[:, 2]).long()})


def train(*callbacks):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh())
    model = MultiTaskModel(encoder, {"a": nn.Linear(6, 2), "b": nn.Linear(6, 2)}, FanOut(MGDA(), ["a", "b"]))
    module = MultiTaskModule(model, [Task.classification(task, 2) for task in ("a", "b")])
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        use_distributed_sampler=False,
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )
    batches = list(rows(48, 10 + dist.get_rank()).batches(8))
    torch.manual_seed(dist.get_rank())
    trainer.fit(module, DataLoader(batches, batch_size=None))
    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])


def the_first_process_looks_and_nobody_waits():
    callback = TrajectoryCallback(rows(32, 1), rows(32, 2), budget=None, curvature=Curvature(draws=2, products=3))
    plain, recorded = train(), train(callback)
    assert torch.equal(plain, recorded)
    steps = sorted({row["step"] for row in callback.rows if row["quantity"] == "test_metric"})
    assert steps == ([0, 1, 2, 5, 6, 10, 12] if dist.get_rank() == 0 else [])
    assert callback.warnings == ()


def main(rank, rendezvous, programs):
    faulthandler.dump_traceback_later(5 * SECONDS, exit=True)  # a hang shows where
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    timeout = timedelta(seconds=SECONDS)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2, timeout=timeout)
    for program in programs:
        globals()[program]()
        print(f"done: {program}", flush=True)  # noqa: T201  (the test looks for it)
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
