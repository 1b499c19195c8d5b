"""PCGrad over all rows at once, against TorchJD's loop with the same random numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchjd.aggregation import PCGradWeighting

from counterpoint import get_weighting
from counterpoint.balancing.weightings import torchjd_pcgrad

from .test_torchjd_projector import gram_of


def both(gram, seed):
    torch.manual_seed(seed)
    ours = get_weighting("pcgrad")(gram)
    after = torch.rand(())
    torch.manual_seed(seed)
    theirs = PCGradWeighting()(gram)
    assert after == torch.rand(())  # as many random numbers
    return ours, theirs


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 40), st.sampled_from([0, 2, 6]))
def test_weights_are_torchjds_for_the_same_random_numbers(seed, T, d, span):
    ours, theirs = both(gram_of(seed, T, d, span), seed)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12 * float(theirs.abs().max()))


@pytest.mark.parametrize("T", [64, 65, 66, 130])
def test_weights_are_the_same_over_several_blocks(T):
    ours, theirs = both(gram_of(T, T, 50, 1), T)
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10 * float(theirs.abs().max()))


def test_the_size_of_a_block_makes_no_difference(monkeypatch):
    gram = gram_of(0, 40, 30, 1)
    expected = both(gram, 0)[1]
    for block in (1, 7, 39):
        monkeypatch.setattr(torchjd_pcgrad, "_BLOCK", block)
        torch.testing.assert_close(both(gram, 0)[0], expected, rtol=1e-9, atol=1e-11)


def test_a_zero_gradient_changes_nothing():
    gram = gram_of(0, 6, 4, 1)
    gram[2] = gram[:, 2] = 0
    ours, theirs = both(gram, 0)
    torch.testing.assert_close(ours, theirs)
    assert ours[2] == 1
