"""What arrives at the layer is not what happened: zeros for no gradient, losses of nothing, loops wired otherwise."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from counterpoint import MGDA, DiBS, FanOut, MultiTaskModel, NonFiniteGradientError, Uniform, backward, get_weighting

TASKS = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def no_other_warning():
    """Nothing is said where nothing is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message="You are solving a parameterized problem")  # of a solver of TorchJD's
        yield


class Net(nn.Module):
    """An encoder of images, and heads that are slices of one product: [B, T] from stacked features."""

    def __init__(self, weighting, kind="separate", **options):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten())
        self.fan = FanOut(get_weighting(weighting) if isinstance(weighting, str) else weighting, TASKS, **options)
        self.heads = nn.ModuleDict({task: nn.Linear(12, 1) for task in TASKS})
        self.kind = kind
        self.double()
        self.x = torch.randn(5, 2, 4, 4, dtype=torch.float64)

    def outputs(self):
        z = self.fan(self.encoder(self.x))
        if self.kind == "separate":
            return {task: self.heads[task](z[task]) for task in TASKS}
        if self.kind == "stacked":  # one product for all: every task's gradient has rows for every other
            weights = torch.stack([head.weight[0] for head in self.heads.values()])
            product = torch.einsum("tbd,td->bt", torch.stack([z[task] for task in TASKS]), weights)
            product = product + torch.cat([head.bias for head in self.heads.values()])
            return {task: product[:, at : at + 1] for at, task in enumerate(TASKS)}

        def all_heads(*features):
            return tuple(self.heads[task](own) for task, own in zip(TASKS, features, strict=True))

        together = checkpoint(all_heads, *z.values(), use_reentrant=self.kind == "reentrant")
        return dict(zip(TASKS, together, strict=True))

    def losses(self, tasks=TASKS):
        outputs = self.outputs()
        return {
            task: (10.0**at) * (outputs[task] - at).square().mean() for at, task in enumerate(TASKS) if task in tasks
        }

    def update(self, losses=None):
        self.zero_grad()
        self.fan.sum(self.losses() if losses is None else losses).backward()
        return torch.cat([p.grad.reshape(-1) for p in self.encoder.parameters()])


@pytest.mark.traced(3)
@pytest.mark.parametrize("kind", ["stacked", "reentrant", "checkpointed"])
@pytest.mark.parametrize("weighting", ["mgda", "upgrad", "gradnorm", "dibs", "nash", "imtlg", "graddrop", "uw"])
def test_a_task_without_a_loss_is_absent_whatever_fills_in_zeros(weighting, kind):
    torch.manual_seed(1)
    usual, other = Net(weighting), Net(weighting, kind)
    if weighting == "graddrop":
        torch.manual_seed(2)
    expected = usual.update(usual.losses(["a", "c"]))
    if weighting == "graddrop":
        torch.manual_seed(2)
    found = other.update(other.losses(["a", "c"]))
    torch.testing.assert_close(found, expected)
    assert other.fan.last.absent == ("b",)
    assert other.fan.last.present == ("a", "c")
    assert found.abs().max() > 0


def test_a_gradient_without_a_told_loss_counts_where_it_is_not_zero():
    net = Net("mgda")
    losses = net.losses()
    (net.fan.sum({task: losses[task] for task in "ab"}) + losses["c"]).backward()
    assert net.fan.last.present == ("a", "b", "c")
    net = Net("gradnorm")
    losses = net.losses()
    with pytest.raises(
        ValueError, match="needs the losses and a gradient of task 'c' arrived whose loss was not among"
    ):
        (net.fan.sum({task: losses[task] for task in "ab"}) + losses["c"]).backward()


