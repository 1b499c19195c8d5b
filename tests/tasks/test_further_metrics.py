"""Tasks have further metrics, losses written in other ways, and accuracy for yes or no."""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.classification import BinaryAccuracy, MulticlassAccuracy

from counterpoint import Task
from counterpoint.tasks.metrics import AreaUnderROC


@settings(max_examples=12)
@given(st.floats(1e-3, 1e3), st.floats(0.5, 4))
def test_a_rescaled_loss_has_the_chain_rules_gradient_and_the_same_metric(factor, power):
    task = Task.regression("a")
    outputs, targets = torch.tensor([[1.0], [2.0]], dtype=torch.float64), torch.tensor([0.0, 5.0], dtype=torch.float64)
    first, second = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
    loss = task.loss(first, targets)
    changed = task.rescaled(factor, power).loss(second, targets)
    torch.testing.assert_close(changed, factor * loss**power)
    loss.backward()
    changed.backward()
    torch.testing.assert_close(second.grad, factor * power * float(loss.detach()) ** (power - 1) * first.grad)
    other = pickle.loads(pickle.dumps(task.rescaled(factor, power)))  # noqa: S301
    assert torch.equal(other.loss(outputs, targets), changed.detach())
    assert (other.likelihood, other.metric_name, other.unit) == (None, task.metric_name, task.unit)
    assert isinstance(other, Task)


@pytest.mark.parametrize("options", [{"factor": 0.0}, {"power": -1.0}, {"factor": float("inf")}])
def test_a_loss_that_does_not_grow_with_the_loss_is_refused(options):
    with pytest.raises(ValueError, match=r"task 'a': (factor|power)=.*, expected a positive number"):
        Task.regression("a").rescaled(**options)


def test_accuracy_of_yes_or_no_does_not_take_logits_for_probabilities():
    outputs, targets = torch.tensor([[0.2], [0.3], [0.9]]), torch.tensor([1, 1, 0])
    task = Task.binary("smiling", "accuracy")
    assert (task.metric_name, task.direction, task.likelihood) == ("accuracy", "maximize", "bernoulli")
    assert float(task.metric(outputs, targets)) == pytest.approx(2 / 3)
    assert float(task.metric(outputs, targets)) == float(BinaryAccuracy()(outputs.squeeze(1).sigmoid(), targets))
    assert isinstance(Task.binary("smiling").metric, AreaUnderROC)
    with pytest.raises(ValueError, match=r"task 'smiling': metric='F1', expected one of \['AUROC', 'accuracy'\]"):
        Task.binary("smiling", "F1")


@pytest.mark.parametrize("name", ["loss", "metric", "accuracy"])
def test_another_metric_has_a_name_of_its_own(name):
    more = {name: MulticlassAccuracy(2)}
    with pytest.raises(ValueError, match=f"another metric is called {name!r}, expected a name of its own"):
        Task("a", torch.nn.functional.cross_entropy, MulticlassAccuracy(2), "accuracy", others=more)


def test_another_metric_says_which_way_is_better():
    silent = MulticlassAccuracy(2)
    silent.__dict__["higher_is_better"] = None
    with pytest.raises(ValueError, match="expected one whose higher_is_better is True or False"):
        Task("a", torch.nn.functional.cross_entropy, MulticlassAccuracy(2), "accuracy", others={"other": silent})


def test_a_segmentation_has_two_classes_at_least():
    with pytest.raises(ValueError, match="task 'a': classes=1, expected at least 2"):
        Task.segmentation("a", 1)
