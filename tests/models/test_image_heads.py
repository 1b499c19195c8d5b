"""Heads for images are their definitions, and give outputs of the targets' size."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from counterpoint.models import ASPPHead, ConvHead, LinearHead, PyramidHead, ResNet, ScalesHead, multiply_adds, start_at
from counterpoint.models.convolution import Convolution, enlarged


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def interpolated(row, length):
    """One row of pixels at another length, in plain Python: linear between centres, constant beyond the outermost."""
    values = []
    for position in range(length):
        place = min(max((position + 0.5) * len(row) / length - 0.5, 0), len(row) - 1)
        left = math.floor(place)
        right, share = min(left + 1, len(row) - 1), place - left
        values.append((1 - share) * row[left] + share * row[right])
    return values


@given(*(st.integers(1, 6) for _ in range(2)), *(st.integers(1, 13) for _ in range(2)))
def test_enlarging_is_bilinear_between_centres(height, width, rows, columns):
    x = np.random.default_rng(0).normal(size=(height, width))
    wide = np.array([interpolated(row, columns) for row in x])
    expected = np.array([interpolated(column, rows) for column in wide.T]).T
    found = enlarged(torch.tensor(x)[None, None], (rows, columns))
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-12)


def test_linear_head_takes_maps_by_their_means():
    head, x = LinearHead(8, 3), torch.rand(4, 8, 5, 6)
    torch.testing.assert_close(head(x), head(x.mean((2, 3))))
    torch.testing.assert_close(head(x.mean((2, 3))), x.mean((2, 3)) @ head.linear.weight.T + head.linear.bias)


def convolve(layer, x, dilation=1):
    return functional.conv2d(
        x, layer.weight, layer.bias, padding=dilation * (layer.weight.shape[2] // 2), dilation=dilation
    )


def test_conv_head():
    head, x = ConvHead(8, 3, hidden=16, factor=2), torch.rand(2, 8, 5, 6)
    expected = convolve(head.predict, convolve(head.hidden[0], x).relu())
    assert head(x).shape == (2, 3, 10, 12)
    torch.testing.assert_close(head(x), functional.interpolate(expected, scale_factor=2, mode="bilinear"))
    head.factor = 1
    torch.testing.assert_close(head(x), expected)
    assert multiply_adds(head, x) == 5 * 6 * (9 * 8 * 16 + 16 * 3)


def test_aspp_head():
    head = ASPPHead(8, 3, hidden=16, rates=(1, 2, 3), size=(7, 9)).double()
    x = torch.rand(2, 8, 5, 6, dtype=torch.float64)

    def normal(module, x):
        groups = x.unflatten(1, (8, 2))
        variance, mean = torch.var_mean(groups, (2, 3, 4), correction=0, keepdim=True)
        x = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
        return (x * module.weight[:, None, None] + module.bias[:, None, None]).relu()

    branches = [
        normal(part[1], convolve(part[0], x, rate)) for part, rate in zip(head.branches, (1, 2, 3), strict=True)
    ]
    assert [part[0].weight.shape[2] for part in head.branches] == [1, 3, 3]
    whole = convolve(head.whole[0], x.mean((2, 3), keepdim=True)).relu().expand(2, 16, 5, 6)
    joined = normal(head.project[1], convolve(head.project[0], torch.cat([*branches, whole], 1)))
    expected = functional.interpolate(convolve(head.predict, joined), (7, 9), mode="bilinear")
    torch.testing.assert_close(head(x), expected)


@pytest.mark.parametrize(
    "head",
    [
        LinearHead(8, 1),
        ConvHead(8, 1, hidden=4, factor=3),
        ASPPHead(8, 1, hidden=8, size=(7, 9)),
        PyramidHead(8, 1, size=(7, 9)),
    ],
    ids=lambda head: type(head).__name__,
)
def test_outputs_start_where_they_are_told(head):
    """A depth whose mean is far from 0 is reached at once, wherever the targets' size is."""
    head, x = head.eval(), torch.rand(2, 8, 5, 6)
    before = head(x)
    start_at(head, 4.0)
    torch.testing.assert_close(head(x), before + 4.0)


def test_an_image_alone_trains_by_groups():
    x = torch.rand(1, 8, 5, 6)
    head = ASPPHead(8, 3, hidden=8)
    head(x).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    assert head.whole[0].weight.grad.any()
    batches = ASPPHead(8, 3, hidden=8, norm="batch").eval()
    assert batches(x).shape == (1, 3, 5, 6)


def test_pyramid_head():
    head = PyramidHead(8, 3, norm="none", grids=(1, 2, 5)).double()
    x = torch.rand(2, 8, 5, 7, dtype=torch.float64)
    parts = [x]
    for grid, branch in zip((1, 2, 5), head.branches, strict=True):
        edges = [[(length * i // grid, -(-length * (i + 1) // grid)) for i in range(grid)] for length in (5, 7)]
        cells = [[x[..., a:b, c:d].mean((2, 3)) for c, d in edges[1]] for a, b in edges[0]]
        means = torch.stack([torch.stack(row, -1) for row in cells], -2)
        parts.append(functional.interpolate(convolve(branch[0], means).relu(), (5, 7), mode="bilinear"))
    expected = convolve(head.predict, convolve(head.join[0], torch.cat(parts, 1)).relu())
    torch.testing.assert_close(head(x), expected)


def test_pyramid_head_of_few_channels():
    assert PyramidHead(3, 2).branches[0][0].out_channels == 1
    assert PyramidHead(3, 2, factor=2)(torch.rand(2, 3, 6, 7)).shape == (2, 2, 12, 14)


def test_the_published_head_is_heavy():
    """Its multiply-adds a pixel of the map, against those of the dilated encoder's last two stages."""
    with torch.device("meta"):
        head = PyramidHead(2048, 19)
        x = torch.zeros(1, 2048, 32, 64)
        encoder = ResNet(50, dilated=True, output="map")
        share = multiply_adds(head, x) / multiply_adds(encoder, torch.zeros(1, 3, 256, 512))
    assert 0.7 < share < 0.9


def test_scales_head():
    head = ScalesHead([4, 8, 16], 3, hidden=5, factor=2)  # a list, as from a file
    scales = torch.rand(2, 4, 8, 12), torch.rand(2, 8, 4, 6), torch.rand(2, 16, 4, 6)
    fine, *coarse = (convolve(lateral, scale) for lateral, scale in zip(head.lateral, scales, strict=True))
    joined = fine + sum(functional.interpolate(x, (8, 12), mode="bilinear") for x in coarse)
    expected = convolve(head.predict, convolve(head.hidden[0], joined).relu())
    torch.testing.assert_close(head(scales), functional.interpolate(expected, (16, 24), mode="bilinear"))
    with pytest.raises(ValueError, match="argument"):
        head(scales[:2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvHead(8, 3, factor=0), "factor is 0, expected at least 1"),
        (lambda: ConvHead(8, 3, size=(0, 4)), r"size is \(0, 4\), expected height and width"),
        (lambda: ASPPHead(8, 3, size=(4,)), r"size is \(4,\), expected height and width"),
        (lambda: ASPPHead(8, 3, rates=()), r"rates are \(\), expected at least one dilation"),
        (lambda: PyramidHead(8, 3, grids=()), r"grids are \(\), expected at least one"),
        (lambda: ScalesHead((), 3), "channels is empty"),
        (lambda: ASPPHead(8, 3, norm="layer"), "norm='layer' is unknown"),
        (lambda: Convolution(8, 3, 4), "kernel=4, expected an odd side"),
    ],
)
def test_options_that_make_no_head_get_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
