"""What an image is labelled with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["binary", "segmentation", "offsets", "depth", "normals", "map"]

_CHANNELS = {"binary": 1, "offsets": 2, "depth": 1, "normals": 3, "map": 1}


@dataclass(frozen=True)
class ImageTarget:
    """One kind of label that the images of a source carry. Missing: NaN in floating point, -100 in integers.

    ============== ================= =================================================================================
    kind           one row           values
    ============== ================= =================================================================================
    binary         int64 []          0 or 1
    segmentation   integer [H, W]    index of a class
    offsets        float32 [2, H, W] (dy, dx) from the instance's centre to the pixel, in pixels of this resolution
    depth          float32 [1, H, W] in ``unit``
    normals        float32 [3, H, W] unit vectors (x right, y down, z forward) that face the camera
    map            float32 [1, H, W] any other map, such as edges or keypoints
    ============== ================= =================================================================================

    Attributes:
        name: Of the task.
        kind: See above.
        classes: Names of the classes by index (segmentation only).
        unit: Of depth: ``"m"``, ``"disparity"``, ...
        partial: Whether some rows have no label at all.

    Raises:
        ValueError: for another kind, for a segmentation of fewer than two classes, or classes of another kind.

    Example:
        >>> ImageTarget("scene", "segmentation", classes=("sky", "ground")).outputs
        2
    """

    name: str
    kind: Kind
    classes: tuple[str, ...] = ()
    unit: str = ""
    partial: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"target {self.name!r} is of kind {self.kind!r}, expected one of {list(get_args(Kind))}")
        if self.kind == "segmentation" and len(self.classes) < 2:
            raise ValueError(f"segmentation {self.name!r} has {len(self.classes)} classes, expected at least 2")
        if self.kind != "segmentation" and self.classes:
            raise ValueError(f"target {self.name!r} is of kind {self.kind!r}, which has no classes")

    @property
    def outputs(self) -> int:
        """Channels of a head: one for each class, two offsets, three coordinates of a normal, one otherwise."""
        return len(self.classes) if self.kind == "segmentation" else _CHANNELS[self.kind]

    @property
    def dense(self) -> bool:
        """Whether every pixel has a label of its own."""
        return self.kind != "binary"
