"""GradNorm: weights learned so that all tasks train at similar rates."""

import io
import math

import pytest
import torch

from counterpoint.balancing.step import Step
from counterpoint.balancing.weightings.gradnorm import GradNorm

TASKS = ("a", "b", "c")


def step_of(present, losses, norms=None, tasks=TASKS):
    norms = torch.ones(len(present)) if norms is None else torch.tensor(norms)
    losses = None if losses is None else torch.tensor(losses, dtype=torch.float64)
    return Step(tasks, tuple(present), torch.diag(norms.double() ** 2), losses)


def trained(steps=5):
    weighting = GradNorm(lr=0.1)
    weighting.bind(TASKS)
    for k in range(steps):
        weighting.weigh(step_of(TASKS, [1.0, 0.9**k, 0.8**k], [1.0, 2.0, 0.5]))
    return weighting


def test_two_steps_of_two_tasks_by_hand():
    weighting = GradNorm(alpha=1.0, lr=0.1)
    gram = torch.diag(torch.tensor([4.0, 1.0], dtype=torch.float64))  # norms 2 and 1
    losses = torch.tensor([3.0, 5.0], dtype=torch.float64)
    assert weighting(gram, losses).tolist() == [1, 1]
    # Equal rates: the mean norm 1.5 is the target of both; slopes (2, -1). Adam's first step is lr * sign:
    # (0.9, 1.1), which sums to 2 already.
    assert weighting(gram, losses * torch.tensor([1.0, 0.5])).tolist() == pytest.approx([0.9, 1.1])
    # Rates 1 and 0.5, relative 4/3 and 2/3; norms 1.8 and 1.1, mean 1.45, targets 1.933 and 0.967: slopes (-2, 1).
    # Adam: m = 0.9 * 0.1 g + 0.1 * -g = -0.01 g, over 1 - 0.9^2; v = g^2 (1 - 0.999^2), over the same: so the move is
    # 0.1 * 0.01/0.19 towards the first task.
    move = 0.1 * 0.01 / 0.19
    assert weighting(gram, losses).tolist() == pytest.approx([0.9 + move, 1.1 - move])


def test_weight_goes_to_the_task_that_trains_slowly():
    weighting = GradNorm()
    for k in range(20):
        weights = weighting(torch.eye(2), torch.tensor([1.0, 0.8**k]))
    assert weights[0] > 1.2
    assert float(weights.sum()) == pytest.approx(2)


def test_with_alpha_zero_the_gradient_norms_become_equal():
    weighting = GradNorm(alpha=0.0, lr=0.01)
    gram = torch.diag(torch.tensor([9.0, 1.0]))
    for _ in range(500):
        weights = weighting(gram, torch.ones(2))
    assert weights.tolist() == pytest.approx([0.5, 1.5], abs=0.05)


def test_weights_stay_positive_and_sum_to_the_number_of_tasks():
    weighting = GradNorm(lr=5.0)
    for k in range(10):
        weights = weighting(torch.eye(3), torch.tensor([1.0, 0.5**k, 0.1**k]))
        assert weights.min() > 0
        assert float(weights.sum()) == pytest.approx(3)


def test_permuting_the_tasks_permutes_the_weights():
    order = [2, 0, 1]
    plain, permuted = GradNorm(), GradNorm()
    for k in range(5):
        norms, losses = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([1.0, 0.9**k, 0.7**k])
        expected = plain(torch.diag(norms**2), losses)[order]
        torch.testing.assert_close(permuted(torch.diag(norms[order] ** 2), losses[order]), expected)


def test_absent_tasks_keep_their_share():
    weighting = trained()
    before = weighting.task_weights.clone()
    weights = weighting.weigh(step_of("ac", [1.0, 0.5]))
    torch.testing.assert_close(weights, before[[0, 2]])
    after = weighting.task_weights
    assert float(after.sum()) == pytest.approx(3)
    assert after[0] / after[2] != pytest.approx(float(before[0] / before[2]))
    # Undoing the rescaling: Adam moved a and c, not b.
    alone = GradNorm(lr=1e-12)
    alone.bind(TASKS)
    alone.weigh(step_of("ac", [1.0, 0.5], [3.0, 1.0]))
    torch.testing.assert_close(alone.task_weights, torch.ones(3, dtype=torch.float64), rtol=1e-9, atol=0)


def test_the_first_loss_of_a_late_task_is_its_initial_one():
    weighting = GradNorm()
    weighting.bind(TASKS)
    weighting.weigh(step_of("ab", [2.0, 3.0]))
    assert weighting.initial_losses[:2].tolist() == [2, 3]
    assert math.isnan(weighting.initial_losses[2])
    weighting.weigh(step_of(TASKS, [1.0, 1.0, 7.0]))
    assert weighting.initial_losses.tolist() == [2, 3, 7]


