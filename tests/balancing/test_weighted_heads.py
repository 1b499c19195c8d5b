"""FanOut(heads="weighted"): one ordinary backward pass leaves the gradients of the weighted sum, heads included."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from counterpoint import MGDA, DiBS, FanOut, MultiTaskModel, get_weighting

TASKS = ("a", "b", "c")
SHARED = nn.Linear(1, 1)


class Head(nn.Module):
    def __init__(self, tied):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh())
        self.tied = tied
        self.frozen = nn.Parameter(torch.randn(1), requires_grad=False)

    def forward(self, z):
        return self.tied(self.body(z)) + self.frozen


def build(seed=0, weighting=None, **options):
    torch.manual_seed(seed)
    tied = nn.Linear(5, 2)
    heads = {task: Head(tied) for task in TASKS}
    options = {"heads": "weighted"} | options
    model = MultiTaskModel(nn.Linear(4, 6), heads, FanOut(weighting or MGDA(), TASKS, **options)).double()
    return model, torch.randn(8, 4, dtype=torch.float64)


def losses_of(model, x, tasks=None):
    outputs = model(x, tasks)
    return {task: (k + 1) * (outputs[task] - k).square().mean() for k, task in enumerate(outputs)}


def grads(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@given(st.integers(0, 10**6), st.sampled_from(["mgda", "dibs", "nash"]))
def test_all_gradients_are_those_of_the_weighted_sum(seed, name):
    model, x = build(seed, get_weighting(name))
    sum(losses_of(model, x).values()).backward()
    found, weights = grads(model), model.fan_out.last.weights
    model.zero_grad()
    model.fan_out.eval()  # hands the features on
    losses = losses_of(model, x)
    sum(weight * loss for weight, loss in zip(weights, losses.values(), strict=True)).backward()
    torch.testing.assert_close(found, grads(model), rtol=1e-9, atol=1e-12)


def test_under_accumulation_each_micro_batch_has_its_own_weights():
    expected = {}
    for part in (slice(0, 4), slice(4, 8)):
        model, x = build()
        sum(losses_of(model, x[part]).values()).backward()
        for name, grad in grads(model).items():
            expected[name] = expected.get(name, 0) + grad
    model, x = build()
    for part in (slice(0, 4), slice(4, 8)):
        sum(losses_of(model, x[part]).values()).backward()
    torch.testing.assert_close(grads(model), expected, rtol=1e-10, atol=1e-12)


def test_parameters_are_the_modules_own_between_forward_passes():
    model, x = build()
    before = {name: id(p) for name, p in model.named_parameters()}
    model(x)
    assert {name: id(p) for name, p in model.named_parameters()} == before
    assert all(p.is_leaf for p in model.parameters())

    def fail(*_):
        raise RuntimeError("inside the head")

    hook = model.heads["b"].body.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="inside the head"):
        model(x)
    hook.remove()
    assert {name: id(p) for name, p in model.named_parameters()} == before


def test_evaluation_lends_nothing():
    model, x = build()
    model(x)
    model.eval()
    torch.testing.assert_close(model(x)["a"], model.heads["a"](model.encoder(x)))


def test_after_the_backward_pass_heads_are_ordinary_modules():
    model, x = build()
    sum(losses_of(model, x).values()).backward()
    head, z = model.heads["a"], torch.randn(8, 6, dtype=torch.float64)
    zeros = {name: torch.zeros_like(p) for name, p in head.named_parameters()}
    assert not torch.func.functional_call(head, zeros, (z,)).any()
    model.zero_grad()
    head(z).sum().backward()
    assert head.tied.weight.grad is not None
    model(x)  # no backward pass
    for p in head.parameters():
        p.data = torch.zeros_like(p)
    assert not head(z).any()  # the very parameters are what it computes with, or nothing


def test_two_uses_of_the_layer_in_one_step():
    """Each head call belongs to the features that it is given."""
    model, x = build()
    fan, heads = model.fan_out, model.heads
    first, second = fan(model.encoder(x)), fan(model.encoder(2 * x))
    sum((heads[task](first[task]) - k).square().mean() for k, task in enumerate(TASKS)).backward(retain_graph=True)
    weights, found = fan.last.weights, heads["b"].body[0].weight.grad.clone()
    model.zero_grad()
    fan.eval()
    (heads["b"](fan(model.encoder(x))["b"]) - 1).square().mean().backward()
    torch.testing.assert_close(found, weights[1] * heads["b"].body[0].weight.grad)
    fan.train()
    model.zero_grad()
    sum((heads[task](second[task]) - k).square().mean() for k, task in enumerate(TASKS)).backward()
    weights, found = fan.last.weights, heads["b"].body[0].weight.grad.clone()
    model.zero_grad()
    fan.eval()
    (heads["b"](fan(model.encoder(2 * x))["b"]) - 1).square().mean().backward()
    torch.testing.assert_close(found, weights[1] * heads["b"].body[0].weight.grad)


def test_weights_beyond_half_precision_do_not_overflow():
    encoder, heads = nn.Linear(4, 3), {task: nn.Linear(3, 1).half() for task in "ab"}
    fan = FanOut(DiBS(), ["a", "b"], heads="weighted", head_modules=heads)
    z = fan(encoder(torch.randn(4, 4)))
    sum((heads[task](z[task].half()).float() * 1e-6).mean() for task in z).backward()
    assert fan.last.weights.min() > 65504
    assert all(p.grad.isfinite().all() for head in heads.values() for p in head.parameters())


def test_a_task_without_labels_keeps_its_head_and_one_that_stops_gradients_its_own():
    model, x = build()
    sum(losses_of(model, x, ["a", "c"]).values()).backward()
    assert model.heads["b"].body[0].weight.grad is None
    assert model.heads["a"].body[0].weight.grad is not None
    model, x = build()
    z = model.fan_out(model.encoder(x))
    detached = model.heads["b"](z["b"].detach()).square().mean()
    (model.heads["a"](z["a"]).square().mean() + detached).backward()
    found = model.heads["b"].body[0].weight.grad.clone()
    model.zero_grad()
    model.fan_out.eval()
    model.heads["b"](model.encoder(x)).square().mean().backward()
    torch.testing.assert_close(found, model.heads["b"].body[0].weight.grad)


def test_a_skipped_task_leaves_its_head_at_zero():
    model, x = build(on_nonfinite="skip")
    losses = losses_of(model, x)
    (losses["a"] + losses["b"] * float("nan") + losses["c"]).backward()
    assert model.fan_out.last.skipped == ("b",)
    assert not model.heads["b"].body[0].weight.grad.any()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_recurrent_heads_are_weighted_too():
    torch.manual_seed(0)
    heads = {task: nn.LSTM(6, 3, batch_first=True) for task in ("a", "b")}
    fan = FanOut(DiBS(), ["a", "b"], heads="weighted", head_modules=heads)
    encoder, x = nn.Linear(4, 6), torch.randn(2, 5, 4)
    z = fan(encoder(x))
    sum(heads[task](z[task])[0].square().mean() for task in z).backward()
    found = heads["a"].weight_ih_l0.grad.clone()
    heads["a"].zero_grad()
    heads["a"](encoder(x))[0].square().mean().backward()
    torch.testing.assert_close(found, float(fan.last.weights[0]) * heads["a"].weight_ih_l0.grad)
    assert isinstance(heads["a"]._flat_weights[0], nn.Parameter)


def test_copies_and_checkpoints():
    model, x = build()
    sum(losses_of(model, x).values()).backward()
    expected = grads(model)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
        twin.zero_grad()
        sum(losses_of(twin, x).values()).backward()
        torch.testing.assert_close(grads(twin), expected)
        assert all(twin.heads[task] is twin.fan_out._weighted.heads[task] for task in TASKS)
    plain, _ = build(heads="own")
    plain.load_state_dict(model.state_dict())  # no extra keys


def test_training_is_invariant_to_a_transformed_loss_with_dibs():
    results = []
    for transform in (lambda loss: loss, torch.exp):
        model, x = build(weighting=DiBS())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(20):
            losses = losses_of(model, x)
            losses["b"] = transform(losses["b"])
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*results, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: FanOut(MGDA(), ["a"], heads="mine"), ValueError, "heads='mine'.*own, weighted"),
        (lambda: FanOut(MGDA(), ["a"], heads="weighted")(torch.ones(2, 3, requires_grad=True)), ValueError, "no heads"),
        (lambda: FanOut(MGDA(), ["a"], heads="weighted", head_modules={"b": nn.Linear(1, 1)}), ValueError, "unknown"),
        (lambda: FanOut(MGDA(), ["a"], heads="weighted", head_modules={"a": [1]}), TypeError, "nn.Module"),
        (lambda: FanOut(MGDA(), ["a", "b"], heads="weighted", head_modules={"a": nn.ReLU()}), ValueError, "'b' has no"),
        (
            lambda: FanOut(
                MGDA(), ["a", "b"], heads="weighted", head_modules=dict.fromkeys(["a", "b"], nn.Linear(1, 1))
            ),
            ValueError,
            "share one head",
        ),
        (
            lambda: FanOut(
                MGDA(),
                ["a", "b"],
                heads="weighted",
                head_modules={"a": SHARED, "b": nn.Sequential(SHARED)},
            ),
            ValueError,
            "share one head",
        ),
        (lambda: build()[0].fan_out.attach({"a": nn.ReLU()}), ValueError, "attached already"),
        (lambda: FanOut(get_weighting("graddrop"), ["a"], heads="weighted"), ValueError, "coordinate"),
    ],
)
def test_bad_arguments_get_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# What a head computes outside its own call cannot wait for the weight, and is told.


class TwoParts(nn.Module):
    """A head whose parts can be called one by one."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.scale = nn.Linear(6, 5), nn.Linear(5, 1), nn.Parameter(torch.ones(1))

    def forward(self, z):
        return self.scale * self.second(torch.tanh(self.first(z)))


