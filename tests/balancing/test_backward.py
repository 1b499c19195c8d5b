"""backward(): balanced gradients without a layer, at feature and at parameter level."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from counterpoint import MGDA, DiBS, FanOut, GradNorm, Nash, NonFiniteGradientError, Uniform, backward, get_weighting
from counterpoint.balancing.blockwise import BlockwiseGram

F64 = torch.float64


class Net(nn.Module):
    """Two hidden layers, one frozen parameter, and a last one that task 0 does not use."""

    def __init__(self, T, seed=0, width=6):
        super().__init__()
        torch.manual_seed(seed)
        self.tasks = [f"t{k}" for k in range(T)]
        self.encoder = nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, width)).double()
        self.encoder[0].bias.requires_grad_(requires_grad=False)
        self.extra = nn.Parameter(torch.randn(width, dtype=F64))
        self.heads = nn.ModuleList(nn.Linear(width, 2) for _ in range(T)).double()
        self.x = torch.randn(7, 5, dtype=F64)

    def shared(self):
        return [*self.encoder.parameters(), self.extra]

    def losses(self, z=None, tasks=None):
        z = self.encoder(self.x) if z is None else z
        return {
            task: (k + 1.0) * (self.heads[k](z + (k > 0) * self.extra) - k).square().mean()
            for k, task in enumerate(self.tasks)
            if tasks is None or task in tasks
        }


def rows(losses, inputs):
    found = {}
    for task, loss in losses.items():
        grads = torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)
        parts = zip(grads, inputs, strict=True)
        found[task] = torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in parts])
    return found


def flat_grad(tensors):
    return torch.cat([(torch.zeros_like(t) if t.grad is None else t.grad).flatten() for t in tensors])


def live(net):
    return [p for p in net.shared() if p.requires_grad]


@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from(["own", "weighted"]))
def test_parameter_level_is_the_weighted_sum_of_separate_gradients(seed, T, heads):
    net = Net(T, seed)
    expected = rows(net.losses(), live(net))
    z = net.encoder(net.x)
    record = backward(net.losses(z), MGDA(), shared=net.shared(), heads=heads)
    matrix = torch.stack(list(expected.values()))
    torch.testing.assert_close(record.gram, matrix @ matrix.T, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(flat_grad(live(net)), record.weights @ matrix, rtol=1e-9, atol=1e-12)
    losses = net.losses()
    for k, task in enumerate(net.tasks):
        (own,) = torch.autograd.grad(losses[task], [net.heads[k].weight], retain_graph=True)
        factor = record.weights[k] if heads == "weighted" else 1.0
        torch.testing.assert_close(net.heads[k].weight.grad, factor * own, rtol=1e-9, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 8), st.sampled_from(["mgda", "dibs", "nash"]))
def test_recompute_equals_store_whatever_the_budget(seed, T, gradients, name):
    grads = {}
    for memory in ("store", "recompute"):
        net = Net(T, seed)
        one = sum(p.numel() * 8 for p in live(net))
        limit = {"max_bytes": gradients * one} if memory == "recompute" else {}
        record = backward(net.losses(), get_weighting(name), shared=net.shared(), memory=memory, **limit)
        grads[memory] = record.gram, record.weights, flat_grad([p for p in net.parameters() if p.requires_grad])
    torch.testing.assert_close(grads["store"], grads["recompute"], rtol=1e-6, atol=1e-9)


@given(
    st.integers(0, 10**6),
    st.integers(1, 6),
    st.sampled_from([None, 2, 3, 9]),
    st.sampled_from(["mgda", "dibs", "gradnorm"]),
    st.sampled_from(["own", "weighted"]),
)
def test_recompute_equals_store_at_the_features(seed, T, gradients, name, heads):
    found = {}
    for memory in ("store", "recompute"):
        net = Net(T, seed)
        z = net.encoder[:2](net.x)
        features = (z, net.encoder[2](z))  # the second is made of the first
        losses = {
            task: loss + features[0][:, k].square().sum()
            for k, (task, loss) in enumerate(net.losses(features[1]).items())
        }
        one = sum(feature.numel() * 8 for feature in features)
        limit = {"max_bytes": gradients * one} if memory == "recompute" and gradients else {}
        record = backward(losses, get_weighting(name), features=features, memory=memory, heads=heads, **limit)
        found[memory] = record.gram, record.weights, flat_grad([p for p in net.parameters() if p.requires_grad])
    torch.testing.assert_close(found["store"], found["recompute"], rtol=1e-6, atol=1e-9)
    assert found["store"][2].any()


@pytest.mark.parametrize("room", [2, 4])
def test_blocks_of_a_gram_matrix_are_exact_under_autocast(room):
    """The inner products of long, nearly parallel gradients, which 8 bits cannot tell apart."""
    torch.manual_seed(0)
    rows = torch.randn(2000) + 0.01 * torch.randn(4, 2000)
    names = [f"t{t}" for t in range(4)]
    gradients = dict(zip(names, rows, strict=True))
    products = BlockwiseGram(lambda task: (gradients[task],), names, [rows[0]], room * rows[0].nbytes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = products.gram_on_host()
    torch.testing.assert_close(found, rows.double() @ rows.double().T, rtol=1e-6, atol=0)


def test_non_finite_gradients_and_small_budgets_in_recomputing_at_the_features():
    for policy in ("raise", "skip", "propagate"):
        net = Net(3)
        z = net.encoder(net.x)
        losses = net.losses(z)
        losses["t1"] = losses["t1"] * float("nan")
        options = {"features": z, "memory": "recompute", "on_nonfinite": policy}
        if policy == "raise":
            with pytest.raises(NonFiniteGradientError, match="'t1'"):
                backward(losses, MGDA(), **options)
            assert not flat_grad([p for p in net.parameters() if p.requires_grad]).any()
            with pytest.raises(ValueError, match="max_bytes=10, expected at least 672, the size of two task gradients"):
                backward(losses, MGDA(), **options, max_bytes=10)
            continue
        record = backward(losses, MGDA(), **options)
        finite = flat_grad([p for p in net.encoder.parameters() if p.requires_grad]).isfinite().all()
        assert bool(finite) == (policy == "skip")
        assert record.skipped == (("t1",) if policy == "skip" else ())


def test_recompute_holds_no_more_task_gradients_than_asked_for():
    """Counted by the gradients that are alive while new ones are taken."""
    net, alive, peak = Net(6, width=64), [], 0
    from counterpoint.balancing.task_gradients import ParameterGradients

    original = ParameterGradients.row

    def counting(self, task, **options):
        nonlocal peak
        import weakref

        row = original(self, task, **options)
        alive.append(weakref.ref(row[0][0]))
        peak = max(peak, sum(ref() is not None for ref in alive))
        return row

    one = sum(p.numel() * 8 for p in live(net))
    ParameterGradients.row = counting
    try:
        backward(net.losses(), MGDA(), shared=net.shared(), memory="recompute", max_bytes=3 * one)
    finally:
        ParameterGradients.row = original
    assert 2 <= peak <= 3


@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from(["own", "weighted"]))
def test_feature_level_equals_the_layer(seed, T, heads):
    results = []
    for layer in (False, True):
        net = Net(T, seed)
        z = net.encoder(net.x)
        if layer:
            fan = FanOut(MGDA(), net.tasks, heads=heads, head_modules=dict(zip(net.tasks, net.heads, strict=True)))
            copies = fan(z)
            sum((k + 1.0) * (net.heads[k](copies[t]) - k).square().mean() for k, t in enumerate(net.tasks)).backward()
            record = fan.last
        else:
            losses = {t: (k + 1.0) * (net.heads[k](z) - k).square().mean() for k, t in enumerate(net.tasks)}
            record = backward(losses, MGDA(), features=z, heads=heads)
        results.append((record.gram, record.weights, flat_grad([p for p in net.parameters() if p.requires_grad])))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


@given(
    st.integers(0, 10**6),
    st.sampled_from([6, 9]),  # as many inputs as samples: x is square and orthogonal
    st.sampled_from(["mgda", "dibs", "nash", "fairgrad", "imtlg", "uniform"]),
)
def test_levels_agree_for_a_linear_encoder_on_orthonormal_inputs(seed, inputs, name):
    torch.manual_seed(seed)
    x, _ = torch.linalg.qr(torch.randn(inputs, 6, dtype=F64))
    x = x.T  # 6 samples, orthonormal
    encoder, heads = (
        nn.Linear(inputs, 8, bias=False).double(),
        nn.ModuleList(nn.Linear(8, 1) for _ in range(3)).double(),
    )
    records = []
    for level in ("features", "shared"):
        z = encoder(x)
        losses = {f"t{k}": (head(z) - k).square().mean() for k, head in enumerate(heads)}
        given_level = {"features": z} if level == "features" else {"shared": encoder.parameters()}
        encoder.zero_grad()
        record = backward(losses, get_weighting(name), **given_level)
        records.append((record.gram, record.weights, encoder.weight.grad.clone()))
    torch.testing.assert_close(records[0], records[1], rtol=1e-6, atol=1e-9)


@given(st.integers(0, 10**6), st.integers(0, 3), st.sampled_from(["mgda", "dibs", "nash", "fairgrad", "uniform"]))
def test_levels_agree_where_features_are_parameters_times_orthonormal_columns(seed, more, name):
    """A gradient keeps its length on the way to the parameters; a square matrix (``more`` = 0) is a rotation."""
    torch.manual_seed(seed)
    columns, _ = torch.linalg.qr(torch.randn(5 + more, 5, dtype=F64))
    parameter = nn.Parameter(torch.randn(4, 5 + more, dtype=F64))
    heads = nn.ModuleList(nn.Linear(5, 2) for _ in range(3)).double()
    records = []
    for level in ("features", "shared"):
        z = parameter @ columns
        losses = {f"t{k}": (k + 1.0) * (head(z) - k).square().mean() for k, head in enumerate(heads)}
        parameter.grad = None
        record = backward(losses, get_weighting(name), **{level: z if level == "features" else [parameter]})
        records.append((record.gram, record.weights, parameter.grad))
    torch.testing.assert_close(records[0], records[1], rtol=1e-6, atol=1e-9)


class Counted(torch.autograd.Function):
    """Identity; ``passes`` counts how often backward comes by."""

    @staticmethod
    def forward(ctx, x, passes):
        ctx.passes = passes
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        ctx.passes.append(1)
        return gradient, None


@pytest.mark.parametrize(
    ("way", "expected"), [("layer", 1), ("features", 1), ("shared", 4), ("shared with kept weights", 1)]
)
@pytest.mark.parametrize("name", ["mgda", "uniform", "nash"])
def test_passes_through_encoder_and_heads(way, expected, name):
    """T = 4: one pass through each head; through the encoder one at feature level, T at parameter level."""
    net, weighting = Net(4), get_weighting(name)
    fan = FanOut(weighting, net.tasks) if way == "layer" else None
    keep = {"every": 2} if "kept" in way else {}
    for _ in range(2):  # the second call uses weights again, where they are kept
        in_encoder, in_heads = [], {task: [] for task in net.tasks}
        z = net.encoder[2](Counted.apply(net.encoder[1](net.encoder[0](net.x)), in_encoder))
        copies = dict.fromkeys(net.tasks, z) if fan is None else fan(z)
        losses = {
            task: (k + 1.0) * Counted.apply(net.heads[k](copies[task]) - k, in_heads[task]).square().mean()
            for k, task in enumerate(net.tasks)
        }
        if fan is not None:
            sum(losses.values()).backward()
        else:
            where = {"features": z} if way == "features" else {"shared": net.encoder.parameters()}
            backward(losses, weighting, **where, **keep)
    assert len(in_encoder) == expected
    if not keep:
        assert {task: len(passes) for task, passes in in_heads.items()} == dict.fromkeys(net.tasks, 1)


def test_gradients_accumulate_and_every_micro_batch_has_its_own_weights():
    net = Net(3)
    total, weights = 0, []
    for part in (net.x[:3], net.x[3:]):
        alone = Net(3)
        alone.x = part
        record = backward(alone.losses(), MGDA(), shared=alone.shared(), scale=0.5)
        weights.append(record.weights)
        total = total + flat_grad(live(alone))
    for part in (net.x[:3], net.x[3:]):
        net.x = part
        backward(net.losses(), MGDA(), shared=net.shared(), scale=0.5)
    torch.testing.assert_close(flat_grad(live(net)), total, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(weights[0], weights[1])


@pytest.mark.parametrize("scale", [0.25, 64.0])
@pytest.mark.parametrize("name", ["dibs", "nash", "mgda", "uniform"])
def test_scaling_the_losses_scales_every_update(name, scale):
    plain, scaled = Net(3), Net(3)
    backward(plain.losses(), get_weighting(name), shared=plain.shared())
    record = backward(scaled.losses(), get_weighting(name), shared=scaled.shared(), scale=scale)
    torch.testing.assert_close(flat_grad(live(scaled)), scale * flat_grad(live(plain)), rtol=1e-7, atol=1e-10)
    assert record.tasks == tuple(plain.tasks)


@pytest.mark.parametrize("level", ["features", "shared"])
def test_weights_are_kept_for_n_calls(level):
    net, weighting, calls = Net(3), MGDA(), []
    for _ in range(5):
        z = net.encoder(net.x)
        where = {"features": z} if level == "features" else {"shared": net.shared()}
        net.zero_grad()
        losses = net.losses(z)
        record = backward(losses, weighting, every=2, **where)
        calls.append(record.weights)
        if level == "shared":
            expected = rows(net.losses(), live(net))
            combined = record.weights @ torch.stack(list(expected.values()))
            torch.testing.assert_close(flat_grad(live(net)), combined, rtol=1e-9, atol=1e-12)
            assert bool(record.gram.isnan().all()) == (len(calls) % 2 == 0)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    assert torch.equal(calls[0], calls[1])
    assert torch.equal(calls[2], calls[3])
    assert not torch.equal(calls[1], calls[2])
    other = backward(net.losses(), MGDA(), shared=net.shared(), every=2)  # another weighting has a memory of its own
    assert not other.gram.isnan().any()


def test_shared_parameters_as_param_groups_tied_and_duplicated():
    net = Net(3)
    groups = torch.optim.SGD(
        [{"params": net.shared()[:2]}, {"params": net.shared()[2:], "lr": 0.1}], lr=1.0
    ).param_groups
    reference = Net(3)
    backward(reference.losses(), MGDA(), shared=reference.shared())
    backward(net.losses(), MGDA(), shared=groups)
    torch.testing.assert_close(flat_grad(live(net)), flat_grad(live(reference)))
    twice = Net(3)
    backward(twice.losses(), MGDA(), shared=[*twice.shared(), *twice.shared()])
    torch.testing.assert_close(flat_grad(live(twice)), flat_grad(live(reference)))
    module, parameters = Net(3), Net(3)
    backward(module.losses(), MGDA(), shared=module.encoder)
    backward(parameters.losses(), MGDA(), shared=parameters.encoder.parameters())
    torch.testing.assert_close(flat_grad(live(module)), flat_grad(live(parameters)))


def test_a_parameter_that_heads_share_gets_both_their_parts():
    weight = torch.randn(4, dtype=F64, requires_grad=True)
    tied = torch.randn(4, dtype=F64, requires_grad=True)
    losses = {"a": (weight * tied).sum(), "b": (2 * weight * tied).square().sum()}
    a, b = (torch.autograd.grad(loss, tied, retain_graph=True)[0] for loss in losses.values())
    record = backward(losses, Nash(), shared=[weight], heads="weighted")
    torch.testing.assert_close(tied.grad, record.weights[0] * a + record.weights[1] * b)
    tied.grad = None
    losses = {"a": (weight * tied).sum(), "b": (2 * weight * tied).square().sum()}
    backward(losses, Nash(), shared=[weight])
    torch.testing.assert_close(tied.grad, a + b)


def test_tasks_missing_from_the_batch_have_weight_zero():
    net = Net(3)
    record = backward(net.losses(tasks=["t0", "t2"]), MGDA(), shared=net.shared(), tasks=net.tasks)
    assert record.tasks == ("t0", "t1", "t2")
    assert record.absent == ("t1",)
    assert record.weights[1] == 0
    assert net.heads[1].weight.grad is None


def test_nothing_changes_when_an_error_is_raised():
    net = Net(3)
    for level in ({"shared": net.shared()}, {"shared": net.shared(), "memory": "recompute"}):
        losses = net.losses()
        losses["t1"] = losses["t1"] * torch.tensor(float("nan"))
        with pytest.raises(NonFiniteGradientError, match="'t1'"):
            backward(losses, MGDA(), **level)
        assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("memory", ["store", "recompute"])
def test_a_task_with_a_non_finite_gradient_is_skipped_with_its_head(memory):
    net, without = Net(3), Net(3)
    losses = net.losses()
    losses["t1"] = losses["t1"] * torch.tensor(float("inf"))
    record = backward(losses, MGDA(), shared=net.shared(), on_nonfinite="skip", memory=memory)
    assert record.skipped == ("t1",)
    backward(without.losses(tasks=["t0", "t2"]), MGDA(), shared=without.shared())
    torch.testing.assert_close(flat_grad(live(net)), flat_grad(live(without)))
    assert net.heads[1].weight.grad is None


def test_weightings_that_need_losses_get_them():
    net, weighting = Net(2), GradNorm()
    for _ in range(3):
        record = backward(net.losses(), weighting, shared=net.shared(), tasks=net.tasks)
    assert float(record.weights.sum()) == pytest.approx(2)
    assert record.weights[0] != record.weights[1]


@pytest.mark.parametrize("name", ["graddrop", "trimmedmean", "excessmtl"])
def test_methods_that_need_rows_get_them(name):
    net = Net(3)
    weighting = get_weighting(name, **({"trim_number": 1} if name == "trimmedmean" else {}))
    matrix = torch.stack(list(rows(net.losses(), live(net)).values()))
    torch.manual_seed(0)
    record = backward(net.losses(), weighting, shared=net.shared())
    if name == "trimmedmean":
        torch.testing.assert_close(flat_grad(live(net)), matrix.sort(dim=0).values[1])
        assert record.weights.isnan().all()
    assert flat_grad(live(net)).abs().sum() > 0
    with pytest.raises(ValueError, match="heads='own'"):
        backward(net.losses(), weighting, shared=net.shared(), heads="weighted")


def bad(net):
    z = net.encoder(net.x)
    losses = net.losses(z)
    shared = net.shared()
    alone = {"t0": losses["t0"], "t1": torch.ones((), requires_grad=True) * 2}
    meta = {"t0": losses["t0"], "t1": torch.zeros((), device="meta", requires_grad=True)}
    return {
        "vector": (lambda: backward({"t0": z.sum(1)}, MGDA(), shared=shared), ValueError, r"has shape \[7\].*scalar"),
        "apart": (lambda: backward(alone, MGDA(), shared=shared), ValueError, "'t1' is not connected"),
        "apart features": (lambda: backward(alone, MGDA(), features=z), ValueError, "'t1' is not connected"),
        "apart recompute": (
            lambda: backward(alone, MGDA(), shared=shared, memory="recompute"),
            ValueError,
            "'t1' is not connected",
        ),
        "no grad": (lambda: backward({"t0": torch.ones(())}, MGDA(), features=z), ValueError, "does not require grad"),
        "device": (lambda: backward(meta, MGDA(), shared=shared), ValueError, "is on meta, expected cpu"),
        "name": (
            lambda: backward({"tO": losses["t0"]}, MGDA(), shared=shared, tasks=["t0"]),
            ValueError,
            "unknown task 'tO'.*'t0'",
        ),
        "list": (lambda: backward([losses["t0"]], MGDA(), shared=shared), TypeError, "mapping"),
        "float": (lambda: backward({"t0": 1.0}, MGDA(), shared=shared), TypeError, "is a float"),
        "empty": (lambda: backward({}, MGDA(), shared=shared), ValueError, "losses is empty"),
        "nowhere": (lambda: backward(losses, MGDA()), ValueError, "neither features nor shared"),
        "everywhere": (
            lambda: backward(losses, MGDA(), features=z, shared=shared),
            ValueError,
            "both features and shared",
        ),
        "weighting": (lambda: backward(losses, "mgda", shared=shared), TypeError, "get_weighting"),
        "frozen": (lambda: backward(losses, MGDA(), shared=[net.encoder[0].bias]), ValueError, "requires grad"),
        "no leaf": (lambda: backward(losses, MGDA(), shared=[z]), ValueError, "result of a computation"),
        "not tensors": (lambda: backward(losses, MGDA(), shared=["x"]), TypeError, "holds a str"),
        "budget": (
            lambda: backward(losses, MGDA(), shared=shared, memory="recompute", max_bytes=10),
            ValueError,
            "at least",
        ),
        "memory": (lambda: backward(losses, MGDA(), shared=shared, memory="disk"), ValueError, "memory='disk'"),
        "heads": (lambda: backward(losses, MGDA(), shared=shared, heads="all"), ValueError, "heads='all'"),
        "every": (lambda: backward(losses, MGDA(), shared=shared, every=0), ValueError, "every=0"),
        "scale": (lambda: backward(losses, MGDA(), shared=shared, scale=0), ValueError, "scale=0"),
        "group": (lambda: backward(losses, MGDA(), shared=shared, process_group=3), TypeError, "process_group=3"),
        "level": (lambda: backward(losses, get_weighting("excessmtl"), features=z), ValueError, "parameters"),
        "two batches": (lambda: backward(losses, get_weighting("modo"), shared=shared), ValueError, "two"),
        "group without": (lambda: backward(losses, MGDA(), shared=[{"lr": 1}]), ValueError, r"a dict of \['lr'\]"),
        "number": (lambda: backward(losses, MGDA(), shared=3), TypeError, "is a int, expected a module, parameters"),
        "heads list": (lambda: backward(losses, MGDA(), shared=shared, heads=["own"]), ValueError, "heads="),
        "scale name": (lambda: backward(losses, MGDA(), shared=shared, scale="x"), ValueError, "scale='x'"),
        "scaler": (lambda: backward(losses, MGDA(), shared=shared, grad_scaler=3), TypeError, "grad_scaler=3"),
        "idle budget": (lambda: backward(losses, MGDA(), shared=shared, max_bytes=10**9), ValueError, "recompute"),
        "complex": (
            lambda: backward(losses, MGDA(), shared=[torch.ones(1, dtype=torch.complex64, requires_grad=True)]),
            TypeError,
            "complex",
        ),
        "kept by nobody": (
            lambda: backward(losses, lambda gram: gram.diagonal(), shared=shared, every=2),
            TypeError,
            "expected a Weighting",
        ),
        "fan": (lambda: backward(losses, MGDA(), features=FanOut(MGDA(), net.tasks)(z)), TypeError, "dict"),
    }


@pytest.mark.parametrize("case", bad(Net(2)))
def test_bad_input_gets_one_line_and_changes_nothing(case):
    net = Net(2)
    call, error, message = bad(net)[case]
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_dibs_is_invariant_to_increasing_transformations_of_a_loss():
    plain, changed = Net(3), Net(3)
    backward(plain.losses(), DiBS(), shared=plain.shared(), heads="weighted")
    losses = changed.losses()
    losses["t1"] = torch.exp(losses["t1"])
    losses["t2"] = 1000 * losses["t2"]
    backward(losses, DiBS(), shared=changed.shared(), heads="weighted")
    everything = [[p for p in net.parameters() if p.requires_grad] for net in (plain, changed)]
    torch.testing.assert_close(flat_grad(everything[0]), flat_grad(everything[1]), rtol=1e-10, atol=1e-12)


def plain_gradients(parameters, losses):
    for parameter in parameters:
        parameter.grad = None
    sum(losses.values()).backward()
    found = [p.grad.clone() for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return found


def tied(e, x):
    z = e(x).tanh()
    return z, {"a": (z @ e.weight).square().mean(), "b": z.exp().mean(), "c": z.square().mean()}


def skipping(e, x):
    y = e(x)
    z = y[:, :3]
    return z, {k: (z * c).exp().mean() + y[:, 3:].square().mean() for k, c in zip("abc", (1, 2, 3), strict=True)}


def chunked(e, x):
    mean, spread = e(x).chunk(2, -1)
    return mean, {k: (mean * c + spread.exp()).square().mean() for k, c in zip("abc", (1, 2, 3), strict=True)}


def nested(e, x):
    first = e(x)
    second = first.tanh() @ e.weight
    return [first, second], {k: (first.sum() * c + second.exp().sum()) for k, c in zip("abc", (1, 2, 3), strict=True)}


@pytest.mark.parametrize("network", [tied, skipping, chunked, nested])
@pytest.mark.parametrize("level", ["features", "shared"])
@pytest.mark.parametrize("T", [2, 3])
def test_uniform_weights_give_the_plain_sum_whatever_goes_past_the_features(network, level, T):
    torch.manual_seed(0)
    e, x = nn.Linear(4, 6).double(), torch.randn(8, 4, dtype=F64)

    def build():
        z, losses = network(e, x)
        return z, {task: losses[task] for task in list(losses)[:T]}

    parameters = list(e.parameters())
    expected = plain_gradients(parameters, build()[1])
    z, losses = build()
    where = {"features": z} if level == "features" else {"shared": parameters}
    backward(losses, Uniform(), **where)
    torch.testing.assert_close([p.grad for p in parameters], expected, rtol=1e-10, atol=1e-12)


def test_features_made_of_one_another_have_the_layers_gram_matrix():
    torch.manual_seed(0)
    e, x = nn.Linear(4, 6).double(), torch.randn(8, 4, dtype=F64)
    z, losses = nested(e, x)
    record = backward(losses, MGDA(), features=z)
    grad = e.weight.grad.clone()
    e.zero_grad()
    fan = FanOut(MGDA(), list("abc"))
    first = e(x)
    copies = fan([first, first.tanh() @ e.weight])
    sum(c * a.sum() + b.exp().sum() for c, (a, b) in zip((1, 2, 3), copies.values(), strict=True)).backward()
    torch.testing.assert_close(record.gram, fan.last.gram)
    torch.testing.assert_close(e.weight.grad, grad)


def test_the_graph_is_freed():
    net = Net(3)
    z = net.encoder(net.x)
    backward(net.losses(z), MGDA(), shared=net.shared())
    with pytest.raises(RuntimeError, match="second time"):
        z.sum().backward()


@pytest.mark.parametrize("memory", ["store", "recompute"])
@pytest.mark.parametrize("action", ["raise", "skip"])
def test_a_non_finite_gradient_is_found_in_calls_that_use_weights_again(memory, action):
    net, weighting = Net(3), MGDA()
    options = {"shared": net.shared(), "memory": memory, "every": 2, "on_nonfinite": action}
    backward(net.losses(), weighting, **options)
    net.zero_grad()
    losses = net.losses()
    losses["t1"] = losses["t1"] * float("nan")
    if action == "raise":
        with pytest.raises(NonFiniteGradientError, match="'t1'"):
            backward(losses, weighting, **options)
        assert all(p.grad is None for p in net.parameters())
    else:
        assert backward(losses, weighting, **options).skipped == ("t1",)
        assert flat_grad(live(net)).isfinite().all()


def test_a_batch_without_any_labels():
    net = Net(2)
    for level in ({"shared": net.shared()}, {"shared": net.shared(), "memory": "recompute"}):
        record = backward({}, MGDA(), tasks=net.tasks, **level)
        assert record.absent == tuple(net.tasks)
    assert all(p.grad is None for p in net.parameters())


def test_sparse_gradients_of_embeddings():
    table = nn.Embedding(10, 3, sparse=True)
    z = table(torch.tensor([1, 2, 2])).sum(0)
    backward({"a": z.sum(), "b": z.square().sum(), "c": (3 * z).sum()}, Uniform(), shared=table.parameters())
    assert table.weight.grad[2].abs().sum() > 0


def test_a_learned_weighting_is_not_bound_by_a_call_that_failed():
    net, weighting = Net(2), GradNorm()
    with pytest.raises(ValueError, match="every=0"):
        backward(net.losses(), weighting, shared=net.shared(), tasks=["t0", "t1", "typo"], every=0)
    backward(net.losses(), weighting, shared=net.shared(), tasks=net.tasks)
    assert weighting.tasks == ("t0", "t1")


def test_a_reentrant_checkpoint_is_refused_in_one_line_and_another_works():
    """Its parameters are not in the graph: they would stay without a gradient, for good and without a word."""

    def gradients(where, *, reentrant):
        net = Net(2)
        first, second = net.encoder[:2], net.encoder[2]
        kind = {"use_reentrant": reentrant}
        z = second(checkpoint(first, net.x.requires_grad_(), **kind) if where == "encoder" else first(net.x))
        heads = [checkpoint(head, z, **kind) if where == "heads" else head(z) for head in net.heads]
        losses = {task: (out - k).square().mean() for k, (task, out) in enumerate(zip(net.tasks, heads, strict=True))}
        backward(losses, MGDA(), **({"features": z} if where == "heads" else {"shared": net.encoder}))
        return [parameter.grad for parameter in net.encoder.parameters()]

    for where in ("encoder", "heads"):
        with pytest.raises(ValueError, match=r"expected checkpoint\(\.\.\., use_reentrant=False\)") as caught:
            gradients(where, reentrant=True)
        assert "\n" not in str(caught.value)
        assert all(g is not None for g in gradients(where, reentrant=False)[::2])


def test_losses_that_a_layer_balances_are_refused():
    """One task at a time passes the layer; compiled heads then send it zeros for the others, and MGDA takes these."""
    net = Net(2)
    for weighting in (MGDA(), DiBS()):
        fan = FanOut(weighting, net.tasks)
        z = fan(net.encoder(net.x))
        losses = {task: net.heads[k](z[task]).square().mean() for k, task in enumerate(net.tasks)}
        with pytest.raises(ValueError, match="went through a FanOut in train mode, which balances gradients itself"):
            backward(losses, MGDA(), shared=net.encoder)
    for fan in (FanOut(MGDA(), net.tasks).eval(), FanOut(Uniform(), net.tasks)):  # these hand gradients on
        z = fan(net.encoder(net.x))
        losses = {task: net.heads[k](z[task]).square().mean() for k, task in enumerate(net.tasks)}
        record = backward(losses, MGDA(), shared=net.encoder)
        assert record.weights.sum() == pytest.approx(1.0)
