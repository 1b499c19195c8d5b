"""Losses and metrics of numbers and counts are what torch and scikit-learn compute."""

import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_poisson_deviance, roc_auc_score, root_mean_squared_error
from torch.nn import functional

from counterpoint import Task
from counterpoint.trajectory import fisher_trace

ROWS = 257


def rows(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(ROWS, 1, generator=generator, dtype=dtype)
    return outputs, torch.poisson((outputs.squeeze(1) + 1).exp(), generator=generator)


def in_batches(metric, outputs, targets, size=50):
    for start in range(0, len(targets), size):
        metric.update(outputs[start : start + size], targets[start : start + size])
    return float(metric.compute())


def test_regression_is_in_the_labels_unit():
    outputs, _ = rows()
    labels = torch.linspace(-3, 40, ROWS, dtype=torch.float64)
    mean, scale = labels.mean(), float(labels.std(correction=0))
    targets = (labels - mean) / scale
    task = Task.regression("price", scale=scale, metric_name="RMSE in dollars")
    torch.testing.assert_close(task.loss(outputs, targets), functional.mse_loss(outputs.squeeze(1), targets) / 2)
    expected = root_mean_squared_error(labels.numpy(), (outputs.squeeze(1) * scale + mean).numpy())
    assert in_batches(task.metric, outputs, targets) == pytest.approx(expected, rel=1e-12)
    assert (task.metric_name, task.direction, task.unit) == ("RMSE in dollars", "minimize", scale)
    nothing = Task.regression("price", scale=scale)
    assert in_batches(nothing.metric, torch.zeros(ROWS, 1), targets) / nothing.unit == pytest.approx(1)
    assert Task.regression("price", scale=scale, unit=2.0).unit == 2.0


def test_the_regression_loss_is_the_likelihood_that_the_task_names():
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(3, 1).double(), torch.randn(64, 3, dtype=torch.float64)
    targets, task = torch.randn(64, dtype=torch.float64), Task.regression("price")
    trace = fisher_trace(lambda: layer(x), layer, task.likelihood, targets=targets, group=1)
    squares = 0.0
    for row, target in zip(x, targets, strict=True):
        gradients = torch.autograd.grad(task.loss(layer(row[None]), target[None]), tuple(layer.parameters()))
        squares += sum(float(gradient.square().sum()) for gradient in gradients)
    assert trace.value == pytest.approx(squares / 64)


def test_counts():
    outputs, targets = rows()
    task = Task.count("visits")
    expected = mean_poisson_deviance(targets.numpy(), outputs.squeeze(1).exp().numpy())
    assert in_batches(task.metric, outputs, targets) == pytest.approx(expected, rel=1e-12)
    assert float(task.loss(outputs, targets)) == pytest.approx(expected / 2, rel=1e-12)
    assert (task.metric_name, task.direction, task.likelihood) == ("Poisson deviance", "minimize", None)
    dispersed = Task.count("visits", dispersion=4.0)
    assert float(dispersed.loss(outputs, targets)) == pytest.approx(expected / 8, rel=1e-12)
    assert in_batches(dispersed.metric, outputs, targets) == pytest.approx(expected, rel=1e-12)
    ours, theirs = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
    task.loss(ours, targets).backward()
    functional.poisson_nll_loss(theirs.squeeze(1), targets, log_input=True, full=False).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(-30, 30)), min_size=1, max_size=5))
def test_the_loss_of_counts_is_never_negative_and_zero_where_right(pairs):
    counts, logarithms = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
    loss = Task.count("visits").loss
    assert float(loss(logarithms, counts)) >= -1e-9
    assert float(loss(counts.clamp(min=1e-300).log(), counts)) == pytest.approx(0, abs=1e-8)