def of_the_layer(call, make=TwoParts, compiled=False):
    """One step in which the head of task b computes as ``call`` does."""
    torch.manual_seed(0)
    encoder, heads = nn.Linear(4, 6).double(), {t: make().double() for t in "ab"}
    fan = FanOut(DiBS(), ["a", "b"], heads="weighted", head_modules=heads)
    if compiled:
        heads["b"] = torch.compile(heads["b"], backend="aot_eager")
    z = fan(encoder(torch.randn(8, 4, dtype=torch.float64)))
    losses = {"a": (heads["a"](z["a"]) - 1).square().mean(), "b": (call(heads["b"], z["b"]) - 2).square().mean()}
    return fan, heads, losses


BESIDE = {
    "its forward": lambda head, z: head.forward(z),
    "its parts": lambda head, z: head.second(head.first(z)),
    "its parameters": lambda head, z: nn.functional.linear(z, head.first.weight).sum(1, keepdim=True),
    "a parameter more": lambda head, z: head.second(torch.tanh(head(z).expand(-1, 5))),
    "a copy of its function": lambda head, z: torch.func.functional_call(head, dict(head.named_parameters()), (z,)),
}


@pytest.mark.parametrize("call", list(BESIDE)[:3])
def test_a_gradient_that_does_not_wait_for_the_weight_raises(call):
    fan, _, losses = of_the_layer(BESIDE[call])
    with pytest.raises(RuntimeError, match="in the head of task 'b' did not wait for the task's weight") as caught:
        fan.sum(losses).backward()
    assert "\n" not in str(caught.value)
    fan, _, losses = of_the_layer(lambda head, z: head(z))
    fan.sum(losses).backward()