@pytest.mark.parametrize("given", [{"b": 2.0, "a": 1.0}, [1.0, 2.0], torch.tensor([1.0, 2.0])])
def test_initial_losses_can_be_given(given):
    weighting = GradNorm(initial_losses=given)
    weighting.bind(("a", "b"))
    weighting.weigh(step_of("ab", [5.0, 5.0], tasks=("a", "b")))
    assert weighting.initial_losses.tolist() == [1, 2]


def test_nothing_moves_in_evaluation_or_when_a_loss_overflows():
    weighting = trained()
    before = weighting.task_weights.clone()
    weighting.weigh(step_of(TASKS, [1.0, math.inf, math.nan]))
    weighting.eval()
    weighting.weigh(step_of(TASKS, [1.0, 0.1, 0.1]))
    torch.testing.assert_close(weighting.task_weights.data, before, rtol=0, atol=0)


def test_losses_of_zero_do_no_harm():
    weighting = GradNorm()
    for losses in ([0.0, 1.0], [0.0, 0.0], [1.0, 0.5], [0.0, 0.0]):
        assert weighting(torch.eye(2), torch.tensor(losses)).isfinite().all()
    assert weighting.initial_losses.tolist() == [1, 1]


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("steps", [0, 5])
def test_a_restored_weighting_goes_on_as_if_nothing_had_happened(bound, steps):
    original = trained(steps)
    file = io.BytesIO()
    torch.save(torch.nn.ModuleDict({"fan": original}).state_dict(), file)
    file.seek(0)
    restored = GradNorm(lr=0.1)
    if bound:
        restored.bind(TASKS)
    holder = torch.nn.ModuleDict({"fan": restored})
    holder.load_state_dict(torch.load(file, weights_only=True))
    restored.bind(TASKS)
    for k in range(3):
        step = step_of(TASKS, [1.0, 0.5**k, 0.9], [1.0, 2.0, 3.0])
        torch.testing.assert_close(restored.weigh(step), original.weigh(step), rtol=0, atol=0)


@pytest.mark.parametrize("bound", [True, False])
def test_loading_the_state_of_an_unused_weighting_changes_nothing(bound):
    unused, loaded, plain = (GradNorm(lr=0.1) for _ in range(3))
    if bound:
        unused.bind(TASKS)
        loaded.bind(TASKS)
    loaded.load_state_dict(unused.state_dict())
    assert loaded.tasks == (TASKS if bound else None)
    for k in range(3):
        step = step_of(TASKS, [1.0, 0.5**k, 0.9], [1.0, 2.0, 3.0])
        torch.testing.assert_close(loaded.weigh(step), plain.weigh(step), rtol=0, atol=0)
    assert loaded.task_weights.std() > 0.05  # it learned


def test_casting_the_module_leaves_the_optimizer_working():
    weighting = trained().half()
    assert weighting.weigh(step_of(TASKS, [1.0, 0.5, 0.2])).dtype == torch.float64
    assert float(weighting.task_weights.sum()) == pytest.approx(3, abs=1e-2)


def test_the_users_optimizer_leaves_the_weights_alone():
    weighting = GradNorm()
    weighting.bind(TASKS)
    assert [p.requires_grad for p in weighting.parameters()] == [False]
    assert weighting.task_weights.grad is None


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: GradNorm(alpha=-1.0), "alpha=-1.0, expected a non-negative finite number"),
        (lambda: GradNorm(lr=0.0), "lr=0.0, expected a positive finite number"),
        (lambda: GradNorm(initial_losses=[1.0, 0.0]), r"initial_losses=\[1.0, 0.0\], expected positive finite"),
        (lambda: GradNorm(initial_losses=[1.0]).bind(TASKS), "do not fit the tasks .*one loss a task"),
        (lambda: trained().bind(("a", "d")), "GradNorm holds weights of .*make one for each set of tasks"),
        (lambda: trained()(torch.eye(2), torch.ones(2)), "holds 3 weights, got a Gram matrix of 2 tasks"),
        (
            lambda: trained().weigh(step_of(TASKS, None)),
            r"GradNorm\(.*\) needs the losses, expected fan.sum\(losses\).backward\(\)",
        ),
        (lambda: GradNorm()(torch.eye(2)), "needs losses"),
        (lambda: trained().weigh(step_of(TASKS, [1.0, -2.0, 1.0])), "task 'b' has loss -2.0, GradNorm expects"),
    ],
)
def test_bad_input_gets_one_line(act, message):
    with pytest.raises(ValueError, match=message) as caught:
        act()
    assert "\n" not in str(caught.value)


def test_state_of_other_tasks_is_refused():
    other = GradNorm()
    other.bind(("x", "y", "z"))
    with pytest.raises(ValueError, match=r"state of GradNorm\(.*\) is for the tasks a, b, c, expected x, y, z"):
        other.load_state_dict(trained().state_dict())
