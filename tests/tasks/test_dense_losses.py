"""Losses of dense tasks are means over labelled pixels, with finite gradients whatever is missing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import Task
from counterpoint.tasks.missing import known

from .dense_maps import CHANNELS, CLASSES, OF_A_PIXEL, maps, pixels

KINDS = list(CHANNELS)


def task_of(kind, **options):
    if kind == "segmentation":
        return Task.segmentation("a", CLASSES, **options)
    return getattr(Task, kind)("a", **options)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), missing=st.sampled_from([0.0, 0.3, 0.9]))
def test_a_loss_is_the_mean_over_labelled_pixels(kind, seed, missing):
    outputs, targets = maps(kind, rows=2, seed=seed, missing=missing)
    found = [OF_A_PIXEL[kind](*pixel) for pixel in pixels(outputs, targets)]
    expected = sum(found) / max(len(found), 1)
    assert float(task_of(kind).loss(outputs, targets)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_loss_and_zero_where_nothing_is_known(kind):
    outputs, targets = maps(kind, rows=2, missing=0.5)
    outputs.requires_grad_()
    loss = task_of(kind).loss
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), outputs)
    loss(outputs, targets).backward()
    unknown = targets == -100 if kind == "segmentation" else targets[:, 0].isnan()
    assert unknown.any()
    assert (outputs.grad.movedim(1, -1)[unknown] == 0).all()
    assert (outputs.grad.movedim(1, -1)[~unknown].abs().sum(1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_a_label_costs_zero_and_has_a_gradient_of_zero(kind):
    outputs, targets = maps(kind, missing=1.1)
    loss = task_of(kind).loss(outputs.requires_grad_(), targets)
    assert float(loss.detach()) == 0
    loss.backward()
    assert torch.equal(outputs.grad, torch.zeros_like(outputs))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_outputs_are_single_precision(kind, dtype):
    outputs, targets = maps(kind, dtype=torch.float32)
    half = outputs.to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        loss = task_of(kind).loss(half, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, task_of(kind).loss(half.float(), targets), rtol=1e-6, atol=0)


@pytest.mark.parametrize("width", [torch.int8, torch.int16, torch.int32])
def test_classes_may_be_integers_of_any_width(width):
    outputs, targets = maps("segmentation")
    task = task_of("segmentation")
    assert torch.equal(task.loss(outputs, targets.to(width)), task.loss(outputs, targets))
    for metric in (task.metric, *task.others.values()):
        of_narrow, of_wide = (float(metric(outputs, own)) for own in (targets.to(width), targets))
        assert of_narrow == of_wide


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), length=st.floats(0.01, 1e6))
def test_the_length_of_a_predicted_normal_does_not_matter(seed, length):
    outputs, targets = maps("normals", rows=1, seed=seed)
    unit, task = torch.nn.functional.normalize(outputs, dim=1), task_of("normals")
    torch.testing.assert_close(task.loss(length * unit, targets), task.loss(unit, targets))


def test_from_a_zero_vector_the_gradient_leads_towards_the_normal():
    normal = torch.tensor([0.0, 0.6, -0.8]).reshape(1, 3, 1, 1)
    outputs = torch.zeros(1, 3, 1, 1, requires_grad=True)
    loss = task_of("normals").loss(outputs, normal)
    assert float(loss.detach()) == 1
    loss.backward()
    torch.testing.assert_close(outputs.grad, -normal / 1e-3)


@pytest.mark.parametrize(
    ("kind", "outputs", "targets"),
    [
        ("segmentation", [2, CLASSES, 3, 3], [2, 4, 4]),
        ("segmentation", [2, 3, 3], [2, 3, 3]),
        ("depth", [2, 1, 3, 3], [2, 3, 3]),  # would broadcast to [2, 2, 3, 3]
        ("normals", [2, 1, 3, 3], [2, 3, 3, 3]),
    ],
)
def test_shapes_that_do_not_fit_get_one_line(kind, outputs, targets):
    dtype = torch.int64 if kind == "segmentation" else torch.float32
    with pytest.raises(ValueError, match=r"^outputs have shape \[.*\], expected .*\[2, .*3, 3\]|expected \[2, classes"):
        task_of(kind).loss(torch.zeros(outputs), torch.zeros(targets, dtype=dtype))


def test_classes_that_the_outputs_do_not_have_get_one_line():
    outputs, targets = maps("segmentation")
    targets[0, 0, 0] = 7
    with pytest.raises(
        ValueError, match=r"^targets hold classes from -100 to 7, expected 0 to 3 .*, or -100"
    ) as raised:
        task_of("segmentation").loss(outputs, targets.to(torch.int8))
    assert "\n" not in str(raised.value)


def test_unsigned_targets_miss_nothing():
    assert known(torch.tensor([0, 156, 255], dtype=torch.uint8)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_with_any_label_is_labelled(kind):
    targets = maps(kind, missing=1.1)[1].clone()
    targets[2].view(-1)[7] = 1
    mask = task_of(kind, partial=True).labelled(targets)
    assert mask.tolist() == [False, False, True, False, False, False]
    assert task_of(kind).labelled(targets) is None
    assert int(task_of(kind).labels(targets)) == 1