def test_functional_calls_of_a_head_are_weighted_or_told():
    fan, heads, losses = of_the_layer(BESIDE["a copy of its function"])
    try:
        fan.sum(losses).backward()
    except RuntimeError as error:
        assert "did not wait" in str(error)  # noqa: PT017  (either is right)
    else:
        weighted = heads["b"].first.weight.grad
        (plain,) = torch.autograd.grad(
            of_the_layer(lambda h, z: h(z))[2]["b"],
            of_the_layer(lambda h, z: h(z))[1]["b"].first.weight,
            allow_unused=True,
        )
        assert plain is None or torch.allclose(weighted, fan.last.weights[1] * plain)


def test_a_reentrant_checkpoint_around_a_head_raises_and_the_other_kind_is_weighted():
    from torch.utils.checkpoint import checkpoint

    fan, _, losses = of_the_layer(lambda head, z: checkpoint(head, z, use_reentrant=True))
    with pytest.raises(RuntimeError, match=r"as a reentrant checkpoint does.*use_reentrant=False"):
        fan.sum(losses).backward()
    found = []
    for call in (lambda head, z: checkpoint(head, z, use_reentrant=False), lambda head, z: head(z)):
        fan, heads, losses = of_the_layer(call)
        fan.sum(losses).backward()
        found.append([p.grad for head in heads.values() for p in head.parameters()])
    torch.testing.assert_close(found[0], found[1])


