"""Batches of images, decoded ahead by other processes on request."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch

from counterpoint.data.split import Batch, Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from counterpoint.data.images.rows import ImageRows

# Seed and number of the pass if pictures are augmented, and the rows of a batch.
_Order = tuple[tuple[int, int] | None, "Tensor"]


class ImageBatches:
    """Passes over the rows of an image folder; the order is that of :class:`counterpoint.data.Batches`.

    Order and augmentation of pass n depend on the seed and n only, the augmentation of a row on the row, too: a
    training that was interrupted sees the same pictures again. Without a seed nothing is augmented.

    Args:
        rows: The rows; ``rows.workers`` processes decode them.
        size: Rows a batch; the last one may be smaller.
        shuffle_seed: Seed of order and augmentation; the rows' own order if ``None``.
        rank: Which of the processes that share each batch this is; others' rows are not decoded.
        ranks: Processes that share each batch.

    Raises:
        ValueError: as :class:`counterpoint.data.Batches`; while iterating, for files that cannot be read.
    """

    def __init__(
        self, rows: ImageRows, size: int, shuffle_seed: int | None = None, rank: int = 0, ranks: int = 1
    ) -> None:
        self.split, self.size = rows, size
        self._seed = shuffle_seed
        self._order = Split(torch.arange(len(rows)), {}).batches(
            size, shuffle_seed=shuffle_seed, rank=rank, ranks=ranks
        )
        self._next = 0
        self._plan: list[_Order] = []
        self._busy = False
        # The other processes end with this object. They are held here and, unlike it, by no cycle: the collector would
        # take the queues apart before the processes are told to end, and wait five seconds for each.
        self._ahead: list[Any] = []
        weakref.finalize(self, self._ahead.clear)

    def start_at(self, passes: int) -> None:
        """Lets the next pass be pass n, counted from 0, as after n passes."""
        self._next = passes
        self._order.start_at(passes)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        augmented = None if self._seed is None else (self._seed, self._next)
        self._next += 1
        plan: list[_Order] = [(augmented, index) for index, _ in self._order]
        if not self.split.workers or self._busy:
            # Of two passes at once the second decodes by itself: the processes are those of one pass.
            yield from (self.split.decoded(index, own) for own, index in plan)
            return
        self.split.prepare()
        self._plan[:] = plan
        self._busy = True
        try:
            for batch in self._loader():
                if isinstance(batch, Exception):
                    try:
                        raise batch
                    finally:
                        del batch  # it holds this frame, which would hold it
                yield batch
        finally:
            self._busy = False

    def _loader(self) -> Any:
        if not self._ahead:
            loader = torch.utils.data.DataLoader(
                _Rows(self.split),
                batch_size=None,
                sampler=self._plan,
                num_workers=self.split.workers,
                collate_fn=_as_it_is,
                persistent_workers=True,
                # Its own, as torch would otherwise draw a seed for the processes from the generator of the training.
                generator=torch.Generator(),
            )
            self._ahead.append(loader)
        return self._ahead[0]


class _Rows(torch.utils.data.Dataset[Any]):
    """What the other processes have."""

    def __init__(self, rows: ImageRows) -> None:
        self.rows = rows

    def __getitem__(self, order: _Order) -> Batch | Exception:
        augmented, index = order
        try:
            return self.rows.decoded(index, augmented)
        except (ValueError, OSError) as error:
            return error  # as a value: raised over there, it would come with the trace of that process


def _as_it_is(batch: Any) -> Any:
    return batch
