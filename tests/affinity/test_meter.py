"""The meter measures what a naive reimplementation on copies of the whole model measures."""

import copy

import numpy as np
import pytest
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import nn

from counterpoint import MGDA, DiBS, FanOut, GradNorm
from counterpoint.affinity import AffinityMeter

LR = 0.05

OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=LR),
    "Nesterov": lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda p: torch.optim.Adam(p, lr=LR, weight_decay=0.01),
    "Adam one by one": lambda p: torch.optim.Adam(p, lr=LR, foreach=False),
    "Adam, several at once": lambda p: torch.optim.Adam(p, lr=LR, foreach=True, amsgrad=True),
    "Adam, fused": lambda p: torch.optim.Adam(p, lr=LR, fused=True),
    "Adam, tensor lr": lambda p: torch.optim.Adam(p, lr=torch.tensor(LR, dtype=torch.float64), foreach=False),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=LR, weight_decay=0.1),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=LR, momentum=0.5, centered=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=LR),
}


def scaled_second_moment(optimizer, parameter):
    """Kingma & Ba 2015, Algorithm 1, and RMSprop as torch documents it."""
    state = optimizer.state[parameter]
    if "square_avg" in state:
        return 1 / ((state["square_avg"] - state["grad_avg"] ** 2).sqrt() + 1e-8)
    second = state.get("max_exp_avg_sq", state["exp_avg_sq"])
    return 1 / ((second / (1 - 0.999 ** float(state["step"]))).sqrt() + 1e-8)


def after_step(problem, optimizer, task, rule):
    """A copy of the whole model after a step on one task, its heads as they were."""
    other, their = copy.deepcopy((problem, optimizer))
    other.losses()[task].backward()
    if rule == "optimizer":
        heads = copy.deepcopy(other.heads.state_dict())
        their.step()
        other.heads.load_state_dict(heads)
        return other
    with torch.no_grad():
        for parameter in other.encoder.parameters():
            scale = 1.0 if rule == "sgd" else scaled_second_moment(their, parameter)
            parameter.sub_(LR * scale * parameter.grad)
    return other


def reference(problem, optimizer, method, rule):
    """[T, T], by the definition, or its first-order term."""
    tasks = problem.tasks
    before = problem.losses()
    values = np.zeros((len(tasks), len(tasks)))
    for i, task in enumerate(tasks):
        moved = after_step(problem, optimizer, task, rule)
        if method == "lookahead":
            after = moved.losses()
            for j, affected in enumerate(tasks):
                values[i, j] = 1 - after[affected].item() / before[affected].item()
            continue
        for j, affected in enumerate(tasks):
            gradient = torch.autograd.grad(
                problem.losses()[affected], list(problem.encoder.parameters()), materialize_grads=True
            )
            pairs = zip(problem.encoder.parameters(), moved.encoder.parameters(), gradient, strict=True)
            values[i, j] = sum(float(((p - q) * g).detach().sum()) for p, q, g in pairs) / before[affected].item()
    return values


def measure(problem, optimizer, method, rule="sgd", tasks=None, **options):
    meter = AffinityMeter(problem.tasks, method, rule=rule, every=1, **options)
    closure = {"reevaluate": lambda: problem.losses(tasks)} if method == "lookahead" else {}
    assert meter.step(problem.losses(tasks), shared=problem.encoder, optimizer=optimizer, **closure)
    return meter


def trained(make_problem, name, **options):
    problem = make_problem(**options)
    optimizer = OPTIMIZERS[name](problem.parameters())
    problem.train_a_little(optimizer)
    return problem, optimizer


@pytest.mark.parametrize("method", ["lookahead", "first-order"])
@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("sgd", "SGD"),
        ("sgd", "Adam"),
        *(("preconditioned", name) for name in ("Adam", "Adam, several at once", "AdamW", "RMSprop")),
        *(("optimizer", name) for name in OPTIMIZERS),
    ],
)
def test_it_is_the_definition(make_problem, method, rule, name):
    problem, optimizer = trained(make_problem, name)
    expected = reference(problem, optimizer, method, rule)
    found = measure(problem, optimizer, method, rule).compute()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found.values, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("weighting", [None, MGDA, DiBS, GradNorm])
