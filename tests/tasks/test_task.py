"""A task knows which way is better."""

import pytest
import torch
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, MeanMetric

from counterpoint import Task


def test_classification():
    task = Task.classification("left", classes=3)
    scores, targets = torch.eye(3), torch.tensor([0, 1, 0])
    assert float(task.metric(scores, targets)) == pytest.approx(2 / 3)
    assert float(task.loss(scores, targets)) > 0
    assert task.sign == 1
    with pytest.raises(ValueError, match="task 'left': classes=1, expected at least 2"):
        Task.classification("left", classes=1)


def test_direction_comes_from_the_metric_or_is_asked_for():
    task = Task("price", functional.l1_loss, MeanAbsoluteError(), "MAE")
    assert task.direction == "minimize"
    assert task.sign == -1
    assert Task("price", functional.l1_loss, MeanMetric(), "mean", "minimize").sign == -1
    with pytest.raises(ValueError, match="'price': MeanMetric does not say whether more is better"):
        Task("price", functional.l1_loss, MeanMetric(), "mean")
    with pytest.raises(ValueError, match="direction='up', expected 'maximize' or 'minimize'"):
        Task("price", functional.l1_loss, MeanMetric(), "mean", "up")
    with pytest.raises(ValueError, match="name is empty"):
        Task("", functional.l1_loss, MeanAbsoluteError(), "MAE")
