"""DiBS where a task is done: nothing overflows, and ``recent=`` lets a task pull by what is usual for it."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from counterpoint import DiBS, FanOut
from counterpoint.balancing.step import Step

SEEDS = st.integers(0, 10**6)


def grams(seed, T, count):
    """Gram matrices of a training whose gradients change their norms from batch to batch."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        vectors = torch.from_numpy(rng.normal(size=(T, 12)) * 10 ** rng.uniform(-3, 3, size=(T, 1)))
        yield vectors @ vectors.T


def pulls(weighting, matrices):
    """[steps, T]: with which length each task pulls."""
    return torch.stack([weighting(gram) * gram.diagonal().sqrt() for gram in matrices])


@given(SEEDS, st.integers(1, 6), st.sampled_from([1, 4]))
def test_dibs_is_blind_to_factors_that_vary_from_step_to_step(seed, T, steps):
    rng = np.random.default_rng(seed)
    slopes = [torch.from_numpy(10 ** rng.uniform(-9, 9, size=T)) for _ in range(5)]
    disguised = [gram * f * f[:, None] for gram, f in zip(grams(seed, T, 5), slopes, strict=True)]
    expected = pulls(DiBS(steps), grams(seed, T, 5))
    torch.testing.assert_close(pulls(DiBS(steps), disguised), expected, rtol=1e-9, atol=1e-12)


@given(SEEDS, st.integers(1, 6), st.sampled_from([1, 4]), st.integers(1, 20))
def test_recent_is_blind_to_constant_factors(seed, T, steps, recent):
    factors = torch.from_numpy(10 ** np.random.default_rng(seed).uniform(-9, 9, size=T))
    disguised = [gram * factors * factors[:, None] for gram in grams(seed, T, 8)]
    expected = pulls(DiBS(steps, recent=recent), grams(seed, T, 8))
    torch.testing.assert_close(pulls(DiBS(steps, recent=recent), disguised), expected, rtol=1e-9, atol=1e-12)


def test_recent_sees_factors_that_vary():
    gram = torch.eye(1, dtype=torch.float64)
    assert pulls(DiBS(recent=10), [gram, gram]).tolist() == [[1.0], [1.0]]
    assert pulls(DiBS(recent=10), [gram, gram * 1e-4])[1].item() == pytest.approx(1e-2 * math.sqrt(2), rel=1e-3)


@given(SEEDS, st.integers(1, 6), st.integers(1, 20), st.floats(0.1, 10))
def test_no_task_pulls_longer_than_without(seed, T, recent, radius):
    assert (pulls(DiBS(radius=radius, recent=recent), grams(seed, T, 8)) <= radius * (1 + 1e-12)).all()


@given(SEEDS, st.integers(1, 6), st.sampled_from([1, 5]))
def test_norms_that_stay_the_same_leave_the_published_method(seed, T, steps):
    (gram,) = grams(seed, T, 1)
    torch.testing.assert_close(pulls(DiBS(steps, recent=3), [gram] * 6), pulls(DiBS(steps), [gram] * 6))


def test_the_mean_is_that_of_all_steps_then_a_moving_one():
    weighting, norms = DiBS(recent=3), [1.0, 2.0, 4.0, 0.5, 0.25]
    found = [weighting(torch.tensor([[norm**2]], dtype=torch.float64)).item() for norm in norms]
    mean, expected = 0.0, []
    for count, norm in enumerate(norms, 1):
        mean += (norm**2 - mean) / min(count, 3)
        expected.append(1 / max(norm, math.sqrt(mean)))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("length", [1e-35, 0.0])
def test_faint_gradients_are_remembered_and_weigh_nothing(length):
    weighting = DiBS(recent=2)
    found = [weighting(torch.tensor([[norm**2]], dtype=torch.float64)).item() for norm in (length, 1.0, length)]
    assert found == [0.0, 1.0, 0.0]


