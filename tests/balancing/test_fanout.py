"""The layer: backward of a plain sum is the balanced update, whatever the loop around it does."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from counterpoint import MGDA, FanOut, NonFiniteGradientError, StepRecord, Uniform


class FixedWeights:
    """A plain callable: nothing of ours."""

    def __init__(self, weights):
        self.weights = torch.tensor(weights, dtype=torch.float64)

    def __call__(self, _gram):
        return self.weights


class Net(nn.Module):
    def __init__(self, tasks, weighting, dtype=torch.float64, scales=1, **options):
        super().__init__()
        self.encoders = nn.ModuleList(nn.Linear(6, 5 + i, dtype=dtype) for i in range(scales))
        self.heads = nn.ModuleDict({t: nn.Linear(sum(5 + i for i in range(scales)), 3, dtype=dtype) for t in tasks})
        self.fan = FanOut(weighting, tasks, **options)

    def features(self, x):
        features = [torch.tanh(encoder(x)) for encoder in self.encoders]
        return features[0] if len(features) == 1 else features

    def losses(self, x, tasks=None, fan=True):
        features = self.features(x)
        z = self.fan(features) if fan else dict.fromkeys(self.heads, features)
        joined = {t: torch.cat(v, -1) if isinstance(v, (tuple, list)) else v for t, v in z.items()}
        chosen = tasks or list(self.heads)
        return {t: (k + 1) * (self.heads[t](joined[t]) - k).square().mean() for k, t in enumerate(chosen)}

    def shared(self):
        return list(self.encoders.parameters())


def flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors])


def names(T):
    return [f"t{i}" for i in range(T)]


def separate_gradients(net, x):
    """T separate autograd calls: per task the gradient in the shared parameters and in the features."""
    features = net.features(x)
    several = list(features) if isinstance(features, list) else [features]
    joined = torch.cat(several, -1)
    shared, feature = [], []
    for k, head in enumerate(net.heads.values()):
        loss = (k + 1) * (head(joined) - k).square().mean()
        shared.append(flat(torch.autograd.grad(loss, net.shared(), retain_graph=True)))
        feature.append(flat(torch.autograd.grad(loss, several, retain_graph=True)))
    return torch.stack(shared), torch.stack(feature)


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 3), st.sampled_from(["fixed", "mgda", "uniform"]))
def test_gradient_is_the_weighted_sum_of_separate_gradients_and_heads_get_their_own(seed, T, scales, kind):
    torch.manual_seed(seed)
    weighting = {
        "fixed": FixedWeights(np.random.default_rng(seed).normal(size=T)),
        "mgda": MGDA(),
        "uniform": Uniform(),
    }
    net = Net(names(T), weighting[kind], scales=scales)
    x = torch.randn(4, 6, dtype=torch.float64)
    shared, feature = separate_gradients(net, x)

    sum(net.losses(x).values()).backward()

    torch.testing.assert_close(net.fan.last.gram, feature @ feature.T, rtol=1e-10, atol=1e-12)
    expected = net.fan.last.weights @ shared
    torch.testing.assert_close(flat(p.grad for p in net.shared()), expected, rtol=1e-10, atol=1e-12)
    heads = [p.grad.clone() for p in net.heads.parameters()]
    net.zero_grad()
    sum(net.losses(x, fan=False).values()).backward()
    torch.testing.assert_close(flat(heads), flat(p.grad for p in net.heads.parameters()), rtol=1e-12, atol=0)
    if kind == "uniform":
        torch.testing.assert_close(expected, flat(p.grad for p in net.shared()), rtol=1e-10, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_the_update_of_mgda_hurts_no_task(seed, T):
    torch.manual_seed(seed)
    net = Net(names(T), MGDA())
    x = torch.randn(3, 6, dtype=torch.float64)
    features = net.features(x).detach().requires_grad_()
    z = net.fan(features)
    losses = [10.0 ** (k % 4) * (head(z[t]) + k).square().mean() for k, (t, head) in enumerate(net.heads.items())]
    gradients = torch.stack(
        [flat(torch.autograd.grad(loss, z[t], retain_graph=True)) for loss, t in zip(losses, z, strict=True)]
    )
    sum(losses).backward()
    update = flat([features.grad])
    assert float((gradients @ update).min()) >= -1e-9 * float(update @ update) - 1e-14


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_permuting_tasks_permutes_weights(seed, T):
    torch.manual_seed(seed)
    net = Net(names(T), MGDA())
    x = torch.randn(3, 6, dtype=torch.float64)
    order = np.random.default_rng(seed).permutation(T)
    weights = []
    for tasks in (names(T), [names(T)[i] for i in order]):
        net.fan = FanOut(MGDA(), tasks)
        sum(net.losses(x, tasks=names(T)).values()).backward()
        weights.append(dict(zip(tasks, net.fan.last.weights.tolist(), strict=True)))
    assert weights[0] == pytest.approx(weights[1], abs=1e-6)


def test_a_task_that_was_not_used_is_left_out_rather_than_zero():
    torch.manual_seed(0)
    net = Net(["a", "b", "c"], MGDA())
    x = torch.randn(4, 6, dtype=torch.float64)
    sum(net.losses(x, tasks=["a", "c"]).values()).backward()
    with_absent = flat(p.grad for p in net.shared())
    record = net.fan.last
    assert record.tasks == ("a", "b", "c")
    assert record.present == ("a", "c")
    assert record.weights[1] == 0
    assert record.weights.sum() == pytest.approx(1)
    assert torch.isnan(record.gram[1]).all()
    assert torch.isfinite(record.gram[[0, 2]][:, [0, 2]]).all()
    net.zero_grad()
    net.fan = FanOut(MGDA(), ["a", "c"])
    sum(net.losses(x, tasks=["a", "c"]).values()).backward()
    torch.testing.assert_close(with_absent, flat(p.grad for p in net.shared()))
    assert with_absent.abs().max() > 0
    net.zero_grad()
    net.losses(x, tasks=["c"])["c"].backward()
    assert net.fan.last.weights.tolist() == [0, 1]


def test_fanning_out_to_some_tasks_only():
    net = Net(["a", "b", "c"], MGDA())
    z = net.fan(net.features(torch.randn(2, 6, dtype=torch.float64)), tasks=["c", "a"])
    assert list(z) == ["c", "a"]
    (z["a"].sum() + 2 * z["c"].sum()).backward()
    assert net.fan.last.weights.tolist() == [1.0, 0.0, 0.0]
    assert net.fan.last.gram[2, 0] == pytest.approx(2 * float(net.fan.last.gram[0, 0]))


def test_weights_belong_to_tasks_whatever_the_order_of_the_call():
    for order in (["a", "b"], ["b", "a"]):
        features = torch.ones(2, requires_grad=True)
        fan = FanOut(FixedWeights([0.9, 0.1]), ["a", "b"])
        z = fan(features, tasks=order)
        (z["a"].sum() + 10 * z["b"].sum()).backward()
        assert features.grad.tolist() == pytest.approx([0.9 + 1.0] * 2)
        assert fan.last.weights.tolist() == [0.9, 0.1]


def test_heads_that_stop_their_gradients_stop_the_shared_one():
    class Stop(torch.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x * 1

        @staticmethod
        def backward(_ctx, _):
            return None

    features = torch.ones(2, requires_grad=True)
    fan = FanOut(MGDA(), ["a", "b"])
    (Stop.apply(fan(features)["a"]).sum() + 0 * torch.ones((), requires_grad=True)).backward()
    assert features.grad is None
    assert fan.last.present == ()
    assert fan.last.absent == ("a", "b")
    assert fan.last.weights.tolist() == [0, 0]


def test_channels_last_gradients_stay_channels_last():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    factors = torch.randn(2, 2, 3, 4, 5)
    fan = FanOut(MGDA(), ["a", "b"])
    z = fan(features)
    (z["a"] * factors[0]).sum().add((z["b"] * factors[1]).sum()).backward()
    rows = factors.reshape(2, -1).double()
    torch.testing.assert_close(fan.last.gram, rows @ rows.T, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        features.grad.double(), (fan.last.weights @ rows).reshape(2, 3, 4, 5), rtol=1e-5, atol=1e-6
    )
    assert features.grad.is_contiguous(memory_format=torch.channels_last)


def test_a_task_may_use_some_of_several_features():
    features = [torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)]
    fan = FanOut(Uniform(), ["a", "b"])
    z = fan(features)
    assert isinstance(z["a"], tuple)
    (z["a"][0].sum() + z["b"][0].sum() + 2 * z["b"][1].sum()).backward()
    assert fan.last.gram.tolist() == [[2, 2], [2, 2 + 4 * 3]]
    assert features[0].grad.tolist() == [2, 2]
    assert features[1].grad.tolist() == [2, 2, 2]


def test_a_frozen_feature_among_several_is_handed_on():
    frozen, live = torch.ones(2), torch.ones(2, requires_grad=True)
    fan = FanOut(MGDA(), ["a", "b"])
    z = fan((frozen, live))
    assert z["a"][0] is frozen
    ((z["a"][0] * z["a"][1]).sum() + z["b"][1].sum()).backward()
    assert live.grad.tolist() == [1, 1]


def test_exactly_zero_gradient_stops_mgda_and_not_the_sum():
    for weighting, weights, grad in ((MGDA(), [0, 1], 0.0), (Uniform(), [1, 1], 1.0)):
        features = torch.ones(3, requires_grad=True)
        fan = FanOut(weighting, ["a", "b"])
        z = fan(features)
        (z["a"].sum() + 0 * z["b"].sum()).backward()
        assert fan.last.weights.tolist() == weights
        assert features.grad.tolist() == [grad] * 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_gradients_raise_skip_or_propagate(bad):
    def step(policy):
        features = torch.ones(3, requires_grad=True)
        fan = FanOut(MGDA(), ["fine", "broken", "other"], on_nonfinite=policy)
        z = fan(features)
        loss = z["fine"].sum() + (z["broken"] * torch.tensor([1.0, bad, 1.0])).sum() + 3 * z["other"].sum()
        loss.backward()
        return fan, features.grad

    with pytest.raises(NonFiniteGradientError, match="'broken'") as caught:
        step("raise")
    assert caught.value.tasks == ("broken",)
    assert "\n" not in str(caught.value)
    fan, grad = step("skip")
    assert grad.tolist() == [1, 1, 1]
    assert fan.skipped == {"broken": 1}
    assert fan.last.skipped == ("broken",)
    assert fan.last.weights.tolist() == [1, 0, 0]
    fan, grad = step("propagate")
    assert not torch.isfinite(grad).any()
    assert not fan.skipped


def test_when_every_task_is_skipped_the_update_is_zero():
    features = torch.ones(2, requires_grad=True)
    fan = FanOut(MGDA(), ["a", "b"], on_nonfinite="skip")
    z = fan(features)
    ((z["a"] + z["b"]) * float("nan")).sum().backward()
    assert features.grad.tolist() == [0, 0]
    assert fan.last.weights.tolist() == [0, 0]
    assert fan.skipped == {"a": 1, "b": 1}


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_squares_that_vanish_or_overflow_in_fp32_are_neither_zero_nor_infinite(size):
    features = torch.ones(4, requires_grad=True)
    fan = FanOut(MGDA(), ["a", "b"])
    z = fan(features)
    (size * z["a"].sum() + 3 * size * (z["b"][0] - z["b"][1])).backward()
    assert fan.last.weights.tolist() == pytest.approx([18 / 22, 4 / 22], rel=1e-5)
    assert features.grad.abs().max() > 0


def test_evaluation_hands_the_features_on_at_no_cost():
    features = torch.randn(2, 3, requires_grad=True)
    fan = FanOut(MGDA(), ["a", "b"])
    with torch.no_grad():  # in training each task has a tensor of its own, without a copy
        assert fan(features)["a"].data_ptr() == features.data_ptr()
    fan.eval()
    assert fan(features)["b"] is features
    assert fan([features, features])["b"][1] is features
    fan.train()
    assert fan(features)["a"].data_ptr() == features.data_ptr()  # no copy in training either
    with torch.inference_mode():
        assert fan(features)["a"].data_ptr() == features.data_ptr()


def test_features_without_grad_in_train_mode_are_handed_on_with_one_clear_line():
    features = torch.randn(2, 3)
    fan = FanOut(MGDA(), ["a", "b"])
    with pytest.warns(UserWarning, match="features without grad in train mode") as caught:
        assert fan(features)["a"].data_ptr() == features.data_ptr()
    assert "\n" not in str(caught[0].message)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fan(features)  # said once
        fan.eval()(features)


def test_used_twice_before_backward():
    torch.manual_seed(0)
    net = Net(["a", "b"], MGDA())
    first, second = torch.randn(2, 3, 6, dtype=torch.float64)
    grads = []
    for x in (first, second):
        net.zero_grad()
        sum(net.losses(x).values()).backward()
        grads.append(flat(p.grad for p in net.shared()))
    net.zero_grad()
    (sum(net.losses(first).values()) + sum(net.losses(second).values())).backward()
    torch.testing.assert_close(flat(p.grad for p in net.shared()), grads[0] + grads[1])


def test_gradient_accumulation_balances_each_micro_batch():
    torch.manual_seed(0)
    net = Net(["a", "b"], MGDA())
    total = 0
    for x in torch.randn(3, 2, 6, dtype=torch.float64):
        fresh = copy.deepcopy(net)
        fresh.zero_grad()
        sum(fresh.losses(x).values()).backward()
        total = total + flat(p.grad for p in fresh.shared())
        sum(net.losses(x).values()).backward()
    torch.testing.assert_close(flat(p.grad for p in net.shared()), total)


def test_backward_twice_with_a_retained_graph():
    net = Net(["a", "b"], MGDA())
    loss = sum(net.losses(torch.randn(3, 6, dtype=torch.float64)).values())
    loss.backward(retain_graph=True)
    once = flat(p.grad.clone() for p in net.shared())
    loss.backward()
    torch.testing.assert_close(flat(p.grad for p in net.shared()), 2 * once)


def test_deepcopy_pickle_and_state_dict():
    net = Net(["a", "b"], MGDA(), on_nonfinite="skip")
    x = torch.randn(3, 6, dtype=torch.float64)
    sum(net.losses(x).values()).backward()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):  # noqa: S301
        assert isinstance(twin.fan.last, StepRecord)
        torch.testing.assert_close(twin.fan.last.gram, net.fan.last.gram)
        twin.zero_grad()
        sum(twin.losses(x).values()).backward()
        torch.testing.assert_close(flat(p.grad for p in twin.shared()), flat(p.grad for p in net.shared()))
        assert twin.fan.last is not net.fan.last
    plain = nn.ModuleDict({"encoders": net.encoders, "heads": net.heads})
    assert set(net.state_dict()) == set(plain.state_dict())  # adding a FanOut keeps old checkpoints loadable
    net.load_state_dict(copy.deepcopy(net).state_dict())


def test_a_learned_weighting_travels_in_the_state_dict():
    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Parameter(torch.zeros(2))

        def forward(self, _gram):
            return torch.softmax(self.logits, 0)

    net = Net(["a", "b"], Learned())
    assert "fan.weighting.logits" in net.state_dict()
    sum(net.losses(torch.randn(3, 6, dtype=torch.float64)).values()).backward()
    assert net.fan.last.weights.tolist() == [0.5, 0.5]
    assert not net.fan.last.weights.requires_grad


def test_double_backward_is_refused_where_it_would_be_wrong():
    net = Net(["a", "b"], MGDA())
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(sum(net.losses(x).values()), x, create_graph=True)
    with pytest.raises(RuntimeError, match="double backward through FanOut is not defined"):
        gradient.square().sum().backward()
    net.fan.eval()
    (gradient,) = torch.autograd.grad(sum(net.losses(x).values()), x, create_graph=True)
    gradient.square().sum().backward()


def test_copies_cannot_be_modified_in_place():
    z = FanOut(MGDA(), ["a", "b"])(torch.randn(2, 3, requires_grad=True) * 1)
    with pytest.raises(RuntimeError, match="modified inplace"):
        z["a"].relu_()


@pytest.mark.no_cover  # which would follow the compiler
def test_a_compiled_model_trains_like_an_eager_one():
    torch.manual_seed(0)
    net = Net(["a", "b"], MGDA(), dtype=torch.float32)

    def forward(x):
        return sum(net.losses(x).values())

    x = torch.randn(3, 6)
    forward(x).backward()
    eager = flat(p.grad.clone() for p in net.shared())
    net.zero_grad()
    compiled = torch.compile(forward, backend="aot_eager")
    compiled(x).backward()
    torch.testing.assert_close(flat(p.grad for p in net.shared()), eager)
    net.eval()
    torch.testing.assert_close(compiled(x), forward(x))


def test_an_evaluated_model_exports():
    net = Net(["a", "b"], MGDA(), dtype=torch.float32).eval()

    class Predict(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            z = self.net.fan(self.net.features(x))
            return {t: head(z[t]) for t, head in self.net.heads.items()}

    x = torch.randn(2, 6)
    exported = torch.export.export(Predict(), (x,))
    torch.testing.assert_close(exported.module()(x), Predict()(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_precision_of_features_gram_and_weights(dtype):
    torch.manual_seed(0)
    features = torch.randn(64, 300).to(dtype).requires_grad_()
    fan = FanOut(MGDA(), ["a", "b", "c"])
    z = fan(features)
    factors = torch.randn(3, 64, 300).to(dtype)
    sum((z[t] * factors[i]).sum() for i, t in enumerate(z)).backward()
    flat_factors = factors.double().reshape(3, -1)
    # 19,200 products of half-precision numbers, summed in fp32 or better; bf16 sums would be off by percents.
    torch.testing.assert_close(fan.last.gram, flat_factors @ flat_factors.T, rtol=1e-5, atol=1e-2)
    assert fan.last.weights.dtype == torch.float64
    assert features.grad.dtype == dtype
    expected = (fan.last.weights @ flat_factors).reshape(64, 300)
    torch.testing.assert_close(features.grad, expected.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


def test_autocast_around_backward_does_not_round_the_gram_matrix():
    torch.manual_seed(0)
    features = torch.randn(64, 300, requires_grad=True)
    factors = torch.randn(2, 64, 300)
    fan = FanOut(MGDA(), ["a", "b"])
    with torch.autocast("cpu", torch.bfloat16):
        z = fan(features)
        ((z["a"] * factors[0]).sum() + (z["b"] * factors[1]).sum()).backward()
    exact = factors.double().reshape(2, -1)
    torch.testing.assert_close(fan.last.gram, exact @ exact.T, rtol=1e-5, atol=1e-2)


def test_recording_waits_for_no_device_that_the_weighting_does_not_wait_for():
    """Meta tensors have no values: any look at one from the host raises."""
    features = torch.empty(4, 3, device="meta", requires_grad=True)
    fan = FanOut(Uniform(), ["a", "b"], on_nonfinite="propagate")
    z = fan(features)
    (z["a"].sum() + z["b"].sum()).backward()
    assert fan.last.gram.device.type == "meta"
    assert features.grad.shape == features.shape
    z = FanOut(MGDA(), ["a", "b"], on_nonfinite="propagate")(features)
    loss = z["a"].sum() + z["b"].sum()
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        loss.backward()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: FanOut(MGDA(), []), ValueError, "tasks is empty"),
        (lambda: FanOut(MGDA(), ["a", "b", "a"]), ValueError, "'a' is given 2 times"),
        (lambda: FanOut(MGDA(), "ab"), TypeError, "one string"),
        (lambda: FanOut(["a", "b"], MGDA()), TypeError, "tasks is a MGDA, expected a sequence of names"),
        (lambda: FanOut(MGDA(), [1, 2]), TypeError, r"expected names \(str\)"),
        (lambda: FanOut("mgda", ["a"]), TypeError, "get_weighting"),
        (lambda: FanOut(MGDA, ["a"]), TypeError, r"is a class, expected a weighting made from it: MGDA\(\)"),
        (lambda: FanOut(MGDA(), ["a"], on_nonfinite="ignore"), ValueError, "expected one of raise, skip, propagate"),
        (
            lambda: FanOut(MGDA(), ["left"])(torch.ones(1), tasks=["lfet"]),
            ValueError,
            "'lfet'.*did you mean 'left'",
        ),
        (lambda: FanOut(MGDA(), ["a"])("features"), TypeError, "expected a tensor"),
        (lambda: FanOut(MGDA(), ["a"]).eval()({"p3": torch.ones(1)}), TypeError, "features hold a dict"),
        (lambda: FanOut(MGDA(), ["a"])([]), ValueError, "features is empty"),
        (lambda: FanOut(MGDA(), ["a"])(torch.ones(1, dtype=torch.cfloat)), TypeError, "expected real numbers"),
    ],
)
def test_bad_arguments_get_one_line(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_layout_of_the_features_may_not_change_between_calls():
    fan = FanOut(MGDA(), ["a"])

    def features(*shapes):
        made = tuple(torch.ones(shape, requires_grad=True) for shape in shapes)
        return made if len(made) > 1 else made[0]

    fan(features((8, 512)))
    fan(features((3, 512)))
    with pytest.raises(ValueError, match=r"shape \[B, 256\], expected \[B, 512\] as in earlier calls"):
        fan(features((8, 256)))
    with pytest.raises(ValueError, match="expected"):
        fan(features((8, 512), (8, 2)))
    images = FanOut(MGDA(), ["a"])
    images(features((2, 16, 8, 8)))
    images(features((2, 16, 12, 12)))  # image sizes may vary
    with pytest.raises(ValueError, match="as in earlier calls"):
        images(features((2, 32, 8, 8)))


def test_a_weighting_that_returns_nothing_is_told():
    with pytest.raises(ValueError, match=r"returned a NoneType, expected \[2\] weights: does it end with return"):
        FanOut(lambda _: None, ["a", "b"])


@pytest.mark.parametrize("returned", [[0.5], [0.5, 0.5, 0.0], [float("nan"), 1.0]])
def test_a_weighting_must_return_one_finite_weight_a_task(returned):
    features = torch.ones(3, requires_grad=True)
    z = FanOut(lambda _: torch.tensor(returned), ["a", "b"])(features)
    with pytest.raises(ValueError, match="expected"):
        (z["a"].sum() + z["b"].sum()).backward()


def test_many_columns_are_gathered_block_by_block(monkeypatch):
    from counterpoint.balancing import gram

    torch.manual_seed(0)
    vectors = torch.randn(3, 1000, dtype=torch.float64)
    weights = torch.tensor([0.2, -1.0, 3.0], dtype=torch.float64)
    whole = gram.TaskGradients([[v] for v in vectors])
    torch.testing.assert_close(whole.gram(), vectors @ vectors.T)
    torch.testing.assert_close(whole.weighted_sum(weights)[0], weights @ vectors)
    monkeypatch.setattr(gram, "_BLOCK_ELEMENTS", 64)
    blocks = gram.TaskGradients([[v] for v in vectors])
    torch.testing.assert_close(blocks.gram(), whole.gram())
    torch.testing.assert_close(blocks.weighted_sum(weights)[0], weights @ vectors)
    assert gram.TaskGradients([[torch.ones(0)], [torch.ones(0)]]).gram().tolist() == [[0, 0], [0, 0]]


def test_repr_says_what_it_is():
    assert "tasks=['a'], on_nonfinite='raise'" in repr(FanOut(MGDA(), ["a"]))
    assert "weighting=<function" in repr(FanOut(lambda gram: gram.diagonal(), ["a"]))
