"""CelebA: faces with 40 attributes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from counterpoint.data.images.assembly import Handling
from counterpoint.data.images.augmentation import Augmentation
from counterpoint.data.images.columns import Column, Files, Known
from counterpoint.data.images.listing import chosen_tasks, missing
from counterpoint.data.images.options import expect_sides, settle
from counterpoint.data.images.target import ImageTarget
from counterpoint.names import did_you_mean

if TYPE_CHECKING:
    from counterpoint.data.images.rows import ImageRows

_LAYOUT = (
    "CelebA as downloaded: img_align_celeba/, list_attr_celeba.txt, list_eval_partition.txt under root (or in its "
    "folders Img/, Anno/, Eval/; or as Kaggle has it, with .csv for .txt)"
)
_SPLITS = ("train", "validation", "test")  # 0, 1, 2 in the file


@dataclass(frozen=True)
class CelebA:
    """CelebA (Liu et al. 2015), aligned and cropped: one binary task for each attribute, named as in its file.

    The official partition: 162,770 training, 19,867 validation, 19,962 test images. Sener & Koltun (2018, Section 5.2)
    train on all 40 attributes at 64 x 64, Fifty et al. (2021) on nine of them.

    Attributes:
        root: The folder with ``img_align_celeba/``, ``list_attr_celeba.txt``, ``list_eval_partition.txt``, or with the
            folders ``Img``, ``Anno``, ``Eval`` that have them. Kaggle's copy, whose lists end with ``.csv`` and whose
            images are in ``img_align_celeba/img_align_celeba/``, is read, too.
        size: Height and width of the images; a number for squares.
        attributes: The attributes that are tasks; all of the file if empty.
        cache: Folder that keeps decoded and resized images (12 kB each at 64 x 64), ``None`` for none.
        workers: Processes that decode batches ahead of a training.
        augmentation: Of training pictures; the papers have none.

    Raises:
        ValueError: for a size that is none; from ``targets`` and ``splits()``: for missing files, files of another
            form, an attribute that is not in the file, an image of the partition without attributes or without file, a
            split without rows.
    """

    root: Path
    size: int | tuple[int, int] = 64
    attributes: tuple[str, ...] = ()
    cache: Path | None = field(default=None, repr=False)
    workers: int = field(default=0, repr=False)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        settle(self, "size", "attributes")
        expect_sides(self._sides)

    @property
    def targets(self) -> tuple[ImageTarget, ...]:
        """The attributes as tasks. Reads the first lines of the attributes' file."""
        path = self._list("Anno", "list_attr_celeba.txt")
        names, _ = _names(path, _lines(path, 2))
        return tuple(ImageTarget(name, "binary") for name in self._chosen(names, path.name))

    def with_seed(self, seed: int) -> CelebA:  # noqa: ARG002
        """The same: CelebA has an official partition."""
        return self

    def splits(self) -> dict[str, ImageRows]:
        """Rows of the official partition, in its order: images [3, H, W], targets int64 []."""
        folder = self._found("Img", "img_align_celeba")
        folder = folder / folder.name if (folder / folder.name).is_dir() else folder
        listed, answered = self._list("Eval", "list_eval_partition.txt"), self._list("Anno", "list_attr_celeba.txt")
        parts = _partition(listed)
        names, found, values = _attributes(answered)
        images = {path.name for path in folder.iterdir()}
        place = {name: row for row, name in enumerate(found)}
        for name in parts:
            if name not in images:
                near = next((own for own in sorted(images) if Path(own).stem == Path(name).stem), None)
                instead = f" (it has {near})" if near else ""  # .JPG, or the release in .png
                raise ValueError(f"{folder} has no {name}{instead}, expected every image of {listed}")
            if name not in place:
                raise ValueError(f"{answered} has no line for {name}, expected every image of {listed}")
        chosen = self._chosen(names, answered.name)
        known = torch.from_numpy(values[[place[name] for name in parts]]).long()
        labels: dict[ImageTarget, Column] = {
            ImageTarget(name, "binary"): Known(known[:, names.index(name)].contiguous()) for name in chosen
        }
        handling = Handling(self._sides, cache=self.cache, workers=self.workers, augmentation=self.augmentation)
        rows = handling.rows("celeba", Files(folder, tuple(parts)), labels)
        split = np.array(list(parts.values()))
        splits = {}
        for number, name in enumerate(_SPLITS):
            own = torch.from_numpy(np.flatnonzero(split == number))
            if not len(own):
                raise ValueError(f"{listed} has no image with {number}, expected some: these are the {name} rows")
            splits[name] = replace(rows, chosen=own)
        return splits

    @property
    def _sides(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def _list(self, folder: str, name: str) -> Path:
        """One of the two lists."""
        return self._found(folder, name, name.replace(".txt", ".csv"))

    def _found(self, folder: str, *names: str) -> Path:
        """Beside the others, or in the folder that it is downloaded in; under the first of its names that there is."""
        root = Path(self.root).expanduser()
        places = [inner / name for name in names for inner in (root, root / folder)]
        found = next((path for path in places if path.exists()), None)
        if found is None:
            raise missing(root, names[0], _LAYOUT)
        return found

    def _chosen(self, names: list[str], file: str) -> tuple[str, ...]:
        for name in self.attributes:
            if name not in names:
                hint = did_you_mean(name, names) or f", expected some of {', '.join(names)}"
                raise ValueError(f"{file} has no attribute {name!r}{hint}")
        return chosen_tasks(self.attributes, dict.fromkeys(names), file)


def _lines(path: Path, count: int | None = None) -> list[str]:
    """The first lines, or all of them, with spaces between the values."""
    with path.open(encoding="utf-8-sig") as file:
        lines = [line.rstrip() for line in islice(file, count)]
    return [line.replace(",", " ") for line in lines] if path.suffix == ".csv" else lines


def _names(path: Path, lines: list[str]) -> tuple[list[str], int]:
    """Names of the attributes, and the number of lines before the first image's."""
    first = lines[0] if lines else ""
    if path.suffix == ".csv":
        names, before, expected = first.split()[1:], 1, "image_id and the attributes' names"
        good = first.startswith("image_id ")
    else:
        names, before, expected = " ".join(lines[1:2]).split(), 2, "the number of images, then the attributes' names"
        good = first.strip().isdigit()
    if not good or not names:
        raise ValueError(f"{path} begins with {first[:80]!r}, expected {expected}")
    return names, before


def _partition(path: Path) -> dict[str, int]:
    """The split of each image."""
    parts: dict[str, int] = {}
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        if words == ["image_id", "partition"]:
            continue
        if len(words) == 2 and words[1] in {"0", "1", "2"}:
            parts[words[0]] = int(words[1])
        elif words:
            raise ValueError(f"{path}, line {number} is {line[:80]!r}, expected an image's name and 0, 1 or 2")
    return parts


def _attributes(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Names of the attributes, names of the images, and uint8 [images, attributes] of 0 and 1."""
    lines = _lines(path)
    names, before = _names(path, lines)
    found, answers = [], []
    for number, line in enumerate(lines[before:], start=before + 1):
        words = line.split()
        if not words:
            continue
        # As text, one character a value: 8 million numbers take a second.
        signs = "".join(words[1:])
        answer = signs.replace("-1", "0")
        if len(words) != len(names) + 1 or "0" in signs or len(answer) != len(names) or answer.strip("01"):
            raise ValueError(
                f"{path}, line {number} has {len(words) - 1} values for {words[0]}, expected -1 or 1 for each of the "
                f"{len(names)} attributes"
            )
        found.append(words[0])
        answers.append(answer)
    values = np.frombuffer("".join(answers).encode(), dtype=np.uint8) - ord("0")
    return names, found, values.reshape(len(found), len(names))
