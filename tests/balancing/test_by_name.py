"""Every weighting by name: it is found, it says what it needs, and it can be saved, copied and given to a FanOut."""

import copy
import io
import pickle
import subprocess
import sys

import pytest
import torch

from counterpoint import MGDA, Weighting, get_weighting, weighting_names
from counterpoint.balancing.step import Step
from counterpoint.balancing.weightings.as_torchjd import as_torchjd
from counterpoint.balancing.weightings.crmogm import CRMOGM

TASKS = ("a", "b", "c", "d")
NEEDED = {
    "cagrad": {"c": 0.4},
    "constant": {"weights": [1, 2, 3, 4]},
    "cosmos": {"lambda_": 1.0, "weights": [0.1, 0.2, 0.3, 0.4]},
    "crmogm": {"weighting": "gradvac"},
    "krum": {"n_byzantine": 0},
    "pbi": {"theta": 5.0, "weights": [0.1, 0.2, 0.3, 0.4]},
    "stch": {"mu": 0.1},
    "torchjd-fairgrad": {"alpha": 1.0},
    "trimmedmean": {"trim_number": 1},
}


def make(name, **options):
    return get_weighting(name, **{**NEEDED.get(name, {}), **options})


def bound(name, tasks=TASKS, **options):
    weighting = make(name, **options)
    weighting.bind(tasks)
    return weighting