def test_a_task_steps_alone_through_a_fan_out_whatever_it_weighs(make_problem, weighting):
    fan = None if weighting is None else FanOut(weighting(), ["a", "b", "c"])
    problem = make_problem(fan=fan)
    optimizer = torch.optim.SGD(problem.encoder.parameters(), lr=LR)
    plain = make_problem()
    for method in ("first-order", "lookahead"):
        found = measure(problem, optimizer, method).compute().values
        expected = reference(plain, torch.optim.SGD(plain.parameters(), lr=LR), method, "sgd")
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    if fan is not None:
        assert fan.last is None, "a measurement is no training step"


def test_features_are_the_gram_matrix_that_the_fan_out_computed(make_problem):
    problem = make_problem(fan=FanOut(MGDA(), ["a", "b", "c"]))
    losses = problem.losses()
    problem.fan.sum(losses).backward()
    meter = AffinityMeter(problem.tasks, "features", every=1)
    assert meter.step({task: loss.detach() for task, loss in losses.items()}, record=problem.fan.last, lr=LR)
    z = problem.encoder(problem.x).detach().requires_grad_()
    problem.fan, gradients = None, []
    for position, task in enumerate(problem.tasks):
        loss = 10.0**position * (problem.heads[task](z) - problem.y[task]).square().mean()
        gradients.append(torch.autograd.grad(loss, z)[0].reshape(-1))
    values = np.array([loss.item() for loss in losses.values()])
    gram = torch.stack(gradients) @ torch.stack(gradients).T
    np.testing.assert_allclose(meter.compute().values, LR * gram.numpy() / values, rtol=1e-10)
    norms = gram.diagonal().sqrt()
    np.testing.assert_allclose(meter.cosines().values, (gram / norms[:, None] / norms).numpy(), rtol=1e-10)


def test_first_order_is_the_derivative_of_lookahead(make_problem):
    problem = make_problem()
    meters = {}
    for method in ("first-order", "lookahead"):
        meters[method] = AffinityMeter(problem.tasks, method, every=1, per_lr=True)
        closure = {"reevaluate": problem.losses} if method == "lookahead" else {}
        meters[method].step(problem.losses(), shared=problem.encoder, lr=1e-7, **closure)
    np.testing.assert_allclose(
        meters["lookahead"].compute().values, meters["first-order"].compute().values, rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("rule", ["sgd", "preconditioned", "optimizer"])
@pytest.mark.parametrize("gradients", [2, 3, 4, 7])
def test_block_by_block_is_the_same(make_problem, rule, gradients):
    problem, optimizer = trained(make_problem, "Adam", tasks=("a", "b", "c", "d", "e"))
    size = 8 * sum(p.numel() for p in problem.encoder.parameters())
    whole = measure(problem, optimizer, "first-order", rule)
    blocks = measure(problem, optimizer, "first-order", rule, max_bytes=gradients * size)
    np.testing.assert_allclose(blocks.compute().values, whole.compute().values, rtol=1e-10)
    np.testing.assert_allclose(blocks.cosines().values, whole.cosines().values, rtol=1e-10)
    with pytest.raises(ValueError, match=rf"max_bytes={size}, expected at least {2 * size}"):
        measure(problem, optimizer, "first-order", rule, max_bytes=size)


@pytest.mark.parametrize("rule", ["sgd", "preconditioned", "optimizer"])
def test_sketches_are_close(make_problem, rule):
    problem, optimizer = trained(make_problem, "Adam")
    whole = measure(problem, optimizer, "first-order", rule)
    sketched = measure(problem, optimizer, "first-order", rule, sketch=20_000, seed=3)
    np.testing.assert_allclose(sketched.compute().values, whole.compute().values, rtol=0.2, atol=1e-3)
    np.testing.assert_allclose(sketched.cosines().values, whole.cosines().values, atol=0.05)
    np.testing.assert_allclose(
        sketched.compute().values.diagonal(), whole.compute().values.diagonal(), rtol=1e-10
    )  # these are exact


@pytest.mark.parametrize("method", ["lookahead", "first-order"])
def test_cosines_come_along(make_problem, method):
    problem = make_problem()
    meter = measure(problem, torch.optim.SGD(problem.parameters(), lr=LR), method)
    rows = [
        torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(problem.encoder.parameters()))])
        for loss in (problem.losses()[task] for task in problem.tasks)
    ]
    expected = [[float(torch.cosine_similarity(a, b, dim=0)) for b in rows] for a in rows]
    np.testing.assert_allclose(meter.cosines().values, expected, rtol=1e-10)