def test_large_counts_keep_their_digits_in_single_precision():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(900_000, 1_100_000, (ROWS,), generator=generator).double()
    outputs = targets.log() + 1e-3 * torch.randn(ROWS, generator=generator, dtype=torch.float64)
    loss = Task.count("visits").loss
    assert float(loss(outputs.float(), targets.float())) == pytest.approx(float(loss(outputs, targets)), rel=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_outputs_that_went_astray_find_their_way_back(dtype):
    outputs = torch.tensor([[90.0], [500.0], [-500.0]], dtype=dtype, requires_grad=True)
    loss = Task.count("visits").loss(outputs, torch.tensor([1, 0, 7]))
    loss.backward()
    gradient = outputs.grad.float().squeeze(1) if dtype != torch.float16 else None  # 1e13 is not a half
    assert torch.isfinite(loss)
    if gradient is not None:
        assert torch.isfinite(gradient).all()
        assert (gradient[:2] > 0).all()
        assert gradient[2] < 0


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("make", [Task.regression, Task.count])
def test_metrics_merge_as_ranks_do(make):
    outputs, targets = rows(dtype=torch.float32)
    whole, first, second = make("a").metric, make("a").metric, make("a").metric
    whole.update(outputs, targets)
    first.update(outputs[:100], targets[:100])
    second.update(outputs[100:], targets[100:])
    for state in ("total", "rows"):  # what torchmetrics does over ranks with states of dist_reduce_fx "sum"
        setattr(first, state, getattr(first, state) + getattr(second, state))
    assert {str(reduce.__name__) for reduce in whole._reductions.values()} == {"dim_zero_sum"}
    torch.testing.assert_close(first.compute(), whole.compute())
    whole.reset()
    assert np.isnan(float(whole.compute()))


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        (Task.regression("a", partial=True), [1.0, float("nan"), 0.0]),
        (Task.count("a", partial=True), [1.0, float("nan"), 0.0]),
        (Task.binary("a", partial=True), [1, -100, 0]),
        (Task.classification("a", classes=3, partial=True), [2, -100, 0]),
    ],
)
def test_rows_without_a_label(task, targets):
    targets = torch.tensor(targets)
    assert task.labelled(targets).tolist() == [True, False, True]
    blocks = torch.stack([targets, targets[[1, 1, 1]], targets[[1, 0, 2]]])
    assert task.labelled(blocks).tolist() == [True, False, True]


def test_without_missing_labels_nobody_looks_for_them():
    task = Task.regression("a")
    assert not task.partial
    assert task.labelled(torch.tensor([float("nan")])) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "task 'a': scale=0.0, expected a positive number"),
        ({"scale": float("nan")}, "task 'a': scale=nan, expected a positive number"),
        ({"unit": -1.0}, "task 'a': unit=-1.0, expected a positive number"),
        ({"unit": float("inf")}, "task 'a': unit=inf, expected a positive number"),
    ],
)
def test_scales_and_units_are_positive(options, message):
    with pytest.raises(ValueError, match=message):
        Task.regression("a", **options)
    with pytest.raises(ValueError, match="dispersion=0, expected a positive"):
        Task.count("a", dispersion=0)


@pytest.mark.parametrize("make", [Task.regression, Task.count, Task.binary])
def test_tasks_cross_to_other_processes(make):
    outputs, targets = rows()
    task = make("a", partial=True)
    there = pickle.loads(pickle.dumps(task))  # noqa: S301
    targets = targets.clamp(max=1)
    assert torch.equal(there.loss(outputs, targets), task.loss(outputs, targets))
    assert (there.name, there.unit, there.partial) == ("a", 1.0, True)


@given(st.lists(st.integers(-3, 4), min_size=4, max_size=40), st.integers(1, 9), st.randoms())
def test_the_area_under_the_curve_is_that_of_all_rows_whatever_a_batch_holds(scores, size, random):
    """torchmetrics' own takes batches whose logits all lie from 0 to 1 for probabilities."""
    outputs = torch.tensor(scores, dtype=torch.float32)[:, None] / 2
    targets = torch.tensor([0, 1, *(random.randint(0, 1) for _ in scores[2:])])
    expected = roc_auc_score(targets.numpy(), outputs[:, 0].numpy())
    assert in_batches(Task.binary("bought").metric.clone(), outputs, targets, size) == pytest.approx(
        expected, rel=1e-12
    )


def test_large_logits_are_not_equal_and_one_class_has_no_area():
    metric = Task.binary("bought").metric
    assert float(metric(torch.tensor([-1.0, 88.0, 90.0, 95.0]), torch.tensor([0, 0, 1, 1]))) == 1
    assert math.isnan(float(metric(torch.tensor([-1.0, 88.0]), torch.tensor([1, 1]))))
    metric.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert math.isnan(float(metric.compute()))
