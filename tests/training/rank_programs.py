"""What test_fit_ranks.py runs in two processes: python rank_programs.py RANK RENDEZVOUS PROGRAM ..."""

import faulthandler
import math
import os
import sys
import tempfile
import warnings
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.nn.parallel import DistributedDataParallel  # noqa: F401  (is slow to load: before anybody waits)
from torch.utils.data import DataLoader

from counterpoint import MGDA, FanOut, GradNorm, MultiTaskModel, Task, Uniform
from counterpoint.affinity import AffinityMeter
from counterpoint.data import Split
from counterpoint.training import AffinityCallback, FitSettings, MultiTaskModule, fit

SECONDS = 60
TASKS = ["price", "cut"]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # fp32, summed in another order, over some steps of Adam


def splits(partial):
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, count in (("train", 45), ("validation", 30), ("test", 31)):
        x = torch.randn(count, 4, generator=generator)
        price, cut = x.sum(1), x[:, :3].argmax(1)
        if partial:  # in some batches a process has no label of a task, in some nobody has
            price[torch.rand(count, generator=generator) < 0.75] = math.nan
            cut[torch.rand(count, generator=generator) < 0.5] = -100
        made[name] = Split(x, {"price": price, "cut": cut})
    return made


def module(weighting, partial):
    torch.manual_seed(0)
    fan = FanOut(weighting(), TASKS)
    model = MultiTaskModel(
        nn.Sequential(nn.Linear(4, 6), nn.Tanh()), {"price": nn.Linear(6, 1), "cut": nn.Linear(6, 3)}, fan
    )
    tasks = [Task.regression("price", partial=partial), Task.classification("cut", 3, partial=partial)]
    return MultiTaskModule(model, tasks, lr=0.02)


def train(folder, weighting, *, partial, ranks, callbacks=(), rows=None, **changes):
    given = {"epochs": 2, "batch_size": 7, "record_every": 3, "progress_bar": False, "logs": False, "devices": ranks}
    trained = module(weighting, partial)
    data, settings = rows or splits(partial), FitSettings(**{**given, **changes})
    return trained, fit(trained, data, settings, folder, callbacks=callbacks, resume=True)


def folders():
    """One that both processes see, and one of each."""
    given = [tempfile.mkdtemp()]
    dist.broadcast_object_list(given)
    return Path(given[0]), Path(tempfile.mkdtemp())


def assert_same(one, other, **tolerance):
    for own, theirs in zip(one[0].parameters(), other[0].parameters(), strict=True):
        torch.testing.assert_close(own, theirs, **tolerance)
    for name in ("validation", "test"):
        torch.testing.assert_close(getattr(one[1], name), getattr(other[1], name), **tolerance)
    own, theirs = one[1].history, other[1].history
    assert own.drop(columns="value").equals(theirs.drop(columns="value"))
    torch.testing.assert_close(torch.tensor(own.value), torch.tensor(theirs.value), rtol=1e-3, atol=1e-3)
    assert one[1].best_epoch == other[1].best_epoch


def everybody_has_the_same(found):
    state = [parameter.detach() for parameter in found[0].parameters()]
    others = [None] * dist.get_world_size()
    dist.all_gather_object(others, (state, found[1].test, found[1].validation, found[1].history.value.tolist()))
    torch.testing.assert_close(others[0], others[1], rtol=0, atol=0)


def compare(weighting, *, partial, **options):
    together, alone = folders()
    two = train(together, weighting, partial=partial, ranks=2, **options)
    everybody_has_the_same(two)
    assert sorted(path.name for path in (together / "checkpoints").iterdir()) == ["best.ckpt"]
    assert_same(two, train(alone, weighting, partial=partial, ranks=1, **options), **CLOSE)


def two_processes_are_one():
    compare(MGDA, partial=False)


def two_processes_are_one_where_labels_are_missing():
    for weighting in (Uniform, GradNorm):
        compare(weighting, partial=True)


def loaders_of_ones_own_are_shared():
    rows = {name: [(x, {"price": p, "cut": c}) for x, p, c in zip(s.inputs, *s.targets.values(), strict=True)]
            for name, s in splits(False).items()}  # fmt: skip
    compare(Uniform, partial=False, rows={name: DataLoader(own, batch_size=8) for name, own in rows.items()})


class Interrupts(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.current_epoch == 1:
            raise InterruptedError


def affinities_are_measured_and_a_training_goes_on():
    def measured(folder, *more, ranks=2):
        meter = AffinityMeter(TASKS, "lookahead", every=4)
        callbacks = [AffinityCallback(meter), *more]
        found = train(folder, Uniform, partial=True, ranks=ranks, callbacks=callbacks, checkpoint_seconds=0.0)
        return found, torch.from_numpy(meter.compute().values)

    (together, alone), (again, _) = folders(), folders()
    whole, affinity = measured(together)
    torch.testing.assert_close(affinity, measured(alone, ranks=1)[1], rtol=1e-2, atol=1e-4)
    try:
        measured(again, Interrupts())
    except InterruptedError:
        pass
    else:
        raise AssertionError
    dist.barrier()
    assert (again / "checkpoints" / "last.ckpt").is_file()
    cut, continued = measured(again)
    assert_same(cut, whole, rtol=0, atol=0)
    assert torch.equal(continued, affinity)


def main(rank, rendezvous, programs):
    faulthandler.dump_traceback_later(2 * SECONDS, exit=True)  # a hang shows where
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    timeout = timedelta(seconds=SECONDS)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2, timeout=timeout)
    for program in programs:
        globals()[program]()
        print(f"done: {program}", flush=True)  # noqa: T201  (the test looks for it)
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