def test_absent_tasks_keep_their_memory():
    weighting, eye = DiBS(recent=5), torch.eye(2, dtype=torch.float64)
    weighting.weigh(Step(("a", "b", "c"), ("a", "c"), eye * 4))
    weighting.weigh(Step(("a", "b", "c"), ("a",), eye[:1, :1] * 4))
    assert weighting.remembered()["counts"].tolist() == [2, 0, 1]
    last = weighting.weigh(Step(("a", "b", "c"), ("b", "c"), eye))
    assert last.tolist() == pytest.approx([1.0, 1 / math.sqrt(2.5)])


@pytest.mark.parametrize("cast", [lambda module: module, nn.Module.half, nn.Module.bfloat16, nn.Module.float])
def test_a_restored_state_goes_on_alike(cast):
    first, *rest = list(grams(0, 3, 6))
    here = FanOut(DiBS(recent=4), list("abc"))
    here.weighting(first)
    there = FanOut(DiBS(recent=4), list("abc"))
    there.load_state_dict(here.state_dict())
    fresh = DiBS(recent=4)
    fresh.load_state_dict(here.weighting.state_dict())
    expected = pulls(copy.deepcopy(here.weighting), rest)
    torch.testing.assert_close(pulls(fresh, rest), expected)
    torch.testing.assert_close(pulls(cast(there).weighting, rest), expected, rtol=0.1, atol=1e-3)


def test_without_recent_there_is_no_state():
    assert FanOut(DiBS(), ["a", "b"]).state_dict() == {}
    assert all(isinstance(own, torch.Tensor) for own in FanOut(DiBS(recent=2), ["a", "b"]).state_dict().values())


def test_another_number_of_tasks_gets_one_line():
    weighting = DiBS(recent=5)
    weighting(torch.eye(2))
    with pytest.raises(ValueError, match="remembers 2 tasks, expected as many, got 3") as caught:
        weighting(torch.eye(3))
    assert "\n" not in str(caught.value)
    for wrong in (0, 1.5, True):
        with pytest.raises(ValueError, match=f"recent={wrong}, expected a whole number of at least 1, or None"):
            DiBS(recent=wrong)


def trained(weighting, steps, heads="own"):
    """Two common tasks and one that hardly any batch has labels of; the largest feature, parameter and accuracies."""
    torch.manual_seed(0)
    x = torch.randn(1024, 8)
    y = {"a": (x[:, 0] > 0).float(), "b": (x[:, 1] > 0).float(), "rare": (x[:, 2] > 3.1).float()}
    encoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
    modules = nn.ModuleDict({task: nn.Linear(32, 1) for task in y})
    fan = FanOut(weighting, list(y), heads=heads, head_modules=dict(modules.items()))
    parameters = [*encoder.parameters(), *modules.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-2)
    for _ in range(steps):
        rows = torch.randint(0, len(x), (64,))
        own = fan(encoder(x[rows]))
        losses = {t: binary_cross_entropy_with_logits(modules[t](own[t])[:, 0], y[t][rows]) for t in y}
        optimizer.zero_grad()
        fan.sum(losses).backward()
        optimizer.step()
    with torch.no_grad():
        z = encoder(x)
        right = [((modules[task](z)[:, 0] > 0) == (y[task] > 0.5)).double().mean().item() for task in "ab"]
    return z.abs().max().item(), max(p.abs().max().item() for p in parameters), min(right)


@pytest.mark.traced(1)
@pytest.mark.parametrize("heads", ["own", "weighted"])
@pytest.mark.parametrize("make", [DiBS, lambda: DiBS(steps=3), lambda: DiBS(recent=100)])
def test_a_task_with_rare_labels_does_not_end_the_training(make, heads):
    feature, parameter, accuracy = trained(make(), 300, heads)
    assert feature < 1e3
    assert parameter < 50
    assert accuracy > 0.9


def test_with_recent_features_stay_as_short_as_under_the_plain_sum():
    def uniform(gram):
        return torch.ones(len(gram))

    longest, guarded, plain = (trained(make, 300)[0] for make in (DiBS(), DiBS(recent=100), uniform))
    assert guarded < 1.5 * plain
    assert longest > 2 * guarded
