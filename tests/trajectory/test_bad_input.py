"""What cannot be measured is refused in one line that says what to do."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.checkpoint import checkpoint

from counterpoint import (
    MGDA,
    FanOut,
    Probe,
    conflict,
    fisher_trace,
    gradient_coherence,
    hessian_trace,
    sam_sharpness,
    top_eigenvalues,
)

W = nn.Parameter(torch.linspace(0.1, 0.9, 25))
OTHER = nn.Parameter(torch.ones(2))
SECOND = [top_eigenvalues, hessian_trace]
CLOSURE = [*SECOND, sam_sharpness, lambda loss, params: gradient_coherence([loss, loss], params)]


def refused(error, message, function, *args, **options):
    with pytest.raises(error, match=message) as found:
        function(*args, **options)
    assert "\n" not in str(found.value)
    assert "expected" in str(found.value)
    return found.value


class Half(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


def overwritten():
    y = W.sigmoid()
    z = y * y
    y.add_(1)
    return z.sum()


def attention():
    q = (W * torch.ones(2, 1, 4, 25)).contiguous()
    return scaled_dot_product_attention(q, q, q).square().sum()


@pytest.mark.parametrize("measure", CLOSURE)
@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (OTHER.sum, ValueError, r"loss does not depend on any of the parameters \(\[25\]\), expected one"),
        (lambda: torch.ones(()), ValueError, "loss does not depend on any of the parameters"),
        (lambda: W.detach().sum(), ValueError, r"look for \.detach\(\)"),
        (lambda: W * 2, ValueError, r"loss returns a tensor of shape \[25\], expected a scalar"),
        (lambda: 3.0, TypeError, "loss returns a float, expected a tensor"),
        (lambda: {"a": W.sum()}, TypeError, "loss returns a dict, expected a tensor"),
        (lambda: None, TypeError, "loss returns a NoneType, expected a tensor"),
        (lambda: (W - 2).log().sum(), ValueError, "loss is nan, expected a finite number"),
        (lambda: W.sum() * 1j, ValueError, "loss returns complex numbers, expected real ones"),
        (overwritten, ValueError, "cannot be differentiated.*, expected no in-place operation.*modified by an inplace"),
        ("w.sum()", TypeError, "loss is a str, expected a closure that returns a scalar tensor, a Probe, or"),
    ],
)
def test_losses(measure, loss, error, message):
    refused(error, message, measure, loss, W)


@pytest.mark.parametrize("measure", SECOND)
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            lambda: Half.apply(W).sum(),
            "cannot be differentiated twice, expected operations that have second deriv.*once",
        ),
        (attention, r"SDPBackend\.MATH.*_scaled_dot_product_flash_attention_for_cpu_backward is not implemented"),
    ],
)
def test_no_second_derivative(measure, loss, message):
    refused(ValueError, message, measure, loss, W)


@pytest.mark.parametrize("measure", SECOND)
def test_weight_norm_whose_second_derivatives_torch_gets_wrong(measure, hessian_of):
    """Its Hessian is not even symmetric; without ``dim`` it is right."""
    x = torch.randn(6, 4, dtype=torch.float64)
    for dim in (0, 1, None):
        layer = weight_norm(nn.Linear(4, 3).double(), dim=dim)
        loss = lambda layer=layer: layer(x).exp().mean()  # noqa: E731
        hessian = hessian_of(loss(), layer.parameters())
        right = torch.allclose(hessian, hessian.T)
        assert right == (dim is None)  # once torch is mended, there is nothing to refuse
        if right:
            measure(loss, layer)
        else:
            refused(ValueError, "loss cannot be differentiated twice, expected .*weight_norm", measure, loss, layer)


def test_what_has_no_second_derivative_does_not_matter_elsewhere():
    """Neither below the parameters, nor where first derivatives are enough."""
    head = nn.Parameter(torch.ones(25))
    found = top_eigenvalues(lambda: torch.square(Half.apply(W) @ head), head)
    assert found.values[0] == pytest.approx(2 * float(W.detach().pow(4).sum()), rel=1e-5)
    assert sam_sharpness(lambda: Half.apply(W).sum(), W) > 0
    error = refused(ValueError, "twice, expected operations", top_eigenvalues, attention, W)
    assert isinstance(error.__cause__, RuntimeError)


@pytest.mark.parametrize("measure", SECOND)
def test_infinite_second_derivatives(measure):
    w = nn.Parameter(torch.zeros(30))
    refused(ValueError, "second derivative of the loss is NaN or infinite", measure, lambda: w.abs().pow(1.5).sum(), w)


def test_infinite_gradients():
    w = nn.Parameter(torch.zeros(3))
    refused(ValueError, "the gradient is NaN or infinite", sam_sharpness, lambda: w.sqrt().sum(), w)
    root = lambda: w.sqrt().sum()  # noqa: E731
    refused(ValueError, "a gradient is NaN or infinite", gradient_coherence, [root, root], w)
    refused(ValueError, "a gradient is NaN or infinite", fisher_trace, lambda: w.sqrt()[:, None], w, "gaussian")


def trains():
    optimizer = torch.optim.SGD([W], lr=0.1)
    W.grad = torch.ones_like(W)
    optimizer.step()
    return W.sum()


def edits():
    W.data.mul_(2)
    return W.square().sum()


@pytest.mark.parametrize("measure", CLOSURE)
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (trains, r"loss steps an optimizer \(SGD\), expected a closure that only computes losses"),
        (edits, r"loss changed a parameter of shape \[25\], expected a closure that only computes losses"),
    ],
)
def test_closures_that_train_are_undone(measure, loss, message):
    before = W.detach().clone()
    refused(ValueError, message, measure, loss, W)
    assert torch.equal(before, W)
    assert W.grad is None


@pytest.mark.parametrize("measure", CLOSURE)
@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (
            [],
            ValueError,
            "params holds no parameter that requires grad, expected at least one that is trained; a generator",
        ),
        ([torch.ones(3)], ValueError, "params holds no parameter that requires grad"),
        (["weight"], TypeError, "params holds a str, expected a module, parameters"),
        ([W * 2], ValueError, "params holds the result of a computation, expected parameters"),
        ([nn.Parameter(torch.ones(3) * 1j)], TypeError, r"complex numbers, of shape \[3\], expected real ones"),
        ([W, nn.Parameter(W.data)], ValueError, r"shapes \[25\] and \[25\] share memory, expected each number once"),
        ([nn.Parameter(W.data[3:7]), W], ValueError, r"shapes \[25\] and \[4\] share memory"),
        ([nn.Parameter(W.data[:1].expand(4))], ValueError, r"shape \[4\] holds a number more than once, expected each"),
    ],
)
def test_parameters(measure, params, error, message):
    refused(error, message, measure, lambda: W.square().sum(), params)


def test_neighbours_in_one_buffer_are_apart_and_a_parameter_given_twice_counts_once():
    buffer = torch.ones(6, dtype=torch.float64)
    a, b = nn.Parameter(buffer[:4]), nn.Parameter(buffer[4:])
    loss = lambda: a.square().sum() + b.square().sum()  # noqa: E731
    assert hessian_trace(loss, (p for p in [a, b, a]), 2).value == pytest.approx(12.0)


def square():
    return W.square().sum()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: top_eigenvalues(square, W, 0), ValueError, "k is 0, expected 1 to 25, the number of parameters"),
        (lambda: top_eigenvalues(square, W, 26), ValueError, "k is 26, expected 1 to 25"),
        (
            lambda: top_eigenvalues(square, W, which="smallest"),
            ValueError,
            "which is 'smallest', expected 'largest' or",
        ),
        (
            lambda: top_eigenvalues(square, W, tolerance=0),
            ValueError,
            "tolerance is 0, expected a number between 0 and",
        ),
        (lambda: top_eigenvalues(square, W, max_products=0), ValueError, "max_products is 0, expected at least 1"),
        (lambda: hessian_trace(square, W, 1), ValueError, "draws is 1, expected at least 2"),
        (
            lambda: hessian_trace(square, W, distribution="x"),
            ValueError,
            "distribution is 'x', expected 'rademacher' or",
        ),
        (lambda: sam_sharpness(square, W, 0.0), ValueError, "rho is 0.0, expected a positive number"),
        (lambda: sam_sharpness(square, W, math.inf), ValueError, "rho is inf, expected a positive number"),
        (
            lambda: sam_sharpness(square(), W),
            TypeError,
            "loss is a tensor, expected a closure or Probe: the loss is comp",
        ),
        (lambda: gradient_coherence([square], W), ValueError, r"1 minibatch\(es\), expected at least 2"),
        (lambda: gradient_coherence([], W), ValueError, r"0 minibatch\(es\), expected at least 2"),
        (lambda: gradient_coherence(square, W), TypeError, "losses is one function, expected a sequence of closures"),
        (
            lambda: gradient_coherence([square] * 2, W, minibatches=2),
            TypeError,
            "minibatches is given, expected it for a",
        ),
        (lambda: gradient_coherence(PROBE, W), TypeError, "minibatches is missing, expected into how many"),
        (lambda: gradient_coherence(PROBE, W, minibatches=1), ValueError, r"1 minibatch\(es\), expected at least 2"),
        (
            lambda: gradient_coherence(PROBE, W, minibatches=9),
            ValueError,
            "4 rows cannot be split into 9 parts, expected",
        ),
        (lambda: Probe(3, torch.ones(2)), TypeError, "function is a int, expected a callable"),
        (
            lambda: Probe(square, torch.ones(2), memory=0),
            ValueError,
            "memory is 0, expected a positive number of bytes",
        ),
        (lambda: Probe(square, torch.ones(2), rows=0), ValueError, "rows is 0, expected at least one row"),
        (lambda: Probe(square), ValueError, "an input without rows, expected tensors whose first dimension is rows"),
        (lambda: Probe(square, torch.ones(())), ValueError, "an input without rows, expected"),
        (lambda: Probe(square, torch.ones(0, 3)), ValueError, r"inputs have \[0\] rows, expected"),
        (
            lambda: Probe(square, torch.ones(2), {"a": torch.ones(3)}),
            ValueError,
            r"inputs have \[2, 3\] rows, expected",
        ),
        (lambda: Probe(square, torch.ones(2), 4), TypeError, "an input of the probe is a int, expected tensors"),
    ],
)
def test_options(call, error, message):
    refused(error, message, call)


PROBE = Probe(lambda x: (x * W.sum()).mean(), torch.ones(4))


def logits(rows=5, classes=3):
    return lambda: W.sum() * torch.ones(rows, classes)


@pytest.mark.parametrize(
    ("outputs", "likelihood", "options", "error", "message"),
    [
        (
            logits()(),
            "categorical",
            {},
            TypeError,
            "outputs is a Tensor, expected a closure or Probe that returns a tens",
        ),
        (logits(), "poisson", {}, ValueError, "likelihood is 'poisson', expected one of"),
        (logits(), "categorical", {"draws": 1}, ValueError, "draws is 1, expected at least 2"),
        (logits(), "categorical", {"group": 0}, ValueError, "group is 0, expected at least one row"),
        (logits(), "gaussian", {"variance": 0.0}, ValueError, "variance is 0.0, expected a positive number"),
        (lambda: W, "categorical", {}, ValueError, r"outputs have shape \[25\], expected logits \[B, C\]"),
        (W.sum, "gaussian", {}, ValueError, "outputs are a scalar, expected one row for each example"),
        (lambda: W[:, None] / 0, "bernoulli", {}, ValueError, "outputs hold NaN or infinity, expected finite"),
        (lambda: torch.ones(3, 2), "categorical", {}, ValueError, "outputs does not depend on any of the parameters"),
        (lambda: 3, "categorical", {}, TypeError, "outputs returns a int, expected a tensor"),
        (
            logits(),
            "categorical",
            {"targets": torch.ones(5)},
            ValueError,
            r"expected classes \(integers\) of shape \[5\]",
        ),
        (logits(), "categorical", {"targets": torch.ones(4).long()}, ValueError, r"of shape \[4\], expected classes"),
        (logits(), "categorical", {"targets": torch.full((5,), 3)}, ValueError, "class out of range, expected 0 to 2"),
        (logits(), "categorical", {"targets": torch.ones(6).long()}, ValueError, "targets have 6 rows, expected 5"),
        (logits(), "categorical", {"targets": [1] * 5}, TypeError, "targets are a list, expected a tensor"),
        (logits(5, 0), "categorical", {}, ValueError, r"outputs have shape \[5, 0\], expected at least one number"),
        (logits(0), "gaussian", {"group": 1}, ValueError, r"outputs have shape \[0, 3\], expected at least one number"),
        (logits(5, 1), "gaussian", {"targets": torch.full((5,), torch.nan)}, ValueError, "targets hold NaN or inf"),
        (logits(), "gaussian", {"targets": torch.ones(5)}, ValueError, r"targets have shape \[5\], expected \[5, 3\]"),
        (logits(5, 1), "bernoulli", {"targets": torch.full((5,), 2)}, ValueError, "outside of 0 to 1, expected labels"),
        (Probe(lambda x: x.sum() * W[:2, None], torch.ones(5)), "gaussian", {}, ValueError, "one output for each row"),
    ],
)
def test_fisher(outputs, likelihood, options, error, message):
    refused(error, message, fisher_trace, outputs, W, likelihood, **options)


def test_a_balanced_loss_needs_a_closure():
    encoder, fan = nn.Linear(3, 2), FanOut(MGDA(), ["a", "b"])
    z = fan(encoder(torch.ones(4, 3)))
    loss = z["a"].square().sum() + z["b"].sum()
    refused(ValueError, "went through a FanOut in train mode, expected a closure", top_eigenvalues, loss, encoder)
    losses = [z["b"].sum(), loss]
    refused(ValueError, "went through a FanOut in train mode", gradient_coherence, losses, encoder)
    assert fan.last is None


def test_want_of_memory_is_not_taken_for_a_loss_without_derivatives():
    def starved(_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    def loss():
        copy = W.clone()
        copy.register_hook(starved)
        return copy.sum()

    with pytest.raises(RuntimeError, match=r"^DefaultCPUAllocator"):
        sam_sharpness(loss, W)


def test_a_graph_that_was_freed():
    loss = W.exp().sum()
    loss.backward()
    refused(ValueError, "expected a graph that backward has not freed", top_eigenvalues, loss, W)
    W.grad = None


@pytest.mark.parametrize(
    ("gram", "tasks", "message"),
    [
        ([[1.0, 0.0]], None, r"gram has shape \[1, 2\], expected \[T, T\]"),
        ([], None, r"expected \[T, T\] with at least one task"),
        ([[1.0, 0.5], [-0.5, 1.0]], None, "gram is no Gram matrix, expected inner products: symmetric"),
        ([[1.0, 2.0], [2.0, 1.0]], None, "none larger than the product of the two norms"),
        ([[1.0]], ["a", "b"], r"tasks are \['a', 'b'\], expected 1 different names"),
        ([[1.0, 0.0], [0.0, 1.0]], ["a", "a"], "expected 2 different names"),
    ],
)
def test_conflict(gram, tasks, message):
    refused(ValueError, message, conflict, gram, tasks)


@pytest.mark.parametrize("measure", CLOSURE)
def test_parameters_that_a_reentrant_checkpoint_hides_are_told(measure):
    """They are not in the graph, and would count as if the loss did not depend on them."""
    first, second = nn.Linear(3, 3), nn.Linear(3, 1)
    x = torch.randn(4, 3, requires_grad=True)

    def loss(*, reentrant):
        return second(torch.tanh(checkpoint(first, x, use_reentrant=reentrant))).square().mean()

    message = (
        r"shape \[3, 3\] is out of reach of the loss, whose graph holds a reentrant checkpoint, expected checkpoint\("
    )
    refused(ValueError, message, measure, lambda: loss(reentrant=True), [*first.parameters(), *second.parameters()])
    measure(lambda: loss(reentrant=False), [*first.parameters(), *second.parameters()])
