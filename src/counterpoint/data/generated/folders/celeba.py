"""Generated images in the layout of CelebA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterpoint.data.generated.attributes import Attributes
from counterpoint.data.generated.folders.files import save_image, save_lines

if TYPE_CHECKING:
    from pathlib import Path

# As in list_attr_celeba.txt.
CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)


def write_celeba(root: Path, rows: int = 200, seed: int = 0, size: int = 64) -> None:
    """Writes :class:`~counterpoint.data.generated.Attributes` as CelebA is downloaded.

    ``img_align_celeba/000001.jpg`` and so on, ``list_attr_celeba.txt`` and ``list_eval_partition.txt``. The forty
    attributes are those of the generated images, in their order, under the real names: they mean nothing that the
    names say. The first eight in ten images are training rows, then validation and test rows, one in ten each.

    Args:
        root: The folder; made if it is missing, and files in it are written over.
        rows: Number of images, at least 3.
        seed: Of the images.
        size: Their height and width; the real ones are 218 x 178.

    Raises:
        ValueError: for fewer than 3 rows, and as ``Attributes``.
    """
    if rows < 3:
        raise ValueError(f"rows is {rows}, expected at least 3, one for each split")
    held = max(rows // 10, 1)
    counts = (rows - 2 * held, held, held)
    splits = Attributes(*counts, size=size, seed=seed).splits()
    attributes, partition = [str(rows), " ".join(CELEBA_ATTRIBUTES) + " "], list[str]()
    for part, split in enumerate(splits.values()):
        for row in range(len(split)):
            name = f"{len(partition) + 1:06}.jpg"
            save_image(root / "img_align_celeba" / name, split.inputs[row].permute(1, 2, 0).numpy())
            answers = [f"{2 * int(labels[row]) - 1:2d}" for labels in split.targets.values()]
            attributes.append(f"{name} {' '.join(answers)}")
            partition.append(f"{name} {part}")
    for file, lines in (("list_attr_celeba.txt", attributes), ("list_eval_partition.txt", partition)):
        save_lines(root / file, lines)