def test_a_zero_gradient_that_stops_the_encoder_is_told_once_and_only_then():
    net = Net("mgda")
    losses = net.losses()
    losses["b"] = nn.functional.relu(losses["b"] - 1e9)  # a hinge that is satisfied: loss and gradient are zero
    with pytest.warns(UserWarning, match="gradient of task 'b' is exactly zero and others' are not: with MGDA") as said:
        assert net.update(losses).abs().max() == 0
    assert "leave a task without labels, or one that is done, out of the losses" in str(said[0].message)
    assert "\n" not in str(said[0].message)
    losses = net.losses()
    losses["b"] = nn.functional.relu(losses["b"] - 1e9)
    net.update(losses)  # said once
    for weighting in ("dibs", "nash", "uniform", "upgrad"):  # these go on
        other = Net(weighting)
        losses = other.losses()
        losses["b"] = nn.functional.relu(losses["b"] - 1e9)
        assert other.update(losses).abs().max() > 0
    net = Net("mgda")
    losses = net.losses()
    with pytest.warns(UserWarning, match=r"fan.sum\(losses\).backward\(\) says so"):
        (losses["a"] + losses["c"] + 0 * losses["b"]).backward()
    features = torch.ones(3, requires_grad=True)
    losses = {"a": features.sum(), "b": (features * 0).sum()}
    with pytest.warns(UserWarning, match="'b' is exactly zero"):
        backward(losses, MGDA(), features=features)


def of_nothing(task, outputs):
    """Losses of a batch in which a task has no label."""
    none = torch.full((5,), -100)
    return {
        "cross_entropy": lambda: nn.functional.cross_entropy(torch.cat([outputs[task]] * 3, 1), none),
        "masked mean": lambda: (outputs[task][torch.zeros(5, dtype=torch.bool)] - 1).square().mean(),
        "nanmean": (outputs[task] * torch.nan).nanmean,
        "bce": lambda: nn.functional.binary_cross_entropy_with_logits(outputs[task][:0], outputs[task][:0].detach()),
        "division by a count": lambda: (outputs[task] * 0).sum() / torch.zeros(()),
    }


@pytest.mark.traced(3)
@pytest.mark.parametrize("loss", ["cross_entropy", "masked mean", "nanmean", "bce", "division by a count"])
@pytest.mark.parametrize("way", ["layer", "features", "parameters"])
def test_a_loss_that_is_not_finite_is_what_on_nonfinite_says(loss, way):
    def step(policy, weighting="mgda", heads=True):
        net = Net(weighting)
        net.fan = FanOut(
            get_weighting(weighting), TASKS, on_nonfinite=policy, head_modules=net.heads if heads else None
        )
        features = net.encoder(net.x)
        z = net.fan(features) if way == "layer" else dict.fromkeys(TASKS, features)
        outputs = {task: net.heads[task](z[task]) for task in TASKS}
        losses = {task: (outputs[task] - 1).square().mean() for task in "ac"} | {"b": of_nothing("b", outputs)[loss]()}
        if way == "layer":
            net.fan.sum(losses).backward()
            return net, net.fan.last
        where = {"features": features} if way == "features" else {"shared": net.encoder}
        return net, backward(losses, net.fan.weighting, tasks=TASKS, on_nonfinite=policy, **where)

    with pytest.raises(
        NonFiniteGradientError, match=r"non-finite loss of task 'b' .*a mean over no labels is NaN"
    ) as caught:
        step("raise")
    assert caught.value.tasks == ("b",)
    assert list(caught.value.losses) == ["b"]
    assert "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).losses.keys() == {"b"}  # noqa: S301
    net, record = step("skip")
    assert record.skipped == ("b",)
    assert record.weights[1] == 0
    assert record.weights.sum() == pytest.approx(1)
    assert net.encoder[0].weight.grad.abs().max() > 0
    assert net.heads["b"].weight.grad is None or not net.heads["b"].weight.grad.any()
    net, _ = step("propagate")
    assert net.encoder[0].weight.grad.isnan().all()


