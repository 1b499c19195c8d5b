"""TorchJD's methods through us equal TorchJD called directly; ours, handed to TorchJD, work there."""

import pytest
import torch
from torch import nn
from torchjd import aggregation, scalarization
from torchjd.aggregation import GramianWeightedAggregator, UPGradWeighting
from torchjd.autogram import Engine
from torchjd.autojac import backward as torchjd_backward
from torchjd.autojac import jac_to_grad

from counterpoint import MGDA, get_weighting
from counterpoint.balancing.step import Step
from counterpoint.balancing.weightings.as_torchjd import as_torchjd

TASKS = ("a", "b", "c", "d")


def rows_of(seed, T=4, N=9):
    return torch.randn(T, N, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def step_of(rows, losses=None, scale=1.0, present=TASKS):
    return Step(TASKS, present, rows @ rows.T, losses, scale)


def bound(name, **options):
    weighting = get_weighting(name, **options)
    weighting.bind(TASKS)
    return weighting


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("AlignedMTL", {"scale_mode": "rmse"}),
        ("CAGrad", {"c": 0.4}),
        ("DualProj", {}),
        ("FairGrad", {"alpha": 2.0}),
        ("GradVac", {"beta": 0.3}),
        ("IMTLG", {}),
        ("Krum", {"n_byzantine": 1}),
        ("MGDA", {}),
        ("PCD", {"tau": 0.1}),
        ("PCGrad", {}),
        ("Random", {}),
        ("UPGrad", {"pref_vector": torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)}),
    ],
)
def test_weights_equal_those_of_torchjd_on_the_same_gram_matrices(name, options):
    theirs, ours = getattr(aggregation, f"{name}Weighting")(**options), bound(f"torchjd-{name}", **options)
    for seed in range(3):  # several: some remember
        step = step_of(rows_of(seed))
        torch.manual_seed(seed)
        expected = theirs(step.gram)
        torch.manual_seed(seed)
        torch.testing.assert_close(ours.weigh(step), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        ("config", {}, aggregation.ConFIG()),
        ("config", {"pref_vector": [1, 2, 3, 4]}, aggregation.ConFIG(torch.tensor([1.0, 2, 3, 4]).double())),
        ("nashmtl", {}, aggregation.NashMTL(4)),
        ("nashmtl", {"update_weights_every": 2}, aggregation.NashMTL(4, update_weights_every=2)),
        ("krum", {"n_byzantine": 1, "n_selected": 2}, aggregation.Krum(1, 2)),
    ],
)
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
def test_the_gram_matrix_is_enough_where_torchjd_wants_rows(name, options, theirs):
    ours = bound(name, **options)
    for seed in range(3):
        rows = rows_of(seed) * torch.tensor([[1.0], [0.1], [3.0], [1.0]])
        torch.testing.assert_close(ours.weigh(step_of(rows)) @ rows, theirs(rows), rtol=1e-5, atol=1e-6)


def test_config_and_aligned_mtl_bear_duplicates_in_single_precision():
    rows = rows_of(0, N=5000).float()
    rows[3] = rows[1]
    gram = (rows @ rows.T).double()
    expected = aggregation.ConFIG()(rows.double())
    torch.testing.assert_close(
        bound("config").weigh(Step(TASKS, TASKS, gram)) @ rows.double(), expected, rtol=1e-3, atol=1e-2
    )
    exact = aggregation.AlignedMTLWeighting()(rows.double() @ rows.double().T)
    torch.testing.assert_close(bound("alignedmtl").weigh(Step(TASKS, TASKS, gram)), exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        ("graddrop", {}, aggregation.GradDrop()),
        ("graddrop", {"leak": [0, 0.5, 1, 1]}, aggregation.GradDrop(leak=torch.tensor([0, 0.5, 1, 1]).double())),
        ("trimmedmean", {"trim_number": 1}, aggregation.TrimmedMean(1)),
        ("excessmtl", {}, aggregation.ExcessMTL()),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 65536.0])
