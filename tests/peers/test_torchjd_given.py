"""TorchJD's own objects where a weighting is expected: what they do there they do here."""

import pytest
import torch
import torchjd.aggregation as theirs
import torchjd.scalarization as scalarizers
from torch import nn

from counterpoint import FanOut, backward
from counterpoint.balancing.weightings.torchjd_given import of_torchjd

TASKS = ["a", "b", "c"]
MADE = {
    "UPGrad": theirs.UPGrad,
    "MGDA": theirs.MGDA,
    "AlignedMTL": theirs.AlignedMTL,
    "IMTLG": theirs.IMTLG,
    "DualProj": theirs.DualProj,
    "Krum": lambda: theirs.Krum(n_byzantine=0),
    "Mean": theirs.Mean,
    "Sum": theirs.Sum,
    "Constant": lambda: theirs.Constant(torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)),
    "ConFIG": theirs.ConFIG,
    "TrimmedMean": lambda: theirs.TrimmedMean(trim_number=1),
    "UPGradWeighting": theirs.UPGradWeighting,
    "MeanWeighting": theirs.MeanWeighting,
}


def losses_of(seed=0):
    torch.manual_seed(seed)
    encoder, heads = nn.Linear(4, 5).double(), {t: nn.Linear(5, 2).double() for t in TASKS}
    features = encoder(torch.randn(6, 4, dtype=torch.float64))
    return encoder, heads, features


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("way", ["layer", "function"])
def test_an_aggregator_combines_the_gradients_as_torchjd_does(name, way):
    encoder, heads, features = losses_of()
    rows = torch.stack(
        [
            torch.autograd.grad((heads[t](features) - at).square().mean(), features, retain_graph=True)[0].flatten()
            for at, t in enumerate(TASKS)
        ]
    )
    given = MADE[name]()
    expected = given(rows @ rows.T) @ rows if name == "UPGradWeighting" else given(rows)
    expected = expected @ rows if name == "MeanWeighting" else expected
    features.retain_grad()
    if way == "layer":
        fan = FanOut(MADE[name](), TASKS)
        z = fan(features)
        fan.sum({t: (heads[t](z[t]) - at).square().mean() for at, t in enumerate(TASKS)}).backward()
    else:
        losses = {t: (heads[t](features) - at).square().mean() for at, t in enumerate(TASKS)}
        backward(losses, MADE[name](), features=features)
    torch.testing.assert_close(features.grad.flatten(), expected, rtol=1e-6, atol=1e-9)
    assert encoder.weight.grad.abs().max() > 0


def test_what_takes_losses_or_is_of_another_kind_is_refused_in_one_line():
    with pytest.raises(TypeError, match=r"scalarizer of TorchJD, which takes losses, expected get_weighting\('geomet"):
        FanOut(scalarizers.GeometricMean(), TASKS)
    with pytest.raises(TypeError, match="is a class"):
        FanOut(theirs.UPGrad, TASKS)


def test_names_are_theirs_and_state_is_kept():
    weighting = of_torchjd(theirs.TrimmedMean(trim_number=1))
    assert repr(weighting) == repr(theirs.TrimmedMean(trim_number=1))
    with pytest.raises(ValueError, match="needs the gradients themselves"):
        weighting(torch.eye(3))
    aggregator = theirs.UPGrad()
    for _ in range(2):  # one object, again and again
        _, heads, features = losses_of()
        losses = {t: (heads[t](features) - at).square().mean() for at, t in enumerate(TASKS)}
        record = backward(losses, aggregator, features=features)
    assert record.weights.shape == (3,)
