"""What test_ranks.py runs in two processes: python rank_programs.py RANK RENDEZVOUS PROGRAM ...

Each program trains on this rank's half of the data and compares with one process that has all of it, which every rank
is for itself, too.
"""

import contextlib
import copy
import faulthandler
import sys
import warnings
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from counterpoint import (
    MGDA,
    DiBS,
    FanOut,
    GradNorm,
    Nash,
    NonFiniteGradientError,
    Uniform,
    backward,
    get_weighting,
)

RANKS = 2
SECONDS = 30
TASKS = ["a", "b", "c"]
ROWS = 4


class Net(nn.Module):
    """Returns the sum of the losses: what DDP wraps is the way from a batch to the loss."""

    def __init__(self, weighting, told=True, **options):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 5, dtype=torch.float64), nn.Tanh())
        self.heads = nn.ModuleDict({task: nn.Linear(5, 2, dtype=torch.float64) for task in TASKS})
        heads = dict(self.heads.items()) if options.get("heads") == "weighted" else None
        self.fan = None if weighting is None else FanOut(weighting, TASKS, head_modules=heads, **options)
        self.told = told

    def losses(self, z, batches):
        """Means over batches, one a rank, of the means over rows; a batch may lack labels of some tasks."""
        losses, start = {}, 0
        for x, labels in batches:
            for task in labels:
                error = self.heads[task](z[task][start : start + len(x)]) - labels[task]
                factor = 10.0 ** TASKS.index(task) / len(batches)
                losses[task] = losses.get(task, 0.0) + factor * error.square().mean()
            start += len(x)
        return losses

    def forward(self, *batches):
        features = self.encoder(torch.cat([x for x, _ in batches]))
        z = self.fan(features, [task for task in TASKS if any(task in labels for _, labels in batches)])
        losses = self.losses(z, batches)
        return self.fan.sum(losses) if self.told else sum(losses.values())


class Losses(Net):
    """For backward(). DDP returns copies where it looks for unused parameters, so the features are kept aside."""

    def forward(self, *batches):
        self.features = self.encoder(torch.cat([x for x, _ in batches]))
        return self.features, self.losses(dict.fromkeys(TASKS, self.features), batches)


def batch(seed, tasks=TASKS):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, 6, dtype=torch.float64, generator=generator)
    labels = {task: torch.randn(ROWS, 2, dtype=torch.float64, generator=generator) for task in TASKS}
    return x, {task: labels[task] for task in tasks}


def batches(step, tasks=(TASKS, TASKS)):
    """One batch for each rank."""
    return [batch(10 * step + rank, tasks[rank]) for rank in range(RANKS)]


def flat(net):
    return torch.cat(
        [parameter.detach().reshape(-1) for parameter in (*net.encoder.parameters(), *net.heads.parameters())]
    )


def same_on_both_ranks(numbers):
    gathered = [torch.zeros_like(numbers) for _ in range(RANKS)]
    dist.all_gather(gathered, numbers.contiguous())
    return torch.equal(*(torch.nan_to_num(numbers, nan=-1.0) for numbers in gathered))


def seeded(seed, make, *args, **options):
    torch.manual_seed(seed)
    return make(*args, **options)


def compare(make, tasks_by_step=((TASKS, TASKS),) * 3, accumulate=1, tolerance=1e-10, unused=False, **options):
    """Trains on two ranks and alone, three steps of SGD with momentum, and compares every step."""
    rank = dist.get_rank()
    net, alone = seeded(0, Net, make(), **options), seeded(0, Net, make(), **(options | {"process_group": None}))
    ddp = DistributedDataParallel(net, find_unused_parameters=unused)
    optimizers = [torch.optim.SGD(n.parameters(), lr=0.02, momentum=0.5) for n in (net, alone)]
    start = flat(net)
    for step, tasks in enumerate(tasks_by_step):
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.manual_seed(step)
        for micro in range(accumulate):
            (alone(*batches(10 * step + micro, tasks)) / accumulate).backward()
        torch.manual_seed(step + 100 * rank)
        for micro in range(accumulate):
            with ddp.no_sync() if micro < accumulate - 1 else contextlib.nullcontext():
                (ddp(batches(10 * step + micro, tasks)[rank]) / accumulate).backward()
        for optimizer in optimizers:
            optimizer.step()
        weights, expected = net.fan.last.weights, alone.fan.last.weights
        assert same_on_both_ranks(weights), f"{weights} on rank {rank}"
        assert same_on_both_ranks(flat(net))
        torch.testing.assert_close(weights, expected, rtol=tolerance, atol=tolerance)
        relative = 10 * tolerance
        torch.testing.assert_close(
            net.fan.last.gram, alone.fan.last.gram, rtol=relative, atol=tolerance / 100, equal_nan=True
        )
        torch.testing.assert_close(flat(net), flat(alone), rtol=0, atol=tolerance)
        assert net.fan.last.present == alone.fan.last.present
        assert not net.fan._anchors, "graphs of earlier steps are kept alive"
    assert (flat(net) - start).abs().max() > 1e-3 or not any(map(any, tasks_by_step))


