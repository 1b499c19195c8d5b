"""Metrics of dense tasks are of all labelled pixels, however these come in batches or on ranks."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassAccuracy

from counterpoint import Task

from .dense_maps import CLASSES, degrees, distance, maps, pixels

SIZES = [1, 4, 60]


def in_batches(metric, outputs, targets, size):
    metric = metric.clone()
    for start in range(0, len(targets), size):
        metric.update(outputs[start : start + size], targets[start : start + size])
    return float(metric.compute())


def intersection_over_union(found):
    """By sets of pixels, class by class."""
    predicted = [int(output.argmax()) for output, _ in found]
    true = [int(target) for _, target in found]
    shares = []
    for label in set(predicted) | set(true):
        one, other = ({i for i, own in enumerate(labels) if own == label} for labels in (predicted, true))
        shares.append(len(one & other) / len(one | other))
    return np.mean(shares)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from(SIZES), st.sampled_from([0.0, 0.4]), st.integers(2, CLASSES))
def test_mean_intersection_over_union(seed, size, missing, present):
    outputs, targets = maps("segmentation", seed=seed, missing=missing)
    targets = targets.clamp(max=present - 1)
    outputs[:, present:] -= 100  # classes that are neither predicted nor true are left out
    task = Task.segmentation("a", CLASSES)
    expected = intersection_over_union(list(pixels(outputs, targets)))
    assert in_batches(task.metric, outputs, targets, size) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_pixel_accuracy_is_torchmetrics(size):
    outputs, targets = maps("segmentation")
    theirs = MulticlassAccuracy(CLASSES, average="micro", ignore_index=-100)(outputs, targets)
    ours = in_batches(Task.segmentation("a", CLASSES).others["pixel accuracy"], outputs, targets, size)
    assert ours == pytest.approx(float(theirs), rel=1e-6)
    assert 0 < ours < 1


@pytest.mark.parametrize("kind", ["offsets", "depth", "map"])
@pytest.mark.parametrize("size", SIZES)
def test_absolute_errors(kind, size):
    outputs, targets = maps(kind)
    expected = np.mean([distance(*pixel) for pixel in pixels(outputs, targets)])
    assert in_batches(getattr(Task, kind)("a").metric, outputs, targets, size) == pytest.approx(expected, rel=1e-12)


def test_relative_errors_leave_out_depths_that_are_not_positive():
    outputs, targets = maps("depth")
    targets[0], targets[1] = 0.0, -1.0
    kept = [(output, target) for output, target in pixels(outputs, targets) if target > 0]
    expected = np.mean([np.abs(output - target) / target for output, target in kept])
    found = in_batches(Task.depth("a").others["relative error"], outputs, targets, 4)
    assert found == pytest.approx(expected, rel=1e-12)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from(SIZES), st.sampled_from([0.05, 2.0]))
def test_angles(seed, size, noise):
    outputs, targets = maps("normals", seed=seed)
    outputs = 3 * targets.nan_to_num(0.5) + noise * outputs
    found = np.array([degrees(*pixel) for pixel in pixels(outputs, targets)])
    task = Task.normals("a")
    assert in_batches(task.metric, outputs, targets, size) == pytest.approx(found.mean(), rel=1e-9)
    median = in_batches(task.others["median angle"], outputs, targets, size)
    assert median == pytest.approx(np.median(found), abs=0.0051)
    for bound in (11.25, 22.5, 30.0):
        within = in_batches(task.others[f"within {bound:g}"], outputs, targets, size)
        assert within == pytest.approx((found < bound).mean(), rel=1e-6)


def test_small_and_straight_angles_keep_their_digits_in_single_precision():
    angles = torch.tensor([0.0, 1e-3, 0.1, 90.0, 179.9, 180.0], dtype=torch.float64)
    vectors = torch.stack([angles.deg2rad().cos(), angles.deg2rad().sin(), torch.zeros(6)], 0)[None, :, None, :]
    normal = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    for angle, vector in zip(angles.tolist(), vectors.float().unbind(-1), strict=True):
        assert float(Task.normals("a").metric(vector[..., None], normal)) == pytest.approx(angle, abs=2e-5)


def test_a_zero_vector_is_at_a_right_angle():
    task, normal = Task.normals("a"), torch.tensor([0.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
    assert float(task.metric(torch.zeros(1, 3, 1, 1), normal)) == pytest.approx(90)
    assert float(task.others["within 30"](torch.zeros(1, 3, 1, 1), normal)) == 0


def test_outputs_that_are_not_numbers_have_no_median_angle():
    outputs, targets = maps("normals")
    outputs[0, 0] = torch.nan
    assert math.isnan(float(Task.normals("a").others["median angle"](outputs, targets)))
    assert math.isnan(float(Task.normals("a").metric(outputs, targets)))


TASKS = [Task.segmentation("a", CLASSES), Task.offsets("a"), Task.depth("a"), Task.normals("a"), Task.map("a")]
METRICS = [
    pytest.param(kind, metric, id=f"{kind} {name}")
    for kind, task in zip(("segmentation", "offsets", "depth", "normals", "map"), TASKS, strict=True)
    for name, metric in {task.metric_name: task.metric, **task.others}.items()
]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize(("kind", "metric"), METRICS)
def test_ranks_sum_what_they_counted_and_without_a_label_nothing_is_said(kind, metric):
    outputs, targets = maps(kind)
    whole, first, second = metric.clone(), metric.clone(), metric.clone()
    whole.update(outputs, targets)
    first.update(outputs[:2], targets[:2])
    second.update(outputs[2:], targets[2:])
    assert {reduce.__name__ for reduce in whole._reductions.values()} == {"dim_zero_sum"}
    for state in whole._defaults:
        setattr(first, state, getattr(first, state) + getattr(second, state))
    first._computed = None
    torch.testing.assert_close(first.compute(), whole.compute())
    nothing = metric.clone()
    nothing.update(*maps(kind, missing=1.1))
    assert math.isnan(float(nothing.compute()))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.metric_name)
def test_dense_tasks_cross_to_other_processes(task):
    there = pickle.loads(pickle.dumps(task))  # noqa: S301
    assert (there.metric_name, there.direction, there.dense, there.likelihood) == (
        task.metric_name,
        task.direction,
        True,
        None,
    )
    assert list(there.others) == list(task.others)
    assert there.directions == task.directions


def test_what_each_task_says_is_better():
    expected = {
        "mIoU": {"mIoU": "maximize", "pixel accuracy": "maximize"},
        "absolute error": {"absolute error": "minimize", "relative error": "minimize"},
        "mean angle": {
            "mean angle": "minimize",
            "median angle": "minimize",
            "within 11.25": "maximize",
            "within 22.5": "maximize",
            "within 30": "maximize",
        },
        "L1": {"L1": "minimize"},
    }
    assert {task.metric_name: task.directions for task in TASKS} == expected
