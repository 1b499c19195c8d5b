"""By what backward reaches a FanOut on a rank without labels, where the other ranks wait for it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Anchors:
    """A zero for each use of a FanOut that backward has not reached yet; a sum of losses takes them along.

    A use whose features nobody holds any more is over: its anchor must not keep an old graph alive.
    """

    def __init__(self) -> None:
        self._of_uses: list[tuple[weakref.ref[Tensor] | None, Tensor]] = []

    def __len__(self) -> int:
        return len(self._of_uses)

    def add(self, copies: Sequence[Tensor], anchor: Tensor) -> None:
        """That of a new use, which lives as long as the first of its copies, if it has any."""
        use = weakref.ref(copies[0]) if copies else None
        self._of_uses = [(old, kept) for old, kept in self._of_uses if old is not None and old() is not None]
        self._of_uses.append((use, anchor))

    def reached(self, node: object) -> None:
        """Backward has come to a use."""
        self._of_uses = [(use, anchor) for use, anchor in self._of_uses if anchor.grad_fn is not node]

    def take(self) -> list[Tensor]:
        """Those of uses whose features somebody holds, and of uses without any task: these belong to this step."""
        taken = [anchor for use, anchor in self._of_uses if use is None or use() is not None]
        self._of_uses = []
        return taken
