"""Residual networks: torchvision's names, He et al.'s sums, and dilation that changes no weight's meaning."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from counterpoint.models import ResNet, multiply_adds
from counterpoint.models.resnet import DEVIATION, MEAN


def normalized(name, width):
    """Of torchvision's state dict: a batch normalization."""
    return {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")} | {
        f"{name}.num_batches_tracked": ()
    }


def block_table(name, convolutions, shortcut):
    table = {}
    for number, shape in enumerate(convolutions, 1):
        table |= {f"{name}.conv{number}.weight": shape} | normalized(f"{name}.bn{number}", shape[0])
    if shortcut:
        table |= {f"{name}.downsample.0.weight": shortcut} | normalized(f"{name}.downsample.1", shortcut[0])
    return table


def table_18():
    """Names and shapes of torchvision.models.resnet18 without its fc: 120 tensors."""
    table = {"conv1.weight": (64, 3, 7, 7)} | normalized("bn1", 64)
    for name, first, second, shortcut in (
        ("layer1.0", (64, 64, 3, 3), (64, 64, 3, 3), None),
        ("layer1.1", (64, 64, 3, 3), (64, 64, 3, 3), None),
        ("layer2.0", (128, 64, 3, 3), (128, 128, 3, 3), (128, 64, 1, 1)),
        ("layer2.1", (128, 128, 3, 3), (128, 128, 3, 3), None),
        ("layer3.0", (256, 128, 3, 3), (256, 256, 3, 3), (256, 128, 1, 1)),
        ("layer3.1", (256, 256, 3, 3), (256, 256, 3, 3), None),
        ("layer4.0", (512, 256, 3, 3), (512, 512, 3, 3), (512, 256, 1, 1)),
        ("layer4.1", (512, 512, 3, 3), (512, 512, 3, 3), None),
    ):
        table |= block_table(name, [first, second], shortcut)
    return table


def table_50():
    """Names and shapes of torchvision.models.resnet50 without its fc: 318 tensors."""
    table = {"conv1.weight": (64, 3, 7, 7)} | normalized("bn1", 64)
    for stage, length, entering, width in ((1, 3, 64, 64), (2, 4, 256, 128), (3, 6, 512, 256), (4, 3, 1024, 512)):
        leaving = 4 * width
        for number in range(length):
            before = entering if number == 0 else leaving
            shapes = [(width, before, 1, 1), (width, width, 3, 3), (leaving, width, 1, 1)]
            table |= block_table(f"layer{stage}.{number}", shapes, None if number else (leaving, before, 1, 1))
    return table


@pytest.mark.parametrize("dilated", [False, True])
@pytest.mark.parametrize(
    ("depth", "table", "counts"),
    # The counts and multiply-adds of torchvision's documentation (1.814 and 4.089 G), less those of fc.
    [
        (18, table_18(), (120, 11_176_512, 1_814_073_344 - 512_000)),
        (50, table_50(), (318, 23_508_032, 4_089_184_256 - 2_048_000)),
    ],
)
def test_names_shapes_and_counts_are_torchvisions(depth, table, counts, dilated):
    tensors, parameters, products = counts
    with torch.device("meta"):
        encoder = ResNet(depth, dilated=dilated)
        image = torch.zeros(1, 3, 224, 224)
    found = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    assert found == table
    assert len(found) == tensors
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    if not dilated:
        assert multiply_adds(encoder, image) == products


def test_torchvisions_weights_load_and_their_classifier_stays_behind():
    weights = ResNet(18, width=4).state_dict() | {"fc.weight": torch.zeros(10, 32), "fc.bias": torch.zeros(10)}
    encoder = ResNet(18, width=4, dilated=True, normalize=True)
    result = encoder.load_state_dict(weights, strict=False)
    assert (result.missing_keys, sorted(result.unexpected_keys)) == ([], ["fc.bias", "fc.weight"])
    assert torch.equal(encoder.conv1.weight, weights["conv1.weight"])
    assert encoder.conv1.weight.is_contiguous(memory_format=torch.channels_last)