METHODS = {
    "mgda": MGDA,
    "dibs": lambda: DiBS(steps=3),
    "nash": Nash,
    "gradnorm": lambda: GradNorm(lr=0.1),
    "uniform": Uniform,
    "alignedmtl": lambda: get_weighting("alignedmtl"),
    "pcgrad": lambda: get_weighting("pcgrad"),
    "random": lambda: get_weighting("random"),
    "uw": lambda: get_weighting("uw"),
    "dwa": lambda: get_weighting("dwa"),
}
NEED_LOSSES = ("gradnorm", "uw", "dwa")


def every_method():
    for name, make in METHODS.items():
        for told in (True, False):
            if told or name not in NEED_LOSSES:
                with named(f"{name}, {told=}"):
                    compare(make, told=told, process_group="world")


def options_of_the_layer():
    explicit = dist.new_group([0, 1])
    for make in (MGDA, METHODS["gradnorm"]):
        compare(make, process_group=explicit)
        compare(make, process_group="world", heads="weighted")
        compare(make, process_group="world", accumulate=3)
        compare(make, process_group="world", every=2)
        compare(make, process_group="world", heads="weighted", accumulate=2)


def partial_labels():
    one_lacks_a_task = (TASKS, ["a", "c"])
    one_lacks_all = (["b", "c"], [])
    nobody_has_a_task = (["a"], ["a", "b"])
    nobody_has_any = ([], [])
    steps = [one_lacks_a_task, one_lacks_all, one_lacks_all[::-1], nobody_has_a_task, one_lacks_all, (TASKS, TASKS)]
    for name in ("mgda", "dibs", "nash", "uniform", "pcgrad"):
        with named(name):
            compare(METHODS[name], steps, process_group="world", unused=True)
    compare(MGDA, [*steps, *steps], process_group="world", unused=True, heads="weighted")
    compare(Nash, steps, process_group="world", unused=True, accumulate=2)
    compare(MGDA, [one_lacks_all, nobody_has_a_task], process_group="world", unused=True, every=2)
    compare(Uniform, [one_lacks_all], process_group="world", unused=True, on_nonfinite="propagate")
    compare(METHODS["random"], [one_lacks_all] * 3, process_group="world", unused=True, on_nonfinite="propagate")
    nothing_left = (TASKS, TASKS)
    compare_with_nothing(MGDA, [nothing_left, nobody_has_any, nothing_left])


def gradients_that_do_not_wait():
    labels = [(TASKS, ["a", "c"]), (["b", "c"], []), ([], ["a"]), (["a"], ["a", "b"]), ([], []), (TASKS, TASKS)]
    for reduce, tolerance in (("stream", 1e-10), ("bfloat16", 1e-3)):  # a number may be rounded up on one side only
        options = {"process_group": "world", "reduce": reduce, "tolerance": tolerance}
        with named(reduce):
            compare(MGDA, **options, accumulate=2)
            compare(Nash, **options, heads="weighted", every=2)
            compare(METHODS["gradnorm"], **options)
            compare(METHODS["dibs"], labels[:4], **options, unused=True)
            compare_with_nothing(MGDA, labels, reduce=reduce)
    with pytest.raises(ValueError, match="on_nonfinite='skip' with reduce='stream' and a process group"):
        FanOut(MGDA(), TASKS, process_group="world", reduce="stream", on_nonfinite="skip")


