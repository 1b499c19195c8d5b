"""What a training reads its batches from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any

from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from counterpoint.data import Rows

if TYPE_CHECKING:
    from counterpoint.data.split import Passes


class Loaded:
    """Somebody else's batches, such as a DataLoader's, checked as they come.

    Every process has to get the same batches in the same order, and takes its share of each.

    Args:
        batches: Iterates ``(inputs, {task: targets})`` and has a length.
        name: Of the rows, for errors.
        rank: Which of the processes this is.
        ranks: Processes that share each batch.

    Raises:
        ValueError: for something that is no loader; while iterating, for batches of another form.

    Example:
        >>> import torch
        >>> loader = torch.utils.data.DataLoader([(torch.ones(2), {"a": 1}), (torch.ones(2), {"a": 0})], batch_size=2)
        >>> [targets["a"].tolist() for inputs, targets in Loaded(loader, "training")]
        [[1, 0]]
    """

    def __init__(self, batches: object, name: str, rank: int = 0, ranks: int = 1) -> None:
        if not isinstance(batches, Iterable) or not isinstance(batches, Sized) or isinstance(batches, Mapping | tuple):
            raise ValueError(  # noqa: TRY004  (what users give, like every other value)
                f"{name} rows are given as {type(batches).__name__}, expected a Split, or a loader with a length, such "
                "as a DataLoader, that yields (inputs, {task: targets})"
            )
        self._batches: Any = batches
        self._name, self._rank, self._ranks = name, rank, ranks

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        # A generator: a DataLoader draws its seed when its iterator is made, which is when the pass begins.
        for batch in self._batches:
            if not isinstance(batch, tuple | list) or len(batch) != 2 or not isinstance(batch[1], Mapping):
                raise ValueError(
                    f"the loader of {self._name} rows yields {_form(batch)}, expected (inputs, {{task: targets}})"
                )
            inputs, targets = batch
            yield (inputs, dict(targets)) if self._ranks == 1 else self._share((inputs, dict(targets)))

    def _share(self, batch: Any) -> Any:
        def own(rows: Tensor) -> Tensor:
            if len(rows) < self._ranks:
                raise ValueError(
                    f"the loader of {self._name} rows yields a batch of {len(rows)} rows for {self._ranks} processes, "
                    "expected at least one row for each: let it drop the last batch"
                )
            return rows[self._rank :: self._ranks]

        return apply_to_collection(batch, Tensor, own)


def loader(
    rows: Rows | Any, name: str, size: int, *, shuffle_seed: int | None = None, rank: int = 0, ranks: int = 1
) -> Passes | Loaded:
    """Batches of rows, or a loader's own.

    Args:
        rows: A :class:`Split` or other :class:`~counterpoint.data.Rows`, or a loader.
        name: Of the rows, for errors.
        size: Rows a batch, unless a loader decides.
        shuffle_seed: Of their order, unless a loader decides.
        rank: Which of the processes this is.
        ranks: Processes that share each batch.

    Raises:
        ValueError: if there are no rows, or it is neither.
    """
    made: Passes | Loaded
    if isinstance(rows, Rows):
        made = rows.batches(size, shuffle_seed=shuffle_seed, rank=rank, ranks=ranks)
    else:
        made = Loaded(rows, name, rank, ranks)
    if not len(made):
        raise ValueError(f"there are no {name} rows, expected at least one for each of {ranks} processes")
    return made


def _form(batch: object) -> str:
    if isinstance(batch, tuple | list):
        return f"({', '.join(type(part).__name__ for part in batch)})"
    return type(batch).__name__
