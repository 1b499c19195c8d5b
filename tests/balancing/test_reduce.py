"""FanOut(reduce=...): the balanced update while gradients wait in 16 bits, or not at all."""

import copy
import pickle
import weakref
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from counterpoint import MGDA, DiBS, FanOut, MultiTaskModel, Nash, NonFiniteGradientError, Uniform, get_weighting
from counterpoint.balancing.reuse import Reuse

KINDS = ["bfloat16", "stream"]
FIRST = {"mgda": MGDA, "uniform": Uniform, "dibs": DiBS, "nash": Nash}


class Net(nn.Module):
    """Features as many as asked for, of several sizes; targets that depend on nothing: every pass has the same."""

    def __init__(self, T, weighting, scales=1, dtype=torch.float64, **options):
        super().__init__()
        self.tasks = [f"t{t}" for t in range(T)]
        self.encoders = nn.ModuleList(nn.Linear(6, 5 + i, dtype=dtype) for i in range(scales))
        self.heads = nn.ModuleDict(
            {t: nn.Linear(sum(5 + i for i in range(scales)), 3, dtype=dtype) for t in self.tasks}
        )
        self.fan = FanOut(weighting, self.tasks, **options)

    def features(self, x):
        features = [torch.tanh(encoder(x)) for encoder in self.encoders]
        return features[0] if len(features) == 1 else features

    def losses(self, x, tasks=None):
        z = self.fan(self.features(x))
        joined = {t: torch.cat(v, -1) if isinstance(v, (tuple, list)) else v for t, v in z.items()}
        chosen = tasks or self.tasks
        return {t: (self.tasks.index(t) + 1) * self.heads[t](joined[t]).square().mean() for t in chosen}

    def shared(self):
        return torch.cat([p.grad.reshape(-1) for p in self.encoders.parameters()])

    def step(self, x, tasks=None):
        """Gradient of what is shared."""
        self.zero_grad()
        self.fan.sum(self.losses(x, tasks)).backward()
        return self.shared()


def pair(seed, T=3, kind="mgda", scales=1, **options):
    """The same network with and without the option, and an input."""
    torch.manual_seed(seed)
    net = Net(T, FIRST[kind](), scales, **options)
    plain = Net(T, FIRST[kind](), scales, **{name: own for name, own in options.items() if name != "reduce"})
    plain.load_state_dict(net.state_dict())
    return net, plain, torch.randn(4, 6, dtype=torch.float64)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 3), st.sampled_from(sorted(FIRST)))