def compare_with_nothing(make, steps, **options):
    """A step without labels anywhere changes nothing and holds nobody up."""
    rank = dist.get_rank()
    net = seeded(0, Net, make(), process_group="world", **options)
    ddp = DistributedDataParallel(net, find_unused_parameters=True)
    for step, tasks in enumerate(steps):
        net.zero_grad()
        ddp(batches(step, tasks)[rank]).backward()
        moved = any(bool(p.grad.any()) for p in net.parameters() if p.grad is not None)
        assert moved == any(map(bool, tasks))
    assert same_on_both_ranks(net.encoder[0].weight.grad)


def learning_weightings_and_partial_labels():
    """Their losses are means over the ranks that have one; state stays the same on all."""
    rank = dist.get_rank()
    for name in NEED_LOSSES:
        net = seeded(0, Net, METHODS[name](), process_group="world")
        learned = [f"fan.weighting.{key}" for key, _ in net.fan.weighting.named_parameters()]
        net._ddp_params_and_buffers_to_ignore = learned  # the same on all ranks anyway; DDP would find them unused
        ddp = DistributedDataParallel(net, find_unused_parameters=True)
        for step, tasks in enumerate([(TASKS, ["a"]), (TASKS, []), ([], TASKS), (["a", "b"], ["c"])] * 2):
            net.zero_grad()
            ddp(batches(step, tasks)[rank]).backward()
            assert same_on_both_ranks(net.fan.last.weights)
            assert net.fan.last.present == tuple(TASKS)
        for value in net.fan.weighting.state_dict().values():
            assert not isinstance(value, torch.Tensor) or same_on_both_ranks(value)


def non_finite_gradients():
    rank = dist.get_rank()
    for broken in range(RANKS):
        own = batches(0)[rank]
        if rank == broken:
            own[1]["b"][0, 0] = torch.inf
        net = seeded(0, Net, MGDA(), process_group="world")
        ddp = DistributedDataParallel(net)
        with pytest.raises(NonFiniteGradientError) as caught:
            ddp(own).backward()
        assert caught.value.tasks == ("b",)
        dist.barrier()

        net = seeded(0, Net, MGDA(), process_group="world", on_nonfinite="skip")
        ddp = DistributedDataParallel(net)
        ddp(own).backward()
        assert net.fan.skipped == {"b": 1}
        alone = seeded(0, Net, MGDA())
        alone(*batches(0, (["a", "c"], ["a", "c"]))).backward()
        torch.testing.assert_close(net.encoder[0].weight.grad, alone.encoder[0].weight.grad, rtol=1e-10, atol=1e-12)

        for other in (TASKS, []):  # the other rank may even have no labels
            net = seeded(0, Net, MGDA(), process_group="world", on_nonfinite="propagate")
            mine = own if rank == broken else batches(0, (other, other))[rank]
            ddp = DistributedDataParallel(net, find_unused_parameters=True)
            ddp(mine).backward()
            assert not torch.isfinite(net.encoder[0].weight.grad).any()

    own = batches(0, (["b"], ["a", "b"]))[rank]  # all that one rank has is skipped
    own[1]["b"][0, 0] = torch.nan
    net = seeded(0, Net, MGDA(), process_group="world", on_nonfinite="skip")
    ddp = DistributedDataParallel(net, find_unused_parameters=True)
    ddp(own).backward()
    assert net.fan.last.skipped == ("b",)
    assert net.fan.last.weights.tolist() == [1.0, 0.0, 0.0]
    assert same_on_both_ranks(net.encoder[0].weight.grad)
    assert torch.isfinite(net.encoder[0].weight.grad).all()


def losses_that_are_not_finite():
    """A mean over no labels on one rank: its gradient is zero there, and all ranks hear of it."""
    rank = dist.get_rank()
    for broken in range(RANKS):
        for policy in ("raise", "skip"):
            net = seeded(0, Net, MGDA(), process_group="world", on_nonfinite=policy)
            x, labels = batches(0)[rank]
            z = net.fan(net.encoder(x))
            losses = net.losses(z, [(x, labels)])
            if rank == broken:
                losses["b"] = (net.heads["b"](z["b"])[:0] - 1).square().mean()
            total = net.fan.sum(losses)
            if policy == "raise":
                with pytest.raises(NonFiniteGradientError, match="loss of task 'b'"):
                    total.backward()
            else:
                total.backward()
                assert net.fan.last.skipped == ("b",)
                assert same_on_both_ranks(net.fan.last.weights)
            dist.barrier()