@pytest.mark.parametrize("method", ["lookahead", "first-order"])
def test_missing_tasks_do_not_count(make_problem, method):
    problem = make_problem()
    optimizer = torch.optim.SGD(problem.parameters(), lr=LR)
    whole = measure(problem, optimizer, method).compute().values
    meter = AffinityMeter(problem.tasks, method, every=1)
    for tasks in (["a", "c"], ["a", "b", "c"], ["b"], []):
        closure = {"reevaluate": lambda tasks=tasks: problem.losses(tasks)} if method == "lookahead" else {}
        assert meter.step(problem.losses(tasks), shared=problem.encoder, lr=LR, **closure) is bool(tasks)
    found = meter.compute()
    np.testing.assert_allclose(found.values, whole, rtol=1e-10)
    assert found.counts.tolist() == [[2, 1, 2], [1, 2, 1], [2, 1, 2]]
    assert found.steps == 3
    assert not meter.skipped.any()


@pytest.mark.parametrize("method", ["lookahead", "first-order"])
def test_what_is_not_finite_or_zero_does_not_count_and_is_counted(make_problem, method):
    problem = make_problem(tasks=("a", "b", "c", "d"))
    optimizer = torch.optim.SGD(problem.parameters(), lr=LR)

    def losses():
        own = problem.losses()
        return own | {"b": own["b"] * torch.inf, "d": own["d"] * 0.0}

    meter = AffinityMeter(problem.tasks, method, every=1)
    for each in (losses, losses, problem.losses):
        closure = {"reevaluate": each} if method == "lookahead" else {}
        meter.step(each(), shared=problem.encoder, optimizer=optimizer, **closure)
    found = meter.compute()
    assert found.counts[:, 1].tolist() == found.counts[1].tolist() == [1, 1, 1, 1]
    assert found.counts[:, 3].tolist() == [1, 1, 1, 1]  # nothing to divide by
    assert found.counts[3].tolist() == [1, 1, 1, 1]  # a step to nowhere says nothing
    assert (meter.skipped + found.counts == 3).all()
    whole = measure(problem, optimizer, method).compute().values
    np.testing.assert_allclose(found.values[:3:2, :3:2], whole[:3:2, :3:2], rtol=1e-10)


def test_it_measures_every_nth_call_from_the_first_on(make_problem):
    problem = make_problem()
    meter = AffinityMeter(problem.tasks, every=3)
    measured = []
    for _ in range(8):
        assert meter.due is (len(measured) % 3 == 0)
        measured.append(meter.step(problem.losses(), shared=problem.encoder, lr=LR))
    assert measured == [True, False, False, True, False, False, True, False]
    assert meter.compute().steps == meter.steps == 3


def test_with_moments_it_waits_for_the_first_step(make_problem):
    problem = make_problem()
    optimizer = torch.optim.Adam(problem.parameters(), lr=LR)
    meter = AffinityMeter(problem.tasks, rule="preconditioned", every=5)
    arguments = {"shared": problem.encoder, "optimizer": optimizer}
    assert not meter.step(problem.losses(), **arguments)
    assert meter.due
    problem.train_a_little(optimizer, 1)
    assert meter.step(problem.losses(), **arguments)
    assert not meter.due