def test_methods_of_rows_equal_torchjds_whatever_the_loss_scale(name, options, theirs, scale):
    ours = bound(name, **options)
    for seed in range(3):
        rows = rows_of(seed)
        torch.manual_seed(seed)
        expected = theirs(rows)
        torch.manual_seed(seed)
        combined, weights = ours.combine_rows(rows * scale, step_of(rows, scale=scale))
        torch.testing.assert_close(combined / scale, expected)
        if weights is not None:
            torch.testing.assert_close(weights @ rows, expected)
    if hasattr(theirs, "reset"):
        theirs.reset()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("COSMOS", {"lambda_": 1.0, "weights": [0.1, 0.2, 0.3, 0.4]}),
        ("DWA", {}),
        ("FAMO", {"shape": 4}),
        ("GeometricMean", {}),
        ("IMTLL", {"shape": 4}),
        ("PBI", {"theta": 5.0, "weights": [0.1, 0.2, 0.3, 0.4], "reference": [0, 0, 0.1, 0]}),
        ("STCH", {"mu": 0.1, "weights": [0.1, 0.2, 0.3, 0.4]}),
        ("UW", {"shape": 4}),
    ],
)
def test_weights_of_a_scalarizer_are_its_derivatives(name, options):
    tensors = {key: torch.tensor(v).double() if isinstance(v, list) else v for key, v in options.items()}
    theirs, ours = getattr(scalarization, name)(**tensors), bound(name, **options)
    for p in (*theirs.parameters(), *ours.parameters()):
        p.data = torch.tensor([0.3, -0.2, 0.0, 1.0])
    losses = torch.tensor([0.5, 1.0, 2.0, 0.3], dtype=torch.float64, requires_grad=True)
    theirs(losses).backward()
    with torch.no_grad():
        weights = ours.weigh(step_of(rows_of(0), losses.detach(), scale=8.0))
    torch.testing.assert_close(weights, losses.grad)
    for p, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        if name == "FAMO":
            assert p.grad is None
            assert not p.requires_grad
        else:
            torch.testing.assert_close(p.grad, 8 * expected.grad)


def test_parameters_of_absent_tasks_wait():
    uw = bound("uw")
    losses = torch.tensor([2.0, 3.0]).double()
    with torch.no_grad():
        weights = uw.weigh(Step(TASKS, ("a", "c"), torch.eye(2), losses))
        assert weights.tolist() == [0.5, 0.5]
        (log_var,) = uw.parameters()
        torch.testing.assert_close(log_var.grad, torch.tensor([-0.5, 0.0, -1.0, 0.0]))
        uw.eval()
        uw.weigh(Step(TASKS, ("a", "c"), torch.eye(2), losses))
    torch.testing.assert_close(log_var.grad, torch.tensor([-0.5, 0.0, -1.0, 0.0]))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cosmos", {"lambda_": 1.0, "weights": [0.1, 0.2, 0.3, 0.4]}),
        ("geometricmean", {}),
        ("imtll", {}),
        ("pbi", {"theta": 5.0, "weights": [0.1, 0.2, 0.3, 0.4], "reference": [0, 0, 0.1, 0]}),
        ("stch", {"mu": 0.5}),
        ("stch", {"mu": 0.5, "weights": [0.1, 0.2, 0.3, 0.4]}),
        ("uw", {}),
    ],
)
def test_the_others_weights_are_those_of_a_training_without_the_absent_tasks(name, options):
    ours = bound(name, **options)
    ours.weigh(step_of(rows_of(0), torch.tensor([1.0, 20.0, 3.0, 40.0]).double()))
    losses = torch.tensor([2.0, 5.0]).double()
    weights = ours.weigh(Step(TASKS, ("a", "c"), torch.eye(2), losses))
    cut = {key: torch.tensor(v)[[0, 2]].tolist() if isinstance(v, list) else v for key, v in options.items()}
    alone = get_weighting(name, **cut)
    torch.testing.assert_close(weights, alone(torch.eye(2).double(), losses), rtol=1e-6, atol=1e-9)


def test_absent_tasks_do_not_change_the_shares_that_dwa_and_famo_give_the_others():
    dwa, famo = bound("dwa"), bound("famo")
    for slope in (1.0, 0.5):
        losses = torch.tensor([1.0, slope, 1.0, slope**2]).double()
        dwa.weigh(step_of(rows_of(0), losses))
        dwa.epoch_ended()
        famo.weigh(step_of(rows_of(0), losses))
        famo.reevaluated(dict(zip(TASKS, losses * torch.tensor([0.5, 0.9, 1.1, 1.0]), strict=True)))
    present = Step(TASKS, ("b", "d"), torch.eye(2), losses[[1, 3]])
    weights = dwa.weigh(present)
    torch.testing.assert_close(weights, 2 * torch.softmax(torch.tensor([0.5, 0.25]).double() / 2, 0))
    famo.eval()
    of_all = famo.weigh(step_of(rows_of(0), losses))[[1, 3]]
    weights = famo.weigh(present)
    torch.testing.assert_close(weights, of_all / of_all.sum())


