"""Decoded and resized rows on disk, for the passes after the first one."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from counterpoint.atomic import write_atomically
from counterpoint.data.images.columns import Decoded, digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

# To be counted up when the same files are decoded or resized into other numbers.
_VERSION = 1
_BLOCK = 64


@dataclass(frozen=True, eq=False)
class Cached:
    """A decoded column that is kept in a file, memory-mapped, and made when it is first needed.

    The file is another one when a file of the column changes its size or its time of modification, when there are more
    or fewer of them, or when something else is done to them. It is written completely or not at all; of several
    processes that need it, one makes it and the others wait. Old ones stay: the folder may be removed at any time
    when nothing reads from it.

    Attributes:
        column: What is kept.
        folder: Where; made when something is written.
        name: Of the column, for people: the file's name begins with it.
    """

    column: Decoded
    folder: Path
    name: str
    _opened: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.column)

    def rows(self, numbers: Sequence[int]) -> Tensor:
        """Values of some rows, see :class:`Decoded`.

        Raises:
            ValueError: for any file of the column that is missing or broken, when it is made.
            OSError: if it cannot be written.
        """
        if "array" not in self._opened:
            self.prepare(0)
        return torch.from_numpy(self._opened["array"][np.asarray(numbers, dtype=np.int64)])

    def prepare(self, workers: int) -> None:
        """Makes the file, if it is not there, with so many threads (at least one)."""
        if "array" in self._opened:
            return
        array = _whole(self.path, len(self))
        if array is None:
            from filelock import FileLock  # noqa: PLC0415

            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock"), poll_interval=0.2):
                array = _whole(self.path, len(self))  # which another process may have made meanwhile
                if array is None:
                    # Left by a process that was killed: nobody else writes while this one has the lock.
                    for part in self.folder.glob(f".{self.path.name}.*"):
                        part.unlink()
                    write_atomically(self.path, lambda path: self._write(path, workers))
                    array = np.load(self.path, mmap_mode="r")
        self._opened["array"] = array

    @cached_property
    def path(self) -> Path:
        """The file. Looks at every file of the column."""
        content = digest(_VERSION, self.column.recipe, len(self), self.column.files.stamps())
        return self.folder / f"{self.name}-{content}.npy"

    @property
    def identity(self) -> str:
        """The decoded column's: what is kept are the same numbers."""
        return self.column.identity

    def stamp(self) -> str:
        """The decoded column's, too."""
        return self.column.stamp()

    def _write(self, path: Path, workers: int) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        first = self.column.rows([0]).numpy()
        array = np.lib.format.open_memmap(path, mode="w+", dtype=first.dtype, shape=(len(self), *first.shape[1:]))
        self._reserve(path)

        def fill(start: int) -> None:
            own = range(start, min(start + _BLOCK, len(self)))
            array[own.start : own.stop] = self.column.rows(own).numpy()

        # Threads are enough: decoding and resizing happen outside Python.
        with ThreadPoolExecutor(max(1, workers)) as threads:
            for _ in threads.map(fill, range(0, len(self), _BLOCK)):
                pass

    def _reserve(self, path: Path) -> None:
        """Takes the room for a file that so far only has a size.

        Without, a full disk would be noticed by the memory map alone, which ends the process without a word.

        Raises:
            OSError: if there is too little.
        """
        if not hasattr(os, "posix_fallocate"):
            return
        size = path.stat().st_size
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                    raise OSError(
                        f"{self.folder} has no room for {size / 1e6:.0f} MB of decoded rows, expected a cache folder "
                        "with more space"
                    ) from None

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens the file itself: a memory map would be sent as all of its numbers.
        return {"column": self.column, "folder": self.folder, "name": self.name, "_opened": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _whole(path: Path, rows: int) -> np.ndarray | None:
    """The kept rows; ``None`` if there are none, or the file is not as it was written."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return array if len(array) == rows else None
