"""TorchJD's FairGrad as an oracle."""

import pytest
import torch
from torchjd.aggregation import FairGradWeighting

from counterpoint.balancing.weightings.fairgrad import FairGrad


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_fairgrad_equals_torchjds(alpha, seed):
    vectors = torch.randn(6, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.3
    gram = vectors @ vectors.T
    ours, theirs = FairGrad(alpha)(gram), FairGradWeighting(alpha)(gram)
    # least_squares stops at relative changes of 1e-8; ours satisfies the equation to 1e-10.
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert (gram @ ours - ours ** (-1 / alpha)).norm() <= (gram @ theirs - theirs ** (-1 / alpha)).norm() + 1e-8
