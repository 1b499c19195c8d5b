"""A task: a name, a loss, metrics, and which way is better."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, Self

from torch.nn import functional

from counterpoint.tasks.bare_task import Direction, Likelihood, Loss, positive, several
from counterpoint.tasks.dense_tasks import DenseTasks
from counterpoint.tasks.losses import binary_cross_entropy, half_poisson_deviance, half_squared_error
from counterpoint.tasks.missing import MISSING

__all__ = ["MISSING", "Direction", "Likelihood", "Loss", "Task"]


@dataclass(frozen=True, eq=False)
class Task(DenseTasks):
    """What a network is to predict: a loss, metrics, and which way is better; the head belongs to the model.

    Attributes:
        name: How the task is called everywhere.
        loss: Maps a head's output [B, ...] and the targets [B, ...] to a scalar.
        metric: A torchmetrics metric; copies of it do the counting, this one stays empty.
        metric_name: How the metric is called in tables.
        direction: ``"maximize"`` or ``"minimize"`` the metric; by default what the metric itself says.
        likelihood: The distribution of targets given outputs whose negative logarithm the loss is, for the Fisher
            information; ``None`` if it is none of them.
        partial: Whether some rows have no label: NaN in floating-point targets, -100 in others. Loss and metric are
            called with the rows that have one.
        unit: What the metric is divided by where metrics of several tasks are averaged.
        others: More metrics by name. They are counted, logged and kept in results; the first one alone chooses the best
            epoch and goes into averages.
        dense: Whether the loss is a mean over labelled pixels, of which a row has many: where losses of batches are
            averaged, pixels then count, not rows.

    Raises:
        ValueError: if the name is empty, the direction is neither given nor known to the metric, the unit is not a
            positive number, or another metric is called as the first, ``"loss"`` or ``"metric"``.

    Example:
        >>> task = Task.classification("left", classes=10)
        >>> task.metric_name, task.direction
        ('accuracy', 'maximize')
    """

    @classmethod
    def classification(cls, name: str, classes: int, *, partial: bool = False) -> Self:
        """Cross-entropy and accuracy: outputs [B, classes], targets [B] of class indices.

        Args:
            name: How the task is called.
            classes: How many.
            partial: Whether some labels are missing.

        Raises:
            ValueError: for fewer than two classes.

        Example:
            >>> import torch
            >>> task = Task.classification("digit", classes=10)
            >>> round(float(task.loss(torch.zeros(4, 10), torch.tensor([1, 2, 3, 4]))), 4)  # log 10
            2.3026
        """
        # Imported here: torchmetrics belongs to the extra [study] and takes a second to load.
        from torchmetrics.classification import MulticlassAccuracy  # noqa: PLC0415

        several(name, classes)
        metric = MulticlassAccuracy(classes, average="micro")
        return cls(name, functional.cross_entropy, metric, "accuracy", likelihood="categorical", partial=partial)

    @classmethod
    def binary(cls, name: str, metric: Literal["AUROC", "accuracy"] = "AUROC", *, partial: bool = False) -> Self:
        """Binary cross-entropy and area under the ROC curve: outputs [B] or [B, 1] of logits, targets [B] of 0 and 1.

        The area depends neither on a threshold nor on how rare the positive class is. For rows of one class it does not
        exist and is NaN.

        Args:
            name: How the task is called.
            metric: ``"AUROC"``, or ``"accuracy"``: how often the logit has the label's sign.
            partial: Whether some labels are missing.

        Raises:
            ValueError: for another metric.

        Example:
            >>> import torch
            >>> task = Task.binary("smiling")
            >>> float(task.loss(torch.zeros(4, 1), torch.tensor([0, 1, 1, 0])))
            0.6931471824645996
        """
        from counterpoint.tasks.metrics import AreaUnderROC  # noqa: PLC0415
        from counterpoint.tasks.shares import LogitAccuracy  # noqa: PLC0415

        known = {"AUROC": AreaUnderROC, "accuracy": LogitAccuracy}
        if metric not in known:
            raise ValueError(f"task {name!r}: metric={metric!r}, expected one of {list(known)}")
        return cls(name, binary_cross_entropy, known[metric](), metric, likelihood="bernoulli", partial=partial)

    @classmethod
    def regression(
        cls,
        name: str,
        *,
        scale: float = 1.0,
        metric_name: str = "RMSE",
        unit: float | None = None,
        partial: bool = False,
    ) -> Self:
        """Half the mean squared error and the RMSE: outputs [B] or [B, 1], targets [B] of standardized numbers.

        The half makes the loss the negative log-likelihood of a gaussian of variance 1, as :func:`fisher_trace` has it.

        Args:
            name: How the task is called.
            scale: Standard deviation of the labels before they were standardized; the metric is in their unit.
            metric_name: How the metric is called, for example after the logarithm that it is an error of.
            unit: What the metric is divided by in averages; by default the scale, so that 1 is the error of the mean.
            partial: Whether some labels are missing.

        Raises:
            ValueError: if the scale or the unit is not a positive number.

        Example:
            >>> import torch
            >>> task = Task.regression("price", scale=4000.0)
            >>> float(task.metric(torch.tensor([[0.0], [1.0]]), torch.tensor([0.5, 0.5])))
            2000.0
        """
        from counterpoint.tasks.metrics import RootMeanSquaredError  # noqa: PLC0415

        positive(name, "scale", scale)
        return cls(
            name,
            half_squared_error,
            RootMeanSquaredError(scale),
            metric_name,
            likelihood="gaussian",
            partial=partial,
            unit=scale if unit is None else unit,
        )

    @classmethod
    def count(cls, name: str, *, unit: float = 1.0, dispersion: float = 1.0, partial: bool = False) -> Self:
        """Poisson deviance, halved as the loss: outputs [B] or [B, 1] of log expected counts, targets [B] of counts.

        The loss is the negative log-likelihood less its least value, a constant of the labels: never negative. Let the
        head start at the mean count (:func:`~counterpoint.models.start_at`): from 1 it is a long way to thousands.

        Args:
            name: How the task is called.
            unit: What the metric is divided by in averages, for example the deviance of predicting the mean count.
            dispersion: What the loss is divided by, as a quasi-likelihood is for counts that vary more than Poisson's:
                where predicting their mean costs hundreds, a plain sum of losses would hardly see another task.
            partial: Whether some labels are missing.

        Raises:
            ValueError: if the unit or the dispersion is not a positive number.

        Example:
            >>> import torch
            >>> task = Task.count("visits")
            >>> round(float(task.loss(torch.tensor([[0.0]]), torch.tensor([3.0]))), 4)
            1.2958
        """
        from counterpoint.tasks.metrics import MeanPoissonDeviance  # noqa: PLC0415

        positive(name, "dispersion", dispersion)
        loss = functools.partial(half_poisson_deviance, dispersion=dispersion)
        return cls(name, loss, MeanPoissonDeviance(), "Poisson deviance", partial=partial, unit=unit)