def test_a_loss_of_nothing_raises_under_a_scaler_too_and_an_overflow_does_not():
    for factor, raises in ((torch.nan, True), (torch.inf, False)):
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        net = Net("mgda", grad_scaler=scaler)
        losses = net.losses()
        zero = (losses["b"] * 0) + factor if raises else losses["b"] * factor
        total = scaler.scale(net.fan.sum(losses | {"b": zero}))
        if raises:
            with pytest.raises(NonFiniteGradientError, match="loss of task 'b'"):
                total.backward()
        else:
            total.backward()
            assert not net.encoder[0].weight.grad.isfinite().any()


def test_skipping_leaves_the_head_of_a_bad_label_alone():
    for options in ({}, {"head_modules": True}):
        net = Net("mgda")
        given = {"head_modules": net.heads} if options else {}
        net.fan = FanOut(MGDA(), TASKS, on_nonfinite="skip", **given)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # says that it cannot always do so without the heads
            losses = net.losses()
        losses["b"] = losses["b"] * torch.tensor(torch.nan)
        net.update(losses)
        assert net.fan.last.skipped == ("b",)
        for task, head in net.heads.items():
            grad = head.weight.grad
            assert grad is None or grad.isfinite().all(), (options, task)
        assert net.heads["a"].weight.grad.abs().max() > 0


