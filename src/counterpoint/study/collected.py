"""Rows of somebody's own Datasets, collected once into files that every process reads."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from counterpoint.data import Split
from counterpoint.tasks.task import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PARTS = ("train", "validation", "test")
_INPUTS, _TARGET = "inputs", "target:"


@dataclass(frozen=True)
class Collected:
    """Rows in files; cheap to send to a process, equal to another one with the same content.

    Attributes:
        folder: Where the files are.
        digest: Identifies the content.
    """

    folder: Path
    digest: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Collected) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def splits(self) -> dict[str, Split]:
        """``"train"``, ``"validation"`` and ``"test"`` rows."""
        found = {}
        for part in PARTS:
            tensors = load_file(self.folder / f"{part}.safetensors")
            targets = {name.removeprefix(_TARGET): value for name, value in tensors.items() if name != _INPUTS}
            found[part] = Split(tensors[_INPUTS], targets)
        return found

    def with_seed(self, seed: int) -> Collected:
        """Rows come split: there is no other split."""
        raise ValueError(f"these data come split, expected no other split than theirs, seed {seed} was asked for")


def collect(parts: Mapping[str, Iterable[Any]]) -> dict[str, Split]:
    """Reads every row of three Datasets or loaders of batches into memory.

    A row is ``(x, {task: y})``; a task that a row lacks, or has as ``None``, has no label there.

    Args:
        parts: By split a map-style Dataset, or an iterable of batches (a DataLoader).

    Raises:
        ValueError: for rows of another form, with the row.

    Example:
        >>> rows = [(torch.zeros(2), {"a": 1}), (torch.ones(2), {})]
        >>> splits = collect(dict.fromkeys(("train", "validation", "test"), rows))
        >>> splits["train"].targets["a"].tolist()
        [1, -100]
    """
    found: dict[str, tuple[Tensor, list[Mapping[str, Any]]]] = {}
    for part in PARTS:
        if isinstance(parts[part], Split):
            continue
        inputs, targets = [], []
        for number, (x, own) in enumerate(_rows(parts[part], part)):
            try:
                inputs.append(torch.as_tensor(x))
            except (TypeError, ValueError, RuntimeError) as error:
                raise ValueError(f"{part} row {number} has an input that is no tensor: {error}") from None
            targets.append(own)
        if not inputs:
            raise ValueError(f"the {part} data have no rows, expected at least one")
        if len(shapes := {tuple(x.shape) for x in inputs}) > 1:
            raise ValueError(f"{part} rows have inputs of shapes {sorted(shapes)[:2]}, expected one shape: resize them")
        found[part] = torch.stack(inputs), targets
    names = list(dict.fromkeys(name for _, targets in found.values() for own in targets for name in own))
    made = {part: Split(inputs, _targets(targets, names, part)) for part, (inputs, targets) in found.items()}
    return {part: value if isinstance(value := parts[part], Split) else made[part] for part in PARTS}


def _rows(data: Any, part: str) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Rows of a Dataset, or of batches."""
    batched = isinstance(data, torch.utils.data.DataLoader)
    count = len(data) if not batched and hasattr(data, "__getitem__") and hasattr(data, "__len__") else None
    items = iter(data) if count is None else (data[place] for place in range(count))
    for number, item in enumerate(items):
        if not (isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[1], Mapping)):
            raise ValueError(f"{part} item {number} is {type(item).__name__}, expected (x, {{task: y}})")
        x, own = item
        if not batched:
            yield x, own
            continue
        for row in range(len(x)):
            yield x[row], {name: value[row] for name, value in own.items() if value is not None}


def _targets(rows: list[Mapping[str, Any]], names: list[str], part: str) -> dict[str, Tensor]:
    made = {}
    for name in names:
        known = [None if row.get(name) is None else torch.as_tensor(row[name]) for row in rows]
        first = next((value for value in known if value is not None), None)
        if first is None:
            raise ValueError(f"task {name!r} has no label in the {part} data, expected some")
        if len({tuple(value.shape) for value in known if value is not None}) > 1:
            raise ValueError(f"task {name!r} has targets of several shapes in the {part} data, expected one")
        floating = any(value is not None and value.is_floating_point() for value in known)
        missing = torch.full_like(
            first, torch.nan if floating else MISSING, dtype=torch.float32 if floating else torch.int64
        )
        made[name] = torch.stack([missing if value is None else value.to(missing.dtype) for value in known])
    return made


def stored(splits: Mapping[str, Split], folder: Path) -> Collected:
    """Writes rows below ``folder``, completely or not at all, unless they are there.

    Args:
        splits: The rows.
        folder: Where to make a folder named after the content.
    """
    digest = _digest(splits)
    place = folder / digest[:16]
    if not (place / "rows.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            temporary = Path(name) / "rows"
            temporary.mkdir()
            for part, split in splits.items():
                tensors = {_INPUTS: split.inputs, **{_TARGET + task: y for task, y in split.targets.items()}}
                save_file(
                    {key: tensor.contiguous() for key, tensor in tensors.items()}, temporary / f"{part}.safetensors"
                )
            counts = {part: len(split) for part, split in splits.items()}
            (temporary / "rows.json").write_text(json.dumps({"digest": digest, "rows": counts}), encoding="utf-8")
            try:
                temporary.rename(place)
            except OSError:  # another process was faster
                if not (place / "rows.json").exists():
                    raise
    return Collected(place, digest)


def _digest(splits: Mapping[str, Split]) -> str:
    content = hashlib.sha256()
    for part, split in splits.items():
        for name, tensor in ((_INPUTS, split.inputs), *sorted(split.targets.items())):
            content.update(f"{part}/{name}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
            content.update(tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return content.hexdigest()
