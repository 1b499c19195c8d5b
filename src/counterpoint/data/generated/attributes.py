"""Forty attributes of generated images whose groups, and whose conflicts, are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from counterpoint.data.generated.attribute_images import attribute_images
from counterpoint.data.generated.factors import ENTANGLED, FACTORS, PER_FACTOR, answers, draw_rows
from counterpoint.data.generated.streams import SPLITS
from counterpoint.data.images.target import ImageTarget
from counterpoint.data.split import Split
from counterpoint.data.whole_numbers import checked_numbers

_CHUNK = 500  # rows drawn at a time: their noise in single precision is four times what is kept


@dataclass(frozen=True)
class Attributes:
    """Images of a disc above a striped floor, with forty binary attributes in eight groups of five.

    Each group asks about one factor of the image: the disc's hue, aspect, albedo, size and nearness, the angle and
    the period of the stripes, and the light. Its attributes are four thresholds, two of them read the other way
    around, and a union of two intervals. Factors are independent, so that attributes of different groups are, too.
    For two pairs of groups the image shows little but the sum of their factors; see :attr:`conflicts`. How the images
    are drawn: ``docs/generated-data.md``.

    A row depends on the seed, its split and its number alone: more rows leave the first ones as they are.

    Attributes:
        train_rows: Number of training images.
        validation_rows: Number of validation images.
        test_rows: Number of test images.
        size: Side of the images in pixels.
        seed: 0 or more; another seed draws other images.
        flipped: Share of labels that say the opposite of what is true, in every split.

    Raises:
        ValueError: for a number of rows below 1, a size below 8, a negative seed, or a share not in [0, 0.5).

    Example:
        >>> data = Attributes(train_rows=4, validation_rows=1, test_rows=1)
        >>> data.groups[4][:2], [tuple(data.groups[group][0] for group in pair) for pair in data.conflicts]
        (('albedo-1', 'albedo-2'), [('albedo-1', 'light-1'), ('size-1', 'nearness-1')])
        >>> split = data.splits()["train"]
        >>> split.inputs.shape, len(split.targets), split.targets["hue-3"].shape
        (torch.Size([4, 3, 32, 32]), 40, torch.Size([4]))
    """

    train_rows: int = 4_000
    validation_rows: int = 1_000
    test_rows: int = 2_000
    size: int = 32
    seed: int = 0
    flipped: float = 0.02

    def __post_init__(self) -> None:
        rows = {"train_rows": self.train_rows, "validation_rows": self.validation_rows, "test_rows": self.test_rows}
        checked_numbers(**{name: (count, 1) for name, count in rows.items()})
        checked_numbers(size=(self.size, 8), seed=(self.seed, 0))
        if not 0 <= self.flipped < 0.5:
            raise ValueError(f"flipped is {self.flipped}, expected at least 0 and less than 0.5")

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The eight groups of attributes, each the questions about one factor."""
        return tuple(tuple(f"{factor}-{number + 1}" for number in range(PER_FACTOR)) for factor in FACTORS)

    @property
    def conflicts(self) -> tuple[tuple[int, int], ...]:
        """Pairs of groups, by their places in :attr:`groups`, that explain the same evidence away from each other.

        A bright disc has a high albedo or much light on it; a wide one is big or near. Both groups of a pair read the
        same feature with the same sign, and where one is right about it the other is wrong: given the feature, their
        errors have opposite signs, and so have their gradients at the features. At the parameters they may help each
        other nevertheless: both want that feature.
        """
        return tuple((FACTORS.index(first), FACTORS.index(second)) for first, second in ENTANGLED)

    @property
    def targets(self) -> tuple[ImageTarget, ...]:
        """What the images are labelled with: forty binary targets."""
        return tuple(ImageTarget(name, "binary") for group in self.groups for name in group)

    def with_seed(self, seed: int) -> Attributes:
        """As many images of another seed."""
        return replace(self, seed=seed)

    def splits(self) -> dict[str, Split]:
        """The three splits: inputs uint8 [N, 3, size, size], targets int64 [N], 0 or 1, for each attribute."""
        counts = (self.train_rows, self.validation_rows, self.test_rows)
        return {name: self._split(name, count) for name, count in zip(SPLITS, counts, strict=True)}

    def _split(self, split: str, count: int) -> Split:
        images = np.empty((count, 3, self.size, self.size), dtype=np.uint8)
        labels = np.empty((count, len(FACTORS) * PER_FACTOR), dtype=np.int64)
        for start in range(0, count, _CHUNK):
            rows = range(start, min(start + _CHUNK, count))
            draws = draw_rows(self.seed, split, rows, self.size, self.flipped)
            images[rows.start : rows.stop] = attribute_images(draws)
            labels[rows.start : rows.stop] = answers(draws.factors) ^ draws.flips
        columns = torch.from_numpy(np.ascontiguousarray(labels.T))
        return Split(
            torch.from_numpy(images), {target.name: columns[place] for place, target in enumerate(self.targets)}
        )