def step_of(seed, present=TASKS, tasks=TASKS, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(len(tasks), 9, dtype=torch.float64, generator=generator)
    losses = torch.rand(len(tasks), dtype=torch.float64, generator=generator) + 0.5
    index = [tasks.index(task) for task in present]
    rows, losses = rows[index], losses[index]
    return rows, Step(tuple(tasks), tuple(present), rows @ rows.T, losses, scale)


def take(weighting, seed, **options):
    rows, step = step_of(seed, **options)
    torch.manual_seed(seed)
    return weighting.combine_rows(rows, step)[0] if weighting.needs_rows else weighting.weigh(step)


def trained(name, **options):
    weighting = bound(name, **options)
    for seed in range(3):
        take(weighting, seed)
        if weighting.needs_reevaluation:
            weighting.reevaluated({task: torch.rand(()) + 0.1 for task in TASKS})
        weighting.epoch_ended()
    return weighting


def test_ours_come_first_and_every_method_of_torchjd_follows():
    names = weighting_names()
    ours = ("dibs", "fairgrad", "gradnorm", "mgda", "nash", "uniform")
    assert names[: len(ours)] == ours
    assert list(names[len(ours) :]) == sorted(names[len(ours) :])
    known = (
        "alignedmtl cagrad config constant cosmos crmogm dualproj dwa excessmtl famo geometricmean graddrop gradvac "
        "imtlg imtll krum mean modo nashmtl pbi pcd pcgrad random sdmgrad stch sum torchjd-fairgrad torchjd-mgda "
        "trimmedmean upgrad uw"
    )
    assert set(names) >= set(known.split())


@pytest.mark.parametrize("name", weighting_names())
def test_every_name_makes_a_weighting_that_weighs(name):
    weighting = bound(name)
    assert isinstance(weighting, Weighting)
    assert torch.isfinite(take(weighting, 0)).all()
    assert "\n" not in repr(weighting)


@pytest.mark.parametrize("spelling", ["imtlg", "IMTL-G", "imtl_g", "IMTL G", "torchjd-imtlg", "TorchJD-IMTL-G"])
def test_spelling_does_not_matter(spelling):
    assert repr(get_weighting(spelling)) == "IMTLG()"


def test_the_prefix_leads_to_torchjds_method():
    assert isinstance(get_weighting("mgda"), MGDA)
    assert not isinstance(get_weighting("torchjd-mgda"), MGDA)


@pytest.mark.parametrize("name", weighting_names())
@pytest.mark.parametrize("how", ["deepcopy", "pickle", "state_dict", "unbound state_dict"])
def test_what_is_remembered_survives(name, how):
    old = trained(name)
    if how == "deepcopy":
        new = copy.deepcopy(old)
    elif how == "pickle":
        new = pickle.loads(pickle.dumps(old))  # noqa: S301
    else:
        file = io.BytesIO()
        torch.save(old.state_dict(), file)
        file.seek(0)
        new = bound(name) if how == "state_dict" else make(name)
        if name == "gradnorm" and how != "state_dict":
            new.bind(TASKS)
        new.load_state_dict(torch.load(file, weights_only=True))
    for seed in (7, 8):
        torch.testing.assert_close(take(new, seed), take(old, seed), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["gradvac", "pcd", "crmogm", "excessmtl", "modo", "nashmtl", "dwa", "famo"])
def test_memory_matters(name):
    """The round trips above would pass on methods that forget everything."""
    options = {"update_weights_every": 100} if name == "nashmtl" else {}
    assert not torch.equal(take(trained(name, **options), 7), take(bound(name, **options), 7))


def test_nash_mtl_keeps_its_weights_across_a_checkpoint():
    old, new = trained("nashmtl", update_weights_every=100), bound("nashmtl", update_weights_every=100)
    new.load_state_dict(old.state_dict())
    torch.testing.assert_close(take(new, 7), take(old, 7))


@pytest.mark.parametrize("name", weighting_names())
def test_absent_tasks_have_no_say_and_do_not_disturb_the_others(name):
    weighting = trained(name)
    assert len(take(weighting, 5, present=("a", "c", "d"))) in (3, 9)
    assert torch.isfinite(take(weighting, 6)).all()
    assert torch.isfinite(take(weighting, 7, present=("b", "c", "d"))).all()


@pytest.mark.parametrize("name", ["gradvac", "pcd", "nashmtl"])
def test_a_set_of_tasks_meets_only_its_own_memory(name):
    both, alone = bound(name), bound(name)
    for seed in range(3):
        take(both, seed, present=("a", "c", "d"))
        take(alone, seed, present=("a", "c", "d"))
        take(both, seed + 100, present=("a", "b", "d"))
    torch.testing.assert_close(take(both, 9, present=("a", "c", "d")), take(alone, 9, present=("a", "c", "d")))


def test_options_with_one_value_a_task_are_cut_to_those_present():
    present = ("b", "d")
    assert take(bound("constant"), 0, present=present).tolist() == [2, 4]
    cut = bound("alignedmtl", tasks=present, pref_vector=[0.2, 0.7])
    full = bound("alignedmtl", pref_vector=[0.1, 0.2, 0.4, 0.7])
    torch.testing.assert_close(
        take(full, 0, present=present), cut.weigh(Step(present, present, step_of(0, present)[1].gram))
    )
    assert take(bound("pcd", tau=[0.1, 0.2, 0.3]), 0, present=("a", "c")).shape == (2,)
    assert take(bound("pcd"), 0, present=("b", "c")).tolist() == [0, 0]  # nobody leads
    assert take(bound("graddrop", leak=[1, 1, 1, 1]), 0, present=present).tolist() == pytest.approx(
        step_of(0, present)[0].sum(0).tolist()
    )


def test_crmogm_smooths_task_by_task():
    smooth = CRMOGM(lambda gram: gram.diagonal(), alpha=0.5)
    smooth.bind(("a", "b"))
    gram = torch.diag(torch.tensor([1.0, 2.0]))
    smooth.weigh(Step(("a", "b"), ("a",), gram[:1, :1]))
    assert smooth.weigh(Step(("a", "b"), ("a", "b"), 3 * gram)).tolist() == [2.0, 6.0]
    assert smooth.weigh(Step(("a", "b"), ("b",), gram[1:, 1:])).tolist() == [4.0]
    assert smooth.weigh(Step(("a", "b"), ("a", "b"), 0 * gram)).tolist() == [1.0, 2.0]


def test_crmogm_passes_everything_on_to_what_it_smooths():
    smooth = get_weighting("crmogm", weighting="famo")
    smooth.bind(TASKS)
    assert smooth.needs_losses
    assert smooth.needs_reevaluation
    first = take(smooth, 0)
    smooth.reevaluated({"a": torch.tensor(9.0), "b": torch.tensor(0.1)})
    assert not torch.equal(take(smooth, 0), first)


def test_the_number_of_tasks_may_come_later_or_now():
    late, now = get_weighting("uw"), get_weighting("uw", shape=4)
    assert not list(late.parameters())
    assert [p.shape for p in now.parameters()] == [(4,)]
    late.bind(TASKS)
    assert [p.shape for p in late.parameters()] == [(4,)]
    late.bind(TASKS)
    assert get_weighting("uw")(torch.eye(3), torch.ones(3)).tolist() == [0.5, 0.5, 0.5]
    assert get_weighting("nashmtl", n_tasks=2)(torch.eye(2)).shape == (2,)


def test_asking_for_ours_does_not_import_torchjd():
    code = (
        "import sys; from counterpoint.balancing.weightings.by_name import get_weighting; "
        "from counterpoint.balancing.weightings.as_torchjd import as_torchjd; "
        "get_weighting('mgda'); assert 'torchjd' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr("torchjd._mixins.find_spec", lambda _: None)
    for name in ("cagrad", "nashmtl"):
        assert name in weighting_names()
        with pytest.raises(ImportError, match=rf"weighting '{name}' cannot be used.*pip install") as caught:
            make(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        (lambda: get_weighting("mgad"), "unknown weighting 'mgad'.*try 'mgda'"),
        (lambda: get_weighting("cagrat"), "try .*'cagrad'"),
        (lambda: get_weighting("mgda", speed=9), "'mgda' does not take these options: 'speed'; its options: solver"),
        (lambda: get_weighting("uniform", x=1), "does not take these options: 'x'; its options: none"),
        (lambda: get_weighting("cagrad", d=1), "does not take these options: 'd'; its options: c, norm_eps"),
        (lambda: get_weighting("cagrad"), r"needs the option 'c': get_weighting\('cagrad', c=...\)"),
        (lambda: get_weighting("cagrad", c=-1), "weighting 'cagrad': c must be non-negative"),
        (lambda: get_weighting("upgrad", pref_vector="abc"), "pref_vector='abc' is no vector"),
        (lambda: get_weighting("uw", shape=3).bind(TASKS), "is for 3 tasks, expected as many, got 4: a, b, c, d"),
        (lambda: get_weighting("constant", weights=[1, 2])(torch.eye(3)), "is for 2 tasks"),
        (lambda: bound("uw").bind(("x", "y", "z", "w")), "was made for the tasks a, b, c, d.*make a new weighting"),
        (lambda: trained("gradvac").bind(("x", "y")), "remembers steps of the tasks a, b, c, d"),
        (lambda: trained("crmogm").bind(("x", "y")), "remembers steps of the tasks"),
        (lambda: bound("gradvac", ("x",)).load_state_dict(trained("gradvac").state_dict()), "is for the tasks a, b"),
        (lambda: get_weighting("uw")(torch.eye(2)), "needs losses"),
        (
            lambda: bound("uw").weigh(Step(TASKS, TASKS, torch.eye(4))),
            r"UW\(\) needs the losses, expected fan.sum\(losses\)",
        ),
        (lambda: get_weighting("graddrop")(torch.eye(2)), "needs the gradients themselves.*FanOut or backward"),
        (lambda: get_weighting("modo")(torch.ones(2, 3)), "expected a square one"),
        (lambda: get_weighting("crmogm", weighting="graddrop"), "crmogm smooths weights"),
        (lambda: get_weighting("crmogm", weighting="mgda", alpha=2), "alpha=2, expected a number from 0 to 1"),
        (lambda: as_torchjd(get_weighting("dwa")), "needs the losses.*use FanOut or backward"),
        (lambda: as_torchjd(get_weighting("graddrop")), "needs the gradients themselves"),
        (lambda: as_torchjd(get_weighting("modo")), "needs two batches"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(fails, message):
    with pytest.raises(ValueError, match=message) as caught:
        fails()
    assert "\n" not in str(caught.value)


def test_levels_say_where_a_method_makes_sense():
    assert get_weighting("cagrad", c=0.4).levels == ("features", "parameters")
    assert get_weighting("excessmtl").levels == ("parameters",)
    assert get_weighting("sdmgrad").levels == get_weighting("modo").levels == ()
    assert all(get_weighting(name).why_not for name in ("excessmtl", "sdmgrad", "modo"))


@pytest.mark.parametrize("name", ["imtlg", "alignedmtl"])
def test_weights_that_ignore_a_common_factor_do_so_at_any_size(name):
    torch.manual_seed(0)
    rows = torch.randn(3, 8, dtype=torch.float64)
    gram = rows @ rows.T
    expected = get_weighting(name)(gram)
    assert expected.abs().max() > 0
    for factor in (1e-24, 1e-8, 1e14, 1e30):
        torch.testing.assert_close(get_weighting(name)(factor * gram), expected, rtol=1e-6, atol=1e-9)


def test_nashmtl_of_one_task_alone_bounds_it():
    pytest.importorskip("cvxpy")
    for gram, weight in ((0.25, 1.0), (16.0, 0.25)):
        weighting = get_weighting("torchjd-nashmtl" if "torchjd-nashmtl" in weighting_names() else "nashmtl")
        assert weighting(torch.tensor([[gram]], dtype=torch.float64)).tolist() == pytest.approx([weight])
