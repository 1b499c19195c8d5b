"""Tasks with a label at every pixel: classes, offsets, depths, normals and other maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from counterpoint.tasks.bare_task import BareTask, several
from counterpoint.tasks.dense_losses import mean_absolute_difference, mean_cosine_distance, pixel_cross_entropy
from counterpoint.tasks.missing import MISSING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torchmetrics import Metric


@dataclass(frozen=True, eq=False)
class DenseTasks(BareTask):
    """Makers of tasks with a label at every pixel.

    Labels of pixels may be missing: NaN in floating-point targets, -100 in integers. Losses are means over the labelled
    pixels of a batch, zero if there are none; metrics are of all labelled pixels of a data set, where published code
    takes means over batches (for mIoU it does not). Where whole rows lack labels, ``partial=True`` leaves them out, and
    the task out of batches without any: a loss that is zero has a gradient, zero, which stops a step of MGDA.

    None is called a likelihood: :func:`fisher_trace` takes no missing pixels, and rows for what losses average over.
    """

    @classmethod
    def segmentation(cls, name: str, classes: int, *, partial: bool = False) -> Self:
        """Cross-entropy and mean intersection over union: outputs [B, classes, H, W], targets [B, H, W] of integers.

        The mIoU is of one confusion matrix of all pixels; classes that are neither predicted nor true anywhere are left
        out. The other metric is ``"pixel accuracy"``.

        Raises:
            ValueError: for fewer than two classes.

        Example:
            >>> import torch
            >>> from counterpoint import Task
            >>> task = Task.segmentation("scene", classes=3)
            >>> logits = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]], [[0.0, 0.0, 0.0]]]])
            >>> float(task.metric(logits, torch.tensor([[[0, 1, 0]]], dtype=torch.int8)))  # 1 of 2, and 1 of 2
            0.5
        """
        # Imported here: torchmetrics belongs to the extra [study] and takes a second to load.
        from torchmetrics.classification import MulticlassJaccardIndex  # noqa: PLC0415

        from counterpoint.tasks.shares import PixelAccuracy  # noqa: PLC0415

        several(name, classes)
        # Without validation, which sorts all pixels of every batch: the loss has looked up each of them already.
        metric = MulticlassJaccardIndex(classes, ignore_index=MISSING, validate_args=False)
        others = {"pixel accuracy": PixelAccuracy()}
        return cls(name, pixel_cross_entropy, metric, "mIoU", partial=partial, others=others, dense=True)

    @classmethod
    def offsets(cls, name: str, *, unit: float = 1.0, partial: bool = False) -> Self:
        """L1 loss, and the same in pixels as the metric: outputs and targets [B, 2, H, W], NaN where no instance is.

        Both are the mean of abs(dy - dy*) and abs(dx - dx*) over the pixels of instances. The metric in the code of
        Sener & Koltun 2018 cuts predictions and targets to whole pixels first; this one does not.

        Args:
            name: How the task is called.
            unit: What the metric is divided by in averages, for example the error of predicting the mean.
            partial: Whether some images have no label at all, such as those without an instance.

        Raises:
            ValueError: if the unit is not a positive number.

        Example:
            >>> import torch
            >>> from counterpoint import Task
            >>> targets = torch.tensor([[[[3.0, float("nan")]], [[-1.0, float("nan")]]]])
            >>> float(Task.offsets("instances").loss(torch.zeros(1, 2, 1, 2), targets))
            2.0
        """
        return cls._of_differences(name, "L1", unit=unit, partial=partial)

    @classmethod
    def depth(cls, name: str, *, unit: float = 1.0, metric_name: str = "absolute error", partial: bool = False) -> Self:
        """L1 loss and the mean absolute error: outputs and targets [B, 1, H, W], NaN where unknown.

        The other metric is ``"relative error"``, the mean of abs(d - d*) / d* over pixels with d* > 0.

        Args:
            name: How the task is called.
            unit: What the metric is divided by in averages, for example the error of predicting the mean.
            metric_name: How the metric is called, for example with its unit.
            partial: Whether some images have no label at all.

        Raises:
            ValueError: if the unit is not a positive number.

        Example:
            >>> import torch
            >>> from counterpoint import Task
            >>> task = Task.depth("depth", metric_name="absolute error in m")
            >>> float(task.others["relative error"](torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 4.0)))
            0.25
        """
        from counterpoint.tasks.map_metrics import RelativeError  # noqa: PLC0415

        others = {"relative error": RelativeError()}
        return cls._of_differences(name, metric_name, unit=unit, partial=partial, others=others)

    @classmethod
    def normals(cls, name: str, *, unit: float = 1.0, partial: bool = False) -> Self:
        """One minus the cosine, and the mean angle in degrees: outputs and targets [B, 3, H, W], NaN where unknown.

        Outputs may have any length, targets are unit vectors. The other metrics are ``"median angle"`` (to 0.005
        degrees) and ``"within 11.25"``, ``"within 22.5"`` and ``"within 30"``, shares of pixels below so many degrees.

        Args:
            name: How the task is called.
            unit: What the mean angle is divided by in averages.
            partial: Whether some images have no label at all.

        Raises:
            ValueError: if the unit is not a positive number.

        Example:
            >>> import torch
            >>> from counterpoint import Task
            >>> task, normals = Task.normals("normals"), torch.tensor([0.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
            >>> float(task.loss(5 * normals, normals)), float(task.metric(5 * normals, normals))
            (0.0, 0.0)
        """
        from counterpoint.tasks.angle_metrics import AnglesWithin, MedianAngle  # noqa: PLC0415
        from counterpoint.tasks.map_metrics import MeanAngle  # noqa: PLC0415

        within = {f"within {degrees:g}": AnglesWithin(degrees) for degrees in (11.25, 22.5, 30.0)}
        others = {"median angle": MedianAngle(), **within}
        metric = MeanAngle()
        return cls(
            name, mean_cosine_distance, metric, "mean angle", partial=partial, unit=unit, others=others, dense=True
        )

    @classmethod
    def map(cls, name: str, *, unit: float = 1.0, partial: bool = False) -> Self:
        """L1 loss and the same as the metric: outputs and targets [B, K, H, W] of any numbers, NaN where unknown.

        Args:
            name: How the task is called.
            unit: What the metric is divided by in averages, for example the error of predicting the mean.
            partial: Whether some images have no label at all.

        Raises:
            ValueError: if the unit is not a positive number.

        Example:
            >>> import torch
            >>> from counterpoint import Task
            >>> float(Task.map("edges").loss(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.5)))
            0.5
        """
        return cls._of_differences(name, "L1", unit=unit, partial=partial)

    @classmethod
    def _of_differences(
        cls, name: str, metric_name: str, *, unit: float, partial: bool, others: Mapping[str, Metric] | None = None
    ) -> Self:
        from counterpoint.tasks.map_metrics import AbsoluteError  # noqa: PLC0415

        return cls(
            name,
            mean_absolute_difference,
            AbsoluteError(),
            metric_name,
            partial=partial,
            unit=unit,
            others=others or {},
            dense=True,
        )