def names_in_another_order():
    """Rows of Gram matrices are added by position."""
    rank = dist.get_rank()
    names = TASKS if rank == 0 else TASKS[::-1]
    encoder, x = nn.Linear(3, 2), torch.ones(4, 3)
    fan = FanOut(MGDA(), names, process_group="world")
    with pytest.raises(ValueError, match=r"\['a', 'b', 'c'\] on rank 0 and \['c', 'b', 'a'\] on rank 1.*sort them"):
        fan(encoder(x))
    losses = {task: encoder(x).square().mean() for task in names}
    with pytest.raises(ValueError, match="on rank 0 and"):
        backward(losses, MGDA(), shared=encoder, tasks=[*names, "d"], process_group="world")
    other = FanOut(MGDA(), [f"{task}-of-rank-{rank}" for task in TASKS], process_group="world")
    with pytest.raises(ValueError, match="'a-of-rank-0', 'b-of-rank-0', 'c-of-rank-0'"):
        other(encoder(x))
    same = FanOut(MGDA(), TASKS, process_group="world")
    for _ in range(2):
        z = same(encoder(x))
        same.sum({task: own.square().mean() for task, own in z.items()}).backward()
    for _ in range(2):
        backward(
            {t: encoder(x).square().mean() for t in TASKS}, MGDA(), shared=encoder, tasks=TASKS, process_group="world"
        )