def test_learning_rates_of_groups_are_each_their_own(make_problem):
    problem = make_problem()
    first, *_, last, _ = problem.encoder
    groups = [{"params": first.parameters(), "lr": 0.1}, {"params": last.parameters(), "lr": 0.01}]
    optimizer = torch.optim.SGD([*groups, {"params": problem.heads.parameters()}], lr=3.0)
    for method in ("lookahead", "first-order"):
        by_rule = [measure(problem, optimizer, method, rule).compute().values for rule in ("sgd", "optimizer")]
        np.testing.assert_allclose(*by_rule, rtol=1e-10)
    with pytest.raises(ValueError, match=r"learning rates are \[0.01, 0.1\], expected lr="):
        measure(problem, optimizer, "first-order", per_lr=True)


def test_only_what_is_shared_and_requires_gradients_steps(make_problem):
    problem = make_problem()
    whole = AffinityMeter(problem.tasks, every=1)
    whole.step(problem.losses(), shared=problem.encoder[2], lr=LR)
    problem.encoder[0].requires_grad_(requires_grad=False)
    frozen = AffinityMeter(problem.tasks, every=1)
    frozen.step(problem.losses(), shared=problem.encoder.parameters(), lr=LR)
    np.testing.assert_allclose(frozen.compute().values, whole.compute().values, rtol=1e-10)


def test_a_given_baseline_saves_an_evaluation(make_problem):
    problem = make_problem()
    optimizer = torch.optim.SGD(problem.parameters(), lr=LR)
    calls = []
    values = []
    for baseline in ("reevaluate", "given"):
        meter = AffinityMeter(problem.tasks, "lookahead", every=1, baseline=baseline)
        before = len(calls)
        meter.step(
            problem.losses(),
            shared=problem.encoder,
            optimizer=optimizer,
            reevaluate=lambda: calls.append(0) or problem.losses(),
        )
        values.append((len(calls) - before, meter.compute().values))
    assert [count for count, _ in values] == [4, 3]
    np.testing.assert_allclose(values[0][1], values[1][1], rtol=1e-12)


def test_dropout_masks_agree_between_before_and_after(make_problem):
    problem = make_problem(dropout=0.5)
    meter = AffinityMeter(problem.tasks, "lookahead", every=1)
    losses = problem.losses()
    meter.step(losses, shared=problem.encoder, lr=0.0, reevaluate=problem.losses)
    assert not meter.compute().values.any()


