"""Projections onto the dual cone, all at once, against TorchJD's quadratic programs."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchjd.aggregation import DualProjWeighting, UPGradWeighting
from torchjd.linalg import QuadprogProjector

from counterpoint import get_weighting
from counterpoint.balancing.weightings import many_projections, torchjd_projector
from counterpoint.balancing.weightings.torchjd_projector import PivotingProjector


def gram_of(seed, T, d, span):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(T, d, generator=generator, dtype=torch.float64)
    rows *= 10 ** (span * torch.rand(T, 1, generator=generator, dtype=torch.float64) - span / 2)
    return rows @ rows.T


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 40), st.sampled_from([0, 2, 6]))
def test_every_projection_is_that_of_the_quadratic_program(seed, T, d, span):
    gram = gram_of(seed, T, d, span)
    ours = PivotingProjector()(torch.eye(T, dtype=torch.float64), gram)
    theirs = QuadprogProjector()(torch.eye(T, dtype=torch.float64), gram)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_a_start_from_the_step_before_changes_nothing():
    warm = PivotingProjector()
    for step in range(20):
        gram = gram_of(step // 5, 12, 9, 2) + 0.01 * step * torch.eye(12, dtype=torch.float64)
        eye = torch.eye(12, dtype=torch.float64)
        torch.testing.assert_close(warm(eye, gram), PivotingProjector()(eye, gram), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "theirs"), [("upgrad", UPGradWeighting), ("dualproj", DualProjWeighting)])
def test_the_methods_that_use_it_have_torchjds_weights(name, theirs):
    for seed in range(10):
        gram = gram_of(seed, 15, 12, 3)
        torch.testing.assert_close(get_weighting(name)(gram), theirs()(gram), rtol=1e-6, atol=1e-8)
    assert get_weighting(name)(torch.zeros(3, 3, dtype=torch.float64)).tolist() == pytest.approx([1 / 3] * 3)


def test_a_projector_of_ones_own_is_used():
    weighting = get_weighting("upgrad", projector=QuadprogProjector(reg_eps=1e-2))
    gram = gram_of(0, 5, 3, 1)
    torch.testing.assert_close(weighting(gram), UPGradWeighting(projector=QuadprogProjector(reg_eps=1e-2))(gram))


@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 40), st.sampled_from([0, 2, 6]))
def test_conjugate_gradients_find_the_same_projections(seed, T, d, span):
    gram = gram_of(seed, T, d, span)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchjd_projector, "_MANY", 2)
        ours = PivotingProjector()(torch.eye(T, dtype=torch.float64), gram)
    theirs = QuadprogProjector()(torch.eye(T, dtype=torch.float64), gram)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def conflicting(kind, T=120):
    """Tasks in two camps, tasks that mostly agree, tasks in few dimensions, and plain noise."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(T, 240, generator=generator, dtype=torch.float64)
    common, sides = torch.randn(240, generator=generator), torch.randn(T, 1, generator=generator).sign()
    few = torch.randn(T, 10, generator=generator) @ torch.randn(10, 240, generator=generator)
    rows += {"camps": sides * common, "agree": 0.5 * common, "few": few, "noise": 0.0, "copies": 0.0}[kind]
    if kind == "copies":
        rows[1::2] = rows[::2]
    return rows @ rows.T


@pytest.mark.parametrize("kind", ["camps", "agree", "few", "noise", "copies"])
def test_many_tasks_have_the_weights_of_the_quadratic_programs(kind):
    gram = conflicting(kind)
    expected = UPGradWeighting()(gram)
    weighting = get_weighting("upgrad")
    torch.testing.assert_close(weighting(gram), expected, rtol=1e-6, atol=1e-8)
    nearby = gram + 0.01 * torch.diag(gram.diagonal())  # started from the sets before
    torch.testing.assert_close(weighting(nearby), UPGradWeighting()(nearby), rtol=1e-6, atol=1e-8)


def test_rows_that_do_not_come_to_an_end_are_solved_one_by_one(monkeypatch):
    gram = conflicting("few")
    expected = get_weighting("upgrad")(gram)
    monkeypatch.setattr(many_projections, "_CORRECTIONS", 1)
    torch.testing.assert_close(get_weighting("upgrad")(gram), expected, rtol=1e-7, atol=1e-10)
