"""What the rows of an image folder hold, one column for the images and one for each target."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from counterpoint.data.images.decoding import height_and_width
from counterpoint.data.images.joint import IGNORED, resized_image, resized_target

if TYPE_CHECKING:
    from counterpoint.data.images.target import ImageTarget

Reader = Callable[[Path], Tensor]


class Column(Protocol):
    """Values of a row by its number."""

    def __len__(self) -> int:
        """How many rows there are."""

    def rows(self, numbers: Sequence[int]) -> Tensor:
        """Values of some rows, stacked."""

    def prepare(self, workers: int) -> None:
        """Does what is done once, before rows are asked for from several processes."""

    @property
    def identity(self) -> str:
        """Another one for other rows."""

    def stamp(self) -> str:
        """Another one when a file of the rows is replaced, too, under whatever name; looks at every file."""


@dataclass(frozen=True, eq=False)
class Known:
    """A column in memory.

    Attributes:
        values: [N, ...].
    """

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, numbers: Sequence[int]) -> Tensor:
        """Values of some rows."""
        return self.values[torch.as_tensor(numbers, dtype=torch.int64)]

    def prepare(self, workers: int) -> None:
        """Nothing."""

    @property
    def identity(self) -> str:
        """A checksum of the values."""
        return f"{list(self.values.shape)}:{zlib.crc32(self.values.contiguous().numpy().tobytes())}"

    def stamp(self) -> str:
        """The same: there are no files."""
        return self.identity


@dataclass(frozen=True)
class Files:
    """One file a row, with what they have in common written once: millions of rows may share it.

    Attributes:
        folder: Where they are.
        keys: What names a row.
        ending: What follows the key in the file's name.
        absent: Rows that have no file.
    """

    folder: Path
    keys: tuple[str, ...]
    ending: str = ""
    absent: frozenset[int] = frozenset()

    def path(self, row: int) -> Path | None:
        """The file of a row, ``None`` if it has none."""
        return None if row in self.absent else self.folder / (self.keys[row] + self.ending)

    def stamps(self) -> list[tuple[int, str, int, int]]:
        """Of each file that is expected: row, key, size, and time of modification in ns. Looks at every file.

        Raises:
            ValueError: for a file that is missing.
        """
        found = []
        for row, key in enumerate(self.keys):
            path = self.path(row)
            if path is not None:
                try:
                    about = path.stat()
                except FileNotFoundError:
                    raise ValueError(f"{path} is missing, expected a file for each row") from None
                found.append((row, key, about.st_size, about.st_mtime_ns))
        return found


@dataclass(frozen=True, eq=False)
class Decoded:
    """A column whose rows are read from a file each, whenever they are asked for.

    Attributes:
        files: Where the rows are.
        read: Reads a file at full resolution: images as uint8 [3, H, W], targets as :class:`ImageTarget` says. A
            function of a module, or a partial of one, so that other processes can have it.
        size: Height and width of the rows.
        target: What the values are; ``None`` for images.
        beside: The images, for targets: both have to be of the same size.
        native: Whether files have to be of that size, too.
    """

    files: Files
    read: Reader
    size: tuple[int, int]
    target: ImageTarget | None = None
    beside: Files | None = None
    native: bool = False

    def __len__(self) -> int:
        return len(self.files.keys)

    def rows(self, numbers: Sequence[int]) -> Tensor:
        """Values of some rows.

        Raises:
            ValueError: for a file that is missing, broken, or of another size than its image's.
        """
        return torch.stack([self.row(number) for number in numbers]) if len(numbers) else self._missing()[None][:0]

    def row(self, number: int) -> Tensor:
        """One row: uint8 [3, H, W] for images, as :class:`ImageTarget` says for targets."""
        path = self.files.path(number)
        if path is None:
            return self._missing()
        values = self.read(path)
        self._check(number, path, (int(values.shape[-2]), int(values.shape[-1])))
        if self.target is None:
            return resized_image(values, self.size)
        return resized_target(values, self.target, self.size)

    def prepare(self, workers: int) -> None:
        """Nothing."""

    @property
    def identity(self) -> str:
        """A digest of the files' names and of what is done to them; looks at no file."""
        return digest(self.recipe, list(self.files.keys), sorted(self.files.absent))

    def stamp(self) -> str:
        """A digest of the files' names, sizes and times of modification, and of what is done to them.

        Raises:
            ValueError: for a file that is missing.
        """
        return digest(self.recipe, len(self), self.files.stamps())

    @property
    def recipe(self) -> list[Any]:
        """What is done to the files."""
        return [str(self.files.folder), self.files.ending, _name(self.read), list(self.size), repr(self.target)]

    def _check(self, number: int, path: Path, found: tuple[int, int]) -> None:
        image = self.beside.path(number) if self.beside is not None else None
        expected = height_and_width(image) if image is not None else self.size if self.native else found
        if found != expected:
            other = f"its image {image}" if image is not None else "the first of them"
            raise ValueError(f"{path} has {found[0]} x {found[1]} pixels, expected {_by(expected)}, as {other}")

    def _missing(self) -> Tensor:
        if self.target is None:
            return torch.zeros((3, *self.size), dtype=torch.uint8)
        if self.target.kind == "segmentation":
            return torch.full(self.size, IGNORED, dtype=torch.int8)
        return torch.full((self.target.outputs, *self.size), torch.nan)


def digest(*parts: Any) -> str:
    """A number, as 16 hexadecimal digits, that is another one for other content."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _name(read: Any) -> Any:
    """A reader's name and options, the same in every process."""
    if isinstance(read, partial):
        return [
            _name(read.func),
            [repr(own) for own in read.args],
            sorted((k, repr(v)) for k, v in read.keywords.items()),
        ]
    return f"{read.__module__}.{read.__qualname__}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