def test_phases_and_errors_are_those_of_the_steps(make_problem):
    problem = make_problem()
    optimizer = torch.optim.SGD(problem.parameters(), lr=LR / 100)  # with more a task has no gradient left
    meter, each = AffinityMeter(problem.tasks, every=1), []
    for _ in range(6):
        meter.step(problem.losses(), shared=problem.encoder, lr=LR / 100)
        each.append(measure(problem, optimizer, "first-order").compute().values)
        problem.train_a_little(optimizer, 1)
    found = meter.compute()
    np.testing.assert_allclose(found.values, np.mean(each, axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.standard_error, np.std(each, axis=0, ddof=1) / np.sqrt(6), rtol=1e-10)
    for name, part in (("beginning", each[:2]), ("middle", each[2:4]), ("end", each[4:])):
        np.testing.assert_allclose(found.phase(name).values, np.mean(part, axis=0), rtol=1e-12)
        assert found.phase(name).steps == 2


def test_state_goes_through_a_checkpoint(make_problem, tmp_path):
    problem = make_problem()
    meters = [AffinityMeter(problem.tasks, every=2) for _ in range(2)]
    for _ in range(3):
        meters[0].step(problem.losses(), shared=problem.encoder, lr=LR)
    torch.save(meters[0].state_dict(), tmp_path / "meter.pt")
    meters[1].load_state_dict(torch.load(tmp_path / "meter.pt", weights_only=True))
    problem.train_a_little(torch.optim.SGD(problem.parameters(), lr=LR))
    for _ in range(3):
        assert len({meter.step(problem.losses(), shared=problem.encoder, lr=LR) for meter in meters}) == 1
    for a, b in [[(m.compute(), m.cosines()) for m in meters]]:
        np.testing.assert_array_equal(a[0].values, b[0].values)
        np.testing.assert_array_equal(a[1].values, b[1].values)
        assert a[0].steps == b[0].steps == 3
    with pytest.raises(ValueError, match=r"the state is of tasks \['a', 'b', 'c'\], expected \['x'\]"):
        AffinityMeter(["x"]).load_state_dict(meters[0].state_dict())
    with pytest.raises(ValueError, match="the state is of method first-order, expected features"):
        AffinityMeter(problem.tasks, "features").load_state_dict(meters[0].state_dict())


def test_low_precision_does_not_reach_the_inner_products(make_problem):
    problem = make_problem().float()
    problem.x, problem.y = problem.x.float(), {task: y.float() for task, y in problem.y.items()}
    meters = [AffinityMeter(problem.tasks, every=1) for _ in range(2)]
    meters[0].step(problem.losses(), shared=problem.encoder, lr=LR)
    losses = problem.losses()
    with torch.autocast("cpu", torch.bfloat16):
        meters[1].step(losses, shared=problem.encoder, lr=LR)
    np.testing.assert_array_equal(meters[0].compute().values, meters[1].compute().values)


def test_lookahead_within_autocast_sees_the_parameters_that_moved(make_problem):
    problem = make_problem().float()
    problem.x, problem.y = problem.x.float(), {task: y.float() for task, y in problem.y.items()}
    meter = AffinityMeter(problem.tasks, "lookahead", every=1)
    with torch.autocast("cpu", torch.bfloat16):  # keeps bf16 copies of parameters from the forward pass on
        meter.step(problem.losses(), shared=problem.encoder, lr=LR, reevaluate=problem.losses)
    exact = AffinityMeter(problem.tasks, "lookahead", every=1)
    exact.step(problem.losses(), shared=problem.encoder, lr=LR, reevaluate=problem.losses)
    np.testing.assert_allclose(meter.compute().values, exact.compute().values, atol=0.05)
    assert (meter.compute().values.diagonal() > 0.2 * exact.compute().values.diagonal()).all()


def test_repr_says_what_it_is():
    meter = AffinityMeter(["a", "b"], "lookahead", rule="optimizer", every=5)
    assert repr(meter) == "AffinityMeter(['a', 'b'], method='lookahead', every=5, rule='optimizer', steps=0)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lookahed"}, "method='lookahed' is unknown, expected one of .*; did you mean 'lookahead'"),
        ({"rule": "adam"}, "rule='adam' is unknown, expected one of sgd, preconditioned, optimizer"),
        ({"baseline": "gven"}, "baseline='gven' is unknown, .*; did you mean 'given'"),
        ({"every": 0}, "every=0, expected a positive integer"),
        ({"every": 2.5}, "every=2.5, expected a positive integer"),
        ({"tasks": []}, "tasks is empty"),
        ({"tasks": ["a", "a"]}, "task 'a' is given 2 times"),
        ({"sketch": 0}, "sketch=0, expected a positive integer"),
        ({"sketch": 8, "max_bytes": 99}, "max_bytes and sketch are given, expected one of them"),
        ({"method": "features", "rule": "optimizer"}, "rule='optimizer' with method='features'"),
        ({"baseline": "given"}, "baseline='given' with method='first-order', expected method='lookahead'"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        AffinityMeter(**{"tasks": ["a", "b"], **options})


def call(problem, method="first-order", rule="sgd", losses=None, **arguments):
    meter = AffinityMeter(problem.tasks, method, rule=rule)
    given = {"shared": problem.encoder, "lr": LR} | arguments
    meter.step(problem.losses() if losses is None else losses, **{k: v for k, v in given.items() if v is not None})


def lbfgs(problem):
    return torch.optim.LBFGS(problem.encoder.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shared": None}, "shared is missing"),
        ({"shared": []}, "shared holds no parameter that requires grad"),
        ({"lr": None}, "lr is missing"),
        ({"lr": -1.0}, r"lr=-1.0, expected a finite number"),
        ({"method": "lookahead"}, "reevaluate is missing, expected reevaluate=a closure"),
        ({"method": "features"}, "record is missing, expected record=the FanOut's .last"),
        ({"reevaluate": dict}, "reevaluate is given with method='first-order'"),
        ({"rule": "optimizer"}, "optimizer is missing, expected the one that trains with rule='optimizer'"),
        ({"rule": "preconditioned"}, "optimizer is missing"),
        ({"losses": {"z": torch.ones(())}}, r"unknown task 'z'"),
        ({"losses": {"a": torch.ones(2)}}, r"loss of task 'a' has shape \[2\]"),
        ({"losses": {"a": torch.ones(())}}, "loss of task 'a' does not require grad"),
        ({"losses": {"a": torch.ones((), requires_grad=True) * 2}}, "loss of task 'a' is not connected"),
        ({"method": "lookahead", "reevaluate": lambda: 3}, "reevaluate returns a int, expected {task: loss}"),
        ({"method": "lookahead", "reevaluate": lambda: {"a": 1}}, r"reevaluate returns losses of \['a'\], expected"),
        (
            {"method": "lookahead", "reevaluate": lambda: dict.fromkeys("abc", torch.ones(2))},
            r"reevaluate returns a loss of task 'a' of shape \[2\], expected a scalar",
        ),
    ],
)
def test_wrong_calls_are_told_in_one_line(make_problem, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call(make_problem(), **arguments)
    assert "\n" not in str(error.value)


def test_wrong_optimizers_are_told(make_problem):
    problem = make_problem()
    both = {"optimizer": torch.optim.SGD(problem.encoder.parameters(), lr=LR), "lr": LR}
    with pytest.raises(ValueError, match="lr is given with rule='optimizer'"):
        call(problem, rule="optimizer", **both)
    with pytest.raises(
        ValueError, match="SGD holds no second moment for each number, expected an optimizer such as Adam"
    ):
        call(problem, rule="preconditioned", **both)
    heads = torch.optim.SGD(problem.heads.parameters(), lr=LR)
    with pytest.raises(ValueError, match=r"a shared parameter of shape \[5, 6\] is not among the optimizer's"):
        call(problem, rule="optimizer", optimizer=heads, lr=None)
    with pytest.raises(ValueError, match="LBFGS evaluates the loss within its step"):
        call(problem, rule="optimizer", optimizer=lbfgs(problem), lr=None)


def test_what_is_no_optimizer_is_told(make_problem):
    with pytest.raises(TypeError, match="optimizer is a float, expected a torch"):
        call(make_problem(), optimizer=LR, lr=None)


def test_lightnings_wrapper_stands_for_the_optimizer_within(make_problem):
    problem, optimizer = trained(make_problem, "Adam")
    for rule in ("sgd", "preconditioned", "optimizer"):
        values = [
            measure(problem, each, "first-order", rule).compute().values
            for each in (optimizer, LightningOptimizer(optimizer))
        ]
        np.testing.assert_array_equal(*values)


@pytest.mark.parametrize("options", [{"rule": "optimizer"}, {"per_lr": True}, {"method": "lookahead"}])
def test_numbers_of_another_kind_are_not_gone_on_with(options):
    with pytest.raises(ValueError, match=f"the state is of {next(iter(options))} "):
        AffinityMeter(["a"]).load_state_dict(AffinityMeter(["a"], **options).state_dict())


def test_nothing_measured_is_no_result():
    with pytest.raises(RuntimeError, match="nothing was measured yet"):
        AffinityMeter(["a"]).compute()


def test_one_task_alone(make_problem):
    problem = make_problem(tasks=("a",))
    meter = AffinityMeter(["a"], every=1)
    meter.step(problem.losses(), shared=nn.ModuleList([problem.encoder]), lr=LR)
    assert meter.compute().values.shape == (1, 1)


@pytest.mark.parametrize("tasks", [["a"], ["a", "b"]])
def test_a_step_after_backward_is_told_to_come_before_it(tasks):
    encoder, heads = torch.nn.Linear(4, 3), {task: torch.nn.Linear(3, 1) for task in tasks}
    features = encoder(torch.ones(2, 4))
    losses = {task: heads[task](features).square().mean() for task in tasks}
    sum(losses.values()).backward()
    with pytest.raises(RuntimeError, match=r"^the losses went through backward\(\), expected meter\.step"):
        AffinityMeter(tasks, every=1).step(losses, shared=encoder, lr=0.1)