def test_streaming_the_same_batch_twice_is_the_exact_update_the_second_time(seed, T, scales, kind):
    """Up to 4093 features a sketch is the gradient itself."""
    net, plain, x = pair(seed, T, kind, scales, reduce="stream")
    exact = plain.step(x)
    first = net.step(x)
    heads = [p.grad.clone() for p in net.heads.parameters()]
    torch.testing.assert_close(net.fan.last.gram, plain.fan.last.gram, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(heads, [p.grad for p in plain.heads.parameters()])  # their own, unscaled
    mean = float(plain.fan.last.weights.mean())
    assert net.fan.last.weights.tolist() == pytest.approx([mean] * T)  # all alike, on the scale of the method
    uniform = Net(T, Uniform(), scales)
    uniform.load_state_dict(net.state_dict())
    torch.testing.assert_close(first, mean * uniform.step(x))
    torch.testing.assert_close(net.step(x), exact, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(net.fan.last.weights, plain.fan.last.weights, rtol=1e-6, atol=1e-9)


def test_weights_are_those_of_the_pass_before():
    net, plain, _ = pair(0, reduce="stream")
    found, exact = [], []
    for x in torch.randn(4, 4, 6, dtype=torch.float64):
        net.step(x)
        found.append(net.fan.last.weights)
        plain.step(x)
        exact.append(plain.fan.last.weights)
    torch.testing.assert_close(torch.stack(found[1:]), torch.stack(exact[:-1]), rtol=1e-6, atol=1e-9)
    assert not torch.allclose(found[1], exact[1], atol=1e-3)


def large(kind, T, reduce, *, dtype=torch.float32, passes=2, layout=torch.contiguous_format):
    """Known gradients of 2 x 8 x 20 x 30 features: (features, fan, rows [T, N])."""
    torch.manual_seed(0)
    rows = torch.randn(T, 9600) + torch.randn(9600)
    if kind == "lines":  # of an image, some of which say nothing
        rows = (rows.view(T, 320, 30) * (torch.arange(30) % 5 == 0)).flatten(1)
    rows = (rows * torch.logspace(0, 1, T)[:, None]).to(dtype)
    features = torch.randn(2, 8, 20, 30).to(dtype, memory_format=layout).requires_grad_()
    fan = FanOut(MGDA(), [f"t{t}" for t in range(T)], reduce=reduce)
    for _ in range(passes):
        features.grad = None
        z = fan(features)
        sum((z[f"t{t}"] * row.view(2, 8, 20, 30)).sum() for t, row in enumerate(rows)).backward()
    return features, fan, rows.double()


@pytest.mark.parametrize("kind", ["dense", "lines"])
def test_sketches_of_many_features_give_nearly_the_gram_matrix_and_nearly_the_min_norm_point(kind):
    features, fan, rows = large(kind, 10, "stream")
    exact = rows @ rows.T
    norms = exact.diagonal().sqrt()
    error = (fan.last.gram - exact).abs() / norms[:, None] / norms
    assert 0 < float(error.max()) < 4 * (2 / 4093) ** 0.5
    combined = features.grad.double().flatten()
    torch.testing.assert_close(combined, (fan.last.weights @ rows), rtol=1e-5, atol=1e-5)
    best = MGDA()(exact)
    # 1 +- sqrt(T / d) for every combination at once, doubled
    assert 1 - 1e-9 < float(combined.norm() / (best @ rows).norm()) < 1 + 4 * (10 / 4093) ** 0.5


def test_rounding_stays_within_its_bounds():
    features, fan, rows = large("dense", 10, "bfloat16", passes=1)
    exact = rows @ rows.T
    norms = exact.diagonal().sqrt()
    error = (fan.last.gram - exact).abs() / norms[:, None] / norms
    assert 0 < float(error.max()) < 2**-7 + 2**-16
    assert features.grad.dtype == torch.float32
    distance = float((features.grad.double().flatten() - fan.last.weights @ rows).norm())
    assert 0 < distance < 2**-8 * float(fan.last.weights @ norms)
    _, exactly, _ = large("dense", 10, None, passes=1)
    torch.testing.assert_close(fan.last.weights, exactly.last.weights, rtol=0, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_of_16_bits_are_kept_as_they_are(dtype):
    found = [large("dense", 3, reduce, dtype=dtype, passes=1) for reduce in (None, "bfloat16")]
    assert torch.equal(found[0][1].last.gram, found[1][1].last.gram)
    assert torch.equal(found[0][0].grad, found[1][0].grad)


@pytest.mark.parametrize("reduce", KINDS)
def test_channels_last_gradients_stay_so_and_agree_with_others(reduce):
    features, fan, rows = large("dense", 3, reduce, layout=torch.channels_last)
    torch.testing.assert_close(
        features.grad.double().flatten(), fan.last.weights @ rows, rtol=0.02, atol=2**-8 * float(rows.abs().max())
    )
    norms = rows.norm(dim=1)
    assert float(((fan.last.gram - rows @ rows.T) / norms[:, None] / norms).abs().max()) < 0.07
    same, _, _ = large("dense", 3, reduce)
    torch.testing.assert_close(features.grad, same.grad, rtol=0.1, atol=0.1)


class Live(torch.autograd.Function):
    """Counts the gradients that are alive when one more arrives."""

    now: ClassVar[set[int]] = set()
    most = 0

    @staticmethod
    def forward(_ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(_ctx, gradient):
        own = gradient.clone()
        Live.now.add(id(own))
        weakref.finalize(own, Live.now.discard, id(own))
        Live.most = max(Live.most, len(Live.now))
        return own


@pytest.mark.parametrize(("reduce", "alive"), [(None, 8), ("bfloat16", 1), ("stream", 1)])
@pytest.mark.parametrize("scales", [1, 2])
def test_how_many_gradients_are_alive_at_once(reduce, alive, scales):
    if reduce is not None and not hasattr(torch.ones(1, requires_grad=True).sum().grad_fn, "_set_sequence_nr"):
        pytest.skip("this torch goes through all heads before it hands a gradient over")
    torch.manual_seed(0)
    net = Net(8, MGDA(), scales, dtype=torch.float32, reduce=reduce)
    x = torch.randn(4, 6)
    for _ in range(2):
        Live.most = 0
        z = net.fan(net.features(x))
        parts = {t: [Live.apply(own) for own in (v if scales > 1 else [v])] for t, v in z.items()}
        heads = {t: nn.Sequential(head, nn.Tanh(), nn.Linear(3, 1)) for t, head in net.heads.items()}
        sum(heads[t](torch.cat(parts[t], -1)).sum() for t in parts).backward()
        assert Live.most == alive * scales
        assert not Live.now


@pytest.mark.parametrize("reduce", KINDS)
def test_tasks_without_labels_are_left_out_and_keep_their_weight(reduce):
    net, plain, x = pair(1, 4, reduce=reduce)
    rough = {"rtol": 0.02, "atol": 1e-2} if reduce == "bfloat16" else {"rtol": 1e-6, "atol": 1e-9}
    for _ in range(2):
        net.step(x, ["t0", "t2", "t1"])
    before = net.fan.last.weights
    exact = plain.step(x, ["t0", "t1", "t2"])
    torch.testing.assert_close(net.shared(), exact, **rough)
    assert net.fan.last.absent == ("t3",)
    assert net.fan.last.gram[3].isnan().all()
    if reduce == "stream":
        net.step(x, ["t1"])
        assert net.fan.last.weights.tolist() == pytest.approx([0, float(before[1]), 0, 0])
        net.step(x, ["t0", "t2"])  # away in between
        assert net.fan.last.weights[[0, 2]].tolist() == pytest.approx(before[[0, 2]].tolist())
        net.step(x)  # the new one has the mean of what is known: t1 was alone, t0 and t2 were two
        known = net.fan.last.weights[:3].mean()
        assert float(net.fan.last.weights[3]) == pytest.approx(float(known))


@pytest.mark.parametrize("reduce", KINDS)
def test_a_task_may_use_some_of_several_features_and_stop_its_gradient(reduce):
    for _ in range(2):
        features = [torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)]
        fan = FanOut(Uniform(), ["a", "b", "c"], reduce=reduce)
        z = fan(features)
        (z["a"][0].sum() + z["b"][0].sum() + 2 * z["b"][1].sum() + z["c"][0].detach().sum()).backward()
        assert fan.last.gram[:2, :2].tolist() == [[2, 2], [2, 2 + 4 * 3]]
        assert fan.last.absent == ("c",)
        assert features[0].grad.tolist() == [2, 2]
        assert features[1].grad.tolist() == [2, 2, 2]


def test_two_uses_in_one_forward_both_take_the_weights_of_the_pass_before():
    net, _, x = pair(2, reduce="stream")
    net.step(x)
    held = dict(net.fan._reuse.last)
    other = torch.randn(4, 6, dtype=torch.float64)
    expected = 0
    for own in (x, other):
        twin = copy.deepcopy(net)
        expected = expected + twin.step(own)
    net.zero_grad()
    (sum(net.losses(other).values()) + sum(net.losses(x).values())).backward()
    assert held != net.fan._reuse.last
    torch.testing.assert_close(net.shared(), expected)


@pytest.mark.parametrize("reduce", KINDS)
def test_accumulation_retained_graphs_and_interrupted_passes(reduce):
    net, _, _ = pair(3, reduce=reduce)
    batches = torch.randn(3, 4, 6, dtype=torch.float64)
    net.step(batches[0])
    twin = copy.deepcopy(net)
    total = sum(twin.step(x) for x in batches)
    net.zero_grad()
    for x in batches:
        net.fan.sum(net.losses(x)).backward()
    torch.testing.assert_close(net.shared(), total)

    loss = sum(net.losses(batches[0]).values())
    hook = net.heads["t0"].weight.register_hook(lambda _: 1 / 0)  # after the other tasks' gradients have arrived
    with pytest.raises(ZeroDivisionError):
        loss.backward(retain_graph=True)
    hook.remove()
    twin.load_state_dict(net.state_dict())
    twin.fan._reuse.load(net.fan._reuse.state())
    expected = twin.step(batches[0])
    net.zero_grad()
    loss.backward(retain_graph=True)
    torch.testing.assert_close(net.shared(), expected)
    net.zero_grad()
    loss.backward()
    torch.testing.assert_close(net.shared(), twin.step(batches[0]))


@pytest.mark.parametrize("reduce", KINDS)
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_heads_and_trunks(reduce, reentrant):
    net, plain, x = pair(4, reduce=reduce)
    x.requires_grad_()
    for _ in range(2):
        expected = net.step(x)
    again = copy.deepcopy(net)
    again.zero_grad()
    z = again.fan(checkpoint(again.features, x, use_reentrant=reentrant))
    outputs = {t: checkpoint(again.heads[t], own, use_reentrant=reentrant) for t, own in z.items()}
    sum((k + 1) * own.square().mean() for k, own in enumerate(outputs.values())).backward()
    torch.testing.assert_close(again.shared(), expected)
    again.zero_grad()
    checkpoint(lambda x: sum(again.losses(x).values()), x, use_reentrant=reentrant).backward()
    torch.testing.assert_close(again.shared(), expected)
    again.eval()
    features = again.features(x)
    assert again.fan(features)["t0"] is features
    assert plain.fan.last is None


@pytest.mark.parametrize("reduce", KINDS)
def test_weighted_heads_have_the_weights_of_this_pass(reduce):
    torch.manual_seed(5)
    heads = {t: nn.Linear(5, 2) for t in ("a", "b", "c")}
    fan = FanOut(MGDA(), list(heads), heads="weighted", reduce=reduce)
    model = MultiTaskModel(nn.Linear(4, 5), heads, fan).double()
    x = torch.randn(8, 4, dtype=torch.float64)

    def losses():
        return {t: (k + 1) * (own - k).square().mean() for k, (t, own) in enumerate(model(x).items())}

    for _ in range(2):
        model.train().zero_grad()
        fan.sum(losses()).backward()
        found = [p.grad.clone() for p in model.parameters()]
        weights = fan.last.weights
        model.zero_grad()
        fan.eval()
        sum(weight * loss for weight, loss in zip(weights, losses().values(), strict=True)).backward()
        exact = [p.grad for p in model.parameters()]
        torch.testing.assert_close(found[2:], exact[2:], rtol=1e-9, atol=1e-12)
        tolerance = {"rtol": 2**-6, "atol": 2**-7} if reduce == "bfloat16" else {"rtol": 1e-9, "atol": 1e-12}
        torch.testing.assert_close(found[:2], exact[:2], **tolerance)


@pytest.mark.parametrize("reduce", KINDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("used", ["last", "first"])  # of the tasks that backward comes to
def test_non_finite_gradients_raise_skip_or_propagate(reduce, bad, used):
    def step(fan, factor):
        features = torch.ones(3, requires_grad=True)
        z = fan(features)
        broken = (z["broken"] * torch.tensor([1.0, factor, 1.0])).sum()
        fine = z["fine"].sum() + 3 * z["other"].sum()
        (broken + fine if used == "last" else fine + broken).backward()
        return features.grad

    fans = {p: FanOut(MGDA(), ["fine", "broken", "other"], on_nonfinite=p, reduce=reduce) for p in POLICIES}
    for fan in fans.values():
        step(fan, -2.0)
    before = {policy: copy.deepcopy(fan) for policy, fan in fans.items()}
    with pytest.raises(NonFiniteGradientError, match="'broken'"):
        step(fans["raise"], bad)
    skipped = step(fans["skip"], bad)
    fan = fans["skip"]
    assert skipped.isfinite().all()
    assert fan.last.skipped == ("broken",)
    assert fan.skipped == {"broken": 1}
    assert fan.last.weights[1] == 0
    torch.testing.assert_close(
        skipped, torch.full((3,), float(fan.last.weights @ torch.tensor([1.0, 0.0, 3.0]).double()))
    )
    assert not step(fans["propagate"], bad).isfinite().all()
    for policy, own in fans.items():  # nothing of it is left, but what the other tasks weigh where it was skipped
        expected = step(before[policy], -2.0)
        found = step(own, -2.0)
        assert own.last.skipped == ()
        if policy != "skip" or reduce != "stream":
            torch.testing.assert_close(found, expected)


POLICIES = ("raise", "skip", "propagate")


def test_all_skipped_leaves_zeros_and_weights_as_they_were():
    for reduce in KINDS:
        features = torch.ones(2, requires_grad=True)
        fan = FanOut(MGDA(), ["a", "b"], on_nonfinite="skip", reduce=reduce)
        z = fan(features)
        ((z["a"] + z["b"]) * float("nan")).sum().backward()
        assert features.grad.tolist() == [0, 0]
        assert features.grad.dtype == torch.float32
        assert fan.last.weights.tolist() == [0, 0]
        assert not fan._reuse.last


@pytest.mark.parametrize("rows", [0, 4])
def test_a_batch_that_says_nothing_leaves_streamed_weights_as_they_were(rows):
    """One without rows, or whose gradients are all zero: MGDA would weigh all alike."""
    torch.manual_seed(0)
    fan = FanOut(MGDA(), ["a", "b"], reduce="stream")

    def step(x, factor):
        z = fan(x.requires_grad_())
        (factor * (z["a"].sum() + 2 * z["b"].sum())).backward()

    step(torch.ones(4, 3), 1.0)
    step(torch.ones(rows, 3), 0.0)
    step(torch.ones(4, 3), 1.0)
    assert fan.last.weights.tolist() == [1, 0]


@pytest.mark.parametrize("reduce", KINDS)
def test_loss_scales_are_taken_out(reduce):
    net, plain, x = pair(6, kind="dibs", reduce=reduce)
    for scale in (1024.0, 0.25, 1.0):
        net.zero_grad()
        (net.fan.sum(net.losses(x)) * scale).backward()
        plain.step(x)
        torch.testing.assert_close(net.fan.last.gram, plain.fan.last.gram, rtol=0.02, atol=1e-4)
    torch.testing.assert_close(net.shared(), plain.shared(), rtol=0.05, atol=0.01)


@pytest.mark.parametrize("name", ["gradnorm", "uw", "famo", "upgrad", "random", "fairgrad"])
def test_methods_by_name_train(name):
    torch.manual_seed(7)
    net = Net(3, get_weighting(name), reduce="stream")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02)
    x = torch.randn(16, 6, dtype=torch.float64)
    totals = []
    for _ in range(12):
        losses = net.losses(x)
        optimizer.zero_grad()
        net.fan.sum(losses).backward()
        optimizer.step()
        totals.append(float(sum(losses.values()).detach()))
        if net.fan.weighting.needs_reevaluation:
            with torch.no_grad():
                net.fan.weighting.reevaluated(net.losses(x))
    assert totals[-1] < totals[0]
    assert net.fan.last.weights.isfinite().all()


def test_weights_for_every_nth_pass():
    net, plain, _ = pair(8, reduce="stream", every=3)
    found, exact = [], []
    for x in torch.randn(8, 4, 6, dtype=torch.float64):
        net.step(x)
        plain.step(x)
        found.append(net.fan.last.weights)
        exact.append(plain.fan.last.weights)
    torch.testing.assert_close(torch.stack(found[1:]), torch.stack(exact[:-1]))  # held ones, a pass later
    assert torch.equal(found[1], found[3])
    assert not torch.equal(found[3], found[4])


@pytest.mark.parametrize("reduce", KINDS)
def test_copies_and_what_a_checkpoint_keeps(reduce):
    net, _, x = pair(9, reduce=reduce)
    net.step(x)
    reloaded = Net(3, MGDA(), reduce=reduce)
    reloaded.load_state_dict(net.state_dict())
    reloaded.fan._reuse.load(net.fan._reuse.state())
    twins = [copy.deepcopy(net), pickle.loads(pickle.dumps(net)), reloaded]  # noqa: S301
    expected = net.step(x)
    for twin in twins:
        torch.testing.assert_close(twin.step(x), expected)
    old = Reuse(2)
    old.load({"steps": 3, "held": []})  # written before there was a last weight
    assert old.last == {}
    assert f"reduce='{reduce}'" in repr(net.fan)


@pytest.mark.parametrize("reduce", KINDS)
def test_second_derivatives_are_refused_and_copies_protected(reduce):
    net, _, x = pair(10, reduce=reduce)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(sum(net.losses(x).values()), x, create_graph=True)
    with pytest.raises(RuntimeError, match="double backward through FanOut is not defined"):
        gradient.square().sum().backward()
    with pytest.raises(RuntimeError, match="modified inplace"):
        net.fan(net.features(x))["t0"].relu_()


@pytest.mark.no_cover  # which would follow the compiler
def test_a_compiled_model_trains_like_an_eager_one():
    net, _, x = pair(12, reduce="stream")
    net.step(x)
    expected = net.step(x)
    net.zero_grad()
    torch.compile(lambda x: sum(net.losses(x).values()), backend="aot_eager")(x).backward()
    torch.testing.assert_close(net.shared(), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FanOut(MGDA(), ["a"], reduce="float16"), "expected one of bfloat16, stream"),
        (lambda: FanOut(get_weighting("pcgrad"), ["a"], reduce="stream"), None),
        (lambda: FanOut(get_weighting("graddrop"), ["a"], reduce="stream"), "expected reduce=None or"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(make, message):
    if message is None:
        make()  # weights suffice for it
        return
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_methods_that_need_the_gradients_themselves_have_them_in_16_bits():
    net, plain, x = pair(11, reduce="bfloat16", dtype=torch.float32)
    x = x.float()
    for own in (net, plain):
        own.fan = FanOut(get_weighting("graddrop"), own.tasks, reduce="bfloat16" if own is net else None)
        torch.manual_seed(0)
        own.step(x)
    torch.testing.assert_close(net.shared(), plain.shared(), rtol=0.05, atol=0.05)
