"""Measuring changes nothing, bit for bit, whatever the closure does."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.checkpoint import checkpoint

from counterpoint.affinity import AffinityMeter

LR = 0.05


@pytest.fixture
def lively(make_problem):
    """Dropout and BatchNorm in train mode, Adam with moments."""
    problem = make_problem(dropout=0.3, norm=True)
    optimizer = torch.optim.Adam(problem.parameters(), lr=LR)
    problem.train_a_little(optimizer)
    return problem, optimizer


def step(problem, optimizer, method="lookahead", rule="sgd", *, reevaluate=None, model=None, losses=None):
    meter = AffinityMeter(problem.tasks, method, rule=rule, every=1)
    closure = {"reevaluate": reevaluate or problem.losses, "model": model} if method == "lookahead" else {}
    losses = problem.losses() if losses is None else losses
    given = {"shared": list(problem.encoder.parameters()), "optimizer": optimizer}
    meter.step(losses, **given, **closure)
    return meter


@pytest.mark.parametrize("method", ["lookahead", "first-order"])
@pytest.mark.parametrize("rule", ["sgd", "preconditioned", "optimizer"])
@pytest.mark.parametrize("with_grad", [False, True])
def test_everything_is_as_before(lively, snapshot, method, rule, with_grad):
    problem, optimizer = lively
    if with_grad:
        sum(problem.losses().values()).backward()
    losses = problem.losses()
    before, numbers = snapshot(problem, optimizer), (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    step(problem, optimizer, method, rule, losses=losses)
    assert before == snapshot(problem, optimizer)
    assert numbers == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002


@pytest.mark.parametrize("method", ["lookahead", "first-order"])
@pytest.mark.parametrize("rule", ["sgd", "preconditioned", "optimizer"])
def test_training_is_bitwise_the_same_with_a_meter(make_problem, method, rule):
    ends = []
    for metered in (False, True):
        problem = make_problem(dropout=0.3, norm=True)
        optimizer = torch.optim.Adam(problem.parameters(), lr=LR)
        torch.manual_seed(7)
        for _ in range(5):
            losses = problem.losses()
            if metered:
                step(problem, optimizer, method, rule, losses=losses)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
        ends.append(problem.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ends[0].values(), ends[1].values(), strict=True))


class Interrupt(BaseException):
    pass


@pytest.mark.parametrize("call", [1, 2, 4])
def test_also_when_it_raises_in_the_middle(lively, snapshot, call):
    problem, optimizer = lively
    calls = []

    def closure():
        calls.append(0)
        found = problem.losses()
        random.random()  # noqa: S311
        if len(calls) == call:
            raise Interrupt
        return found

    losses = problem.losses()
    before = snapshot(problem, optimizer)
    meter = AffinityMeter(problem.tasks, "lookahead", every=1)
    with pytest.raises(Interrupt):
        meter.step(losses, shared=problem.encoder, optimizer=optimizer, reevaluate=closure)
    assert before == snapshot(problem, optimizer)
    assert meter.steps == 0
    assert meter.due
    sum(losses.values()).backward()  # the graph is usable


def optimizer_step(problem, optimizer):
    with torch.enable_grad():
        sum(problem.losses().values()).backward()
    optimizer.step()


def edit_shared(problem, _):
    problem.encoder[0].weight.data.add_(1.0)


def edit_in_place(problem, _):
    problem.encoder[0].bias += 1.0


def replace_data(problem, _):
    problem.encoder[0].weight.data = torch.zeros(5, 6, dtype=torch.float64)


def edit_head(problem, _):
    problem.heads["b"].weight.data[0, 0] = 7.0


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (optimizer_step, r"reevaluate steps an optimizer \(Adam\), expected a closure that only computes losses"),
        (edit_shared, r"reevaluate changed the parameter 'weight' \[5, 6\] of a Linear, expected"),
        (edit_in_place, r"reevaluate changed the parameter 'bias' \[5\] of a Linear"),
        (replace_data, r"reevaluate changed the parameter 'weight' \[5, 6\] of a Linear"),
        (edit_head, r"reevaluate changed the parameter 'weight' \[2, 4\] of a Linear"),
    ],
)
@pytest.mark.parametrize("call", [1, 3])
def test_a_closure_that_trains_is_named_and_undone(lively, snapshot, deed, message, call):
    problem, optimizer = lively
    calls = []

    def closure():
        calls.append(0)
        found = problem.losses()
        if len(calls) == call:
            deed(problem, optimizer)
        return found

    losses = problem.losses()
    before = snapshot(problem, optimizer)
    with pytest.raises(ValueError, match=message) as error:
        step(problem, optimizer, reevaluate=closure, losses=losses)
    assert "\n" not in str(error.value)
    after = snapshot(problem, optimizer)
    if deed is edit_in_place:  # such an edit counts a version, and nobody can take that back
        before.parts["versions"] = after.parts["versions"]
    assert before == after


def test_a_closure_may_change_modes_and_gradients(lively, snapshot):
    problem, optimizer = lively
    sum(problem.losses().values()).backward()
    losses = problem.losses()
    before = snapshot(problem, optimizer)

    def closure():
        problem.eval()
        optimizer.zero_grad(set_to_none=False)
        torch.manual_seed(3)
        return problem.losses()

    step(problem, optimizer, reevaluate=closure, model=problem, losses=losses)
    assert before == snapshot(problem, optimizer)


def to_eval(module, *_):
    module.eval()


def test_modes_changed_in_a_forward_pass_need_no_model(lively):
    problem, optimizer = lively
    losses = problem.losses()
    handle = problem.encoder[1].register_forward_hook(to_eval)
    step(problem, optimizer, losses=losses)
    handle.remove()
    assert all(module.training for module in problem.modules())


def test_buffers_that_are_replaced_come_back(make_problem, snapshot):
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros((), dtype=torch.float64))

        def forward(self, x):
            self.calls = self.calls + 1  # another tensor
            return x

    problem = make_problem()
    problem.encoder.append(Counting())
    losses = problem.losses()
    before, buffer = snapshot(problem, None), problem.encoder[-1].calls
    step(problem, torch.optim.SGD(problem.parameters(), lr=LR), losses=losses)
    assert before == snapshot(problem, None)
    assert problem.encoder[-1].calls is buffer


@pytest.mark.parametrize("buffer", [torch.ones(1).expand(3), torch.ones(2, 1).expand(2, 3), torch.eye(3).to_sparse()])
def test_buffers_in_any_layout(make_problem, buffer):
    class Drifting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", buffer)

        def forward(self, x):
            (self.scale if self.scale.is_sparse else self.scale[..., :1]).mul_(2)
            return x

    problem = make_problem()
    problem.encoder.append(Drifting())
    losses, scale = problem.losses(), problem.encoder[-1].scale
    before = scale.to_dense().clone()
    step(problem, torch.optim.SGD(problem.parameters(), lr=LR), losses=losses)
    assert problem.encoder[-1].scale is scale
    assert torch.equal(scale.to_dense(), before)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_modules(make_problem, snapshot):
    problem = make_problem(norm=True)
    problem.encoder = torch.jit.script(problem.encoder)
    losses, before = problem.losses(), snapshot(problem, None)
    step(problem, torch.optim.SGD(problem.parameters(), lr=LR), losses=losses)
    assert before == snapshot(problem, None)


def test_parameters_with_nan_are_not_taken_for_changed(make_problem):
    problem = make_problem()
    problem.heads["c"].weight.data[0, 0] = torch.nan
    meter = step(problem, torch.optim.SGD(problem.parameters(), lr=LR))
    assert meter.compute().counts.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_hooks_on_all_optimizers_hear_of_the_users_steps_alone(lively):
    problem, optimizer = lively
    heard = []
    hooks = [
        register_optimizer_step_pre_hook(lambda *_: heard.append("all")),
        optimizer.register_step_pre_hook(lambda *_: heard.append("one")),
    ]
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)  # replaces optimizer.step
    step(problem, optimizer, "first-order", "optimizer")
    for hook in hooks:
        hook.remove()
    assert not heard
    assert scheduler._step_count == 1
    assert not getattr(optimizer, "_opt_called", False)


def test_no_graph_is_made_in_the_closure(make_problem):
    problem = make_problem()
    modes = []
    step(
        problem,
        torch.optim.SGD(problem.parameters(), lr=LR),
        reevaluate=lambda: modes.append(torch.is_grad_enabled()) or problem.losses(),
    )
    assert modes == [False] * 4


class Checkpointed(nn.Sequential):
    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False)


@pytest.mark.parametrize(("method", "baseline"), [("first-order", "reevaluate"), ("lookahead", "given")])
def test_checkpointed_layers_are_recomputed_without_a_trace(make_problem, snapshot, method, baseline):
    problem = make_problem(dropout=0.3, norm=True)
    problem.encoder = Checkpointed(problem.encoder)
    losses = problem.losses()
    before = snapshot(problem, None)
    meter = AffinityMeter(problem.tasks, method, every=1, baseline=baseline)
    closure = {"reevaluate": problem.losses} if method == "lookahead" else {}
    meter.step(losses, shared=list(problem.encoder.parameters()), lr=LR, **closure)
    assert before == snapshot(problem, None)


def test_compiled_modules_are_not_compiled_anew_by_every_measurement(make_problem, snapshot):
    problem = make_problem(norm=True)
    compilations = []

    def compiler(graph, _):
        compilations.append(graph)
        return graph.forward

    problem.encoder = torch.compile(problem.encoder, backend=compiler)
    counts = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.compile.*global hooks")
        for _ in range(3):
            losses = problem.losses()
            before = snapshot(problem, None)
            meter = AffinityMeter(problem.tasks, "lookahead", every=1)
            meter.step(losses, shared=list(problem.encoder.parameters()), lr=LR, reevaluate=problem.losses)
            assert before == snapshot(problem, None)
            counts.append(len(compilations))
    assert counts[0] == counts[1] == counts[2]