def test_parameters_that_nobody_uses_and_heads_that_nobody_calls_are_no_error():
    fan, heads, losses = of_the_layer(lambda head, z: head(z))
    heads["a"].register_parameter("spare", nn.Parameter(torch.ones(2).double()))
    fan.sum(losses).backward()
    fan, heads, losses = of_the_layer(lambda _, z: z.mean(1, keepdim=True))  # the features are b's output
    fan.sum(losses).backward()
    assert heads["b"].scale.grad is None
    fan, heads, losses = of_the_layer(lambda head, z: head(z))
    penalty = 0.1 * heads["b"].scale.square().sum()  # beside its own gradient, which waits
    (fan.sum(losses) + penalty).backward()


def pruned():
    head = nn.Linear(6, 2)
    prune.l1_unstructured(head, "weight", amount=0.5)
    return head


def normed():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is the older way
        return torch.nn.utils.weight_norm(nn.Linear(6, 2))


def with_a_hook():
    head = nn.Linear(6, 2)

    def halve(module, _inputs):
        module.weight_used = module.weight * 0.5

    head.register_forward_pre_hook(halve)
    head.forward = lambda z: nn.functional.linear(z, head.weight_used, head.bias)
    return head


@pytest.mark.parametrize(
    "make", [pruned, normed, with_a_hook, lambda: torch.nn.utils.parametrizations.orthogonal(nn.Linear(6, 2))]
)
def test_heads_whose_weights_are_computed_by_hooks_are_weighted(make):
    def step(heads_are, training=True):
        torch.manual_seed(0)
        encoder, heads = nn.Linear(4, 6).double(), {t: make().double() for t in "ab"}
        fan = FanOut(MGDA(), ["a", "b"], heads=heads_are, head_modules=heads)
        fan.train(training)
        z = fan(encoder(torch.randn(8, 4, dtype=torch.float64)))
        losses = {t: (at + 1) * (heads[t](z[t]) - at).square().mean() for at, t in enumerate("ab")}
        return fan, heads, losses

    fan, heads, losses = step("weighted")
    fan.sum(losses).backward()
    found = [p.grad for head in heads.values() for p in head.parameters()]
    _, heads, losses = step("own", training=False)
    sum(w * loss for w, loss in zip(fan.last.weights, losses.values(), strict=True)).backward()
    expected = [p.grad for head in heads.values() for p in head.parameters()]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.no_cover  # which would follow the compiler
def test_a_compiled_head_is_weighted_or_told():
    fan, heads, losses = of_the_layer(lambda head, z: head(z), compiled=True)
    try:
        fan.sum(losses).backward()
    except RuntimeError as error:
        assert "did not wait for the task's weight" in str(error)  # noqa: PT017  (either is right)
        return
    found = [p.grad for p in heads["b"].parameters()]
    weights = fan.last.weights
    fan, heads, losses = of_the_layer(lambda head, z: head(z))
    fan.sum(losses).backward()
    torch.testing.assert_close(found, [p.grad for p in heads["b"].parameters()])
    torch.testing.assert_close(weights, fan.last.weights)


def test_hooks_survive_copies_that_forget_their_options():
    fan, heads, _ = of_the_layer(lambda head, z: head(z))
    other = nn.Linear(6, 1).double()
    for hook in heads["a"]._forward_pre_hooks.values():
        other.register_forward_pre_hook(hook)  # as quantization does
    assert other(torch.ones(2, 6, dtype=torch.float64)).shape == (2, 1)
    assert fan.last is None


# A head serves one task, and is made of what can be lent.


def two_towers(**options):
    torch.manual_seed(0)
    encoder, heads = nn.Linear(4, 6).double(), nn.ModuleDict({t: nn.Linear(6, 1) for t in "ab"}).double()
    fan = FanOut(DiBS(), ["a", "b"], head_modules=heads, **options)
    z = fan(encoder(torch.randn(8, 4, dtype=torch.float64)))
    return fan, heads, z


