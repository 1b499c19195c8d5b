"""The U-shaped network is its definition, layer after layer."""

import pytest
import torch
from torch.nn import functional

from counterpoint.models import UNet, multiply_adds


def plain(state, x, steps, groups):
    def twice(x, name):
        for position in (0, 3):
            x = functional.conv2d(
                x, state[f"{name}.{position}.weight"], state.get(f"{name}.{position}.bias"), padding=1
            )
            if groups:
                weight, bias = (state[f"{name}.{position + 1}.{part}"] for part in ("weight", "bias"))
                x = functional.group_norm(x, groups, weight, bias)
            x = x.relu()
        return x

    found = []
    for step in range(steps + 1):
        x = twice(functional.max_pool2d(x, 2) if step else x, f"down.{step}")
        found.append(x)
    for step in range(steps):
        above = found[steps - 1 - step]
        x = functional.conv_transpose2d(x, state[f"up.{step}.weight"], state[f"up.{step}.bias"], stride=2)
        x = twice(torch.cat([above, x], 1), f"join.{step}")
    return x


@pytest.mark.parametrize("norm", ["group", "none"])
@pytest.mark.parametrize("widths", [(8,), (8, 16), (8, 16, 24)])
def test_forward_is_the_definition(norm, widths):
    torch.manual_seed(0)
    encoder = UNet(2, widths, norm).double()
    for p in encoder.parameters():
        p.data.add_(0.1 * torch.randn_like(p))
    x = torch.rand(2, 2, 12, 20, dtype=torch.float64)
    found = encoder(x)
    torch.testing.assert_close(found, plain(encoder.state_dict(), x, len(widths) - 1, 8 if norm == "group" else 0))
    assert found.shape == (2, encoder.channels, 12, 20)


def test_batches_are_normalized_and_groups_are_not():
    torch.manual_seed(0)
    x = torch.rand(3, 3, 8, 8)
    for norm, alone in (("batch", False), ("group", True), ("none", True)):
        encoder = UNet(widths=(4, 8), norm=norm)
        assert torch.allclose(encoder(x)[:1], encoder(x[:1]), atol=1e-5) is alone


def test_signals_neither_vanish_nor_explode_without_normalization():
    torch.manual_seed(0)
    features = UNet(widths=(16, 32, 64), norm="none")(torch.randn(2, 3, 32, 32))
    assert 0.1 < float(features.detach().std()) < 10


def test_cost_by_hand():
    encoder = UNet(3, (4, 8))
    fine = 9 * (3 * 4 + 4 * 4) + 9 * (8 * 4 + 4 * 4)
    coarse = 9 * (4 * 8 + 8 * 8) + 8 * 4 * 4  # the last for the convolution that doubles: 4 products of each pixel
    assert multiply_adds(encoder, torch.zeros(2, 3, 16, 24)) == 16 * 24 * fine + 8 * 12 * coarse


@pytest.mark.parametrize("shape", [(1, 3, 8, 10), (1, 3, 6, 8), (1, 1, 8, 8), (3, 8, 8)])
def test_images_that_do_not_fit_get_one_line(shape):
    message = r"images have shape \[.*\], expected \[B, 3, H, W\] with H and W divisible by 4: resize or crop"
    with pytest.raises(ValueError, match=message) as caught:
        UNet()(torch.zeros(shape))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": ()}, "widths is empty"),
        ({"norm": "layer"}, "norm='layer' is unknown, expected one of batch, group,"),
    ],
)
def test_options_that_make_no_network_get_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        UNet(**options)