def plain(state, x, depth, stem="imagenet"):
    """The network by its definition, layer after layer, in evaluation; the four stages' maps."""

    def convolved(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return functional.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)

    def normal(x, name):
        mean, variance, scale, shift = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    x = normal(convolved(x, "conv1", 2 if stem == "imagenet" else 1), "bn1").relu()
    if stem == "imagenet":
        x = functional.max_pool2d(x, 3, 2, 1)
    scales = []
    for stage, length in enumerate((2, 2, 2, 2) if depth == 18 else (3, 4, 6, 3), 1):
        for number in range(length):
            name, stride = f"layer{stage}.{number}", 2 if stage > 1 and number == 0 else 1
            past = x
            if f"{name}.downsample.0.weight" in state:
                past = normal(convolved(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            strides = (stride, 1) if depth == 18 else (1, stride, 1)
            for which, step in enumerate(strides, 1):
                x = normal(convolved(x, f"{name}.conv{which}", step), f"{name}.bn{which}")
                x = x.relu() if which < len(strides) else (x + past).relu()
        scales.append(x)
    return scales


def trained(**options):
    """In evaluation, with statistics and scales as if it had seen something."""
    torch.manual_seed(0)
    encoder = ResNet(**options).double().eval()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_mean, module.bias.data):
                value.normal_(0, 0.3)
            for value in (module.running_var, module.weight.data):
                value.uniform_(0.5, 1.5)
    return encoder


@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("depth", [18, 50])
@torch.no_grad()
def test_forward_is_the_papers(depth, stem):
    encoder = trained(depth=depth, stem=stem, width=4, output="scales")
    x = torch.rand(2, 3, 37, 50, dtype=torch.float64)
    expected, found = plain(encoder.state_dict(), x, depth, stem), encoder(x)
    torch.testing.assert_close(list(found), expected)
    assert encoder.channels == tuple(scale.shape[1] for scale in found)
    encoder.output = "map"
    torch.testing.assert_close(encoder(x), expected[-1])
    encoder.output = "pooled"
    torch.testing.assert_close(encoder(x), expected[-1].mean((2, 3)))


@pytest.mark.parametrize("depth", [18, 50])
@torch.no_grad()
def test_dilated_maps_hold_the_strided_ones_every_few_pixels(depth):
    strided = trained(depth=depth, width=4, output="scales")
    dilated = trained(depth=depth, width=4, output="scales", dilated=True)
    x = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    assert strided.stride == (4, 8, 16, 32)
    assert dilated.stride == (4, 8, 8, 8)
    for coarse, fine, before, after in zip(strided(x), dilated(x), strided.stride, dilated.stride, strict=True):
        every = before // after
        assert fine.shape[2:] == (64 // after, 96 // after)
        torch.testing.assert_close(fine[..., ::every, ::every], coarse)


@torch.no_grad()
def test_pooled_into_cells_and_normalized_images():
    encoder = trained(stem="small", width=4, grid=2, normalize=True)
    x = torch.rand(2, 3, 32, 48, dtype=torch.float64)
    mean, deviation = (torch.tensor(values).double()[:, None, None] for values in (MEAN, DEVIATION))
    expected = plain(encoder.state_dict(), (x - mean) / deviation, 18, "small")[-1]
    cells = [expected[:, :, rows, columns].mean((2, 3)) for rows in _halves(4) for columns in _halves(6)]
    torch.testing.assert_close(encoder(x), torch.stack(cells, 2).flatten(1), atol=1e-6, rtol=1e-6)  # fp32 constants
    assert encoder.channels == encoder(x).shape[1] == 4 * 32
    assert ResNet(width=2, stem="small", grid=2).channels == 2 * 8 * 4


def _halves(length):
    return slice(0, length // 2), slice(length // 2, length)


def test_starting_anew_is_starting():
    """Copies of a module that somebody gave are started layer by layer, and must not lose He et al.'s start."""
    torch.manual_seed(0)
    encoder = ResNet(18, width=16)
    before = copy.deepcopy(encoder.state_dict())
    for module in encoder.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    for name, value in encoder.state_dict().items():
        if value.ndim == 4 and value.shape[2] == 3:
            assert not torch.equal(value, before[name])
            expected = (2 / (value.shape[0] * 9)) ** 0.5
            assert float(value.std()) == pytest.approx(expected, rel=0.1)
            assert float(before[name].std()) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 34}, "depth=34 is unknown, expected one of 18, 50"),
        ({"output": "all"}, "output='all' is unknown, expected one of pooled, map, scales"),
        ({"stem": "big"}, "stem='big' is unknown, expected one of imagenet, small"),
        ({"grid": 0}, "grid is 0, expected at least 1"),
        ({"normalize": True, "inputs": 1}, "normalize with inputs=1, expected RGB images"),
    ],
)
def test_options_that_make_no_network_get_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        ResNet(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 1, 32, 32)])
def test_images_of_another_form_get_one_line(shape):
    with pytest.raises(ValueError, match=r"images have shape \[.*\], expected \[B, 3, H, W\]"):
        ResNet(width=2)(torch.zeros(shape))


@pytest.mark.parametrize(("width", "size"), [(4, 32), (6, 31), (5, 9)])
def test_narrow_networks_train(width, size):
    """PyTorch 2.13 on CPUs corrupts memory in a strided 1 x 1 convolution of few channels in channels-last layout."""
    torch.manual_seed(0)
    encoder = ResNet(18, width=width, stem="small")
    images = torch.rand(16, 3, size, size)
    plain = copy.deepcopy(encoder).double()
    for module in plain.modules():
        if isinstance(module, nn.Conv2d):
            module.forward = partial(nn.Conv2d.forward, module)  # as PyTorch convolves, in fp64, which does no harm
    for _ in range(6):
        encoder.zero_grad()
        encoder(images).square().mean().backward()
    plain(images.double()).square().mean().backward()
    for mine, theirs in zip(encoder.parameters(), plain.parameters(), strict=True):
        assert float((mine.grad - theirs.grad).norm()) <= 1e-2 * float(theirs.grad.norm()) + 1e-7