def test_a_head_called_with_another_tasks_features_is_refused():
    _, heads, z = two_towers(heads="weighted")
    with pytest.raises(ValueError, match=r"the head of task 'a' got the features of task 'b'.*expected z\['a'\]"):
        heads["a"](z["b"])
    heads["a"](z["a"])  # and nothing is left of it
    assert isinstance(heads["a"].weight, nn.Parameter)


@pytest.mark.parametrize("broken", ["a", "b"])
def test_under_skip_a_head_of_two_tasks_keeps_what_is_finite(broken):
    fan, heads, z = two_towers(on_nonfinite="skip")
    losses = {"a": heads["a"](z["a"]).square().mean(), "b": (heads["a"](z["b"]) * heads["b"](z["b"])).square().mean()}
    bad = losses | {broken: losses[broken] * torch.nan}
    fan.sum(bad).backward()
    (kept,) = {"a", "b"} - {broken}
    (expected,) = torch.autograd.grad(two_towers_loss(kept), two_towers_loss.weight)
    torch.testing.assert_close(heads["a"].weight.grad, expected)


def two_towers_loss(kept):
    """The other loss alone."""
    fan, heads, z = two_towers()
    fan.eval()
    two_towers_loss.weight = heads["a"].weight
    if kept == "a":
        return heads["a"](z["a"]).square().mean()
    return (heads["a"](z["b"]) * heads["b"](z["b"])).square().mean()


def test_hooks_that_step_inside_backward_are_no_gradient_beside():
    torch.manual_seed(0)
    encoder, heads = nn.Linear(4, 6), {t: TwoParts() for t in "ab"}
    heads["a"].spare = nn.Linear(2, 2)
    optimizer = torch.optim.SGD([*encoder.parameters(), *heads["a"].parameters()], 0.1)
    for parameter in heads["a"].spare.parameters():
        parameter.grad = torch.zeros_like(parameter)

    def step(_):
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    heads["a"].second.weight.register_post_accumulate_grad_hook(step)
    fan = FanOut(MGDA(), ["a", "b"], heads="weighted", head_modules=heads)
    z = fan(encoder(torch.randn(8, 4)))
    fan.sum({t: (heads[t](z[t]) - 1).square().mean() for t in "ab"}).backward()


def test_sparse_and_complex_heads_are_weighted():
    torch.manual_seed(0)

    class Lookup(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 6, sparse=True)

        def forward(self, z):
            return (z * self.table(torch.tensor([0, 1, 1, 4]))).sum(1)

    class Phases(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, dtype=torch.complex64))

        def forward(self, z):
            return (z.to(torch.complex64) @ self.weight).abs()

    encoder, heads = nn.Linear(4, 6), nn.ModuleDict({"a": Lookup(), "b": Phases()})
    fan = FanOut(DiBS(), ["a", "b"], heads="weighted", head_modules=heads)
    z = fan(encoder(torch.randn(4, 4)))
    losses = {t: heads[t](z[t]).square().mean() for t in "ab"}
    fan.sum(losses).backward()
    assert heads["a"].table.weight.grad.is_sparse
    found = [heads["a"].table.weight.grad.to_dense(), heads["b"].weight.grad.clone()]
    fan.eval()
    losses = {t: heads[t](own).square().mean() for t, own in dict.fromkeys("ab", z["a"].detach()).items()}
    plain = [
        torch.autograd.grad(losses[t], p)[0] for t, p in (("a", heads["a"].table.weight), ("b", heads["b"].weight))
    ]
    for own, weight, other in zip(found, fan.last.weights, plain, strict=True):
        torch.testing.assert_close(own, (weight * other.to_dense()).to(own.dtype))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: torch.jit.trace(nn.Linear(6, 1), torch.ones(1, 6)), TypeError, "'a' is scripted, expected a module"),
        (lambda: nn.LazyLinear(1), ValueError, "head of task 'a' is lazy, expected one call of it before"),
    ],
)
def test_heads_that_cannot_be_lent_get_one_line(make, error, message):
    with pytest.raises(error, match=message):
        FanOut(MGDA(), ["a"], heads="weighted", head_modules={"a": make()})(torch.ones(2, 6, requires_grad=True))
