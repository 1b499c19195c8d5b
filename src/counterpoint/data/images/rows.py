"""Rows of an image folder, decoded when asked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from counterpoint.data.images.augmentation import Augmentation
from counterpoint.data.images.columns import Column, digest
from counterpoint.names import known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.data.images.batches import ImageBatches
    from counterpoint.data.images.target import ImageTarget
    from counterpoint.data.split import Batch


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Images with targets for every task: what :class:`counterpoint.data.Split` is in memory, read from files.

    Also a map-style dataset of torch: ``rows[3]`` is ``(image, {task: target})``.

    Attributes:
        image: Column of uint8 images [3, H, W].
        labels: A column of targets for each task.
        targets: What they are, by task.
        augmentation: Of training pictures: done in batches that are shuffled, nowhere else.
        workers: Processes that decode batches ahead, 0 for none. What they yield does not depend on their number.
        chosen: Numbers of the rows, int64 [N]; all rows of the columns if ``None``.

    Example:
        >>> from counterpoint.data.images.columns import Known
        >>> from counterpoint.data.images.target import ImageTarget
        >>> image, smiling = Known(torch.zeros(5, 3, 4, 4, dtype=torch.uint8)), Known(torch.arange(5) % 2)
        >>> rows = ImageRows(image, {"smiling": smiling}, {"smiling": ImageTarget("smiling", "binary")})
        >>> [targets["smiling"].tolist() for images, targets in rows.batches(3)]
        [[0, 1, 0], [1, 0]]
    """

    image: Column
    labels: Mapping[str, Column]
    targets: Mapping[str, ImageTarget]
    augmentation: Augmentation = field(default_factory=Augmentation)
    workers: int = 0
    chosen: Tensor | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"{self.workers} workers read images, expected 0 or more")
        for task, column in self.labels.items():
            if len(column) != len(self.image):
                raise ValueError(f"task {task!r} has {len(column)} targets, expected {len(self.image)}, one an image")

    def __len__(self) -> int:
        return len(self.image) if self.chosen is None else len(self.chosen)

    def only(self, tasks: Sequence[str]) -> ImageRows:
        """The same rows with the targets of some tasks; those of others are not decoded any more.

        Raises:
            ValueError: for an unknown task.
        """
        there = tuple(self.labels)
        return replace(
            self,
            labels={known(task, there): self.labels[task] for task in tasks},
            targets={task: self.targets[task] for task in tasks},
        )

    def drawn(self, count: int) -> ImageRows:
        """So many of the rows in random order, the same ones as :meth:`counterpoint.data.Split.drawn` has."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:count]
        return replace(self, chosen=order if self.chosen is None else self.chosen[order])

    def rows(self, index: Tensor | slice) -> Batch:
        """Images in [0, 1], float32 [n, 3, H, W], and targets of some rows.

        Args:
            index: Which rows: a slice, numbers, or a mask.

        Raises:
            ValueError: for a file that is missing, broken, or of another form than expected.
        """
        return self.decoded(index)

    def decoded(self, index: Tensor | slice, augmented: tuple[int, int] | None = None) -> Batch:
        """The same as :meth:`rows`, as seen in a pass of a training.

        Args:
            index: Which rows.
            augmented: Seed and number of the pass; together with a row's number they decide on its augmentation.
                Without, there is none.
        """
        numbers: list[int] = self._numbers[index].tolist()
        images = self.image.rows(numbers).float().div_(255)
        labels = {task: column.rows(numbers) for task, column in self.labels.items()}
        if augmented is None or not self.augmentation.any:
            return images, labels
        seed, number = augmented
        for place, row in enumerate(numbers):
            # A generator of their own: rows look the same in whichever batch and process they are.
            rng = np.random.default_rng((seed % 2**64, number, row))
            own = {task: values[place] for task, values in labels.items()}
            images[place], new = self.augmentation(images[place], own, self.targets, rng)
            for task, values in new.items():
                labels[task][place] = values
        return images, labels

    def batches(self, size: int, *, shuffle_seed: int | None = None, rank: int = 0, ranks: int = 1) -> ImageBatches:
        """Batches in the order that a :class:`counterpoint.data.Split` of as many rows has, see ImageBatches."""
        from counterpoint.data.images.batches import ImageBatches  # noqa: PLC0415  (they know each other)

        return ImageBatches(self, size, shuffle_seed, rank, ranks)

    def prepare(self) -> None:
        """Makes what is kept on disk, if something is: otherwise the first batch does."""
        for column in (self.image, *self.labels.values()):
            column.prepare(self.workers)

    @property
    def identity(self) -> str:
        """Another one for other rows, tasks or another augmentation; looks at no file."""
        chosen = [] if self.chosen is None else self.chosen.tolist()
        columns = [[task, column.identity] for task, column in self.labels.items()]
        return digest(len(self), self.image.identity, columns, repr(self.augmentation), chosen)

    def stamp(self) -> str:
        """Another one than before when a file was replaced under the same name; looks at every file.

        Raises:
            ValueError: for a file that is missing.
        """
        return digest(self.image.stamp(), [[task, column.stamp()] for task, column in self.labels.items()])

    def __getitem__(self, row: int) -> tuple[Tensor, dict[str, Tensor]]:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        images, labels = self.decoded(torch.tensor([row]))
        return images[0], {task: values[0] for task, values in labels.items()}

    @property
    def _numbers(self) -> Tensor:
        return torch.arange(len(self.image)) if self.chosen is None else self.chosen