def compare_function(make, level, tasks_by_step, by_hand=False, tolerance=1e-10, **options):
    """As compare(), for backward(); gradients averaged by DDP or by hand."""
    rank = dist.get_rank()
    net, alone = seeded(0, Losses, None), seeded(0, Losses, None)
    weighting, expected = make(), make()
    ddp = net if by_hand else DistributedDataParallel(net, find_unused_parameters=True)
    optimizers = [torch.optim.SGD(n.parameters(), lr=0.02, momentum=0.5) for n in (net, alone)]
    for step, tasks in enumerate(tasks_by_step):
        records = []
        for who, called, weigh, given in (
            (alone, alone, expected, batches(step, tasks)),
            (net, ddp, weighting, [batches(step, tasks)[rank]]),
        ):
            who.zero_grad(set_to_none=not by_hand)
            torch.manual_seed(step + (100 * rank if who is net else 0))
            _, losses = called(*given)
            where = {"features": who.features} if "features" in level else {}
            where |= {"shared": who.encoder.parameters()} if "shared" in level else {}
            group = "world" if who is net else None
            records.append(backward(losses, weigh, tasks=TASKS, process_group=group, **where, **options))
        if by_hand:
            for parameter in net.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                dist.all_reduce(parameter.grad)
                parameter.grad /= RANKS
        for optimizer in optimizers:
            optimizer.step()
        assert same_on_both_ranks(records[1].weights)
        assert same_on_both_ranks(flat(net))
        torch.testing.assert_close(records[1].weights, records[0].weights, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(flat(net), flat(alone), rtol=0, atol=tolerance)


LEVELS = (["features"], ["shared"])


def the_function():
    full = [(TASKS, TASKS)] * 3
    partial = [(TASKS, ["a"]), (TASKS, []), ([], ["b", "c"]), (["a"], ["a", "b"]), (TASKS, TASKS)]
    for level in LEVELS:
        for name in ("mgda", "gradnorm", "pcgrad"):
            with named(f"{level}, {name}"):
                compare_function(METHODS[name], level, full)
        for by_hand in (False, True):
            with named(f"{level}, {by_hand=}"):
                compare_function(Nash, level, full, by_hand)
                compare_function(MGDA, level, partial, by_hand)
                compare_function(MGDA, level, partial, by_hand, heads="weighted")
        compare_function(MGDA, level, full, every=2)
        for tasks in (full, partial):
            compare_function(METHODS["dibs"], level, tasks, memory="recompute")
            compare_function(METHODS["dibs"], level, tasks, memory="recompute", max_bytes=10**6, heads="weighted")


def non_finite_gradients_in_the_function():
    rank = dist.get_rank()
    for level in LEVELS:
        own = batches(0)[rank]
        if rank == 1:
            own[1]["b"][0, 0] = torch.inf
        for policy in ("raise", "skip"):
            net = seeded(0, Losses, None)
            features, losses = net(own)
            where = {"features": features} if "features" in level else {}
            where |= {"shared": net.encoder.parameters()} if "shared" in level else {}
            raised = False
            try:
                record = backward(losses, MGDA(), tasks=TASKS, process_group="world", on_nonfinite=policy, **where)
            except NonFiniteGradientError as error:
                raised = error.tasks == ("b",)
                assert all(parameter.grad is None for parameter in net.parameters())
            assert raised == (policy == "raise"), level
            if policy == "skip":
                assert record.skipped == ("b",)
                assert net.heads["b"].weight.grad is None
                assert torch.isfinite(net.encoder[0].weight.grad).all()


def methods_that_need_the_gradients_themselves():
    """They are refused on all ranks alike, at both levels: nobody sums what is no weighted sum."""
    from counterpoint.balancing.ranks import Ranks

    rank = dist.get_rank()
    refused = pytest.raises(ValueError, match=r"GradDrop\(\) .*, expected process_group=None")
    with refused:
        FanOut(get_weighting("graddrop"), TASKS, process_group="world")
    net = seeded(0, Net, get_weighting("graddrop"))
    net.fan.ranks = Ranks("world")  # as if the processes had met after the layer was made
    with refused:
        net(batches(0, (TASKS, []))[rank]).backward()
    for level in LEVELS:
        net = seeded(0, Losses, None)
        features, losses = net(batches(0)[rank])
        where = {"features": features} if "features" in level else {"shared": net.encoder.parameters()}
        with refused:
            backward(losses, get_weighting("graddrop"), tasks=TASKS, process_group="world", **where)
        assert all(parameter.grad is None for parameter in net.parameters())


def groups_and_copies():
    """One companion for each group, whoever uses it; copies talk to the same processes."""
    from counterpoint.balancing import ranks

    rank = dist.get_rank()
    ranks._companions.clear()
    net = seeded(0, Net, MGDA(), process_group="world")
    twin = copy.deepcopy(net)
    for each in (net, twin):
        each(batches(0)[rank]).backward()
        for _ in range(3):
            features, losses = seeded(0, Losses, None)(batches(0)[rank])
            backward(losses, MGDA(), tasks=TASKS, features=features, process_group="world")
    assert len(ranks._companions) == 1
    assert torch.equal(net.fan.last.weights, twin.fan.last.weights)
    lonely = [dist.new_group([other]) for other in range(RANKS)][rank]
    compare_alone = seeded(0, Net, MGDA(), process_group=lonely)
    compare_alone(batches(0)[rank]).backward()
    expected = seeded(0, Net, MGDA())
    expected(batches(0)[rank]).backward()
    assert torch.equal(compare_alone.fan.last.weights, expected.fan.last.weights)
    net.eval()
    assert net.fan(net.encoder(batches(0)[0][0]))["a"].shape == (ROWS, 5)


def trained_by_lightning(module, data, devices, strategy, **options):
    """Fits on one device, or on this rank and the other; returns parameters and the weights of each step."""
    import lightning

    weights = []

    class Watch(lightning.Callback):
        def on_train_batch_end(self, _trainer, module, *_):
            weights.append(module.fan_of_this.last.weights)

    turns = torch.utils.data.DistributedSampler(data, devices, dist.get_rank() % devices, shuffle=False)
    loader = torch.utils.data.DataLoader(data, batch_size=ROWS * RANKS // devices, sampler=turns)
    lightning.Trainer(
        use_distributed_sampler=False,
        accelerator="cpu",
        devices=devices,
        strategy=strategy,
        max_epochs=2,
        callbacks=[Watch()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    ).fit(module, loader)
    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()]), torch.stack(weights)


def quiet():
    import logging

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Rows(torch.utils.data.Dataset):
    def __init__(self, rows=24):
        generator = torch.Generator().manual_seed(5)
        self.x = torch.randn(rows, 6, dtype=torch.float64, generator=generator)
        self.y = {task: torch.randn(rows, 2, dtype=torch.float64, generator=generator) for task in TASKS}

    def __len__(self):
        return len(self.x)

    def __getitem__(self, row):
        return self.x[row], {task: y[row] for task, y in self.y.items()}


def lightning_with_a_module_of_the_users():
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self, weighting, **options):
            super().__init__()
            self.net = Net(weighting, **options)
            self.fan_of_this = self.net.fan

        def training_step(self, given, _):
            return self.net(tuple(given))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.5)

    quiet()
    for name, trainer, options in (
        ("mgda", {}, {"told": False}),
        ("gradnorm", {}, {}),
        ("nash", {"accumulate_grad_batches": 3}, {}),
        ("dibs", {"gradient_clip_val": 0.1}, {"heads": "weighted"}),
        ("uw", {}, {}),
    ):
        with named(name):
            alone = seeded(0, Module, METHODS[name](), **options)
            expected = trained_by_lightning(alone, Rows(), 1, single_device(), **trainer)
            module = seeded(0, Module, METHODS[name](), process_group="world", **options)
            for ours, theirs in zip(trained_by_lightning(module, Rows(), 2, "ddp", **trainer), expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
                assert same_on_both_ranks(ours)


def lightning_with_our_module():
    from counterpoint import MultiTaskModel, Task
    from counterpoint.training import MultiTaskModule

    class Module(MultiTaskModule):
        def __init__(self, weighting):
            encoder = nn.Sequential(nn.Linear(6, 5), nn.Tanh())
            model = MultiTaskModel(encoder, {task: nn.Linear(5, 2) for task in TASKS}, FanOut(weighting, TASKS))
            super().__init__(model.double(), [Task.classification(task, 2) for task in TASKS])
            self.fan_of_this = model.fan_out

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.5)

    quiet()
    data = Rows()
    data.y = {task: (y[:, 0] > 0).long() for task, y in data.y.items()}
    for name in ("mgda", "gradnorm", "pcgrad"):
        with named(name):
            alone = seeded(0, Module, METHODS[name]())
            expected = trained_by_lightning(alone, data, 1, single_device())
            module = seeded(0, Module, METHODS[name]())
            torch.manual_seed(0)
            for ours, theirs in zip(trained_by_lightning(module, data, 2, "ddp"), expected, strict=True):
                assert same_on_both_ranks(ours)
                if name != "pcgrad":
                    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)

    def some(rows):  # rank 0 sees even rows, rank 1 odd ones: some of its batches lack tasks, one lacks all
        x = torch.stack([x for x, _ in rows])
        first = int((x[0] @ torch.arange(6, dtype=torch.float64)).abs() * 10)
        present = {0: TASKS, 1: ["a"], 2: [], 3: ["b", "c"]}[(first + dist.get_rank()) % 4]
        return x, {task: torch.stack([y[task] for _, y in rows]) for task in present}

    import lightning

    module = seeded(0, Module, MGDA())
    loader = torch.utils.data.DataLoader(data, batch_size=ROWS, collate_fn=some)
    lightning.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp_find_unused_parameters_true",
        max_epochs=6,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, loader)
    parameters = torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])
    assert torch.isfinite(parameters).all()
    assert same_on_both_ranks(parameters)
    assert same_on_both_ranks(module.fan_of_this.last.weights)


def single_device():
    from lightning.pytorch.strategies import SingleDeviceStrategy

    return SingleDeviceStrategy(device="cpu")


@contextlib.contextmanager
def named(what):
    try:
        yield
    except Exception as error:
        error.add_note(f"in {what}")
        raise


def main(rank, rendezvous, programs):
    faulthandler.dump_traceback_later(5 * SECONDS, exit=True)  # a hang shows where
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
    dist.init_process_group(
        "gloo",
        init_method=f"file://{rendezvous}",
        rank=rank,
        world_size=RANKS,
        timeout=timedelta(seconds=SECONDS),
    )
    for program in programs:
        globals()[program]()
        print(f"done: {program}", flush=True)  # noqa: T201  (the test looks for it)
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