class RootOfZero(nn.Module):
    """A finite loss whose gradient is not finite."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, z):
        return (self.scale * z * 0).sum().sqrt() + (self.scale * z).sum()


def test_skipping_knows_the_heads_where_it_is_told_them_and_says_what_it_cannot_do():
    def step(**options):
        torch.manual_seed(0)
        encoder = nn.Linear(3, 4).double()
        heads = nn.ModuleDict({"a": nn.Linear(4, 1).double(), "b": RootOfZero()})
        if options:
            fan = FanOut(MGDA(), ["a", "b"], on_nonfinite="skip", head_modules=heads)
        else:
            fan = MultiTaskModel(encoder, heads, FanOut(MGDA(), ["a", "b"], on_nonfinite="skip")).fan_out
        z = fan(encoder(torch.ones(2, 3, dtype=torch.float64)))
        fan.sum({"a": heads["a"](z["a"]).square().mean(), "b": heads["b"](z["b"])}).backward()
        return fan, heads

    for options in ({"head_modules": True}, {}):
        fan, heads = step(**options)
        assert fan.last.skipped == ("b",)
        assert heads["b"].scale.grad == 0
        assert heads["a"].weight.grad.abs().max() > 0  # as without skipping: own gradients, unscaled
    fan = FanOut(MGDA(), ["a", "b"], on_nonfinite="skip")
    with pytest.warns(UserWarning, match=r"give head_modules=\{task: module\} to keep heads out of it") as said:
        fan(torch.ones(2, 3, requires_grad=True))
    assert said[0].filename == __file__
    fan(torch.ones(2, 3, requires_grad=True))


# What arrives is not what was told.


def test_the_features_of_another_task_are_noticed():
    net = Net("mgda")
    z = net.fan(net.encoder(net.x))
    with pytest.warns(UserWarning, match=r"loss of task 'c' comes from the features of task 'a', expected z\['c'\]"):
        net.fan.sum({task: net.heads[task](z["a" if task == "c" else task]).square().mean() for task in TASKS})


def test_a_head_that_goes_past_the_layer_is_noticed_and_one_that_is_detached_is_meant():
    net = Net("dibs")
    features = net.encoder(net.x)
    z = net.fan(features)
    with pytest.warns(UserWarning, match="loss of task 'b' does not come through the layer"):
        net.fan.sum({"a": net.heads["a"](z["a"]).mean(), "b": net.heads["b"](features).mean()})
    net = Net("dibs")
    for _ in range(3):  # a head on detached features beside the others
        z = net.fan(net.encoder(net.x))
        net.fan.sum({t: net.heads[t](z[t].detach() if t == "c" else z[t]).square().mean() for t in TASKS}).backward()
    assert net.fan.last.absent == ("c",)


def test_a_skip_connection_past_the_layer_is_noticed_and_through_it_is_not():
    for through in (False, True):
        torch.manual_seed(0)
        first, second = nn.Linear(4, 5), nn.Linear(5, 6)
        fan, heads = FanOut(MGDA(), ["a", "b"]), {t: nn.Linear(11, 1) for t in "ab"}
        low = first(torch.randn(3, 4))
        high = second(low)
        z = fan([high, low]) if through else {t: (own, low) for t, own in fan(high).items()}
        losses = {t: heads[t](torch.cat(z[t], 1)).square().mean() for t in "ab"}
        if through:
            fan.sum(losses)
        else:
            with pytest.warns(UserWarning, match="also reaches the encoder past the layer"):
                fan.sum(losses)


def test_a_tied_parameter_of_the_encoder_is_no_way_past_the_layer():
    embedding, fan = nn.Embedding(7, 4), FanOut(MGDA(), ["next", "kind"])
    z, head = fan(embedding(torch.arange(5))), nn.Linear(4, 1)
    fan.sum({"next": (z["next"] @ embedding.weight.T).square().mean(), "kind": head(z["kind"]).mean()}).backward()


def test_a_slip_in_a_later_step_is_noticed():
    net = Net("mgda")
    net.update()
    z = net.fan(net.encoder(net.x))
    total = net.fan.sum({task: net.heads[task](z["a" if task == "b" else task]).square().mean() for task in TASKS})
    with pytest.warns(UserWarning, match="'b' has a loss and no gradient of it came through the layer"):
        total.backward()
    z = net.fan(net.encoder(net.x))
    with pytest.warns(UserWarning, match="comes from the features of task 'a'"):  # its graph is looked at again
        net.fan.sum({task: net.heads[task](z["a" if task == "b" else task]).square().mean() for task in TASKS})


def test_a_batch_for_each_task_is_noticed_and_a_batch_of_views_is_not():
    net = Net("mgda")
    batches = dict(zip(TASKS, torch.randn(3, 4, 2, 4, 4, dtype=torch.float64), strict=True))
    losses = {task: net.heads[task](net.fan(net.encoder(x))[task]).square().mean() for task, x in batches.items()}
    with pytest.warns(UserWarning, match=r"arrive at different uses of the layer.*shared=encoder") as said:
        net.update(losses)
    assert len(said) == 1
    net = Net("mgda")
    for _ in range(3):
        first, second = net.fan(net.encoder(net.x)), net.fan(net.encoder(-net.x))
        net.update({task: (net.heads[task](first[task]) - second[task].mean()).square().mean() for task in TASKS})


def test_passes_of_one_task_each_are_noticed_after_a_while():
    net = Net("mgda")
    said = []
    for step in range(20):  # micro-batches that go by tasks
        task = TASKS[step % 3]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            net.update(net.losses([task]))
        said += [str(entry.message) for entry in caught]
    assert len(said) == 1
    assert "backward passes each held the gradient of one task ('a', 'b', 'c')" in said[0]
    net = Net("mgda")
    for step in range(20):  # two of three at a time: tasks meet
        net.update(net.losses(TASKS[step % 2 : step % 2 + 2]))
    net = Net("uniform")
    for step in range(20):  # the plain sum is what was asked for
        net.update(net.losses([TASKS[step % 3]]))


def test_a_backward_pass_for_each_loss_is_noticed():
    net = Net("nash")
    for loss in net.losses().values():
        loss.backward(retain_graph=True)
    first, *_ = net.losses().values()
    with pytest.warns(
        UserWarning, match="backward passes for tasks 'a', 'b', 'c', one each, came to the same features"
    ):
        first.backward()
    net = Net("mgda")  # a look at single gradients before the step is none
    for _ in range(3):
        losses = net.losses()
        for loss in losses.values():
            torch.autograd.grad(loss, net.encoder[0].weight, retain_graph=True)
        net.update(losses)


def test_a_loss_of_two_towers_is_noticed_and_its_right_form_is_not():
    torch.manual_seed(0)
    embedding, towers = nn.Linear(6, 8), nn.ModuleDict({t: nn.Linear(8, 1) for t in ("open", "click", "stay")})
    x, y = torch.randn(20, 6), torch.rand(20, 1).round()
    names = ["open", "click"]

    def losses(z_open, z_click, z_open_for_click):
        opened = towers["open"](z_open).sigmoid()
        clicked = towers["open"](z_open_for_click).sigmoid() * towers["click"](z_click).sigmoid()
        bce = nn.functional.binary_cross_entropy
        return {"open": bce(opened, y), "click": bce(clicked, y)}

    fan = FanOut(MGDA(), names)
    z = fan(embedding(x))
    with pytest.warns(UserWarning, match="loss of task 'click' also depends on the features of task 'open'"):
        fan.sum(losses(z["open"], z["click"], z["open"]))
    fan = FanOut(MGDA(), names)
    z = fan(embedding(x))
    fan.sum(losses(z["open"], z["click"], z["click"])).backward()
    features = embedding(x)
    true = backward(losses(features, features, features), MGDA(), features=features)
    torch.testing.assert_close(fan.last.weights, true.weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["stacked", "checkpointed", "reentrant"])
def test_one_product_for_all_tasks_is_no_loss_of_two(kind):
    net = Net("mgda", kind)
    net.update()
    assert net.fan.last.present == tuple(TASKS)


def test_a_gradient_that_is_stopped_later_is_meant():
    net = Net("mgda")
    for _ in range(21):
        net.update()
    for _ in range(3):
        z = net.fan(net.encoder(net.x))
        losses = {t: net.heads[t](z[t].detach() if t == "b" else z[t]).square().mean() for t in TASKS}
        net.update(losses)
    assert net.fan.last.absent == ("b",)


@pytest.mark.parametrize("how", ["eval mode", "features past the layer", "never called"])
def test_losses_of_which_nothing_arrives_are_noticed(how):
    net = Net("mgda")
    net.fan.train(how != "eval mode")
    said = []
    for _ in range(4):
        features = net.encoder(net.x)
        z = net.fan(features) if how == "eval mode" else dict.fromkeys(TASKS, features)
        if how == "features past the layer":
            net.fan(features)  # what it returns is dropped
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            net.update({t: net.heads[t](z[t]).square().mean() for t in TASKS})
        said += [str(entry.message) for entry in caught]
    assert len(said) == 1
    assert "no gradient came through the layer, so nothing is balanced" in said[0]
    assert ("eval mode" in said[0]) == (how == "eval mode")


def test_looking_at_a_loss_leaves_other_layers_alone():
    torch.manual_seed(0)
    first, second = FanOut(MGDA(), ["a", "b"]), FanOut(get_weighting("gradnorm"), ["a", "b"])
    low, heads = nn.Linear(3, 4), {t: nn.Linear(8, 1) for t in "ab"}
    z = first(low(torch.ones(5, 3)))
    mixed = {t: second(torch.tanh(z[t]))[t] for t in "ab"}  # a layer behind another, crossed
    losses = {t: heads[t](torch.cat([mixed["a"], mixed["b"]], 1)).square().mean() for t in "ab"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first.sum(losses)
    assert second.last is None


def test_a_module_that_encoder_and_head_share_is_no_way_past_the_layer():
    shared, heads = nn.Linear(4, 4), nn.ModuleDict({t: nn.Linear(4, 1) for t in "ab"})
    for cached in (False, True):
        fan = FanOut(MGDA(), ["a", "b"])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cached):  # which casts the weight once for both
            z = fan(torch.tanh(shared(torch.randn(3, 4))))
            losses = {t: heads[t](shared(z[t])).square().mean().float() for t in "ab"}
        fan.sum(losses).backward()


@pytest.mark.parametrize("options", [{"every": 3}, {"reduce": "stream"}])
def test_weights_that_are_kept_travel_in_the_state_dict(options):
    def steps(net, first, last):
        for step in range(first, last):
            torch.manual_seed(step)
            net.x = torch.randn_like(net.x)
            net.update()
        return net.fan.last.weights

    whole, part = Net("mgda", **options), Net("mgda", **options)
    expected = steps(whole, 0, 8)
    steps(part, 0, 4)
    fresh = Net("mgda", **options)
    state = part.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    fresh.load_state_dict(state)
    assert torch.equal(steps(fresh, 4, 8), expected)
    fresh.load_state_dict({key: value for key, value in state.items() if "kept" not in key})  # of 0.1.0
    assert not any("kept" in key for key in Net("mgda").state_dict())


def test_looks_end_by_themselves():
    net = Net("mgda")
    net.update()
    checks = net.fan._checks
    assert not checks._unseen
    assert not checks._watched
    twin = copy.deepcopy(net)
    twin.update()
    assert pickle.loads(pickle.dumps(net)).fan._checks._uses == []  # noqa: S301


# One tensor for all tasks.


@pytest.mark.parametrize("weighting", [MGDA, DiBS])
@pytest.mark.parametrize("several", [False, True])
def test_a_reentrant_checkpoint_over_encoder_and_layer_changes_nothing(weighting, several):
    torch.manual_seed(0)
    x = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    encoder, heads = nn.Linear(4, 6).double(), {t: nn.Linear(6, 2).double() for t in TASKS}
    found = []
    for reentrant in (False, True):
        encoder.zero_grad()
        fan = FanOut(weighting(), TASKS)

        def shared(x, fan=fan):
            if several:
                return tuple(first for first, _ in fan([encoder(x), encoder(-x)]).values())
            return tuple(fan(encoder(x)).values())

        z = dict(zip(TASKS, checkpoint(shared, x, use_reentrant=reentrant), strict=True))
        fan.sum({t: (heads[t](z[t]) - at).square().mean() for at, t in enumerate(TASKS)}).backward()
        found.append((fan.last.weights, encoder.weight.grad))
    torch.testing.assert_close(found[0], found[1])
    assert found[0][1].abs().max() > 0
    with torch.no_grad():
        z = fan(encoder(x))
    assert z["a"] is not z["b"]


# Several uses, several sums.


def test_two_sums_in_one_backward_pass_are_one():
    one, two = Net("gradnorm"), Net("gradnorm")
    expected = one.update()
    losses = two.losses()
    two.zero_grad()
    (two.fan.sum({"a": losses["a"]}) + two.fan.sum({t: losses[t] for t in "bc"})).backward()
    torch.testing.assert_close(torch.cat([p.grad.reshape(-1) for p in two.encoder.parameters()]), expected)
    torch.testing.assert_close(two.fan.weighting.initial_losses, one.fan.weighting.initial_losses)
    halves = Net("gradnorm")  # one task's loss in two parts
    losses = halves.losses()
    (
        halves.fan.sum({t: 0.25 * losses[t] for t in TASKS}) + halves.fan.sum({t: 0.75 * losses[t] for t in TASKS})
    ).backward()
    torch.testing.assert_close(halves.fan.weighting.initial_losses, one.fan.weighting.initial_losses)
    net = Net("gradnorm")
    losses = net.losses()
    with pytest.raises(ValueError, match="two sums of losses in one backward pass, times"):
        (net.fan.sum({"a": losses["a"]}) + 0.5 * net.fan.sum({t: losses[t] for t in "bc"})).backward()
    net.update()  # and nothing is left of it


@pytest.mark.parametrize("name", ["uw", "imtll", "gradnorm", "famo", "dwa", "crmogm", "torchjd-nashmtl", "gradvac"])
def test_what_learns_learns_once_in_a_backward_pass(name):
    options = {"weighting": "mgda"} if name == "crmogm" else {}

    def step(uses):
        torch.manual_seed(0)
        encoder, heads = nn.Linear(5, 6).double(), nn.ModuleDict({t: nn.Linear(6, 1) for t in "ab"}).double()
        weighting = get_weighting(name, **options)
        seen = []
        weigh = weighting.weigh
        weighting.weigh = lambda step: seen.append(step) or weigh(step)
        fan = FanOut(weighting, ["a", "b"])
        for _ in range(2):
            views = torch.randn(2, 9, 5, dtype=torch.float64)
            features = [encoder(view) for view in views]
            z = [fan(own) for own in features] if uses == 2 else [fan(features[0] + features[1])]
            losses = {t: (sum(heads[t](own[t]) for own in z) - 1).square().mean() for t in "ab"}
            fan.sum(losses).backward()
        return len(seen), [p.grad.clone() for p in weighting.parameters() if p.grad is not None], fan.last.weights

    times, learned, weights = step(2)
    assert times == 2
    once, expected, _ = step(1)
    assert once == 2
    if name in ("uw", "imtll"):  # which look at losses alone
        for found, own in zip(learned, expected, strict=True):
            assert found.shape == own.shape
    assert weights.isfinite().all()


def test_weights_kept_for_n_passes_are_kept_for_all_uses_in_them():
    net = Net("mgda", every=2)
    kept = []
    for _ in range(4):
        first, second = net.fan(net.encoder(torch.randn_like(net.x))), net.fan(net.encoder(net.x))
        net.update(
            {t: (at + 1) * (net.heads[t](first[t] + second[t]) - at).square().mean() for at, t in enumerate(TASKS)}
        )
        kept.append(net.fan.last.weights.tolist())
    assert kept[0] == kept[1]
    assert kept[2] == kept[3]
    assert kept[0] != kept[2]


# What is accepted as names and as a weighting.


def test_tasks_in_no_order_are_refused():
    with pytest.raises(TypeError, match=r"tasks is a set, expected a sequence such as \['a', 'b'\]"):
        FanOut(MGDA(), {"b", "a"})
    with pytest.raises(TypeError, match="tasks is a frozenset"):
        backward({"a": torch.ones((), requires_grad=True)}, MGDA(), features=torch.ones(1), tasks=frozenset("ab"))
    assert FanOut(MGDA(), {"a": 1, "b": 2}.keys()).tasks == ("a", "b")


def test_a_callables_answer_is_looked_at_once_and_leaves_no_trace():
    calls = []

    def counted(gram):
        calls.append(gram)
        return torch.ones(len(gram))

    class Remembers:
        def __init__(self):
            self.mean = None

        def __call__(self, gram):
            self.mean = gram if self.mean is None else 0.9 * self.mean + 0.1 * gram
            return torch.ones(len(gram))

    FanOut(counted, TASKS)  # a closure: it may remember what nobody can take back
    assert not calls
    FanOut(own := Remembers(), TASKS)
    assert own.mean is None
    state = torch.random.get_rng_state()
    FanOut(lambda gram: torch.rand(len(gram)), TASKS)
    assert torch.equal(state, torch.random.get_rng_state())
    with pytest.raises(ValueError, match=r"returned shape \[2\], expected \[3\]"):
        FanOut(lambda _: torch.ones(2), TASKS)
    with pytest.warns(UserWarning, match="combines the columns of its argument, as an aggregator of a Jacobian does"):
        FanOut(lambda matrix: matrix.mean(dim=0), TASKS)
    FanOut(lambda gram: gram.diagonal().rsqrt(), TASKS)
    FanOut(Uniform(), TASKS)
