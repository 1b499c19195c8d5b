"""Prepared data in a folder: arrays that load fast, and what is known about them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from counterpoint.data.split import Split
from counterpoint.data.tables.errors import TableError
from counterpoint.data.tables.reading import content_hash
from counterpoint.data.tables.schema import FORMAT, TableSchema
from counterpoint.data.tables.splitting import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMA, _ORIGIN = "schema.json", "origin.json"
# Larger arrays are mapped rather than read: pages come as they are needed and go when memory is short.
_MAPPED_FROM = 1 << 30


@dataclass(frozen=True)
class PreparedTable:
    """A table as tensors on disk. Two are equal if they hold the same data, wherever they lie.

    Attributes:
        folder: Where it lies.
        digest: SHA-256 of the source's content, the options and the format.

    Example:
        >>> import pandas as pd, tempfile
        >>> from counterpoint.data.tables import TableOptions, prepare
        >>> table = pd.DataFrame({"x": [i % 9 / 4 for i in range(40)], "y": ["no", "yes"] * 20})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     prepared = prepare(table, TableOptions(("y",)), folder + "/prepared")
        ...     prepared.splits()["test"].inputs.shape, prepared.rows("test").shape
        (torch.Size([6, 1]), (6,))
    """

    folder: Path = field(compare=False)
    digest: str

    @property
    def schema(self) -> TableSchema:
        """What was found out about the table and decided.

        Raises:
            TableError: if the folder is gone or holds other data by now.
        """
        return _schema(self.folder, self.digest)

    def splits(self) -> dict[str, Split]:
        """``"train"``, ``"validation"`` and ``"test"`` rows: inputs float32 [N, D], a target for each task [N].

        Raises:
            TableError: if the folder is gone or holds other data by now.
        """
        targets = self.schema.targets
        loaded = {
            split: Split(
                torch.from_numpy(_load(self.folder / f"inputs-{split}.npy")),
                {
                    target.name: torch.from_numpy(_load(self.folder / f"target-{place}-{split}.npy"))
                    for place, target in enumerate(targets)
                },
            )
            for split in SPLITS
        }
        if _digest_in(self.folder) != self.digest:  # replaced since the schema was read
            raise _other_table(self.folder, self.digest)
        return loaded

    def rows(self, split: str) -> np.ndarray:
        """Numbers of a split's rows in the source, from 0, [N], ascending.

        Raises:
            TableError: for an unknown split.
        """
        if split not in SPLITS:
            raise TableError(f"there is no split {split!r}, expected one of {', '.join(SPLITS)}")
        return _load(self.folder / f"rows-{split}.npy")

    @property
    def origin(self) -> Path:
        """The file that was prepared; of a DataFrame, the copy beside the arrays."""
        return self.folder / self._origin["path"]  # which may be absolute

    @property
    def _origin(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / _ORIGIN).read_text(encoding="utf-8"))
        return found

    def with_seed(self, seed: int) -> PreparedTable:
        """The same table split by another seed, prepared in a folder beside this one.

        Raises:
            TableError: if the source is gone or has changed.
        """
        from dataclasses import replace  # noqa: PLC0415

        from counterpoint.data.tables.preparation import prepare  # noqa: PLC0415  (which stores here)

        options = self.schema.options
        if seed == options.seed:
            return self
        source = self.origin
        if content_hash(source) != self._origin["content"]:
            raise TableError(f"{source} has changed since it was prepared in {self.folder}: prepare it again")
        name = self.folder.name.removesuffix(f"-seed{options.seed}")
        return prepare(source, replace(options, seed=seed), self.folder.with_name(f"{name}-seed{seed}"))


@lru_cache(maxsize=8)
def _schema(folder: Path, digest: str) -> TableSchema:
    try:
        values = json.loads((folder / _SCHEMA).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TableError(f"{folder} holds no prepared table, expected {_SCHEMA} in it: prepare it again") from None
    if values.get("digest") != digest:
        raise _other_table(folder, digest)
    return TableSchema.from_json(values)


def _other_table(folder: Path, digest: str) -> TableError:
    return TableError(f"{folder} holds another table by now, expected the one with digest {digest[:12]}")


def _load(path: Path) -> np.ndarray:
    try:
        large = path.stat().st_size > _MAPPED_FROM
    except FileNotFoundError:
        raise TableError(f"there is no {path} (any more), expected a prepared table: prepare it again") from None
    array: np.ndarray = np.load(path, mmap_mode="c" if large else None, allow_pickle=False)
    return array


def stored(folder: Path, digest: str) -> PreparedTable | None:
    """What lies in a folder, if it is what the digest says and all of it is there.

    Raises:
        TableError: if the folder holds something that is no prepared table.
    """
    return PreparedTable(folder, digest) if _digest_in(folder) == digest and _complete(folder, digest) else None


def _complete(folder: Path, digest: str) -> bool:
    targets = range(len(_schema(folder, digest).targets))
    names = [name for split in SPLITS for name in (f"rows-{split}", f"inputs-{split}")]
    names += [f"target-{place}-{split}" for split in SPLITS for place in targets]
    try:
        for name in names:
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)  # refuses an array cut short
    except (OSError, ValueError):
        return False
    return (folder / _ORIGIN).exists()


def _digest_in(folder: Path) -> str | None:
    try:
        values = json.loads((folder / _SCHEMA).read_text(encoding="utf-8"))
        # Of another version of this code: a prepared table, but not one to use.
        return str(values["digest"]) if values.get("format") == FORMAT else ""
    except (FileNotFoundError, NotADirectoryError):
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise TableError(f"{folder} holds something else, expected a new folder for the prepared table") from None
        return None
    except (ValueError, KeyError, AttributeError):
        return ""


@contextlib.contextmanager
def building(folder: Path, digest: str) -> Iterator[Path]:
    """A temporary folder that becomes ``folder`` when all went well, and is gone otherwise.

    An older table there is replaced. If another process finishes the same table first, its folder stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_away(folder)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_prefix(folder, os.getpid())))
    temporary.chmod(0o755)
    try:
        yield temporary
        while stored(folder, digest) is None:
            try:
                temporary.rename(folder)
                break
            except OSError:
                if not folder.is_dir():
                    raise
                # An older one is in the way: one process moves it out, whoever comes second tries again.
                older = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_prefix(folder, os.getpid())))
                with contextlib.suppress(FileNotFoundError):
                    folder.rename(older / "older")
                shutil.rmtree(older, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _prefix(folder: Path, process: int) -> str:
    return f".{folder.name}.{socket.gethostname()}-{process}-"


def _clear_away(folder: Path) -> None:
    """Removes what killed processes of this machine left half-done."""
    start = f".{folder.name}.{socket.gethostname()}-"
    for left in folder.parent.glob(f"{start}*"):
        process = left.name.removeprefix(start).partition("-")[0]
        if process.isdecimal() and not _alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    if os.name == "nt":  # where signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class SplitWriter:
    """Appends rows to the arrays of a split, whose length is known beforehand; keeps none in memory.

    Args:
        path: The .npy file.
        shape: Of the finished array.
        dtype: Of its values.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        self._file = path.open("wb")
        description = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, description)

    def append(self, rows: np.ndarray) -> None:
        """Writes the next rows."""
        self._file.write(np.ascontiguousarray(rows).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def save_facts(folder: Path, schema: TableSchema, origin: Path | str, content: str) -> None:
    """Writes what is known about the arrays in a folder, and where they come from.

    Args:
        folder: The folder.
        schema: What is known.
        origin: The file that was prepared: an absolute path, or one in the folder.
        content: Its content's hash.
    """
    _write(folder / _ORIGIN, {"path": str(origin), "content": content})
    _write(folder / _SCHEMA, schema.to_json())


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
