"""Encoders and heads for images under a FanOut: several scales, dense outputs, other precision, and export."""

import copy
import io

import pytest
import torch
from torch import nn

from counterpoint import MGDA, FanOut, MultiTaskModel, Uniform
from counterpoint.models import ASPPHead, ConvHead, LinearHead, ResNet, ScalesHead, UNet, cost_of
from counterpoint.serving import ClassPath

TASKS = {"segmentation": 5, "offsets": 2, "depth": 1}


def model_of(kind, weighting, tasks=TASKS):
    torch.manual_seed(0)
    if kind == "scales":
        encoder = ResNet(18, width=4, stem="small", output="scales")
        heads = {task: ScalesHead(encoder.channels, n, hidden=8) for task, n in tasks.items()}
    elif kind == "map":
        encoder = ResNet(50, width=4, dilated=True, output="map")
        heads = {task: ASPPHead(encoder.channels, n, hidden=8, size=(16, 24)) for task, n in tasks.items()}
    elif kind == "unet":
        encoder = UNet(widths=(4, 8))
        heads = {task: ConvHead(encoder.channels, n, hidden=8) for task, n in tasks.items()}
    else:
        encoder = ResNet(18, width=4, stem="small", grid=2)
        heads = {task: LinearHead(encoder.channels, n) for task, n in tasks.items()}
    return MultiTaskModel(encoder, heads, FanOut(weighting, list(tasks)))


def images(dtype=torch.float64):
    return torch.rand(3, 3, 16, 24, dtype=dtype, generator=torch.Generator().manual_seed(1))


def losses_of(outputs):
    return {task: ((i + 1) * output - 1).square().mean() for i, (task, output) in enumerate(outputs.items())}


@pytest.mark.parametrize("kind", ["scales", "map", "unet", "pooled"])
def test_uniform_weights_are_the_plain_sum(kind):
    """A FanOut in evaluation hands the features on, and autograd knows nothing of it."""
    balanced = model_of(kind, Uniform()).double()
    plain = copy.deepcopy(balanced)
    plain.fan_out.eval()
    for model in (balanced, plain):
        sum(losses_of(model(images())).values()).backward()
    for (name, p), q in zip(balanced.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=1e-10, rtol=1e-10, msg=name)
    assert plain.fan_out.last is None
    assert all(p.grad.any() for p in balanced.parameters())


def test_the_gram_matrix_is_the_sum_over_scales():
    """Of what each head says of each scale: coarse scales come from fine ones, which must not be counted again."""
    model = model_of("scales", MGDA()).double()
    scales = [scale.detach().requires_grad_() for scale in copy.deepcopy(model.encoder)(images())]
    assert len(scales) == 4
    sum(losses_of(model(images())).values()).backward()
    own = losses_of({task: head(tuple(scales)) for task, head in model.heads.items()})
    rows = [torch.autograd.grad(loss, scales) for loss in own.values()]
    grams = [torch.stack([row[i].flatten() for row in rows]) for i in range(4)]
    parts = torch.stack([matrix @ matrix.T for matrix in grams])
    torch.testing.assert_close(model.fan_out.last.gram, parts.sum(0), rtol=1e-10, atol=1e-14)
    assert (parts.diagonal(dim1=1, dim2=2) > 0).all()
    # The update is the weighted sum, sent down once.
    weights = model.fan_out.last.weights
    encoder = copy.deepcopy(model.encoder)
    encoder.zero_grad()
    combined = [sum(w * row[i] for w, row in zip(weights, rows, strict=True)) for i in range(4)]
    torch.autograd.backward(encoder(images()), combined)
    for p, q in zip(model.encoder.parameters(), encoder.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["scales", "map", "unet", "pooled"])
def test_it_learns_in_half_precision_too(kind):
    model = model_of(kind, MGDA())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    first = last = 0.0
    for _ in range(12):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = model(images(torch.float32))
        loss = sum(losses_of({task: output.float() for task, output in outputs.items()}).values())
        loss.backward()
        optimizer.step()
        first, last = first or float(loss.detach()), float(loss.detach())
    assert last < first / 2
    sizes = {task: (3, n) if kind == "pooled" else (3, n, 16, 24) for task, n in TASKS.items()}
    assert {task: tuple(output.shape) for task, output in outputs.items()} == sizes


def test_cost_counts_each_convolution():
    encoder = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    model = MultiTaskModel(encoder, {"a": ConvHead(8, 2, hidden=4, factor=2)})
    cost = cost_of(model, torch.zeros(2, 3, 16, 24))
    assert cost.multiply_adds == 8 * 12 * (9 * 3 * 8 + 9 * 8 * 4 + 4 * 2)
    assert cost.parameters == (9 * 3 * 8 + 8) + (9 * 8 * 4 + 4) + (4 * 2 + 2)


@pytest.mark.parametrize("kind", ["scales", "unet"])  # two seconds; deeper encoders take longer and say no more
def test_export_with_any_number_of_images(kind):
    model = model_of(kind, Uniform(), {"depth": 1})
    if kind == "unet":
        heads = model.heads | {"segmentation": ASPPHead(4, 5, hidden=8), "attribute": LinearHead(4, 1)}
        model = MultiTaskModel(model.encoder, heads)
    model, x = model.eval(), images(torch.float32)
    program = torch.export.export(model, (x,), dynamic_shapes={"x": {0: torch.export.Dim("images")}})
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for number in (1, 3):
        torch.testing.assert_close(loaded(x[:number]), model(x[:number]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("ResNet", {"depth": 18, "width": 2, "output": "map", "dilated": True}, (1, 16, 2, 3)),
        ("UNet", {"widths": [4, 8], "norm": "group"}, (1, 4, 16, 24)),
        ("ConvHead", {"channels": 3, "outputs": 2, "size": [8, 8]}, (1, 2, 8, 8)),
        ("ASPPHead", {"channels": 3, "outputs": 2, "rates": [1, 2], "factor": 2}, (1, 2, 32, 48)),
        ("LinearHead", {"channels": 3, "outputs": 2}, (1, 2)),
    ],
)
def test_a_file_can_name_them(name, arguments, shape):
    """Config files and bundles build modules by class path, from what JSON can hold."""
    module = ClassPath.of(f"counterpoint.models.{name}", arguments).build()
    assert tuple(module.eval()(images(torch.float32)[:1]).shape) == shape
