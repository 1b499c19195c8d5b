"""Generated scenes with exact dense targets: segmentation, instance offsets, depth, normals, edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from counterpoint.data.generated.dense_truth import edges, offsets
from counterpoint.data.generated.rendering import render
from counterpoint.data.generated.streams import SPLITS, row_stream
from counterpoint.data.generated.views import CLASSES, draw_view
from counterpoint.data.images.target import ImageTarget
from counterpoint.data.split import Split
from counterpoint.data.whole_numbers import checked_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from counterpoint.data.generated.rendering import Rendered

TARGETS = (
    ImageTarget("segmentation", "segmentation", classes=CLASSES),
    ImageTarget("offsets", "offsets"),
    ImageTarget("depth", "depth", unit="m"),
    ImageTarget("normals", "normals"),
    ImageTarget("edges", "map"),
)
TASKS = tuple(target.name for target in TARGETS)

_SOURCE = 1
_TRUTH: dict[str, Callable[[Rendered], NDArray[Any]]] = {
    "segmentation": lambda shown: shown.labels,
    "offsets": lambda shown: offsets(shown.surface),
    "depth": lambda shown: shown.depth[None],
    "normals": lambda shown: shown.normals.transpose(2, 0, 1),
    "edges": lambda shown: edges(shown.surface),
}


@dataclass(frozen=True)
class Scenes:
    """Textured solids on the ground before one or two walls, with what is true of each pixel.

    Spheres, boxes, cylinders, cones and pyramids, three to seven of them, under a pinhole camera of random height,
    tilt and focal length. All targets are computed from the geometry by casting a ray through each pixel's middle
    (``docs/generated-data.md``):

    - ``"segmentation"``: int8 [H, W], of the classes ground, wall, sky, and the five solids;
    - ``"offsets"``: float32 [2, H, W], (dy, dx) in pixels from the mean of the thing's visible pixels; NaN off things;
    - ``"depth"``: float32 [1, H, W], along the optical axis in metres; NaN in the sky;
    - ``"normals"``: float32 [3, H, W], in the camera's frame (x right, y down, z ahead), facing it; NaN in the sky;
    - ``"edges"``: float32 [1, H, W], 1 where another surface begins, 0.5 beside such pixels, 0 elsewhere.

    A row depends on the seed, its split and its number alone: more rows leave the first ones as they are.

    Attributes:
        train_rows: Number of training images.
        validation_rows: Number of validation images.
        test_rows: Number of test images.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        seed: 0 or more; another seed draws other scenes.
        tasks: Which targets to keep, in this order.

    Raises:
        ValueError: for a number below 1, an image of less than 8 pixels in a direction, a negative seed, an unknown
            task, one given twice, or none.

    Example:
        >>> split = Scenes(train_rows=2, validation_rows=1, test_rows=1, height=24, width=32).splits()["train"]
        >>> split.inputs.shape, {task: tuple(target.shape[1:]) for task, target in split.targets.items()}["normals"]
        (torch.Size([2, 3, 24, 32]), (3, 24, 32))
    """

    train_rows: int = 600
    validation_rows: int = 150
    test_rows: int = 300
    height: int = 64
    width: int = 64
    seed: int = 0
    tasks: tuple[str, ...] = TASKS

    def __post_init__(self) -> None:
        rows = {"train_rows": self.train_rows, "validation_rows": self.validation_rows, "test_rows": self.test_rows}
        checked_numbers(**{name: (count, 1) for name, count in rows.items()})
        checked_numbers(height=(self.height, 8), width=(self.width, 8), seed=(self.seed, 0))
        object.__setattr__(self, "tasks", tuple(self.tasks))  # lists come from config files
        for task in self.tasks:
            if task not in TASKS:
                raise ValueError(f"scenes have no task {task!r}, expected some of {', '.join(TASKS)}")
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks of scenes are {list(self.tasks)}, expected one or more, each once")

    @property
    def targets(self) -> tuple[ImageTarget, ...]:
        """What the images are labelled with."""
        return tuple(TARGETS[TASKS.index(task)] for task in self.tasks)

    def with_seed(self, seed: int) -> Scenes:
        """As many scenes of another seed."""
        return replace(self, seed=seed)

    def splits(self) -> dict[str, Split]:
        """The three splits: inputs uint8 [N, 3, H, W], targets as above."""
        return dict(zip(SPLITS, (self._split(split) for split in SPLITS), strict=True))

    def _split(self, split: str) -> Split:
        count = {"train": self.train_rows, "validation": self.validation_rows, "test": self.test_rows}[split]
        images = np.empty((count, 3, self.height, self.width), dtype=np.uint8)
        kept = {target.name: self._empty(target, count) for target in self.targets}
        for row in range(count):
            shown = scene(self.seed, split, row, self.height, self.width)
            images[row] = shown.image.transpose(2, 0, 1)
            for task, values in kept.items():
                values[row] = _TRUTH[task](shown)
        return Split(torch.from_numpy(images), {task: torch.from_numpy(values) for task, values in kept.items()})

    def _empty(self, target: ImageTarget, count: int) -> NDArray[Any]:
        if target.kind == "segmentation":
            return np.empty((count, self.height, self.width), dtype=np.int8)
        return np.empty((count, target.outputs, self.height, self.width), dtype=np.float32)


def scene(seed: int, split: str, row: int, height: int, width: int) -> Rendered:
    """One row of :class:`Scenes`, with everything that is known about its pixels.

    Args:
        seed: 0 or more.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        row: Its number.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
    """
    rng = row_stream(seed, _SOURCE, split, row)
    return render(draw_view(rng, height, width), rng)