def test_famo_does_not_favour_a_task_for_being_absent():
    """Its published update takes unchanged losses of an absent task for a task that fell behind."""
    famo, alone = bound("famo", weight_decay=0.0), get_weighting("famo", weight_decay=0.0)
    losses = torch.tensor([1.0, 2.0, 3.0]).double()
    present = TASKS[:3]
    for k in range(200):
        after = {task: losses[i] * (0.9, 0.8, 0.85)[i] for i, task in enumerate(present)}
        weights = famo.weigh(Step(TASKS, present, torch.eye(3), losses))
        torch.testing.assert_close(weights, alone(torch.eye(3).double(), losses), rtol=1e-2, atol=1e-3)
        famo.reevaluated(after)
        alone.reevaluated({str(i): after[task] for i, task in enumerate(present)})
        losses = losses * (1 + 0.1 * (-1) ** k)
    logits = next(famo.parameters())
    assert logits[:3].abs().max() > 0.05
    assert float(logits[3]) == 0


def test_famo_learns_from_reevaluated_losses_as_in_torchjd():
    theirs, ours = scalarization.FAMO(4), bound("famo")
    ours.reevaluated(dict.fromkeys(TASKS, torch.ones(())))  # before the first step: nothing
    for seed in range(5):
        before = torch.rand(4, generator=torch.Generator().manual_seed(seed)).double() + 0.1
        after = before * torch.tensor([0.5, 0.9, 1.1, 1.0])
        leaf = before.clone().requires_grad_()
        theirs(leaf).backward()
        torch.testing.assert_close(ours.weigh(step_of(rows_of(0), before)), leaf.grad)
        theirs.update(after)
        ours.reevaluated(dict(zip(TASKS, after, strict=True)))
    (logits,) = ours.parameters()
    assert logits.abs().max() > 0.05
    assert not logits.requires_grad


def test_dwa_follows_epochs():
    dwa = bound("dwa")
    for slope in (1.0, 0.5):
        losses = torch.tensor([1.0, slope, 1.0, 1.0]).double()
        assert dwa.weigh(step_of(rows_of(0), losses)).tolist() == [1, 1, 1, 1]
        dwa.epoch_ended()
    weights = dwa.weigh(step_of(rows_of(0), losses))
    rates = torch.tensor([1.0, 0.5, 1.0, 1.0]).double()
    torch.testing.assert_close(weights, 4 * torch.softmax(rates / 2, 0))


def test_crmogm_is_torchjds():
    theirs = aggregation.CRMOGMWeighting(UPGradWeighting(), alpha=0.7)
    ours = [
        bound("crmogm", weighting=inner, alpha=0.7) for inner in ("upgrad", get_weighting("UPGrad"), UPGradWeighting())
    ]
    for seed in range(4):
        step = step_of(rows_of(seed))
        expected = theirs(step.gram)
        for weighting in ours:
            torch.testing.assert_close(weighting.weigh(step), expected)


@pytest.mark.parametrize("name", ["MoDo", "SDMGrad"])
def test_products_of_two_batches_are_weighed_directly(name):
    matrix = rows_of(0) @ rows_of(1).T
    theirs, ours = getattr(aggregation, f"{name}Weighting")(), get_weighting(name)
    for _ in range(3):
        torch.testing.assert_close(ours(matrix), theirs(matrix))


@pytest.fixture
def parts():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    return model, torch.randn(16, 5, dtype=torch.float64)


def expected_gradients(model, x):
    losses = (model(x) - torch.arange(3.0)).square().mean(dim=0)
    jacobian = torch.stack(
        [
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)])
            for loss in losses
        ]
    )
    return MGDA()(jacobian @ jacobian.T) @ jacobian


def test_ours_in_torchjds_autojac(parts):
    model, x = parts
    losses = (model(x) - torch.arange(3.0)).square().mean(dim=0)
    torchjd_backward(losses)
    jac_to_grad(model.parameters(), GramianWeightedAggregator(as_torchjd(MGDA())))
    torch.testing.assert_close(torch.cat([p.grad.flatten() for p in model.parameters()]), expected_gradients(model, x))


def test_ours_in_torchjds_autogram(parts):
    model, x = parts
    expected = expected_gradients(model, x)
    engine = Engine(model, batch_dim=None)
    losses = (model(x) - torch.arange(3.0)).square().mean(dim=0)
    losses.backward(as_torchjd(MGDA())(engine.compute_gramian(losses)))
    torch.testing.assert_close(torch.cat([p.grad.flatten() for p in model.parameters()]), expected)
